"""All epochs of a small network as one kernel, for NVIDIA GPUs.

Compiled by XLA, each epoch of the tutorial's network starts ten kernels, and starting them costs more than their
arithmetic. Here one kernel runs all epochs of a network: its data and parameters stay in the registers of one
multiprocessor. Under `jax.vmap` each network becomes one block of threads. Every product is written as elementwise sums
in float32, so the matrix units and their lower precision are not used.

It computes the same function as the scan in `training.py`, for one hidden layer and one output; a test compares both in
Pallas's interpret mode. Other networks, dtypes, functions and platforms, and programs on several devices, always get
the scan. If you differentiate through it, JAX differentiates the scan. The limits were measured with
`bench/products.py --device cuda` on an H100 and an H200; see `bench/results/`.

JAX has announced that it will remove the part of Pallas that compiles this kernel, Triton, and warns of it from version
0.11 on. Versions of JAX that have not been tried get the scan.
"""

from collections.abc import Callable
from functools import partial, wraps

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import AxisType

from jaxmlp import _dispatch
from jaxmlp._cpu_products import mesh_axes
from jaxmlp.activations import Activation, identity, relu, sigmoid, silu, tanh
from jaxmlp.criteria import CRITERIA, Criterion

# Within all of these limits the kernel is faster; beyond them its registers spill. Entries are rows times hidden units,
# each rounded up to a power of two.
FEW_INPUTS = 8
FEW_ENTRIES = 2**14
FEW_PRODUCTS = 3 * FEW_ENTRIES  # Inputs times entries.
TRIED_JAX = (0, 12)
ENTRIES_OF_A_WARP = 1024  # With more of them, registers spill; with fewer, the threads wait for each other.
ACTIVATIONS = (identity, relu, tanh, sigmoid, silu)  # Pallas cannot compile gelu's erfc.


def with_gpu_form(scan: Callable) -> Callable:
    """Decorate `scan(params, x, y, c, rate, f, criterion, epochs)`: on a GPU, a kernel trains small networks."""

    @wraps(scan)
    def run_steps(params, x, y, c, rate, f, criterion, epochs):
        if not _fits(params, x, y, f, criterion, epochs):
            return scan(params, x, y, c, rate, f, criterion, epochs)
        operands, structure = jax.tree.flatten((params, x, y, c, rate))

        def one_kernel(*operands):
            return train_in_one_kernel(*structure.unflatten(operands), f=f[0], criterion=criterion, epochs=epochs)

        def textbook(*operands):
            return scan(*structure.unflatten(operands), f=f, criterion=criterion, epochs=epochs)

        return _dispatch.by_platform("cuda", one_kernel, textbook, *operands)

    return run_steps


def train_in_one_kernel(params, x, y, c, rate, f: Activation, criterion: Criterion, epochs: int, interpret=False):
    """Return the trained network and its losses (epochs,).

    Arguments:
        params: one hidden layer and one output, float32.
        x: (n, fan_in).
        y: (n, 1).
        c: (n,) weights of the rows, or None.
        rate: the learning rate, a scalar.
        f: the activation.
        criterion: the loss of a row.
        epochs: number of steps, at least 1.
        interpret: run it with JAX's own operations, on any platform.
    """
    from jax.experimental import pallas as pl  # Slow to import, and not needed on other platforms.
    from jax.experimental.pallas import triton

    (w1, b1), (w2, b2) = params
    (n, inputs), units = x.shape, w1.shape[1]
    rows, width = _power_of_two(n), _power_of_two(units)
    operands = (
        _pad(w1, inputs, width), _pad(b1[0], width), _pad(w2[:, 0], width), b2[0],
        _pad(x.T, inputs, rows), _pad(y[:, 0], rows), _pad(jnp.ones(n, x.dtype) if c is None else c, rows),
        jnp.reshape(rate, 1),
    )  # fmt: skip
    shapes = [(inputs, width), (width,), (width,), (1,), (epochs,)]
    w1, b1, w2, b2, losses = pl.pallas_call(
        partial(_kernel, n=n, units=units, f=f, criterion=criterion, epochs=epochs),
        interpret=interpret,
        out_shape=[jax.ShapeDtypeStruct(shape, x.dtype) for shape in shapes],
        compiler_params=triton.CompilerParams(num_warps=_count_warps(rows * width)),
        name="train",
    )(*operands)
    layer = type(params[0])
    return (layer(w1[:, :units], b1[None, :units]), layer(w2[:units, None], b2[None])), losses


