"""Dates and clock times as people write them, and what they become."""

import datetime
import re

import numpy as np
import polars
import pytest

from jaxmlp.tables import Recipe, TableError, learn_recipe
from jaxmlp.tables.dates import choose_order, find_dates, parse_clock, parse_dates

pytestmark = pytest.mark.portable


def read(values, order=None):
    text = polars.Series("d", values)
    assert find_dates(text)
    return [None if date is None else f"{date}" for date in parse_dates(text, choose_order("d", text, order)).to_list()]


@pytest.mark.parametrize(
    ("values", "dates"),
    [
        (["2023-02-03", "2024/12/31"], ["2023-02-03 00:00:00", "2024-12-31 00:00:00"]),
        (["31.12.2024", "1.2.2024"], ["2024-12-31 00:00:00", "2024-02-01 00:00:00"]),
        (["12/31/2024", "01/02/2024"], ["2024-12-31 00:00:00", "2024-01-02 00:00:00"]),
        (["31/12/2024", "1/2/2024"], ["2024-12-31 00:00:00", "2024-02-01 00:00:00"]),
        (["31-Dec-2024", "1-mar-23"], ["2024-12-31 00:00:00", "2023-03-01 00:00:00"]),
        (["31.12.24", "1.2.99"], ["2024-12-31 00:00:00", "1999-02-01 00:00:00"]),
        (["02.03.2024", "03.04.2024"], ["2024-03-02 00:00:00", "2024-04-03 00:00:00"]),
        (["Jan 31, 2024", "December 1, 2023"], ["2024-01-31 00:00:00", "2023-12-01 00:00:00"]),
        (["1. März 2024", "3. Mai 2023"], ["2024-03-01 00:00:00", "2023-05-03 00:00:00"]),
        (["Mar-2018", "2018-04"], ["2018-03-01 00:00:00", "2018-04-01 00:00:00"]),
        (["2023-02-02T23:30:00Z", "2023-02-03 06:30"], ["2023-02-02 23:30:00", "2023-02-03 06:30:00"]),
        (["2023-02-02T23:30:00+01:00", "2023-02-03T20:00-0530"], ["2023-02-02 22:30:00", "2023-02-04 01:30:00"]),
        (["12/31/2024 1:30 PM", "1/2/2024 12:05 am"], ["2024-12-31 13:30:00", "2024-01-02 00:05:00"]),
        (["31.02.2024", "01.01.2024"], [None, "2024-01-01 00:00:00"]),
    ],
)
def test_dates_are_read(values, dates):
    assert read(values) == dates


def test_clock_times_are_read_as_hours():
    hours = parse_clock(polars.Series(["13:30", "1:30 pm", "12:00 AM", "23:59:60", "24:00", "1330"])).to_list()
    assert hours == [13.5, 13.5, 0, None, None, None]


def test_two_orders_are_refused_and_the_option_decides():
    values = ["02/02/2023", "03/02/2023"]
    message = "column 'd': '03/02/2023' can be read as 2023-02-03 or as 2023-03-02, and no row decides; use "
    with pytest.raises(TableError, match=re.escape(message + "--date-order dmy or --date-order mdy")):
        read(values)
    assert read(values, "mdy")[1] == "2023-03-02 00:00:00"


def table(dates, **columns):
    rng = np.random.default_rng(0)
    return polars.DataFrame({"d": dates, "x": rng.normal(size=len(dates)), "y": rng.normal(size=len(dates))} | columns)


def test_a_date_becomes_parts_and_the_days_since_the_first_one():
    frame = table(["2023-01-02", "2023-07-02", None, "2024-01-01"] * 5)
    recipe = learn_recipe(frame, "y", drop=["x"])
    assert recipe.input_names() == [
        "d: year", "d: month", "d: day of the week", "d: sine of the day", "d: cosine of the day",
        "d: days since the start", "d is missing",
    ]  # fmt: skip
    x, notes = recipe.inputs(frame)
    angle = 2 * np.pi * 182 / 365.25
    np.testing.assert_allclose(x[1], [2023, 7, 7, np.sin(angle), np.cos(angle), 181, 0], rtol=1e-12)
    np.testing.assert_allclose(x[2], [*x[[0, 1, 3], :6].mean(axis=0), 1])
    assert notes == []
    assert recipe.describe()[1] == "d: date, 2023-01-02 to 2024-01-01, read as year, month, day, 5 missing values"
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_hours_are_an_input_if_there_are_times_and_the_type_does_not_matter():
    texts = [f"2024-03-{1 + k % 28:02} {k % 24:02}:30" for k in range(60)]
    dates = [datetime.datetime.strptime(text, "%Y-%m-%d %H:%M") for text in texts]
    recipe = learn_recipe(table(texts), "y")
    assert recipe.columns == learn_recipe(table(dates), "y").columns
    assert "d: hour" in recipe.input_names()
    zoned = polars.Series(dates).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    for column in (dates, zoned):
        np.testing.assert_array_equal(recipe.inputs(table(column))[0], recipe.inputs(table(texts))[0])


def test_clock_times_become_the_hour_and_a_point_on_a_circle():
    frame = table([f"{k % 24:02}:30" for k in range(60)])
    recipe = learn_recipe(frame, "y", drop=["x"])
    assert recipe.columns[0].kind == "time"
    x, _ = recipe.inputs(frame)
    np.testing.assert_allclose(x[6], [6.5, np.sin(np.pi * 6.5 / 12), np.cos(np.pi * 6.5 / 12)])
    typed = frame.with_columns(polars.col("d").str.to_time("%H:%M"))
    np.testing.assert_allclose(recipe.inputs(typed)[0], x)


def test_a_typing_error_in_a_column_of_dates_is_an_error_with_its_row():
    dates = [f"2024-03-{1 + k % 28:02}" for k in range(60)]
    with pytest.raises(
        TableError, match=re.escape("column 'd', row 3: 'soon' is not a date (read as year, month, day)")
    ):
        learn_recipe(table([*dates[:2], "soon", *dates[3:]]), "y")
    recipe = learn_recipe(table(dates), "y")
    with pytest.raises(TableError, match="column 'd' holds Int64, not dates"):
        recipe.inputs(polars.DataFrame({"d": [1], "x": [1.0]}))
