"""Text tables: the header and the rows, once encoding and separator are known."""

import io
import re
from typing import NamedTuple

from jaxmlp._validation import count
from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError, quote
from jaxmlp.tables.numbers import find_evidence
from jaxmlp.tables.quotes import check_multiline, check_quotes, put_back, take_out, unquote

_HEADER = 2**20  # the first line must end within this number of bytes
_MOST_COLUMNS = 10_000
_LONGEST_NAME = 1000
_BLANK = {
    separator: re.compile(rb"\n[ \t\r]*+(?=\n)" if separator not in b"\t " else rb"\n\r?(?=\n)")
    for separator in (b",", b";", b"\t", b"|", b" ")
}


class Dialect(NamedTuple):
    """What the header of a text table tells about the rows below it."""

    separator: bytes
    header: tuple[str, ...]
    line_end: bytes  # "\n", or "\r" in old files


def parse_csv(content: bytes, separator: bytes) -> "tuple[Dialect, polars.DataFrame]":
    """Return the dialect of a text table in UTF-8, and the rows of this part of it, as text."""
    lines, fields = take_out(content, separator)
    # Otherwise, writers do not quote a text that holds this character.
    line_end = b"\n" if b"\n" in lines else b"\r"
    lines = _normalize(lines, line_end)
    head, _, rows = re.sub(rb"\A(?:[ \t\r]*+\n)+", b"", lines, count=1).partition(b"\n")
    dialect = Dialect(separator, tuple(_read_header(head, fields, separator)), line_end)
    check_quotes(content, lines, fields, separator)
    return dialect, _parse(content, head + b"\n" + rows, rows, fields, fields[head.count(b"\0") :], dialect)


def parse_rows(content: bytes, dialect: Dialect) -> "polars.DataFrame":
    """Return the rows of a later part of a text table."""
    lines, fields = take_out(content, dialect.separator)
    rows = _normalize(lines, dialect.line_end)
    check_quotes(content, rows, fields, dialect.separator)
    return _parse(content, rows, rows, fields, fields, dialect)


def _normalize(lines: bytes, line_end: bytes) -> bytes:
    lines = lines.replace(b"\r\n", b"\n").replace(b"\n\r", b"\n")
    return lines.replace(b"\r", b"\n") if line_end == b"\r" else lines.removeprefix(b"\r")


def _parse(
    content: bytes, lines: bytes, rows: bytes, fields: list[bytes], below: list[bytes], dialect: Dialect
) -> "polars.DataFrame":
    """Return rows as text, without white space at both ends.

    Arguments:
        content: of the file.
        lines: of the file, with a NUL byte for each quoted field.
        rows: those of them that are below the header.
        fields: the quoted fields of `lines`.
        below: those of `rows`.
        dialect: of the file.
    """
    separator, header = dialect.separator, dialect.header
    # A blank line is not a row. In a table with a single column, it is a missing value, as polars writes it.
    blank = _BLANK.get(separator, _BLANK[b","])
    rows = blank.sub(b"\nNA" if rows and len(header) == 1 else b"", b"\n" + rows.removesuffix(b"\n") + b"\n")[1:-1]
    schema = dict.fromkeys(header, polars.String)
    if not rows:
        return polars.DataFrame(schema=schema)
    _check_row_lengths(rows, len(header), separator)
    text = put_back(rows, below, separator)
    frame = polars.read_csv(io.BytesIO(text), has_header=False, schema=schema, separator=separator.decode())
    n = rows.count(b"\n") + 1
    if frame.height != n:
        raise TableError(f"cannot be read as a table: {count(n, 'row')} became {frame.height}")
    if fields:
        check_multiline(frame, content, lines, fields, separator)
    return frame


def _read_header(head: bytes, fields: list[bytes], separator: bytes) -> list[str]:
    """Return the names of the columns, given the first line and the quoted fields."""
    if len(put_back(head, fields[: head.count(b"\0")], separator)) > _HEADER:
        raise TableError("the first line is over a million bytes long and cannot be a header")
    quoted = map(unquote, fields)
    header = [next(quoted) if name[:1] == b"\0" else name.decode() for name in head.split(separator)]
    header = [name.strip() for name in header]
    if len(header) == 1 and re.search("[;\t|,:]", header[0]) and not head.startswith(b"\0"):
        raise TableError(f"one column only, {quote(header[0])}; name the character between columns: --separator")
    if len(header) > _MOST_COLUMNS:
        raise TableError(f"{len(header)} columns; at most {_MOST_COLUMNS} can be used")
    if (longest := max(map(len, header))) > _LONGEST_NAME:
        raise TableError(f"the first line names a column in {longest} characters; is a closing quote missing?")
    if len(set(header)) < len(header):
        name = next(name for k, name in enumerate(header) if name in header[:k])
        raise TableError(f"two columns have {f'the name {quote(name)}' if name else 'no name'}")
    if all(name and find_evidence(polars.Series([name])) for name in header):
        raise TableError("no header; the first line must name the columns, but it holds only numbers")
    return header


def _check_row_lengths(rows: bytes, columns: int, separator: bytes) -> None:
    """Raise TableError for the first row that is longer or shorter than the header."""
    for row, line in enumerate(rows.split(b"\n"), start=1):
        if line.count(separator) != columns - 1:
            fields = count(line.count(separator) + 1, "field")
            raise TableError(f"row {row} has {fields}, the header {columns}")
