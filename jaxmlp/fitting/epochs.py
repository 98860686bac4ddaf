"""Epochs of mini-batches as one pure, compiled function: jit it, vmap it, shard it.

All that a run is stands in its `FitState`, so that epochs can be run in chunks of any length, stopped, saved and taken
up again, to the same bits. An ensemble of fits is `vmap(fit_epochs)`: a member that stopped no longer changes.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxmlp._dispatch import as_array, params_dtype
from jaxmlp._validation import (
    validate,
    validate_choice,
    validate_count,
    validate_data,
    validate_key,
    validate_members,
    validate_params,
)
from jaxmlp.activations import ACTIVATIONS, Activation, relu
from jaxmlp.criteria import CRITERIA, Criterion, squared_error
from jaxmlp.fitting.batches import chosen, evaluate, train_epoch
from jaxmlp.fitting.metrics import Metric, metric_of
from jaxmlp.fitting.optimizers import validate_optimizer
from jaxmlp.network import Params

CAPACITY = 128


class FitState(NamedTuple):
    """All of a run between two epochs; a checkpoint is a saved one."""

    params: Params
    opt_state: Any  # whatever the optimizer keeps
    key: Array  # epoch k shuffles by fold_in(key, k)
    epoch: Array  # epochs done, an int32 scalar
    best_params: Params  # those of the lowest validation loss; without validation, the last
    best_epoch: Array  # and their epoch, an int32 scalar
    best_loss: Array  # the lowest loss so far of those that patience waits for, else infinity; a scalar
    waited: Array  # epochs since it last fell, an int32 scalar
    diverged: Array  # whether the next epoch's loss or parameters were not finite, a bool scalar


class History(NamedTuple):
    """What was measured in each epoch; NaN in epochs after a run has stopped."""

    loss: Array  # (epochs,), the mean over training rows, each batch before its update; infinite where it diverged
    validation_loss: Array | None  # (epochs,), the mean over validation rows, after the epoch
    metric: Array | None  # (epochs,), over validation rows, after the epoch


def init_fit(params: Params, *, key: Array, optimizer: Any) -> FitState:
    """The state before the first epoch.

    Arguments:
        params: the network, or an ensemble, whose member k gets `jax.random.split(key, members)[k]`.
        key: a key of `jax.random.key`, from which every epoch draws its order of the rows.
        optimizer: a pair of functions `init` and `update`: one of `jaxmlp.fitting.optimizers`, or of optax.

    Returns:
        A state for `fit_epochs`; of an ensemble, with a leading member axis, for its `vmap`.

    Raises:
        TypeError: not a key; an optimizer that needs more than gradients, state and parameters.
    """
    if params_of_many(params):
        params, members = validate_members(params)
        keys = jax.random.split(validate_key(key), members)
        return jax.vmap(lambda params, key: init_fit(params, key=key, optimizer=optimizer))(params, keys)
    params = validate_params(params)
    opt_state = validate_optimizer(optimizer, params)
    # From NumPy, which compiles nothing.
    zero, infinity, no = jax.device_put((np.int32(0), np.asarray(np.inf, params[0].w.dtype), np.bool_(False)))
    return FitState(params, opt_state, validate_key(key), zero, params, zero, infinity, zero, no)


def fit_epochs(
    state: FitState,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    validation_sample_weight: ArrayLike | None = None,
    *,
    optimizer: Any,
    epochs: int,
    batch_size: int | None = None,
    patience: int | None = None,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    metric: Metric | None = None,
) -> tuple[FitState, History]:
    """Run epochs of mini-batches, each over all rows once in an order of its own.

    A batch's loss is the weighted mean over its rows. Rows of weight 0 do not train: they come after all others, and a
    batch of nothing else changes nothing, the optimizer's state included; padding with such rows changes no batch. A
    run stops, and its state stays as it is, once the validation loss has not fallen for `patience` epochs, or before
    an epoch whose loss or parameters are not finite.

    Arguments:
        state: of `init_fit`, or of earlier epochs.
        x: (n, fan_in).
        y: (n, outputs).
        sample_weight: (n,), or None for all ones.
        validation_sample_weight: (n,), the weights of the same rows in validation loss and metric; None for neither.
        optimizer: the one that `state` was made with; static, so build it once.
        epochs: at most how many more to run.
        batch_size: rows a step; None for all of them, in their own order.
        patience: epochs without a lower validation loss after which to stop; None for never.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: the loss of a row.
        metric: predictions, targets (n, outputs) and weights (n,) to a scalar; None for the criterion's usual one.

    Returns:
        The state after the last epoch, and the `History` of these epochs.

    Raises:
        ValueError: a shape that does not fit; patience without validation_sample_weight.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    epochs = validate_count("epochs", epochs, at_least=0)
    if patience is not None and validation_sample_weight is None:
        raise ValueError("patience must be None without validation_sample_weight: it waits for the validation loss")
    patience = None if patience is None else validate_count("patience", patience, at_least=1)
    dtype = params_dtype(state.params)
    x, y = as_array("x", x, dtype), as_array("y", y, dtype)
    validation = None
    if validation_sample_weight is not None:
        validation = (x, y, as_array("validation_sample_weight", validation_sample_weight, dtype))
    state, history = run_epochs(
        state, x, y, sample_weight, validation, epochs, optimizer=optimizer, batch_size=batch_size, patience=patience,
        activation=activation, criterion=criterion, metric=metric,
    )  # fmt: skip
    return state, jax.tree.map(lambda values: values[:epochs], history)


