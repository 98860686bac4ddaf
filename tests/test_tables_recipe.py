"""A recipe: what a table is taken for, and how it becomes arrays and back."""

import argparse
import json
import re
import shlex
import tracemalloc

import numpy as np
import polars
import pytest

from jaxmlp.cli.tables import columns
from jaxmlp.tables import Recipe, TableError, learn_recipe, load_table, split_table

RNG = np.random.default_rng(0)


def refuses(message):
    return pytest.raises(TableError, match=re.escape(message))


def table(n=60, **columns):
    """`x` and a target `y` that it tells, beside other columns, each a list of n."""
    x = np.random.default_rng(1).normal(3, 5, size=n)
    return polars.DataFrame({"x": x} | columns | {"y": 2 * x + 1}, strict=False)


def passengers(n=891, target="Survived"):
    """A table such as the one of the Titanic: texts, gaps, identifiers, a text to predict."""
    rng = np.random.default_rng(0)

    def gap(values, share):
        return [None if gone else value for value, gone in zip(values, rng.random(n) < share, strict=True)]

    columns = {
        "PassengerId": np.arange(1, n + 1),
        target: rng.choice(["lived", "died"], size=n),
        "Pclass": rng.integers(1, 4, size=n),
        "Name": [f"Family {k}, Mrs. (Anna)" for k in range(n)],
        "Sex": rng.choice(["male", "female"], size=n),
        "Age": gap(rng.integers(1, 80, size=n).tolist(), 0.2),
        "SibSp": rng.integers(0, 5, size=n),
        "Ticket": [str(rng.integers(1000, 1800)) if k % 4 else f"A/5 {k}" for k in range(n)],
        "Fare": rng.gamma(2, 15, size=n).round(4),
        "Cabin": gap([f"C{k}" for k in rng.integers(0, 147, size=n)], 0.77),
        "Embarked": gap(rng.choice(["S", "C", "Q"], size=n).tolist(), 0.01),
        "Alone": rng.random(n) < 0.5,
    }
    return polars.DataFrame(columns, strict=False)


def test_a_table_like_the_titanics_needs_no_options_and_is_the_same_through_parquet(tmp_path):
    frame = passengers()
    frame.write_csv(tmp_path / "passengers.csv")
    frame.write_parquet(tmp_path / "passengers.parquet")
    read = [load_table(tmp_path / name) for name in ("passengers.csv", "passengers.parquet")]
    rows = [split_table(table, "Survived")[0] for table in read]
    recipes = [learn_recipe(table, "Survived", rows=some) for table, some in zip(read, rows, strict=True)]
    np.testing.assert_array_equal(*rows)
    assert recipes[0] == recipes[1]
    for table in read:
        x, notes = recipes[0].inputs(table)
        y, keep = recipes[0].targets(table)
        np.testing.assert_array_equal(x, recipes[1].inputs(read[0])[0])
        np.testing.assert_array_equal(y.argmax(1), frame["Survived"] == "lived")
        assert (x.shape, notes, keep.all()) == ((891, 4 + 1 + 2 + 1 + 3 + 1 + 2), [], True)
    gaps = frame["Age"].is_null().to_numpy()
    lines = recipes[0].describe()
    assert lines[0] == (
        "8 columns: 4 numbers, 3 one-hot (8 levels), 1 used only as to whether there is a value (Cabin)"
    )
    assert lines[1].startswith(
        f"Gaps are filled with the mean, and marked in a column of their own: Age ({gaps[rows[0]].sum()} gaps"
    )
    assert re.search(r"Left out: PassengerId \(.*like an identifier\), Name \(.*\), Ticket \(\d+ texts", lines[2])
    assert lines[3] == "Classes of Survived: died, lived"


