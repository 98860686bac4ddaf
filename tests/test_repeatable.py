"""A search gives the same bits again: by its plan, under load, and interrupted at any moment.

The long runs, about ten minutes each: `python -m pytest -n 0 -m slow tests/test_repeatable.py`.
"""

import contextlib
import os
import pathlib
import subprocess
import sys

import pytest
from helpers import assert_equal
from tables import FAST, SEARCH, houses, words

import jaxmlp
from jaxmlp.fitting import checkpoints, loop
from jaxmlp.fitting.checkpoints import CheckpointError
from jaxmlp.pipeline import run as pipeline
from jaxmlp.selection import search
from jaxmlp.storage.files import StorageError

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A user's directory, with a table; and a checkpoint after every epoch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "_SECONDS", 0.0)
    houses().write_csv("houses.csv")
    pathlib.Path("kept").mkdir()


def fit(options, **more):
    return jaxmlp.fit_table(houses(), "price", **options | more)


@pytest.fixture(scope="module")
def whole():
    """Searches that nothing interrupts."""
    return {False: fit(SEARCH), True: fit(FAST)}


def options_of(fast):
    return FAST if fast else SEARCH


def interrupt_after(chunks):
    """A `progress` that is Ctrl-C after some chunks of epochs."""
    calls = []

    def progress(share):
        calls.append(share)
        if len(calls) == chunks:
            raise KeyboardInterrupt

    return progress


def assert_same(result, expected):
    for group, other in zip(result.model.groups, expected.model.groups, strict=True):
        assert_equal(group.params, other.params)
    assert result.report == expected.report
    assert result.predictions.equals(expected.predictions)
    assert result.plan == expected.plan


# A chunk of each of three candidates, again one of each, two of each of two, and four of one.
@pytest.mark.sampled(1)
@pytest.mark.parametrize(("fast", "chunks"), [(True, 1), (True, 5), (False, 1), (False, 2), (False, 5), (False, 13)])
def test_an_interrupted_search_is_a_result_and_resumes_to_the_same_bits(whole, fast, chunks):
    options = options_of(fast)
    part = fit(options, checkpoint="kept", progress=interrupt_after(chunks))
    assert part.report["interrupted"]
    assert len(part.report["candidates"]) == (1 if fast else min(chunks, 3))
    assert part.report["network"] != whole[fast].report["network"]
    assert part.plan == whole[fast].plan
    assert_same(fit(options, checkpoint="kept", resume=True), whole[fast])


@pytest.mark.extended
def test_a_search_may_be_interrupted_again_and_again(whole):
    for k in range(4):
        part = fit(SEARCH, checkpoint="kept", resume=k > 0, progress=interrupt_after(3))
        assert part.report["interrupted"]
    assert_same(fit(SEARCH, checkpoint="kept", resume=True), whole[False])


@pytest.mark.extended
def test_a_finished_search_resumes_without_training(whole, monkeypatch):
    fit(SEARCH, checkpoint="kept")
    monkeypatch.setattr(loop, "run_epochs", None)
    assert_same(fit(SEARCH, checkpoint="kept", resume=True), whole[False])


@pytest.mark.extended
def test_resume_follows_the_stored_plan_whatever_time_there_is(monkeypatch):
    """Neither the speed of the machine nor the budget changes a plan that has started."""
    monkeypatch.setattr(pipeline, "measure_epoch", lambda search, candidate: 1.0)
    free = {name: value for name, value in SEARCH.items() if name != "epochs"}
    expected = fit(free, budget=7.6)
    assert (expected.plan.epochs, len(expected.plan.candidates)) == (5, 1)
    fit(free, budget=7.6, checkpoint="kept", progress=interrupt_after(2))
    monkeypatch.setattr(pipeline, "measure_epoch", None)
    resumed = fit({}, budget=1e6, checkpoint="kept", resume=True)
    assert_same(resumed, expected)
    assert "Resuming from kept" in resumed.notes


