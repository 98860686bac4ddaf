"""Forms of the products in `dense.py` that compile to faster code on a CPU, and the shapes for which they are used.

Every form computes the same function as the textbook's line; a test compares each with NumPy. On a CPU, XLA turns a
small product or sum into a kernel of its own, which costs more than its arithmetic. Written as elementwise sums, it
fuses with the operations around it. Other platforms, bfloat16 and programs on several devices always get the textbook
form. If you differentiate through these functions, JAX differentiates the textbook form.

`choose_…` returns the form for the static shapes of its operands, or None for the textbook's. The thresholds were
measured with `bench/scaling.py` and `bench/tutorial.py` on two x86-64 cores with AVX2; `bench/products.py` measures
what each form gains.
"""

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import AxisType

from jaxmlp import _dispatch

Operands = ParamSpec("Operands")
Product = Callable[..., Array]

# Within all of these limits, products are written as elementwise sums. Above the first three, the textbook form is as
# fast. Above the last, XLA starts a second thread for each sum, which takes longer than the sum.
# Benchmark: bench/tutorial.py (100 rows, 3-32-1).
FEW_ROWS = range(16, 129)
FEW_INPUTS = 4
FEW_WEIGHTS = 256
FEW_ENTRIES = 3200
# With many rows and outputs but few inputs or weights, recompute z in the backward pass instead of storing it: memory
# traffic dominates. Benchmark: bench/scaling.py --part grid (8192 rows, 3-1024-1).
MANY_ROWS = 4096
MANY_OUTPUTS = 32
# With at least 64 inputs, a product with 9 to 15 outputs is faster when its weights are padded to 16 outputs.
# Benchmark: bench/scaling.py --part grid.
FILLED_OUTPUTS = range(9, 16)
FILLED_INPUTS = 64
# A product is computed in vector lanes of 16 columns. `(dzᵀ x)ᵀ` is faster than `xᵀ dz` where it leaves fewer lanes
# empty, if the copy of the result is small. Benchmark: bench/scaling.py --part grid.
LANES = 16
TURNED_INPUTS = 16
COPIED_ENTRIES = 2**14


def with_cpu_form(
    choose: Callable[Operands, Product | None],
) -> Callable[[Callable[Operands, Array]], Callable[Operands, Array]]:
    """Decorate a textbook product: on a CPU it is computed in the form that `choose` returns for its operands."""

    def decorate(textbook: Callable[Operands, Array]) -> Callable[Operands, Array]:
        # Called outside jit, a product is one program; inside, it dissolves into the caller's.
        @partial(jax.jit, inline=True)
        @wraps(textbook)
        def product(*operands: Array) -> Array:
            form = choose(*operands)  # type: ignore[call-arg]
            # In bfloat16, a sum that is written out would round after each term. On several devices, it would send
            # single rows between them.
            if form is None or operands[0].dtype == jnp.bfloat16 or on_several_devices(operands):
                return textbook(*operands)  # type: ignore[call-arg]
            return _dispatch.by_platform("cpu", form, textbook, *operands)

        return product

    return decorate


def choose_dense(x: Array, w: Array, b: Array) -> Product | None:
    """Return the form of `x w + b`."""
    if (_is_small(x.shape[0], *w.shape) and x.shape[1] <= FEW_INPUTS) or _is_long(x, w):
        return _dense_few_inputs
    if _is_static(w) and w.shape[1] in FILLED_OUTPUTS and w.shape[0] >= FILLED_INPUTS:
        return _dense_filled
    return None


def choose_weight_grad(x: Array, dz: Array) -> Product | None:
    """Return the form of `xᵀ dz`."""
    if not _is_static(x, dz):
        return None
    if _is_small(x.shape[0], x.shape[1], dz.shape[1]) and (x.shape[1] <= FEW_INPUTS or dz.shape[1] == 1):
        return _weight_grad_few_rows
    return _weight_grad_turned if _fills_lanes(x.shape[1], dz.shape[1]) else None


def choose_column_sums(values: Array) -> Product | None:
    """Return the form of the column sums."""
    if not _is_small(*values.shape):
        return None
    return _column_sums_few_rows if values.shape[1] == 1 else _column_sums_by_ones


def on_several_devices(operands: object) -> bool:
    """Return whether JAX shards a program of these arrays, or trees of arrays, over several devices."""
    # Inside a shard_map, an axis is Manual: a device sees its part only.
    return any(size > 1 and kind is not AxisType.Manual for size, kind in mesh_axes(operands))


def mesh_axes(operands: object) -> list[tuple[int, AxisType]]:
    """Return the size and the kind of each axis of the meshes of these arrays, or trees of arrays."""
    meshes = [jax.typeof(operand).sharding.mesh for operand in jax.tree.leaves(operands)]
    return [axis for mesh in meshes for axis in zip(mesh.axis_sizes, mesh.axis_types, strict=True)]


def _is_small(rows: int, *widths: int) -> bool:
    few = rows in FEW_ROWS and all(isinstance(width, int) for width in widths)
    return few and math.prod(widths) <= FEW_WEIGHTS and rows * max(widths) <= FEW_ENTRIES


def _is_long(x: Array, w: Array) -> bool:
    if not _is_static(x, w) or x.shape[0] < MANY_ROWS or w.shape[1] < MANY_OUTPUTS:
        return False
    return x.shape[1] <= FEW_INPUTS or w.size <= FEW_WEIGHTS


def _is_static(*operands: Array) -> bool:
    # An export may have symbolic sizes, for which no form can be chosen.
    return all(isinstance(size, int) for operand in operands for size in operand.shape)


def _fills_lanes(inputs: int, outputs: int) -> bool:
    better = (-inputs % LANES) / inputs < (-outputs % LANES) / outputs
    return better and inputs >= TURNED_INPUTS and inputs * outputs <= COPIED_ENTRIES


def _dense_few_inputs(x: Array, w: Array, b: Array) -> Array:
    # b + Σ_p x_p w_p: a column of x times a row of w.
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
    # Without the barrier, XLA would turn this into xᵀ dz.
    return lax.optimization_barrier(lax.dot_general(dz, x, (((0,), (0,)), ((), ())))).T


def _weight_grad_few_rows(x: Array, dz: Array) -> Array:
    # Σ_i x_i dz_i, a row of x times a row of dz: add four blocks of rows entry by entry, then their rows.
    def products(rows: slice) -> Array:
        return x[rows, :, None] * dz[rows, None, :]

    n = x.shape[0]
    m = n // 4
    blocks = _pairwise_sum([products(slice(k * m, (k + 1) * m)) for k in range(4)])
    # Without the barrier, XLA would fuse both sums and compute the blocks once for each of their rows.
    blocks = lax.optimization_barrier(blocks)
    rest = products(slice(4 * m, n))
    return _pairwise_sum([blocks[i] for i in range(m)] + [rest[i] for i in range(n - 4 * m)])


def _column_sums_few_rows(values: Array) -> Array:
    return _pairwise_sum([values[i : i + 1] for i in range(values.shape[0])])


def _column_sums_by_ones(values: Array) -> Array:
    # XLA's sum over rows takes two steps and leaves vector lanes empty; a product with ones does not.
    return lax.dot_general(jnp.ones((1, values.shape[0]), values.dtype), values, (((1,), (0,)), ((), ())))


def _pairwise_sum(terms: list[Array]) -> Array:
    while len(terms) > 1:
        odd = terms[-1:] if len(terms) % 2 else []
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + odd
    return terms[0]
