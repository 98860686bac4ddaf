"""Training on several processes of this machine, compared with one. The long checks:

python -m pytest -n 0 -m slow tests/test_distributed.py
"""

import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import process
import pytest
from helpers import assert_close, assert_equal

pytestmark = pytest.mark.portable

ROOT = pathlib.Path(__file__).parent.parent


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run_processes(count, directory, which):
    """Return the results of each process."""
    words = [sys.executable, "-m", "tests.process", str(free_port()), str(count)]
    running = [
        subprocess.Popen([*words, str(k), str(directory), which], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for k in range(count)
    ]
    try:
        errors = [own.communicate(timeout=600)[1] for own in running]
    finally:
        for own in running:
            own.kill()
    assert [own.returncode for own in running] == [0] * count, errors
    return [list(np.load(directory / str(k) / "results.npz").values()) for k in range(count)]


def assert_equal_to_one_process(count, directory, which):
    directory.mkdir()
    found = run_processes(count, directory, which)
    for others in found[1:]:
        assert_equal(others, found[0])
    expected = jax.tree.leaves(process.results(directory, which))
    # Sums over rows in another order, over some steps.
    assert_close(found[0], [np.asarray(leaf) for leaf in expected], 1e-5)


def test_two_processes_train_the_networks_of_one_and_each_gets_them(tmp_path):
    assert_equal_to_one_process(2, tmp_path / "two", "few")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_all_functions_train_on_several_processes_as_on_one(count, tmp_path):
    assert_equal_to_one_process(count, tmp_path / "all", "all")


@pytest.mark.slow
def test_two_processes_are_clean_in_20_of_20_runs(tmp_path):
    for k in range(20):
        assert_equal_to_one_process(2, tmp_path / str(k), "few")
