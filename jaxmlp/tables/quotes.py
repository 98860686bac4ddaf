"""Quoted fields of a CSV file: taken out, so that each line that is left is a row, and separators separate fields.

A quote opens a field only at its start, and closes it only at its end; between the two, a quote is written twice. A
quote anywhere else is text. Line ends and separators inside a quoted field are text, too.
"""

import itertools
import re
from functools import cache

import numpy as np

from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError
from jaxmlp.tables.numbers import find_evidence

_LINE_END = re.compile(r"\r\n|\r|\n")
# With more lines than this, each of which would be a row, a field is taken for rows even if nothing else tells.
_MOST_LINES = 5


@cache
def _field(separator: bytes) -> re.Pattern[bytes]:
    """Match what ends the field before, spaces, and a quoted field, which may lack its last quote at the file's end."""
    spaces = b" " if separator == b"\t" else b"" if separator == b" " else rb" \t"
    spaces = b"[" + spaces + b"]*+" if spaces else b""
    return re.compile(rb"([\r\n" + re.escape(separator) + rb"])" + spaces + rb'("[^"]*+(?:""[^"]*+)*+"?+)')


def take_out(content: bytes, separator: bytes = b",") -> tuple[bytes, list[bytes]]:
    """Return a CSV file with a NUL byte in place of each quoted field, and these fields with their quotes."""
    if b'"' not in content:
        return content, []
    pieces = _field(separator).split(b"\n" + content)
    fields = pieces[2::3]
    pieces[2::3] = [b"\0"] * len(fields)
    return b"".join(pieces)[1:], fields


def put_back(lines: bytes, fields: list[bytes], separator: bytes = b",") -> bytes:
    """Return lines with the quoted fields in them again, and quotes around all other fields that hold a quote."""
    if b'"' in lines:
        mark = re.escape(separator)
        literal = rb"[^\n" + mark + rb'"]*+"[^\n' + mark + rb"]*+"
        lines = re.sub(literal, lambda field: b'"' + field[0].replace(b'"', b'""') + b'"', lines)
    pieces = [b""] * (2 * len(fields) + 1)
    spaces = rb"\0 +" if separator == b"\t" else rb"\0[ \t]+"
    pieces[::2] = (lines if separator == b" " else re.sub(spaces, b"\0", lines)).split(b"\0")
    pieces[1::2] = fields
    return b"".join(pieces)


def unquote(field: bytes) -> str:
    """Return the text of a quoted field."""
    return field[1:].removesuffix(b'"').replace(b'""', b'"').decode()


def find_last_line(content: bytes, separator: bytes) -> int:
    """Return where the last line end outside of quoted fields ends; 0 if there is none."""
    end = content.rfind(b"\n") + 1
    if b'"' in content:
        for field in _field(separator).finditer(b"\n" + content):
            if field.start(2) - 1 < end <= field.end(2) - 1 or field.end(2) > len(content):
                return content.rfind(b"\n", 0, max(0, field.start(1))) + 1 if field.start(1) else 0
    return end


def check_quotes(content: bytes, lines: bytes, fields: list[bytes], separator: bytes = b",") -> None:
    """Raise TableError for a quote that opens a field and does not close it at its end; arguments as of `take_out`."""
    text = re.search(rb"\0[ \t]*+[^ \t\r\n" + re.escape(separator) + rb"]", lines)
    if text:
        line = _line_of(content, lines.count(b"\0", 0, text.start()), separator)
        raise TableError(
            f"line {line}: a quote opens a field here, but text follows the quote that closes it; inside a quoted "
            'text, write a quote twice ("")'
        )
    if fields and fields[-1].count(b'"') % 2:
        line = _line_of(content, len(fields) - 1, separator)
        raise TableError(f"line {line}: a quote opens a field here and never closes")


def check_multiline(
    frame: "polars.DataFrame", content: bytes, lines: bytes, fields: list[bytes], separator: bytes = b","
) -> None:
    """Raise TableError for rows that two stray quotes have joined: each line of the field would be a row by itself.

    A text may have lines with commas too, so a number must stand in each of them where other rows have numbers.

    Arguments:
        frame: the rows below the header.
        content: the file.
        lines: header and rows as `take_out` returns them, without blank lines.
        fields: the quoted fields.
        separator: the character between two fields.
    """
    mark = separator.decode()
    joined = frame.select(polars.concat_str(polars.all().fill_null(""), separator=mark)).to_series()
    ends = joined.str.count_matches("\r\n|\r|\n")
    fits = (ends > 0) & (joined.str.count_matches(mark, literal=True) == (frame.width - 1) * (ends + 1))
    if frame.width == 1 or not fits.any():
        return
    others = frame.filter(ends == 0)
    numbers = [k for k, column in enumerate(others) if not others.height or find_evidence(column.drop_nulls())]
    for row in np.flatnonzero(fits):
        parts = [line.split(mark) for line in _LINE_END.split(joined[int(row)])]
        if any(len(part) != frame.width for part in parts):
            continue
        by_column = list(zip(*parts, strict=True))
        if len(parts) > _MOST_LINES or any(find_evidence(polars.Series(by_column[k])) for k in numbers):
            first = b"\n".join(lines.split(b"\n")[: row + 1]).count(b"\0")
            breaks = (k for k in range(first, len(fields)) if b"\n" in fields[k] or b"\r" in fields[k])
            line = _line_of(content, next(breaks, first), separator)
            raise TableError(
                f"line {line}: a quote opens a field here, and the lines up to the quote that closes it look like "
                "rows; remove both quotes"
            )


def _line_of(content: bytes, field: int, separator: bytes) -> int:
    """Return the line of a file, from 1, in which a quoted field opens."""
    content = b"\n" + content
    match = next(itertools.islice(_field(separator).finditer(content), field, None))
    return len(_LINE_END.findall(content[: match.end(1)].decode()))
