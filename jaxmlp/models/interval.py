"""The 90 % prediction interval: measured on held-out rows, applied to predictions."""

from dataclasses import dataclass

import numpy as np

COVERAGE = 0.9


@dataclass(frozen=True)
class Interval:
    """An interval that held 90 % of the held-out targets: `prediction + low * width` to `prediction + high * width`.

    The width is 1, or for counts the root of the prediction, as for a Poisson distribution.
    """

    low: float
    high: float
    grows_with_root: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"low must not be above high; got {self.low} and {self.high}")

    def ends(self, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper end (n,) around predictions (n,); counts are not negative."""
        width = _width(prediction, self.grows_with_root)
        low, high = prediction + self.low * width, prediction + self.high * width
        return (np.maximum(low, 0) if self.grows_with_root else low), high


def measure_interval(prediction: np.ndarray, target: np.ndarray, *, grows_with_root: bool) -> Interval:
    """Return the interval of held-out predictions and targets (n,), both in the target's unit."""
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile((target - prediction) / _width(prediction, grows_with_root), (tail, 1 - tail))
    return Interval(float(low), float(high), grows_with_root)


def _width(prediction: np.ndarray, grows_with_root: bool) -> np.ndarray:
    return np.sqrt(np.maximum(prediction, 1e-6)) if grows_with_root else np.ones_like(prediction)
