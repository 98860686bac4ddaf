"""One epoch of mini-batches, and the evaluation after it, of validated arguments."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec
from jax.typing import ArrayLike, DTypeLike

from jaxmlp.activations import Activation
from jaxmlp.backprop import backpropagate
from jaxmlp.criteria import Criterion
from jaxmlp.ensembles.prediction import map_blocks
from jaxmlp.fitting.metrics import Metric
from jaxmlp.fitting.optimizers import Optimizer, OptState, optimizer_step
from jaxmlp.network import Params, forward_pass

Tree = TypeVar("Tree")
Encode = Callable[[Array], Array]  # Maps rows to inputs of the network.


def train_epoch(
    params: Params,
    opt_state: OptState,
    key: Array,
    x: Array,
    y: Array,
    c: Array | None,
    f: tuple[Activation, ...],
    criterion: Criterion,
    *,
    optimizer: Optimizer,
    batch_size: int | None,
    l2: ArrayLike | None,
    shuffle: bool = True,
    encode: Encode = lambda rows: rows,
    mesh: Mesh | None = None,
) -> tuple[Params, OptState, Array, Array]:
    """Use every row once: for each batch, a step of the optimizer along the gradient of the weighted mean loss.

    Arguments:
        params: the network.
        opt_state: the state of the optimizer.
        key: draws the order of the rows.
        x: (n, fan_in).
        y: (n, outputs).
        c: (n,) sample weights, or None for all ones.
        f: one activation for each hidden layer.
        criterion: the loss of a row.
        optimizer: a pair of functions `init` and `update`.
        batch_size: rows a step; None for all rows in their own order.
        l2: the penalty of `mean_loss_and_grads`, a scalar or None.
        shuffle: whether batches take the rows in random order, and not in their own.
        encode: maps the rows of a batch to inputs of the network.
        mesh: devices to split the rows of each batch over, inside `on_each_device`; None for no split.

    Returns:
        The network, the state of the optimizer, the weighted sum of the losses of all rows, each taken before the step
        of its batch and with its share of the penalty, and the sum of the weights.
    """

    def step(params, opt_state, x, y, weights, total):
        if c is not None:
            x, y = _clear_excluded(x, weights), _clear_excluded(y, weights)
        value, grads = mean_loss_and_grads(
            params, x, y, weights, f, criterion, total=total, l2=l2, encode=encode, mesh=mesh
        )
        return *optimizer_step(optimizer, params, grads, opt_state), value.astype(total.dtype) * total

    n = x.shape[0]
    size = n if batch_size is None else min(batch_size, n)
    if size == n and mesh is None:
        weights = jnp.ones(n, x.dtype) if c is None else c
        total = sum_weights(weights)
        *stepped, loss = step(params, opt_state, x, y, weights, total)
        if c is not None:
            stepped = choose(total > 0, stepped, [params, opt_state])
        params, opt_state = stepped
        return params, opt_state, loss, total

    order = _draw_order(key, n, c, size, shuffle and size < n)

    def bound(rows):  # Also those of padding are in bounds, which `checkify.index_checks` demands.
        return jnp.minimum(rows, n - 1)

    def weigh(rows):
        return jnp.where(rows < n, 1 if c is None else _take(c, bound(rows)), 0).astype(x.dtype)

    def batch(k, carry):
        params, opt_state, losses, totals = carry
        # Each device sums the weights of all rows, because to add up sums would take another message.
        rows, weights = order[k], weigh(order[k])
        total = sum_weights(weights)
        if mesh is not None:
            rows = _take_part(rows, n, mesh)
            weights = weigh(rows)
        places = bound(rows)
        params, opt_state, loss = step(params, opt_state, _take(x, places), _take(y, places), weights, total)
        return params, opt_state, losses + loss, totals + total

    # Rows of weight 0 come last: skip the batches that hold nothing else.
    batches = len(order) if c is None else -(-jnp.sum(c > 0) // size)
    zero = jnp.zeros((), _sum_dtype(x.dtype))
    return lax.fori_loop(0, batches, batch, (params, opt_state, zero, zero))


def mean_loss_and_grads(
    params: Params,
    x: Array,
    y: Array,
    c: Array,
    f: tuple[Activation, ...],
    criterion: Criterion,
    *,
    total: Array,
    l2: ArrayLike | None,
    encode: Encode = lambda rows: rows,
    mesh: Mesh | None = None,
) -> tuple[Array, Params]:
    """Return the weighted mean loss of rows, and its gradients.

    `l2 / 2` times the sum of all squared weights is added to the sum of the losses before the mean is taken. Biases are
    not penalized.

    Arguments:
        params: the network.
        x: (n, fan_in).
        y: (n, outputs).
        c: (n,) sample weights.
        f: one activation for each hidden layer.
        criterion: the loss of a row.
        total: `sum_weights` of all rows.
        l2: a scalar, or None.
        encode: maps rows to inputs of the network.
        mesh: the devices that have the other rows; None if these are all.
    """
    divisor = jnp.where(total > 0, total, 1)
    value, grads = backpropagate(params, encode(x), y, c / divisor.astype(x.dtype), f, criterion)
    if mesh is not None:
        # As one array, because each that processes send each other takes some milliseconds.
        flat, restore = ravel_pytree((value, grads))
        value, grads = restore(lax.psum(flat, mesh.axis_names))
    if l2 is not None:
        value, grads = _penalize(value, grads, params, (jnp.asarray(l2, total.dtype) / divisor).astype(x.dtype))
    return value, grads


def sum_weights(c: Array) -> Array:
    """Return the sum of sample weights (n,)."""
    return jnp.sum(c, dtype=_sum_dtype(c.dtype))


def on_each_device(function: Callable[..., Tree], mesh: Mesh) -> Callable[..., Tree]:
    """Return a function of copied arrays that every device of the mesh runs, to the same result."""
    whole = PartitionSpec()
    return jax.shard_map(function, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False)


def _take_part(rows: Array, n: int, mesh: Mesh) -> Array:
    """Return the part of this device of row numbers; all get as many, by padding with n."""
    size = -(-len(rows) // mesh.size)
    rows = jnp.pad(rows, (0, size * mesh.size - len(rows)), constant_values=n)
    return lax.dynamic_slice_in_dim(rows, lax.axis_index(mesh.axis_names) * size, size)


def evaluate(
    params: Params,
    x: Array,
    y: Array,
    c: Array | None,
    f: tuple[Activation, ...],
    criterion: Criterion,
    metric: Metric | None,
    encode: Encode = lambda rows: rows,
) -> tuple[Array, Array | None]:
    """Return the weighted mean loss and the metric, both scalars, of rows with sample weights `c` (n,)."""
    c = jnp.ones(x.shape[0], x.dtype) if c is None else c
    outputs = map_blocks(lambda rows: forward_pass(params, encode(rows), f)[1][-1], x)
    dtype = _sum_dtype(x.dtype)
    # A row of weight 0 may hold anything: its loss, perhaps infinite, does not count.
    losses = jnp.where(c > 0, criterion(outputs, y), 0)
    loss = jnp.sum(c * losses, dtype=dtype) / jnp.sum(c, dtype=dtype)
    if metric is None:
        return loss.astype(x.dtype), None
    value = metric(_clear_excluded(criterion.predict(outputs), c), _clear_excluded(y, c), c)
    return loss.astype(x.dtype), value.astype(x.dtype)


def choose(condition: Array, new: Tree, old: Tree) -> Tree:
    """Return one of two trees alike: `new` if the scalar `condition` holds, else `old`."""
    # Not jnp.where, which would be compiled for each leaf.
    return lax.cond(condition, lambda new, old: new, lambda new, old: old, new, old)


def _penalize(value: Array, grads: Params, params: Params, factor: Array) -> tuple[Array, Params]:
    """Add `factor / 2` times the sum of the squared weights to a loss, and its gradient to the gradients."""
    squares = sum((jnp.sum(w**2) for w, _ in params), jnp.zeros_like(value))
    grads = tuple(layer._replace(w=layer.w + factor * w) for layer, (w, _) in zip(grads, params, strict=True))
    return value + 0.5 * factor * squares, grads


def _draw_order(key: Array, n: int, c: Array | None, batch_size: int, shuffle: bool) -> Array:
    """Return row numbers in an order drawn from `key`, (batches, batch_size); numbers from n on are padding.

    Rows of weight 0 come after the others. The random number of a row depends on the key and its position alone, so
    rows of weight 0 at the end of a table do not change the order of the others.
    """
    numbers = jax.random.bits(key, (n,), jnp.uint32) >> 1 if shuffle else lax.iota(jnp.uint32, n)
    if c is not None:
        numbers = jnp.where(c > 0, numbers, numbers | jnp.uint32(1 << 31))
    numbers = jnp.pad(numbers, (0, -n % batch_size), constant_values=np.uint32(2**32 - 1))
    return lax.platform_dependent(numbers, cpu=_sort_rows_as_pairs, default=_sort_rows).reshape(-1, batch_size)


def _sort_rows(numbers: Array) -> Array:
    """Return the rows (n,) sorted by their numbers (n,); rows of equal numbers stay in order."""
    # Two sort keys: a stable sort by one takes more memory.
    _, rows = lax.sort((numbers, lax.iota(jnp.int32, len(numbers))), num_keys=2, is_stable=False)
    return rows


def _sort_rows_as_pairs(numbers: Array) -> Array:
    """Return what `_sort_rows` does; a CPU is four times as fast, as it compares single numbers without calls."""
    with jax.enable_x64(True):  # for the 64-bit integers in this block only
        pairs = numbers.astype(jnp.uint64) * np.uint64(2**32) + lax.iota(jnp.uint64, len(numbers))
        return lax.sort(pairs, is_stable=False).astype(jnp.uint32).astype(jnp.int32)


def _clear_excluded(rows: Array, c: Array) -> Array:
    """Set rows of weight 0 to zero, whatever they hold: 0 times infinity would be NaN."""
    return jnp.where(c[:, None] > 0, rows, 0)


def _take(values: Array, rows: Array) -> Array:
    return jnp.take(values, rows, axis=0, mode="clip")


def _sum_dtype(dtype: DTypeLike) -> DTypeLike:
    """Return the dtype in which weights and losses are summed: bfloat16 cannot count beyond 256."""
    return jnp.float32 if dtype == jnp.bfloat16 else dtype
