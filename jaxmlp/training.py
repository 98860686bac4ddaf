"""Gradient descent: one step, and all steps as one compiled program."""

import jax
from jax import Array, lax
from jax.typing import ArrayLike

from jaxmlp import _gpu_training
from jaxmlp._dispatch import compiled
from jaxmlp._validation import validate, validate_update
from jaxmlp.activations import Activation, relu
from jaxmlp.backprop import backpropagate
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.network import Params


def update(params: Params, grads: Params, learning_rate: ArrayLike) -> Params:
    """Take one step of gradient descent: each parameter p becomes `p - learning_rate * dp`.

    Arguments:
        params: the network.
        grads: its gradients, of the same structure, shapes and dtype.
        learning_rate: a scalar, cast to the dtype of the network.

    Returns:
        The new network.

    Raises:
        ValueError: gradients of another structure or shape; a learning rate that is not a scalar.
        TypeError: gradients of another dtype.
    """
    return descend(*validate_update(params, grads, learning_rate))


def descend(params: Params, grads: Params, rate: Array) -> Params:
    """`update` of validated arguments."""
    return jax.tree.map(lambda p, dp: p - rate * dp, params, grads)


@compiled
def train_step(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    learning_rate: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> tuple[Params, Array]:
    """Train for one epoch: the gradient of the loss over all rows, and one update. Compiled once for each shape.

    Arguments and errors are those of `train`.

    Returns:
        The new network, and the loss before the update, a scalar.
    """
    params, x, y, c, f = validate(params, x, y, sample_weight, activation, criterion)
    value, grads = backpropagate(params, x, y, c, f, criterion)
    return descend(params, grads, learning_rate), value  # type: ignore[arg-type]


@compiled
def train(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    learning_rate: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    epochs: int = 200,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> tuple[Params, Array]:
    """Train for all epochs in one compiled program: a `lax.scan` over the steps of `train_step`.

    The loss is a sum over rows. For the mean, pass sample weights of 1/n and a learning rate of 0.01 to 0.1, say.
    Values are not checked: if training diverges, the losses become infinite or NaN.

    Arguments:
        params: the network.
        x: (n, fan_in) inputs.
        y: (n, outputs) targets.
        learning_rate: a scalar; another value does not recompile.
        sample_weight: (n,) weights of the rows; None for all ones.
        epochs: number of steps, each over all rows; 0 returns the network unchanged.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.

    Returns:
        The trained network, and the losses (epochs,), each taken before its update.

    Raises:
        ValueError: a shape that does not fit; a negative number of epochs.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    params, x, y, c, f = validate(params, x, y, sample_weight, activation, criterion)  # once, outside the loop
    return run_steps(params, x, y, c, learning_rate, f, criterion, epochs)


@_gpu_training.with_gpu_form
def run_steps(params: Params, x: Array, y: Array, c: Array | None, rate: Array, f, criterion, epochs: int):
    """Return what `train` does, of validated arguments: the loop over the epochs; on a GPU it may be one kernel."""

    def epoch(params: Params, _: None) -> tuple[Params, Array]:
        value, grads = backpropagate(params, x, y, c, f, criterion)
        return descend(params, grads, rate), value

    return lax.scan(epoch, params, length=epochs)
