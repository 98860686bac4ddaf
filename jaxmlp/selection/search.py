"""The search: the networks of each candidate, one for each fold and seed, trained as one compiled program."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion
from jaxmlp.ensembles import init_ensemble
from jaxmlp.ensembles.prediction import predict_members
from jaxmlp.fitting import defaults
from jaxmlp.fitting.checkpoints import Checkpoint, CheckpointError
from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.loop import Run, prepare_run, run_chunks
from jaxmlp.fitting.optimizers import OPTIMIZERS
from jaxmlp.fitting.scaling import absorb
from jaxmlp.fitting.state import FitState, History, empty_history, init_fit
from jaxmlp.network import Params
from jaxmlp.selection.preparation import Prepared
from jaxmlp.storage.files import require_writable


class Settings(NamedTuple):
    """What all networks of a search share, apart from the rows."""

    hidden: tuple[int, ...]  # Hidden layer widths; empty for a linear model.
    folds: int  # Number of folds; 1 is a single hold-out.
    seeds: int  # Number of networks of each candidate in each fold; their mean predicts.
    epochs: int  # Largest number of epochs; 0 for a number that suits the rows.
    batch_size: int  # Rows in a step; 0 for a number that suits the rows.
    patience: int  # Epochs without a lower validation loss after which a network stops; 0 for a third of `epochs`.
    optimizer: str  # A name in `OPTIMIZERS`.
    activation: Activation | tuple[Activation, ...]
    criterion: Criterion


class Search(NamedTuple):
    """What the candidates of a search share; they differ in their hyperparameters only."""

    prepared: Prepared
    settings: Settings
    key: Array  # Draws the initial weights, and the order of rows in each epoch.

    @property
    def members(self) -> int:
        """Number of networks of a candidate."""
        return len(self.fold)

    @property
    def fold(self) -> np.ndarray:
        """The fold of each network, (members,) int32."""
        return np.repeat(np.arange(len(self.prepared.x_test), dtype=np.int32), self.settings.seeds)


@dataclass(frozen=True, eq=False)
class Trained:
    """The networks of a candidate."""

    params: Params  # Leading axis of members, fold by fold; scaled inputs to scaled targets.
    predictions: np.ndarray  # (n, outputs) predictions of held-out rows, in the target's unit
    interrupted: bool  # Whether Ctrl-C ended the training.
    is_usable: bool  # Whether every network has finished at least one epoch without diverging.


def checkpoint_of(directory: Path, k: int) -> Path:
    """Return the file that keeps candidate k of a search."""
    return directory / f"candidate-{k}.safetensors"


def holds_search(directory: Path) -> bool:
    """Return whether a directory keeps a search."""
    return any(directory.glob("candidate-*.safetensors"))


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
    require_writable(checkpoint_of(directory, 0))


def train_candidate(
    search: Search,
    candidate: Candidate,
    *,
    checkpoint: Path | None = None,
    about: dict[str, Any] | None = None,
    failures: list[str] | None = None,
    resume: bool = False,
    on_chunk: Callable[[FitState, History], None] | None = None,
) -> Trained:
    """Train the networks of a candidate, and predict the rows that their folds hold out.

    Arguments:
        search: what all candidates share.
        candidate: hyperparameters of the optimizer.
        checkpoint: a file that keeps the run; None for none.
        about: stored in the checkpoint; what JSON can hold.
        failures: as in `Checkpoint`.
        resume: continue from the checkpoint if it exists.
        on_chunk: called with the state and the history after each chunk of epochs.

    Returns:
        The networks, each with the parameters of its lowest validation loss.

    Raises:
        StorageError: the checkpoint cannot be read, or belongs to another run.
    """
    (state, run), settings, data = _start(search, candidate), search.settings, search.prepared.data
    history, saver = empty_history(state, data, None), None
    if checkpoint is not None:
        parts = data._asdict() | {"params": state.params, "optimizer": state.opt_state}
        about = (about or {}) | {"candidate": candidate._asdict()}
        saver = Checkpoint(checkpoint, about=about, data=parts, failures=failures)
        state, history = saver.start(state, history, resume=resume)
    limits = {"epochs": settings.epochs, "patience": settings.patience}
    state, _, interrupted = run_chunks(run, state, history, **limits, checkpoint=saver, on_chunk=on_chunk)
    # On the host, as a resumed run has it: predictions of arrays on devices may differ in the last bit.
    state = jax.device_get(state)
    predictions, is_usable = _predict_held_out(search, state), bool(np.all(state.best_epoch > 0))
    return Trained(state.best_params, predictions, interrupted, is_usable)


def measure_epoch(search: Search, candidate: Candidate, seconds: float = 0.5) -> float:
    """Return the time of an epoch in seconds, measured after compilation on epochs whose result is thrown away."""
    state, run = _start(search, candidate)
    state, _ = jax.block_until_ready(run(state, epochs=1))  # compiles
    epochs, start = 1, time.perf_counter()
    while True:
        jax.block_until_ready(run(state, epochs=epochs))
        elapsed = time.perf_counter() - start
        if elapsed > seconds or epochs >= search.settings.epochs:
            return elapsed / epochs
        epochs, start = min(2 * epochs, search.settings.epochs), time.perf_counter()


def train_linear(search: Search, on_chunk: Callable[[FitState, History], None] | None = None) -> Trained:
    """Train linear models as the networks are trained, but with the default epochs and patience and with Adam."""
    epochs = defaults.default_epochs(search.prepared.data.x.shape[1], search.settings.batch_size)
    linear = search.settings._replace(
        hidden=(), seeds=1, epochs=epochs, patience=defaults.default_patience(epochs), optimizer="adam", activation=relu
    )
    return train_candidate(search._replace(settings=linear), defaults.LINEAR, on_chunk=on_chunk)


def scale_members(search: Search, params: Params) -> Params:
    """Return networks that share the scaling of a model, given those for the scalings of their folds."""
    prepared = search.prepared
    inputs = [prepared.inputs[fold].relative_to(prepared.encoding) for fold in search.fold]
    targets = [prepared.targets[fold].relative_to(prepared.target) for fold in search.fold]
    return absorb(params, inputs, targets)


def _start(search: Search, candidate: Candidate) -> tuple[FitState, Run]:
    """Return the state before the first epoch, and the function that runs epochs."""
    (data, *_), settings, key = search
    steps = settings.epochs * -(-data.x.shape[1] // settings.batch_size)
    rate, decay = candidate
    optimizer = OPTIMIZERS[settings.optimizer](rate, weight_decay=decay, decay_steps=float(steps))
    weights_key, rows_key = jax.random.split(jax.random.clone(key))  # All candidates use the same key.
    state = init_fit(_draw(search, weights_key), key=rows_key, optimizer=optimizer)
    run = prepare_run(
        state, data, fold=search.fold, optimizer=optimizer, batch_size=settings.batch_size, patience=settings.patience,
        activation=settings.activation, criterion=settings.criterion, metric=None,
    )  # fmt: skip
    return state, run


def _draw(search: Search, key: Array) -> Params:
    """Draw the initial weights. Outputs start near the constant baseline; those of a linear model are equal to it."""
    prepared, settings, _ = search
    sizes = (prepared.data.x.shape[2], *settings.hidden, prepared.data.y.shape[2])
    params = jax.tree.map(np.array, init_ensemble(key, sizes, search.members))
    if not settings.hidden:
        params[0].w[:] = 0
    if not prepared.task.standardizes_target:
        constant = prepared.task.link(prepared.constant)
        params[-1].b[:] = np.repeat(constant, settings.seeds, axis=0)[:, None, :]
    return params


def _predict_held_out(search: Search, state: FitState) -> np.ndarray:
    """Return (n, outputs) the mean prediction of the seeds of each fold, for the rows that the fold holds out."""
    prepared, settings, _ = search
    functions = {"activation": settings.activation, "criterion": settings.criterion}
    predictions = predict_members(state.best_params, prepared.x_test, search.fold, **functions)
    diverged = state.best_epoch == 0  # in the first epoch
    predictions = np.where(diverged[:, None, None], np.nan, np.asarray(predictions, np.float64))
    by_fold = predictions.reshape(-1, settings.seeds, *predictions.shape[1:])
    inverted = [target.invert(fold).mean(axis=0) for target, fold in zip(prepared.targets, by_fold, strict=True)]
    return prepared.collect(np.stack(inverted))
