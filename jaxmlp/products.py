"""The four products of a dense layer `z = x w + b`, and of its gradients."""

import jax.numpy as jnp
from jax import Array, lax


def dense(x: Array, w: Array, b: Array) -> Array:
    """`x w + b`: (n, fan_in), (fan_in, fan_out), (1, fan_out) to (n, fan_out)."""
    product = _contract(x, 1, w, 0)
    return product + jnp.broadcast_to(b, product.shape)


def weight_grad(x: Array, dz: Array) -> Array:
    """`xᵀ dz`: (n, fan_in), (n, fan_out) to (fan_in, fan_out)."""
    return _contract(x, 0, dz, 0)


def bias_grad(dz: Array) -> Array:
    """The column sums of `dz`: (n, fan_out) to (1, fan_out)."""
    return jnp.sum(dz, axis=0, keepdims=True)


def input_grad(dz: Array, w: Array) -> Array:
    """`dz wᵀ`: (n, fan_out), (fan_in, fan_out) to (n, fan_in)."""
    return _contract(dz, 1, w, 1)


def _contract(a: Array, a_axis: int, b: Array, b_axis: int) -> Array:
    # Named dimensions instead of an explicit transpose, which XLA may carry out.
    return lax.dot_general(a, b, (((a_axis,), (b_axis,)), ((), ())))
