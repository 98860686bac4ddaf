"""Recipes: what each column of a table is used as, and how tables become arrays and predictions tables."""

import functools
import json
import os
import re
import subprocess
import tracemalloc

import numpy as np
import polars
import pytest

from jaxmlp.cli.train import columns
from jaxmlp.tables import Recipe, TableError, learn_recipe, load_table
from jaxmlp.tables.messages import quote_word

RNG = np.random.default_rng(0)


def raises(message):
    return pytest.raises(TableError, match=re.escape(message))


def table(n=60, **columns):
    """A table of n rows: `x`, a target `y` that depends on it, and other columns."""
    x = np.random.default_rng(1).normal(3, 5, size=n)
    return polars.DataFrame({"x": x} | columns | {"y": 2 * x + 1}, strict=False)


def passengers(n=891, target="Survived"):
    """A table like that of the Titanic: text, missing values, identifiers, and text to predict."""
    rng = np.random.default_rng(0)

    def remove(values, fraction):
        return [None if missing else value for value, missing in zip(values, rng.random(n) < fraction, strict=True)]

    columns = {
        "PassengerId": np.arange(1, n + 1),
        target: rng.choice(["lived", "died"], size=n),
        "Pclass": rng.integers(1, 4, size=n),
        "Name": [f"Family {k}, Mrs. (Anna)" for k in range(n)],
        "Sex": rng.choice(["male", "female"], size=n),
        "Age": remove(rng.integers(1, 80, size=n).tolist(), 0.2),
        "SibSp": rng.integers(0, 5, size=n),
        "Ticket": [str(rng.integers(1000, 1800)) if k % 4 else f"A/5 {k}" for k in range(n)],
        "Fare": rng.gamma(2, 15, size=n).round(4),
        "Cabin": remove([f"C{k}" for k in rng.integers(0, 147, size=n)], 0.77),
        "Embarked": remove(rng.choice(["S", "C", "Q"], size=n).tolist(), 0.01),
        "Alone": rng.random(n) < 0.5,
    }
    return polars.DataFrame(columns, strict=False)


def test_a_table_with_text_and_missing_values_needs_no_options_and_csv_equals_parquet(tmp_path):
    frame = passengers()
    frame.write_csv(tmp_path / "passengers.csv")
    frame.write_parquet(tmp_path / "passengers.parquet")
    read = [load_table(tmp_path / name) for name in ("passengers.csv", "passengers.parquet")]
    rows = RNG.random(891) < 0.8
    recipes = [learn_recipe(table, "Survived", rows=rows) for table in read]
    assert recipes[0] == recipes[1]
    for table in read:
        x, notes = recipes[0].inputs(table)
        y, has_target = recipes[0].targets(table)
        np.testing.assert_array_equal(x, recipes[1].inputs(read[0])[0])
        np.testing.assert_array_equal(y.argmax(1), frame["Survived"] == "lived")
        assert x.shape == (891, recipes[0].n_inputs)
        assert ([note.split(":")[0] for note in notes], has_target.all()) == (["Ticket", "Cabin"], True)
    missing = frame["Age"].is_null().to_numpy()[rows].sum()
    lines = recipes[0].describe()
    assert re.fullmatch(r"9 columns: 4 numbers, 5 one-hot \(1\d\d levels\)", lines[0])
    assert lines[1].startswith(
        f"Missing values replaced by the mean, plus an indicator column: Age ({missing} missing, mean "
    )
    assert re.fullmatch(r"Ticket: the 50 most frequent of \d+ levels; the rest share one input", lines[2])
    assert re.fullmatch(r"Left out: PassengerId \(.*like an identifier\), Name \(.*like an identifier\)", lines[5])
    assert lines[6:] == ["Classes of Survived: died, lived", "To use a column that is left out: --keep PassengerId"]


def test_numbers_keep_their_unit_and_are_learned_from_the_training_rows():
    rows = np.arange(60) < 40
    frame = table(age=[None, 10.0, 30.0] * 20)
    recipe = learn_recipe(frame, "y", rows=rows)
    x, _ = recipe.inputs(frame)
    y, _ = recipe.targets(frame)
    np.testing.assert_array_equal(x[:, 0], frame["x"])
    np.testing.assert_array_equal(y[:, 0], frame["y"])
    assert x.dtype == y.dtype == np.float64
    changed = frame.with_columns(age=polars.when(polars.Series(rows)).then(polars.col("age")).otherwise(1000.0))
    assert learn_recipe(changed, "y", rows=rows) == recipe


