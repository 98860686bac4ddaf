"""The products of a dense layer `z = x w + b`, as a textbook writes them.

Each product is one line, named by its equation in `backprop.py`; compiled programs and profilers show that name. On a
CPU, `_cpu_products.py` may compute the same function in a form that compiles to faster code for its shapes.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jaxmlp import _cpu_products


@jax.named_scope("eq1_z")
@_cpu_products.with_cpu_form(_cpu_products.choose_dense)
def dense(x: Array, w: Array, b: Array) -> Array:
    """Return `x w + b`: (n, fan_in), (fan_in, fan_out), (1, fan_out) to (n, fan_out)."""
    return x @ w + b


@jax.named_scope("eq5_dw")
@_cpu_products.with_cpu_form(_cpu_products.choose_weight_grad)
def weight_grad(x: Array, dz: Array) -> Array:
    """Return `xᵀ dz`: (n, fan_in), (n, fan_out) to (fan_in, fan_out)."""
    return jnp.tensordot(x, dz, axes=(0, 0))


@jax.named_scope("eq6_db")
def bias_grad(dz: Array) -> Array:
    """Return the column sums of `dz`: (n, fan_out) to (1, fan_out)."""
    return column_sums(dz)


@jax.named_scope("eq7_da")
def input_grad(dz: Array, w: Array) -> Array:
    """Return `dz wᵀ`: (n, fan_out), (fan_in, fan_out) to (n, fan_in)."""
    return jnp.tensordot(dz, w, axes=(1, 1))


@_cpu_products.with_cpu_form(_cpu_products.choose_column_sums)
def column_sums(values: Array) -> Array:
    """Return the sum of each column: (n, columns) to (1, columns)."""
    return jnp.sum(values, axis=0, keepdims=True)
