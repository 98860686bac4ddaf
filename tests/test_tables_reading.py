"""Reading a table: rows in order, missing values as null, and one-line errors that name the file."""

import csv
import io
import re
import sys

import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmlp.tables import TableError, load_table


@pytest.fixture
def write(tmp_path):
    def write(content, name="houses.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\r\n", "the file is empty"),
        (b"1,2\n3,4\n", "no header; the first line must name the columns"),
        (b"rooms,price\n", "no rows below the header"),
        (b"rooms,price,price\n1,2,3\n", "two columns have the name 'price'"),
        (b"rooms, price ,price\n1,2,3\n", "two columns have the name 'price'"),
        (b"rooms,,\n1,2,3\n", "two columns have no name"),
        (b"rooms:price\n1:2\n", "one column only, 'rooms:price'; name the character between columns: --separator"),
        (b"rooms,price\n1,2\n\n3,4,5\n", "row 2 has 3 fields, the header 2"),
        (b"rooms,price\n1,2\n3,4\n5", "row 3 has 1 field, the header 2"),
        (b'rooms,price\n"1,5",2\n"3"\n', "row 2 has 1 field, the header 2"),
        (b"rooms,price\n1,2\n3\n4,5,6\n", "row 2 has 1 field, the header 2"),
        (
            b'rooms,"price\n' + b"1,2\n" * 300,
            "the first line names a column in 1205 characters; is a closing quote missing?",
        ),
        (b"rooms,price\n1,2\n3,\x81\n", "line 3 is neither UTF-8 nor Windows-1252 (byte 0x81); save it as UTF-8"),
        (b"\xff\xfer", "has the mark of UTF-16, but is not UTF-16; save it as UTF-8"),
        (b"rooms,price\n1,\0\n", "a binary file, not a table"),
        (b"PK\x03\x04rest", "a damaged spreadsheet or zip archive"),
        (b"\x1f\x8brest", "cannot be read as a table: the file is damaged"),
        (b"(\xb5/\xfdrest", "cannot be read as a table: the file is damaged"),
        (b"PAR1 and no more", "cannot be read as a table: the file is damaged"),
        (b"ARROW1\0\0rest", "cannot be read as a table: the file is damaged"),
        (b'{"a": 1}\n{"a": ', "cannot be read as a table: the file is damaged"),
        (b"%PDF-1.7\n", "a PDF; save the table as CSV"),
        (b"x" * 2**21, "the first line is over a million bytes long"),
        (b",".join(b"c%d" % k for k in range(10_001)) + b"\n", "10001 columns; at most 10000 can be used"),
    ],
)
def test_an_error_is_one_line_that_names_the_file(write, content, message):
    path = write(content)
    with pytest.raises(TableError, match=re.escape(f"{path}: {message}")) as caught:
        load_table(path)
    assert "\n" not in str(caught.value)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(TableError, match=re.escape(f"{tmp_path / 'none.csv'}: no such file")):
        load_table(tmp_path / "none.csv")
    with pytest.raises(TableError, match="a directory, not a table"):
        load_table(tmp_path)
    with pytest.raises(TableError, match="cannot be read"):
        load_table("a\0b.csv")


TEXT = 'rooms,city\n3,Zürich\n 4 ,"a ""b"", c"\n'
ROWS = [("3", "Zürich"), ("4", 'a "b", c')]


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace(" 4 ", '"4"').replace("\n", "\n\r").encode(),
        TEXT.replace("\n", "\n\n").encode(),
        TEXT.replace("\n", "\r\n \t\r\n\r\n").encode(),
        ("\n" + TEXT.rstrip("\n")).encode(),
        TEXT.replace(",city", " , city ").encode(),
    ],
    ids=[
        "plain",
        "mark",
        "utf-16",
        "windows",
        "old mac",
        "reversed",
        "blank lines",
        "spaces only",
        "no last line end",
        "spaces",
    ],
)
def test_encodings_line_ends_and_spaces_do_not_change_a_table(write, content):
    frame = load_table(write(content))
    assert frame.columns == ["rooms", "city"]
    assert frame.rows() == ROWS


def test_missing_values_in_many_spellings(write):
    spellings = ["", " ", "NA", "N/A", "n/a", "NaN", "nan", "null", "N.A.", "#DIV/0!", " ? "]
    frame = load_table(write("a,b\n" + "".join(f"{text},x\n" for text in spellings) + "-,x\nnone,x\n"))
    assert frame["a"].to_list() == [None] * len(spellings) + ["-", "none"]  # which may be levels


def test_a_row_of_missing_values_counts_and_a_blank_line_does_not(write):
    assert load_table(write("a,b\n1,2\n,\n\n3,4\n")).rows() == [("1", "2"), (None, None), ("3", "4")]


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("a\n1\n\n2\n\n3\n", ["1", None, "2", None, "3"]),
        ("a\n1\n\n", ["1", None]),
        ("a\n\n\n1", [None, None, "1"]),
        ("\n\na\n1\n", ["1"]),
        ("a\r\n1\r\n\r\n2\r\n", ["1", None, "2"]),
        ("a\r1\r\r2\r", ["1", None, "2"]),
        ('a\nx\n""\n \n', ["x", None, None]),
        ('"a"\n"one\n\ntwo"\n\n"three"\n', ["one\n\ntwo", None, "three"]),
    ],
)
def test_in_a_single_column_a_blank_line_is_a_missing_value(write, content, values):
    frame = load_table(write(content))
    assert frame.columns == ["a"]
    assert frame["a"].to_list() == values


