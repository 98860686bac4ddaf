"""The network: its parameters, its forward pass, its loss."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from jaxmlp._programs import he_normal, zeros
from jaxmlp._validation import validate, validate_dtype, validate_key, validate_network, validate_result, validate_sizes
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.dense import column_sums, dense


class Layer(NamedTuple):
    """The parameters of a dense layer, or their gradients."""

    w: Array  # (fan_in, fan_out) weights
    b: Array  # (1, fan_out) biases


Params = tuple[Layer, ...]


def init_params(
    key: Array,
    sizes: Sequence[int],
    *,
    w_init: Callable[..., Array] = he_normal,
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """Draw the weights of a network; biases start at zero.

    Arguments:
        key: a key of `jax.random.key`; each layer draws from its own split of it.
        sizes: layer widths from inputs to outputs; two widths make a linear model.
        w_init: an initializer of `jax.nn.initializers`, called as `w_init(key, (fan_in, fan_out), dtype)`.
        dtype: bfloat16, float32 or float64 (the last needs JAX's x64 mode).

    Returns:
        A tuple of `Layer`, one for each pair of neighbouring sizes.

    Raises:
        ValueError: fewer than two sizes, or one below 1; an initializer that returns another shape.
        TypeError: not a key; another dtype; float64 while x64 is off; an initializer that returns no array.
    """
    key, sizes, dtype = validate_key(key), validate_sizes(sizes), validate_dtype("dtype", dtype)
    keys = jax.random.split(key, len(sizes) - 1)
    layers = []
    for layer_key, fan_in, fan_out in zip(keys, sizes[:-1], sizes[1:], strict=True):
        w = validate_result("w_init", w_init(layer_key, (fan_in, fan_out), dtype), (fan_in, fan_out), dtype)
        layers.append(Layer(w, b=zeros((1, fan_out), dtype)))
    return tuple(layers)


def forward(params: Params, x: ArrayLike, *, activation: Activation | tuple[Activation, ...] = relu) -> Array:
    """Return the network's outputs.

    Arguments:
        params: the network.
        x: (n, fan_in of the first layer) inputs, cast to the dtype of the network.
        activation: one for all hidden layers, or a tuple with one for each.

    Returns:
        (n, fan_out of the last layer), before any activation.

    Raises:
        ValueError: a shape that does not fit; a tuple whose length is not the number of hidden layers.
        TypeError: an activation that is a bare function; params of mixed dtypes.
    """
    return forward_pass(*validate_network(params, x, activation))[1][-1]


def loss(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> Array:
    """Return the weighted sum of the rows' losses, `sum_i sample_weight[i] * criterion(outputs, y)[i]`.

    Sum over rows, not mean. For the mean, pass sample weights of 1/n. A weight of 0 leaves a finite row out.
    Arguments and errors are those of `manual_value_and_grads`.

    Returns:
        A scalar of the network's dtype.
    """
    params, x, y, c, f = validate(params, x, y, sample_weight, activation, criterion)
    return sum_losses(criterion(forward_pass(params, x, f)[1][-1], y), c)


def forward_pass(params: Params, x: Array, f: tuple[Activation, ...]) -> tuple[list[Array], list[Array]]:
    """Return the input `a[0] … a[L-1]` and the pre-activation `z[1] … z[L]` of each layer, of validated arguments."""
    a, z = [x], []
    for k, (w, b) in enumerate(params):
        z.append(dense(a[k], w, b))
        if k < len(f):
            a.append(f[k](z[k]))
    return a, z


@jax.named_scope("eq3_loss")
def sum_losses(row_losses: Array, c: Array | None) -> Array:
    """Return the sum of the rows' losses (n,), weighted by `c` (n,) unless it is None."""
    return column_sums((row_losses if c is None else c * row_losses)[:, None])[0, 0]
