"""The values of a column: as text or numbers, which are missing, and as indices of levels."""

from collections.abc import Iterable

import numpy as np

from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError, cell_error, quote
from jaxmlp.tables.numbers import PLAIN, NumberStyle
from jaxmlp.tables.words import BOOLEANS, as_text, remove_missing, remove_placeholders, to_booleans

# Sums of squares of larger numbers would overflow float32.
LARGEST = 1e30
EXACT = 2**53  # Larger whole numbers are not exact in float64.
Class = str | bool | int | float


def prepare(frame: "polars.DataFrame", names: Iterable[str], missing: tuple[str, ...] = ()) -> "polars.DataFrame":
    """Return columns of any table as text without missing-value words, numbers, booleans, dates or times.

    Arguments:
        frame: the table; columns of other types stay as they are.
        names: of the columns.
        missing: words or numbers that the user has named as missing values.

    Raises:
        TableError: a name that polars takes for a pattern.
    """
    frame = frame[list(names)]
    for name in frame.columns:
        if name.startswith("^") and name.endswith("$"):
            raise TableError(f"column {quote(name)}: polars takes this name for a pattern; rename the column")
    frame = as_text(frame, [column.name for column in frame if is_text(column)])
    frame = frame.with_columns(column.cast(float) for column in frame if column.dtype.is_decimal())
    durations = [column for column in frame if column.dtype == polars.Duration]
    frame = frame.with_columns(column.dt.total_milliseconds() / 86_400_000 for column in durations)  # in days
    return frame.with_columns(remove_missing(column, missing) for column in frame) if missing else frame


def is_text(column: "polars.Series") -> bool:
    """Return whether the type of a column is text, or Null, the type of a column without values."""
    return column.dtype in (polars.String, polars.Categorical, polars.Enum, polars.Null)


def is_text_or_numbers(column: "polars.Series") -> bool:
    """Return whether a column holds text, numbers or booleans, or nothing."""
    return column.dtype.is_numeric() or column.dtype == polars.Boolean or is_text(column)


def is_missing(column: "polars.Series") -> np.ndarray:
    """Return which values of a column are missing, (n,) bool."""
    missing = column.is_null()
    return (missing | column.is_nan().fill_null(True) if column.dtype.is_float() else missing).to_numpy()


def to_floats(column: "polars.Series", style: NumberStyle | None = None) -> np.ndarray:
    """Return a column as float64 (n,), NaN where a value is missing or not a number."""
    if is_text(column):
        values = (style or PLAIN).parse(column.cast(str).str.strip_chars())
    else:
        values = column.cast(float, strict=False)
    return values.fill_null(np.nan).to_numpy()


def to_numbers(column: "polars.Series", style: NumberStyle | None = None) -> np.ndarray:
    """Return a column as float64 (n,), NaN where a value is missing.

    Raises:
        TableError: a value is not a number, infinite, or beyond 1e30; its row is named.
    """
    _require_text_or_numbers(column, "numbers")
    if is_text(column):
        column = remove_placeholders(column.cast(str))
    values = to_floats(column, style)
    invalid = np.flatnonzero(~(np.abs(values) <= LARGEST) & ~is_missing(column))
    if len(invalid):
        first = values[invalid[0]]
        problem = "is not a number" if np.isnan(first) else "is not finite"
        if np.isnan(first) and style is not None:
            problem += style.explain(column[int(invalid[0])])
        if np.isfinite(first):
            problem = f"is too large; numbers must be between -{LARGEST:.0e} and {LARGEST:.0e}"
        raise cell_error(column, int(invalid[0]), problem)
    return values


def to_boolean_text(column: "polars.Series") -> "polars.Series":
    """Return a column (n,) as "false" and "true", null where it is neither: yes and no in any spelling, 1 and 0."""
    if column.dtype == polars.Boolean:
        return column.cast(str)
    if is_text(column):
        words = to_booleans(column.cast(str))
        numbers = column.cast(str).cast(float, strict=False)
    else:
        words, numbers = polars.Series(column.name, [None], dtype=polars.String).new_from_index(0, len(column)), column
    return words.zip_with(words.is_not_null(), numbers.replace_strict([0, 1], list(BOOLEANS), default=None))


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
    return column.replace_strict(list(levels), list(range(len(levels))), default=-1).to_numpy()


def _require_text_or_numbers(column: "polars.Series", expected: str) -> None:
    if not is_text_or_numbers(column):
        raise TableError(f"column {quote(column.name)} holds {column.dtype}, not {expected}")