def test_text_in_quotes_keeps_its_lines(write):
    text = 'a,b\r\n"one\n\ntwo","x\r\n\r\ny, z"\r\n\r\n"1\r2","say ""hi"""\r\n'
    assert load_table(write(text)).rows() == [("one\n\ntwo", "x\r\n\r\ny, z"), ("1\r2", 'say "hi"')]


def test_a_quote_within_a_text_is_text(write):
    text = 'size,n\n5" pipe,1\nx "y" z,2\n6" pipe,3\n7",4\n'
    assert load_table(write(text))["size"].to_list() == ['5" pipe', 'x "y" z', '6" pipe', '7"']


def test_spaces_around_quotes_do_not_count(write):
    frame = load_table(write('"a b", "c, d"\n1, "x, y" \n'))
    assert frame.columns == ["a b", "c, d"]
    assert frame.rows() == [("1", "x, y")]


NEVER, TEXT_FOLLOWS, LIKE_ROWS = "and never closes", "but text follows the quote that closes it", "look like rows"


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ('a,b\n1,"x\n2,y\n3,z\n', 2, NEVER),
        ('a,"b\n1,x\n', 1, NEVER),
        ('a\n1\n"2\n3\n', 3, NEVER),
        ('a,b\r\n1,x\r\n\r\n2,"', 4, NEVER),
        ('a,b\r1,x\r"2,y\r', 3, NEVER),
        ('a,b\n"p\nq",x\n1,"y\n2,""\n', 4, NEVER),
        ('a,b\n1,x\n2,"x\n2,"y\n3,z\n', 3, TEXT_FOLLOWS),
        ('a,b\n1,"x\n2,"y, z"\n3,w\n', 2, TEXT_FOLLOWS),
        ('a,b\n1,x\n"Weird Al" Yankovic,2\n', 3, TEXT_FOLLOWS),
        ('a,b\n1,"say \\"hi\\""\n', 2, TEXT_FOLLOWS),
        ('a,b\n1,"x\n2,y\n3,z"\n4,w\n', 2, LIKE_ROWS),
        ('a,b\n1,"x\n2,y"\n', 2, LIKE_ROWS),
        ('a,b,c\n"p\nq",1,r\n"s",2,"t\nu,3,v\nw,4,"\n', 4, LIKE_ROWS),
        ('a,b\nRome,"Via\n' + "Oslo,Gata\n" * 4 + 'Paris,Rue"\nBonn,Weg\n', 2, LIKE_ROWS),
    ],
)
def test_a_quote_that_swallows_rows_is_an_error_that_names_its_line(write, content, line, problem):
    with pytest.raises(
        TableError, match=rf"houses\.csv: line {line}: a quote opens a field here.* {problem}"
    ) as caught:
        load_table(write(content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "n"),
    [
        ('1,"12 Main St\nSpringfield, IL"\n2,"x\ny"\n', 2),
        ('"Hello, you\nthere",5\nbye,6\n', 2),
        ('Rome,"Via\nOslo,Gata"\nBonn,Weg\n', 2),
        ('1,"one\n2\n3"\n', 1),
    ],
)
def test_a_text_of_several_lines_is_no_error(write, cells, n):
    assert load_table(write("a,b\n" + cells)).height == n


def write_by_csv(names, rows, **options):
    file = io.StringIO()
    csv.writer(file, **options).writerows([names, *rows])
    return file.getvalue()


def write_by_polars(names, rows, **options):
    data = [[cell or None for cell in row] for row in rows]
    return polars.DataFrame(data, schema=dict.fromkeys(names, polars.String), orient="row").write_csv(**options)


WRITERS = {
    "csv": write_by_csv,
    "csv, unix": lambda *table: write_by_csv(*table, lineterminator="\n"),
    "csv, all": lambda *table: write_by_csv(*table, quoting=csv.QUOTE_ALL),
    "polars": write_by_polars,
    "polars, all": lambda *table: write_by_polars(*table, quote_style="always"),
}
CELLS = st.text(st.sampled_from('ab,"\n\r é'), max_size=6)
ROWS_OF_CELLS = st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("writer", WRITERS)
def test_what_a_writer_wrote_is_read_back(tmp_path, writer):
    path = tmp_path / "table.csv"

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(ROWS_OF_CELLS)
    def check(rows):
        names = [f"column {k}" for k in range(len(rows[0]))]
        path.write_bytes(WRITERS[writer](names, rows).encode())
        frame = load_table(path)
        assert frame.columns == names
        assert frame.rows() == [tuple(cell.strip() or None for cell in row) for row in rows]

    check()


def test_a_file_name_is_not_a_pattern(write):
    assert load_table(write("a,b\n1,2\n", "x*[1].csv")).height == 1


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_standard_input(monkeypatch, kind):
    file = io.BytesIO()
    getattr(polars.DataFrame({"a": ["1"], "b": ["2"]}), f"write_{kind}")(file)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.getvalue())))
    assert load_table("-").rows() == [("1", "2")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(TableError, match="standard input: the file is empty"):
        load_table("-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'a,b\n1,"x\n2,y\n')))
    with pytest.raises(TableError, match="standard input: line 2: a quote opens a field here and never closes"):
        load_table("-")


def test_parquet_is_recognized_by_its_first_bytes_or_its_name(write, tmp_path):
    frame = polars.DataFrame({"a": [1.5, None], "b": [True, False]})
    frame.write_parquet(tmp_path / "table")
    assert load_table(tmp_path / "table").equals(frame)
    with pytest.raises(TableError, match=r"houses\.parquet: cannot be read as a table"):
        load_table(write(b"no parquet at all", "houses.parquet"))