@pytest.mark.extended
def test_inputs_need_little_more_memory_than_their_result():
    frame = polars.DataFrame({f"x{k}": RNG.normal(size=50_000) for k in range(40)} | {"y": RNG.normal(size=50_000)})
    recipe = learn_recipe(frame, "y")
    tracemalloc.start()
    try:
        x, _ = recipe.inputs(frame)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert x.nbytes == 40 * 50_000 * 8
    assert peak < x.nbytes + 4 * 50_000 * 8  # four columns at once


def test_a_missing_value_becomes_the_mean_and_sets_an_indicator():
    frame = table(age=[None, 10.0, 30.0] * 20)
    recipe = learn_recipe(frame, "y")
    x, notes = recipe.inputs(frame)
    np.testing.assert_array_equal(x[:3, 1:], [[20, 1], [10, 0], [30, 0]])
    assert notes == []
    assert recipe.describe()[1].endswith("age (20 missing, mean 20)")


def test_a_missing_value_becomes_the_mean_with_a_note_if_training_had_none():
    recipe = learn_recipe(table(), "y")
    x, notes = recipe.inputs(polars.DataFrame({"x": ["3", None, None]}))
    mean = table()["x"].to_numpy().mean()
    np.testing.assert_array_equal(x, [[3], [mean], [mean]])
    assert notes == [f"x: 2 missing values, none in training; filled with the mean, {mean:.4g}"]


def test_inputs_have_names_and_each_column_has_its_range():
    frame = table(
        city=["Rome", "Oslo", None] * 20, age=[None, 10.0, 30.0] * 20, sold=[True, False] * 30, flag=[7, None] * 30
    )
    recipe = learn_recipe(frame, "y")
    names = ["x", "city is Oslo", "city is Rome", "city is missing", "age", "age is missing", "sold is false"]
    assert recipe.input_names() == [*names, "sold is true", "flag is missing"]
    assert recipe.groups() == [range(1), range(1, 4), range(4, 6), range(6, 8), range(8, 9)]
    assert [column.describe() for column in recipe.columns[1:]] == [
        "one of 'Oslo', 'Rome', (missing)",
        "number, mean 20, 20 missing values",
        "one of 'false', 'true'",
        "whether the value is missing",
    ]


