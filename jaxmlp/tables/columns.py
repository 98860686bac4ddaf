"""One column of a table to columns of numbers: what is learnt of it on the training rows, and how it is applied."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxmlp._validation import require

if TYPE_CHECKING:
    from polars import Series

# Beyond it, sums of squares and float32 overflow.
LARGEST = 1e30
BOOLEANS = ("false", "true")


class TableError(ValueError):
    """A table that cannot be used, in one line that names the column and row where there is one.

    Rows count from 1, below the header; blank lines are no rows. `load_table` names the file too; a recipe sees a table
    and not where it came from.
    """


@dataclass(frozen=True)
class Number:
    """A column of numbers, in its own unit, and an indicator column if training rows had missing values."""

    name: str
    fill: float  # the mean of the training rows, which replaces a missing value
    missing: int  # number of missing values in the training rows

    def input_names(self) -> list[str]:
        """Return a name for each column of the input."""
        return [self.name, f"{self.name} is missing"] if self.missing else [self.name]

    def encode(self, column: "Series", out: np.ndarray) -> list[str]:
        """Write `column` (n,) into `out` (n, width), which holds zeros; return what is worth saying."""
        values = numbers(column)
        gaps = np.isnan(values)
        out[:, 0] = np.where(gaps, self.fill, values)
        if self.missing:
            out[:, 1] = gaps
        elif gaps.any():
            return [
                f"{named(self.name)}: {counted(gaps.sum(), 'missing value')}, none in training; "
                f"filled with the training mean {self.fill:.4g}"
            ]
        return []


@dataclass(frozen=True)
class OneHot:
    """A column of text or booleans: a 0/1 column for each level; `None` is the level of a gap."""

    name: str
    levels: tuple[str | None, ...]

    def input_names(self) -> list[str]:
        """Return a name for each column of the input."""
        return [f"{self.name} is {'missing' if level is None else level}" for level in self.levels]

    def encode(self, column: "Series", out: np.ndarray) -> list[str]:
        """Write `column` (n,) into `out` (n, width), which holds zeros; return what is worth saying."""
        code = codes(column, self.levels)
        known = np.flatnonzero(code >= 0)
        out[known, code[known]] = 1
        unseen = len(code) - len(known)
        if not unseen:
            return []
        gaps = column.null_count() if None not in self.levels else 0
        kinds = [f"{counted(unseen - gaps, 'row')} with a text"] if unseen > gaps else []
        kinds += [f"{counted(gaps, 'row')} with a gap"] if gaps else []
        return [f"{named(self.name)}: {' and '.join(kinds)} not seen in training; taken as none of its levels"]


@dataclass(frozen=True)
class Presence:
    """A column of which only whether it has a value is used: 1 where there is a gap."""

    name: str

    def input_names(self) -> list[str]:
        """Return a name for each column of the input."""
        return [f"{self.name} is missing"]

    def encode(self, column: "Series", out: np.ndarray) -> list[str]:
        """Write `column` (n,) into `out` (n, 1); nothing is worth saying."""
        out[:, 0] = missing(column)
        return []


Column = Number | OneHot | Presence


def numbers(column: "Series") -> np.ndarray:
    """A column as float64 (n,), gaps as NaN.

    Raises:
        TableError: a value is not a number, infinite, or beyond 1e30; its row is named.
    """
    polars = require("polars", extra="tables")
    if not holds_numbers(column) and not holds_text(column):
        raise TableError(f"column {short(column.name)} holds {column.dtype}, not numbers")
    values = as_floats(column)
    bad = np.flatnonzero(~(np.abs(values) <= LARGEST) & ~missing(column))
    if not len(bad):
        return values
    value, number = column.cast(polars.String)[int(bad[0])], values[bad[0]]
    if np.isnan(number):
        raise TableError(f"{where(column, bad[0])}: {short(value)} is not a number")
    if np.isinf(number):
        raise TableError(f"{where(column, bad[0])}: {value} is not finite")
    raise TableError(f"{where(column, bad[0])}: {value} is too large; numbers must be below {LARGEST:.0e}")


def as_floats(column: "Series") -> np.ndarray:
    """A column as float64 (n,), NaN where there is no number."""
    polars = require("polars", extra="tables")
    if holds_text(column):
        column = column.cast(polars.String)
        values = column.cast(polars.Float64, strict=False)
        if values.null_count() > column.null_count():
            values = column.str.strip_chars().cast(polars.Float64, strict=False)
    else:
        values = column.cast(polars.Float64, strict=False)
    return values.fill_null(np.nan).to_numpy()


def texts(column: "Series") -> "Series":
    """A column as text; booleans, and their words in any case, as `true` and `false`.

    Raises:
        TableError: it holds something that is neither text nor a number.
    """
    text = _as_text(column)
    lower = text.str.to_lowercase()
    return lower if lower.drop_nulls().is_in(list(BOOLEANS)).all() else text


def _as_text(column: "Series") -> "Series":
    polars = require("polars", extra="tables")
    if not holds_numbers(column) and not holds_text(column):
        raise TableError(f"column {short(column.name)} holds {column.dtype}, not text")
    return column.cast(polars.String)


def codes(column: "Series", levels: tuple[str | None, ...]) -> np.ndarray:
    """The index among `levels` of each value, (n,) int32; -1 where there is none."""
    polars = require("polars", extra="tables")
    text, known = _as_text(column), [level for level in levels if level is not None]
    if set(known) <= set(BOOLEANS):  # as they were learnt, whatever else stands in this column
        text = text.str.to_lowercase()
    code = text.replace_strict(known, list(range(len(known))), default=-1, return_dtype=polars.Int32).to_numpy().copy()
    if None in levels:
        code[text.is_null().to_numpy()] = levels.index(None)
    else:
        code[text.is_null().to_numpy()] = -1
    return code


def missing(column: "Series") -> np.ndarray:
    """Where a column has no value, (n,) bool."""
    gaps = column.is_null()
    return (gaps | column.is_nan().fill_null(True) if column.dtype.is_float() else gaps).to_numpy()


def holds_numbers(column: "Series") -> bool:
    """Whether the type of a column is one of numbers; booleans count."""
    polars = require("polars", extra="tables")
    return column.dtype.is_numeric() or column.dtype == polars.Boolean


def holds_text(column: "Series") -> bool:
    """Whether the type of a column is one of text, or of nothing."""
    polars = require("polars", extra="tables")
    return column.dtype in (polars.String, polars.Categorical, polars.Enum, polars.Null)


def where(column: "Series", row: Any) -> str:
    """The place of a fault."""
    return f"column {short(column.name)}, row {int(row) + 1}"


def short(text: str, most: int = 40) -> str:
    """A value from a table as a message shows it: quoted, on one line, and cut."""
    return repr(text if len(text) <= most else text[:most] + "…")


def named(name: str) -> str:
    """A name as a remark shows it: as it is, unless that would be odd to read."""
    return name if name.isprintable() and 0 < len(name.strip()) <= 40 else short(name)


def counted(number: Any, thing: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def listed(items: Any, most: int = 12) -> str:
    """The first of many, and how many more there are."""
    items = list(items)
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
