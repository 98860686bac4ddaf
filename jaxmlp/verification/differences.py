"""Slopes of a function from differences of its values, at kinks too, and how far arrays differ."""

import numpy as np
from numpy.typing import ArrayLike

# From 1/4 to 1.5e-8, relative to the point: rounding is least for long steps, and short ones end before a kink.
STEPS = 2.0 ** np.arange(-2, -27, -2)
# Where a function takes long: few steps, suited to float64 and to less precise functions.
FEW, FEW_COARSE = STEPS[4:8], STEPS[:4]


def offsets(steps: np.ndarray) -> np.ndarray:
    """Return the arguments of a function for `measure_slopes`."""
    return np.asarray([0, *steps, *-steps])


def measure_slopes(stepped: np.ndarray, steps: np.ndarray, rounding: float | np.ndarray) -> np.ndarray:
    """Return the slopes at 0: the least, the greatest, and their doubt, an estimate of the error of both.

    They differ at a kink, where each value between them is right. Each pair of neighbouring steps gives two estimates,
    each with a doubt. The first is the central difference, for a smooth function. Its doubt is how much the central
    differences of the two steps disagree, as they do if there is a kink between 0 and the longer step, or how much the
    difference of the one-sided slopes differs from the quarter to which a quarter of the step should shrink it, as it
    does if there is a kink at 0. The second is the two one-sided slopes, for a kink at 0; its doubt is how much those
    of the two steps disagree. A doubt is at least the effect of rounding. The result is the estimate with the least
    doubt. If no value is finite, then any slope is right, and the doubt is infinite.

    Arguments:
        stepped: (1 + 2 steps, …) values at `offsets(steps)`.
        steps: each a quarter of the one before.
        rounding: error of the values.

    Returns:
        (3, …)
    """
    h = steps.reshape(-1, *[1] * (stepped.ndim - 1))
    middle, up, down = np.split(np.asarray(stepped, np.float64), [1, 1 + len(steps)])
    with np.errstate(all="ignore"):
        right, left = (up - middle) / h, (middle - down) / h
        central, bend = (right + left) / 2, right - left
        smooth = np.maximum(np.abs(central[:-1] - central[1:]), np.abs(bend[:-1] - 4 * bend[1:]))
        kink = np.maximum(np.abs(right[:-1] - right[1:]), np.abs(left[:-1] - left[1:]))
        low, high = np.minimum(right, left), np.maximum(right, left)
        slopes = np.array([[central[1:], low[1:]], [central[1:], high[1:]], [smooth, kink]])
        slopes[2] = np.maximum(slopes[2], rounding / h[1:])
    slopes = slopes.reshape(3, -1, *stepped.shape[1:])
    slopes[:, ~np.isfinite(slopes[2])] = [[-np.inf], [np.inf], [np.inf]]
    return np.take_along_axis(slopes, np.argmin(slopes[2], axis=0)[None, None], 1)[:, 0]


def finite(values: ArrayLike) -> np.ndarray:
    """Return values in float64, and 0 for those that are not finite."""
    return np.nan_to_num(np.asarray(values, np.float64), nan=0, posinf=0, neginf=0)


def largest(values: ArrayLike) -> float:
    """Return the largest finite absolute value, or 0."""
    return float(np.max(np.abs(finite(values)), initial=0))


def distances(before: list[np.ndarray], after: list[np.ndarray]) -> np.ndarray:
    """Return the largest difference of each leaf, of the values that are finite."""
    return np.array([largest(finite(new) - finite(old)) for old, new in zip(before, after, strict=True)])