def test_text_is_one_hot_with_a_level_for_missing_values_if_training_had_some():
    frame = table(city=["Rome", "Oslo", None] * 20)
    recipe = learn_recipe(frame, "y")
    x, notes = recipe.inputs(frame)
    np.testing.assert_array_equal(x[:3, 1:], [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert notes == []


def test_an_unknown_level_is_all_zeros_and_counted():
    recipe = learn_recipe(table(city=["Rome", "Oslo"] * 30), "y")
    x, notes = recipe.inputs(polars.DataFrame({"city": ["Bern", "Oslo", None, "Kyiv"], "x": [1, 2, 3, 4]}))
    np.testing.assert_array_equal(x[:, 1:], [[0, 0], [1, 0], [0, 0], [0, 0]])
    assert notes == [
        "city: 2 unknown values, none in training; encoded as zeros",
        "city: 1 missing value, none in training; encoded as zeros",
    ]


def test_odd_names_are_quoted_and_cut():
    frame = table(**{"a\nb": [None, 1, 2] * 20, "x" * 99: [None, 1, 2] * 20, "": ["a"] * 60})
    recipe = learn_recipe(frame, "y")
    assert [line.split("indicator column: ")[-1] for line in recipe.describe()[1:]] == [
        f"'a\\nb' (20 missing, mean 1.5), '{'x' * 40}…' (20 missing, mean 1.5)",
        "Left out: '' (constant)",
    ]


@pytest.mark.parametrize("booleans", [[True, False], ["True", "False"], ["TRUE", "false"]])
def test_the_spelling_of_booleans_does_not_matter(booleans):
    recipe = learn_recipe(table(sold=["true", "false"] * 30), "y")
    assert learn_recipe(table(sold=booleans * 30), "y") == recipe
    x, notes = recipe.inputs(polars.DataFrame({"x": [1, 2], "sold": booleans}))
    np.testing.assert_array_equal(x[:, 1:], [[0, 1], [1, 0]])
    assert notes == []


def test_the_encoding_of_a_value_does_not_depend_on_other_rows():
    known = learn_recipe(table(f=["True", "False", "Unknown"] * 20), "y", drop=["x"])
    whole = known.inputs(polars.DataFrame({"f": ["True", "False", "Unknown"]}))[0]
    np.testing.assert_array_equal(known.inputs(polars.DataFrame({"f": ["True", "False"]}))[0], whole[:2])
    boolean = learn_recipe(table(f=["True", "False"] * 30), "y", drop=["x"])
    alone = boolean.inputs(polars.DataFrame({"f": ["True", "FALSE"]}))[0]
    mixed, notes = boolean.inputs(polars.DataFrame({"f": ["True", "FALSE", "maybe"]}))
    np.testing.assert_array_equal(mixed[:2], alone)
    assert alone.any()
    assert not mixed[2].any()
    assert len(notes) == 1


def test_columns_are_found_by_name_and_others_ignored():
    frame = table(city=["Rome", "Oslo"] * 30)
    recipe = learn_recipe(frame, "y")
    shuffled = frame.select("city", polars.lit("?").alias("other"), "x")
    np.testing.assert_array_equal(recipe.inputs(shuffled)[0], recipe.inputs(frame)[0])
    with raises("no column 'city'; the columns are 'x'"):
        recipe.inputs(frame.select("x"))


def test_of_many_levels_the_most_frequent_have_an_input_and_the_rest_share_one():
    cities = [f"city {k % 60 if k < 240 else k % 40:02}" for k in range(300)]
    frame = table(300, city=cities)
    recipe = learn_recipe(frame, "y", max_levels=40)
    (column,) = (column for column in recipe.columns if column.name == "city")
    assert column.levels == tuple(f"city {k:02}" for k in range(40))
    assert column.rare == tuple(f"city {k}" for k in range(40, 60))
    assert recipe.input_names()[-1] == "city is another"
    new = polars.DataFrame({"x": [1.0] * 4, "city": ["city 03", "city 55", "Bern", None]})
    x, notes = recipe.inputs(new)
    assert [row.nonzero()[0].tolist() for row in x[:, 1:]] == [[3], [40], [40], []]
    assert notes == [
        "city: 1 unknown value, none in training; encoded as a rare level",
        "city: 1 missing value, none in training; encoded as zeros",
    ]
    assert Recipe.from_json(recipe.to_json()) == recipe


def in_bash(line):
    """The words that bash makes of a line."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    return list(map(os.fsdecode, done.stdout.split(b"\0")[:-1]))


ODD_NAMES = ["city, state", 'the "zone"', "it's", "-x", "- y", "--drop", "$HOME `id` \\ !", "a\nb", "\r", "\t-", "-\n"]
ODD_NAMES += ["\x1b[31mred\x1b[0m", "\x7f\x9b1m", "\u202eabc", "\xa0", "née \u2028", "a*?[b]~{c,d}", "=x", "#"]
ODD_NAMES += ["\\x1b", "'\n\\"]


@pytest.mark.parametrize("name", [*ODD_NAMES, "plain"])
def test_the_option_that_helps_can_be_pasted(name):
    remark = learn_recipe(table(**{name: [f"name {k}" for k in range(60)]}), "y").remarks[-1]
    assert remark.isprintable()
    option = in_bash(remark[remark.index("--keep") :])
    names = option[1] if len(option) > 1 else option[0].removeprefix("--keep=")
    assert len(option) == 1 or not names.startswith("-")
    assert columns(names) == [name]


def test_a_word_of_a_command_is_printable_and_bash_reads_it():
    names = [*ODD_NAMES, "", "plain.csv", "\udcff.csv", "é\udcc3 \x01"]
    line = " ".join(map(quote_word, names))
    assert line.isprintable()
    assert in_bash(line) == names
    assert quote_word("plain.csv") == "plain.csv"


def test_what_is_left_out():
    frame = table(
        same=["a"] * 60,
        seven=[7] * 60,
        tiny=[1e-200, 2e-200] * 30,
        none=[None] * 60,
        name=[f"name {k}" for k in range(60)],
        customer_id=np.arange(60) * 3 + 1000,
        lists=[[1]] * 60,
    )
    recipe = learn_recipe(frame, "y")
    assert [column.name for column in recipe.columns] == ["x"]
    reasons = dict(recipe.left_out)
    assert reasons["same"] == reasons["seven"] == reasons["tiny"] == "constant"
    assert reasons["none"] == "empty"
    assert reasons["name"] == "60 texts in 60 rows, like an identifier"
    assert reasons["customer_id"] == "whole numbers, all different, like an identifier"
    assert reasons["lists"] == "List(Int64); to use it, convert it to numbers"


def test_of_a_constant_with_missing_values_only_the_indicator_is_used():
    frame = table(flag=[7, None] * 30)
    x, _ = learn_recipe(frame, "y").inputs(frame)
    np.testing.assert_array_equal(x[:2, 1:], [[0], [1]])


@pytest.mark.parametrize("name", ["", "id", "ID", "PassengerId", "Unnamed: 0", "index", "house_id"])
def test_an_index_is_left_out(name):
    assert dict(learn_recipe(table(**{name: range(60)}), "y").left_out)[name].endswith("like an identifier")


@pytest.mark.parametrize("name", ["humid", "day", "paid"])
def test_a_column_that_counts_the_rows_is_used_with_a_remark(name):
    frame = table(**{name: range(60)}).sort("y").with_columns(polars.Series(name, range(60)))
    recipe = learn_recipe(frame, "y")
    assert recipe.n_inputs == 2
    assert recipe.remarks == (f"'{name}' counts the rows, like an identifier; if it is one: --drop {name}",)


def test_all_columns_that_are_left_out_are_listed():
    recipe = learn_recipe(table(**{f"c{k}": ["same"] * 60 for k in range(30)}), "y")
    lines = [line for line in recipe.describe() if line.startswith("Left out: ")]
    assert ", ".join(line.removeprefix("Left out: ") for line in lines).split(", ") == [
        f"c{k} (constant)" for k in range(30)
    ]


def test_a_copy_of_the_target_is_used_with_a_remark():
    frame = table().with_columns(price=polars.col("y"))
    (remark,) = learn_recipe(frame, "y").remarks
    assert remark == "'price' equals the target; if it would not be known in advance: --drop price"


def test_one_typing_error_in_a_column_of_numbers_is_an_error_and_many_make_it_text():
    numbers = [str(k) for k in RNG.integers(0, 9, size=60)]
    slipped = table(rooms=[*numbers[:40], "many", *numbers[41:]])
    with raises("column 'rooms', row 41: 'many' is not a number"):
        learn_recipe(slipped, "y")
    assert learn_recipe(slipped, "y", drop=["rooms"]).n_inputs == 1
    assert learn_recipe(table(rooms=["many", "few", "3", "4"] * 15), "y").n_inputs == 5
    with raises("column 'x', row 2: 'large' is not a number"):
        learn_recipe(table(), "y").inputs(polars.DataFrame({"x": ["1", "large"]}))


@pytest.mark.parametrize(
    ("training", "value", "message"),
    [
        ("{}", "€12.50", "without a unit, as in training; write 12.5"),
        ("{}", "12,50 kg", "without a unit, as in training; write 12.5"),
        ("{},25", "12,50 kg", "without a unit, as in training; write 12,5"),
        ("{}", "84%", "without a unit, as in training; write 0.84 or 84, whichever training had"),
        ("{} kg", "12 lb", "in 'kg', as in training; convert it"),
        ("{} %", "0.5", "with a percent sign, as in training; write it in percent"),
        ("{} %", "half", "; correct it, or leave the field empty"),
    ],
)
def test_a_number_written_otherwise_than_in_training_is_refused_with_the_fix(training, value, message):
    recipe = learn_recipe(table(weight=[training.format(k % 7) for k in range(60)]), "y")
    expected = f"column 'weight', row 2: '{value}' is not a number {message}".replace(" ;", ";")
    with raises(expected):
        recipe.inputs(table(weight=[None, value, *[None] * 58]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("inf", "column 'x', row 3: 'inf' is not finite"),
        ("1e200", "column 'x', row 3: '1e200' is too large; numbers must be between -1e+30 and 1e+30"),
    ],
)
def test_numbers_must_be_finite_and_below_a_limit(value, message):
    frame = table().with_columns(polars.col("x").cast(polars.String))
    frame[2, "x"] = value
    with raises(message):
        learn_recipe(frame, "y")


def test_rows_without_a_target_are_not_learned_from():
    frame = table(city=["Rome", "Oslo"] * 30).with_columns(y=polars.when(polars.col("city") == "Rome").then("y"))
    recipe = learn_recipe(frame, "y")
    assert recipe == learn_recipe(frame, "y", rows=frame["y"].is_not_null().to_numpy())
    y, has_target = recipe.targets(frame)
    np.testing.assert_array_equal(has_target, [True, False] * 30)
    assert not y[~has_target].any()


@pytest.mark.parametrize(
    ("values", "task", "decided", "classes", "predicted"),
    [
        ([1, 2, 3], None, "regression", (), [1.0, 2.0, 3.0]),
        (["1", "2.5", "3"], None, "regression", (), [1.0, 2.5, 3.0]),
        (["b", "a", "c"], None, "classification", ("a", "b", "c"), ["b", "a", "c"]),
        ([True, False, True], None, "classification", (False, True), [True, False, True]),
        (["TRUE", "False", "true"], None, "classification", (False, True), [True, False, True]),
        ([3, 1, 2], "classification", "classification", (1, 2, 3), [3, 1, 2]),
        (["3.0", "01", "2"], "classification", "classification", (1, 2, 3), [3, 1, 2]),
        ([0.5, 1, 2], "classification", "classification", (0.5, 1.0, 2.0), [0.5, 1.0, 2.0]),
        ([3, 0, 2], "counts", "counts", (), [3.0, 0.0, 2.0]),
    ],
)
def test_the_target_decides_the_task_and_predictions_have_its_type(values, task, decided, classes, predicted):
    frame = polars.DataFrame({"x": RNG.normal(size=30), "y": values * 10}, strict=False)
    recipe = learn_recipe(frame, "y", task=task)
    assert (recipe.task, recipe.classes, recipe.n_outputs) == (decided, classes, len(classes) or 1)
    y, has_target = recipe.targets(frame)
    assert y.dtype == np.float64
    assert has_target.all()
    decoded = recipe.decode(y)
    assert decoded.columns == recipe.output_columns()
    assert decoded.columns[-1] == "prediction"
    prediction = decoded["prediction"].to_list()[:3]
    assert [type(value) for value in prediction] == [type(value) for value in predicted]
    assert prediction == predicted


def test_probabilities_have_the_names_of_the_classes():
    frame = polars.DataFrame({"x": range(6), "y": [True, False] * 3})
    recipe = learn_recipe(frame, "y")
    assert recipe.output_columns() == ["probability_false", "probability_true", "prediction"]
    decoded = recipe.decode(np.array([[0.3, 0.7], [0.9, 0.1]], np.float32))
    assert decoded.schema["prediction"] == polars.Boolean
    assert decoded["prediction"].to_list() == [True, False]
    with pytest.raises(ValueError, match=re.escape("mean must have shape (n, n_outputs) = (n, 2); got (2, 1)")):
        recipe.decode(np.zeros((2, 1)))


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ([1] * 60, None, "the target 'y' is the same in all training rows; there is nothing to learn"),
        (["a"] * 60, None, "the target 'y' is the same in all training rows"),
        ([1e-200, 2e-200] * 30, None, "the target 'y' is the same in all training rows"),
        ([None] * 60, None, "the target 'y' is empty"),
        (["a", "b"] * 30, "regression", "the target 'y' holds text such as 'a'; --task regression needs numbers"),
        ([-1, 1] * 30, "counts", "the target 'y' holds -1; counts are 0 or more"),
        (range(60), "classification", "holds 60 different numbers, which --task regression predicts; at most 50"),
        ([f"name {k}" for k in range(60)], None, "holds 60 different texts; at most 50 can be classes"),
        (["1", "2"] * 29 + ["1", "two"], None, "column 'y', row 60: 'two' is not a number"),
        (["1", None] * 29 + ["1", "two"], None, "column 'y', row 60: 'two' is not a number"),
        ([[1], [2]] * 30, None, "the target 'y' holds List(Int64); only numbers, text and booleans can be predicted"),
    ],
)
def test_targets_that_cannot_be_predicted(values, task, message):
    with raises(message):
        learn_recipe(polars.DataFrame({"x": RNG.normal(size=60), "y": values}), "y", task=task)


def test_wrong_arguments():
    with raises("no column 'z'; the columns are 'x', 'y'"):
        learn_recipe(table(), "z")
    with raises("no column 'z'; the columns are 'x', 'y'"):
        learn_recipe(table(), "y", drop=["z"])
    with raises("--drop y: 'y' is the target"):
        learn_recipe(table(), "y", drop=["y"])
    with raises("no column is left to predict 'y' from; it is the only column"):
        learn_recipe(table().select("y"), "y")
    with raises("no column is left to predict 'y' from; left out: x (dropped)"):
        learn_recipe(table(), "y", drop=["x"])
    with pytest.raises(ValueError, match="task must be one of regression, classification, counts, or None; got 'rank'"):
        learn_recipe(table(), "y", task="rank")
    with pytest.raises(ValueError, match=r"rows must be bool of shape \(n,\) = \(60,\)"):
        learn_recipe(table(), "y", rows=np.arange(60))


def test_targets_of_another_table_must_be_known_classes_or_counts():
    recipe = learn_recipe(passengers(), "Survived")
    with raises("column 'Survived', row 1: 'missing' is not a class of the training rows"):
        recipe.targets(polars.DataFrame({"Survived": ["missing"]}))
    counts = learn_recipe(polars.DataFrame({"x": range(6), "y": range(6)}), "y", task="counts")
    with raises("column 'y', row 2: '-1' is not a count; counts are 0 or more"):
        counts.targets(polars.DataFrame({"y": [0, -1]}))


def test_numbers_are_far_once_they_are_further_outside_than_the_training_range_is_wide():
    recipe = learn_recipe(polars.DataFrame({"x": [10.0, 12.0, 14.0], "y": [1, 2, 3]}), "y")
    for values in ([10, 14], [6.1, 17.9], [None, None]):
        assert not any("far" in note for note in recipe.inputs(polars.DataFrame({"x": values}))[1])
    for values, note in (
        ([10, 18, 99], "x: 2 values, the first 18 in row 2, far from those in training, 10 to 14"),
        (["12", "-1e29"], "x: 1 value, the first -1e+29 in row 2, far from those in training, 10 to 14"),
    ):
        assert recipe.inputs(polars.DataFrame({"x": values}))[1] == [note]


CONSTANT = {"street": "Via", "floor": 2.5, "new": True, "empty": None, "age": [None, 7.0] * 30}


@pytest.mark.parametrize(
    ("column", "values", "note"),
    [
        ("street", ["Via", "Rua", "rua"], "street: 2 values, the first 'Rua' in row 2, in training always 'Via'"),
        ("street", [1.0, 2.0, 3.0], "street: 3 values, the first 1 in row 1, in training always 'Via'"),
        ("floor", ["2.5", "2.50", "3"], "floor: 1 value, the first '3' in row 3, in training always 2.5"),
        ("floor", [2.5, None, 1e9], "floor: 1 value, the first 1e+09 in row 3, in training always 2.5"),
        ("floor", ["2.5", "x", ""], "floor: 1 value, the first 'x' in row 2, in training always 2.5"),
        ("floor", [[2.5], [2.5], [2.5]], "floor: 3 values, the first "),
        ("new", ["TRUE", "true", "False"], "new: 1 value, the first 'False' in row 3, in training always 'true'"),
        ("new", [True, False, False], "new: 2 values, the first 'False' in row 2, in training always 'true'"),
        ("empty", [None, "a", "b"], "empty: 2 values, the first 'a' in row 2, none in training"),
        ("age", [None, 7, 8], "age: 1 value, the first 8 in row 3, in training always 7"),
    ],
)
def test_other_values_in_a_column_that_was_constant_are_noted(column, values, note):
    frame = table(**{name: value if isinstance(value, list) else [value] * 60 for name, value in CONSTANT.items()})
    recipe = Recipe.from_json(learn_recipe(frame, "y").to_json())
    assert recipe.inputs(frame)[1] == []
    new = frame[:3].with_columns(polars.Series(column, values, strict=False))
    (line,) = recipe.inputs(new)[1]
    assert line.startswith(note)
    assert line.endswith("; the column has no effect")
    if column != "age":
        assert recipe.inputs(new.drop(column))[1] == []


@pytest.mark.parametrize("task", ["regression", "classification", "counts"])
def test_json_keeps_a_recipe_exactly(task):
    frame = passengers(200).with_columns(y=RNG.integers(0, 5, size=200), odd=polars.lit(0.1) + polars.col("Fare") / 3)
    recipe = learn_recipe(frame, "y", task=task, drop=["SibSp"])
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    np.testing.assert_array_equal(again.inputs(frame)[0], recipe.inputs(frame)[0])


DELETE = object()


@functools.cache
def text_of_a_recipe():
    return learn_recipe(passengers(), "Survived").to_json()


def change(*path, to):
    """The JSON of a recipe with one entry changed, or deleted."""
    content = json.loads(text_of_a_recipe())
    place = content
    for key in path[:-1]:
        place = place[key]
    if to is DELETE:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "recipe must be JSON"),
        ("[" * 100_000, "recipe must be JSON"),
        ("[]", "recipe must be a JSON object"),
        ("{}", "recipe.format must be 'jaxmlp recipe'; got None"),
        (change("version", to=1), "recipe.version must be 2; got 1"),
        (change("version", to=DELETE), "recipe.version must be 2; got None"),
        (change("task", to="rank"), "recipe.task must be one of regression, classification, counts; got 'rank'"),
        (
            change("task", to="counts"),
            "recipe: classes must have at least 2 values for classification, else none; got 2",
        ),
        (change("classes", to=[]), "recipe: classes must have at least 2 values for classification, else none; got 0"),
        (change("classes", to=["b", "a"]), "recipe: classes must be different, in order"),
        (change("classes", to=["a", 1]), "recipe: classes must be different, in order"),
        (change("target", to=None), "recipe.target must be a string; got None"),
        (change("more", to=1), "recipe must have the fields"),
        (change("left_out", to=[["a"]]), "recipe.left_out[0] must be a list of 2; got ['a']"),
        (change("columns", to={}), "recipe.columns must be a list; got {}"),
        (change("columns", to=[]), "recipe: columns must not be empty"),
        (change("columns", 0, "kind", to="__import__"), "recipe.columns[0].kind must be one of number, boolean, "),
        (change("columns", 0, "fill", to=float("inf")), "recipe.columns[0].fill must be a finite number; got inf"),
        (change("columns", 0, "missing", to=1.5), "recipe.columns[0].missing must be a whole number; got 1.5"),
        (change("columns", 0, "missing", to=-1), "recipe.columns[0]: missing must be 0 or more; got -1"),
        (change("columns", 0, "low", to=1e9), "recipe.columns[0]: low must not be above high; got 1000000000.0 and"),
        (change("columns", 0, "name", to="Sex"), "recipe: columns must have different names, none that of the target"),
        (change("target", to="Sex"), "recipe: columns must have different names, none that of the target"),
        (change("columns", 0, "name", to=DELETE), "recipe.columns[0] must have the fields"),
        (change("columns", 1, "levels", to=["b", "a"]), "recipe.columns[1]: levels must be different texts in order"),
        (change("columns", 1, "levels", to=[None]), "recipe.columns[1]: levels must be different texts in order"),
        (change("columns", 1, "levels", to=[]), "recipe.columns[1]: levels must be different texts in order"),
    ],
)
def test_json_that_is_not_a_recipe_is_an_error(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Recipe.from_json(text)
