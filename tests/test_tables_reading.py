"""Reading a table: rows in order, missing values as null, and one-line errors that name the file."""

import io
import re
import sys

import polars
import pytest

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
        (b"rooms;price\n1;2\n", "one column only; columns must be separated by commas"),
        (b"rooms,price\n1,2\n\n3,4,5\n", "row 2 has 3 fields, the header 2"),
        (b"rooms,price\n1,2\n3,4\n5", "row 3 has 1 field, the header 2"),
        (b'rooms,price\n"1,5",2\n"3"\n', "row 2 has 1 field, the header 2"),
        (b'rooms,price\n1,"2\n3,4\n', "cannot be read as a table: could not parse"),
        (
            b'rooms,"price\n' + b"1,2\n" * 300,
            "the first line names a column in 1205 characters; is a closing quote missing?",
        ),
        (b"rooms,price\n1,2\n3,\xe9\n", "line 3 is not UTF-8 (byte 0xe9); save it as UTF-8"),
        (b"\xff\xfer", "has the mark of UTF-16, but is not UTF-16; save it as UTF-8"),
        (b"rooms,price\n1,\0\n", "a binary file, not a table"),
        (b"PK\x03\x04rest", "a spreadsheet or zip archive; save it as CSV"),
        (b"\x1f\x8brest", "compressed; unpack it first"),
        (b"PAR1 and no more", "cannot be read as a table: "),
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
        TEXT.replace("\n", "\n\n").encode(),
        ("\n" + TEXT.rstrip("\n")).encode(),
        TEXT.replace(",city", " , city ").encode(),
    ],
    ids=["plain", "mark", "utf-16", "windows", "old mac", "blank lines", "no last line end", "spaces"],
)
def test_encodings_line_ends_and_spaces_do_not_change_a_table(write, content):
    frame = load_table(write(content))
    assert frame.columns == ["rooms", "city"]
    assert frame.rows() == ROWS


def test_missing_values_in_many_spellings(write):
    spellings = ["", " ", "NA", "N/A", "n/a", "NaN", "nan", "null", "None", " ? "]
    frame = load_table(write("a,b\n" + "".join(f"{text},x\n" for text in spellings) + "-,x\n"))
    assert frame["a"].to_list() == [None] * len(spellings) + ["-"]


def test_a_row_of_missing_values_counts_and_a_blank_line_does_not(write):
    assert load_table(write("a,b\n1,2\n,\n\n3,4\n")).rows() == [("1", "2"), (None, None), ("3", "4")]


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


def test_parquet_is_recognized_by_its_first_bytes_or_its_name(write, tmp_path):
    frame = polars.DataFrame({"a": [1.5, None], "b": [True, False]})
    frame.write_parquet(tmp_path / "table")
    assert load_table(tmp_path / "table").equals(frame)
    with pytest.raises(TableError, match=r"houses\.parquet: cannot be read as a table"):
        load_table(write(b"no parquet at all", "houses.parquet"))