def test_numbers_are_standardised_by_the_training_rows():
    rows = np.arange(60) < 40
    frame = table()
    recipe = learn_recipe(frame, "y", rows=rows)
    x, _ = recipe.inputs(frame)
    values = frame["x"].to_numpy()
    np.testing.assert_allclose(x[:, 0], (values - values[:40].mean()) / values[:40].std(), rtol=1e-6)
    y, _ = recipe.targets(frame)
    np.testing.assert_allclose([y[rows].mean(), y[rows].std()], [0, 1], atol=1e-6)
    changed = frame.with_columns(x=polars.when(polars.Series(rows)).then(polars.col("x")).otherwise(1000.0))
    assert learn_recipe(changed, "y", rows=rows) == recipe


def test_inputs_need_little_more_memory_than_their_result():
    frame = polars.DataFrame({f"x{k}": RNG.normal(size=50_000) for k in range(40)} | {"y": RNG.normal(size=50_000)})
    recipe = learn_recipe(frame, "y")
    tracemalloc.start()
    try:
        x, _ = recipe.inputs(frame)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert x.nbytes == 40 * 50_000 * 4
    assert peak < x.nbytes + 4 * 50_000 * 8  # and so four columns at once, float64


def test_large_numbers_close_together_keep_their_digits():
    frame = polars.DataFrame({"x": 1e9 + np.arange(50.0) * 0.01, "y": np.arange(50.0)})
    x, _ = learn_recipe(frame, "y").inputs(frame)
    np.testing.assert_allclose(np.diff(x[:, 0]), 1 / (np.arange(50).std()), rtol=1e-4)


def test_a_gap_becomes_the_mean_and_a_mark():
    frame = table(age=[None, 10.0, 30.0] * 20)
    recipe = learn_recipe(frame, "y")
    x, _ = recipe.inputs(frame)
    np.testing.assert_allclose(x[:3, 1:], [[0, 1], [-1, 0], [1, 0]])
    assert any(line.endswith("age (20 gaps, 20)") for line in recipe.describe())


def test_a_gap_where_training_had_none_is_the_mean_and_a_note():
    recipe = learn_recipe(table(), "y")
    x, notes = recipe.inputs(polars.DataFrame({"x": ["3", None, None]}))
    np.testing.assert_array_equal(x[1:], 0)
    assert notes == [f"x: 2 gaps, and none in training; filled with {table()['x'].mean():.4g}"]


