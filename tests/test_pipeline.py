"""`fit_table`: the whole path from a table to a model, its report, and predictions of held-out rows."""

import json
from dataclasses import replace

import jax
import numpy as np
import polars
import pytest
from helpers import assert_equal
from tables import FAST, SHORT, N, houses

import jaxmlp
from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.splitting import make_folds
from jaxmlp.pipeline import describe_report
from jaxmlp.pipeline import run as pipeline
from jaxmlp.pipeline.plan import full_plan
from jaxmlp.pipeline.rows import read_rows
from jaxmlp.tables import TableError

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
    return jaxmlp.fit_table(houses(), "price", **SHORT, learning_rate=0.02)


def test_fast_is_the_same_search_with_one_candidate_and_a_hold_out_of_a_fifth(fast, full):
    assert fast.report.keys() == full.report.keys()
    assert [entry.keys() for entry in fast.report["candidates"]] == [full.report["candidates"][0].keys()]
    for result, folds, candidates, held_out in ((fast, 1, 1, N // 5), (full, 5, 2, N)):
        report, plan = result.report, result.plan
        assert (report["folds"], len(report["candidates"]), report["held_out"]) == (folds, candidates, held_out)
        assert (plan.folds, len(plan.candidates), result.predictions.height) == (folds, candidates, held_out)
        assert report["networks"] == folds * candidates
        assert report["members"] == result.model.members == folds
        assert report["rows"] == N


def test_the_report_is_the_representation_and_holds_what_json_can(fast, full):
    for result in (fast, full):
        assert repr(result) == "\n".join(describe_report(result.report))
        assert json.loads(json.dumps(result.report, allow_nan=False)) == result.report == result.model.report
        assert repr(result).startswith("price: ")


def test_the_lines_of_a_report_follow_from_its_data(full):
    """Nothing is printed that is not in the data."""
    lines = describe_report(json.loads(json.dumps(full.report)))
    report = full.report
    for name in ("network", "linear", "constant"):
        (line,) = (line for line in lines if line.startswith(name))
        assert f"{report[name]['score']:.4g} ± {report[name]['standard_error']:.2g}" in line
    assert lines[0] == f"price: {report['verdict']}"
    assert f"Measured: {report['method']}" in lines
    assert "The best of 2 settings was chosen on the same rows" in report["method"]
    assert [line.split()[0] for line in lines[-4:]] == [column["name"] for column in report["columns"]]
    importances = [column["importance"] for column in report["columns"]]
    assert importances == sorted(importances, reverse=True)


def test_the_best_candidate_is_saved_and_told(full):
    report = full.report
    best = min(report["candidates"], key=lambda candidate: candidate["score"])
    assert {name: report[name] for name in Candidate._fields} == {name: best[name] for name in Candidate._fields}
    assert best["score"] == report["network"]["score"]


def test_scores_are_those_of_the_predictions_of_held_out_rows(full):
    error = full.predictions["prediction"] - full.predictions["target"]
    np.testing.assert_allclose(full.report["network"]["score"], np.sqrt((error**2).mean()))
    low, high = full.report["interval"]
    np.testing.assert_allclose(full.predictions["low"], full.predictions["prediction"] + low)
    np.testing.assert_allclose(full.predictions["high"], full.predictions["prediction"] + high)
    inside = (full.predictions["low"] <= full.predictions["target"]) & (
        full.predictions["target"] <= full.predictions["high"]
    )
    assert 0.85 < inside.mean() < 0.95


def test_a_cross_validation_predicts_each_row_once(full):
    assert sorted(full.predictions["row"]) == list(range(1, N + 1))
    assert full.predictions["fold"].value_counts()["count"].to_list() == [N // 5] * 5
    assert full.predictions.columns == ["row", "fold", "target", "low", "high", "prediction"]
    rows = full.predictions["row"].to_numpy() - 1
    np.testing.assert_array_equal(full.predictions["target"], houses()["price"].to_numpy()[rows])


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
    np.testing.assert_allclose(jaxmlp.predict(model, held_out)[:, 0], fast.predictions["prediction"], rtol=1e-5)
    assert (model.report, model.plan) == (fast.report, fast.plan.to_json())


@pytest.mark.parametrize("target", TARGETS)
def test_classes_booleans_and_counts(target):
    task = "counts" if target == "visits" else None
    result = jaxmlp.fit_table(table(target), target, task=task, **FAST)
    report, predictions = result.report, result.predictions
    assert report["task"] == task or "classification"
    assert predictions["target"].to_list() == table(target)[target].gather(predictions["row"] - 1).to_list()
    if target == "visits":
        assert predictions.columns == ["row", "fold", "target", "low", "high", "prediction"]
        assert report["error"] == "deviance"
        assert (predictions["low"] >= 0).all()
        assert "√prediction" in repr(result)
    else:
        classes = result.model.recipe.class_names()
        assert predictions.columns == ["row", "fold", "target", *(f"probability_{c}" for c in classes), "prediction"]
        assert predictions["prediction"].dtype == predictions["target"].dtype
        probabilities = predictions.select(f"probability_{c}" for c in classes).to_numpy()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        right = (predictions["prediction"] == predictions["target"]).mean()
        np.testing.assert_allclose(report["network"]["accuracy"], right)
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
    options = FAST | {"budget": 600}
    del options["epochs"]
    reduced = jaxmlp.fit_table(houses(), "price", **options)
    assert reduced.plan.epochs == 5  # what fits into 85 % of the budget
    assert "Search reduced to fit the budget: 1 of 1 settings, at most 5 epochs" in reduced.notes
    given = jaxmlp.fit_table(houses(), "price", **FAST | {"epochs": 5})
    assert_equal(arrays(reduced), arrays(given))
    assert reduced.plan == given.plan
    several = jaxmlp.fit_table(houses(), "price", **SHORT | {"budget": 1500})
    assert (len(several.plan.candidates), several.plan.epochs) == (1, SHORT["epochs"])
    assert any("1 of 4 settings, at most 8 epochs" in note for note in several.notes)


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


def test_notes_are_told_as_soon_as_they_are_known_and_kept():
    told, shares = [], []
    result = jaxmlp.fit_table(houses(), "price", **FAST, on_note=told.append, progress=shares.append)
    assert tuple(told) == result.notes
    assert "Left out: street (constant)" in told
    assert any(line.startswith("Plan: networks 6-8-1, relu, adam; one hold-out, 1 setting") for line in told)
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1


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
    plan = replace(fast.plan, candidates=(Candidate(1e30, 0.0), *fast.plan.candidates))
    result = jaxmlp.fit_table(frame, target, plan=plan)
    diverged, used = result.report["candidates"]
    assert diverged["score"] is None
    assert used["score"] == result.report["network"]["score"]
    assert np.isfinite(result.model.groups[0].params[0].w).all()
    json.dumps(result.report, allow_nan=False)


@pytest.mark.slow  # compiles all programs once more
def test_float64_elsewhere_changes_nothing(fast):
    with jax.enable_x64(True):
        result = jaxmlp.fit_table(houses(), "price", **FAST)
    np.testing.assert_allclose(result.report["network"]["score"], fast.report["network"]["score"], rtol=1e-4)


def test_numbers_of_numpy_are_options_too(tmp_path):
    options = {"learning_rate": np.float32(0.1), "members": np.int64(1), "seed": np.int64(3), "epochs": np.int32(8)}
    result = jaxmlp.fit_table(houses(), "price", **FAST | options)
    jaxmlp.save_model(result.model, tmp_path / "model")
    assert jaxmlp.load_model(tmp_path / "model").plan == result.plan.to_json()


def held_out(result):
    """The rows of a result by fold."""
    return result.predictions.select("row", "fold").rows()


@pytest.mark.parametrize("options", [FAST, SHORT], ids=["fast", "full"])
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
