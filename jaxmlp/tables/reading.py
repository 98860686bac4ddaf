"""Read a table: a CSV or Parquet file, or standard input, to a polars DataFrame."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxmlp._validation import count
from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError, quote
from jaxmlp.tables.quotes import check_multiline, check_quotes, put_back, take_out, unquote
from jaxmlp.tables.values import to_floats

_MISSING = ["", "?", "NA", "na", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN"]
_MISSING += ["NULL", "Null", "null", "None", "none", "NONE"]
_HEADER = 2**20  # the first line must end within this number of bytes
_MOST_COLUMNS = 10_000
_LONGEST_NAME = 1000
_BLANK = re.compile(rb"\n[ \t\r]*+(?=\n)")
_FOREIGN = {
    b"PK\x03\x04": "a spreadsheet or zip archive; save it as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet; save it as CSV",
    b"\x1f\x8b": "compressed; unpack it first",
    b"(\xb5/\xfd": "compressed; unpack it first",
}


def load_table(path: str | Path) -> "polars.DataFrame":
    """Read a table from a file.

    Arguments:
        path: a Parquet file; or a CSV file with a header line, separated by commas, in UTF-8 (or UTF-16 with a byte
            order mark); or `-` to read either from standard input.

    Returns:
        The rows in order. A blank line is no row, but in a table of one column it is a missing value. All columns of a
        CSV file are text, stripped of white space at both ends; text in quotes may have several lines. Empty fields,
        NA, N/A, NaN, null, None and ? become null. `learn_recipe` decides which columns are numbers.

    Raises:
        TableError: the file cannot be read or is not a table, or a stray quote joins rows. The message names the file,
            and the row or the line if there is one.
        MissingDependencyError: polars is not installed.
    """
    source = "standard input" if str(path) == "-" else str(path)
    if str(path) == "-" and sys.stdin is None:
        raise TableError("standard input: it is closed")
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
        if content.startswith(b"PAR1") or Path(path).suffix == ".parquet":
            with _silence_stderr():
                frame = polars.read_parquet(io.BytesIO(content))
        else:
            frame = _read_csv(content)
    except FileNotFoundError:
        raise TableError(f"{source}: no such file") from None
    except IsADirectoryError:
        raise TableError(f"{source}: a directory, not a table") from None
    except TableError as error:
        raise TableError(f"{source}: {error}") from None
    except polars.exceptions.PanicException:
        raise TableError(f"{source}: cannot be read as a table: the file is damaged") from None
    except (polars.exceptions.PolarsError, OSError, ValueError) as error:
        raise TableError(f"{source}: cannot be read as a table: {_shorten(error)}") from None
    if not frame.height:
        raise TableError(f"{source}: no rows below the header")
    return frame


@contextlib.contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discard what is written to stderr: for a damaged Parquet file, polars prints a trace before it raises."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # the process has no stderr
            saved = os.dup(2)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, 2)
            os.dup2(stack.enter_context(open(os.devnull, "wb")).fileno(), 2)
        yield


def _read_csv(content: bytes) -> "polars.DataFrame":
    content = _decode(content)
    lines, fields = take_out(content)
    head, rows = _split_header(lines)
    header = _read_header(head, fields)
    check_quotes(content, lines, fields)
    # A blank line is no row; but in a table of one column it is a missing value, as polars writes it.
    rows = _BLANK.sub(b"\nNA" if rows and len(header) == 1 else b"", b"\n" + rows.removesuffix(b"\n") + b"\n")[1:-1]
    schema = dict.fromkeys(header, polars.String)
    if not rows:
        return polars.DataFrame(schema=schema)
    _check_row_lengths(rows, len(header))
    text = put_back(rows, fields[head.count(b"\0") :])
    frame = polars.read_csv(io.BytesIO(text), has_header=False, schema=schema)
    n = rows.count(b"\n") + 1
    if frame.height != n:
        raise TableError(f"cannot be read as a table: {count(n, 'row')} became {frame.height}")
    if fields:
        check_multiline(frame, content, head + b"\n" + rows, fields)
    return frame.select(polars.all().str.strip_chars().replace(_MISSING, None))


def _decode(content: bytes) -> bytes:
    """Return the content of a CSV file as UTF-8 without a byte order mark."""
    for start, problem in _FOREIGN.items():
        if content.startswith(start):
            raise TableError(problem)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            content = content.decode("utf-16").encode()
        except UnicodeDecodeError:
            raise TableError("has the mark of UTF-16, but is not UTF-16; save it as UTF-8") from None
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content:
        raise TableError("a binary file, not a table")
    try:
        _ = content.isascii() or content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(f"line {line} is not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8") from None
    if not content or content.isspace():
        raise TableError("the file is empty")
    return content


def _split_header(lines: bytes) -> tuple[bytes, bytes]:
    r"""Return the first line that is not blank, and the lines below it, with "\n" at the end of lines."""
    lines = lines.replace(b"\r\n", b"\n")
    if b"\n" not in lines:  # Otherwise, writers do not quote a text that holds this character.
        lines = lines.replace(b"\r", b"\n")
    head, _, rows = re.sub(rb"\A(?:[ \t\r]*+\n)+", b"", lines, count=1).partition(b"\n")
    return head, rows


def _read_header(head: bytes, fields: list[bytes]) -> list[str]:
    """Return the names of the columns, given the first line and the quoted fields."""
    if len(put_back(head, fields[: head.count(b"\0")])) > _HEADER:
        raise TableError("the first line is over a million bytes long and cannot be a header")
    quoted = map(unquote, fields)
    header = [next(quoted) if name[:1] == b"\0" else name.decode() for name in head.split(b",")]
    header = [name.strip() for name in header]
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise TableError("one column only; columns must be separated by commas")
    if len(header) > _MOST_COLUMNS:
        raise TableError(f"{len(header)} columns; at most {_MOST_COLUMNS} can be used")
    if (longest := max(map(len, header))) > _LONGEST_NAME:
        raise TableError(f"the first line names a column in {longest} characters; is a closing quote missing?")
    if len(set(header)) < len(header):
        name = next(name for k, name in enumerate(header) if name in header[:k])
        raise TableError(f"two columns have {f'the name {quote(name)}' if name else 'no name'}")
    if not np.isnan(to_floats(polars.Series(header))).any():
        raise TableError("no header; the first line must name the columns, but it holds only numbers")
    return header


def _check_row_lengths(rows: bytes, columns: int) -> None:
    """Raise TableError for the first row that is longer or shorter than the header."""
    for row, line in enumerate(rows.split(b"\n"), start=1):
        if line.count(b",") != columns - 1:
            raise TableError(f"row {row} has {count(line.count(b',') + 1, 'field')}, the header {columns}")


def _shorten(error: BaseException) -> str:
    """Return the first paragraph of an error message, on one line, cut to 200 characters."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return " ".join(text.split("\n\n")[0].split())[:200]
