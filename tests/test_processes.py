"""The command as a process: Ctrl-C at any moment, closed streams, full disks; and the library in forked processes.

All 40 tries of Ctrl-C: python -m pytest -n 0 -m slow tests/test_processes.py.
"""

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import jax
import pytest
from tables import FAST, SMALL, houses, words

import jaxmlp

ROOT = pathlib.Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "jaxmlp"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
FULL = pathlib.Path("/dev/full")
TRAIN = ["train", "houses.csv", "--target", "price", *map(str, words(FAST))]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A user's directory with a table and a model."""
    path = tmp_path_factory.mktemp("directory")
    houses().write_csv(path / "houses.csv")
    assert run(path, [*TRAIN, "--out", "model"])[0] == 0
    return path


def run(directory, line, streams=""):
    """Run the command in a shell that redirects or closes streams: (exit code, stdout, stderr)."""
    script = f'exec "$@" {streams}'
    process = subprocess.run(
        ["sh", "-c", script, "sh", *COMMAND, *line], cwd=directory, env=ENVIRONMENT, capture_output=True, timeout=300
    )
    return process.returncode, process.stdout.decode(), process.stderr.decode()


# Ctrl-C. The moments are after `jaxmlp.cli` is imported, which takes a few milliseconds: before, Python alone decides.
STARTED = "import sys; from jaxmlp.cli import command; sys.stdout.write('.'); sys.stdout.flush(); command()"