def test_text_is_one_hot_and_a_gap_a_level_where_training_had_one():
    frame = table(city=["Rome", "Oslo", None] * 20)
    recipe = learn_recipe(frame, "y")
    x, notes = recipe.inputs(frame)
    np.testing.assert_array_equal(x[:3, 1:], [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert notes == []


def test_an_unseen_level_is_all_zeros_and_counted():
    recipe = learn_recipe(table(city=["Rome", "Oslo"] * 30), "y")
    x, notes = recipe.inputs(polars.DataFrame({"city": ["Bern", "Oslo", None, "Kyiv"], "x": [1, 2, 3, 4]}))
    np.testing.assert_array_equal(x[:, 1:], [[0, 0], [1, 0], [0, 0], [0, 0]])
    assert notes == ["city: 2 rows with a text and 1 row with a gap not seen in training; taken as none of its levels"]


def test_names_that_are_odd_to_read_are_quoted_and_cut():
    frame = table(**{"a\nb": [None, 1, 2] * 20, "x" * 99: [None, 1, 2] * 20, "": ["a"] * 60})
    recipe = learn_recipe(frame, "y")
    assert [line.split(" column of their own: ")[-1] for line in recipe.describe()[1:]] == [
        f"'a\\nb' (20 gaps, 1.5), '{'x' * 40}…' (20 gaps, 1.5)",
        "Left out: '' (constant)",
    ]


@pytest.mark.parametrize("booleans", [[True, False], ["True", "False"], ["TRUE", "false"]])
def test_booleans_are_the_same_in_any_spelling(booleans):
    recipe = learn_recipe(table(sold=["true", "false"] * 30), "y")
    assert learn_recipe(table(sold=booleans * 30), "y") == recipe
    x, notes = recipe.inputs(polars.DataFrame({"x": [1, 2], "sold": booleans}))
    np.testing.assert_array_equal(x[:, 1:], [[0, 1], [1, 0]])
    assert notes == []


def test_a_value_means_the_same_whatever_stands_in_the_other_rows():
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


def test_columns_are_matched_by_name_and_unknown_ones_ignored():
    frame = table(city=["Rome", "Oslo"] * 30)
    recipe = learn_recipe(frame, "y")
    shuffled = frame.select("city", polars.lit("?").alias("other"), "x")
    np.testing.assert_array_equal(recipe.inputs(shuffled)[0], recipe.inputs(frame)[0])
    with refuses("no column 'city'; the columns are 'x'"):
        recipe.inputs(frame.select("x"))


def test_many_levels_that_repeat_are_refused_with_the_option_that_helps():
    cities, shops = [f"city {k % 60}" for k in range(300)], [f"shop {k % 70}" for k in range(300)]
    frame = table(300, city=cities, shop=shops, zone=["a", "b"] * 150)
    message = "column 'city' holds 60 texts such as 'city 0', and 1 other too; at most 50 become columns: "
    with refuses(message + "--drop zone,city,shop"):
        learn_recipe(frame, "y", drop=["zone"])
    recipe = learn_recipe(frame, "y", drop=["zone", "city", "shop"])
    assert recipe.n_inputs == 1
    assert recipe.left_out == (("zone", "dropped"), ("city", "dropped"), ("shop", "dropped"))


@pytest.mark.parametrize("name", ["city, state", 'the "zone"', "-x", "plain"])
def test_the_option_that_helps_can_be_typed(name):
    frame = table(n=600, **{name: [f"level {k % 60}" for k in range(600)]})
    with pytest.raises(TableError) as refused:
        learn_recipe(frame, "y")
    option = shlex.split(re.search("--drop.*", str(refused.value))[0])
    parser = argparse.ArgumentParser()
    parser.add_argument("--drop", type=columns)
    assert parser.parse_args(option).drop == [name]


def test_what_is_left_out():
    days = polars.date_range(polars.date(2020, 1, 1), polars.date(2020, 2, 29), eager=True).to_list()
    frame = table(
        same=["a"] * 60,
        seven=[7] * 60,
        tiny=[1e-200, 2e-200] * 30,
        none=[None] * 60,
        day=days,
        written=[f"{day:%d.%m.%Y}" for day in days],
        name=[f"name {k}" for k in range(60)],
        customer_id=np.arange(60) * 3 + 1000,
        lists=[[1]] * 60,
    )
    recipe = learn_recipe(frame, "y")
    assert [column.name for column in recipe.columns] == ["x"]
    reasons = dict(recipe.left_out)
    assert reasons["same"] == reasons["seven"] == reasons["tiny"] == "constant"
    assert reasons["none"] == "empty"
    assert reasons["day"] == reasons["written"] == "dates; to use it, make numbers of it"
    assert reasons["name"] == "60 texts in 60 rows, like an identifier"
    assert reasons["customer_id"] == "whole numbers, all different, like an identifier"
    assert reasons["lists"] == "List(Int64); to use it, make numbers of it"


def test_of_a_constant_with_gaps_only_the_gaps_are_used():
    frame = table(flag=[7, None] * 30)
    x, _ = learn_recipe(frame, "y").inputs(frame)
    np.testing.assert_array_equal(x[:2, 1:], [[0], [1]])


@pytest.mark.parametrize("name", ["", "id", "ID", "PassengerId", "Unnamed: 0", "index", "house_id"])
def test_an_index_is_left_out(name):
    assert dict(learn_recipe(table(**{name: range(60)}), "y").left_out)[name].endswith("like an identifier")


@pytest.mark.parametrize("name", ["humid", "day", "paid"])
def test_what_only_counts_the_rows_is_used_and_pointed_out(name):
    recipe = learn_recipe(table(**{name: range(60)}), "y")
    assert recipe.n_inputs == 2
    assert recipe.remarks == (f"'{name}' counts the rows, like an identifier; if it is one: --drop {name}",)


def test_a_copy_of_the_target_is_pointed_out():
    frame = table().with_columns(price=polars.col("y"))
    (remark,) = learn_recipe(frame, "y").remarks
    assert remark == "'price' holds the same as the target; if it gives the answer away: --drop price"


def test_one_slip_in_a_column_of_numbers_is_named_and_many_make_it_text():
    numbers = [str(k) for k in RNG.integers(0, 9, size=60)]
    slipped = table(rooms=[*numbers[:40], "many", *numbers[41:]])
    with refuses("column 'rooms', row 41: 'many' is not a number"):
        learn_recipe(slipped, "y")
    assert learn_recipe(slipped, "y", drop=["rooms"]).n_inputs == 1
    assert learn_recipe(table(rooms=["many", "few", "3", "4"] * 15), "y").n_inputs == 5
    with refuses("column 'x', row 2: 'large' is not a number"):
        learn_recipe(table(), "y").inputs(polars.DataFrame({"x": ["1", "large"]}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("inf", "column 'x', row 3: inf is not finite"),
        ("1e200", "column 'x', row 3: 1e200 is too large; numbers must be below 1e+30"),
    ],
)
def test_numbers_must_be_finite_and_below_a_limit(value, message):
    frame = table().with_columns(polars.col("x").cast(polars.String))
    frame[2, "x"] = value
    with refuses(message):
        learn_recipe(frame, "y")


def test_a_number_too_far_from_those_in_training_is_refused():
    recipe = learn_recipe(table().with_columns(polars.col("x") * 1e-20), "y")
    with refuses("column 'x', row 1: 1e+20 is too far from the training rows"):
        recipe.inputs(polars.DataFrame({"x": [1e20]}))


def test_rows_without_a_target_do_not_teach_and_are_told():
    frame = table(city=["Rome", "Oslo"] * 30).with_columns(y=polars.when(polars.col("city") == "Rome").then("y"))
    recipe = learn_recipe(frame, "y")
    assert recipe == learn_recipe(frame, "y", rows=frame["y"].is_not_null().to_numpy())
    y, keep = recipe.targets(frame)
    np.testing.assert_array_equal(keep, [True, False] * 30)
    assert not y[~keep].any()


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
def test_the_target_decides_and_comes_back_in_its_own_type(values, task, decided, classes, predicted):
    frame = polars.DataFrame({"x": RNG.normal(size=30), "y": values * 10}, strict=False)
    recipe = learn_recipe(frame, "y", task=task)
    assert (recipe.task, recipe.classes, recipe.n_outputs) == (decided, classes, len(classes) or 1)
    y, keep = recipe.targets(frame)
    assert y.dtype == np.float32
    assert keep.all()
    decoded = recipe.decode(y)
    assert decoded.columns == recipe.output_columns()
    assert decoded.columns[-1] == "prediction"
    prediction = decoded["prediction"].to_list()[:3]
    assert [type(value) for value in prediction] == [type(value) for value in predicted]
    assert prediction == (predicted if classes else pytest.approx(predicted, abs=1e-6))


def test_columns_of_probabilities_are_named_after_the_classes():
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
        ([[1], [2]] * 30, None, "the target 'y' holds List(Int64); numbers, text or booleans can be predicted"),
    ],
)
def test_targets_that_are_refused(values, task, message):
    with refuses(message):
        learn_recipe(polars.DataFrame({"x": RNG.normal(size=60), "y": values}), "y", task=task)


