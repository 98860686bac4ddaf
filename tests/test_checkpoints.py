"""Checkpoints: a killed run resumes to the same bits."""

import contextlib
import pathlib
import shutil
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest
from fuzz import damage_file
from helpers import assert_equal, files_no_longer_than

import jaxmlp
from jaxmlp.fitting import checkpoints, loop
from jaxmlp.fitting.checkpoints import Checkpoint, CheckpointError, CheckpointWarning, read_about
from jaxmlp.fitting.metrics import r2_score
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
    assert sum("killed" in line for line in lines) >= trials / 2  # else the test tested nothing


@pytest.fixture
def state():
    """The state before the first epoch of a network of one layer."""
    params = (jaxmlp.Layer(np.ones((3, 1), np.float32), np.zeros((1, 1), np.float32)),)
    return init_fit(params, key=jax.random.key(1), optimizer=jaxmlp.adam())


def test_a_file_with_any_bit_changed_is_refused(tmp_path, state):
    history = empty_history(state, FitData(np.ones((2, 3)), np.ones((2, 1))), None)
    checkpoint = Checkpoint(tmp_path / "run", about={"seed": 3}, data={})
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
    Checkpoint(tmp_path / "run", about=about, data={}).save(state, history)
    assert read_about(tmp_path / "run") == about
    Checkpoint(tmp_path / "run", about=read_about(tmp_path / "run"), data={}).load(state, history)
    with pytest.raises(CheckpointError, match=r"the checkpoint of another run: seed was 3 and is now 4$"):
        Checkpoint(tmp_path / "run", about=about | {"seed": 4}, data={}).load(state, history)
    jaxmlp.save_state(state, tmp_path / "state")
    with pytest.raises(CheckpointError, match="not a checkpoint of jaxmlp"):
        read_about(tmp_path / "state")


X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
Y = X[:, :1]
PARAMS = (jaxmlp.Layer(np.ones((3, 1), np.float32), np.zeros((1, 1), np.float32)),)
OPTIONS = {"key": jax.random.key(1), "optimizer": jaxmlp.adam(0.01), "batch_size": 8, "validation": 0.2}


def fit(x=X, y=Y, *, params=PARAMS, **options):
    return jaxmlp.fit(params, x, y, **OPTIONS | {"epochs": 6} | options)


@pytest.fixture
def chunks(monkeypatch):
    """A checkpoint after every epoch."""
    monkeypatch.setattr(loop, "_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "_SECONDS", 0.0)


def remove_folder(path):
    return lambda *_: shutil.rmtree(path.parent, ignore_errors=True)


def test_a_checkpoint_that_can_no_longer_be_written_warns_once_and_training_goes_on(tmp_path, chunks):
    path = tmp_path / "folder" / "run"
    path.parent.mkdir()
    with pytest.warns(CheckpointWarning) as warned:
        result = fit(checkpoint=path, callback=remove_folder(path))
    (warning,) = warned
    message = f"cannot write {path}: No such file or directory; training goes on without the checkpoint"
    assert str(warning.message) == message
    assert result.stopped == "epochs"
    assert_equal(result.params, fit().params)


def test_a_full_disk_warns_once_and_training_goes_on(tmp_path, chunks):
    with files_no_longer_than(500), pytest.warns(CheckpointWarning, match="File too large") as warned:
        result = fit(checkpoint=tmp_path / "run")
    assert len(warned) == 1
    assert_equal(result.params, fit().params)
    assert not list(tmp_path.iterdir())


@pytest.mark.extended
def test_a_search_warns_once_for_all_its_candidates(tmp_path, chunks):
    x, directory = np.arange(30.0)[:, None], tmp_path / "folder"
    directory.mkdir()
    options = {"hidden": (), "seeds": 1, "folds": 2, "epochs": 2, "candidates": ((0.1, 0.0), (0.2, 0.0))}
    search = partial(jaxmlp.cross_validate, x, x, key=jax.random.key(0), **options)
    with pytest.warns(CheckpointWarning) as warned:
        result = search(checkpoint=directory, progress=lambda share: shutil.rmtree(directory, ignore_errors=True))
    assert len(warned) == 1
    assert len(result.scores) == 2


def test_a_checkpoint_that_is_there_is_not_replaced(tmp_path):
    path = tmp_path / "run"
    fit(checkpoint=path, epochs=1)
    content = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"run exists already: pass resume=True to continue its run, or delete"):
        fit(checkpoint=path)
    path.with_name("text").write_text("a user's file")
    with pytest.raises(CheckpointError, match="text exists already"):
        fit(checkpoint=path.with_name("text"))
    assert (path.read_bytes(), path.with_name("text").read_text()) == (content, "a user's file")


