"""`jaxmlp check`: the grid, its table, its JSON, its exit code."""

import functools
import json

import jax
import pytest

from jaxmlp.backprop import backpropagate
from jaxmlp.cli import check, main
from jaxmlp.verification import network

SMALL = {"activations": ("tanh",), "criteria": ("squared_error", "poisson_nll_loss"), "depths": (2,)}
ONE = {"activations": ("tanh",), "criteria": ("poisson_nll_loss",), "depths": (1,), "dtypes": ("float32",)}


small_grid = functools.cache(functools.partial(check.check_grid, **SMALL))


@pytest.fixture
def command(capsys):
    """Run `jaxmlp check` and return its exit code, lines of stdout and lines of stderr."""

    def command(*words):
        code = main(["check", *words])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return command


def test_the_grid_holds_a_report_for_each_combination_and_all_are_right():
    reports = small_grid()
    assert len(reports) == 2 * 3
    for configuration, report in reports.items():
        report.raise_if_wrong()
        assert report.dtype == configuration.dtype
        assert len(report.sizes) == configuration.depth + 1
        assert report.worst("jax.grad") > 0


@pytest.mark.slow
def test_the_full_grid_is_right_within_its_bounds():
    reports = check.check_grid()
    assert len(reports) == 6 * 5 * 3 * 3
    assert all(report.ok for report in reports.values())
    assert max(report.worst("jax.grad in float64") for report in reports.values()) < 1e-12
    assert max(report.worst("central differences") for report in reports.values()) < 1e-7


def test_the_table_has_a_row_for_each_pair_and_stderr_names_device_and_precision(command, monkeypatch):
    monkeypatch.setattr(check, "check_grid", small_grid)
    code, out, err = command()
    assert code == 0
    assert [line.split()[:2] for line in out if line.startswith("tanh")] == [
        ["tanh", "squared_error"],
        ["tanh", "poisson_nll_loss"],
    ]
    assert out[3].split()[:3] == ["bfloat16", "float32", "float64"]
    assert out[-1] == "6 configurations, 0 wrong"
    assert all(len(line) <= 120 for line in out)
    assert f"jax {jax.__version__}" in err[0]
    assert "changes float32 gradients by 0.0e+00 only" in err[1]


def test_the_note_for_a_device_that_rounds_products_says_how_to_avoid_it():
    assert check._precision(0.0).endswith(" only")
    remedy = 'changes float32 gradients by 7.0e-03; to avoid: with jax.default_matmul_precision("highest"): or '
    assert remedy in check._precision(7e-3)


def test_json_is_one_object_with_each_configuration(command, monkeypatch):
    monkeypatch.setattr(check, "check_grid", small_grid)
    code, out, _ = command("--json")
    (line,) = out
    result = json.loads(line)
    assert code == result["wrong"] == 0
    assert len(result["configurations"]) == 6
    first = result["configurations"][0]
    assert (first["activation"], first["criterion"], first["depth"], first["dtype"]) == (
        ("tanh", "squared_error", 2, "bfloat16")
    )
    assert first["ok"]
    assert 0 < first["errors"]["central differences"] < 1e-7
    assert {"platform", "devices", "default_precision", "allowed", "seconds"} <= set(result)


def test_a_wrong_gradient_is_exit_1_and_named(command, monkeypatch):
    def mutant(*args):
        return jax.tree.map(lambda leaf: 1.001 * leaf, backpropagate(*args))

    monkeypatch.setattr(network, "backpropagate", mutant)
    monkeypatch.setattr(check, "check_grid", functools.cache(functools.partial(check.check_grid, **ONE)))
    code, out, _ = command()
    assert code == 1
    assert out[-1] == "1 configurations, 1 wrong"
    assert any(line.startswith("WRONG tanh poisson_nll_loss 1 float32: params[0].w: wrong by ") for line in out)
    code, out, _ = command("--json")
    assert code == 1
    assert json.loads(out[0])["configurations"][0]["wrong"]
