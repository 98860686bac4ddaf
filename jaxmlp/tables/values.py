"""The values of a column: their type, and the column as numbers, as text, or as indices of levels."""

import numpy as np

from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError, cell_error, quote

# Sums of squares of larger numbers would overflow float32.
LARGEST = 1e30
BOOLEANS = ("false", "true")
Class = str | bool | int | float

_DATE = r"^(\d{4}-\d{2}(-\d{2})?|\d{4}/\d{2}/\d{2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4})([T ]\d{1,2}:\d{2}.*)?$"


def infer_type(column: "polars.Series") -> str:
    """Return "numbers", "text" (booleans too), "dates", "empty", or the name of a type that cannot be used."""
    if is_missing(column).all():
        return "empty"
    if column.dtype.is_temporal():
        return "dates"
    if column.dtype == polars.Boolean:
        return "text"
    if not _is_text(column):
        return "numbers" if column.dtype.is_numeric() else str(column.dtype)
    text = column.cast(str).drop_nulls()
    if np.isnan(to_floats(text)).sum() <= len(text) / 10:
        return "numbers"
    return "dates" if text.str.strip_chars().str.contains(_DATE).sum() >= 0.9 * len(text) else "text"


def is_missing(column: "polars.Series") -> np.ndarray:
    """Return which values of a column are missing, (n,) bool."""
    missing = column.is_null()
    return (missing | column.is_nan().fill_null(True) if column.dtype.is_float() else missing).to_numpy()


def to_floats(column: "polars.Series") -> np.ndarray:
    """Return a column as float64 (n,), NaN where a value is missing or not a number."""
    if _is_text(column):
        column = column.cast(str).str.strip_chars()
    return column.cast(float, strict=False).fill_null(np.nan).to_numpy()


def to_numbers(column: "polars.Series") -> np.ndarray:
    """Return a column as float64 (n,), NaN where a value is missing.

    Raises:
        TableError: a value is not a number, infinite, or beyond 1e30; its row is named.
    """
    _require_text_or_numbers(column, "numbers")
    values = to_floats(column)
    invalid = np.flatnonzero(~(np.abs(values) <= LARGEST) & ~is_missing(column))
    if len(invalid):
        first = values[invalid[0]]
        problem = "is not a number" if np.isnan(first) else "is not finite"
        if np.isfinite(first):
            problem = f"is too large; numbers must be between -{LARGEST:.0e} and {LARGEST:.0e}"
        raise cell_error(column, int(invalid[0]), problem)
    return values


def to_text(column: "polars.Series") -> "polars.Series":
    """Return a column of text or booleans as text; booleans, in any spelling, as "true" and "false"."""
    text = column.cast(str)
    lower = text.str.to_lowercase()
    return lower if lower.drop_nulls().is_in(list(BOOLEANS)).all() else text


def to_codes(column: "polars.Series", levels: tuple[Class | None, ...]) -> np.ndarray:
    """Return the index of each value in `levels`, (n,) integers; -1 where a value is none of them.

    Levels are text, with None for a missing value; or booleans; or numbers.
    """
    if type(levels[0]) in (int, float):
        column = polars.Series(column.name, to_numbers(column))
    else:
        _require_text_or_numbers(column, "text")
        column = column.cast(str)
        levels = tuple(BOOLEANS[level] if isinstance(level, bool) else level for level in levels)
        if {*levels} <= {*BOOLEANS, None}:  # in any spelling, whatever the other rows of this table hold
            column = column.str.to_lowercase()
    return column.replace_strict(list(levels), list(range(len(levels))), default=-1).to_numpy()


def is_text_or_numbers(column: "polars.Series") -> bool:
    """Return whether a column holds text, numbers or booleans, or nothing."""
    return column.dtype.is_numeric() or column.dtype == polars.Boolean or _is_text(column)


def _is_text(column: "polars.Series") -> bool:
    """Return whether the type of a column is text, or Null, the type of a column without values."""
    return column.dtype in (polars.String, polars.Categorical, polars.Enum, polars.Null)


def _require_text_or_numbers(column: "polars.Series", expected: str) -> None:
    if not is_text_or_numbers(column):
        raise TableError(f"column {quote(column.name)} holds {column.dtype}, not {expected}")
