"""The kinds of columns: what is learned about a column from the training rows, and how it becomes inputs.

Each kind is a dataclass with the methods of `Number`. Dates and clock times are in `temporal.py`; docs/CONTRIBUTING.md
says what a new kind needs.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jaxmlp._validation import count
from jaxmlp.tables import polars
from jaxmlp.tables.findings import Finding, find, format_number, format_value
from jaxmlp.tables.numbers import PLAIN, NumberStyle
from jaxmlp.tables.temporal import Clock, Date
from jaxmlp.tables.values import (
    is_missing,
    is_text,
    is_text_or_numbers,
    to_boolean_text,
    to_codes,
    to_floats,
    to_numbers,
)
from jaxmlp.tables.words import BOOLEANS, remove_placeholders


@dataclass(frozen=True)
class Number:
    """A column of numbers, in its own unit, and a 0/1 indicator column if training rows had missing values."""

    kind: ClassVar[str] = "number"  # the name in JSON
    name: str
    fill: float  # mean of the training rows, which replaces missing values
    missing: int  # number of missing values in the training rows, outliers included
    low: float  # lowest value of the training rows
    high: float  # highest value of the training rows
    style: NumberStyle = PLAIN  # how texts are read as numbers
    bounds: tuple[float, float] | None = None  # values outside count as missing; None if training had no such outlier

    def __post_init__(self) -> None:
        if self.missing < 0:
            raise ValueError(f"missing must be 0 or more; got {self.missing}")
        if self.bounds is not None and self.bounds[0] > self.bounds[1]:
            raise ValueError(f"bounds must be in order; got {self.bounds}")
        if self.low > self.high:
            raise ValueError(f"low must not be above high; got {self.low} and {self.high}")

    def _is_outlier(self, values: np.ndarray) -> np.ndarray:
        low, high = self.bounds or (-np.inf, np.inf)
        return (values < low) | (values > high)

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        return [self.name, f"{self.name} is missing"] if self.missing else [self.name]

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        style = f", {self.style.describe()}" if self.style.describe() else ""
        missing = f", {count(self.missing, 'missing value')}" if self.missing else ""
        return f"number, mean {format_number(self.fill)}{style}{missing}"

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[Finding]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return what to tell the user."""
        values = to_numbers(column, self.style)
        missing = np.isnan(values) | self._is_outlier(values)
        out[:, 0] = np.where(missing, self.fill, values)
        out[:, 1:] = missing[:, None]  # the indicator, if there is one
        filled = f", none in training; filled with the mean, {self.fill:.4g}"
        findings = [] if self.missing else find(self.name, "missing value", filled, missing)
        for noun, outside, end in (
            ("row", values > self.high, f" above the training maximum of {self.high:.6g}"),
            ("row", values < self.low, f" below the training minimum of {self.low:.6g}"),
        ):
            findings += find(self.name, noun, end, outside, is_outside=True, is_warning=False)
        width = self.high - self.low
        far = (values <= self.low - width) | (values >= self.high + width)
        trained = f", far from those in training, {self.low:.4g} to {self.high:.4g}"
        return findings + _find_values(self.name, values, far, trained)


class _Levels:
    """What columns with levels have in common: a 0/1 input for each level."""

    name: str
    levels: tuple[str | None, ...]

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        return [f"{self.name} is {'missing' if level is None else level}" for level in self.levels]

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        return "one of " + ", ".join("(missing)" if level is None else repr(level) for level in self.levels)

    def _encode(self, text: "polars.Series", missing: np.ndarray, out: np.ndarray) -> list[Finding]:
        codes = to_codes(text, self.levels)
        known = np.flatnonzero(codes >= 0)
        out[known, codes[known]] = 1
        zeros = ", none in training; encoded as zeros"
        findings = find(self.name, "unknown value", zeros, (codes < 0) & ~missing)
        return findings + find(self.name, "missing value", zeros, (codes < 0) & missing)


