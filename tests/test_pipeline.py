"""`fit_table`: the whole path from a table to a model, its report, and predictions of held-out rows."""

import json
from dataclasses import replace

import jax
import numpy as np
import polars
import pytest
from helpers import assert_equal
from tables import FAST, SEARCH, SHORT, N, houses

import jaxmlp
from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.splitting import make_folds
from jaxmlp.models.interval import cross_fit_interval
from jaxmlp.models.report import ColumnFigures, Ends, Figures, Report, SettingFigures
from jaxmlp.pipeline import describe_report
from jaxmlp.pipeline import run as pipeline
from jaxmlp.pipeline.plan import full_plan
from jaxmlp.pipeline.rows import read_rows
from jaxmlp.selection import assembly
from jaxmlp.tables import TableError, TableWarning
from jaxmlp.tables.findings import format_number

# Booleans, text of which one value occurs once, and counts.
RNG = np.random.default_rng(1)
TARGETS = {
    "sold": RNG.random(N) < 0.3,
    "kind": np.array(["castle", *["hut"] * (N - 1)]),
    "visits": RNG.poisson(4, size=N),
}


def table(target=None):
    frame = houses()
    return frame if target is None else frame.drop("price").with_columns(polars.Series(target, TARGETS[target]))


def arrays(result):
    return [group.params for group in result.model.groups]


@pytest.fixture(scope="module")
def fast():
    return jaxmlp.fit_table(houses(), "price", **FAST)


@pytest.fixture(scope="module")
def full():
    return jaxmlp.fit_table(houses(), "price", **SEARCH)


