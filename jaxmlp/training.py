"""Gradient descent: one step, and all of them as one compiled program."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxmlp.activations import ACTIVATIONS, Activation, relu
from jaxmlp.backprop import manual_value_and_grads
from jaxmlp.checks import (
    as_array,
    checked,
    checked_choice,
    checked_count,
    checked_like,
    checked_params,
    checked_scalar,
    network_dtype,
)
from jaxmlp.criteria import CRITERIA, Criterion, squared_error
from jaxmlp.network import Params


def update(params: Params, grads: Params, learning_rate: ArrayLike) -> Params:
    """One step of gradient descent: each parameter p becomes `p - learning_rate * dp`.

    Arguments:
        params: the network.
        grads: its gradients, of the same structure, shapes and dtype.
        learning_rate: a scalar, cast to the dtype of the network.

    Returns:
        The new network.

    Raises:
        ValueError: gradients of another structure or shape; a learning rate that is no scalar.
        TypeError: gradients of another dtype.
    """
    params = checked_params(params)
    grads = checked_like("grads", grads, params)
    rate = checked_scalar("learning_rate", learning_rate, params[0].w.dtype)
    return jax.tree.map(lambda p, dp: p - rate * dp, params, grads)


def train_step(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    learning_rate: ArrayLike = 1e-4,
    weights: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> tuple[Params, Array]:
    """One epoch: the gradient of the loss over all rows, and one update. Compiled once for each set of shapes.

    Arguments:
        params: the network.
        x: (n, fan_in).
        y: (n, outputs).
        learning_rate: a scalar; a new one does not compile anew. The default is the tutorial's and fits its size
            only.
        weights: (n,), or None for all ones.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: the loss of a row.

    Returns:
        The new network, and the loss before the update, a scalar.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    arrays = _arguments(params, x, y, learning_rate, weights, activation, criterion)
    return _train_step(*arrays, activation, criterion)


def train(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    learning_rate: ArrayLike = 1e-4,
    weights: ArrayLike | None = None,
    *,
    epochs: int = 200,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> tuple[Params, Array]:
    """All epochs of `train_step` as one compiled `lax.scan`.

    The default learning rate is the tutorial's and fits its size only: with a loss that is a sum, the step grows
    with the number of rows. Weights of 1/n make the loss a mean, for which 0.01 to 0.1 is a usual rate. Values are
    never looked at: where training diverges, infinities flow into `losses`.

    Arguments:
        params: the network.
        x: (n, fan_in).
        y: (n, outputs).
        learning_rate: a scalar; a new one does not compile anew.
        weights: (n,), or None for all ones.
        epochs: how many steps, each over all rows; 0 returns the network as it came.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: the loss of a row.

    Returns:
        The trained network, and the losses (epochs,), each taken before its update.

    Raises:
        ValueError: a shape that does not fit; a negative number of epochs.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    epochs = checked_count("epochs", epochs, at_least=0)
    arrays = _arguments(params, x, y, learning_rate, weights, activation, criterion)
    return _train(*arrays, activation, criterion, epochs)


def _arguments(params, x, y, learning_rate, weights, activation, criterion):
    # All that must happen before jit sees them, on each call: every type of number shares one trace, and what jit
    # would refuse in its own words is refused in ours. The rest is checked while tracing.
    if not isinstance(activation, tuple):
        checked_choice("activation", activation, Activation, ACTIVATIONS)
    checked_choice("criterion", criterion, Criterion, CRITERIA)
    dtype = network_dtype(params)
    if type(learning_rate) is float:
        rate = _scalar(learning_rate, dtype)
    else:
        rate = checked_scalar("learning_rate", learning_rate, dtype)
    weights = None if weights is None else as_array("weights", weights, dtype)
    return params, as_array("x", x, dtype), as_array("y", y, dtype), rate, weights


_scalars: dict[tuple[float, np.dtype], Array] = {}


def _scalar(value, dtype):
    """A number on the device already: one that each call brings along costs as much as five epochs of the tutorial."""
    found = _scalars.get((value, dtype))
    if found is None:
        found = jnp.asarray(dtype.type(value))
        # Not what belongs to a trace, a mesh or another mode of JAX: that is for this call alone.
        if isinstance(found, Tracer) or found.committed or found.dtype != dtype:
            return dtype.type(value)
        if len(_scalars) == 256:
            _scalars.clear()
        _scalars[value, dtype] = found
    return found


def _step(params, x, y, rate, weights, activation, criterion):
    value, grads = manual_value_and_grads(params, x, y, weights, activation=activation, criterion=criterion)
    return update(params, grads, rate), value


# Statics by position: jit finds a cached program faster than by keyword.
_train_step = jax.jit(_step, static_argnums=(5, 6))


@partial(jax.jit, static_argnums=(5, 6, 7))
def _train(params, x, y, rate, weights, activation, criterion, epochs):
    params, x, y, weights = checked(params, x, y, weights)  # casts once, outside the loop

    def epoch(params, _):
        return _step(params, x, y, rate, weights, activation, criterion)

    return lax.scan(epoch, params, length=epochs)