@dataclass(frozen=True)
class Boolean(_Levels):
    """A column of yes and no, in any spelling, or 1 and 0: a 0/1 column for each of the two."""

    kind: ClassVar[str] = "boolean"
    name: str
    levels: tuple[str | None, ...]  # "false", "true"; and None for missing values, if training rows had some

    def __post_init__(self) -> None:
        if self.levels not in (BOOLEANS, (*BOOLEANS, None)):
            raise ValueError(f"levels must be false and true, and null or not; got {list(self.levels)!r:.80}")

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[Finding]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return what to tell the user."""
        if is_text(column):
            column = remove_placeholders(column.cast(str))
        text, missing = to_boolean_text(column), is_missing(column)
        unknown = text.is_null().to_numpy() & ~missing
        if unknown.any():  # It must not become the level of missing values.
            text = text.set(polars.Series(unknown), "unknown")
        return self._encode(text, missing, out)


@dataclass(frozen=True)
class Levels(_Levels):
    """A column of text: a 0/1 column for each level, and one that all rare levels share, if there are any."""

    kind: ClassVar[str] = "levels"
    name: str
    levels: tuple[str | None, ...]  # in order; None, for missing values, comes last
    rare: tuple[str, ...] = ()  # levels of the training rows that share one input, which unknown ones get too

    def __post_init__(self) -> None:
        text = sorted({level for level in self.levels if level is not None})
        if not text or self.levels not in ((*text,), (*text, None)):
            raise ValueError(f"levels must be different texts in order, null last; got {list(self.levels)!r:.80}")

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        return super().input_names() + ([f"{self.name} is another"] if self.rare else [])

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        return super().describe() + (f", or one of {count(len(self.rare), 'rare level')}" if self.rare else "")

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[Finding]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return what to tell the user."""
        if is_text(column):
            column = remove_placeholders(column.cast(str), {*self.levels, *self.rare})
        missing = is_missing(column)
        if not self.rare:
            return self._encode(column, missing, out)
        codes = to_codes(column, self.levels)
        other = (codes < 0) & ~missing
        out[np.arange(len(codes)), np.where(other, len(self.levels), codes)] = 1
        nameless = (codes < 0) & missing
        out[nameless] = 0
        unknown = other & ~column.cast(str).is_in(list(self.rare)).fill_null(False).to_numpy()
        shared = ", none in training; encoded as a rare level"
        zeros = ", none in training; encoded as zeros"
        return find(self.name, "unknown value", shared, unknown) + find(self.name, "missing value", zeros, nameless)


@dataclass(frozen=True)
class MissingIndicator:
    """A column of which only one thing is used: whether its value is missing, as 0 or 1."""

    kind: ClassVar[str] = "missing-indicator"
    name: str
    value: float | None = None  # the only value of the training rows, if there is only one
    style: NumberStyle = PLAIN  # how texts are read as numbers

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        return [f"{self.name} is missing"]

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        return "whether the value is missing"

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[Finding]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return what to tell the user."""
        if is_text(column):
            column = remove_placeholders(column.cast(str))
        out[:, 0] = is_missing(column)
        return [] if self.value is None else Constant(self.name, self.value, self.style).encode(column)


@dataclass(frozen=True)
class Constant:
    """A column that is left out because the training rows hold a single value, or none."""

    name: str
    value: str | float | None  # None: all values are missing
    style: NumberStyle = PLAIN  # how texts are read as numbers

    def encode(self, column: "polars.Series") -> list[Finding]:
        """Return what to tell the user if a column (n,) holds other values, which have no effect."""
        equal = np.zeros(len(column), bool)
        if isinstance(self.value, str) and is_text_or_numbers(column):
            text = to_boolean_text(column) if self.value in BOOLEANS else column
            equal = to_codes(text, (self.value,)) == 0
        elif self.value is not None and is_text_or_numbers(column):
            equal = np.isclose(to_floats(column, self.style), self.value, rtol=1e-6, atol=0)
        trained = "none in training" if self.value is None else f"in training always {format_value(self.value)}"
        noted = ~equal & ~is_missing(column)
        return _find_values(self.name, column, noted, f", {trained}; the column has no effect")


def _find_values(name: str, values: "np.ndarray | polars.Series", rows: np.ndarray, text: str) -> list[Finding]:
    """Return what to tell about the values (n,) in the rows (n,), with the first."""
    first = format_value(values[int(rows.argmax())]) if rows.any() else ""
    return find(name, "value", text, rows, first=first)


Column = Number | Boolean | Levels | Date | Clock | MissingIndicator
