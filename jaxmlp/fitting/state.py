"""The state of a run, its rows and its history."""

from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import as_jax, validate_key, validate_members, validate_params
from jaxmlp.ensembles.members import is_ensemble
from jaxmlp.fitting.batches import choose
from jaxmlp.fitting.metrics import AnyArray, Metric
from jaxmlp.fitting.optimizers import Optimizer, OptState, validate_optimizer
from jaxmlp.network import Params


class FitState(NamedTuple):
    """The whole state of a run between two epochs; of an ensemble, each leaf has a leading member axis."""

    params: Params  # The network after the last epoch.
    opt_state: OptState  # The state of the optimizer.
    key: Array  # Epoch k shuffles the rows by `fold_in(key, k)`.
    epoch: Array  # Number of epochs run, an int32 scalar.
    best_params: Params  # The network of the lowest validation loss; without validation, the last.
    best_epoch: Array  # The epoch of `best_params`, an int32 scalar.
    best_loss: Array  # The lowest value so far of the loss that `patience` watches; at first the largest number.
    waited: Array  # Number of epochs since that loss last improved, an int32 scalar.
    diverged: Array  # True once an epoch produced a non-finite loss or parameter; that epoch is discarded.


class History(NamedTuple):
    """Measurements of each epoch; NaN in epochs after a run has stopped."""

    loss: Array  # (epochs,) mean training loss, each batch before its update; infinite in an epoch that diverged.
    validation_loss: Array | None  # (epochs,) mean validation loss after the epoch.
    metric: Array | None  # (epochs,) metric of the validation rows after the epoch.


class FitData(NamedTuple):
    """The rows of a run, of the dtype of the network; with a leading axis of folds if members use several folds."""

    x: AnyArray  # (n, fan_in) inputs.
    y: AnyArray  # (n, outputs) targets.
    sample_weight: AnyArray | None = None  # (n,) sample weights, or None for all ones.
    x_valid: AnyArray | None = None  # (n_valid, fan_in) inputs of the validation rows, or None for no validation.
    y_valid: AnyArray | None = None  # (n_valid, outputs) targets of the validation rows.
    valid_weight: AnyArray | None = None  # (n_valid,) sample weights of the validation rows, or None for all ones.


def init_fit(params: Params, *, key: Array, optimizer: Optimizer) -> FitState:
    """Return the state before the first epoch.

    Arguments:
        params: the network, or an ensemble, whose member k gets `jax.random.split(key, members)[k]`.
        key: a key of `jax.random.key`; each epoch draws the order of the rows from it.
        optimizer: a pair of functions `init` and `update`: one of `jaxmlp.fitting.optimizers`, or of optax.

    Returns:
        A state for `fit_epochs`; of an ensemble, with a leading member axis.

    Raises:
        TypeError: not a key; an optimizer that needs more than gradients, state and parameters.
    """
    if is_ensemble(params):
        params, members = validate_members(params)
        params = jax.tree.map(as_jax, params)
        keys = jax.random.split(validate_key(key), members)
        return jax.vmap(lambda params, key: init_fit(params, key=key, optimizer=optimizer))(params, keys)
    params = validate_params(params)
    opt_state = validate_optimizer(optimizer, params)
    # Arrays of NumPy, which compile nothing. Not infinity, which `jax_debug_infs` would take for an error.
    zero, largest, no = np.zeros((), np.int32), np.asarray(jnp.finfo(params[0].w.dtype).max), np.zeros((), bool)
    return FitState(params, opt_state, validate_key(key), zero, params, zero, largest, zero, no)  # type: ignore[arg-type]


def advance_best_loss(state: FitState, params: Params, opt_state: OptState, measured: History) -> FitState:
    """Return the state after an epoch; with validation rows, it watches the validation loss."""
    has_validation = measured.validation_loss is not None
    watched = state.best_loss if measured.validation_loss is None else measured.validation_loss
    improved = watched < state.best_loss
    return finish_epoch(state, params, opt_state, watched, improved, keeps_best=has_validation)


def finish_epoch(
    state: FitState, params: Params, opt_state: OptState, watched: Array, improved: Array, *, keeps_best: bool
) -> FitState:
    """Return the state after an epoch, given the number that it watches, lowest at best, and if that has improved."""
    number, is_lowest = state.epoch + 1, watched < state.best_loss
    best = params, number
    if keeps_best:
        best = choose(is_lowest, best, (state.best_params, state.best_epoch))
    waited = jnp.where(improved, 0, state.waited + 1)
    lowest = jnp.where(is_lowest, watched, state.best_loss)
    return FitState(params, opt_state, state.key, number, *best, lowest, waited, state.diverged)


def last_epoch(state: FitState) -> int:
    """Return the number of the last epoch that is done; of an ensemble, that of the member that ran longest."""
    return int(np.asarray(state.epoch).max())  # Not np.max, which would run a program on the device.


def is_running(state: FitState, last: ArrayLike, patience: ArrayLike | None) -> Array:
    """Return whether a run has another epoch to do, none after `last`."""
    going = (state.epoch < last) & ~state.diverged
    return going if patience is None else going & (state.waited < patience)


def empty_history(state: FitState, data: FitData, metric: Metric | None, epochs: int = 0) -> History:
    """Return a NumPy history of zeros, with the fields that a run with these data and this metric has."""
    values: Any = np.zeros((*state.epoch.shape, epochs), state.best_loss.dtype)
    has_validation = data.x_valid is not None
    return History(values, values if has_validation else None, values if has_validation and metric else None)


def mark_history(history: History, before: FitState, after: FitState, epochs: int, xp: ModuleType = np) -> History:
    """Return the first epochs of what was measured, with NaN where no epoch was run.

    Not in the compiled program, whose results must not be NaN under `jax_debug_nans`.

    Arguments:
        history: of a program that ran from the state `before` to the state `after`.
        before: its epoch and whether it diverged.
        after: the same.
        epochs: number of epochs to return.
        xp: `numpy` or `jax.numpy`, which computes it.
    """

    def count(state: FitState) -> AnyArray:
        return xp.asarray(state.epoch) + xp.asarray(state.diverged).astype(np.int32)  # the epoch that diverged included

    ran = (count(after) - count(before))[..., None]
    number = xp.arange(epochs, dtype=np.int32).reshape((1,) * (ran.ndim - 1) + (-1,))

    def mark(values: AnyArray) -> AnyArray:
        return xp.where(number < ran, xp.asarray(values)[..., :epochs], xp.asarray(np.nan, values.dtype))

    return jax.tree.map(mark, history)
