"""Dialects and formats: the content decides how a file is read, and the same rows give the same arrays."""

import datetime
import gzip
import io
import re
import sys
import zipfile

import numpy as np
import polars
import pytest

from jaxmlp._validation import MissingDependencyError
from jaxmlp.tables import TableError, learn_recipe, load_table, reading
from jaxmlp.tables.formats import import_zstd
from jaxmlp.tables.reading import read_blocks

ROWS = [("3", "Zürich"), ("4", "São Paulo"), ("5", "Köln")]
zstd = import_zstd()
TEXT = "rooms,city\n3,Zürich\n4,São Paulo\n5,Köln\n"


@pytest.fixture
def write(tmp_path):
    def write(content, name="houses.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (TEXT.replace(",", ";").encode(), "separator ';'"),
        (TEXT.replace(",", "\t").encode(), "separator tab"),
        (TEXT.replace(",", "|").encode(), "separator '|'"),
        (("sep=;\r\n" + TEXT.replace(",", ";")).encode("utf-8-sig"), "separator ';'"),
        (TEXT.encode("cp1252"), "Windows-1252"),
        (TEXT.encode("utf-16"), "UTF-16"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        (TEXT.encode("utf-16-be"), "UTF-16"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (TEXT.replace(",", ";").replace("\n", "\r\n").encode("cp1252"), "Windows-1252, separator ';'"),
        (gzip.compress(TEXT.encode(), mtime=0), None),
        (gzip.compress(TEXT.replace(",", ";").encode("cp1252"), mtime=0), "Windows-1252, separator ';'"),
        (zstd.compress(TEXT.encode()), None),
        (zstd.compress(TEXT.replace(",", ";").encode("cp1252")), "Windows-1252, separator ';'"),
    ],
)
def test_dialects_are_found_and_told(write, content, note):
    notes = []
    assert load_table(write(content), on_note=notes.append).rows() == ROWS
    assert notes == ([] if note is None else [f"Read as text: {note}"])


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_damaged_and_doubly_compressed_files_are_refused(write, compress):
    content = compress(TEXT.encode() * 20_000)
    for damaged in (content[: len(content) // 2], content[:20] + b"\xff" * 40 + content[60:]):
        with pytest.raises(TableError, match="the file is damaged; write it again, or save the table as CSV"):
            load_table(write(damaged))
    with pytest.raises(TableError, match="a compressed file in a compressed file; unpack it first"):
        load_table(write(compress(content)))


def test_a_missing_reader_of_zstd_is_one_line(write, monkeypatch):
    monkeypatch.setitem(sys.modules, zstd.__name__, None)
    with pytest.raises(MissingDependencyError, match=r"jaxmlp\[tables\]"):
        load_table(write(zstd.compress(TEXT.encode())))


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("size, m;rooms\n53,7;5\n77,9;2\n", ["size, m", "rooms"]),
        ("a|b,c\n1|2,3\n4|5,6\n", ["a", "b,c"]),
        ('"a;b",c\n"1;2",3\n', ["a;b", "c"]),
        ("x\n1,5\n2,5\n", ["x"]),
        ('a\t"b\tc"\n1\t2\n', ["a", "b\tc"]),
    ],
)
def test_the_separator_is_the_one_that_gives_each_line_as_many_fields_as_the_header(write, content, header):
    assert load_table(write(content)).columns == header


def test_a_separator_can_be_named(write):
    assert load_table(write("a:b\n1:2\n"), separator=":").rows() == [("1", "2")]
    assert load_table(write("a\tb\n1\t2\n"), separator="tab").columns == ["a", "b"]
    with pytest.raises(ValueError, match="separator must be one character, such as ; or tab; got '::'"):
        load_table(write("a:b\n"), separator="::")


FRAME = polars.DataFrame({
    "x": np.random.default_rng(0).normal(size=60).round(3), "n": np.arange(60) % 7,
    "city": ["Rome", "Oslo", None] * 20, "new": [True, False] * 30,
    "day": polars.date_range(polars.date(2024, 1, 1), polars.date(2024, 2, 29), eager=True),
    "y": np.random.default_rng(1).normal(size=60).round(3),
})  # fmt: skip


def test_the_same_rows_in_each_format_give_the_same_recipe_and_arrays(tmp_path):
    FRAME.write_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text(FRAME.write_csv(separator=";").replace(".", ","))
    FRAME.write_parquet(tmp_path / "c")
    FRAME.write_ipc(tmp_path / "d")
    FRAME.write_ipc_stream(tmp_path / "e")
    FRAME.write_ndjson(tmp_path / "f")
    FRAME.write_json(tmp_path / "g")
    for name in ("a.csv", "c"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    files = sorted(tmp_path.iterdir())
    try:
        FRAME.write_excel(tmp_path / "h")
        files.append(tmp_path / "h.xlsx")
    except ModuleNotFoundError:
        pass
    recipe = learn_recipe(load_table(files[0]), "y")
    x, _ = recipe.inputs(load_table(files[0]))
    for file in files:
        table = load_table(file)
        assert table.columns == FRAME.columns
        learned = learn_recipe(table, "y")
        if file.name != "b.csv":
            assert learned == recipe
        np.testing.assert_array_equal(learned.inputs(table)[0], x)
        if file.name != "b.csv":  # whose numbers are written otherwise
            np.testing.assert_array_equal(recipe.inputs(table)[0], x)
        np.testing.assert_array_equal(learned.targets(table)[0][:, 0], FRAME["y"])


def test_columns_of_json_lines_have_the_order_of_the_first_row(write):
    lines = "".join(
        f'{{{", ".join(f"{chr(97 + k)}{j}: {k}" for k in ())}"z": {j}, "b": 1, "a": 2}}\n' for j in range(3)
    )
    lines += '{"later": 1, "c": 2}\n'
    assert load_table(write(lines)).columns == ["z", "b", "a", "c", "later"]


def test_a_sheet_can_be_chosen(tmp_path):
    writer = pytest.importorskip("xlsxwriter")
    pytest.importorskip("fastexcel")
    with writer.Workbook(tmp_path / "book.xlsx") as book:
        polars.DataFrame({"a": [1]}).write_excel(book, worksheet="first")
        polars.DataFrame({"b": [2]}).write_excel(book, worksheet="second")
    notes = []
    assert load_table(tmp_path / "book.xlsx", on_note=notes.append).columns == ["a"]
    assert notes == ["Sheet 'first', the first of 2; another one: --sheet 'second'"]
    assert load_table(tmp_path / "book.xlsx", sheet="second").columns == ["b"]
    with pytest.raises(TableError, match="no sheet 'third'; the sheets are 'first', 'second'"):
        load_table(tmp_path / "book.xlsx", sheet="third")


def test_clock_times_of_a_spreadsheet_are_those_of_text(tmp_path):
    pytest.importorskip("xlsxwriter")
    pytest.importorskip("fastexcel")
    clock = [None, *(datetime.time(k % 24, k) for k in range(1, 60))]
    frame = FRAME.select(at=polars.Series(clock), y="y")
    frame.write_excel(tmp_path / "a.xlsx")
    frame.write_csv(tmp_path / "b.csv")
    tables = [load_table(tmp_path / name) for name in ("a.xlsx", "b.csv")]
    recipes = [learn_recipe(table, "y") for table in tables]
    assert recipes[0] == recipes[1]
    np.testing.assert_array_equal(*(recipes[0].inputs(table)[0] for table in tables))


def test_a_missing_reader_of_spreadsheets_is_one_line(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    with pytest.raises(MissingDependencyError, match=r"jaxmlp\[excel\]"):
        load_table(write(file.getvalue()))


def test_other_archives_and_a_sheet_of_no_spreadsheet_are_refused(write):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("table.csv", TEXT)
    with pytest.raises(TableError, match="a zip archive, not a spreadsheet; unpack it first"):
        load_table(write(file.getvalue()))
    with pytest.raises(TableError, match="a sheet can be chosen in a spreadsheet only"):
        load_table(write(TEXT), sheet="first")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
def test_a_large_file_is_read_in_blocks(write, monkeypatch, pack):
    monkeypatch.setattr(reading, "_BLOCK", 200)
    rows = [(str(k), f"{k}.{k % 10}", f'say "{k}"\nor not; {k}', "") for k in range(100)]
    content = "n;x;text;gap\n" + "".join(f'{a};{b};"{c.replace(chr(34), chr(34) * 2)}";\n' for a, b, c, _ in rows)
    path = write(pack(content.encode()))
    shares = []
    blocks = list(read_blocks(path, on_progress=shares.append))
    assert len(blocks) > 10
    assert shares[-1] == 1
    assert polars.concat(blocks).rows() == [(*row[:3], None) for row in rows]
    table = load_table(path)
    assert table.dtypes[:3] == [polars.Int64, polars.Float64, polars.String]
    assert table["x"].to_list() == [float(row[1]) for row in rows]


def test_a_large_file_with_reversed_line_ends(write, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 50)
    content = "a,b\n\r" + "".join(f'"{k}","x"\n\r' for k in range(100))
    assert load_table(write(content)).rows() == [(k, "x") for k in range(100)]


def test_a_large_file_whose_numbers_become_text_keeps_them(write, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 100)
    values = [*(f"{k}.50" for k in range(100)), "many"]
    assert load_table(write("a,b\n" + "".join(f"{value},1\n" for value in values)))["a"].to_list() == values


def test_an_error_in_a_later_block_tells_the_rows_before(write, monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 100)
    path = write("a,b\n" + "1,2\n" * 100 + "1,2,3\n")
    with pytest.raises(TableError, match=re.escape(f"{path}: below row ") + r"\d+, row \d+ has 3 fields, the header 2"):
        load_table(path)