def _kernel(w1, b1, w2, b2, x, y, c, rate, w1_out, b1_out, w2_out, b2_out, losses, *, n, units, f, criterion, epochs):
    # Read and write memory at both ends only; the numbers are those of the equations in backprop.py.
    inputs = range(x.shape[0])
    columns = [x[p, :][:, None] for p in inputs]
    y, c, rate = y[:][:, None], c[:][:, None], rate[0]
    is_row = (jnp.arange(x.shape[1]) < n)[:, None]
    is_unit = jnp.arange(w2.shape[0]) < units

    def epoch(k, params):
        w1, b1, w2, b2 = params
        z1 = jnp.broadcast_to(b1[None, :], (y.shape[0], w2.shape[0]))
        for p in inputs:
            z1 = z1 + columns[p] * w1[p][None, :]  # (1)
        a1 = f(z1)  # (2)
        z2 = jnp.sum(a1 * w2[None, :], axis=1)[:, None] + b2  # (1)
        losses[k] = jnp.sum(jnp.where(is_row, c * criterion(z2, y)[:, None], 0.0))  # (3)
        dz2 = jnp.where(is_row, c * criterion.derivative(z2, y), 0.0)  # (4)
        dw2 = jnp.where(is_unit, jnp.sum(a1 * dz2, axis=0), 0.0)  # (5)
        db2 = jnp.sum(dz2)  # (6)
        dz1 = dz2 * w2[None, :] * f.derivative(z1)  # (7), (8)
        dw1 = [jnp.sum(columns[p] * dz1, axis=0) for p in inputs]  # (5)
        db1 = jnp.sum(dz1, axis=0)  # (6)
        return [w - rate * dw for w, dw in zip(w1, dw1, strict=True)], b1 - rate * db1, w2 - rate * dw2, b2 - rate * db2

    start = [w1[p, :] for p in inputs], b1[:], w2[:], b2[0]
    w1_rows, b1_out[:], w2_out[:], b2_out[0] = lax.fori_loop(0, epochs, epoch, start)
    for p in inputs:
        w1_out[p, :] = w1_rows[p]


def _fits(params, x: Array, y: Array, f, criterion: Criterion, epochs: int) -> bool:
    """Return whether the kernel can train this network, and faster than the scan."""
    if jax.__version_info__[:2] > TRIED_JAX:
        return False
    if jax.default_backend() != "gpu" or len(params) != 2 or params[-1].w.shape[1] != 1 or epochs == 0:
        return False
    sizes = (*x.shape, params[0].w.shape[1])
    if not all(isinstance(size, int) for size in sizes) or x.dtype != jnp.float32:  # Exports leave the rows open.
        return False
    rows, inputs, units = sizes
    entries = _power_of_two(rows) * _power_of_two(units)
    small = inputs <= FEW_INPUTS and 0 < entries <= FEW_ENTRIES and inputs * entries <= FEW_PRODUCTS
    known = f[0] in ACTIVATIONS and criterion in CRITERIA.values()
    return small and known and _is_on_one_device((params, x, y)) and not jax.config.jax_disable_jit  # type: ignore[attr-defined]


def _is_on_one_device(operands: object) -> bool:
    # Inside a shard_map, whose axes are Manual, Pallas would have to be told over which axes a result varies.
    return all(size == 1 and kind is not AxisType.Manual for size, kind in mesh_axes(operands))


def _count_warps(entries: int) -> int:
    return min(max(entries // ENTRIES_OF_A_WARP, 1), 16)


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length() if size else 0


def _pad(values: Array, *shape: int) -> Array:
    return jnp.pad(values, [(0, size - given) for given, size in zip(values.shape, shape, strict=True)])
