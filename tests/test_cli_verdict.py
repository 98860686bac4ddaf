"""`jaxmlp train`: a verdict on a table, and a model whose predictions say how sure they are."""

import json
import re
import shlex

import numpy as np
import polars
import pytest

from jaxmlp.cli import verdict
from jaxmlp.selection.crossvalidation import CANDIDATES
from jaxmlp.storage.files import StorageError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A user's directory; and a search that is as small as can be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verdict, "_PLANS", ((3, 2, 1),))
    monkeypatch.setattr(verdict, "default_epochs", lambda n, batch_size: 200)


def houses():
    """A price that depends on two columns and a text, by no straight line; in one there are gaps."""
    rng = np.random.default_rng(0)
    rooms, age = rng.uniform(1, 9, size=240), rng.uniform(0, 50, size=240)
    city, zone = rng.choice(["Oslo", "Rome", "Bern"], size=240), rng.normal(size=240)
    price = 1000 * ((rooms - 5) ** 2 + 15 * (city == "Oslo") + rng.normal(size=240))
    gaps = [None if k % 6 == 0 else value for k, value in enumerate(age)]
    return polars.DataFrame({"zone": zone, "age": gaps, "rooms": rooms, "city": city, "price": price})


def test_it_says_how_good_the_model_is_beside_guessing_and_a_linear_model_and_what_matters(command):
    table = houses()
    table.write_csv("houses.csv")
    code, out, _ = command("train", "houses.csv", "--target", "price", "--hidden", 16, "--plot", "run.svg")
    assert code == 0
    network, linear, guess = (float(part.split(": ")[1].split(" ±")[0]) for part in out[0].split("; "))
    assert out[0].startswith("RMSE of price: ")
    assert network < 0.5 * linear < linear < guess
    assert out[1] == "Verdict: better than guessing and than a linear model"
    assert "each held out once in 3 folds (6 networks and 3 linear models, compared row by row)" in out[2]
    assert "2 candidates was chosen by the same rows, which flatters it slightly" in out[2]
    start = next(k for k, line in enumerate(out) if line.startswith("columns that matter"))
    ranked = [line.split()[0] for line in out[start + 1 : start + 5]]
    assert set(ranked[:2]) == {"rooms", "city"}  # a column once, whatever it becomes
    assert set(ranked[2:]) == {"zone", "age"}

    predicted = command(*shlex.split(out[-1])[1:])[1]
    assert predicted[0] == "std,low,high,prediction"
    std, low, high, prediction = np.array([line.split(",") for line in predicted[1:]], float).T
    assert (std > 0).all()
    assert ((low < prediction) & (prediction < high)).all()
    price = table["price"].to_numpy()
    assert np.mean((low <= price) & (price <= high)) > 0.85


def test_the_band_of_counts_grows_with_the_root_of_the_rate(command):
    rng = np.random.default_rng(0)
    visits = rng.uniform(0, 4, size=240)
    calls = rng.poisson(np.exp(visits))
    polars.DataFrame({"visits": visits, "calls": calls}).write_csv("calls.csv")
    code, out, _ = command("train", "calls.csv", "--target", "calls", "--task", "counts", "--hidden", 0)
    assert code == 0
    (line,) = (line for line in out if line.startswith("Nine in ten"))
    below, above = map(float, re.findall(r"prediction ([+-][\d.]+) √prediction", line))
    assert -2.5 < below < -1 < 1 < above < 2.5  # as of a normal distribution, 1.64
    low, high, prediction = np.array([row.split(",")[1:] for row in command(*shlex.split(out[-1])[1:])[1][1:]], float).T
    np.testing.assert_allclose(high - prediction, above * np.sqrt(prediction), rtol=1e-3)
    np.testing.assert_allclose(low, np.maximum(prediction + below * np.sqrt(prediction), 0), atol=1e-2)
    assert 0.85 < np.mean((low <= calls) & (calls <= high)) < 0.95


def test_a_budget_is_for_the_search_and_leaves_time(command):
    houses().write_csv("houses.csv")
    one_training = "--budget is for the search; --epochs and --patience end one training"
    for words, message in {(0,): "--budget 0 leaves no time to train", (9, "--fast"): one_training}.items():
        code, out, err = command("train", "houses.csv", "--target", "price", "--budget", *words)
        assert (code, out, err) == (2, [], [f"jaxmlp train: {message}"])


def test_json_holds_all_of_it(command):
    table = houses().with_columns(polars.col("price") > 12_000)
    table.write_csv("houses.csv")
    code, (line,), _ = command("train", "houses.csv", "--target", "price", "--hidden", 16, "--json")
    found = json.loads(line)
    assert code == 0
    assert (found["error"], found["folds"], found["members"], found["networks"]) == ("log loss", 3, 3, 6)
    assert found["network"]["score"] < found["guess"]["score"]
    assert found["network"]["accuracy"] > found["guess"]["accuracy"] > 0.5
    assert len(found["candidates"]) == 2
    assert min(each["score"] for each in found["candidates"]) == found["network"]["score"]
    assert {each["name"] for each in found["columns"]} == {"zone", "age", "rooms", "city"}
    assert "band" not in found
    assert command("predict", "houses.safetensors", "houses.csv")[1][0].endswith(",std,prediction")


def test_a_search_that_diverges_is_one_line(command):
    houses().write_csv("houses.csv")
    code, out, err = command("train", "houses.csv", "--target", "price", "--hidden", 16, "--learning-rate", 1e30)
    assert (code, out) == (1, [])
    assert err[-1] == "jaxmlp train: training diverged: try a smaller --learning-rate"


def test_rows_that_stand_there_twice_are_said(command, monkeypatch):
    def no_search(*_, **__):
        raise StorageError("enough")

    monkeypatch.setattr(verdict, "cross_validate", no_search)
    polars.concat([houses(), houses().head(60)]).write_csv("houses.csv")
    _, _, err = command("train", "houses.csv", "--target", "price", "--hidden", 16)
    assert any(line.startswith("60 of 300 rows are copies of others") for line in err)


def test_a_name_that_is_no_file_is_one_line(command):
    assert command("train", ".", "--target", "price")[::2] == (2, ["jaxmlp train: '.' is no file"])


def test_too_few_rows_are_one_line(command):
    houses().head(5).write_csv("few.csv")
    code, out, err = command("train", "few.csv", "--target", "price")
    assert (code, out) == (2, [])
    assert err[-1].startswith("jaxmlp train: 5 rows with a target; at least 6 are needed")


def test_a_large_table_is_searched_less_and_told(command, monkeypatch):
    monkeypatch.undo()
    small = verdict.plan(1000, (8, 50, 1), CANDIDATES, 60, 2)
    assert (small.folds, len(small.candidates), small.seeds, small.shortened) == (5, 4, 2, False)
    networks = []
    for n in (10**3, 10**5, 10**6, 10**7):
        plan = verdict.plan(n, (20, 100, 1), CANDIDATES, 60, 2)
        networks.append(plan.folds * len(plan.candidates) * plan.seeds * plan.epochs)
        assert plan.shortened == (n > 10**3)
    assert networks == sorted(networks, reverse=True)
    assert verdict.plan(10**7, (20, 100, 1), CANDIDATES, 60, 2).epochs >= 1
    assert verdict.plan(10, (2, 5, 1), CANDIDATES, 60, 2).folds == 3
