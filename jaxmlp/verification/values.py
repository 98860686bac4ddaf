"""Autodiff of every value of a network, and not of its parameters only: what the page and `explain` compare with."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxmlp.activations import Activation
from jaxmlp.network import Params


def grad_every_value(
    params: Params, x: Array, y: Array, activation: Activation
) -> tuple[Params, tuple[Array, ...], tuple[Array, ...]]:
    """Return `jax.grad` of the sum of squared errors, by a program that shares no code with `backpropagate`.

    Arguments:
        params: the network.
        x: (n, fan_in) inputs.
        y: (n, 1) targets.
        activation: the activation of all hidden layers; its derivative is not used.

    Returns:
        The gradients with respect to the parameters; to the pre-activation of each layer, the last of which is the
        prediction; and to the activation of each hidden layer.
    """
    # The gradient with respect to an intermediate value is that with respect to a zero added to it.
    zeros = tuple(jnp.zeros((len(x), w.shape[1]), x.dtype) for w, _ in params)

    def loss(params: Params, at_z: tuple[Array, ...], at_a: tuple[Array, ...]) -> Array:
        a = x
        for k, (w, b) in enumerate(params):
            z = jnp.einsum("np,pj->nj", a, w) + b + at_z[k]
            a = activation.fn(z) + at_a[k] if k < len(at_a) else z
        return jnp.vdot(y - a, y - a)

    return jax.grad(loss, (0, 1, 2))(params, zeros, zeros[:-1])
