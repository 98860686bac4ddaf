"""`jaxmlp train`: a report on a table and a model of it; a user's mistake is one line."""

import json
import pathlib
import re
import shlex
import sys

import numpy as np
import polars
import pytest
from fuzz import TARGET, draw_table
from helpers import files_no_longer_than

import jaxmlp
from jaxmlp.pipeline import run
from jaxmlp.selection import search

ROWS = 120


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A user's directory, where models are written."""
    monkeypatch.chdir(tmp_path)


def make_houses():
    """A price that depends on two columns and a text, not linearly; one column has missing values."""
    rng = np.random.default_rng(0)
    rooms, age = rng.uniform(1, 9, size=ROWS), rng.uniform(0, 50, size=ROWS)
    city, zone = rng.choice(["Oslo", "Rome"], size=ROWS), rng.normal(size=ROWS)
    price = 1000 * ((rooms - 5) ** 2 + 15 * (city == "Oslo") + 0.3 * rng.normal(size=ROWS))
    age = [None if k % 6 == 0 else value for k, value in enumerate(age)]
    return polars.DataFrame({"zone": zone, "age": age, "rooms": rooms, "city": city, "price": price})


@pytest.fixture
def houses():
    table = make_houses()
    table.write_csv("houses.csv")
    return table


TRAIN = ("train", "houses.csv", "--target", "price", "--hidden", 8, "--batch-size", 32)
FAST = (*TRAIN, "--fast", "--epochs", 100)
# A search of two settings; the same shapes and so the same programs in every test.
SEARCH = (*TRAIN, "--weight-decay", 0.01, "--epochs", 60, "--members", 1)


def test_the_report_compares_the_network_with_the_baselines_and_names_the_columns_that_matter(command, houses):
    code, out, err = command(*SEARCH, "--plot", "run.svg", "--predictions", "held_out.csv")
    assert code == 0
    assert out[0] == "price: better than the constant and the linear baseline"
    network, linear, constant = (float(line.split(" ± ")[0].split()[-1]) for line in out[3:6])
    assert network < 0.9 * linear < linear < 1.2 * constant
    assert out[3].endswith("<- saved")
    assert "RMSE on 120 held-out rows, 5 folds, 10 networks" in out[7]
    assert "The best of 2 settings was chosen on the same rows" in out[7]
    assert re.fullmatch(r"90 % of targets fall within \[prediction - [\d.]+, prediction \+ [\d.]+\]", out[8])
    start = next(k for k, line in enumerate(out) if line.startswith("Columns that matter"))
    assert {line.split()[0] for line in out[start + 1 : start + 3]} == {"rooms", "city"}
    assert any(line.startswith("Plan: networks 6-8-1, relu, adam; 5 folds, 2 settings, 1 network each") for line in err)
    assert "rows shuffled" not in pathlib.Path("run.svg").read_text()[:100]

    held_out = polars.read_csv("held_out.csv")
    assert held_out.columns == ["row", "fold", "target", "low", "high", "prediction"]
    assert held_out["row"].to_list() == list(range(1, ROWS + 1))
    assert set(held_out["fold"]) == {1, 2, 3, 4, 5}
    np.testing.assert_allclose(held_out["target"], houses["price"])
    error = np.sqrt(np.mean((held_out["target"] - held_out["prediction"]).to_numpy() ** 2))
    assert error == pytest.approx(network, rel=1e-3)

    assert out[-1] == "jaxmlp predict houses.safetensors houses.csv"
    predicted = command(*shlex.split(out[-1])[1:])[1]
    assert (predicted[0], len(predicted)) == ("std,low,high,prediction", ROWS + 1)
    std, low, high, prediction = np.array([line.split(",") for line in predicted[1:]], float).T
    assert (std > 0).all()
    assert ((low < prediction) & (prediction < high)).all()


def test_fast_is_the_same_pipeline_with_one_setting_and_a_hold_out(command, houses):
    code, out, err = command(*FAST, "--predictions", "held_out.csv")
    assert code == 0
    assert out[2].split() == ["model", "RMSE"]
    assert "RMSE on 24 held-out rows, a single hold-out, 1 network;" in out[7]
    assert any("one hold-out, 1 setting, 1 network each; at most 100 epochs" in line for line in err)
    assert polars.read_csv("held_out.csv").height == 24
    assert command("predict", "houses.safetensors", "houses.csv")[1][0] == "low,high,prediction"
    assert jaxmlp.load_model("houses.safetensors").members == 1


