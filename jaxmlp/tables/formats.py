"""The format of a file by its content, and readers for those that are no CSV."""

import contextlib
import gzip
import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from jaxmlp._validation import require
from jaxmlp.tables import polars
from jaxmlp.tables.messages import Note, TableError, join, quote

BLOCK_ROWS = 2**17  # Rows of a large table that are in memory at a time.
_HEAD = 2**16
_LONGEST_ROW = 2**20  # Bytes of the first row of JSON lines.

_FOREIGN = {
    b"BZh": "compressed by bzip2; unpack it first", b"\xfd7zXZ": "compressed by xz; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first", b"%PDF": "a PDF; save the table as CSV",
    b"\x89PNG": "a picture, not a table", b"SQLite format 3": "a database; export the table as CSV",
    b"\x89HDF": "an HDF5 file; save the table as CSV or Parquet", b"ORC": "an ORC file; save it as Parquet",
    b"Obj\x01": "an Avro file; save it as Parquet", b"RDX": "a file of R; save the table as CSV",
    b"<?xml": "XML; save the table as CSV", b"<html": "a web page; save the table as CSV",
    b"<!DOCTYPE": "a web page; save the table as CSV", b"<!doctype": "a web page; save the table as CSV",
}  # fmt: skip


def open_file(path: str | Path) -> BinaryIO:
    """Return a file, or standard input for `-`, as bytes that can be read from the start more than once."""
    return io.BytesIO(sys.stdin.buffer.read()) if str(path) == "-" else open(path, "rb")


def find_format(head: bytes, path: str | Path) -> str:
    """Return "parquet", "arrow", "arrow-stream", "gzip", "zstd", "excel", "json-lines", "json" or "csv".

    Raises:
        TableError: a file of another kind.
    """
    suffix = Path(path).suffix.lower()
    starts = {
        b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow-stream", b"FEA1": "feather-1",
        b"\x1f\x8b": "gzip", b"(\xb5/\xfd": "zstd", b"PK\x03\x04": "excel", b"\xd0\xcf\x11\xe0": "excel",
    }  # fmt: skip
    for start, name in starts.items():
        if head.startswith(start):
            if name == "feather-1":
                raise TableError("Feather of version 1; save it as version 2 or as Parquet")
            return name
    for start, problem in _FOREIGN.items():
        if head.startswith(start):
            raise TableError(problem)
    by_name = {".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".xlsx": "excel"}
    if suffix in by_name:
        return by_name[suffix]
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{") and (suffix in (".jsonl", ".ndjson", ".json") or text[1:].lstrip()[:1] in (b'"', b"}")):
        return "json-lines"
    if text.startswith(b"[") and (suffix == ".json" or text[1:].lstrip()[:1] == b"{"):
        return "json"
    return "csv"


@contextlib.contextmanager
def unpack(file: BinaryIO, kind: str) -> Iterator[BinaryIO]:
    """Open a file that is compressed by gzip or zstd, and decompress it while it is read.

    Raises:
        MissingDependencyError: a Python before 3.14, and backports.zstd is not installed.
        EOFError: the file is damaged; of gzip also OSError and zlib.error.
    """
    if kind == "gzip":
        with gzip.open(file) as content:
            yield content  # type: ignore[misc]
        return
    zstd = import_zstd()
    try:
        with zstd.open(file) as content:
            yield content
    except zstd.ZstdError as error:  # which is an error of no other kind
        raise EOFError(str(error)) from None


def import_zstd() -> ModuleType:
    """Return the module of Python 3.14 for zstd, or the package that has it for older versions."""
    return require("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd", extra="tables")


def read_frames(file: BinaryIO, path: str | Path, kind: str) -> "Iterator[polars.DataFrame]":
    """Yield the rows of a Parquet or Arrow file in blocks."""
    with silence_stderr():
        if str(path) != "-" and kind == "parquet":
            scan = polars.scan_parquet(Path(path), glob=False)
            rows = scan.select(polars.len()).collect().item()
            if rows > BLOCK_ROWS:
                size = file.seek(0, os.SEEK_END)
                for start in range(0, rows, BLOCK_ROWS):
                    file.seek(size * min(rows, start + BLOCK_ROWS) // rows)  # The position is the progress.
                    yield scan.slice(start, BLOCK_ROWS).collect()
                return
        content = io.BytesIO(file.read())
        readers = {"parquet": polars.read_parquet, "arrow": polars.read_ipc, "arrow-stream": polars.read_ipc_stream}
        yield from readers[kind](content).iter_slices(BLOCK_ROWS)


def read_json(content: bytes, kind: str) -> "polars.DataFrame":
    """Return the rows of a part of a file of JSON lines, or of a JSON array of objects."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    read = polars.read_ndjson if kind == "json-lines" else polars.read_json
    with silence_stderr():
        frame = read(io.BytesIO(content), infer_schema_length=None)
    # polars does not keep the order of columns: that of the first row, then by name.
    try:
        first, _ = json.JSONDecoder().raw_decode(content[content.find(b"{") :][:_LONGEST_ROW].decode(errors="ignore"))
    except (ValueError, RecursionError):
        first = {}
    places = {name: k for k, name in enumerate(first)}
    return frame[sorted(frame.columns, key=lambda name: (places.get(name, len(places)), name))]


def read_excel(content: bytes, sheet: str | None, on_note: Note) -> "polars.DataFrame":
    """Return a sheet of a spreadsheet: the one that the user has named, else the first.

    Raises:
        TableError: no spreadsheet, or no such sheet.
        MissingDependencyError: fastexcel is not installed.
    """
    if content.startswith(b"PK"):
        try:
            names = zipfile.ZipFile(io.BytesIO(content)).namelist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise TableError("a damaged spreadsheet or zip archive") from None
        if not any(name.startswith("xl/") or name == "content.xml" for name in names):
            raise TableError("a zip archive, not a spreadsheet; unpack it first")
    excel = require("fastexcel", extra="excel")
    try:
        with silence_stderr():
            sheets = excel.read_excel(content).sheet_names
            if sheet is not None and sheet not in sheets:
                raise TableError(f"no sheet {quote(sheet)}; the sheets are {join(map(quote, sheets))}")
            chosen = sheets[0] if sheet is None else sheet
            if sheet is None and len(sheets) > 1:
                on_note(f"Sheet {quote(chosen)}, the first of {len(sheets)}; another one: --sheet {quote(sheets[1])}")
            options = {"engine": "calamine", "infer_schema_length": None, "raise_if_empty": False}
            frame = polars.read_excel(io.BytesIO(content), sheet_name=chosen, **options)
            return frame.with_columns(column.dt.time() for column in frame if _holds_clock_times(column))
    except (excel.FastExcelError, polars.exceptions.PolarsError, ValueError, IndexError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError("a spreadsheet that cannot be read; save it again, or as CSV") from None


def _holds_clock_times(column: "polars.Series") -> bool:
    """Return whether a column of a spreadsheet holds clock times, which are read as times of the day before 1900."""
    return column.dtype == polars.Datetime and bool((column.dt.date() == date(1899, 12, 31)).all())


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard what is written to stderr: for a damaged Parquet file, polars prints a trace before it raises."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # the process has no stderr
            saved = os.dup(2)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, 2)
            os.dup2(stack.enter_context(open(os.devnull, "wb")).fileno(), 2)
        yield
