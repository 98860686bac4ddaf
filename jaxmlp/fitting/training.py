"""`fit`: training on real data with validation, early stopping, progress and checkpoints."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import describe, refuse_tracing, require, validate_count, validate_data, validate_functions
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.ensembles.members import is_ensemble
from jaxmlp.fitting.blocks import count_block_rows, validate_mapped
from jaxmlp.fitting.checkpoints import Checkpoint, describe_callable, describe_functions, describe_key
from jaxmlp.fitting.epochs import default_metric
from jaxmlp.fitting.loop import find_stop_reason, prepare_run, run_chunks
from jaxmlp.fitting.metrics import Metric
from jaxmlp.fitting.optimizers import Optimizer, describe_optimizer
from jaxmlp.fitting.splitting import hold_out, rng_of
from jaxmlp.fitting.state import FitData, FitState, History, empty_history, init_fit, last_epoch
from jaxmlp.fitting.values import validate_values, validate_weights
from jaxmlp.network import Params
from jaxmlp.storage.files import require_writable

OnChunk = Callable[[FitState, History], object]


class FitResult(NamedTuple):
    """What `fit` returns; of an ensemble, all but `stopped` have a leading member axis."""

    params: Params  # The network of the lowest validation loss; without validation, the last.
    history: History  # Measurements of the epochs that were run, NumPy arrays (epochs run,).
    best_epoch: int | np.ndarray  # The epoch of `params`; 0 for none.
    stopped: str | tuple[str, ...]  # "epochs", "patience", "not finite" or "interrupted"; a tuple, one for each member.
    state: FitState  # The state from which `fit_epochs` continues.

    def __repr__(self) -> str:
        sizes = "-".join(str(layer.w.shape[-2]) for layer in self.params) + f"-{self.params[-1].w.shape[-1]}"
        if is_ensemble(self.params):
            network = f"{len(self.params[0].w)} networks {sizes}"
            reasons = ", ".join(f"{reason!r}: {self.stopped.count(reason)}" for reason in sorted(set(self.stopped)))
            best, stopped = f"{np.min(self.best_epoch)} to {np.max(self.best_epoch)}", f"{{{reasons}}}"
        else:
            network, best, stopped = f"network {sizes}", str(self.best_epoch), repr(self.stopped)
        measured = {name: last_mean(values) for name, values in self.history._asdict().items() if values is not None}
        last = ", ".join(f"{name}={value}" for name, value in measured.items())
        epochs = self.history.loss.shape[-1]
        return f"FitResult({network}, {epochs} epochs, best_epoch={best}, stopped={stopped}, last epoch: {last})"


def fit(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    key: Array,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None = None,
    validation: float | tuple[ArrayLike, ...] | None = None,
    patience: int | None = None,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    metric: Metric | None = None,
    block_rows: int | None = None,
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
    resume: bool = False,
    callback: OnChunk | None = None,
) -> FitResult:
    """Train with mini-batches, any optimizer, validation, early stopping and checkpoints.

    This is a Python loop around `fit_epochs`, which does not run under jit, vmap or grad. The same key gives the same
    bits on a CPU, however often the run is stopped and resumed. Training ends at a loss that is not finite: `stopped`
    is then "not finite", the parameters are the last (or best) finite ones, and the failed epoch is the last of the
    history, with an infinite loss.

    An ensemble is trained as one program, split over the CPU devices; each member stops by itself. Member k shuffles
    its rows by `jax.random.split(key, members)[k]`; the validation rows are the same for all.

    If x is memory-mapped (`numpy.load(path, mmap_mode="r")`) and larger than a block, its rows are read in blocks and
    are never in memory all together. Each epoch reads pieces of the file in a new order, sixteen or so a block, and
    shuffles the rows of each block.

    Arguments:
        params: the network to start from, as `init_params` returns, or an ensemble, as `init_ensemble` returns.
        x: (n, fan_in) inputs; standardize the columns.
        y: (n, outputs) targets.
        sample_weight: (n,) weights of the rows, not negative; None for all ones. A row of weight 0 may hold anything.
        key: a key of `jax.random.key`; it draws the order of the rows in each epoch, and the validation rows.
        optimizer: `jaxmlp.adam()`, or another of `jaxmlp.fitting.optimizers` or of optax.
        epochs: number of epochs, at most.
        batch_size: rows a step; None for all.
        validation: the fraction of rows to hold out for validation, between 0 and 1; or separate validation rows,
            (x, y) or (x, y, sample_weight).
        patience: number of epochs without a lower validation loss after which to stop; None for never.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.
        metric: of `jaxmlp.fitting.metrics`, or a custom one, measured on the validation rows; None for the metric of
            the criterion, which a custom criterion does not have.
        block_rows: rows of memory-mapped inputs to read at a time, rounded up to whole batches; None for 64 MB.
        progress: show a progress bar on stderr, if that is a terminal.
        checkpoint: a file to save the run in, at most once a second and at the end. If it cannot be written during
            training, a `CheckpointWarning` says so once, and training goes on.
        resume: continue from the checkpoint, if there is one. Without it, no file may be there.
        callback: called about four times a second with the state and the history so far. Ctrl-C ends the run as an
            epoch limit would, with `stopped` "interrupted".

    Returns:
        The parameters, the history, the best epoch, why the run stopped, and the state.

    Raises:
        ValueError: a shape that does not fit; patience without validation; rows that are read in blocks without
            batch_size; a fraction that leaves no rows; values of x
            or y that are not finite; targets outside the range of the criterion; sample weights that are negative, not
            finite or all zero, in the training rows or in the validation rows.
        TypeError: not a key; an optimizer that needs more than gradients, state and parameters; a call that JAX traces.
        CheckpointError: a checkpoint that belongs to another run, or that is there without `resume`.
        StorageError: a checkpoint that cannot be read, or a place where none can be written.
        MissingDependencyError: tqdm or safetensors is needed and not installed.
    """
    refuse_tracing("fit", params, x, y, sample_weight, key, validation)
    epochs = validate_count("epochs", epochs, at_least=0)
    if patience is not None and validation is None:
        raise ValueError("patience must be None without validation: it waits for the validation loss")
    patience = None if patience is None else validate_count("patience", patience, at_least=1)
    batch_size = None if batch_size is None else validate_count("batch_size", batch_size, at_least=1)
    if resume and checkpoint is None:
        raise ValueError("resume must be False without a checkpoint to resume from")
    validate_functions(activation, criterion)
    state = init_fit(params, key=key, optimizer=optimizer)
    refuse_tracing("fit", state)  # the optimizer's hyperparameters too
    network = jax.tree.map(lambda leaf: leaf[0], state.params) if state.epoch.ndim else state.params
    block_rows = count_block_rows(x, block_rows, batch_size, network[0].w.dtype)
    data = _prepare_rows(network, key, (x, y, sample_weight), validation, criterion, block_rows)
    metric = metric or default_metric(criterion)
    saver = None
    if checkpoint is not None:
        about = _describe_settings(state, key, optimizer, batch_size, validation, metric, block_rows)
        about |= describe_functions(activation, criterion)
        require_writable(Path(checkpoint))
        parts = data._asdict() | {"params": state.params, "optimizer": state.opt_state}
        saver = Checkpoint(checkpoint, about=about, data=parts)
    run = prepare_run(
        state, data, optimizer=optimizer, batch_size=batch_size, patience=patience, activation=activation,
        criterion=criterion, metric=metric, block_rows=block_rows,
    )  # fmt: skip
    history = empty_history(state, data, metric)
    if saver is not None:
        state, history = saver.start(state, history, resume=resume)
    with _progress(epochs, shown=progress, callback=callback) as show:
        state, history, _ = run_chunks(
            run, state, history, epochs=epochs, patience=patience, checkpoint=saver, on_chunk=show
        )
    best_epoch = np.asarray(state.best_epoch) if state.epoch.ndim else int(state.best_epoch)
    return FitResult(state.best_params, history, best_epoch, find_stop_reason(state, epochs, patience), state)


def last_mean(values: np.ndarray) -> str:
    """Return the last measurement, averaged over the members that still ran, in four digits."""
    last = np.atleast_1d(values[..., -1:]).astype(np.float64)
    last = last[~np.isnan(last)]
    return f"{last.mean():.4g}" if last.size else "nan"


def _prepare_rows(
    params: Params,
    key: Array,
    given: tuple[ArrayLike, ArrayLike, ArrayLike | None],
    validation: object,
    criterion: Criterion,
    block_rows: int | None,
) -> FitData:
    """Return the rows to train with and those to validate with, if something can be learned from them."""
    dtype = params[0].w.dtype
    if block_rows is not None:
        data = validate_mapped(params, given, criterion, block_rows)
    else:
        with np.errstate(over="ignore"):  # Values that overflow are refused with the others that are not finite.
            data = FitData(*validate_data(params, *given))
        validate_values(*data[:3], criterion)
    data = _split_rows(params, key, data, validation, is_mapped=block_rows is not None)
    if data.x_valid is not None and data.y_valid is not None:
        with _naming("validation"):
            validate_values(data.x_valid, data.y_valid, data.valid_weight, criterion)
        if data.sample_weight is not None:
            validate_weights("sample_weight of the training rows", data.sample_weight, dtype)
    return data


def _split_rows(params: Params, key: Array, data: FitData, validation: object, *, is_mapped: bool = False) -> FitData:
    """Return the rows to train with and those to validate with."""
    x, y, c = data.x, data.y, data.sample_weight
    if validation is None:
        return data
    if isinstance(validation, tuple):
        if len(validation) not in (2, 3):
            raise ValueError(f"validation must hold x, y and perhaps sample_weight; got {len(validation)} arrays")
        with _naming("validation"), np.errstate(over="ignore"):
            return FitData(x, y, c, *validate_data(params, *validation, *(None,) * (3 - len(validation))))
    if not isinstance(validation, Real):
        raise TypeError(
            "validation must be a fraction between 0 and 1, or a tuple (x, y) or (x, y, sample_weight); got "
            f"{describe(validation)}"
        )
    with _naming("validation"):
        train, valid = hold_out(len(x), float(validation), rng_of(key))
    if is_mapped:  # The held-out rows stay where they are, with weight 0.
        weights = np.ones(len(x), params[0].w.dtype) if c is None else np.array(c, params[0].w.dtype)
        held_out = validate_data(params, x[valid], y[valid], None if c is None else c[valid])
        weights[valid] = 0
        return FitData(x, y, weights, *held_out)
    c_train, c_valid = (None, None) if c is None else (c[train], c[valid])
    return FitData(x[train], y[train], c_train, x[valid], y[valid], c_valid)


def _describe_settings(
    state: FitState,
    key: Array,
    optimizer: Optimizer,
    batch_size: int | None,
    validation: float | tuple[ArrayLike, ...] | None,
    metric: Metric | None,
    block_rows: int | None,
) -> dict[str, object]:
    """Return the settings of a run by name, for its checkpoint."""
    layers = state.params
    return {
        "sizes": [layers[0].w.shape[-2], *(layer.w.shape[-1] for layer in layers)], "dtype": str(layers[0].w.dtype),
        "members": state.epoch.size if state.epoch.ndim else None, "batch_size": batch_size,
        "optimizer": describe_optimizer(optimizer, state.opt_state), "key": describe_key(key),
        "validation": "rows" if isinstance(validation, tuple) else validation and float(validation),
        "metric": metric and describe_callable(metric), "block_rows": block_rows,
    }  # fmt: skip


@contextmanager
def _naming(argument: str) -> Iterator[None]:
    """Begin the messages of errors with the argument that holds the wrong one."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument}: {error}") from None


@contextmanager
def _progress(epochs: int, *, shown: bool, callback: OnChunk | None) -> Iterator[OnChunk | None]:
    """Return a function that calls `callback`, and shows the progress of a run on stderr, if that is a terminal."""
    if not shown:
        yield callback
        return
    with require("tqdm", extra="fit").tqdm(total=epochs, unit="epoch", disable=None if sys.stderr else True) as bar:

        def show(state: FitState, history: History) -> None:
            if callback is not None:
                callback(state, history)
            measured = {name: last_mean(values) for name, values in history._asdict().items() if values is not None}
            bar.set_postfix(measured, refresh=False)
            bar.update(last_epoch(state) - bar.n)

        yield show
