"""The kinds of columns: what is learned about a column from the training rows, and how it becomes inputs.

To add a kind, write a dataclass with these fields and methods and add it to `Column`; `learning.py` decides when to use
it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jaxmlp._validation import count
from jaxmlp.tables import polars
from jaxmlp.tables.messages import quote_if_odd
from jaxmlp.tables.values import is_missing, to_codes, to_numbers


@dataclass(frozen=True)
class Number:
    """A column of numbers, in its own unit, and a 0/1 indicator column if training rows had missing values."""

    kind: ClassVar[str] = "number"  # the name in JSON
    name: str
    fill: float  # mean of the training rows, which replaces missing values
    missing: int  # number of missing values in the training rows

    def __post_init__(self) -> None:
        if self.missing < 0:
            raise ValueError(f"missing must be 0 or more; got {self.missing}")

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
        if self.missing or not missing.any():
            return []
        number = count(int(missing.sum()), "missing value")
        return [f"{quote_if_odd(self.name)}: {number}, none in training; filled with the mean, {self.fill:.4g}"]


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

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        return [f"{self.name} is missing"]

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        return "whether the value is missing"

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[str]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return notes for the user."""
        out[:, 0] = is_missing(column)
        return []


Column = Number | OneHot | MissingIndicator
