"""The network: its parameters, its forward pass, its loss."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxmlp.activations import ACTIVATIONS, Activation, relu
from jaxmlp.checks import (
    checked,
    checked_choice,
    checked_dtype,
    checked_inputs,
    checked_key,
    checked_params,
    checked_result,
    checked_sizes,
)
from jaxmlp.criteria import CRITERIA, Criterion, squared_error
from jaxmlp.products import bias_grad, dense


class Layer(NamedTuple):
    """The parameters of one dense layer, or their gradients."""

    w: Array  # (fan_in, fan_out)
    b: Array  # (1, fan_out)


Params = tuple[Layer, ...]


def init_params(
    key: Array,
    sizes: Sequence[int] = (3, 32, 1),
    *,
    w_init: Callable[..., Array] = jax.nn.initializers.normal(1.0),
    dtype: Any = jnp.float32,
) -> Params:
    """Draw the weights of a network; biases start at zero.

    The defaults are the tutorial's and fit its size only: standard normal weights explode on anything larger, where
    `w_init=jax.nn.initializers.he_normal()` is a good start.

    Arguments:
        key: a key of `jax.random.key`; each layer draws from its own split of it.
        sizes: the widths from inputs to outputs; two numbers make a linear model.
        w_init: an initializer of `jax.nn.initializers`, called as `w_init(key, (fan_in, fan_out), dtype)`.
        dtype: bfloat16, float32 or float64 (the last needs JAX's x64 mode).

    Returns:
        A tuple of `Layer`, one for each pair of neighbouring sizes.

    Raises:
        ValueError: fewer than two sizes, or one below 1; an initializer that returns another shape.
        TypeError: not a key; another dtype; float64 while x64 is off; an initializer that returns no array.
    """
    key, sizes, dtype = checked_key(key), checked_sizes(sizes), checked_dtype("dtype", dtype)
    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(
        Layer(
            w=checked_result("w_init", w_init(k, (fan_in, fan_out), dtype), (fan_in, fan_out), dtype),
            b=jnp.zeros((1, fan_out), dtype),
        )
        for k, (fan_in, fan_out) in zip(keys, itertools.pairwise(sizes), strict=True)
    )


def forward(params: Params, x: ArrayLike, *, activation: Activation | tuple[Activation, ...] = relu) -> Array:
    """The network's outputs.

    Arguments:
        params: the network.
        x: (n, fan_in of the first layer), cast to the dtype of the network.
        activation: one for all hidden layers, or a tuple, one each.

    Returns:
        (n, fan_out of the last layer), before any activation.

    Raises:
        ValueError: a shape that does not fit; a tuple of another length than the hidden layers.
        TypeError: an activation that is a bare function; params of mixed dtypes.
    """
    params = checked_params(params)
    _, pre_activations = forward_pass(params, checked_inputs(params, x), activation)
    return pre_activations[-1]


def loss(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> Array:
    """The weighted sum of the rows' losses, `sum_i weights[i] * criterion(outputs, y)[i]`.

    A sum, not a mean: weights of 1/n make it one. A row of weight 0 does not count, if its numbers are finite.

    Arguments:
        params: the network.
        x: (n, fan_in).
        y: (n, outputs).
        weights: (n,), or None for all ones.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: the loss of a row.

    Returns:
        A scalar of the network's dtype.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    params, x, y, weights = checked(params, x, y, weights)
    _, pre_activations = forward_pass(params, x, activation)
    return weighted_loss(pre_activations[-1], y, weights, criterion)


def forward_pass(
    params: Params, x: Array, activation: Activation | tuple[Activation, ...]
) -> tuple[list[Array], list[Array]]:
    """The input and the pre-activation of each layer; the last pre-activation is the network's output.

    Arguments:
        params: the network, layers 1 to L.
        x: (n, fan_in).
        activation: one for all hidden layers, or a tuple, one each.

    Returns:
        The inputs `a[0] … a[L-1]` and the pre-activations `z[1] … z[L]`, as two lists of length L.
    """
    activations = hidden_activations(activation, len(params) - 1)
    inputs, pre_activations = [x], []
    for k, (w, b) in enumerate(params):
        z = dense(inputs[k], w, b)
        pre_activations.append(z)
        if k < len(activations):
            inputs.append(checked_result("activation.fn", activations[k](z), z.shape, z.dtype))
    return inputs, pre_activations


def hidden_activations(activation: Activation | tuple[Activation, ...], hidden: int) -> tuple[Activation, ...]:
    """One activation for each of `hidden` layers, whether one was given for all or one each."""
    if not isinstance(activation, tuple):
        return (checked_choice("activation", activation, Activation, ACTIVATIONS),) * hidden
    if len(activation) != hidden:
        raise ValueError(
            f"activation must be one, or a tuple of {hidden}, one for each hidden layer; got {len(activation)}"
        )
    return tuple(checked_choice("activation", each, Activation, ACTIVATIONS) for each in activation)


def weighted_loss(outputs: Array, y: Array, weights: Array | None, criterion: Criterion) -> Array:
    """The one place that sums rows: outputs and y (n, outputs), weights (n,) or None, to a scalar."""
    checked_choice("criterion", criterion, Criterion, CRITERIA)
    row_losses = checked_result("criterion.fn", criterion(outputs, y), outputs.shape[:1], outputs.dtype)
    # The column sum of (n, 1), which products.py knows to write.
    return bias_grad((row_losses if weights is None else weights * row_losses)[:, None])[0, 0]
