"""What a report is made of: partial dependence, what to be careful about, the text of numbers and choices."""

from types import SimpleNamespace

import numpy as np
import polars
import pytest
from tables import FAST, N, houses

import jaxmlp
from jaxmlp.pipeline.cautions import list_cautions
from jaxmlp.pipeline.dependence import choose_values
from jaxmlp.pipeline.rows import read_rows
from jaxmlp.pipeline.sections import describe_sections, format_pairs
from jaxmlp.pipeline.worst import find_worst
from jaxmlp.tables.findings import format_number


def rows_of(frame, target="price", **options):
    return read_rows(frame, target, lambda text: None, **options)


@pytest.fixture(scope="module")
def fast():
    return jaxmlp.fit_table(houses(), "price", **FAST)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(4.587, 0.1734), (10.49, 0.24), (16.714, 0.342)], ["4.59 ± 0.17", "10.49 ± 0.24", "16.71 ± 0.34"]),
        ([(4257.0, 293.0), (16.4, 900.0)], ["4257 ± 293", "16 ± 900"]),
        ([(0.469, 0.0378), (0.0001, 0.0378)], ["0.469 ± 0.038", "0.0001 ± 0.038"]),
        ([(1e-9, 1e-10), (3000.0, 50.0)], ["1e-09 ± 1e-10", "3000 ± 50"]),
        ([(None, None), (1.0, 0.25)], ["diverged", "1.00 ± 0.25"]),
        ([(5.8838e15, 9.34e14)], ["5.884e+15 ± 9.3e+14"]),
        ([(0.0, 0.0)], ["0.00 ± 0.00"]),
        ([], []),
    ],
)
def test_values_have_the_decimals_that_their_standard_error_tells(pairs, expected):
    assert format_pairs(pairs) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.14159, "3.142"), (141000.4, "141000"), (-27361.9, "-27362"), (0.0, "0"), (1e-7, "1e-07"), (2e15, "2e+15")],
)
def test_large_numbers_have_no_exponent(value, text):
    assert format_number(value) == text


def report_of(saved="network", **scores):
    """A report with scores of a linear model, the network and their mean."""
    entries = {name: {"score": score, "standard_error": 0.1} for name, score in scores.items()}
    columns = [{"name": "x", "importance": 1.0, "standard_error": 0.1}]
    report = entries | {"saved": saved, "target": "y", "task": "regression", "error": "RMSE", "members": 3}
    report |= {"score": scores[saved], "standard_error": 0.1, "method": "by hand", "verdict": "fine"}
    return report | {"interval": None, "cautions": [], "columns": columns}


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (
            report_of(linear=3.0, network=2.0, mean=2.5, constant=4.0),
            "the network, which has the lowest error of linear model, network and their mean",
        ),
        (
            report_of("linear", linear=2.1, network=2.0, mean=2.5, constant=4.0),
            "the linear model, the simplest of linear model, network and their mean whose error is within one standard "
            "error of the lowest",
        ),
        (
            report_of("mean", linear=2.1, network=2.0, mean=2.05, constant=4.0),
            "the mean of network and linear model, chosen by all held-out rows; the errors above are cross-fitted, so "
            "another may be slightly better there",
        ),
        (
            report_of(linear=3.0, network=2.0, constant=4.0),
            "the best setting, trained again on all rows (3 networks)",
        ),
    ],
)
def test_the_report_says_why_a_model_was_saved(report, text):
    assert describe_sections(report)["models"].text == (f"Saved: {text}",)


def test_the_report_says_what_to_expect_of_the_mean_of_all_folds():
    report = report_of(linear=3.0, network=2.0, mean=2.5, constant=4.0) | {"adjusted_score": 1.9, "folds": 5}
    _, expected = describe_sections(report)["models"].text
    assert expected == "Expected of the saved model, the mean of all 5 folds: RMSE 1.90 ± 0.10"


CAUTIONS = {"interrupted": False, "verdict": "better than the constant and the linear baseline", "held_out": 500}
CAUTIONS |= {"target": "price", "error": "RMSE", "score": 2.0, "constant": {"score": 4.0, "accuracy": 0.5}, "folds": 5}
CAUTIONS |= {"columns": [{"name": "rooms"}, {"name": "city"}], "trees_are_better": False}
CAUTIONS |= {"interval": {"coverage": 0.9}}


def test_there_is_always_a_range_outside_which_the_model_extrapolates():
    low, high = (format_number(value) for value in (houses()["rooms"].min(), houses()["rooms"].max()))
    expected = f"Outside the range of the training rows the model extrapolates: rooms {low} to {high}"
    assert list_cautions(CAUTIONS, rows_of(houses())) == [expected]
    only_levels = CAUTIONS | {"columns": [{"name": "city"}]}
    (caution,) = list_cautions(only_levels, rows_of(houses()[["city", "price"]]))
    assert caution == "Levels that training did not see are predicted like rare ones, or like none"


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (
            {"verdict": "no better than the constant baseline"},
            "Neither the networks nor the linear model are better than the constant baseline",
        ),
        ({"verdict": "a linear model is as good"}, "A linear model is as good as the networks"),
        ({"verdict": "a linear model is better"}, "A linear model is better than the networks"),
        ({"trees_are_better": True}, "Boosted trees are better by more than two standard errors"),
        ({"held_out": 199}, "The errors were measured on 199 held-out rows only"),
        ({"folds": 1}, "The errors were measured on a single hold-out"),
        (
            {"score": 0.39},
            "The predictions are almost perfect: check that no column, such as rooms, is known only after",
        ),
        ({"accuracy": 0.99, "error": "log loss"}, "The predictions are almost perfect"),
        (
            {"interval": {"coverage": 0.86}},
            "The 90 % prediction intervals hold 86% of the held-out targets: too narrow",
        ),
        ({"interval": {"coverage": 0.94}}, "The 90 % prediction intervals hold 94% of the held-out targets: too wide"),
        ({"interrupted": True}, "The search was interrupted"),
    ],
)
def test_what_speaks_against_a_model_is_told(entries, text):
    cautions = list_cautions(CAUTIONS | entries, rows_of(houses()))
    assert len(cautions) == 2
    assert cautions[0].startswith(text)