def test_what_a_call_can_get_wrong():
    with refuses("no column 'z'; the columns are 'x', 'y'"):
        learn_recipe(table(), "z")
    with refuses("--drop z: 'z' is no column; they are 'x', 'y'"):
        learn_recipe(table(), "y", drop=["z"])
    with refuses("--drop y: 'y' is the target"):
        learn_recipe(table(), "y", drop=["y"])
    with refuses("'y' is the only column; there is nothing to predict it from"):
        learn_recipe(table().select("y"), "y")
    with refuses("no column is left to predict 'y' from; left out: x (dropped)"):
        learn_recipe(table(), "y", drop=["x"])
    with pytest.raises(ValueError, match="task must be one of regression, classification, counts, or None; got 'rank'"):
        learn_recipe(table(), "y", task="rank")
    with pytest.raises(ValueError, match=r"rows must be bool of shape \(n,\) = \(60,\)"):
        learn_recipe(table(), "y", rows=np.arange(60))


def test_targets_of_another_table_must_be_ones_that_were_learnt():
    recipe = learn_recipe(passengers(), "Survived")
    with refuses("column 'Survived', row 1: no class 'missing' among the training rows"):
        recipe.targets(polars.DataFrame({"Survived": ["missing"]}))
    counts = learn_recipe(polars.DataFrame({"x": range(6), "y": range(6)}), "y", task="counts")
    with refuses("column 'y', row 2: -1 is no count; counts are 0 or more"):
        counts.targets(polars.DataFrame({"y": [0, -1]}))


