"""`jaxmlp train --fast`: a table to a model, a word on how good it is, and one line only when it cannot be."""

import functools
import json
import pathlib
import shlex
import sys

import numpy as np
import polars
import pytest
from fuzz import TARGET, mutated_table
from helpers import files_no_longer_than

import jaxmlp
from jaxmlp.cli import fast
from jaxmlp.fitting import fit, loop


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A user's directory, where models are written."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def houses():
    """A table whose price is a smooth function of two columns and a text; another column is constant."""
    rng = np.random.default_rng(0)
    rooms, age = rng.uniform(1, 9, size=200), rng.uniform(0, 50, size=200)
    city = rng.choice(["Oslo", "Rome"], size=200)
    price = 1000 * (rooms**2 + 40 * np.exp(-age / 10) + 20 * (city == "Oslo"))
    table = polars.DataFrame({"rooms": rooms, "age": age, "city": city, "zone": 7, "price": price})
    table.write_csv("houses.csv")
    return table


def passengers(rows=150):
    """A table with text, gaps, names, and a text to predict; the same as CSV and Parquet."""
    rng = np.random.default_rng(0)
    sex, age = rng.choice(["female", "male"], size=rows), rng.uniform(1, 80, size=rows).round()
    survived = np.where((sex == "female") ^ (rng.random(rows) < 0.1), "yes", "no")
    table = polars.DataFrame({
        "PassengerId": np.arange(rows), "Name": [f"Passenger, the {k}th" for k in range(rows)], "Sex": sex,
        "Age": [None if k % 5 == 0 else age[k] for k in range(rows)], "Survived": survived,
    })  # fmt: skip
    table.write_csv("passengers.csv")
    table.write_parquet("passengers.parquet")
    return table


SHORT = ("--fast", "--epochs", 20, "--hidden", 8, "--patience", 20)


def test_it_beats_the_mean_on_rows_it_has_not_seen_and_says_how_to_predict(command, houses):
    code, out, err = command("train", "houses.csv", "--target", "price", "--fast")
    assert code == 0
    assert out[0].startswith("RMSE of price on the 20 rows kept aside: ")
    rmse, of_mean = (float(part.split(": ")[1]) for part in out[0].split("; ")[:2])
    assert rmse < 0.2 * of_mean
    assert 10_000 < of_mean < 50_000
    assert "Left out: zone (constant)" in err
    assert "Rows: 160 to train on, 20 for early stopping, 20 kept aside (seed 0)" in err
    assert out[-1] == "jaxmlp predict houses.safetensors houses.csv"
    code, predicted, _ = command(*shlex.split(out[-1])[1:])
    assert (code, predicted[0], len(predicted)) == (0, "prediction", 201)
    error = np.array(predicted[1:], float) - houses["price"].to_numpy()
    assert np.sqrt(np.mean(error**2)) < 0.2 * of_mean


def test_text_with_gaps_is_classified_from_csv_as_from_parquet(command):
    passengers()
    words = ("--target", "Survived", *SHORT, "--seed", 1)
    code, out, err = command("train", "passengers.csv", *words)
    assert code == 0
    assert out[0].startswith("Accuracy of Survived on the 15 rows kept aside: ")
    assert float(out[0].split(": ")[1].split("%")[0]) >= 75
    assert any("Age" in line and "gaps" in line for line in err)
    assert any("Name (" in line and "like an identifier" in line for line in err)
    predicted = command("predict", "passengers.safetensors", "passengers.csv")[1]
    assert predicted[0] == "probability_no,probability_yes,prediction"
    rows = [line.split(",") for line in predicted[1:]]
    assert all(abs(float(no) + float(yes) - 1) < 1e-6 for no, yes, _ in rows)
    assert all((float(yes) > 0.5) == (said == "yes") for _, yes, said in rows)
    assert command("train", "passengers.parquet", *words, "--out", "other.safetensors")[0] == 0
    assert command("predict", "other.safetensors", "passengers.parquet")[1] == predicted


def test_counts_are_rates(command):
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    polars.DataFrame({"x": x, "visits": rng.poisson(200 * np.exp(x / 2))}).write_csv("visits.csv")
    words = ("--target", "visits", "--task", "counts", "--hidden", 0)
    words += ("--fast", "--epochs", 100, "--learning-rate", 0.02)
    code, out, _ = command("train", "visits.csv", *words)
    assert code == 0
    deviance, of_mean = (float(part.split(": ")[1]) for part in out[0].split("; "))
    assert deviance < 0.2 * of_mean
    rates = np.array(command("predict", "visits.safetensors", "visits.csv")[1][1:], float)
    np.testing.assert_allclose(rates, 200 * np.exp(x / 2), rtol=0.3)


