"""Checkpoints: a killed run resumes to the same bits."""

import contextlib
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from fuzz import damage_file

import jaxmlp
from jaxmlp.fitting.checkpoints import Checkpoint, CheckpointError, read_about
from jaxmlp.fitting.state import FitData, empty_history, init_fit
from jaxmlp.storage.files import StorageError

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.parametrize("trials", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_a_run_killed_while_it_writes_checkpoints_resumes_to_the_same_bits(tmp_path, trials):
    words = [sys.executable, "-m", "tests.killed", tmp_path, str(trials)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60 * trials)
    lines = done.stdout.splitlines()
    assert len(lines) == trials, done.stderr
    assert all(line.endswith("same") for line in lines)
    assert sum("killed" in line for line in lines) > trials / 2  # else the test tested nothing


@pytest.fixture
def state():
    """The state before the first epoch of a network of one layer."""
    params = (jaxmlp.Layer(np.ones((3, 1), np.float32), np.zeros((1, 1), np.float32)),)
    return init_fit(params, key=jax.random.key(1), optimizer=jaxmlp.adam())


def test_a_file_with_any_bit_changed_is_refused(tmp_path, state):
    history = empty_history(state, FitData(np.ones((2, 3)), np.ones((2, 1))), None)
    checkpoint = Checkpoint(tmp_path / "run", about={"seed": 3}, data=())
    checkpoint.save(state, history)
    jaxmlp.save_state(state, tmp_path / "state")
    readers = [
        ("run", lambda: checkpoint.load(state, history)),
        ("run", lambda: read_about(tmp_path / "run")),
        ("state", lambda: jaxmlp.load_state(tmp_path / "state", state)),
    ]
    for name, read in readers:
        path, rng, expected = tmp_path / name, np.random.default_rng(0), str(read())
        content = path.read_bytes()
        for place in [*range(len(content) - 60, len(content)), *rng.integers(len(content), size=60)]:
            changed = bytearray(content)
            changed[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(changed)
            with pytest.raises(StorageError) as refused:
                read()
            assert "\n" not in str(refused.value)
        for seed in range(30):
            path.write_bytes(damage_file(seed, content))
            with contextlib.suppress(StorageError):
                assert str(read()) == expected
        path.write_bytes(content)


def test_read_about_returns_the_plan_of_a_checkpoint(tmp_path, state):
    history = empty_history(state, FitData(np.ones((2, 3)), np.ones((2, 1))), None)
    about = {"plan": [{"epochs": 0.1, "names": ["é", None]}], "seed": 3}
    Checkpoint(tmp_path / "run", about=about, data=()).save(state, history)
    assert read_about(tmp_path / "run") == about
    Checkpoint(tmp_path / "run", about=read_about(tmp_path / "run"), data=()).load(state, history)
    with pytest.raises(CheckpointError, match="the checkpoint of another run"):
        Checkpoint(tmp_path / "run", about=about | {"seed": 4}, data=()).load(state, history)
    jaxmlp.save_state(state, tmp_path / "state")
    with pytest.raises(CheckpointError, match="not a checkpoint of jaxmlp"):
        read_about(tmp_path / "state")
