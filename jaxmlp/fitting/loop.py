"""The training loop: chunks of epochs, and between them checkpoints, a time limit and Ctrl-C.

Chunks of any length give the same result, so the loop adapts them to the speed of the machine. Ctrl-C ends a run after
its chunk: `run_chunks` says so, `fit` returns what is trained, and a search ends with the networks that it has
(`selection/rounds.py`).
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import PartitionSpec
from jax.typing import ArrayLike

from jaxmlp.ensembles.members import join_members, split_members
from jaxmlp.ensembles.processes import agree, gather, place, rows_mesh
from jaxmlp.fitting.batches import Encode
from jaxmlp.fitting.blocks import prepare_blocks
from jaxmlp.fitting.checkpoints import Checkpoint
from jaxmlp.fitting.epochs import CAPACITY, run_epochs
from jaxmlp.fitting.state import FitData, FitState, History, is_running, last_epoch, mark_history

# A chunk has as many epochs as fit in this many seconds, so that progress moves and Ctrl-C is answered.
_SECONDS = 0.25


class Run(Protocol):
    """A function that runs more epochs."""

    def __call__(self, state: FitState, *, epochs: int) -> tuple[FitState, History]:
        """Return the state after that many more epochs, and their history, 0 where no epoch was run."""
        ...


def prepare_run(
    state: FitState,
    data: FitData,
    *,
    fold: ArrayLike | None = None,
    encode: Encode | None = None,
    block_rows: int | None = None,
    **options: Any,
) -> Run:
    """Put the data on the devices once, and return the function `run` that `run_chunks` takes.

    Members of an ensemble are split over the CPU devices; the states that go in and come out have no padding. With
    several processes, they are split over the devices of all, as are the rows of each step of a single network.

    Arguments:
        state: of a network or an ensemble.
        data: the rows, with an axis of folds if `fold` is given.
        fold: (members,) int32, as in `run_epochs`.
        encode: as in `run_epochs`.
        block_rows: rows of a block, if the rows are memory-mapped and read in blocks.
        options: the other keywords of `run_epochs`.

    Returns:
        `run(state, epochs=k)`.
    """
    if block_rows is not None:
        return prepare_blocks(state, data, block_rows=block_rows, encode=encode, **options)
    if state.epoch.ndim == 0:
        return _prepare_single(data, encode, **options)
    members = state.epoch.shape[0]
    _, rows, mesh = split_members((state, fold), (data, encode), members, all_processes=True)
    if mesh is None:
        rows = jax.device_put(rows)  # Not jnp.asarray, which would make one more copy.

    def run(state: FitState, *, epochs: int) -> tuple[FitState, History]:
        (state, split_fold), split_rows, mesh = split_members((state, fold), rows, members, all_processes=True)
        data, encode = split_rows
        results = run_epochs(state, data, epochs, fold=split_fold, encode=encode, mesh=mesh, **options)
        _wait(results[1].loss)  # Joining would, with Python asleep.
        return join_members(gather(results, mesh), members)

    return run


def _prepare_single(data: FitData, encode: Encode | None, **options: Any) -> Run:
    """Return the function `run` of a single network."""
    mesh = rows_mesh()
    if mesh is None or any(len(leaf.sharding.device_set) > 1 for leaf in data if isinstance(leaf, jax.Array)):
        return partial(run_epochs, data=jax.device_put(data), encode=encode, **options)
    rows, whole = place((data, encode), mesh, PartitionSpec()), PartitionSpec()

    def run(state: FitState, *, epochs: int) -> tuple[FitState, History]:
        data, encode = rows
        return gather(run_epochs(place(state, mesh, whole), data, epochs, encode=encode, mesh=mesh, **options), mesh)

    return run


def run_chunks(
    run: Run,
    state: FitState,
    history: History,
    *,
    epochs: int,
    patience: int | None,
    checkpoint: Checkpoint | None = None,
    on_chunk: Callable[[FitState, History], object] | None = None,
    deadline: float | None = None,
    length: int = 1,
) -> tuple[FitState, History, bool]:
    """Run epochs in chunks of about 0.25 s until something ends the run; an ensemble ends with its last member.

    Arguments:
        run: runs more epochs, as `prepare_run` returns.
        state: of `init_fit`, or of earlier epochs.
        history: of these epochs, NumPy arrays; `empty_history` at the start.
        epochs: total number of epochs, those of `state` included.
        patience: that of `run`.
        checkpoint: saves state and history after a chunk, at most once a second, and at the end.
        on_chunk: called after each chunk with the state and the history of all epochs so far.
        deadline: the time of `time.monotonic()` after which no chunk starts; None for none.
        length: number of epochs in the first chunk, if they are known to be short.

    Returns:
        The state, the history of all epochs, and whether Ctrl-C ended the run.
    """
    done, interrupted = last_epoch(state), False
    try:
        while np.any(is_running(_counters(state), epochs, patience)):
            start = time.monotonic()
            length, is_late = _agree(length, done, is_late=deadline is not None and start >= deadline)
            if is_late:
                break
            following, measured = run(state, epochs=min(length, epochs - done))
            _wait(measured.loss)
            ended = np.asarray(following.epoch) + np.asarray(following.diverged)  # the epoch that diverged included
            measured = mark_history(measured, state, following, int(np.max(ended)) - done)
            state, history = following, jax.tree.map(_join, history, measured)
            done, now = last_epoch(state), time.monotonic()
            if checkpoint is not None:
                checkpoint.save(state, history)
            if on_chunk is not None:
                on_chunk(state, history)
            seconds = _SECONDS if deadline is None else min(_SECONDS, deadline - now)
            length = _count_epochs(length, now - start, seconds)
    except KeyboardInterrupt:
        interrupted = True
    if checkpoint is not None:
        checkpoint.save(state, history, now=True)
    return state, history, interrupted


def _count_epochs(length: int, elapsed: float, seconds: float) -> int:
    """Return how many epochs take `seconds`, if `length` took `elapsed`: at least 1, and at most a history holds."""
    return min(max(int(length * seconds / max(elapsed, 1e-9)), 1), CAPACITY)


def _agree(length: int, done: int, *, is_late: bool) -> tuple[int, bool]:
    """Return the length of a chunk, and whether it is too late for it, the same for all processes."""
    lengths, counts, late = agree(length, done, is_late).T
    if len(set(counts.tolist())) > 1:
        raise RuntimeError(
            "processes continue from different epochs: the checkpoint must be on a file system that all of them share"
        )
    return int(lengths[0]), bool(late.any())


def _join(*parts: np.ndarray) -> np.ndarray:
    """Return the measurements of consecutive chunks as one array."""
    return np.concatenate(parts, axis=-1)


def _counters(state: FitState) -> FitState:
    """Return the counters as NumPy arrays, so that comparing them runs nothing on the device."""
    epoch, waited, diverged = jax.device_get((state.epoch, state.waited, state.diverged))
    return state._replace(epoch=epoch, waited=waited, diverged=diverged)


def find_stop_reason(state: FitState, epochs: int, patience: int | None) -> str | tuple[str, ...]:
    """Return why a run has ended, of an ensemble for each member; one that could continue was interrupted."""
    state = _counters(state)
    waited = np.zeros_like(state.diverged) if patience is None else state.waited >= patience
    reasons = {"not finite": state.diverged, "patience": waited, "epochs": state.epoch >= epochs}
    why = np.select(list(reasons.values()), list(reasons), default="interrupted")
    return tuple(why.tolist()) if why.ndim else str(why)


def _wait(array: Any) -> None:
    """Wait for a result with Python awake, so that Ctrl-C is answered at once and not at the end of the chunk."""
    start = time.perf_counter()
    while not array.is_ready():
        # Poll so that the end is noticed at most 1/16 of the run time, or 10 ms, late.
        time.sleep(min(max((time.perf_counter() - start) / 16, 2e-5), 0.01))
    array.block_until_ready()
