"""A table of numbers: read, split, standardised, and refused in one line."""

import re

import numpy as np
import polars
import pytest

from jaxmlp.tables import Table, TableError, load_table, split_table


@pytest.fixture
def write(tmp_path):
    def write(text, name="houses.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_csv_and_parquet_give_the_same_numbers(write, tmp_path):
    csv = write("rooms,price,sold\n3,1.5,true\n 4 ,-2e1,false\n5,0.25,true\n")
    frame = polars.DataFrame({"rooms": [3, 4, 5], "price": [1.5, -20, 0.25], "sold": [1, 0, 1]})
    frame.write_parquet(tmp_path / "houses.parquet")
    table = load_table(tmp_path / "houses.parquet", "price")
    assert table.features == ("rooms", "sold")
    np.testing.assert_array_equal(table.x, [[3, 1], [4, 0], [5, 1]])
    np.testing.assert_array_equal(table.y, [[1.5], [-20], [0.25]])
    from_csv = load_table(write(csv.read_text().replace("true", "1").replace("false", "0")), "price")
    np.testing.assert_array_equal(from_csv.x, table.x)
    np.testing.assert_array_equal(from_csv.y, table.y)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty"),
        (b"1,2\n3,4\n5,6\n", "no header; the first line must name the columns"),
        (b"rooms,prize\n1,2\n3,4\n", "no column 'price'; the columns are 'rooms', 'prize'"),
        (b"price\n1\n2\n", "'price' is the only column; there is nothing to predict it from"),
        (b"rooms,price\n", "no rows below the header; at least 3 are needed"),
        (b"rooms,price\n1,2\n", "1 row below the header; at least 3 are needed"),
        (b"rooms,price\n1,2\n3,4\n", "2 rows below the header; at least 3 are needed"),
        (b"rooms,price,price\n1,2,3\n3,4,5\n5,6,7\n", "two columns have the name 'price'"),
        (b"rooms;price\n1;2\n3;4\n5;6\n", "one column only; columns must be separated by commas"),
        (b"rooms,price\n1,2\n\n3,4\nmany,5\n", "column 'rooms', row 4: 'many' is not a number"),
        (b"rooms,price\n1,2\n3,1e200\n5,6\n", "column 'price', row 2: 1e200 is too large; numbers must be below 1e+30"),
        (b"rooms,price\n,2\n,4\n,6\n", "column 'rooms' is empty"),
        (b"rooms,price\n1,2\n3,4\nmany,5\n", "column 'rooms', row 3: 'many' is not a number"),
        (b"rooms,price\n1,2\n,4\n3,5\n", "column 'rooms', row 2: the value is missing"),
        (b"rooms,price\n1,2\n3,4\n3,NaN\n", "column 'price', row 3: the value is missing"),
        (b"rooms,price\n1,2\ninf,4\n3,5\n", "column 'rooms', row 2: inf is not finite"),
        (b"city,price\nRome,2\nOslo,4\n7,5\n", "column 'city' holds text; only columns of numbers can be used"),
        (b"rooms,price\n1,2\n3,4,5\n", "row 2 has 3 fields, the header 2"),
        (b"rooms,price\n\xff\xfe,2\n3,4\n5,6\n", "cannot be read as a table"),
    ],
)
def test_what_a_csv_file_can_get_wrong(write, text, message):
    path = write(text)
    with pytest.raises(TableError, match=re.escape(f"{path}: {message}")) as caught:
        load_table(path, "price")
    assert "\n" not in str(caught.value)


def test_blank_lines_are_skipped_and_names_with_stars_are_names(write):
    table = load_table(write("rooms,price\n1,2\n\n3,4\n5,6\n\n", "x*[1].csv"), "price")
    np.testing.assert_array_equal(table.x[:, 0], [1, 3, 5])


def test_no_such_file_and_a_directory(tmp_path):
    with pytest.raises(TableError, match=re.escape(f"{tmp_path / 'none.csv'}: no such file")):
        load_table(tmp_path / "none.csv", "price")
    with pytest.raises(TableError, match="a directory, not a table"):
        load_table(tmp_path, "price")


def test_what_a_parquet_file_can_get_wrong(write, tmp_path):
    with pytest.raises(TableError, match=r"houses\.parquet: cannot be read as a table"):
        load_table(write(b"not parquet at all", "houses.parquet"), "price")
    path = tmp_path / "dates.parquet"
    polars.DataFrame({"day": polars.Series([1, 2, 3]).cast(polars.Date), "price": [1.0, 2.0, 3.0]}).write_parquet(path)
    with pytest.raises(TableError, match="column 'day' holds Date, not numbers"):
        load_table(path, "price")
    polars.DataFrame({"rooms": [1.0, None, 2.0], "price": [1.0, 2.0, 3.0]}).write_parquet(path)
    with pytest.raises(TableError, match="column 'rooms', row 2: the value is missing"):
        load_table(path, "price")


def table(n=50):
    rng = np.random.default_rng(0)
    x = rng.normal(3, 5, size=(n, 2))
    return Table("t.csv", ("a", "b"), x, x.sum(1, keepdims=True))


def test_a_tenth_of_the_rows_is_kept_aside_and_the_rest_standardised():
    split = split_table(table(), seed=0)
    assert (split.x.shape, split.x_test.shape) == ((45, 2), (5, 2))
    for columns in (split.x, split.y):
        np.testing.assert_allclose(columns.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(columns.std(0), 1)


def test_every_row_is_on_one_side_and_test_targets_keep_their_unit():
    split = split_table(table(), seed=0)
    targets = np.concatenate([split.y * split.y_scale + split.y_mean, split.y_test])
    np.testing.assert_allclose(np.sort(targets, axis=0), np.sort(table().y, axis=0))


def test_rows_kept_aside_do_not_touch_the_scale():
    data = table()
    before = split_table(data, seed=0)
    data.x[np.flatnonzero(np.isin(data.y, before.y_test))] *= 1000
    np.testing.assert_array_equal(split_table(data, seed=0).x, before.x)


def test_the_seed_decides_the_split():
    assert np.array_equal(split_table(table(), seed=0).x, split_table(table(), seed=0).x)
    assert not np.array_equal(split_table(table(), seed=0).x, split_table(table(), seed=1).x)


def test_a_constant_column_is_dropped_and_named():
    data = table()
    data.x[:, 0] = 7
    split = split_table(data, seed=0)
    assert split.constant == ("a",)
    assert split.x.shape == (45, 1)


def test_nothing_to_learn_is_refused():
    data = table()
    with pytest.raises(TableError, match=r"t\.csv: no feature varies over the training rows"):
        split_table(data._replace(x=np.ones((50, 2))), seed=0)
    tiny = np.array([[1e-200]] * 49 + [[2e-200]])  # varies by less than a square can show
    with pytest.raises(TableError, match=r"t\.csv: the target is the same"):
        split_table(data._replace(y=tiny), seed=0)
    with pytest.raises(TableError, match=r"t\.csv: the target is the same in all training rows"):
        split_table(data._replace(y=np.ones((50, 1))), seed=0)