def test_json_holds_one_object_with_all_that_was_found(command, houses):
    code, (line,), _ = command("train", "houses.csv", "--target", "price", *SHORT, "--seed", 3, "--json")
    result = json.loads(line)
    assert code == 0
    assert result["rmse"] < result["rmse_of_guessing"]
    assert result["left_out"] == {"zone": "constant"}
    assert len(result["losses"]) == len(result["validation_losses"]) == result["epochs"] == 20
    assert (result["model"], result["seed"], result["stopped"]) == ("houses.safetensors", 3, ["epochs"])
    model = jaxmlp.load_model(result["model"])
    assert (model.sizes, model.training["best_epoch"]) == ((4, 8, 1), result["best_epoch"])


def test_an_ensemble_is_drawn_and_its_spread_is_predicted(command, houses):
    words = ("--members", 3, "--plot", "run.svg", "--drop", "zone,city", "--weight-decay", 1e-3, "--optimizer", "sgd")
    code, _, err = command("train", "houses.csv", "--target", "price", *SHORT, *words)
    assert code == 0
    assert any(line.startswith("Training 3 networks 2-8-1, relu by sgd, learning rate 0.01") for line in err)
    assert "spread of the networks" in pathlib.Path("run.svg").read_text()
    predicted = command("predict", "houses.safetensors", "houses.csv")[1]
    assert predicted[0] == "std,prediction"
    assert all(float(line.split(",")[0]) > 0 for line in predicted[1:])
    assert jaxmlp.load_model("houses.safetensors").members == 3


def test_a_run_goes_on_from_its_checkpoint_to_the_same_bits(command, houses):
    words = ("train", "houses.csv", "--target", "price", *SHORT)
    command(*words, "--out", "whole.safetensors")
    command(*words, "--checkpoint", "kept/run", "--out", "part.safetensors", "--epochs", 5)
    code, _, err = command(*words, "--checkpoint", "kept/run", "--resume", "--out", "resumed.safetensors")
    assert code == 0
    assert pathlib.Path("resumed.safetensors").read_bytes() == pathlib.Path("whole.safetensors").read_bytes()
    assert pathlib.Path("part.safetensors").read_bytes() != pathlib.Path("whole.safetensors").read_bytes()
    code, _, err = command(*words, "--checkpoint", "kept/run", "--resume", "--activation", "tanh")
    assert code == 2
    assert err[-1].startswith("jaxmlp train: kept/run/checkpoint.safetensors: the checkpoint of another run")
    code, _, err = command(*words, "--checkpoint", "new", "--resume")
    assert code == 0
    assert "new/checkpoint.safetensors: nothing to go on from; starting anew" in err


def test_ctrl_c_keeps_the_best_model_so_far(command, houses, monkeypatch):
    def interrupt(state, history):
        if state.epoch > 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_SECONDS", 0)  # an epoch a chunk
    monkeypatch.setattr(fast, "fit", functools.partial(fit, callback=interrupt))
    code, out, err = command("train", "houses.csv", "--target", "price", *SHORT)
    assert code == 130
    assert out[-1] == "jaxmlp predict houses.safetensors houses.csv"
    assert err[-1].endswith("Interrupted: the best model so far is kept")
    assert jaxmlp.load_model("houses.safetensors").training["epochs"] < 20