@pytest.mark.extended
def test_a_checkpoint_is_resumed_with_its_own_options_seed_and_table():
    part = fit(SEARCH, checkpoint="kept", progress=interrupt_after(2))
    for options in ({"epochs": 9}, {"learning_rate": 0.5}, {"fast": True}, {"hidden": (9,)}):
        with pytest.raises(ValueError, match=rf"{next(iter(options))} cannot be given: .* other values \(.*, not "):
            fit(options, checkpoint="kept", resume=True)
    other = {**part.plan.to_json(), "epochs": 9}
    with pytest.raises(ValueError, match=r"the plan cannot be given: .* another plan \(epochs 8, not 9\)"):
        fit({"plan": other}, checkpoint="kept", resume=True)
    with pytest.raises(CheckpointError, match=r"candidate-0-0.safetensors: .* another run: seed was 0 and is now 1$"):
        fit({"seed": 1}, checkpoint="kept", resume=True)
    with pytest.raises(CheckpointError, match=r"the checkpoint of another run: y\.checksum was \d+ and"):
        jaxmlp.fit_table(houses().with_columns(price=houses()["zone"]), "price", checkpoint="kept", resume=True)


@pytest.mark.extended
def test_an_empty_checkpoint_starts_a_new_search(whole):
    result = fit(SEARCH, checkpoint="kept", resume=True)
    assert "kept: no checkpoint; starting a new search" in result.notes
    assert_same(result, whole[False])


def test_a_damaged_checkpoint_is_refused():
    fit(FAST, checkpoint="kept")
    path = pathlib.Path("kept/candidate-0-1.safetensors")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(StorageError, match=r"candidate-0-1.safetensors.* is damaged"):
        fit(FAST, checkpoint="kept", resume=True)
    path.unlink()
    pathlib.Path("houses.csv").rename(path)
    with pytest.raises(StorageError, match=r"candidate-0-1.safetensors"):
        fit(FAST, checkpoint="kept", resume=True)


def test_ctrl_c_between_two_loops_keeps_the_first_candidate(whole, monkeypatch):
    predict, calls = search._predict_held_out, []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return predict(*arguments)

    monkeypatch.setattr(search, "_predict_held_out", interrupt)
    part = fit(SEARCH, checkpoint="kept")
    assert part.report["interrupted"]
    assert len(part.report["candidates"]) == 1
    assert_same(fit(SEARCH, checkpoint="kept", resume=True), whole[False])


def test_ctrl_c_before_the_first_epoch_of_a_candidate_keeps_the_others(monkeypatch):
    run_chunks, calls = search.run_chunks, []

    def interrupt(run, *arguments, **options):
        calls.append(run)
        if len(calls) == 2:

            def run(*_, **__):
                raise KeyboardInterrupt

        return run_chunks(run, *arguments, **options)

    monkeypatch.setattr(search, "run_chunks", interrupt)
    part = fit(SEARCH)
    assert part.report["interrupted"]
    assert len(part.report["candidates"]) == 1


