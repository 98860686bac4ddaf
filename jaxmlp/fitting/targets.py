"""Targets as a network learns them: scaled, or the logarithms scaled; and its outputs as predictions within bounds."""

from typing import NamedTuple

import numpy as np

from jaxmlp.fitting.scaling import Scaling, identity_scaling, learn_scaling, validate_scaling
from jaxmlp.fitting.tasks import Task

_MARGIN = 0.1  # Predictions may leave the range of the training targets by this share of it.


class TargetScaling(NamedTuple):
    """What is done to targets before training, and undone to predictions, which are then clipped."""

    scaling: Scaling  # Of the targets, or of their logarithms.
    is_log: bool = False
    low: float | None = None  # The smallest and the largest prediction; None for any.
    high: float | None = None

    def apply(self, y: np.ndarray) -> np.ndarray:
        """Return targets (n, outputs) as a network learns them."""
        return self.scaling.apply(np.log(y) if self.is_log else y)

    def invert(self, mean: np.ndarray) -> np.ndarray:
        """Return predictions (..., outputs) in the target's unit, given those of a network."""
        return self.clip(self.unscale(mean))

    def unscale(self, mean: np.ndarray) -> np.ndarray:
        """Return the same before they are clipped."""
        mean = self.scaling.invert(mean)
        with np.errstate(over="ignore"):
            return np.exp(mean) if self.is_log else mean

    def clip(self, mean: np.ndarray) -> np.ndarray:
        """Return predictions in the target's unit within the bounds."""
        if self.low is None and self.high is None:
            return mean
        return np.clip(mean, self.low, self.high)

    def invert_std(self, std: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return standard deviations (..., outputs) in the target's unit; `mean` is that of `invert`."""
        std = np.asarray(std, np.float64) * self.scaling.unit
        return std * mean if self.is_log else std


def learn_target_scaling(y: np.ndarray, task: Task, *, is_log: bool = False) -> TargetScaling:
    """Return the scaling of training targets (n, outputs).

    Predictions are clipped to the range of the targets, widened by a tenth. If no target is negative, no prediction is;
    if all are positive, so are the predictions.
    """
    scaling = identity_scaling(y.shape[1])
    if not task.has_bounds:
        return TargetScaling(scaling)
    if task.standardizes_target:
        scaling = learn_scaling(np.log(y) if is_log else y)
    low, high = float(y.min()), float(y.max())
    margin = _MARGIN * (high - low)
    return TargetScaling(scaling, is_log, max(low - margin, low / 2) if low >= 0 else low - margin, high + margin)


def validate_target_scaling(name: str, target: TargetScaling, outputs: int) -> None:
    """Raise ValueError unless a scaling has finite numbers for `outputs` columns, and finite bounds in order."""
    validate_scaling(name, target.scaling, outputs)
    bounds = [end for end in (target.low, target.high) if end is not None]
    if not np.isfinite(bounds).all() or bounds != sorted(bounds):
        raise ValueError(f"{name} must have finite bounds in order; got {target.low} and {target.high}")
