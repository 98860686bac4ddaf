"""What the values of a table are found to be when a recipe is applied: unseen in training, or outside its range."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from jaxmlp._validation import count
from jaxmlp.tables.messages import quote, quote_if_odd


@dataclass(frozen=True, eq=False)
class Finding:
    """Rows of a column that have something in common."""

    name: str  # of the column
    noun: str  # what each of the rows is: "missing value"
    text: str  # what is said about them
    rows: np.ndarray  # (n,) bool
    first: str = ""  # the first of these values; "" not to name it
    is_outside: bool = False  # whether the values are outside the training range
    is_warning: bool = True  # whether Python warns, too; the command always prints


class Notes:
    """Findings in one table, or in several parts of it, as lines for the user."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._first: dict[tuple[str, str, str], str] = {}

    def add(self, findings: Iterable[Finding], offset: int = 0) -> "Notes":
        """Add the findings in the rows of a table from row `offset` on, and return the notes."""
        for finding in findings:
            key = (finding.name, finding.noun, finding.text)
            first = f", the first {finding.first} in row {offset + int(finding.rows.argmax()) + 1}"
            self._first.setdefault(key, first if finding.first else "")
            self._counts[key] = self._counts.get(key, 0) + int(finding.rows.sum())
        return self

    def lines(self) -> list[str]:
        """Return a sentence for each finding."""
        return [
            f"{quote_if_odd(name)}: {count(number, noun)}{self._first[name, noun, text]}{text}"
            for (name, noun, text), number in self._counts.items()
        ]


def merge_findings(findings: list[Finding], more: list[Finding], start: int, n: int) -> list[Finding]:
    """Return findings in the n rows of a table, given those before row `start`, and those from there on."""
    keys = {(finding.name, finding.noun, finding.text): finding for finding in findings}
    for finding in more:
        old = keys.get((finding.name, finding.noun, finding.text))
        rows = np.zeros(n, bool) if old is None else old.rows
        rows[start : start + len(finding.rows)] = finding.rows
        if old is None:
            keys[finding.name, finding.noun, finding.text] = replace(finding, rows=rows)
    return list(keys.values())


def find(name: str, noun: str, text: str, rows: np.ndarray, **more) -> list[Finding]:
    """Return the finding, or nothing if there are no such rows."""
    return [Finding(name, noun, text, rows, **more)] if rows.any() else []


def format_value(value: object) -> str:
    """Return a value as a message shows it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.4g}" if is_number else quote(str(value))


def format_number(value: float) -> str:
    """Return a number with four significant digits, and without an exponent if it is of usual size."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