def test_a_plan_repeats_the_model_to_the_same_bits(command, houses):
    assert command(*SEARCH, "--learning-rate", 0.02, "--out", "first.safetensors")[0] == 0
    words = ("train", "houses.csv", "--target", "price", "--plan", "first.safetensors")
    assert command(*words, "--out", "second.safetensors")[0] == 0
    assert pathlib.Path("second.safetensors").read_bytes() == pathlib.Path("first.safetensors").read_bytes()
    assert command(*words, "--seed", 1, "--out", "third.safetensors")[0] == 0
    assert pathlib.Path("third.safetensors").read_bytes() != pathlib.Path("first.safetensors").read_bytes()
    code, out, err = command(*words, "--hidden", 9)
    assert (code, out) == (2, [])
    assert err[-1] == "jaxmlp train: hidden cannot be given: the plan has other values"


@pytest.mark.parametrize("words", [FAST, SEARCH], ids=["fast", "search"])
def test_an_interrupted_search_resumes_to_the_same_bits(command, houses, monkeypatch, words):
    command(*words, "--out", "whole.safetensors")
    chunks = search.run_chunks

    def interrupt(program, state, history, *, on_chunk, **options):
        def stop(state, history):
            on_chunk(state, history)
            if np.max(state.epoch) > 10:
                raise KeyboardInterrupt

        return chunks(program, state, history, on_chunk=stop, **options)

    monkeypatch.setattr(search, "run_chunks", interrupt)
    code, out, err = command(*words, "--checkpoint", "kept/run", "--out", "part.safetensors")
    assert code == 130
    assert out[-1] == "jaxmlp predict part.safetensors houses.csv"
    assert err[-1] == "Interrupted: the best model so far is saved; --resume continues"
    monkeypatch.setattr(search, "run_chunks", chunks)
    code, _, err = command(*words, "--checkpoint", "kept/run", "--resume", "--out", "resumed.safetensors")
    assert code == 0
    assert "Resuming from kept/run" in err
    assert pathlib.Path("resumed.safetensors").read_bytes() == pathlib.Path("whole.safetensors").read_bytes()
    code, _, err = command(*words, "--checkpoint", "kept/run", "--resume", "--activation", "tanh")
    assert (code, err[-1]) == (2, "jaxmlp train: activation cannot be given: the plan has other values")
    code, _, err = command(*words, "--checkpoint", "kept/run", "--resume", "--seed", 5)
    assert code == 2
    assert "another run" in err[-1]


def test_ctrl_c_before_there_is_a_model_is_one_line(command, houses, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "run_chunks", interrupt)
    code, out, err = command(*FAST)
    assert (code, out, err[-1]) == (130, [], "interrupted")
    assert not pathlib.Path("houses.safetensors").exists()


def test_json_holds_one_object_with_the_whole_report(command, houses):
    houses.with_columns(polars.col("price") > 12_000).write_csv("houses.csv")
    code, (line,), _ = command(*FAST, "--json", "--seed", 3)
    result = json.loads(line)
    assert code == 0
    assert (result["error"], result["folds"], result["members"], result["seed"]) == ("log loss", 1, 1, 3)
    assert result["network"]["score"] < result["constant"]["score"]
    assert result["network"]["accuracy"] > result["constant"]["accuracy"] > 0.4
    assert result["interval"] is None
    assert {column["name"] for column in result["columns"]} == {"zone", "age", "rooms", "city"}
    assert result["plan"] == jaxmlp.load_model("houses.safetensors").plan
    predicted = command("predict", "houses.safetensors", "houses.csv")[1]
    assert predicted[0] == "probability_false,probability_true,prediction"


def test_a_class_is_predicted_from_csv_as_from_parquet(command):
    rng = np.random.default_rng(0)
    sex, age = rng.choice(["female", "male"], size=ROWS), rng.uniform(1, 80, size=ROWS).round()
    table = polars.DataFrame({
        "PassengerId": np.arange(ROWS), "Name": [f"Passenger, the {k}th" for k in range(ROWS)], "Sex": sex,
        "Age": [None if k % 5 == 0 else age[k] for k in range(ROWS)],
        "Survived": np.where((sex == "female") ^ (rng.random(ROWS) < 0.1), "yes", "no"),
    })  # fmt: skip
    table.write_csv("passengers.csv")
    table.write_parquet("passengers.parquet")
    words = ("--target", "Survived", "--fast", "--epochs", 60, "--hidden", 8, "--batch-size", 32)
    code, out, err = command("train", "passengers.csv", *words, "--plot", "run.svg")
    assert code == 0
    assert out[2].split() == ["model", "log", "loss", "accuracy"]
    assert any("Age" in line and "missing" in line for line in err)
    assert any("Name (" in line and "like an identifier" in line for line in err)
    predicted = command("predict", "passengers.safetensors", "passengers.csv")[1]
    rows = [line.split(",") for line in predicted[1:]]
    assert all((float(yes) > 0.5) == (name == "yes") for _, yes, name in rows)
    assert command("train", "passengers.parquet", *words, "--out", "other.safetensors")[0] == 0
    assert command("predict", "other.safetensors", "passengers.parquet")[1] == predicted