@pytest.mark.extended
def test_fast_is_the_same_search_with_one_candidate_and_a_hold_out_of_a_fifth(fast, full):
    assert fast.report.keys() == full.report.keys()
    assert [entry.keys() for entry in fast.report["candidates"]] == [full.report["candidates"][0].keys()]
    for result, folds, candidates, held_out in ((fast, 1, 1, N // 5), (full, 5, 3, N)):
        report, plan = result.report, result.plan
        assert (report["folds"], len(report["candidates"]), report["held_out"]) == (folds, candidates, held_out)
        assert (plan.folds, len(plan.candidates), result.predictions.height) == (folds, candidates, held_out)
        assert report["networks"] == folds * candidates
        assert report["members"] == result.model.members
        assert report["members"] % folds == 0  # of each fold as many
        assert report["rows"] == N


@pytest.mark.extended
def test_the_report_is_the_representation_and_holds_what_json_can(fast, full):
    for result in (fast, full):
        assert repr(result) == "\n".join(describe_report(result.report))
        assert json.loads(json.dumps(result.report, allow_nan=False)) == result.report == result.model.report
        assert repr(result).startswith("price: ")


def require_fields(report):
    """The fields of a report are those of its type, which type checkers and readers know."""
    absent = {"mean", "trees"} - report.keys()
    absent |= set() if report["task"] == "classification" else {"accuracy", "accuracy_error"}
    assert report.keys() == Report.__annotations__.keys() - absent
    assert report["constant"].keys() == Figures.__annotations__.keys() - absent
    for name, kind in {"candidates": SettingFigures, "columns": ColumnFigures}.items():
        assert {*report[name][0]} == kind.__annotations__.keys() - {"accuracy", "accuracy_error"}
    assert report["interval"] is None or report["interval"].keys() == Ends.__annotations__.keys()


def test_a_report_has_the_fields_of_its_type(fast, full):
    require_fields(fast.report)
    require_fields(full.report)


LABELS = {
    "mean": "network and linear, mean", "network": "network", "trees": "boosted trees", "linear": "linear",
    "constant": "constant (mean)",
}  # fmt: skip


def test_the_lines_of_a_report_follow_from_its_data(full):
    """Nothing is printed that is not in the data."""
    lines = describe_report(json.loads(json.dumps(full.report)))
    report = full.report
    for name in ("mean", "network", "trees", "linear", "constant"):
        score = report if name == report["saved"] else report[name]
        (line,) = (line for line in lines if line.startswith(f"{LABELS[name]}  "))
        assert f"  {score['score']:.0f} ± {score['standard_error']:.0f}" in line
        assert line.endswith("<- saved") == (name == report["saved"])
    assert lines[0] == f"price: {report['verdict']}"
    assert f"Measured: {report['method']}" in lines
    assert "What predicts the rows of a fold was chosen by the rows of the others" in report["method"]
    low, high, coverage = report["interval"].values()
    around = f"from prediction - {format_number(-low)} to prediction + {format_number(high)} on average"
    assert f"90 % prediction intervals, {around}; they hold {coverage:.0%} of the held-out targets" in lines
    assert [line.split()[0] for line in lines[-4:]] == [column["name"] for column in report["columns"]]
    importances = [column["importance"] for column in report["columns"]]
    assert importances == sorted(importances, reverse=True)


def test_the_best_candidate_is_told(full):
    report = full.report
    best = min(report["candidates"], key=lambda candidate: candidate["score"])
    assert {name: report[name] for name in Candidate._fields} == {name: best[name] for name in Candidate._fields}
    assert [entry["bins"] for entry in report["candidates"]] == [16, 0, 128]


def linear_houses():
    """Houses whose price is a linear function of the rooms."""
    return houses().with_columns(price=1000 * polars.col("rooms") + polars.col("zone"))


def test_the_saved_model_is_the_one_that_is_marked(fast, full):
    """A linear model has no hidden layers, and their mean has networks with and without."""
    linear = jaxmlp.fit_table(linear_houses(), "price", **FAST)
    depths = {"network": {2}, "linear": {1}, "mean": {1, 2}}
    for result in (fast, full, linear):
        (marked,) = (line for line in repr(result).splitlines() if line.endswith("<- saved"))
        saved = result.report["saved"]
        assert marked.startswith(f"{LABELS[saved]}  ")
        assert {len(group.params) for group in result.model.groups} == depths[saved]
    assert linear.report["saved"] == "linear"


def test_scores_are_those_of_the_predictions_of_held_out_rows(full):
    error = full.predictions["prediction"] - full.predictions["target"]
    np.testing.assert_allclose(full.report["score"], np.sqrt((error**2).mean()))


def test_only_a_model_that_averages_folds_has_an_adjusted_score(fast, full):
    assert 0.8 * full.report["score"] < full.report["adjusted_score"] <= full.report["score"]
    assert "Expected of the saved model, the mean of all" in repr(full)
    assert fast.report["adjusted_score"] is None
    assert "Expected" not in repr(fast)


def test_the_intervals_of_the_rows_of_a_fold_are_measured_on_those_of_the_others(full):
    """And the coverage that is told is that of these intervals."""
    fold, target, low, high, prediction = full.predictions.drop("row").to_numpy().T
    expected = cross_fit_interval(prediction, target, fold)
    np.testing.assert_allclose([low, high], expected)
    moved = cross_fit_interval(prediction, np.where(fold == 1, 1e6, target), fold)
    np.testing.assert_array_equal(moved[0][fold == 1], expected[0][fold == 1])
    told = full.report["interval"]
    assert told["coverage"] == np.mean((low <= target) & (target <= high))
    assert 0.8 < told["coverage"] < 1
    np.testing.assert_allclose([told["low"], told["high"]], [(low - prediction).mean(), (high - prediction).mean()])


def test_the_plan_gives_the_same_bits_without_scikit_learn(fast, monkeypatch):
    monkeypatch.setattr(pipeline, "measure_trees", lambda *_, **__: None)
    without = jaxmlp.fit_table(houses(), "price", plan=fast.plan)
    assert_equal(arrays(without), arrays(fast))
    assert without.predictions.equals(fast.predictions)
    assert without.report == {name: entry for name, entry in fast.report.items() if name != "trees"}
    (note,) = [note for note in without.notes if note.startswith("Boosted trees (HistGradientBoosting")]
    assert note.endswith("were left out: pip install 'jaxmlp[sklearn]' for them")
    assert "boosted trees" not in repr(without)


def test_a_plan_without_trees_measures_none_and_says_so(fast):
    without = jaxmlp.fit_table(houses(), "price", plan=replace(fast.plan, trees=False))
    assert "trees" not in without.report
    assert any("were left out: the plan has none: " in note for note in without.notes)


def test_trees_that_are_better_are_told_and_change_nothing_else(fast, monkeypatch):
    sentence = "Boosted trees are better by more than two standard errors"
    assert sentence not in repr(fast)
    monkeypatch.setattr(pipeline, "measure_trees", lambda prepared, *_, **__: prepared.y)
    better = jaxmlp.fit_table(houses(), "price", plan=fast.plan)
    assert better.report["trees"]["score"] == 0
    assert better.report["trees_are_better"]
    assert sentence in repr(better).splitlines()
    assert_equal(arrays(better), arrays(fast))
    assert better.report["score"] == fast.report["score"]


@pytest.mark.extended
@pytest.mark.parametrize("folds", [1, 5])
def test_members_are_so_many_networks_trained_on_all_rows(fast, full, monkeypatch, folds):
    rows, refit = [], assembly.refit

    def spy(search, *arguments):
        rows.append(search.prepared.folds.train)
        return refit(search, *arguments)

    monkeypatch.setattr(assembly, "refit", spy)
    plan = replace(fast.plan if folds == 1 else full.plan, members=1, candidates=fast.plan.candidates)
    result = jaxmlp.fit_table(houses(), "price", plan=plan)
    np.testing.assert_array_equal(rows, [[np.arange(N)]])
    (group,) = result.model.groups
    assert (group.members, len(group.params), result.report["members"]) == (1, 2, 1)
    assert (result.report["saved"], "mean" in result.report) == ("network", False)
    assert result.report["networks"] == folds


def test_a_cross_validation_predicts_each_row_once(full):
    assert sorted(full.predictions["row"]) == list(range(1, N + 1))
    assert full.predictions["fold"].value_counts()["count"].to_list() == [N // 5] * 5
    assert full.predictions.columns == ["row", "fold", "target", "low", "high", "prediction"]
    rows = full.predictions["row"].to_numpy() - 1
    np.testing.assert_array_equal(full.predictions["target"], houses()["price"].to_numpy()[rows])


@pytest.mark.extended
def test_rows_keep_their_numbers_when_rows_without_a_target_are_left_out():
    """The numbers are those of the file, below the header."""
    rows = np.arange(N) % 2 == 1
    price = polars.concat([houses(), houses()]).with_columns(number=np.arange(2 * N))
    price = price.with_columns(price=polars.when(polars.Series(np.tile(rows, 2))).then(polars.col("number")))
    result = jaxmlp.fit_table(price.drop("number"), "price", **FAST)
    assert "Rows without a target, left out: 80" in result.notes
    assert result.predictions.height == N // 5
    assert result.predictions["row"].to_list() == (result.predictions["target"] + 1).to_list()


def test_a_path_a_frame_and_a_dict_give_the_same_model(fast, tmp_path):
    frame, path = houses(), tmp_path / "houses.csv"
    frame.write_csv(path)
    frame.write_parquet(tmp_path / "houses.parquet")
    columns = {name: frame[name].to_list() for name in frame.columns}
    for data in (path, str(tmp_path / "houses.parquet"), columns):
        result = jaxmlp.fit_table(data, "price", **FAST)
        assert_equal(arrays(result), arrays(fast))
        assert result.predictions.equals(fast.predictions)


def test_a_pandas_frame_gives_the_same_model(fast):
    pandas = pytest.importorskip("pandas")
    frame = houses()
    data = pandas.DataFrame({name: frame[name].to_list() for name in frame.columns})
    assert_equal(arrays(jaxmlp.fit_table(data, "price", **FAST)), arrays(fast))


def test_the_model_predicts_a_table_and_knows_how_it_was_found(fast, tmp_path):
    jaxmlp.save_model(fast.model, tmp_path / "model")
    model = jaxmlp.load_model(tmp_path / "model")
    held_out = houses()[(fast.predictions["row"] - 1).to_list()]
    predictions = jaxmlp.predict(model, held_out)[:, 0]
    np.testing.assert_array_equal(predictions, jaxmlp.predict(fast.model, held_out)[:, 0])
    # Other rows may have chosen another model for a part of the rows.
    assert np.isclose(predictions, fast.predictions["prediction"], rtol=1e-5).mean() > 0.5
    assert (model.report, model.plan) == (fast.report, fast.plan.to_json())


@pytest.mark.extended
@pytest.mark.parametrize("target", TARGETS)
def test_classes_booleans_and_counts(target):
    task = "counts" if target == "visits" else None
    result = jaxmlp.fit_table(table(target), target, task=task, **FAST)
    report, predictions = result.report, result.predictions
    assert report["task"] == (task or "classification")
    require_fields(report)
    assert predictions["target"].to_list() == table(target)[target].gather(predictions["row"] - 1).to_list()
    if target == "visits":
        assert predictions.columns == ["row", "fold", "target", "low", "high", "prediction"]
        assert report["error"] == "deviance"
        assert (predictions["low"] >= 0).all()
        assert 0 < report["interval"]["coverage"] <= 1
    else:
        classes = result.model.recipe.class_names()
        assert predictions.columns == ["row", "fold", "target", *(f"probability_{c}" for c in classes), "prediction"]
        assert predictions["prediction"].dtype == predictions["target"].dtype
        probabilities = predictions.select(f"probability_{c}" for c in classes).to_numpy()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        right = (predictions["prediction"] == predictions["target"]).mean()
        np.testing.assert_allclose(report["accuracy"], right)
        assert report["interval"] is None
        assert "constant (class frequencies)" in repr(result)


def test_booleans_and_numbers_are_told_from_text_in_a_file(tmp_path):
    table("sold").write_csv(tmp_path / "houses.csv")
    predictions = jaxmlp.fit_table(tmp_path / "houses.csv", "sold", **FAST).predictions
    assert predictions["target"].dtype == predictions["prediction"].dtype == polars.Boolean
    houses().write_csv(tmp_path / "houses.csv")
    assert jaxmlp.fit_table(tmp_path / "houses.csv", "price", **FAST).predictions["target"].dtype == polars.Float64


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (["cat"] * N, "the target 'y' is the same in all training rows; there is nothing to learn"),
        ([True] * N, "the same in all training rows"),
        ([3] * N, "the same in all training rows"),
        ([None] * N, "the target 'y' is empty"),
        ([None] * (N - 5) + [1, 2, 3, 4, 5], "5 rows with a target; at least 6 are needed"),
        (
            [None] * 50 + [f"class {k // 1.5:g}" for k in range(N - 50)],
            "at least 40 are needed to measure a model of 20 classes",
        ),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(target, message):
    frame = houses().with_columns(polars.Series("y", target))
    with pytest.raises(TableError, match=message):
        jaxmlp.fit_table(frame, "y", **FAST)


@pytest.mark.extended
def test_six_rows_are_enough():
    result = jaxmlp.fit_table(houses().head(6), "price", **FAST)
    assert result.predictions.height == 2
    assert "±" in repr(result)


@pytest.mark.parametrize("n", [*range(6, 20), 200, 201])
def test_as_many_classes_as_half_the_rows_can_be_held_out(n):
    classes = np.minimum(np.arange(n), n // 2 - 1)
    for folds in (1, full_plan(n, {}).folds):
        parts = make_folds(n, folds, np.random.default_rng(n), classes=classes)
        assert (np.bincount(parts.number[parts.number >= 0]) >= 2).all()


def test_the_plan_repeats_the_search_to_the_bit(fast, full):
    for result in (fast, full):
        for plan in (result.plan, result.model.plan):
            again = jaxmlp.fit_table(houses(), "price", plan=plan)
            assert_equal(arrays(again), arrays(result))
            assert (again.report, again.plan) == (result.report, result.plan)
            assert again.predictions.equals(result.predictions)
    other = jaxmlp.fit_table(houses(), "price", plan=fast.plan, seed=1)
    assert other.report["network"] != fast.report["network"]


def test_time_decides_the_plan_and_nothing_else(monkeypatch):
    """A reduced plan gives the same bits as the same options without a time limit."""
    monkeypatch.setattr(pipeline, "measure_epoch", lambda search, candidate: 100.0)
    options = FAST | {"budget": 740}
    del options["epochs"]
    reduced = jaxmlp.fit_table(houses(), "price", **options)
    assert reduced.plan.epochs == 5  # what fits into 75 % of the budget
    assert "Search reduced to fit the budget: 1 of 1 settings, at most 5 epochs" in reduced.notes
    given = jaxmlp.fit_table(houses(), "price", **FAST | {"epochs": 5})
    assert_equal(arrays(reduced), arrays(given))
    assert reduced.plan == given.plan
    several = jaxmlp.fit_table(houses(), "price", **SHORT | {"budget": 1100})
    assert (len(several.plan.candidates), several.plan.epochs) == (1, SHORT["epochs"])
    assert any("1 of 6 settings, at most 8 epochs" in note for note in several.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 9}, "epochs cannot be given: the plan has other values"),
        ({"learning_rate": 0.5, "hidden": (9,)}, "hidden, learning_rate cannot be given"),
        ({"fast": True, "epochs": SHORT["epochs"]}, "fast cannot be given"),
    ],
)
def test_options_that_contradict_the_plan_are_refused(full, options, message):
    with pytest.raises(ValueError, match=message):
        jaxmlp.fit_table(houses(), "price", plan=full.plan, **options)


def test_options_that_agree_with_the_plan_may_be_given(fast):
    again = jaxmlp.fit_table(houses(), "price", plan=fast.plan, **FAST)
    assert_equal(arrays(again), arrays(fast))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "ranking"}, "task must be one of regression, classification, counts"),
        ({"activation": "swish"}, "activation must be one of identity, relu"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of adam, sgd"),
        ({"learning_rate": -0.1}, "learning rates and weight decays must be finite and at least 0"),
        ({"members": 0}, "no number below 1"),
        ({"resume": True}, "resume must be False without a checkpoint"),
        ({"drop": ["area"]}, "no column 'area'"),
        ({"plan": {"folds": 1}}, "plan must have the fields"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        jaxmlp.fit_table(houses(), "price", **FAST | options)


def test_columns_are_dropped_by_one_name_or_several():
    for drop in ("street", ["street"]):
        recipe = jaxmlp.fit_table(houses(), "price", drop=drop, **FAST).model.recipe
        assert recipe.left_out == (("street", "dropped"),)


def test_duplicate_rows_are_noted():
    notes = jaxmlp.fit_table(polars.concat([houses().head(60), houses().head(20)]), "price", **FAST).notes
    assert "20 of 80 rows equal an earlier one; they stay in one fold" in notes


def test_duplicate_rows_are_noted_in_a_split_by_time():
    frame = houses().with_columns(year=np.arange(N) // 2)
    told = []
    read_rows(polars.concat([frame, frame.head(20)]), "price", told.append, time="year")
    assert told[-1] == "20 of 100 rows equal an earlier one; they stay on one side"
    frame = polars.concat([frame, frame.head(20).with_columns(year=polars.lit(99, polars.Int64))])
    read_rows(frame, "price", told.append, time="year", drop=["year"])
    expected = ", 20 of them at another time: held-out rows may equal training rows"
    assert told[-1] == f"20 of 100 rows equal an earlier one{expected}"


def test_notes_are_told_as_soon_as_they_are_known_and_kept():
    told, shares = [], []
    result = jaxmlp.fit_table(houses(), "price", **FAST, on_note=told.append, progress=shares.append)
    assert tuple(told) == result.notes
    assert "Left out: street (constant)" in told
    assert sum(line.startswith("Plan: networks ") for line in told) == 1
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1


@pytest.mark.extended
def test_the_plan_is_told_with_the_inputs_of_all_its_networks(fast, full):
    """Two inputs of the city, and three numbers, alone or with bins of each; a missing age is an input too."""
    for result, sizes in ((fast, "54-8-1"), (full, "54-8-1 or 6-8-1 or 195-8-1")):
        how = "one hold-out, 1 setting" if result is fast else "5 folds, 3 settings"
        expected = f"Plan: networks {sizes}, gelu, adam; {how}, 1 network each; at most 8 epochs, batches of 8"
        assert [line for line in result.notes if line.startswith("Plan: ")] == [expected]


@pytest.mark.extended
def test_training_that_diverges_is_an_error():
    for target in ("price", "sold"):
        frame = houses() if target == "price" else table("sold")
        with pytest.raises(FloatingPointError, match="training diverged: try a smaller learning rate"):
            jaxmlp.fit_table(frame, target, **FAST, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="training diverged: try a smaller weight decay"):
        jaxmlp.fit_table(houses(), "price", **FAST, weight_decay=1e30)


def test_classes_with_a_single_row_cannot_be_judged_and_are_named():
    notes = []
    kinds = polars.Series("kind", ["castle", "igloo", *["hut", "house"] * (N // 2 - 1)])
    y = read_rows(houses().with_columns(kinds), "kind", notes.append, drop=("price",)).y
    assert sorted(y.sum(axis=0)) == [1, 1, N / 2 - 1, N / 2 - 1]
    assert notes[-1] == "Classes with a single row, which cannot be judged: 'castle', 'igloo'"
    read_rows(houses(), "price", notes.append)
    assert sum("single row" in note for note in notes) == 1


@pytest.mark.parametrize("target", ["price", "sold"])
def test_a_candidate_that_diverges_is_never_the_best(fast, target):
    frame = houses() if target == "price" else table("sold")
    plan = replace(fast.plan, candidates=(Candidate(1e30, 0.0, (8,), 16), *fast.plan.candidates))
    result = jaxmlp.fit_table(frame, target, plan=plan)
    diverged, used = result.report["candidates"]
    assert diverged["score"] is None
    assert used["score"] == min(entry["score"] or np.inf for entry in result.report["candidates"])
    assert result.report["learning_rate"] == used["learning_rate"]
    assert np.isfinite(result.model.groups[0].params[0].w).all()
    json.dumps(result.report, allow_nan=False)


@pytest.mark.slow  # compiles all programs once more
def test_float64_elsewhere_changes_nothing(fast):
    with jax.enable_x64(True):
        result = jaxmlp.fit_table(houses(), "price", **FAST)
    np.testing.assert_allclose(result.report["network"]["score"], fast.report["network"]["score"], rtol=1e-4)


@pytest.mark.extended
def test_numbers_of_numpy_are_options_too(tmp_path):
    options = {"learning_rate": np.float32(0.1), "members": np.int64(1), "seed": np.int64(3), "epochs": np.int32(8)}
    result = jaxmlp.fit_table(houses(), "price", **FAST | options)
    jaxmlp.save_model(result.model, tmp_path / "model")
    assert jaxmlp.load_model(tmp_path / "model").plan == result.plan.to_json()


def held_out(result):
    """The rows of a result by fold."""
    return result.predictions.select("row", "fold").rows()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("options", [FAST, SEARCH], ids=["fast", "full"])
def test_equal_rows_and_groups_stay_in_one_fold(options):
    frame = polars.concat([houses().head(60), houses().head(20)]).with_columns(
        owner=polars.Series([f"owner {k % 15}" if k < 60 else None for k in range(80)])
    )
    result = jaxmlp.fit_table(frame, "price", group="owner", **options)
    folds = dict(held_out(result))
    for k in range(60):
        twin = 60 + k if k < 20 else k
        assert folds.get(k + 1) == folds.get(twin + 1)
        assert folds.get(k + 1) == folds.get(k % 15 + 1)
    assert ("owner", "dropped") in result.model.recipe.left_out
    assert "Groups: 35 values of owner; each stays in one fold" in result.notes


CITIES = polars.Series([f"city {k % 30}" for k in range(600)])
CLASSES = polars.Series([f"class {k % 3}" for k in range(600)])
SCORES = np.random.default_rng(0).normal(size=300).repeat(2)


@pytest.mark.parametrize(
    ("columns", "stay"),
    [
        ({"x": SCORES, "y": SCORES.round(1)}, True),
        ({"x": SCORES.round(2), "y": np.arange(600) % 2 == 0}, True),
        ({"x": np.arange(600) % 100, "y": np.arange(600) % 100 < 50}, True),
        ({"city": CITIES, "y": SCORES[np.random.default_rng(1).permutation(600)]}, True),
        ({"city": CITIES, "y": np.arange(600) % 7 < 3}, False),
        ({"class": CLASSES, "y": np.arange(600) % 7 < 3}, False),
        ({"x": np.arange(600) // 2 * (np.arange(600) > 200), "y": np.arange(600) // 2}, True),
    ],
    ids=["pairs", "other targets", "copies", "values of cells", "classes of cells", "few cells", "a large cell"],
)
def test_equal_rows_stay_in_one_fold_unless_they_are_the_cells_of_a_small_table(columns, stay):
    frame, notes = polars.DataFrame(columns), []
    groups = read_rows(frame, "y", notes.append, keep=["x"] if "x" in columns else []).groups
    told = [note for note in notes if "equal an earlier one" in note]
    number = 600 - frame.unique().height
    end = "; they stay in one fold" if stay else ", too many to stay in one fold: folds share them"
    assert told == [f"{number} of 600 rows equal an earlier one{end}"]
    assert (groups is not None) == stay
    if stay:
        together = frame.with_columns(group=groups).group_by(frame.columns).agg(polars.col("group").n_unique())
        assert together["group"].max() == 1


@pytest.mark.extended
def test_the_latest_rows_are_held_out_on_demand():
    days = polars.date_range(polars.date(2024, 1, 1), polars.date(2024, 3, 20), eager=True).shuffle(seed=0)
    frame = houses().with_columns(sold=days.dt.strftime("%d.%m.%Y"))
    note = "Rows are split at random; --time sold tests on the latest rows"
    assert note in jaxmlp.fit_table(frame, "price", **FAST).notes
    result = jaxmlp.fit_table(frame, "price", time="sold", **SHORT)
    rows = [row - 1 for row, _ in held_out(result)]
    assert sorted(rows) == sorted(np.argsort(days.to_numpy())[-16:].tolist())
    assert result.plan.folds == 1
    with pytest.raises(TableError, match="column 'city' holds no dates or numbers"):
        jaxmlp.fit_table(frame, "price", time="city", **FAST)
    with pytest.raises(ValueError, match="group and time cannot be given both"):
        jaxmlp.fit_table(frame, "price", time="sold", group="city", **FAST)


@pytest.mark.extended
def test_the_logarithm_of_a_positive_skewed_target_is_tried_and_predictions_are_positive(full):
    assert not any(candidate.is_log for candidate in full.plan.candidates)
    frame = houses().with_columns(price=np.exp(houses()["rooms"] - 3))
    plan = jaxmlp.fit_table(frame, "price", **SEARCH | {"epochs": 1}).plan
    assert [candidate.is_log for candidate in plan.candidates] == [False, False, False, True]
    candidates = (plan.candidates[-1]._replace(learning_rate=0.02),)
    result = jaxmlp.fit_table(frame, "price", plan=replace(plan, epochs=60, folds=1, candidates=candidates))
    assert (result.report["is_log"], result.report["saved"]) == (True, "network")
    assert (result.predictions["prediction"] > 0).all()
    assert (predict_far(result) > 0).all()


def predict_far(result):
    """Predictions far from the training rows."""
    table = houses().head(4).with_columns(rooms=polars.Series([-1e6, -50.0, 50.0, 1e6]))
    with pytest.warns(TableWarning, match="far from those in training"):
        return jaxmlp.predict(result.model, table)


def test_predictions_are_never_negative_if_no_target_is():
    frame = houses().with_columns(price=polars.col("price").clip(lower_bound=0) * (polars.col("city") == "Oslo"))
    result = jaxmlp.fit_table(frame, "price", **FAST)
    assert result.predictions.select("low", "prediction").to_numpy().min() >= 0
    assert (jaxmlp.predict(result.model, frame) >= 0).all()
    assert (predict_far(result) >= 0).all()


MODELS = ("network", "mean", "linear", "constant")


@pytest.mark.extended
def test_an_absurd_target_is_left_out_and_named_and_used_on_demand(fast):
    frame = polars.concat([houses(), houses().head(1).with_columns(price=1e9)])
    result = jaxmlp.fit_table(frame, "price", **FAST)
    assert (
        "price, the target, is far from all others in 1 row, left out, the first 1e+09 in row 81; "
        "to use them: --keep price"
    ) in result.notes
    assert result.report["rows"] == N
    for name in MODELS:
        np.testing.assert_allclose(result.report[name]["score"], fast.report[name]["score"], rtol=0.1)
    kept = jaxmlp.fit_table(frame, "price", keep=["price"], **FAST)
    assert kept.report["rows"] == N + 1
    assert not any("left out, the first" in note for note in kept.notes)


@pytest.mark.extended
def test_an_absurd_feature_is_named_and_makes_no_score_worse_by_more_than_a_little(fast):
    row = int(fast.predictions["row"][0])  # held out
    rooms = houses()["rooms"].scatter(row - 1, 1e9)
    result = jaxmlp.fit_table(houses().with_columns(rooms=rooms), "price", **FAST)
    text = f"'rooms': 1 value far from all others, the first 1e+09 in row {row}, counted as missing"
    assert any(note.startswith(text) for note in result.notes)
    assert all(result.report[name]["score"] < 1.1 * fast.report[name]["score"] for name in MODELS)
