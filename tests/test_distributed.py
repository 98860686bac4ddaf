"""Training on several processes of this machine, compared with one. The long checks:

python -m pytest -n 0 -m slow tests/test_distributed.py
"""

import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import process
import pytest
from helpers import assert_close, assert_equal
from jax.sharding import PartitionSpec
from jax.tree_util import Partial
from tables import SMALL, houses, words

import jaxmlp
from jaxmlp.cli.distributed import _describe, _share_cores
from jaxmlp.ensembles.processes import place
from jaxmlp.fitting.epochs import Statics, _run
from jaxmlp.fitting.state import FitData, advance_best_loss
from jaxmlp.sharding import data_mesh

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


@pytest.mark.extended
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


@pytest.mark.extended
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_of_fit_sends_one_message(weighted):
    optimizer = jaxmlp.adam()
    state = jaxmlp.init_fit(
        jaxmlp.init_params(jax.random.key(0), (3, 5, 1)), key=jax.random.key(1), optimizer=optimizer
    )
    data = FitData(*process.rows(), np.ones(60, np.float32) if weighted else None)
    state, data = place((state, data), data_mesh(), PartitionSpec())
    statics = Statics(128, optimizer, 8, jaxmlp.relu, jaxmlp.squared_error, None)
    arguments = (state, None, data, 3, None, None, Partial(advance_best_loss), None, statics, data_mesh())
    program = _run.program(*arguments).lower(*arguments).compile().as_text()
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
    assert re.findall(rf" ({kinds})(?:-start)?\(", program) == ["all-reduce"]


DEAD = """E1126 coordination_service.cc] UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):
{}
The tasks have crashed. Check the task logs for an earlier error
F1126 11:34:59.004925   28966 client.h:80] Terminating process because the JAX distributed service detected fatal errors
"""


@pytest.mark.parametrize(
    ("noise", "line"),
    [
        (DEAD.format("3"), "process 3 has ended"),
        (DEAD.format("/job:jax_worker/replica:0/task:12"), "process 12 has ended"),
        (DEAD.format("1\n2"), "processes 1, 2 have ended"),
        ("UNAVAILABLE: Failed to send RPC to coordination service. Either the leader", "process 0 has ended"),
        ("F1126 11:34:59.0   2 main.cc:80] No such port", "failed: No such port"),
    ],
)
def test_the_line_names_the_process_that_has_ended(noise, line):
    assert _describe(noise).startswith(line)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--process", 0], "need --distributed"),
        (["--distributed", "--process", 0], "must be given together"),
        (["--distributed", "--coordinator", "x", "--processes", 2, "--process", 0], "a host and a port"),
        (["--distributed", "--coordinator", "x:1", "--processes", 2, "--process", 2], "from 0 to 1; got 2"),
    ],
)
def test_options_that_do_not_fit_are_one_line(command, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    houses().write_csv("houses.csv")
    code, out, err = command("train", "houses.csv", "--target", "price", *options)
    assert (code, out, len(err)) == (2, [], 1)
    assert message in err[0]


@pytest.mark.parametrize(("coordinator", "shared"), [("127.0.0.1:1234", True), ("10.0.0.1:1234", False)])
def test_processes_of_one_machine_share_its_cores(monkeypatch, coordinator, shared):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for own, given in {8: "2" if shared else None, 2: None}.items():  # 2: bound already
        monkeypatch.setattr("jaxmlp.cli.distributed.count_cores", lambda own=own: own)
        monkeypatch.setattr(os, "environ", {"JAX_NUM_CPU_DEVICES": "1"})
        _share_cores(coordinator, 4)
        assert os.environ.get("NPROC") == given


def start(directory, count, *options):
    """Start the command in several processes, or in one as users do."""
    line = [
        sys.executable,
        "-m",
        "jaxmlp",
        "train",
        "houses.csv",
        "--target",
        "price",
        *map(str, words(PLAN)),
        *options,
    ]
    more = ["--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", str(count), "--process"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    lines = [[*line, *more, str(k)] if count > 1 else line for k in range(count)]
    return [subprocess.Popen(own, cwd=directory, env=ENVIRONMENT, **pipes) for own in lines]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}
PLAN = SMALL | {"epochs": 60, "weight_decay": 0.1}


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_one_line_and_others_resume_in_10_of_10_trials(tmp_path):
    houses().write_csv(tmp_path / "houses.csv")
    whole = start(tmp_path, 1, "--out", "whole")[0]
    report, errors = whole.communicate(timeout=600)
    assert whole.returncode == 0, errors
    for trial in range(10):
        random.seed(trial)
        count = 2 + trial % 3
        victim, options = trial % count, ["--checkpoint", f"{trial}", "--out", f"{trial}.model"]
        running = start(tmp_path, count, *options)
        while not list(tmp_path.glob(f"{trial}/candidate-*.safetensors")):
            time.sleep(0.02)
        time.sleep(random.uniform(0, 3))
        running[victim].kill()
        begin = time.monotonic()
        errors = [own.communicate(timeout=60)[1].splitlines() for own in running]
        print(f"process {victim} of {count}: {time.monotonic() - begin:.1f} s {errors[victim - 1][-1]}")
        for k, own in enumerate(running):
            if k != victim:
                assert own.returncode == 1
                line = f"jaxmlp train: process {victim} has ended, and so does the training"
                assert errors[k][-1].startswith(line), errors[k]
                assert k == 0 or len(errors[k]) == 1
        resumed = start(tmp_path, 1 + trial % 2, *options, "--resume")
        (out, errors), *_ = [own.communicate(timeout=600) for own in resumed]
        assert all(own.returncode == 0 for own in resumed), errors
        assert out.splitlines()[:8] == report.splitlines()[:8]
        assert (tmp_path / f"{trial}.model").read_bytes() == (tmp_path / "whole").read_bytes()
