"""The kinds of columns: what is learned about a column from the training rows, and how it becomes inputs.

To add a kind, write a dataclass with these fields and methods and add it to `Column`; `learning.py` decides when to use
it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jaxmlp._validation import count
from jaxmlp.tables import polars
from jaxmlp.tables.messages import quote, quote_if_odd
from jaxmlp.tables.values import is_missing, is_text_or_numbers, to_codes, to_floats, to_numbers


@dataclass(frozen=True)
class Number:
    """A column of numbers, in its own unit, and a 0/1 indicator column if training rows had missing values."""

    kind: ClassVar[str] = "number"  # the name in JSON
    name: str
    fill: float  # mean of the training rows, which replaces missing values
    missing: int  # number of missing values in the training rows
    low: float  # lowest value of the training rows
    high: float  # highest value of the training rows

    def __post_init__(self) -> None:
        if self.missing < 0:
            raise ValueError(f"missing must be 0 or more; got {self.missing}")
        if self.low > self.high:
            raise ValueError(f"low must not be above high; got {self.low} and {self.high}")

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        return [self.name, f"{self.name} is missing"] if self.missing else [self.name]

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        missing = f", {count(self.missing, 'missing value')}" if self.missing else ""
        return f"number, mean {self.fill:.4g}{missing}"

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[str]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return notes for the user."""
        values = to_numbers(column)
        missing = np.isnan(values)
        out[:, 0] = np.where(missing, self.fill, values)
        out[:, 1:] = missing[:, None]  # the indicator, if there is one
        notes = []
        if missing.any() and not self.missing:
            number = count(int(missing.sum()), "missing value")
            notes = [f"{quote_if_odd(self.name)}: {number}, none in training; filled with the mean, {self.fill:.4g}"]
        width = self.high - self.low
        far = (values <= self.low - width) | (values >= self.high + width)
        trained = f"far from those in training, {self.low:.4g} to {self.high:.4g}"
        return notes + _note_values(self.name, values, far, trained)


@dataclass(frozen=True)
class OneHot:
    """A column of text or booleans: a 0/1 column for each level."""

    kind: ClassVar[str] = "one-hot"
    name: str
    levels: tuple[str | None, ...]  # in order; None, for missing values, comes last

    def __post_init__(self) -> None:
        text = sorted({level for level in self.levels if level is not None})
        if not text or self.levels not in ((*text,), (*text, None)):
            raise ValueError(f"levels must be different texts in order, null last; got {list(self.levels)!r:.80}")

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        return [f"{self.name} is {'missing' if level is None else level}" for level in self.levels]

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        return "one of " + ", ".join("(missing)" if level is None else repr(level) for level in self.levels)

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[str]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return notes for the user."""
        codes = to_codes(column, self.levels)
        known = np.flatnonzero(codes >= 0)
        out[known, codes[known]] = 1
        missing = int((is_missing(column) & (codes < 0)).sum())
        numbers = {"unknown value": len(codes) - len(known) - missing, "missing value": missing}
        counts = [count(number, noun) for noun, number in numbers.items() if number]
        return [f"{quote_if_odd(self.name)}: {text}, none in training; encoded as zeros" for text in counts]


@dataclass(frozen=True)
class MissingIndicator:
    """A column of which only one thing is used: whether its value is missing, as 0 or 1."""

    kind: ClassVar[str] = "missing-indicator"
    name: str
    value: float | None = None  # the only value of the training rows, if there is only one

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        return [f"{self.name} is missing"]

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        return "whether the value is missing"

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[str]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return notes for the user."""
        out[:, 0] = is_missing(column)
        return [] if self.value is None else Constant(self.name, self.value).notes(column)


@dataclass(frozen=True)
class Constant:
    """A column that is left out because the training rows hold a single value, or none."""

    name: str
    value: str | float | None  # None: all values are missing

    def notes(self, column: "polars.Series") -> list[str]:
        """Return a note for the user if a column (n,) holds other values, which have no effect."""
        equal = np.zeros(len(column), bool)
        if isinstance(self.value, str) and is_text_or_numbers(column):
            equal = to_codes(column, (self.value,)) == 0
        elif self.value is not None and is_text_or_numbers(column):
            equal = np.isclose(to_floats(column), self.value, rtol=1e-6, atol=0)
        trained = "none in training" if self.value is None else f"in training always {_format(self.value)}"
        return _note_values(self.name, column, ~equal & ~is_missing(column), f"{trained}; the column has no effect")


def _note_values(name: str, values: "np.ndarray | polars.Series", noted: np.ndarray, problem: str) -> list[str]:
    """Return a note on the values (n,) that `noted` (n,) marks, with the first; none if no value is marked."""
    if not noted.any():
        return []
    number, first = count(int(noted.sum()), "value"), int(noted.argmax())
    return [f"{quote_if_odd(name)}: {number}, the first {_format(values[first])} in row {first + 1}, {problem}"]


def _format(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.4g}" if is_number else quote(str(value))


Column = Number | OneHot | MissingIndicator