def test_the_interval_of_counts_grows_with_the_root_of_the_mean_count(command):
    rng = np.random.default_rng(0)
    visits = rng.uniform(0, 4, size=240)
    calls = rng.poisson(np.exp(visits))
    polars.DataFrame({"visits": visits, "calls": calls}).write_csv("calls.csv")
    words = ("--target", "calls", "--task", "counts", "--hidden", 0, "--members", 1, "--weight-decay", 0.01)
    code, out, _ = command("train", "calls.csv", *words, "--learning-rate", 0.02, "--epochs", 200)
    assert code == 0
    (line,) = (line for line in out if line.startswith("90 % of targets"))
    below, above = map(float, re.findall(r"prediction [+-] ([\d.]+) √prediction", line))
    assert 1 < below < 2.5  # of a normal distribution, 1.64
    assert 1 < above < 2.5
    rows = command(*shlex.split(out[-1])[1:])[1]
    low, high, prediction = np.array([row.split(",")[1:] for row in rows[1:]], float).T
    np.testing.assert_allclose(high - prediction, above * np.sqrt(prediction), rtol=1e-2)
    np.testing.assert_allclose(low, np.maximum(prediction - below * np.sqrt(prediction), 0), atol=0.1)
    assert 0.85 < np.mean((low <= calls) & (calls <= high)) < 0.95


def test_time_decides_how_many_settings_and_epochs_run(command, houses, monkeypatch):
    monkeypatch.setattr(run, "measure_epoch", lambda *_: 1e3)
    code, _, err = command(*TRAIN, "--members", 1)
    assert code == 0
    assert "Search reduced to fit the budget: 1 of 4 settings, at most 1 epochs" in err
    assert jaxmlp.load_model("houses.safetensors").plan["epochs"] == 1
    code, _, err = command(*TRAIN, "--members", 1, "--epochs", 20)
    assert "Search reduced to fit the budget: 1 of 4 settings, at most 20 epochs" in err


def test_a_search_that_diverges_is_one_line_and_leaves_no_model(command, houses):
    code, out, err = command(*FAST, "--learning-rate", 1e30)
    assert (code, out) == (1, [])
    assert err[-1] == "jaxmlp train: training diverged: try a smaller --learning-rate"
    assert not pathlib.Path("houses.safetensors").exists()


def test_a_full_disk_leaves_the_old_model(command, houses):
    pathlib.Path("houses.safetensors").write_text("old")
    with files_no_longer_than(500):
        code, out, err = command(*FAST)
    assert (code, out) == (1, [])
    assert err[-1] == "jaxmlp train: cannot write houses.safetensors: File too large"
    assert pathlib.Path("houses.safetensors").read_text() == "old"


def test_duplicate_rows_are_noted(command, houses):
    polars.concat([houses.head(ROWS - 20), houses.head(20)]).write_csv("houses.csv")
    _, _, err = command(*FAST)
    assert "20 of 120 rows are duplicates; in different folds they make the score optimistic" in err


def test_noise_is_no_better_than_the_constant_baseline(command):
    rng = np.random.default_rng(0)
    polars.DataFrame(rng.normal(size=(ROWS, 7)), schema=[*"abcdef", "price"]).write_csv("houses.csv")
    code, out, _ = command(*FAST)
    assert (code, out[0]) == (0, "price: no better than the constant baseline")


def test_too_few_rows_are_one_line(command, houses):
    houses.head(5).write_csv("houses.csv")
    code, out, err = command(*FAST)
    assert (code, out) == (2, [])
    assert err[-1].startswith("jaxmlp train: houses.csv: 5 rows with a target; at least 6 are needed")