def interrupt(directory, line, seconds):
    """Send Ctrl-C to the command after so many seconds, sooner if it ends before: (exit code, stdout, stderr)."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED, *line], cwd=directory, env=ENVIRONMENT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.read(1)
    time.sleep(seconds)
    ended = process.poll() is not None
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    out, err = process.communicate(timeout=300)
    ended |= process.returncode == 0 and time.monotonic() - start < 0.05  # it was about to end
    return interrupt(directory, line, seconds / 2) if ended else (process.returncode, out.decode(), err.decode())


def assert_interrupted(result):
    code, _, err = result
    assert code == 130, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert err.splitlines()[-1].lower().startswith("interrupted"), err


def time_of(directory, line):
    start = time.monotonic()
    run(directory, line)
    return time.monotonic() - start


LONG = [*TRAIN[:4], *map(str, words(SMALL)), "--fast", "--epochs", "1000000"]
LONG += ["--out", "interrupted"]
TUTORIAL = ["tutorial", "--epochs", "3000000"]


@pytest.mark.extended
@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="Ctrl-C is ignored here")
@pytest.mark.parametrize(("line", "seconds"), [(["show", "model"], 0.05), (TUTORIAL, 0.6), (["check"], 1.5)])
def test_ctrl_c_is_one_line_and_exit_130(directory, line, seconds):
    assert_interrupted(interrupt(directory, line, seconds))


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_exit_130_in_40_of_40_tries(directory):
    lines = [
        TUTORIAL, ["tutorial", "--plot", "run.png"], ["check"], ["explain"], TRAIN, [*TRAIN, "--predictions", "p.csv"],
        ["predict", "model", "houses.csv", "-o", "o.csv"], ["show", "model"], ["export", "model", "-o", "program"],
        LONG,
    ]  # fmt: skip
    durations = [10.0 if line in (TUTORIAL, LONG) else min(time_of(directory, line), 10.0) for line in lines]
    random.seed(0)
    for trial in range(40):
        k = trial % len(lines)
        seconds = random.uniform(0.02, 0.8) * durations[k]
        result = interrupt(directory, lines[k], seconds)
        print(f"{' '.join(lines[k])} after {seconds:.2f} s: {result[0]} {result[2].splitlines()[-1:]}")
        assert_interrupted(result)
    assert not list(directory.glob(".*.part"))


@pytest.mark.extended
@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="Ctrl-C is ignored here")
def test_ctrl_c_during_training_keeps_the_model(directory):
    (directory / "interrupted").unlink(missing_ok=True)
    process = subprocess.Popen(
        [*COMMAND, *LONG, "--checkpoint", "kept"], cwd=directory, env=ENVIRONMENT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(directory.glob("kept/candidate-0*")):
        time.sleep(0.05)
        assert process.poll() is None
    time.sleep(0.5)  # the first checkpoint comes just before the first progress
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "Interrupted: the best model so far is saved; --resume continues"
    assert jaxmlp.load_model(directory / "interrupted").report["interrupted"]


@pytest.mark.extended
@pytest.mark.parametrize(("streams", "code"), [("2>&-", 0), pytest.param("<&- >&-", 1, marks=pytest.mark.slow)])
def test_closed_streams_and_full_disks_cost_what_they_would_show_and_nothing_else(directory, streams, code):
    for name in ("closed", "closed.csv", "closed.svg"):
        (directory / name).unlink(missing_ok=True)
    options = ["--out", "closed", "--predictions", "closed.csv", "--plot", "closed.svg"]
    result, out, err = run(directory, [*TRAIN, *options], streams)
    assert (result, "Traceback" in out + err) == (code, False), err
    assert (directory / "closed").read_bytes() == (directory / "model").read_bytes()
    assert (directory / "closed.csv").read_text().startswith("row,fold,target")
    assert (directory / "closed.svg").read_text().startswith("<?xml")
    if code == 1:
        assert re.fullmatch(r"jaxmlp train: cannot write the output: [A-Z][a-z ]+", err.splitlines()[-1])


LINES = [
    [], ["tutorial", "--json"], ["explain"], ["check"], TRAIN, ["predict", "model", "houses.csv"],
    ["predict", "model", "houses.csv", "-o", "o.csv"], ["show", "model"], ["export", "model", "-o", "program"],
    ["--help"], ["--version"], ["show", "none"],
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
def test_every_subcommand_runs_with_closed_streams_and_full_disks(directory, streams):
    if "full" in streams and not FULL.exists():
        pytest.skip("no /dev/full here")
    for line in LINES:
        expected = 2 if "none" in line else 1 if ">&-" in streams.split() or streams == ">/dev/full" else 0
        expected = 0 if "o.csv" in line else expected
        code, out, err = run(directory, line, streams)
        assert (code, "Traceback" in out + err) == (expected, False), f"{line}: {err}"
        assert len(err.splitlines()) < 10


@pytest.mark.extended
def test_a_table_from_closed_stdin_is_one_line(directory):
    code, _, err = run(directory, ["train", "-", "--target", "price"], "<&-")
    assert (code, err) == (2, "jaxmlp train: standard input: it is closed\n")


def test_a_progress_bar_without_stderr_is_not_shown(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", None)
    params = (jaxmlp.Layer(jax.numpy.ones((1, 1)), jax.numpy.ones((1, 1))),)
    data = jax.numpy.ones((4, 1))
    options = {"key": jax.random.key(0), "optimizer": jaxmlp.adam(), "epochs": 1, "progress": True}
    assert jaxmlp.fit(params, data, data, **options).stopped == "epochs"


# Forked processes: one that computes before JAX has started in its parent; then, one for each function, which prints a
# line; then those of a pool.
FORKED = """
import multiprocessing, os, pickle, select, sys, warnings
import jax, jaxmlp, jaxmlp.sharding, jaxmlp.tables, numpy as np

def train(rate=0.1):
    params = jaxmlp.init_params(jax.random.key(0), (1, 1))
    return float(jaxmlp.train(params, jax.numpy.ones((4, 1)), jax.numpy.ones((4, 1)), rate, epochs=1)[1][0])

child = os.fork()
if not child:
    train()
    os._exit(0)
print("before", os.waitpid(child, 0)[1], sep=": ")

