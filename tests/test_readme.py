"""Every snippet of the README runs: Python as it stands, commands through the command's own door."""

import pathlib
import re
import shlex

import jax
import numpy as np
import pytest

from jaxmlp.cli import main, verdict

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user's directory, with the table that the README speaks of, and JAX as it comes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rooms, area = rng.integers(1, 8, size=120), rng.uniform(30, 200, size=120)
    rows = [f"{r},{a:.1f},{5000 * r + 1000 * a:.0f}" for r, a in zip(rooms, area, strict=True)]
    pathlib.Path("houses.csv").write_text("\n".join(["rooms,area,price", *rows]))
    monkeypatch.setattr(verdict, "_PLANS", ((3, 1, 1),))  # fewer networks
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize("snippet", PYTHON, ids=lambda snippet: snippet.split("\n")[2][:40])
def test_python_snippets_run(snippet, user):
    names = {}
    exec(snippet.replace("1000)", "16)"), names)  # fewer members of the ensemble
    losses = np.asarray(names["losses"])
    assert np.all(losses[..., -1] < losses[..., 0])


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("jaxmlp ")])
def test_commands_run(line, user, capsys):
    assert main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


def test_the_two_commands_are_there_for_ci_to_run():
    assert [line.split(" && ")[1] for line in COMMANDS if line.startswith("pip install")] == [
        "python -m jaxmlp",
        "python -m pytest",
    ]


def test_links_point_to_files():
    root = pathlib.Path(__file__).parent.parent
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (root / target).exists(), target
