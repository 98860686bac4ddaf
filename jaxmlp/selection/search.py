"""The networks of a candidate, one for each fold and seed: trained as one compiled program, cycle by cycle."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax.tree_util import Partial

from jaxmlp.activations import Activation
from jaxmlp.criteria import Criterion
from jaxmlp.ensembles import init_ensemble
from jaxmlp.ensembles.prediction import predict_members
from jaxmlp.ensembles.processes import agree
from jaxmlp.fitting.blocks import count_block_rows
from jaxmlp.fitting.checkpoints import Checkpoint, CheckpointError
from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.encoding import Encoding, count_inputs, encode
from jaxmlp.fitting.loop import Run, prepare_run, run_chunks
from jaxmlp.fitting.optimizers import OPTIMIZERS, Optimizer
from jaxmlp.fitting.splitting import Folds
from jaxmlp.fitting.state import FitData, FitState, History, empty_history, init_fit
from jaxmlp.network import Params
from jaxmlp.selection.preparation import Prepared
from jaxmlp.storage.files import require_writable
from jaxmlp.storage.json import JsonObject

_OVERHEAD = 20_000  # Of a step, as measured on tables of a few columns.
OnChunk = Callable[[FitState, History], None]


class Settings(NamedTuple):
    """What all networks of a search share, apart from the rows."""

    folds: int  # Number of folds; 1 is a single hold-out.
    seeds: int  # Number of networks of each candidate in each fold; their mean predicts.
    epochs: int  # Largest number of epochs; 0 for a number that suits the rows.
    batch_size: int  # Rows in a step; 0 for a number that suits the rows.
    patience: int  # Epochs without a lower validation loss after which a network stops; 0 for no validation rows.
    cycles: int  # Of the learning rate; networks are kept after each. 1 is half a cosine.
    optimizer: str  # A name in `OPTIMIZERS`.
    activation: Activation | tuple[Activation, ...]
    criterion: Criterion


def end_of_cycles(epochs: int, cycles: int) -> list[int]:
    """Return the epochs at which the cycles end; each is twice as long as the one before, up to whole epochs."""
    ends = (round(epochs * (2**k - 1) / (2**cycles - 1)) for k in range(1, cycles + 1))
    return sorted({max(end, 1) for end in ends})


class Search(NamedTuple):
    """What the candidates of a search share; they differ in their hyperparameters only."""

    prepared: Prepared
    settings: Settings
    key: Array  # Draws the initial weights, and the order of rows in each epoch.

    @property
    def fold(self) -> np.ndarray:
        """The fold of each network of a candidate, (members,) int32."""
        return np.repeat(np.arange(len(self.prepared.folds.train), dtype=np.int32), self.settings.seeds)

    def encoding(self, candidate: Candidate) -> Encoding:
        """Return the encoding of each network, leaves with a leading member axis."""
        return jax.tree.map(lambda leaf: leaf[self.fold], self.prepared.encoding(candidate.bins))


class Snapshot(NamedTuple):
    """The networks of a candidate after some epochs."""

    epoch: int
    params: Params  # Leading axis of members, fold by fold; encoded inputs to scaled targets.
    predictions: np.ndarray  # (n, outputs) predictions of held-out rows, in the target's unit


@dataclass(eq=False)
class Training:
    """How far the training of a candidate has come."""

    candidate: Candidate
    state: FitState
    history: History
    snapshots: list[Snapshot] = field(default_factory=list)


def checkpoint_of(directory: Path, k: int, cycle: int) -> Path:
    """Return the file that keeps a cycle of candidate k of a search."""
    return directory / f"candidate-{k}-{cycle}.safetensors"


def find_first(directory: Path) -> Path | None:
    """Return the first file of a search that a directory keeps, None if there is none."""
    return min(directory.glob("candidate-*.safetensors"), default=None)


def holds_search(directory: Path) -> bool:
    """Return whether a directory keeps a search."""
    return find_first(directory) is not None


def validate_checkpoint(directory: Path | None, *, resume: bool) -> None:
    """Raise before the work if a search could not be kept in a directory, or would replace another one.

    Raises:
        ValueError: `resume` without a directory.
        CheckpointError: a directory that keeps a search already, without `resume`.
        StorageError: a directory that is missing or may not be written.
    """
    if directory is None:
        if resume:
            raise ValueError("resume must be False without a checkpoint")
        return
    if holds_search(directory) and not resume:
        raise CheckpointError(f"{directory} holds a search already: pass resume=True to continue it, or delete it")
    require_writable(checkpoint_of(directory, 0, 0))


def start_training(search: Search, candidate: Candidate) -> Training:
    """Return a candidate before its first epoch."""
    state = _start(search, candidate)
    return Training(candidate, state, empty_history(state, search.prepared.data(is_log=candidate.is_log), None))


def train_until(
    search: Search,
    training: Training,
    end: int,
    *,
    checkpoint: Path | None = None,
    about: JsonObject | None = None,
    failures: list[str] | None = None,
    resume: bool = False,
    on_chunk: OnChunk | None = None,
) -> bool:
    """Train the networks of a candidate until the end of a cycle, predict the held-out rows, and keep a snapshot.

    Arguments:
        search: what all candidates share.
        training: how far it has come; it is changed.
        end: the epoch.
        checkpoint: a file that keeps the cycle; None for none.
        about: stored in the checkpoint; what JSON can hold.
        failures: as in `Checkpoint`.
        resume: continue from the checkpoint if it exists.
        on_chunk: called with the state and the history after each chunk of epochs.

    Returns:
        Whether Ctrl-C ended the training. Then there is a snapshot only if each network has finished an epoch.

    Raises:
        StorageError: the checkpoint cannot be read, or belongs to another run.
    """
    candidate, state, history = training.candidate, training.state, training.history
    run, saver = _prepare(search, candidate, state), None
    if checkpoint is not None:
        first = _start(search, candidate)
        parts = search.prepared.data(is_log=candidate.is_log)._asdict()
        parts |= {"params": first.params, "optimizer": first.opt_state}
        about = dict(about or {}) | {"candidate": candidate._asdict() | {"hidden": list(candidate.hidden)}}
        saver = Checkpoint(checkpoint, about=about, data=parts, failures=failures)
        state, history = saver.start(state, history, resume=resume)
    limits = {"epochs": end, "patience": search.settings.patience or None}
    state, history, interrupted = run_chunks(run, state, history, **limits, checkpoint=saver, on_chunk=on_chunk)
    # On the host, as a resumed run has it: predictions of arrays on devices may differ in the last bit.
    state = jax.device_get(state)
    training.state, training.history = state, history
    if not interrupted or np.all(state.best_epoch > 0):
        predictions = _predict_held_out(search, candidate, state)
        training.snapshots.append(Snapshot(int(np.median(state.best_epoch)), state.best_params, predictions))
    return interrupted


def join_rows(search: Search, members: int) -> Search:
    """Return a search of one candidate's networks, `members` of them, on all rows."""
    prepared, settings, _ = search
    n, none = len(prepared.y), np.empty((1, 0))
    rows = np.arange(n)[None]
    folds = Folds(np.full(n, -1), rows, none.astype(np.int64), none, rows[:, :1], none)
    joined = Prepared(prepared.x, prepared.y, prepared.scaling, folds, prepared.task)
    return search._replace(prepared=joined, settings=settings._replace(seeds=members, patience=0))


