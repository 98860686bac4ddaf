"""Numbers far from all others: those that stand for missing values, such as -999, and outliers."""

import numpy as np

from jaxmlp._validation import count
from jaxmlp.tables.values import LARGEST

_LEAST_SHARE = 0.01
_RARE = 0.01  # Largest share of rows that are outliers at one end,
_FAR = 20  # which are so many times further from the median than all others.


def describe_sentinel(values: np.ndarray) -> tuple[str, str] | None:
    """Return a number that is far from all others in at least 1 in 100 rows, and a sentence; None if there is none.

    Arguments:
        values: (n,) finite numbers, not all equal.
    """
    for sentinel in (values.min(), values.max()):
        is_one = values == sentinel
        others = values[~is_one]
        often = is_one.sum() >= max(2, _LEAST_SHARE * len(values)) and len(others) > 2
        written = f"{abs(sentinel):g}"
        is_code = sentinel == -1 or (len(written) > 1 and set(written.rstrip("0")) <= {"9", "8"} and written[0] in "89")
        if often and is_code and np.abs(others - sentinel).min() > max(np.ptp(others), 1):
            rows = count(int(is_one.sum()), "row")
            span = f"{others.min():.4g} to {others.max():.4g}"
            return f"{sentinel:g}", f"{sentinel:g} in {rows}, far from the others ({span})"
    return None


def find_bounds(values: np.ndarray) -> tuple[float, float] | None:
    """Return the limits beyond which values (n,) are outliers; None if none is.

    A single outlier would otherwise decide how the column is scaled, and the differences of the others would vanish.
    """
    ordered, n = np.sort(values), len(values)
    rare, median = max(1, int(_RARE * n)), np.median(values)
    if n < 10 * rare:
        return None
    below, above = median - ordered[rare], ordered[n - 1 - rare] - median
    low = float(median - _FAR * below) if below > 0 else -LARGEST
    high = float(median + _FAR * above) if above > 0 else LARGEST
    return (low, high) if ordered[0] < low or ordered[-1] > high else None
