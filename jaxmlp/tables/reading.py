"""Reading a table: a CSV or Parquet file, or standard input, to a polars DataFrame."""

import contextlib
import csv
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxmlp._validation import require
from jaxmlp.tables.columns import TableError, counted, short

if TYPE_CHECKING:
    from polars import DataFrame

_GAPS = ["", "NA", "na", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "NULL", "Null", "null", "None", "none", "NONE", "?"]
_HEADER = 2**20  # bytes within which the header must end
_MOST_COLUMNS = 10_000
_LONGEST_NAME = 1000
_FOREIGN = {
    b"PK\x03\x04": "a spreadsheet or zip archive; save it as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet; save it as CSV",
    b"\x1f\x8b": "compressed; unpack it first",
    b"(\xb5/\xfd": "compressed; unpack it first",
}


def load_table(path: str | Path) -> "DataFrame":
    """Read a table.

    Arguments:
        path: a Parquet file; or a CSV file with a header line, separated by commas, UTF-8 (or UTF-16 with its mark);
            or `-` for one of them from standard input.

    Returns:
        Its rows in order, blank lines left out. Of a CSV file every column is text without the spaces around it, and
        what stands for a gap (nothing, NA, N/A, NaN, null, None, ?) is null: what the text means is the recipe's to
        decide, and to remember.

    Raises:
        TableError: the file cannot be read or is no table; one line that names it, and the row where there is one.
        MissingDependencyError: polars is not installed.
    """
    polars = require("polars", extra="tables")
    source = "standard input" if str(path) == "-" else str(path)
    content = _content(path, source)
    try:
        if content.startswith(b"PAR1") or Path(path).suffix == ".parquet":
            with _stderr_closed():
                frame = polars.read_parquet(io.BytesIO(content))
        else:
            frame = _read_csv(content)
    except TableError as error:
        raise TableError(f"{source}: {error}") from None
    except polars.exceptions.PanicException:
        raise TableError(f"{source}: cannot be read as a table: the file is damaged") from None
    except (polars.exceptions.PolarsError, OSError, ValueError) as error:
        raise TableError(f"{source}: cannot be read as a table: {_one_line(error)}") from None
    if not frame.height:
        raise TableError(f"{source}: no rows below the header")
    return frame


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Nothing reaches stderr: in a damaged Parquet file polars panics, and prints a trace before it raises."""
    try:
        saved = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _content(path: str | Path, source: str) -> bytes:
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read()
        return Path(path).read_bytes()  # not by name: polars would take `*` and `[` in it for a pattern
    except FileNotFoundError:
        raise TableError(f"{source}: no such file") from None
    except IsADirectoryError:
        raise TableError(f"{source}: a directory, not a table") from None
    except (OSError, ValueError) as error:
        raise TableError(f"{source}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _read_csv(content: bytes) -> "DataFrame":
    polars = require("polars", extra="tables")
    content = _as_lines(content)
    header = _header(content)
    try:
        frame = polars.read_csv(io.BytesIO(content), infer_schema=False)
    except polars.exceptions.PolarsError as error:
        _check_rows(content, header)
        raise TableError(f"cannot be read as a table: {_one_line(error)}") from None
    if frame.width != len(header):
        raise TableError(f"the first line names {counted(len(header), 'column')}, and {frame.width} were found")
    frame.columns = header
    if frame.height and frame[:, -1].null_count() and _separators(content) != (len(header) - 1) * (frame.height + 1):
        _check_rows(content, header)
    for k, name in enumerate(header):
        text = frame[name].str.strip_chars()
        frame.replace_column(k, text.set(text.is_in(_GAPS), None))
    return frame


def _as_lines(content: bytes) -> bytes:
    """UTF-8, each line ended as on Unix, no blank lines."""
    for mark, what in _FOREIGN.items():
        if content.startswith(mark):
            raise TableError(what)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            content = content.decode("utf-16").encode()
        except UnicodeDecodeError:
            raise TableError("starts as UTF-16 and is not; save it as UTF-8") from None
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content:
        raise TableError("a binary file, not a table")
    try:
        _ = content.isascii() or content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(f"line {line} is not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8") from None
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    content = content.lstrip(b"\n")
    if b"\n\n" in content:
        content = re.sub(rb"\n\n+", b"\n", content)
    if not content or content.isspace():
        raise TableError("the file is empty")
    return content


def _header(content: bytes) -> list[str]:
    """The names of the columns."""
    start = content[:_HEADER].decode(errors="ignore")
    if len(content) > _HEADER and "\n" not in start:
        raise TableError("the first line is over a million bytes long and cannot be a header")
    try:
        header = [name.strip() for name in next(csv.reader(io.StringIO(start)))]
    except csv.Error as error:
        raise TableError(f"the first line cannot be read: {error}") from None
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise TableError("one column only; columns must be separated by commas")
    if len(header) > _MOST_COLUMNS:
        raise TableError(f"{len(header)} columns; at most {_MOST_COLUMNS} can be used")
    longest = max(map(len, header))
    if longest > _LONGEST_NAME:
        raise TableError(f"the first line names a column in {longest} characters; is a quote left open?")
    if len(set(header)) < len(header):
        name = next(name for k, name in enumerate(header) if name in header[:k])
        raise TableError(f"two columns have {f'the name {short(name)}' if name else 'no name'}")
    if all(_is_number(name) for name in header):
        raise TableError("no header; the first line must name the columns, and it holds numbers only")
    return header


def _separators(content: bytes) -> int:
    """Commas that are not inside quotes."""
    if b'"' not in content:
        return content.count(b",")
    text = np.frombuffer(content, np.uint8)
    quoted = np.logical_xor.accumulate(text == ord('"'))
    return int(np.count_nonzero((text == ord(",")) & ~quoted))


def _check_rows(content: bytes, header: list[str]) -> None:
    """Name the first row that is longer or shorter than the header, where Python's reader finds one."""
    try:
        rows = csv.reader(io.StringIO(content.decode(), newline=""))
        next(rows)
        for row, values in enumerate(rows, start=1):
            if len(values) != len(header):
                raise TableError(f"row {row} has {counted(len(values), 'field')}, the header {len(header)}")
    except csv.Error as error:
        raise TableError(f"cannot be read as a table: {error}; is a quote left open?") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _one_line(error: BaseException) -> str:
    """What another library says, on one line."""
    words = (str(error).strip() or type(error).__name__).split("\n\n")[0].split()
    return " ".join(words)[:200]
