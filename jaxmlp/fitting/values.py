"""What loops of Python refuse by value: rows that nothing can be learned from, and numbers out of range.

Pure functions such as `train` and `fit_epochs` look at shapes and dtypes only. Rows of weight 0 may hold anything.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxmlp._validation import count, find_name
from jaxmlp.criteria import CRITERIA, Criterion
from jaxmlp.fitting.metrics import AnyArray
from jaxmlp.fitting.tasks import CRITERION_TASKS


def validate_values(x: AnyArray, y: AnyArray, sample_weight: AnyArray | None, criterion: Criterion) -> None:
    """Refuse rows to fit, validated arrays: no rows, bad sample weights, numbers that are not finite, bad targets."""
    if not all(getattr(values, "is_fully_addressable", True) for values in (x, y, sample_weight)):
        return  # Other processes hold some of the rows.
    if not len(x):
        raise ValueError("x must have at least one row")
    c = None if sample_weight is None else validate_weights("sample_weight", sample_weight, x.dtype)
    validate_rows(x, y, c, criterion)


def validate_rows(x: object, y: object, sample_weight: np.ndarray | None, criterion: Criterion, first: int = 0) -> None:
    """Refuse rows that are not finite or have bad targets; they begin at row `first` of a table."""
    validate_finite("x", x, sample_weight, first)
    validate_finite("y", y, sample_weight, first)
    validate_targets(y, criterion, sample_weight, first)


def validate_weights(name: str, sample_weight: object, dtype: object) -> np.ndarray:
    """Return sample weights (n,): finite, not negative, and not zero in all rows, in sums of a dtype too."""
    c = np.asarray(sample_weight, np.float64)
    invalid = np.flatnonzero(~((c >= 0) & (c < np.inf)))
    if len(invalid):
        value = _show(c[invalid[0]].item(), np.asarray(sample_weight).dtype)
        raise ValueError(f"{name} must be finite and not negative; got {value} in row {invalid[0]}, counted from 0")
    if not c.any():
        raise ValueError(f"{name} must not be zero in all rows; got {count(len(c), 'row')} of weight 0")
    # Products with losses must not overflow or underflow either.
    limits = jnp.finfo(dtype)
    if not float(limits.tiny) ** 0.8 < c.sum() < float(limits.max) ** 0.8:
        raise ValueError(f"{name} must have a sum that {dtype} can hold; got {c.sum():g}: divide by the largest weight")
    return c


def validate_finite(name: str, values: object, sample_weight: np.ndarray | None = None, first: int = 0) -> None:
    """Refuse rows (n, columns) that are not finite, unless their weight is 0."""
    values = np.asarray(values)
    finite = np.isfinite(values)
    if finite.all():
        return
    _refuse_first(name, values, ~finite, sample_weight, "must hold finite numbers only", first)


def validate_targets(y: object, criterion: Criterion, sample_weight: np.ndarray | None = None, first: int = 0) -> None:
    """Refuse targets (n, outputs) that a built-in criterion has no loss for, unless their weight is 0."""
    name = find_name(criterion, CRITERIA)
    if name is not None:
        y, (low, high) = np.asarray(y), CRITERION_TASKS[criterion].targets
        wanted = "must not be negative" if high == np.inf else f"must be from {low} to {high}"
        _refuse_first("y", y, (y < low) | (y > high), sample_weight, f"{wanted} with {name}", first)


def validate_number(name: str, value: Any, interval: str, dtype: DTypeLike = np.float64) -> None:
    """Refuse a number outside an interval such as "[0, 1)", as it is in a dtype."""
    number = float(value)
    with np.errstate(over="ignore"):
        rounded = float(np.asarray(number, dtype))
    low, high = (float(end) for end in interval[1:-1].split(","))

    def contains(number: float) -> bool:
        is_above = number > low or (number == low and interval[0] == "[")
        return is_above and (number < high or (number == high and interval[-1] == "]"))

    if not contains(rounded):
        as_dtype = f", which is {rounded:g} in {np.dtype(dtype)}" if contains(number) else ""
        raise ValueError(f"{name} must be a number in the range {interval}; got {number!r}{as_dtype}")


def _refuse_first(
    name: str, values: np.ndarray, invalid: np.ndarray, c: np.ndarray | None, wanted: str, first: int
) -> None:
    """Raise ValueError for the first invalid entry in a row that has a weight."""
    if c is not None:
        invalid = invalid & (c > 0)[:, None]
    for row, column in np.argwhere(invalid)[:1]:
        value = _show(values[row, column].item(), values.dtype)
        raise ValueError(f"{name} {wanted}; got {value} in row {first + row}, column {column}, counted from 0")


def _show(value: float, dtype: object) -> str:
    """Return a value for a message; an infinite one may be finite before it is rounded to the dtype."""
    return f"{float(value):g}" + (f" as {dtype}" if np.isinf(value) and dtype != np.float64 else "")