def test_ctrl_c_before_there_is_a_model_is_one_line(command, houses, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxmlp.fitting.loop.run_epochs", interrupt)
    code, out, err = command("train", "houses.csv", "--target", "price", *SHORT)
    assert (code, out, err[-1]) == (130, [], "interrupted")
    assert not pathlib.Path("houses.safetensors").exists()


def test_a_run_that_diverges_fails_and_leaves_no_model(command, houses):
    code, out, err = command("train", "houses.csv", "--target", "price", *SHORT, "--learning-rate", 1e30)
    assert (code, out) == (1, [])
    assert "training diverged; the loss is not finite in epoch " in err[-1]
    assert not pathlib.Path("houses.safetensors").exists()


def test_a_full_disk_leaves_the_old_model(command, houses):
    pathlib.Path("houses.safetensors").write_text("old")
    with files_no_longer_than(500):
        code, out, err = command("train", "houses.csv", "--target", "price", *SHORT)
    assert (code, out) == (1, [])
    assert err[-1] == "jaxmlp train: cannot write houses.safetensors: File too large"
    assert pathlib.Path("houses.safetensors").read_text() == "old"


def test_a_table_without_a_pattern_is_said_to_be_no_better_than_guessing(command):
    rng = np.random.default_rng(0)
    polars.DataFrame(rng.normal(size=(60, 9)), schema=[*"abcdefgh", "y"]).write_csv("noise.csv")
    code, _, err = command("train", "noise.csv", "--target", "y", "--learning-rate", "0.003", *SHORT)
    assert code == 0
    assert "That is no better than guessing: these columns may not tell the target" in err


def test_a_mistake_in_a_table_names_file_column_and_row(command, houses):
    path = pathlib.Path("houses.csv")
    path.write_text(path.read_text() + "large,3,Rome,7,100\n")
    code, out, err = command("train", path, "--target", "price")
    assert (code, out) == (2, [])
    assert err == ["jaxmlp train: houses.csv: column 'rooms', row 201: 'large' is not a number"]


def test_a_missing_dependency_is_one_line_with_the_line_to_run(command, houses, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    code, out, err = command("train", "houses.csv", "--target", "price")
    assert (code, out) == (1, [])
    assert err == ["jaxmlp train: polars is needed for this and not installed: pip install 'jaxmlp[tables]'"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.csv", "--target", "price"], "none.csv: no such file"),
        (["none.csv", "--target", "price", "--seed", str(2**63)], "is not a whole number from 0 to 2**32 - 1"),
        (["x" * 5000, "--target", "price"], "cannot be read: File name too long"),
        (["none.csv"], "the following arguments are required: --target"),
        (["houses.csv", "--target", "cost"], "houses.csv: no column 'cost'; the columns are 'rooms'"),
        (["houses.csv", "--target", "price", "--drop", "area"], "--drop area: 'area' is no column"),
        (["houses.csv", "--target", "city", "--task", "counts"], "--task counts needs numbers"),
        (["houses.csv", "--target", "price", "--members", "3"], "--members needs --fast, which trains once"),
        (["houses.csv", "--target", "price", "--fast", "--resume"], "--resume needs --checkpoint DIR"),
        (["houses.csv", "--target", "price", "--fast", "--checkpoint", "houses.csv"], "houses.csv: File exists"),
        (["houses.csv", "--target", "price", "--out", "no/model"], "--out no/model: no such directory"),
        (["houses.csv", "--target", "price", "--out", "./houses.csv"], "--out houses.csv: that is the table"),
        (["houses.csv", "--target", "price", "--plot", "run.txt"], "--plot run.txt: the name must end in"),
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
    assert [each.name for each in pathlib.Path().iterdir()] == ["houses.csv"]


def test_steps_are_small_on_few_rows_and_many_rows_take_few_steps():
    sizes = [fast.default_batch_size(n) for n in (1, 160, 8192, 16_384, 100_000, 2_000_000)]
    assert sizes == [32, 32, 32, 64, 512, 4096]


class EnoughError(Exception):
    """A table that could be trained on, of which enough were."""


@pytest.mark.parametrize(
    ("seeds", "models"),
    [
        pytest.param(range(50), 3, id="50"),
        pytest.param(range(50, 2050), 2000, id="2000", marks=pytest.mark.slow),
    ],
)
def test_a_table_with_something_wrong_gives_a_model_or_one_line(command, monkeypatch, seeds, models):
    trained, refused, draw = 0, 0, fast._draw

    def counted(*args):
        nonlocal trained
        trained += 1
        if trained > models:
            raise EnoughError
        return draw(*args)

    monkeypatch.setattr(fast, "_draw", counted)
    for seed in seeds:
        content, suffix = mutated_table(seed)
        path = pathlib.Path(f"table{suffix}")
        path.write_bytes(content)
        model = pathlib.Path("table.safetensors")
        model.unlink(missing_ok=True)
        try:
            code, out, err = command("train", path, "--target", TARGET, "--hidden", 0, "--fast", "--epochs", 2)
        except EnoughError:
            continue
        if code == 0:
            assert out[-1] == f"jaxmlp predict table.safetensors {path}"
            assert model.exists()
            assert command("predict", model, path)[0] == 0
        else:
            refused += 1
            assert (code, out, len(err)) == (2, [], 1), f"seed {seed}: {err}"
            assert not model.exists()
    assert trained + refused == len(seeds)
    assert trained > len(seeds) / 5