def run_epochs(
    state: FitState,
    x: Any,
    y: Any,
    weights: ArrayLike | None,
    validation: tuple[Any, Any, Any] | None,
    epochs: int | Array,
    *,
    optimizer: Any,
    batch_size: int | None,
    patience: ArrayLike | None,
    activation: Activation | tuple[Activation, ...],
    criterion: Criterion,
    metric: Metric | None,
    tolerance: ArrayLike = 0.0,
    l2: ArrayLike | None = None,
) -> tuple[FitState, History]:
    """`fit_epochs` with validation rows (x, y, weights) of their own, and a history of at least `CAPACITY` epochs.

    One program serves all numbers of epochs up to that, and another all up to the next power of two; a traced number
    must not be above it. Patience waits for the validation loss, or without validation for the training loss; to
    count, it must fall by more than `tolerance`. `l2` is that of `train_epoch`. These three are traced. A state whose
    leaves have members in front is an ensemble.
    """
    capacity = CAPACITY if isinstance(epochs, Array) else max(CAPACITY, 1 << (epochs - 1).bit_length())
    if not isinstance(activation, tuple):
        validate_choice("activation", activation, Activation, ACTIVATIONS)
    validate_choice("criterion", criterion, Criterion, CRITERIA)
    batch_size = None if batch_size is None else validate_count("batch_size", batch_size, at_least=1)
    weights = None if weights is None else as_array("sample_weight", weights, params_dtype(state.params))
    return _run(
        state, x, y, weights, validation, epochs, patience, tolerance, l2, optimizer, capacity, batch_size,
        activation, criterion, metric or metric_of(criterion),
    )  # fmt: skip


def running(state: FitState, last: ArrayLike, patience: ArrayLike | None) -> Any:
    """Whether there is an epoch to come, none beyond `last`."""
    going = (state.epoch < last) & ~state.diverged
    return going if patience is None else going & (state.waited < patience)


@partial(jax.jit, static_argnums=(9, 10, 11, 12, 13, 14))
def _run(state, *arguments):
    def one(state):
        return _run_one(state, *arguments)

    if state.epoch.ndim == 0:
        return one(state)
    # On the CPU one member after another, as in ensembles.py.
    return lax.platform_dependent(state, cpu=partial(lax.map, one), default=jax.vmap(one))


def _run_one(
    state, x, y, weights, validation, epochs, patience, tolerance, l2, optimizer, capacity, batch_size, activation,
    criterion, metric,
):  # fmt: skip
    _, x, y, weights, activation = validate(state.params, x, y, weights, activation, criterion)
    valid: Any = None if validation is None else validate_data(state.params, *validation)
    first = state.epoch
    last = first + epochs

    def epoch(carry):
        state, history = carry
        key, number = jax.random.fold_in(state.key, state.epoch), state.epoch + 1
        params, opt_state, loss = train_epoch(
            state.params, state.opt_state, key, x, y, weights,
            optimizer=optimizer, batch_size=batch_size, activation=activation, criterion=criterion, l2=l2,
        )  # fmt: skip
        finite = jnp.isfinite(loss) & _all_finite(params)
        best_params, best_epoch, validation_loss, reached = params, number, None, None
        watched = state.best_loss if patience is None else loss
        if valid is not None:
            validation_loss, reached = evaluate(
                params, *valid, activation=activation, criterion=criterion, metric=metric
            )
            better = validation_loss < state.best_loss
            best_params, best_epoch = chosen(better, (params, number), (state.best_params, state.best_epoch))
            watched = validation_loss
        fell = watched < state.best_loss - jnp.asarray(tolerance, loss.dtype)
        waited = jnp.where(fell, 0, state.waited + 1)
        lowest = jnp.where(watched < state.best_loss, watched, state.best_loss)
        after = FitState(params, opt_state, state.key, number, best_params, best_epoch, lowest, waited, state.diverged)
        after = chosen(finite, after._replace(key=None), state._replace(key=None, diverged=~state.diverged))
        measured = History(jnp.where(finite, loss, jnp.inf), validation_loss, reached)
        history = jax.tree.map(lambda all, new: all.at[state.epoch - first].set(new), history, measured)
        return after._replace(key=state.key), history

    unknown = jnp.full((capacity,), jnp.nan, x.dtype)
    history = History(unknown, *((None, None) if valid is None else (unknown, unknown)))
    # A while loop and no scan: the compiler cannot know its length, and so rounds one epoch as it rounds many; under
    # vmap it ends with the last member that runs, while those that stopped stay as they are.
    return lax.while_loop(lambda carry: running(carry[0], last, patience), epoch, (state, history))


def params_of_many(params: Any) -> bool:
    """Whether these are the parameters of an ensemble, to be checked as such."""
    return bool(params) and isinstance(params, tuple) and getattr(getattr(params[0], "w", None), "ndim", 2) == 3


def _all_finite(params: Params) -> Array:
    return jnp.all(jnp.isfinite(jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])))
