"""Differences of a function along a direction: its slope, with an estimate of the error, and its slopes at a kink."""

from typing import NamedTuple

import numpy as np

# From 1/4 to 1.5e-8, relative to the point: rounding is least for long steps, and short ones end before a kink.
STEPS = 2.0 ** np.arange(-2, -27, -2)
# Where a function takes long: few steps, suited to float64 and to less precise functions.
FEW, FEW_COARSE = STEPS[4:8], STEPS[:4]


class Slopes(NamedTuple):
    """The slopes along each direction. They differ at a kink, where each value between them is right."""

    low: np.ndarray
    high: np.ndarray
    doubt: np.ndarray  # Estimated error of both.

    def distance(self, slope: np.ndarray) -> np.ndarray:
        """Return by how much a slope lies outside."""
        return np.maximum(np.maximum(self.low - slope, slope - self.high), 0)


def offsets(steps: np.ndarray) -> np.ndarray:
    """Return the arguments of a function for `measure_slopes`."""
    return np.asarray([0, *steps, *-steps])


def measure_slopes(stepped: np.ndarray, steps: np.ndarray, rounding: float | np.ndarray) -> Slopes:
    """Return the slopes at 0.

    Each pair of neighbouring steps gives two estimates, with a doubt. The central difference supposes that the function
    is smooth: a kink strictly between 0 and the longer step makes its two values disagree, and one at 0 keeps the
    difference of the one-sided slopes from shrinking with the step. The one-sided slopes suppose a kink at 0. The doubt
    is at least the effect of rounding. The result is the estimate with the least doubt.

    Arguments:
        stepped: (1 + 2 steps, …) values at `offsets(steps)`.
        steps: each a quarter of the one before.
        rounding: error of the values.
    """
    h = steps.reshape(-1, *[1] * (stepped.ndim - 1))
    middle, up, down = np.split(np.asarray(stepped, np.float64), [1, 1 + len(steps)])
    with np.errstate(all="ignore"):
        right, left = (up - middle) / h, (middle - down) / h
        central, bend = (right + left) / 2, right - left
        least = rounding / h[1:] + 0 * central[1:]
        smooth = np.maximum(np.abs(central[:-1] - central[1:]), np.abs(bend[:-1] - 4 * bend[1:]))
        kink = np.maximum(np.abs(right[:-1] - right[1:]), np.abs(left[:-1] - left[1:]))
        doubt = np.concatenate([np.maximum(smooth, least), np.maximum(kink, least)])
        low = np.concatenate([central[1:], np.minimum(right, left)[1:]])
        high = np.concatenate([central[1:], np.maximum(right, left)[1:]])
    doubt = np.where(np.isfinite(doubt), doubt, np.inf)
    best = np.argmin(doubt, axis=0)[None]
    return Slopes(*(np.take_along_axis(values, best, 0)[0] for values in (low, high, doubt)))