def test_a_search_that_is_there_is_not_replaced(tmp_path):
    file = tmp_path / "candidate-1.safetensors"
    file.write_text("a search")
    for search in (
        lambda: jaxmlp.cross_validate(X, Y, key=jax.random.key(0), checkpoint=tmp_path),
        lambda: jaxmlp.fit_table({"a": [1, 2], "b": [1, 2]}, "a", checkpoint=str(tmp_path)),
    ):
        with pytest.raises(CheckpointError, match="holds a search already: pass resume=True to continue it, or delete"):
            search()
    assert file.read_text() == "a search"


@pytest.mark.parametrize("path", ["none/run", "file/run", "folder", "/proc/run", "/dev/null"])
def test_a_place_where_no_checkpoint_can_be_written_is_refused_before_training(tmp_path, path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=rf"^cannot write {tmp_path / path}: "):
        fit(checkpoint=tmp_path / path, callback=pytest.fail)
    if path != "folder":
        with pytest.raises(StorageError, match="cannot write"):
            jaxmlp.cross_validate(X, Y, key=jax.random.key(0), checkpoint=tmp_path / path, progress=pytest.fail)


OTHERS = {
    "batch_size was 8 and is now 4": {"batch_size": np.int64(4)},
    "batch_size was 8 and is now none": {"batch_size": None},
    r"key was \[0, 1\] and is now \[0, 9\]": {"key": jax.random.key(9)},
    r"sizes was \[3, 1\] and is now \[3, 2, 1\]": {"params": jaxmlp.init_params(jax.random.key(0), (3, 2, 1))},
    "optimizer.learning_rate was 0.01 and is now 0.02": {"optimizer": jaxmlp.adam(0.02)},
    "optimizer.weight_decay was 0.0 and is now 0.1": {"optimizer": jaxmlp.adam(0.01, weight_decay=0.1)},
    "optimizer.name was Adam and is now Sgd": {"optimizer": jaxmlp.sgd()},
    "validation was 0.2 and is now 0.5": {"validation": 0.5},
    "validation was 0.2 and is now none": {"validation": None},
    "activation was relu and is now tanh": {"activation": jaxmlp.tanh},
    "criterion was squared_error and is now huber_loss": {"criterion": jaxmlp.huber_loss},
    "metric was .*root_mean_squared_error and is now .*r2_score": {"metric": r2_score},
    r"x.checksum was \d+ and is now \d+": {"x": X + 1},
    r"y.checksum was \d+ and is now \d+": {"y": Y + 1},
    r"x.shape was \[16, 3\] and is now \[15, 3\]": {"x": X[:19], "y": Y[:19]},
    r"sample_weight.* was none and is now": {"sample_weight": np.ones(20)},
    r"params\[0\].w.checksum was": {"params": jax.tree.map(lambda leaf: leaf + 1, PARAMS)},
    "batch_size was 8 and is now 4; .*key was .*; .*validation was": {
        "batch_size": 4, "key": jax.random.key(9), "validation": 0.5,
    },
}  # fmt: skip


def test_a_refused_resume_names_each_setting_that_differs_with_both_values(tmp_path):
    fit(checkpoint=tmp_path / "run", epochs=1)
    for message, options in OTHERS.items():
        with pytest.raises(CheckpointError, match=rf"run: the checkpoint of another run: .*{message}") as refused:
            fit(checkpoint=tmp_path / "run", resume=True, **options)
        assert "\n" not in str(refused.value)


@pytest.mark.extended
def test_a_refused_resume_of_a_search_names_each_setting_that_differs_with_both_values(tmp_path):
    options = {"key": jax.random.key(0), "hidden": (), "seeds": 1, "folds": 2, "epochs": 2, "candidates": ((0.1, 0.0),)}
    search = partial(jaxmlp.cross_validate, X, Y, checkpoint=tmp_path)
    search(**options)
    others = {
        "batch_size was 32 and is now 16": {"batch_size": 16},
        "epochs was 2 and is now 3": {"epochs": 3},
        "seeds was 1 and is now 2": {"seeds": 2},
        "activation was relu and is now tanh": {"activation": jaxmlp.tanh},
        "optimizer was adam and is now sgd": {"optimizer": "sgd"},
        "candidate.learning_rate was 0.1 and is now 0.2": {"candidates": ((0.2, 0.0),)},
        r"key was \[0, 0\] and is now \[0, 1\]": {"key": jax.random.key(1)},
        r"hidden was \[\] and is now \[2\]": {"hidden": (2,)},
    }
    for message, other in others.items():
        with pytest.raises(CheckpointError, match=f"the checkpoint of another run: .*{message}"):
            search(resume=True, **options | other)
    assert search(resume=True, **options).n_networks == 2
