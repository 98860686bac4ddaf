"""One epoch of mini-batches, and the measure of what it brought."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxmlp.activations import Activation
from jaxmlp.backprop import backpropagate
from jaxmlp.criteria import Criterion
from jaxmlp.fitting.metrics import Metric
from jaxmlp.fitting.optimizers import optimizer_step
from jaxmlp.network import Params, forward

# Validation rows go through the network in blocks of so many, for the memory of their hidden units.
_BLOCK = 2**16


def train_epoch(
    params: Params,
    opt_state: Any,
    key: Array,
    x: Array,
    y: Array,
    weights: Array | None,
    *,
    optimizer: Any,
    batch_size: int | None,
    activation: tuple[Activation, ...],
    criterion: Criterion,
    l2: ArrayLike | None = None,
) -> tuple[Params, Any, Array]:
    """Every row once: a step of the optimizer for each batch, along the gradient of the batch's weighted mean loss.

    Arguments:
        params: the network.
        opt_state: the optimizer's state.
        key: draws the order of the rows.
        x: (n, fan_in).
        y: (n, outputs).
        weights: (n,), or None for all ones.
        optimizer: a pair of functions `init` and `update`.
        batch_size: rows a step; None for all of them in their own order.
        activation: one for each hidden layer.
        criterion: the loss of a row.
        l2: a scalar; `l2 / 2` times the sum of all squared weights is added to the sum of a batch's losses, before its
            mean is taken. Biases are left alone. None for nothing.

    Returns:
        The network, the optimizer's state, and the mean loss of all rows, each taken before its batch's step.
    """

    def step(params, opt_state, x, y, c):
        if weights is not None:
            x, y = _seen(x, c), _seen(y, c)
        total = jnp.sum(c, dtype=_wide(c.dtype))
        mean = c / jnp.where(total > 0, total, 1).astype(c.dtype)
        value, grads = backpropagate(params, x, y, mean, activation, criterion)
        if l2 is not None:
            share = jnp.asarray(l2, total.dtype) / jnp.where(total > 0, total, 1)
            value, grads = _penalised(value, grads, params, share.astype(c.dtype))
        return *optimizer_step(optimizer, params, grads, opt_state), value.astype(total.dtype) * total, total

    n = x.shape[0]
    if batch_size is None or batch_size >= n:
        c = jnp.ones(n, x.dtype) if weights is None else weights
        *stepped, loss, total = step(params, opt_state, x, y, c)
        if weights is not None:
            stepped = chosen(total > 0, stepped, [params, opt_state])
        params, opt_state = stepped
        return params, opt_state, (loss / total).astype(x.dtype)

    rows = _shuffled(key, n, weights, batch_size)

    def batch(k, carry):
        params, opt_state, losses, totals = carry
        taken = rows[k]
        c = jnp.where(taken < n, 1 if weights is None else _taken(weights, taken), 0).astype(x.dtype)
        params, opt_state, loss, total = step(params, opt_state, _taken(x, taken), _taken(y, taken), c)
        return params, opt_state, losses + loss, totals + total

    # The rows of weight 0 are the last, so that the batches of nothing else can be left out.
    batches = len(rows) if weights is None else -(-jnp.sum(weights > 0) // batch_size)
    zero = jnp.zeros((), _wide(x.dtype))
    params, opt_state, losses, totals = lax.fori_loop(0, batches, batch, (params, opt_state, zero, zero))
    return params, opt_state, (losses / totals).astype(x.dtype)


def evaluate(
    params: Params,
    x: Array,
    y: Array,
    weights: Array,
    *,
    activation: Activation | tuple[Activation, ...],
    criterion: Criterion,
    metric: Metric,
) -> tuple[Array, Array]:
    """The weighted mean loss and the metric of rows x (n, fan_in), y (n, outputs), weights (n,): two scalars."""
    outputs = outputs_of(params, x, activation)
    wide = _wide(x.dtype)
    total = jnp.sum(weights, dtype=wide)
    # A row of weight 0 may be one that was never seen: what is infinite there does not count.
    losses = jnp.where(weights > 0, criterion(outputs, y), 0)
    mean_loss = jnp.sum(weights * losses, dtype=wide) / total
    reached = metric(_seen(criterion.predict(outputs), weights), _seen(y, weights), weights)
    return mean_loss.astype(x.dtype), reached.astype(x.dtype)


def outputs_of(params: Params, x: Array, activation: Activation | tuple[Activation, ...]) -> Array:
    """The network's outputs (n, outputs) for rows x (n, fan_in), a block of rows at a time where there are many."""
    n = x.shape[0]
    if n <= _BLOCK:
        return forward(params, x, activation=activation)

    def block(k, outputs):
        # The last block reaches back into the one before rather than beyond the end.
        start = jnp.minimum(k * _BLOCK, n - _BLOCK)
        rows = lax.dynamic_slice_in_dim(x, start, _BLOCK)
        return lax.dynamic_update_slice_in_dim(outputs, forward(params, rows, activation=activation), start, 0)

    return lax.fori_loop(0, -(-n // _BLOCK), block, jnp.zeros((n, params[-1].w.shape[1]), x.dtype))


def chosen(condition: Array, new: Any, old: Any) -> Any:
    """One of two trees alike: `new` if the scalar `condition` holds, else `old`."""
    # No jnp.where, which would be compiled for each leaf.
    return lax.cond(condition, lambda new, old: new, lambda new, old: old, new, old)


def _penalised(value: Array, grads: Params, params: Params, share: Array) -> tuple[Array, Params]:
    """A loss and its gradients, with `share / 2` times the sum of the squared weights added."""
    squares = sum((jnp.sum(w**2) for w, _ in params), jnp.zeros_like(value))
    grads = tuple(layer._replace(w=layer.w + share * w) for layer, (w, _) in zip(grads, params, strict=True))
    return value + 0.5 * share * squares, grads


def _shuffled(key: Array, n: int, weights: Array | None, batch_size: int) -> Array:
    """Rows in an order drawn from key, (batches, batch_size); numbers from n on, in the end, stand for no row.

    Rows of weight 0 come after the others. The number drawn for a row depends on the key and its place alone (JAX's
    random bits are a function of both), so that rows of weight 0 at the end of a table leave the others' order alone.
    """
    order = jax.random.bits(key, (n,), jnp.uint32) >> 1
    if weights is not None:
        order = jnp.where(weights > 0, order, order | jnp.uint32(1 << 31))
    padding = -n % batch_size
    order = jnp.pad(order, (0, padding), constant_values=np.uint32(2**32 - 1))
    return lax.platform_dependent(order, cpu=_sorted_as_one, default=_sorted).reshape(-1, batch_size)


def _sorted(numbers: Array) -> Array:
    """The rows (n,) in the order of their numbers (n,), equal numbers in that of the rows."""
    # By two keys: a stable sort by one takes more memory.
    _, rows = lax.sort((numbers, lax.iota(jnp.int32, len(numbers))), num_keys=2, is_stable=False)
    return rows


def _sorted_as_one(numbers: Array) -> Array:
    """The same four times as fast on the CPU, which sorts single numbers without a call for each comparison."""
    with jax.enable_x64(True):  # for the numbers of 64 bits in here alone
        pairs = numbers.astype(jnp.uint64) * np.uint64(2**32) + lax.iota(jnp.uint64, len(numbers))
        return lax.sort(pairs, is_stable=False).astype(jnp.uint32).astype(jnp.int32)


def _seen(rows: Array, weights: Array) -> Array:
    """Zeros in place of rows of weight 0, whatever they hold: zero times what is not finite would be no zero."""
    return jnp.where(weights[:, None] > 0, rows, 0)


def _taken(values: Array, rows: Array) -> Array:
    return jnp.take(values, rows, axis=0, mode="clip")


def _wide(dtype: Any) -> Any:
    """The dtype in which rows are counted: bfloat16 loses count at 256."""
    return jnp.float32 if dtype == jnp.bfloat16 else dtype
