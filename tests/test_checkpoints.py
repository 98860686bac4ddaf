"""A run that is killed at any moment goes on, to the same bits as one that never was."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.parametrize("trials", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_while_it_writes_checkpoints(tmp_path, trials):
    words = [sys.executable, "-m", "tests.killed", tmp_path, str(trials)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60 * trials)
    lines = done.stdout.splitlines()
    assert len(lines) == trials, done.stderr
    assert all(line.endswith("same") for line in lines)
    assert sum("killed" in line for line in lines) > trials / 2  # else nothing was tried