def test_what_is_no_problem_is_not_told():
    for entries in ({"held_out": 200}, {"score": 0.41}, {"interval": {"coverage": 0.88}}, {"interval": None}):
        assert len(list_cautions(CAUTIONS | entries, rows_of(houses()))) == 1


def test_what_is_odd_about_the_rows_is_told():
    """Equal rows, rare and frequent classes, dates, rows without a target; but no hints about options."""
    frame = polars.concat([houses(), houses().head(9)])
    frame = frame.with_columns(
        polars.Series("kind", ["a"] * 80 + ["b"] * 8 + [None]), name=polars.int_range(89).cast(str)
    )
    frame = frame.with_columns(day=polars.date_range(polars.date(2024, 1, 1), polars.date(2024, 3, 29)).head(89))
    report = CAUTIONS | {"columns": [{"name": "day"}], "interval": None}
    cautions = list_cautions(report, rows_of(frame.with_columns(id="row " + polars.col("name")), "kind", drop=["name"]))
    assert cautions == [
        "Classes with fewer than 10 rows, which are hard to learn: b",
        "91% of the rows are of the class a: the accuracy alone tells little",
        "Rows without a target, left out: 1",
        "Rows are split at random; --time day tests on the latest rows",
        "Outside the range of the training rows the model extrapolates: day 2024-01-01 to 2024-03-28",
    ]
    assert (
        "9 of 89 rows equal an earlier one; they stay in one fold"
        in rows_of(polars.concat([houses(), houses()[:9]])).remarks
    )


def values_of(frame, name):
    """The values of a column that are tried: those of the inputs, scale, places and labels."""
    rows = rows_of(frame)
    k = [column.name for column in rows.recipe.columns].index(name)
    x = rows.x[:, list(rows.recipe.groups()[k])]
    source, *others = choose_values(rows.recipe.columns[k], x)
    return x[source], *others


def test_numbers_are_tried_at_their_quantiles_and_never_when_missing():
    x, scale, places, labels = values_of(houses(), "age")
    assert (scale, labels) == ("number", ())
    np.testing.assert_array_equal(x, np.column_stack([places, np.zeros(len(places))]))
    present = houses()["age"].drop_nulls().to_numpy()
    assert {*places} <= {*present}
    assert places == tuple(sorted(set(places)))
    assert 15 <= len(places) <= 20
    few = houses().with_columns(zone=polars.int_range(N) % 3)
    assert values_of(few, "zone")[2] == (0, 1, 2)


def test_levels_booleans_and_missing_values_are_tried_one_by_one():
    city = [None if k % 8 == 0 else f"c{k % 15:02}" for k in range(N)]
    frame = houses().with_columns(city=polars.Series(city), age=polars.Series(["yes", "no", None, "yes"] * (N // 4)))
    x, scale, places, labels = values_of(frame, "city")
    assert (scale, len(labels), places) == ("level", 10, tuple(range(10)))
    assert "missing" in labels  # the most frequent ones
    np.testing.assert_array_equal(x.sum(axis=1), 1)
    x, scale, places, labels = values_of(frame, "age")
    assert labels == ("no", "yes", "missing")
    np.testing.assert_array_equal(x, np.eye(3))


def test_dates_are_tried_as_whole_dates():
    days = np.datetime64("2024-01-01") + 3 * np.arange(N)
    x, scale, places, _ = values_of(houses().with_columns(day=polars.Series(days).cast(polars.Date)), "day")
    assert scale == "date"
    dates = np.datetime64("1970-01-01") + np.array(places).astype(int)
    assert {*dates.tolist()} <= {*days.tolist()}
    np.testing.assert_array_equal(x[:, 0], 2024)
    np.testing.assert_array_equal(x[:, 1], [date.month for date in dates.tolist()])


def test_the_dependence_of_a_result_is_that_of_its_most_important_columns(fast):
    names = [column["name"] for column in fast.report["columns"]]
    assert [own.name for own in fast.dependence] == names[:3]
    for own in fast.dependence:
        assert own.values.mean.shape == (len(own.places), 1)
        assert (own.values.low <= own.values.high).all()
        np.testing.assert_allclose(own.values.folds.mean(axis=0), own.values.mean)


def test_the_misfit_is_the_distance_in_units_of_the_interval():
    recipe = SimpleNamespace(classes=(), columns=[SimpleNamespace(name="x")])
    held = {"row": [5, 6, 7, 8, 9], "target": [1.0, 9.0, 4.0, 2.0, 5.0], "low": [0.0, 2.0, 3.0, 3.0, 5.0]}
    held |= {"high": [4.0, 6.0, 6.0, 6.0, 9.0], "prediction": [2.0, 4.0, 4.0, 4.0, 5.0]}
    worst = find_worst(polars.DataFrame({"x": range(10)}), recipe, polars.DataFrame(held))
    np.testing.assert_allclose(worst.misfit, [2.5, 2.0, 0.5])
    assert worst.predictions["row"].to_list() == [6, 8, 5]
    assert worst.values["x"].to_list() == [5, 7, 4]