warnings.simplefilter("ignore")  # JAX's of os.fork()
x = y = np.ones((20, 1), np.float32)
data = {"data": np.arange(20.0), "target": np.arange(20.0)}
key, adam = jax.random.key(0), jaxmlp.adam()
params, ensemble = jaxmlp.init_params(key, (1, 1)), jaxmlp.init_ensemble(key, (1, 1), 2)
model, state = jaxmlp.Model(params), jaxmlp.init_fit(params, key=key, optimizer=adam)
mesh, pickled = jaxmlp.sharding.data_mesh(), pickle.dumps(model)
jaxmlp.save_model(model, sys.argv[1] + "/model")
jaxmlp.save_state(state, sys.argv[1] + "/state")
functions = {
    "init_params": lambda: jaxmlp.init_params(key, (1, 1)),
    "init_ensemble": lambda: jaxmlp.init_ensemble(key, (1, 1), 2),
    "forward": lambda: jaxmlp.forward(params, x),
    "loss": lambda: jaxmlp.loss(params, x, y),
    "manual_grads": lambda: jaxmlp.manual_grads(params, x, y),
    "update": lambda: jaxmlp.update(params, params, 0.1),
    "train": lambda: jaxmlp.train(params, x, y, 0.1, epochs=1),
    "train_step": lambda: jaxmlp.train_step(params, x, y, 0.1),
    "train_ensemble": lambda: jaxmlp.train_ensemble(ensemble, x, y, 0.1, epochs=1),
    "predict_ensemble": lambda: jaxmlp.predict_ensemble(ensemble, x),
    "init_fit": lambda: jaxmlp.init_fit(params, key=key, optimizer=adam),
    "fit_epochs": lambda: jaxmlp.fit_epochs(state, x, y, optimizer=adam, epochs=1),
    "fit": lambda: jaxmlp.fit(params, x, y, key=key, optimizer=adam, epochs=1),
    "save_state": lambda: jaxmlp.save_state(state, sys.argv[1] + "/state"),
    "load_state": lambda: jaxmlp.load_state(sys.argv[1] + "/state", state),
    "cross_validate": lambda: jaxmlp.cross_validate(x, y, key=key),
    "fit_table": lambda: jaxmlp.fit_table(data, "target"),
    "Model": lambda: jaxmlp.Model(params),
    "predict": lambda: jaxmlp.predict(model, x),
    "predict of a pickled model": lambda: jaxmlp.predict(pickle.loads(pickled), x),
    "load_model": lambda: jaxmlp.load_model(sys.argv[1] + "/model"),
    "check_network": lambda: jaxmlp.check_network(params, x, y),
    "export_predict": lambda: jaxmlp.export.export_predict(params),
    "shard_batch": lambda: jaxmlp.sharding.shard_batch(mesh, x, y),
    "replicate": lambda: jaxmlp.sharding.replicate(mesh, params),
}
try:
    from jaxmlp.sklearn import MLPRegressor
    fitted = MLPRegressor(tol=0, max_iter=1).fit(x, y[:, 0])
    functions["MLPRegressor.fit"] = lambda: MLPRegressor().fit(x, y[:, 0])
    functions["MLPRegressor.predict"] = lambda: fitted.predict(x)
except ImportError:
    pass
jaxmlp.train(params, x, y, 0.1, epochs=1)
for name, function in functions.items():
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            function()
            os.write(writer, b"nothing")
        except RuntimeError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    answered = select.select([reader], [], [], 10)[0]
    print(name, os.read(reader, 1000).decode() if answered else "hangs", sep=": ")
    os.kill(child, 9)
    os.waitpid(child, 0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    try:
        pool.map(train, [0.1, 0.2])
    except RuntimeError as error:
        print("pool", error, sep=": ")
"""


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    """What each forked process answered."""
    if not hasattr(os, "fork"):
        pytest.skip("no os.fork here")
    words = [sys.executable, "-c", FORKED, tmp_path_factory.mktemp("forked")]
    process = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return dict(line.split(": ", 1) for line in process.stdout.splitlines())


REFUSED = "JAX cannot compute in a process that was forked after JAX had started, .*spawn.*loky"


@pytest.mark.extended
def test_public_functions_refuse_a_process_that_was_forked_after_jax_had_started(forked):
    answers = {name: answer for name, answer in forked.items() if name not in ("before", "pool")}
    assert len(answers) >= 25
    assert {name: answer for name, answer in answers.items() if not re.fullmatch(REFUSED, answer)} == {}


@pytest.mark.extended
def test_a_process_that_was_forked_before_jax_had_started_computes(forked):
    assert forked["before"] == "0"


@pytest.mark.extended
def test_a_pool_of_forked_processes_raises_in_the_parent(forked):
    assert re.fullmatch(REFUSED, forked["pool"])
