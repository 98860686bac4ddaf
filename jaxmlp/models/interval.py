"""Prediction intervals: measured on held-out rows, and as wide as residuals are where the prediction is."""

from dataclasses import dataclass

import numpy as np

from jaxmlp.fitting.splitting import other_parts

COVERAGE = 0.9
_LEVELS = np.linspace(0, 1, 201)
_ROWS, _MOST_BINS = 60, 8  # Held-out rows in a bin, and the number of bins.


@dataclass(frozen=True)
class Interval:
    """What is known about residuals, target minus prediction, of held-out rows.

    Their size depends on the prediction: it is interpolated between `knots`. Residuals divided by their size are alike
    everywhere, and their quantiles make the interval.
    """

    knots: tuple[float, ...]  # Predictions, in ascending order.
    sizes: tuple[float, ...]  # The size of residuals there.
    quantiles: tuple[float, ...]  # Of residuals divided by their size; the first is the lowest, the last the highest.
    floor: float | None = None  # The smallest end: 0 if no held-out target is negative; None for any.

    def __post_init__(self) -> None:
        if not (len(self.knots) == len(self.sizes) > 0 and len(self.quantiles) > 1):
            raise ValueError("an interval must have a size for each knot, and at least two quantiles")
        if (np.diff(self.knots) < 0).any() or (np.diff(self.quantiles) < 0).any() or min(self.sizes) < 0:
            raise ValueError("knots and quantiles must be in order, and sizes not negative")

    def ends(self, prediction: np.ndarray, coverage: float = COVERAGE) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper end (n,) around predictions (n,).

        Arguments:
            prediction: in the target's unit.
            coverage: the share of targets inside, between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"the coverage of an interval must be between 0 and 1; got {coverage}")
        tails = (1 - coverage) / 2, (1 + coverage) / 2
        size = np.interp(prediction, self.knots, self.sizes)
        low, high = (
            prediction + size * np.interp(level, np.linspace(0, 1, len(self.quantiles)), self.quantiles)
            for level in tails
        )
        return (low, high) if self.floor is None else (np.maximum(low, self.floor), np.maximum(high, self.floor))


def measure_interval(prediction: np.ndarray, target: np.ndarray) -> Interval:
    """Return the interval of held-out predictions and targets (n,), both in the target's unit.

    Rows are put into up to eight bins of equal counts by their prediction. The size of residuals in a bin is the
    80 % quantile of their absolute values, smoothed over neighbouring bins; any other quantile would do as a unit.
    """
    residual, n = target - prediction, len(target)
    order = np.argsort(prediction, kind="stable")
    bins = np.array_split(order, int(np.clip(n // _ROWS, 1, _MOST_BINS)))
    # The means of equal predictions may differ in the last bit.
    knots = np.maximum.accumulate([prediction[rows].mean() for rows in bins])
    sizes = np.array([np.quantile(np.abs(residual[rows]), 0.8) for rows in bins])
    padded = np.pad(sizes, 1, mode="edge")
    sizes = np.maximum((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, 1e-12 + 1e-6 * np.abs(residual).max())
    scaled = residual / np.interp(prediction, knots, sizes)
    # A little wider than the quantiles of the sample, so that new rows are covered too (conformal prediction).
    levels = np.clip(0.5 + (_LEVELS - 0.5) * (n + 1) / n, 0, 1)
    quantiles = np.maximum.accumulate(np.quantile(scaled, levels))
    floor = 0.0 if target.min() >= 0 else None
    return Interval(tuple(knots.tolist()), tuple(sizes.tolist()), tuple(quantiles.tolist()), floor)


def cross_fit_interval(prediction: np.ndarray, target: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends (n,) of the 90 % interval of each row, measured on the rows of the other parts (n,)."""
    low, high = np.empty_like(prediction), np.empty_like(prediction)
    for k in np.unique(part):
        own, others = part == k, other_parts(part, k)
        low[own], high[own] = measure_interval(prediction[others], target[others]).ends(prediction[own])
    return low, high
