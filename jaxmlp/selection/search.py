"""The search: the networks of each candidate, one for each fold and seed, trained as one compiled program."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from jaxmlp.activations import Activation
from jaxmlp.criteria import Criterion
from jaxmlp.ensembles import init_ensemble
from jaxmlp.ensembles.prediction import predict_members
from jaxmlp.fitting.checkpoints import Checkpoint
from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.loop import Run, prepare_run, run_chunks
from jaxmlp.fitting.optimizers import OPTIMIZERS
from jaxmlp.fitting.scaling import absorb
from jaxmlp.fitting.state import FitState, History, empty_history, init_fit
from jaxmlp.network import Params
from jaxmlp.selection.preparation import Prepared


@dataclass(frozen=True, eq=False)
class Search:
    """What the networks of a search share; candidates differ in their hyperparameters only."""

    prepared: Prepared
    hidden: tuple[int, ...]  # Hidden layer widths; empty for a linear model.
    seeds: int  # Number of networks of each candidate in each fold; their mean predicts.
    epochs: int  # Largest number of epochs.
    batch_size: int  # Rows in a step.
    patience: int  # Epochs without a lower validation loss after which a network stops.
    activation: Activation | tuple[Activation, ...]
    criterion: Criterion
    optimizer: str  # A name in `OPTIMIZERS`.
    key: Array  # Draws the initial weights, and the order of rows in each epoch.

    @property
    def members(self) -> int:
        """Number of networks of a candidate."""
        return len(self.fold)

    @property
    def fold(self) -> np.ndarray:
        """The fold of each network, (members,) int32."""
        return np.repeat(np.arange(len(self.prepared.x_test), dtype=np.int32), self.seeds)


@dataclass(frozen=True, eq=False)
class Trained:
    """The networks of a candidate."""

    params: Params  # Leading axis of members, fold by fold; scaled inputs to scaled targets.
    predictions: np.ndarray  # (n, outputs) predictions of held-out rows, in the target's unit
    history: History  # (members, epochs run)
    interrupted: bool  # Whether Ctrl-C ended the training.

    @property
    def is_usable(self) -> bool:
        """Whether every network has finished at least one epoch without diverging."""
        return bool(np.isfinite(self.predictions[~np.isnan(self.predictions).all(axis=1)]).all())


def train_candidate(
    search: Search,
    candidate: Candidate,
    *,
    checkpoint: Path | None = None,
    about: dict[str, Any] | None = None,
    resume: bool = False,
    on_chunk: Callable[[FitState, History], None] | None = None,
) -> Trained:
    """Train the networks of a candidate, and predict the rows that their folds hold out.

    Arguments:
        search: what all candidates share.
        candidate: hyperparameters of the optimizer.
        checkpoint: a file that keeps the run; None for none.
        about: stored in the checkpoint; what JSON can hold.
        resume: continue from the checkpoint if it exists.
        on_chunk: called with the state and the history after each chunk of epochs.

    Returns:
        The networks, each with the parameters of its lowest validation loss.

    Raises:
        StorageError: the checkpoint cannot be written or read, or belongs to another run.
    """
    state, run = _start(search, candidate)
    history, saver = empty_history(state, search.prepared.data, None), None
    if checkpoint is not None:
        saver = Checkpoint(checkpoint, about=about or {}, data=(search.prepared.data, state))
        if resume and saver.exists():
            state, history = saver.load(state, history)
    state, history, interrupted = run_chunks(
        run, state, history, epochs=search.epochs, patience=search.patience, checkpoint=saver, on_chunk=on_chunk
    )
    state = jax.device_get(state)  # a checkpoint is read there too, and predictions are the same bits
    return Trained(state.best_params, _predict_held_out(search, state), history, interrupted)


def measure_epoch(search: Search, candidate: Candidate, seconds: float = 0.5) -> float:
    """Return the time of an epoch in seconds, measured after compilation on epochs whose result is thrown away."""
    state, run = _start(search, candidate)
    state, _ = jax.block_until_ready(run(state, epochs=1))  # compiles
    epochs, start = 1, time.perf_counter()
    while True:
        jax.block_until_ready(run(state, epochs=epochs))
        elapsed = time.perf_counter() - start
        if elapsed > seconds or epochs >= search.epochs:
            return elapsed / epochs
        epochs, start = min(2 * epochs, search.epochs), time.perf_counter()


def train_linear(search: Search, candidates: Sequence[Candidate]) -> list[Trained]:
    """Train linear models for all candidates as the networks are trained."""
    return [train_candidate(replace(search, hidden=(), seeds=1), candidate) for candidate in candidates]


def scale_members(search: Search, params: Params) -> Params:
    """Return networks for inputs and targets that are scaled by all rows, given those of their own folds."""
    prepared = search.prepared
    inputs = [scaling.relative_to(prepared.encoding) for scaling in prepared.inputs for _ in range(search.seeds)]
    targets = [scaling.relative_to(prepared.target) for scaling in prepared.targets for _ in range(search.seeds)]
    return absorb(params, inputs, targets)


def _start(search: Search, candidate: Candidate) -> tuple[FitState, Run]:
    """Return the state before the first epoch, split over devices, and the function that runs epochs."""
    data = search.prepared.data
    steps = search.epochs * -(-data.x.shape[1] // search.batch_size)
    optimizer = OPTIMIZERS[search.optimizer](
        candidate.learning_rate, weight_decay=candidate.weight_decay, decay_steps=float(steps)
    )
    weights_key, rows_key = jax.random.split(search.key)
    params = _draw(search, weights_key)
    state = init_fit(params, key=rows_key, optimizer=optimizer)
    run = prepare_run(
        state, data, fold=search.fold, optimizer=optimizer, batch_size=search.batch_size, patience=search.patience,
        activation=search.activation, criterion=search.criterion, metric=None,
    )  # fmt: skip
    return state, run


def _draw(search: Search, key: Array) -> Params:
    """Draw the initial weights; the outputs of a network start near the constant baseline, a linear model's at it."""
    prepared, sizes = (
        search.prepared,
        (search.prepared.data.x.shape[2], *search.hidden, search.prepared.data.y.shape[2]),
    )
    params = jax.tree.map(np.array, init_ensemble(key, sizes, search.members))
    if not search.hidden:
        params[0].w[:] = 0
    if not prepared.task.standardizes_target:
        constant = prepared.task.link(prepared.constant)
        params[-1].b[:] = np.repeat(constant, search.seeds, axis=0)[:, None, :]
    return params


def _predict_held_out(search: Search, state: FitState) -> np.ndarray:
    """Return (n, outputs) the mean prediction of the seeds of each fold, for the rows that the fold holds out."""
    prepared, folds = search.prepared, len(search.prepared.x_test)
    predictions = np.asarray(
        predict_members(
            state.best_params, prepared.x_test, search.fold, activation=search.activation, criterion=search.criterion
        ),
        np.float64,
    )
    predictions[np.asarray(state.best_epoch) == 0] = np.inf  # diverged in the first epoch
    by_fold = predictions.reshape(folds, search.seeds, *predictions.shape[1:])
    return prepared.collect(
        np.stack([t.invert(p).mean(axis=0) for t, p in zip(prepared.targets, by_fold, strict=True)])
    )
