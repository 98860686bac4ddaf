"""The four products of a dense layer `z = x w + b`, each in the form that compiles best for its static shapes.

This is the one module whose job is speed. Every form of a product is the same function; a test holds each against the
textbook's. Off the CPU, in bfloat16 and on several devices the form is always the textbook's. On one CPU, XLA turns a
small product or sum into kernels of their own, which cost more than their arithmetic; written as elementwise sums they
fuse with what stands around them. Who differentiates us (a gradient through a training run, say) gets autodiff of the
textbook's form, on every platform. Thresholds were chosen by `bench/scaling.py` and `bench/tutorial.py`, on two x86-64
cores with AVX2.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
from jax.sharding import AxisType

# Called outside jit, a product is one program and not one for each term; inside, it dissolves into the caller's.
_one_program = partial(jax.jit, inline=True)

# Written out as elementwise sums within all of these. Above the first three the textbook's form is as fast; above the
# last XLA takes the sums for so much work that it wakes another thread in each of them, for longer than they take.
FEW_ROWS = range(16, 129)
FEW_INPUTS = 4
FEW_WEIGHTS = 256
FEW_ENTRIES = 3200
# From so many rows and outputs on the threads are worth it, and from few inputs, or by few weights, z is written out:
# not kept, but computed again for the backward pass, as it is memory that takes the time. Down to two thirds.
MANY_ROWS = 4096
MANY_OUTPUTS = 32
# A product with so many outputs, and inputs from so many on, is twice as fast with 16 outputs.
FILLED_OUTPUTS = range(9, 16)
FILLED_INPUTS = 64
# A product is computed in lanes of 16 columns. From so many inputs on `(dzᵀ x)ᵀ` takes down to a third of the time of
# `xᵀ dz` where it fills the last lanes better. The copy of the result must be small.
LANES = 16
TURNED_INPUTS = 16
COPIED_ENTRIES = 2**14
# A row of so many entries, or a multiple, is a whole number of pages; with so many rows 16 more entries save a tenth.
PAGE = 1024
PAGE_ROWS = 1000


@_one_program
def dense(x: Array, w: Array, b: Array) -> Array:
    """`x w + b`: (n, fan_in), (fan_in, fan_out), (1, fan_out) to (n, fan_out)."""
    fast = None
    if _static(w) and w.shape[1] in FILLED_OUTPUTS and w.shape[0] >= FILLED_INPUTS:
        fast = _dense_filled
    if (_small(x.shape[0], *w.shape) and x.shape[1] <= FEW_INPUTS) or _long(x, w):
        fast = _dense_few_inputs
    return _on_cpu(fast, _dense, x, w, b)


@_one_program
def weight_grad(x: Array, dz: Array) -> Array:
    """`xᵀ dz`: (n, fan_in), (n, fan_out) to (fan_in, fan_out)."""
    fast = None
    if _static(x, dz):
        if x.shape[1] % PAGE == 0 and x.shape[0] >= PAGE_ROWS and dz.shape[1] > 1:
            fast = _weight_grad_off_page
        if _fills_lanes(x.shape[1], dz.shape[1]):
            fast = _weight_grad_turned
    if _small(x.shape[0], x.shape[1], dz.shape[1]) and (x.shape[1] <= FEW_INPUTS or dz.shape[1] == 1):
        fast = _weight_grad_few_rows
    return _on_cpu(fast, _weight_grad, x, dz)


@_one_program
def bias_grad(dz: Array) -> Array:
    """The column sums of `dz`: (n, fan_out) to (1, fan_out)."""
    fast = _bias_grad_few_rows if dz.shape[1] == 1 else _bias_grad_by_ones
    return _on_cpu(fast if _small(*dz.shape) else None, _bias_grad, dz)


@_one_program
def input_grad(dz: Array, w: Array) -> Array:
    """`dz wᵀ`: (n, fan_out), (fan_in, fan_out) to (n, fan_in)."""
    fast = _input_grad_one_output if _small(dz.shape[0], *w.shape) and w.shape[1] == 1 else None
    return _on_cpu(fast, _input_grad, dz, w)


def on_several_devices(operands: Any) -> bool:
    """Whether JAX shards the program of these, or of any in a tree: then it must not take rows or members apart."""
    # A type knows its mesh, if not how it lies there. Within a shard_map (Manual) a device sees its own part only.
    meshes = [jax.typeof(operand).sharding.mesh for operand in jax.tree.leaves(operands)]
    axes = [axis for mesh in meshes for axis in zip(mesh.axis_sizes, mesh.axis_types, strict=True)]
    return any(size > 1 and kind is not AxisType.Manual for size, kind in axes)


def _small(rows: int, *widths: int) -> bool:
    few = rows in FEW_ROWS and all(isinstance(width, int) for width in widths)
    return few and math.prod(widths) <= FEW_WEIGHTS and rows * max(widths) <= FEW_ENTRIES


def _long(x: Array, w: Array) -> bool:
    if not _static(x, w) or x.shape[0] < MANY_ROWS or w.shape[1] < MANY_OUTPUTS:
        return False
    return x.shape[1] <= FEW_INPUTS or w.size <= FEW_WEIGHTS


def _static(*operands: Array) -> bool:
    # An export may have symbolic sizes, of which no form can be chosen.
    return all(isinstance(size, int) for operand in operands for size in operand.shape)


def _fills_lanes(inputs: int, outputs: int) -> bool:
    better = (-inputs % LANES) / inputs < (-outputs % LANES) / outputs
    return better and inputs >= TURNED_INPUTS and inputs * outputs <= COPIED_ENTRIES


# The textbook's forms, in named dimensions: an explicit transpose is one that XLA may carry out.


def _dense(x: Array, w: Array, b: Array) -> Array:
    z = lax.dot_general(x, w, (((1,), (0,)), ((), ())))
    return z + jnp.broadcast_to(b, z.shape)


def _weight_grad(x: Array, dz: Array) -> Array:
    return lax.dot_general(x, dz, (((0,), (0,)), ((), ())))


def _bias_grad(dz: Array) -> Array:
    return jnp.sum(dz, axis=0, keepdims=True)


def _input_grad(dz: Array, w: Array) -> Array:
    return lax.dot_general(dz, w, (((1,), (1,)), ((), ())))


# The forms for the CPU.


def _dense_few_inputs(x: Array, w: Array, b: Array) -> Array:
    # b + Σ_p x_p w_p, a column of x times a row of w each.
    z = jnp.broadcast_to(b, (x.shape[0], w.shape[1]))
    for p in range(x.shape[1]):
        z = z + x[:, p : p + 1] * w[p : p + 1]
    return z


def _dense_filled(x: Array, w: Array, b: Array) -> Array:
    outputs = w.shape[1]
    filled = jnp.pad(w, ((0, 0), (0, -outputs % LANES)))
    z = lax.dot_general(x, filled, (((1,), (0,)), ((), ())))[:, :outputs]
    return z + jnp.broadcast_to(b, z.shape)


def _weight_grad_turned(x: Array, dz: Array) -> Array:
    # The barrier keeps XLA from turning the product around again.
    return lax.optimization_barrier(lax.dot_general(dz, x, (((0,), (0,)), ((), ())))).T


def _weight_grad_off_page(x: Array, dz: Array) -> Array:
    # Without the barrier XLA would fill x up as soon as it is there, in the forward pass, and hold both.
    x, dz = lax.optimization_barrier((x, dz))
    longer = jnp.pad(x, ((0, 0), (0, LANES)))
    return _weight_grad(longer, dz)[: x.shape[1]]


def _weight_grad_few_rows(x: Array, dz: Array) -> Array:
    # Σ_i x_i dz_i, a row of x times a row of dz each: four blocks of rows, added entry by entry, then their rows.
    def products(rows: slice) -> Array:
        return x[rows, :, None] * dz[rows, None, :]

    n = x.shape[0]
    m = n // 4
    blocks = _pairwise_sum([products(slice(k * m, (k + 1) * m)) for k in range(4)])
    # Without the barrier XLA would fuse both sums, and compute the blocks once for each of their rows.
    blocks = lax.optimization_barrier(blocks)
    rest = products(slice(4 * m, n))
    return _pairwise_sum([blocks[i] for i in range(m)] + [rest[i] for i in range(n - 4 * m)])


def _bias_grad_few_rows(dz: Array) -> Array:
    return _pairwise_sum([dz[i : i + 1] for i in range(dz.shape[0])])


def _bias_grad_by_ones(dz: Array) -> Array:
    # XLA's sum over rows takes two steps and does not fill the vector lanes; its product with ones does.
    return lax.dot_general(jnp.ones((1, dz.shape[0]), dz.dtype), dz, (((1,), (0,)), ((), ())))


def _input_grad_one_output(dz: Array, w: Array) -> Array:
    return dz * w.reshape(1, -1)


def _pairwise_sum(terms: list[Array]) -> Array:
    while len(terms) > 1:
        odd = terms[-1:] if len(terms) % 2 else []
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + odd
    return terms[0]


def _on_cpu(fast: Callable[..., Array] | None, textbook: Callable[..., Array], *operands: Array) -> Array:
    # In bfloat16 a sum written out would round after each term; several devices would send each other its rows.
    if fast is None or operands[0].dtype == jnp.bfloat16 or on_several_devices(operands):
        return textbook(*operands)
    return _by_platform(fast, textbook, *operands)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _by_platform(fast: Callable[..., Array], textbook: Callable[..., Array], *operands: Array) -> Array:
    # Decided when the program is lowered, so that an export for other platforms gets the textbook's form.
    return lax.platform_dependent(*operands, cpu=fast, default=textbook)


@partial(_by_platform.defjvp, symbolic_zeros=True)
def _by_platform_jvp(fast, textbook, operands, tangents):
    # Autodiff is JAX's, of the textbook's form: it would take the others apart, term by term.
    moved = [k for k, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]

    def of_moved(*values):
        given = dict(zip(moved, values, strict=True))
        return textbook(*[given.get(k, operand) for k, operand in enumerate(operands)])

    _, tangent = jax.jvp(of_moved, [operands[k] for k in moved], [tangents[k] for k in moved])
    return _by_platform(fast, textbook, *operands), tangent