def refit(search: Search, candidate: Candidate, epoch: int) -> Params:
    """Train the networks of a candidate for some epochs of its schedule; leaves have a leading member axis."""
    training = start_training(search, candidate)
    run = _prepare(search, candidate, training.state)
    state, _, interrupted = run_chunks(run, training.state, training.history, epochs=epoch, patience=None)
    if interrupted:  # The networks have not had all their epochs.
        raise KeyboardInterrupt
    return jax.device_get(state.params)


def refit_mapped(search: Search, candidate: Candidate, epoch: int, x: np.ndarray, y: np.ndarray) -> Params:
    """Train the networks of a candidate on more rows than those of the search, with about as many steps as `refit`.

    Arguments:
        search: of `join_rows`.
        candidate: of the networks.
        epoch: number of epochs on the rows of the search.
        x: (n, columns) float32, scaled as those of the search; memory-mapped.
        y: (n, outputs) float32, scaled as the candidate learns them.
    """
    settings, prepared = search.settings, search.prepared
    epochs = max(1, round(epoch * len(prepared.y) / len(x)))
    steps = epochs * -(-len(x) // settings.batch_size)
    state, data = _start(search, candidate, steps), FitData(x, y)
    encoding = jax.tree.map(lambda leaf: leaf[0], _round(prepared.encoding(candidate.bins)))
    run = prepare_run(
        state, data, encode=Partial(encode, encoding), optimizer=_optimizer(search, candidate, steps), metric=None,
        batch_size=settings.batch_size, patience=None, activation=settings.activation, criterion=settings.criterion,
        block_rows=count_block_rows(x, None, settings.batch_size, x.dtype),
    )  # fmt: skip
    history = empty_history(state, data, None)
    state, _, interrupted = run_chunks(run, state, history, epochs=epochs, patience=None)
    if interrupted:
        raise KeyboardInterrupt
    return jax.device_get(state.params)


def measure_epoch(search: Search, candidate: Candidate, seconds: float = 0.3) -> float:
    """Return the time of an epoch in seconds, measured after compilation on epochs whose result is thrown away."""
    state = _start(search, candidate)
    run = _prepare(search, candidate, state)

    def measure(epochs: int) -> float:
        start = perf_counter()
        jax.block_until_ready(run(state, epochs=epochs))
        return float(agree(perf_counter() - start).max())  # the same for all processes, which must run as many

    for _ in range(2):  # Compiles, the second time for a state that is on the devices.
        state = jax.block_until_ready(run(state, epochs=1))[0]
    epochs, elapsed = 1, measure(1)
    while elapsed < seconds and epochs < search.settings.epochs:
        epochs = min(2 * epochs, search.settings.epochs)
        elapsed = measure(epochs)
    return min(elapsed, measure(epochs)) / epochs  # Another process may have slowed one of them.


def count_work(search: Search, candidate: Candidate) -> float:
    """Return the work of an epoch of a candidate in multiplications for each row, and overhead in the same unit."""
    sizes = (count_inputs(search.prepared.encoding(candidate.bins)), *candidate.hidden, search.prepared.y.shape[1])
    return _OVERHEAD + sum(fan_in * fan_out for fan_in, fan_out in itertools.pairwise(sizes))


def _prepare(search: Search, candidate: Candidate, state: FitState) -> Run:
    """Return the function that runs epochs."""
    settings, encoding = search.settings, _round(search.prepared.encoding(candidate.bins))
    return prepare_run(
        state, search.prepared.data(is_log=candidate.is_log), fold=search.fold, encode=Partial(encode, encoding),
        optimizer=_optimizer(search, candidate), batch_size=settings.batch_size, patience=settings.patience or None,
        activation=settings.activation, criterion=settings.criterion, metric=None,
    )  # fmt: skip


def _round(encoding: Encoding) -> Encoding:
    """Return an encoding in float32."""
    return Encoding(*(leaf if leaf.dtype == np.int32 else leaf.astype(np.float32) for leaf in encoding))


def _optimizer(search: Search, candidate: Candidate, steps: int | None = None) -> Optimizer:
    settings, folds = search.settings, search.prepared.folds
    planned = settings.epochs * -(-folds.train.shape[1] // settings.batch_size) if steps is None else steps
    return OPTIMIZERS[settings.optimizer](
        candidate.learning_rate,
        weight_decay=candidate.weight_decay,
        decay_steps=float(planned),
        cycles=settings.cycles if settings.cycles > 1 else 0,
    )


def _start(search: Search, candidate: Candidate, steps: int | None = None) -> FitState:
    """Return the state before the first epoch of a run of `steps`. Outputs start near the constant baseline."""
    prepared, _, key = search
    weights_key, rows_key = jax.random.split(jax.random.clone(key))  # All candidates use the same key.
    sizes = (count_inputs(prepared.encoding(candidate.bins)), *candidate.hidden, prepared.y.shape[1])
    params = jax.tree.map(np.array, init_ensemble(weights_key, sizes, len(search.fold)))
    if not prepared.task.standardizes_target:
        constant = prepared.task.link(prepared.constant())
        params[-1].b[:] = constant[search.fold][:, None, :]
    return init_fit(params, key=rows_key, optimizer=_optimizer(search, candidate, steps))


def _predict_held_out(search: Search, candidate: Candidate, state: FitState) -> np.ndarray:
    """Return (n, outputs) the mean prediction of the seeds of each fold, for the rows that the fold holds out."""
    prepared, settings, _ = search
    predictions = predict_members(
        state.best_params, prepared.x[prepared.folds.test], search.fold, activation=settings.activation,
        criterion=settings.criterion, encode=Partial(encode, search.encoding(candidate)),
    )  # fmt: skip
    diverged = state.best_epoch == 0  # in the first epoch
    predictions = np.where(diverged[:, None, None], np.nan, np.asarray(predictions, np.float64))
    by_fold = predictions.reshape(-1, settings.seeds, *predictions.shape[1:]).mean(axis=1)
    targets = prepared.targets(is_log=candidate.is_log)
    return prepared.collect(np.stack([target.invert(own) for target, own in zip(targets, by_fold, strict=True)]))