@pytest.mark.extended
def test_ctrl_c_before_there_is_a_model_is_an_interrupt_and_leaves_a_checkpoint(whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_wait", lambda array: interrupt_after(1)(0))
        with pytest.raises(KeyboardInterrupt):
            fit(SEARCH, checkpoint="kept")
    assert_same(fit(SEARCH, checkpoint="kept", resume=True), whole[False])


@pytest.mark.extended
def test_ctrl_c_while_networks_are_trained_on_all_rows_is_an_interrupt(monkeypatch):
    """There would be a model of fewer epochs than those that were chosen."""
    run_chunks = search.run_chunks

    def interrupt(*arguments, on_chunk=None, **options):
        return run_chunks(*arguments, on_chunk=on_chunk or (lambda *_: interrupt_after(1)(0)), **options)

    monkeypatch.setattr(search, "run_chunks", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(FAST, members=1)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("fast", [True, False])
def test_the_command_keeps_the_best_model_exits_130_and_resumes_to_the_same_file(command, monkeypatch, fast):
    line = ("train", "houses.csv", "--target", "price", *words(options_of(fast)))
    assert command(*line, "--out", "whole")[0] == 0
    assert command(*line, "--out", "saved", "--checkpoint", "new/run")[0] == 0
    run_chunks = search.run_chunks

    def interrupt(*arguments, on_chunk, **options):
        stop = interrupt_after(3)
        return run_chunks(*arguments, on_chunk=lambda *chunk: stop(0), **options)

    with monkeypatch.context() as patch:
        patch.setattr(search, "run_chunks", interrupt)
        code, out, err = command(*line, "--checkpoint", "kept")
    assert code == 130
    assert out[-1] == "jaxmlp predict houses.safetensors houses.csv"
    assert err[-1] == "Interrupted: the best model so far is saved; --resume continues"
    assert jaxmlp.load_model("houses.safetensors").report["interrupted"]
    code, _, err = command(*line, "--checkpoint", "kept", "--resume", "--out", "resumed")
    assert (code, "Resuming from kept" in err) == (0, True)
    whole, saved, resumed = (pathlib.Path(name).read_bytes() for name in ("whole", "saved", "resumed"))
    assert whole == saved == resumed != pathlib.Path("houses.safetensors").read_bytes()
    code, out, err = command(*line, "--checkpoint", "kept", "--resume", "--activation", "tanh")
    assert (code, out) == (2, [])
    assert err[-1] == "jaxmlp train: activation cannot be given: the plan has other values (activation gelu, not tanh)"
    code, out, err = command(*line, "--checkpoint", "kept")
    assert (code, out) == (2, [])
    assert err == ["jaxmlp train: --checkpoint kept holds a search already; add --resume to continue it, or delete it"]


@contextlib.contextmanager
def busy_cores():
    """A process that computes on each core."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.extended
def test_a_plan_gives_the_same_file_under_load(command):
    line = ("train", "houses.csv", "--target", "price")
    assert command(*line, *words(SEARCH), "--out", "whole")[0] == 0
    with busy_cores():
        assert command(*line, "--plan", "whole", "--out", "again")[0] == 0
    assert pathlib.Path("again").read_bytes() == pathlib.Path("whole").read_bytes()


@pytest.mark.slow
def test_a_plan_that_time_has_reduced_gives_the_same_file_20_times_half_of_them_under_load():
    """As users run it: a process each, without JAX's cache of programs, and as many devices as cores."""
    line = [sys.executable, "-m", "jaxmlp", "train", "houses.csv", "--target", "price"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX")}
    environment |= {"PYTHONPATH": str(ROOT)}

    def train(*options):
        subprocess.run([*line, *options], env=environment, check=True, capture_output=True, timeout=600)

    train("--budget", "9", "--out", "whole", "--predictions", "whole.csv")
    plan = jaxmlp.load_model("whole").plan
    print(plan)
    same = 0
    for k in range(20):
        with busy_cores() if k % 2 else contextlib.nullcontext():
            train("--plan", "whole", "--out", "again", "--predictions", "again.csv")
        same += all(pathlib.Path(f"again{end}").read_bytes() == pathlib.Path(f"whole{end}").read_bytes()
                    for end in ("", ".csv"))  # fmt: skip
        print(f"{same} of {k + 1} the same")
    assert same == 20


@pytest.mark.extended
@pytest.mark.parametrize("trials", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_a_search_killed_at_a_random_moment_resumes_to_the_same_bits(tmp_path, trials):
    line = [sys.executable, "-m", "tests.killed_search", tmp_path, str(trials)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120 + 60 * trials)
    lines = done.stdout.splitlines()
    print(done.stdout)
    assert len(lines) == trials, done.stderr
    assert all(line.endswith("same") for line in lines)
    assert sum("killed" in line for line in lines) >= trials / 2  # else the test tested nothing