def test_a_mistake_in_a_table_names_file_column_and_row(command, houses):
    path = pathlib.Path("houses.csv")
    path.write_text(path.read_text() + "0,3,large,Rome,100\n")
    code, out, err = command(*FAST)
    assert (code, out) == (2, [])
    assert err == ["jaxmlp train: houses.csv: column 'rooms', row 121: 'large' is not a number"]


def test_a_missing_dependency_is_one_line_with_the_line_to_run(command, houses, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    code, out, err = command(*FAST)
    assert (code, out) == (1, [])
    assert err == ["jaxmlp train: polars is needed for this and not installed: pip install 'jaxmlp[tables]'"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.csv", "--target", "price"], "none.csv: no such file"),
        (["none.csv", "--target", "price", "--seed", str(2**63)], "is not a whole number from 0 to 2**32 - 1"),
        (["x" * 5000, "--target", "price"], "cannot be read as a table: File name too long"),
        (["none.csv"], "the following arguments are required: --target"),
        ([".", "--target", "price"], "'.' is not a file"),
        (["houses.csv", "--target", "cost"], "houses.csv: no column 'cost'; the columns are 'zone'"),
        (["houses.csv", "--target", "price", "--drop", "area"], "no column 'area'; the columns are"),
        (["houses.csv", "--target", "city", "--task", "counts"], "--task counts needs numbers"),
        (["houses.csv", "--target", "price", "--budget", "0"], "--budget 0 leaves no time to train"),
        (["houses.csv", "--target", "price", "--resume"], "--resume needs --checkpoint DIR"),
        (["houses.csv", "--target", "price", "--checkpoint", "houses.csv"], "houses.csv: File exists"),
        (["houses.csv", "--target", "price", "--plan", "houses.csv"], "houses.csv is damaged, or no safetensors file"),
        (["houses.csv", "--target", "price", "--plan", "m", "--fast"], "--plan already says what --fast"),
        (["houses.csv", "--target", "price", "--out", "no/model"], "--out no/model: no such directory"),
        (["houses.csv", "--target", "price", "--out", "./houses.csv"], "--out houses.csv: that is the table"),
        (["houses.csv", "--target", "price", "--plot", "run.txt"], "--plot run.txt: the name must end in"),
        (["houses.csv", "--target", "price", "--predictions", "p.txt"], "--predictions p.txt: the name must end in"),
        (["houses.csv", "--target", "price", "--predictions", "houses.csv"], "houses.csv: that is an input file"),
        (["houses.csv", "--target", "price", "--epochs", "0"], "'0' is not a whole number from 1 to 10000000"),
        (["houses.csv", "--target", "price", "--optimizer", "lbfgs"], "invalid choice: 'lbfgs'"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(command, houses, words, message):
    code, out, err = command("train", *words)
    assert (code, out) == (2, [])
    (line,) = err
    assert line.startswith("jaxmlp train: ")
    assert message in line
    assert [path.name for path in pathlib.Path().iterdir()] == ["houses.csv"]


@pytest.mark.parametrize(
    ("seeds", "models"),
    [
        pytest.param(range(50), 3, id="50"),
        pytest.param(range(50, 2050), 2000, id="2000", marks=pytest.mark.slow),
    ],
)
def test_a_corrupted_table_gives_a_model_or_one_line(command, monkeypatch, seeds, models):
    """The 2,000: `python -m pytest -m slow tests/test_cli_train.py`."""

    class EnoughError(Exception):
        """A table that can be trained on, after enough others."""

    trained, refused, prepare = 0, 0, run.prepare_search

    def count(*args):
        nonlocal trained
        trained += 1
        if trained > models:
            raise EnoughError
        return prepare(*args)

    monkeypatch.setattr(run, "prepare_search", count)
    monkeypatch.setattr(run, "measure_epoch", lambda *_: 1e-3)
    for seed in seeds:
        content, suffix = draw_table(seed)
        path, model = pathlib.Path(f"table{suffix}"), pathlib.Path("table.safetensors")
        path.write_bytes(content)
        model.unlink(missing_ok=True)
        try:
            code, out, err = command("train", path, "--target", TARGET, "--hidden", 0, "--fast", "--epochs", 2)
        except EnoughError:
            continue
        if code == 0:
            assert out[-1] == f"jaxmlp predict table.safetensors {path}"
            assert command("predict", model, path)[0] == 0
        else:
            refused += 1
            assert (code, out, len(err)) == (2, [], 1), f"seed {seed}: {err}"
            assert not model.exists()
    assert trained + refused == len(seeds)
    assert trained > len(seeds) / 5
