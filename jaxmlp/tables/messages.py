"""Messages about tables: the error, and how names, values and numbers appear in it."""

import csv
import io
import os
import shlex
from collections.abc import Callable, Iterable

from jaxmlp.tables import polars

Note = Callable[[str], None]  # Called with each decision, a sentence.


class TableError(ValueError):
    """A table that cannot be used. The message is one line that names the column and row if there is one.

    Rows count from 1, below the header; blank lines that are no rows do not count. `load_table` names the file too.
    """


class TableWarning(UserWarning):
    """A column of a table to predict holds values that the training rows did not.

    The message is one line that names the column; `jaxmlp predict` prints it.
    """


class CellError(TableError):
    """An error about one row of a table; `row` counts from 0."""

    def __init__(self, where: str, row: int, problem: str):
        super().__init__(f"{where}row {row + 1}: {problem}")
        self.where, self.row, self.problem = where, row, problem

    def shift(self, rows: int) -> "CellError":
        """Return the same error in a table that has more rows before."""
        return CellError(self.where, self.row + rows, self.problem)


def cell_error(column: "polars.Series", row: int, problem: str) -> CellError:
    """Return the error for one value of a column: where it is, the value, and what is wrong with it."""
    return CellError(f"column {quote(column.name)}, ", row, f"{quote(column.cast(str)[row])} {problem}")


def require_columns(frame: "polars.DataFrame", names: Iterable[str]) -> None:
    """Raise TableError if a table lacks one of the columns."""
    absent = [name for name in names if name not in frame.columns]
    if absent:
        present = f"the columns are {join(map(quote, frame.columns))}" if frame.columns else "the table has no columns"
        raise TableError(f"no column {join(map(quote, absent))}; {present}")


def quote(text: str) -> str:
    """Return a name or value in quotes, on one line, cut to 40 characters."""
    return repr(text if len(text) <= 40 else text[:40] + "…")


def quote_if_odd(name: str) -> str:
    """Return a name as it is, or in quotes if it is blank, long or not printable."""
    return name if name.isprintable() and 0 < len(name.strip()) <= 40 else quote(name)


def quote_word(word: str) -> str:
    """Return a word of a command as bash and zsh read it, in printable characters."""
    if word.isprintable():
        return shlex.quote(word)
    characters = (c if c.isprintable() and c not in "\\'" else _to_octal(c) for c in word)
    return f"$'{''.join(characters)}'"


def _to_octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def join(items: Iterable[str]) -> str:
    """Return the first 12 items, separated by commas, and the number of further ones."""
    items = list(items)
    return ", ".join(items[:12]) + (f" and {len(items) - 12} more" if len(items) > 12 else "")


def format_option(option: str, *names: str) -> str:
    """Return an option of the command with a list of names, quoted for a shell."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(names)  # With these line ends, it quotes names that hold them.
    text = line.getvalue().removesuffix("\r\n")
    return option + ("=" if text.startswith("-") else " ") + quote_word(text)