@pytest.mark.parametrize("task", ["regression", "classification", "counts"])
def test_a_recipe_survives_json_exactly(task):
    frame = passengers(200).with_columns(y=RNG.integers(0, 5, size=200), odd=polars.lit(0.1) + polars.col("Fare") / 3)
    recipe = learn_recipe(frame, "y", task=task, drop=["SibSp"])
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    np.testing.assert_array_equal(again.inputs(frame)[0], recipe.inputs(frame)[0])


DELETED = object()


def changed(*path, to):
    """The JSON of a recipe with one entry changed, or deleted."""
    content = json.loads(learn_recipe(passengers(), "Survived").to_json())
    place = content
    for key in path[:-1]:
        place = place[key]
    if to is DELETED:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "recipe must be JSON"),
        ("[" * 100_000, "recipe must be JSON"),
        ("[]", "recipe must be what Recipe.to_json writes"),
        ("{}", "recipe must be what Recipe.to_json writes"),
        (changed("version", to=2), "recipe must be of version 1; got 2: written by another jaxmlp"),
        (changed("version", to=DELETED), "recipe must be of version 1; got None"),
        (changed("task", to="rank"), "Recipe.task cannot be 'rank'"),
        (changed("task", to="counts"), "recipe: counts cannot have 2 classes"),
        (changed("classes", to=[]), "recipe: classification cannot have 0 classes"),
        (changed("classes", to=["b", "a"]), "Recipe.classes cannot be ['b', 'a']"),
        (changed("classes", to=["a", 1]), "Recipe.classes cannot be ['a', 1]"),
        (changed("scale", to=0), "Recipe.scale cannot be 0"),
        (changed("center", to=float("inf")), "Recipe.center cannot be inf"),
        (changed("target", to=None), "Recipe.target cannot be None"),
        (changed("more", to=1), "Recipe must have the fields"),
        (changed("left_out", to=[["a"]]), "Recipe.left_out cannot be [['a']]"),
        (changed("columns", to={}), "recipe.columns must be a list of objects"),
        (changed("columns", to=[]), "Recipe.columns cannot be ()"),
        (changed("columns", 0, "kind", to="__import__"), "recipe.columns must be of kinds number, one-hot, presence"),
        (changed("columns", 0, "scale", to=-1), "Number.scale cannot be -1"),
        (changed("columns", 0, "gaps", to=1.5), "Number.gaps cannot be 1.5"),
        (changed("columns", 0, "name", to=DELETED), "Number must have the fields"),
        (changed("columns", 1, "levels", to=["b", "a"]), "OneHot.levels cannot be ['b', 'a']"),
        (changed("columns", 1, "levels", to=[]), "OneHot.levels cannot be []"),
    ],
)
def test_json_that_is_no_recipe_is_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Recipe.from_json(text)
