"""The Python around `fit_epochs`: chunks of epochs, and between them progress, checkpoints, and a way out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from os import PathLike
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import require, validate_count, validate_data
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.fitting.checkpoints import Checkpoint
from jaxmlp.fitting.epochs import CAPACITY, FitState, History, init_fit, run_epochs, running
from jaxmlp.fitting.metrics import Metric
from jaxmlp.network import Params

# A chunk has as many epochs as fit in so many seconds, so that progress moves and Ctrl-C is heard.
_SECONDS = 0.25

# Drawn from with a number that no epoch has, for the rows that are put aside.
_ASIDE = 2**32 - 1


class FitResult(NamedTuple):
    """What `fit` returns."""

    params: Params  # those of the lowest validation loss; without validation, the last
    history: History  # of the epochs that were run, as NumPy arrays (epochs run,), or (members, epochs run)
    best_epoch: Any  # the epoch of params, 0 for none: a number, or an array (members,)
    stopped: Any  # why it ended: "epochs", "patience", "not finite" or "interrupted"; or a tuple of these
    state: FitState  # from which `fit_epochs` goes on


def fit(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    key: Array,
    optimizer: Any,
    epochs: int,
    batch_size: int | None = None,
    validation: float | tuple[ArrayLike, ...] | None = None,
    patience: int | None = None,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    metric: Metric | None = None,
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
    resume: bool = False,
    callback: Callable[[FitState, History], None] | None = None,
) -> FitResult:
    """Train on a table: mini-batches, any optimizer, validation, early stopping, checkpoints.

    The same key gives the same bits on CPU, however the epochs are cut into chunks, stopped and resumed. Training ends
    at a loss that is no longer finite: `stopped` is then "not finite", the parameters are the last (or best) finite
    ones, and the epoch that failed is the last of the history, with an infinite loss.

    An ensemble is trained as one program, `vmap(fit_epochs)`; each member stops by itself. Member k shuffles its rows
    by `jax.random.split(key, members)[k]`; the rows put aside are the same for all.

    Arguments:
        params: the network to start from, as `init_params` draws it, or many, as `init_ensemble` does.
        x: (n, fan_in); standardise the columns.
        y: (n, outputs).
        sample_weight: (n,), or None for all ones.
        key: a key of `jax.random.key`: the order of the rows in each epoch, and which are put aside for validation.
        optimizer: `jaxmlp.adam()`, or another of `jaxmlp.fitting.optimizers` or of optax.
        epochs: at most how many to run.
        batch_size: rows a step; None for all of them.
        validation: the share of rows to put aside, between 0 and 1; or rows of their own, (x, y) or (x, y, weights).
        patience: epochs without a lower validation loss after which to stop; None for never.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: the loss of a row.
        metric: of `jaxmlp.fitting.metrics`, or your own; None for the criterion's usual one.
        progress: show a bar on stderr, where that is a terminal.
        checkpoint: a file to save the state in between chunks, at most once a second and in the end.
        resume: go on from the checkpoint, if there is one.
        callback: called with the state and the history so far after each chunk. Ctrl-C between and within chunks ends
            the run as an epoch limit would, with `stopped` "interrupted".

    Returns:
        The parameters, the history, the best epoch, why it stopped, and the state.

    Raises:
        ValueError: a shape that does not fit; patience without validation; a share that leaves no row.
        TypeError: not a key; an optimizer that needs more than gradients, state and parameters.
        CheckpointError: a checkpoint that cannot be read or belongs to another run.
        MissingDependencyError: tqdm or safetensors is needed and not installed.
    """
    epochs = validate_count("epochs", epochs, at_least=0)
    if patience is not None and validation is None:
        raise ValueError("patience must be None without validation: it waits for the validation loss")
    patience = None if patience is None else validate_count("patience", patience, at_least=1)
    if resume and checkpoint is None:
        raise ValueError("resume must be False without a checkpoint to resume from")
    state = init_fit(params, key=key, optimizer=optimizer)
    one = state.params if state.epoch.ndim == 0 else jax.tree.map(lambda leaf: leaf[0], state.params)
    x, y, weights = validate_data(one, x, y, sample_weight)
    data = (x, y, weights, None) if validation is None else _put_aside(one, key, x, y, weights, validation)
    x, y, weights, aside = jax.device_put(data)  # not jnp.asarray, which holds a copy more on the way
    run = partial(
        run_epochs, x=x, y=y, weights=weights, validation=aside, optimizer=optimizer,
        batch_size=batch_size, patience=patience, activation=activation, criterion=criterion, metric=metric,
    )  # fmt: skip

    none: Any = np.empty((*state.epoch.shape, 0), one[0].w.dtype)
    history = History(none, None, None) if validation is None else History(none, none, none)
    saver = None
    if checkpoint is not None:
        about = {"batch_size": batch_size, "functions": _names(activation, criterion)}
        saver = Checkpoint(checkpoint, about=about, data=(x, y, weights, aside, state))
        if resume and saver.exists():
            state, history = saver.load(state, history)
    with _progress(epochs, shown=progress) as show:
        try:
            for now, measured in chunks(run, state, epochs, patience):
                state, history = now, jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1), history, measured)
                if saver is not None:
                    saver.save(state, history)
                if callback is not None:
                    callback(state, history)
                show(state, history)
        except KeyboardInterrupt:
            pass
    if saver is not None:
        saver.save(state, history, now=True)
    best_epoch = np.asarray(state.best_epoch)
    return FitResult(
        state.best_params,
        history,
        best_epoch if best_epoch.ndim else int(best_epoch),
        _why(state, epochs, patience),
        state,
    )


def chunks(
    run: Callable[..., tuple[FitState, History]], state: FitState, epochs: int, patience: int | None
) -> Iterator[tuple[FitState, History]]:
    """Run until something ends it; after each chunk, the state and what was measured.

    With members in front of all that the state and the history hold, until the last of them has stopped.
    """
    length, done = 1, int(np.max(state.epoch))
    while np.any(running(_on_host(state), epochs, patience)):
        start = time.perf_counter()
        state, measured = run(state, epochs=min(length, epochs - done))
        _wait(measured.loss)
        seconds = time.perf_counter() - start
        ended = np.asarray(state.epoch) + np.asarray(state.diverged)  # the epoch that failed included
        ran, done = int(np.max(ended)) - done, int(np.max(state.epoch))
        yield state, jax.tree.map(lambda values: np.asarray(values)[..., :ran], measured)  # noqa: B023 (called at once)
        length = paced(length, seconds, _SECONDS)


def paced(length: int, seconds: float, aim: float) -> int:
    """How many epochs take `aim` seconds, if `length` took so many: at least one, and no more than a history holds."""
    return min(max(int(length * aim / seconds), 1), CAPACITY)


def _on_host(state: FitState) -> FitState:
    """Its counters as NumPy arrays, so that asking about them runs nothing on the device."""
    epoch, waited, diverged = jax.device_get((state.epoch, state.waited, state.diverged))
    return state._replace(epoch=epoch, waited=waited, diverged=diverged)


def _why(state: FitState, epochs: int, patience: int | None) -> Any:
    """Why a run has ended, or each of many; what could go on was interrupted."""
    state = _on_host(state)
    waited = np.zeros_like(state.diverged) if patience is None else state.waited >= patience
    reasons = {"not finite": state.diverged, "patience": waited, "epochs": state.epoch >= epochs}
    why = np.select(list(reasons.values()), list(reasons), default="interrupted")
    return tuple(why.tolist()) if why.ndim else str(why)


def _names(activation: Any, criterion: Criterion) -> list[str]:
    functions = (*(activation if isinstance(activation, tuple) else (activation,)), criterion)
    return [f"{each.fn.__module__}.{each.fn.__qualname__}" for each in functions if hasattr(each, "fn")]


def _wait(array: Any) -> None:
    """Wait for a result with Python awake, so that Ctrl-C is answered at once and not when the chunk is done."""
    start = time.perf_counter()
    while not array.is_ready():
        # Too late by a sixteenth of what it took, at most; and by no more than anybody sees.
        time.sleep(min(max((time.perf_counter() - start) / 16, 2e-5), 0.01))
    array.block_until_ready()


def _put_aside(params: Params, key: Array, x: Any, y: Any, weights: Any, validation: Any) -> tuple[Any, Any, Any, Any]:
    """The rows to train on and those to validate with, both (x, y, weights)."""
    if isinstance(validation, tuple):
        if len(validation) not in (2, 3):
            raise ValueError(f"validation must hold x, y and perhaps weights; got {len(validation)} arrays")
        x_valid, y_valid, c = validate_data(params, *validation, *(None,) * (3 - len(validation)))
        return x, y, weights, (x_valid, y_valid, np.ones(x_valid.shape[0], x.dtype) if c is None else c)
    n = x.shape[0]
    aside = round(n * validation)
    if not (0 < validation < 1 and 0 < aside < n):
        raise ValueError(f"validation must be a share that leaves rows on both sides; got {validation} of {n} rows")
    order = np.asarray(jax.random.permutation(jax.random.fold_in(key, _ASIDE), n))
    valid, train = np.sort(order[:aside]), np.sort(order[aside:])
    c = np.ones(n, x.dtype) if weights is None else weights
    return x[train], y[train], None if weights is None else weights[train], (x[valid], y[valid], c[valid])


@contextmanager
def _progress(epochs: int, *, shown: bool) -> Iterator[Callable[[FitState, History], None]]:
    """A function that shows how far a run is: on stderr, where that is a terminal."""
    if not shown:
        yield lambda state, history: None
        return
    with require("tqdm", extra="tables").tqdm(total=epochs, unit="epoch", disable=None) as bar:

        def show(state, history):
            bar.set_postfix({k: _last(v) for k, v in history._asdict().items() if v is not None}, refresh=False)
            bar.update(int(np.max(state.epoch)) - bar.n)

        yield show


def _last(values: np.ndarray) -> str:
    """What was measured last, on average over the members that still run."""
    last = np.atleast_1d(values[..., -1]).astype(np.float64)
    last = last[~np.isnan(last)]
    return f"{last.mean():.4g}" if len(last) else "nan"
