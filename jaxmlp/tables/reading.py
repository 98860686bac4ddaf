"""Read a table from a file or standard input, as one polars DataFrame or in blocks of rows."""

import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from jaxmlp.tables import polars
from jaxmlp.tables.csvs import Dialect, parse_csv, parse_rows
from jaxmlp.tables.dialects import (
    decode,
    describe_encoding,
    describe_separator,
    find_encoding,
    find_separator,
    take_separator_line,
    to_separator,
)
from jaxmlp.tables.formats import find_format, open_file, read_excel, read_frames, read_json, unpack
from jaxmlp.tables.messages import Note, TableError
from jaxmlp.tables.packing import pack
from jaxmlp.tables.quotes import find_last_line
from jaxmlp.tables.values import is_text
from jaxmlp.tables.words import as_text

_HEAD = 2**16
_FAILURES = (EOFError, RuntimeError, ValueError, zlib.error)  # of readers, besides those of polars
_DAMAGED = "cannot be read as a table: the file is damaged; write it again, or save the table as CSV"
_BLOCK = 2**22  # Bytes of a text file that are read at a time.
_LONGEST_LINE = 2**26


def load_table(
    path: str | Path,
    *,
    separator: str | None = None,
    sheet: str | None = None,
    on_note: Note = lambda text: None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> "polars.DataFrame":
    """Read a table from a file.

    Arguments:
        path: a text file with a header line (CSV), JSON lines, Parquet, Arrow or Feather, or a spreadsheet; text may be
            compressed by gzip or zstd; or `-` to read any of them from standard input. The content decides the format.
        separator: the character between two fields of a text file; None for the one of `, ; |` and tab that fits.
        sheet: the sheet of a spreadsheet; None for the first.
        on_note: called with each decision about the file, a sentence.
        on_progress: called with the share of the file that is read, from 0 to 1.

    Returns:
        The rows in order. A blank line is not a row; in a table with a single column, it is a missing value. All
        columns of a text file are text, stripped of white space at both ends; text in quotes may have several lines.
        Empty fields, NA, N/A, NaN, null, ?, #DIV/0! and the like become null. `learn_recipe` decides which columns are
        numbers, dates or levels. In large text files, columns of plain numbers are numbers already, which saves memory.

    Raises:
        TableError: the file cannot be read or is not a table, or a stray quote joins rows. The message names the file,
            and the row or the line if there is one.
        MissingDependencyError: polars is not installed; or fastexcel, for a spreadsheet; or backports.zstd, for zstd.
    """
    text: set[str] = set()
    while True:
        blocks: list[polars.DataFrame] = []
        is_text_file = False
        options = {"separator": separator, "sheet": sheet, "on_note": on_note, "on_progress": on_progress}
        for block in read_blocks(path, **options):
            if len(blocks) == 1 and set(blocks[0].dtypes) == {polars.String}:
                is_text_file, blocks = True, [pack(blocks[0], None, text)[0]]
            if is_text_file:
                block, odd = pack(block, blocks[0].schema, text)
                if odd:  # A column of numbers so far: read it as text from the start.
                    text |= odd
                    on_note = lambda text: None  # noqa: E731
                    break
            blocks.append(block)
        else:
            return polars.concat(blocks, how="diagonal_relaxed") if len(blocks) > 1 else blocks[0]


def read_blocks(
    path: str | Path,
    *,
    separator: str | None = None,
    sheet: str | None = None,
    exact: Iterable[str] = (),
    on_note: Note = lambda text: None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> "Iterator[polars.DataFrame]":
    """Yield the rows of a table in blocks, in order; a small table is one block.

    Arguments, results and errors are those of `load_table`. The text of the columns `exact` stays as it is in the file.
    """
    source = "standard input" if str(path) == "-" else str(path)
    if str(path) == "-" and sys.stdin is None:
        raise TableError("standard input: it is closed")
    mark, rows = to_separator(separator), 0
    try:
        with open_file(path) as file:
            size = max(1, file.seek(0, os.SEEK_END))
            file.seek(0)
            for block in _read(file, path, mark, sheet, on_note):
                rows += block.height
                texts = [column.name for column in block if is_text(column) and column.name not in exact]
                yield as_text(block, texts)
                on_progress(min(1.0, file.tell() / size))
    except FileNotFoundError:
        raise TableError(f"{source}: no such file") from None
    except IsADirectoryError:
        raise TableError(f"{source}: a directory, not a table") from None
    except TableError as error:
        raise TableError(f"{source}: {error}") from None
    except OSError as error:
        if error.strerror is not None:  # Otherwise it is polars or gzip that cannot read the content.
            raise TableError(f"{source}: cannot be read as a table: {error.strerror}") from None
        raise TableError(f"{source}: {_DAMAGED}") from None
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, *_FAILURES):
        if "\0" in source:
            raise TableError(f"{source!r}: cannot be read: a path has no NUL character") from None
        raise TableError(f"{source}: {_DAMAGED}") from None
    if not rows:
        raise TableError(f"{source}: no rows below the header")


def _read(
    file: BinaryIO, path: str | Path, separator: bytes | None, sheet: str | None, on_note: Note
) -> "Iterator[polars.DataFrame]":
    """Yield the blocks of a file of any format."""
    kind = find_format(_peek(file), path)
    if kind in ("gzip", "zstd"):
        with unpack(file, kind) as content:
            if find_format(_peek(content), "") in ("gzip", "zstd", "excel"):
                raise TableError("a compressed file in a compressed file; unpack it first")
            yield from _read(content, "-", separator, sheet, on_note)
        return
    if sheet is not None and kind != "excel":
        raise TableError("a sheet can be chosen in a spreadsheet only")
    if kind in ("parquet", "arrow", "arrow-stream"):
        yield from read_frames(file, path, kind)
    elif kind == "excel":
        yield read_excel(file.read(), sheet, on_note)
    elif kind == "json":
        yield read_json(file.read(), kind)
    elif kind == "json-lines":
        for part in _read_parts(file, lambda content: content.rfind(b"\n") + 1):
            yield read_json(part, kind)
    else:
        yield from _read_csv(file, separator, on_note)


def _peek(file: BinaryIO) -> bytes:
    head = file.read(_HEAD)
    file.seek(0)
    return head


def _read_parts(file: BinaryIO, find_end: Callable[[bytes], int]) -> Iterator[bytes]:
    """Yield the content of a file in parts that end where `find_end` says; an empty file is one empty part."""
    left, is_first = b"", True
    while True:
        more = file.read(_BLOCK)
        content = left + more
        if len(more) < _BLOCK:  # the end of the file, or of what a pipe holds now
            rest = file.read()
            if content or rest or is_first:
                yield content + rest
            return
        end = find_end(content)
        if end:
            yield content[:end]
            is_first = False
        elif len(content) > _LONGEST_LINE:
            raise TableError("a line is over 64 million bytes long; is a closing quote missing?")
        left = content[end:]


def _read_csv(file: BinaryIO, separator: bytes | None, on_note: Note) -> "Iterator[polars.DataFrame]":
    """Yield the blocks of a text file."""
    encoding = find_encoding(_peek(file))
    wide = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4}
    dialect, rows, is_ascii = None, 0, True
    mark = separator or b","

    def find_end(content: bytes) -> int:
        return find_last_line(content, mark)

    parts = iter([file.read()]) if encoding in wide else _read_parts(file, lambda content: find_end(content))
    for part in parts:
        content, used = decode(part, encoding)
        if used == "cp1252" and not is_ascii:
            raise TableError(f"below row {rows}: not UTF-8, as the rows before are; save the file as UTF-8")
        is_ascii = is_ascii and part.isascii()
        if dialect is None:
            content, named = take_separator_line(content)
            if not content or content.isspace():
                raise TableError("the file is empty")
            mark = separator or named or find_separator(content[:_HEAD].rpartition(b"\n")[0] or content[:_HEAD])
            dialect, frame = parse_csv(content, mark)
            told = [describe_encoding(used), None if mark == b"," else f"separator {describe_separator(mark)}"]
            if told := [text for text in told if text is not None]:
                on_note(f"Read as text: {', '.join(told)}")
        else:
            frame = _parse_below(content, dialect, rows)
            if used == "cp1252":
                on_note("Read as text: Windows-1252")
        if used == "cp1252":
            encoding, is_ascii = "utf-8", True
        rows += frame.height
        yield frame


def _parse_below(content: bytes, dialect: Dialect, rows: int) -> "polars.DataFrame":
    """Return the rows of a later part of a text file, below its first `rows` rows."""
    try:
        return parse_rows(content, dialect)
    except TableError as error:
        raise TableError(f"below row {rows}, {error}") from None
