"""Epochs over more rows than memory holds: memory-mapped arrays (`numpy.load(path, mmap_mode="r")`), read in blocks.

Each epoch draws an order of the pieces of the file, which are a sixteenth of a block each. As many pieces in turn as
fill a block are read; its rows are shuffled, and its batches trained, while the next block is read.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jax.tree_util import Partial
from jax.typing import ArrayLike

from jaxmlp._programs import bounded_jit
from jaxmlp._validation import cast, validate_activations, validate_count, validate_data
from jaxmlp.criteria import Criterion
from jaxmlp.ensembles.members import join_members, map_members, split_members
from jaxmlp.ensembles.processes import gather, place, rows_mesh
from jaxmlp.fitting.batches import Encode, Tree, choose, on_each_device, train_epoch
from jaxmlp.fitting.epochs import Statics, end_epoch, validate_member
from jaxmlp.fitting.metrics import AnyArray
from jaxmlp.fitting.optimizers import OptState
from jaxmlp.fitting.splitting import rng_of
from jaxmlp.fitting.state import FitData, FitState, History, advance_best_loss, is_running, last_epoch
from jaxmlp.fitting.values import validate_rows, validate_weights
from jaxmlp.network import Params

BLOCK_BYTES = 2**26  # Of the inputs of a block.
_PIECES = 16  # In a block.


class _Carry(NamedTuple):
    """What an epoch hands from block to block."""

    params: Params
    opt_state: OptState
    losses: AnyArray  # The weighted sum of the losses so far.
    totals: AnyArray  # The sum of the weights so far.


def count_block_rows(x: object, block_rows: int | None, batch_size: int | None, dtype: np.dtype) -> int | None:
    """Return the number of rows in a block; None if all rows are taken into memory.

    Arguments:
        x: the inputs; they are read in blocks if they are memory-mapped, and more than one block.
        block_rows: what the user wants; None for 64 MB.
        batch_size: blocks hold whole batches.
        dtype: that of the network.

    Raises:
        ValueError: `block_rows` below 1; no `batch_size`, although there are several blocks.
    """
    if block_rows is not None:
        block_rows = validate_count("block_rows", block_rows, at_least=1)
    if not isinstance(x, np.memmap) or x.ndim != 2:
        return None
    rows = block_rows or max(1, BLOCK_BYTES // max(1, x.shape[1] * dtype.itemsize))
    if rows >= len(x):
        return None
    if batch_size is None:
        raise ValueError(f"batch_size must be given for {len(x)} memory-mapped rows, which are read {rows} at a time")
    return -(-rows // batch_size) * batch_size


def validate_mapped(
    params: Params, given: tuple[ArrayLike, ArrayLike, ArrayLike | None], criterion: Criterion, block_rows: int
) -> FitData:
    """Return memory-mapped rows as they are, after reading them once to validate them as `fit` does others."""
    dtype = params[0].w.dtype
    x, y = (np.asanyarray(values) for values in given[:2])
    c = None if given[2] is None else np.asanyarray(given[2])

    def shape_of(name: str, values: np.ndarray) -> np.ndarray:
        """Return an array without memory, of this shape and the dtype of the network."""
        cast(name, values[:1] if values.ndim else values, dtype)  # which refuses what are no numbers
        return np.broadcast_to(np.zeros((), dtype), values.shape)

    weights = None if c is None else shape_of("sample_weight", c)
    validate_data(params, shape_of("x", x), shape_of("y", y), weights)
    data = FitData(x, y, c)
    if c is not None:
        validate_weights("sample_weight", c, dtype)
    with np.errstate(over="ignore"):
        for start in range(0, len(x), block_rows):
            stop = min(start + block_rows, len(x))
            block = _read(data, [slice(start, stop)], dtype, stop - start)
            validate_rows(*block[:2], np.asarray(block.sample_weight), criterion, first=start)
    return data


def prepare_blocks(
    state: FitState,
    data: FitData,
    *,
    block_rows: int,
    patience: int | None,
    encode: Encode | None = None,
    **options: Any,
) -> Callable[..., tuple[FitState, History]]:
    """Return the function `run` that `run_chunks` takes, as `prepare_run` does for rows in memory.

    Arguments:
        state: of a network or an ensemble.
        data: the rows; those to train with are memory-mapped, those to validate with are in memory.
        block_rows: rows in a block.
        patience: as in `run_epochs`.
        encode: as in `run_epochs`.
        options: the optimizer, batch size, activation, criterion and metric of `run_epochs`.
    """
    statics, dtype = Statics(0, **options), state.params[0].w.dtype
    members = state.epoch.size if state.epoch.ndim else None
    zeros = np.zeros(state.epoch.shape, np.promote_types(dtype, np.float32))
    encode = encode or Partial(lambda rows: rows)
    valid = jax.device_put(data[3:])

    def call(function: Callable[..., Tree], own: object, shared: object) -> Tree:
        if members is not None:
            own, shared, mesh = split_members(own, shared, members, all_processes=True)
            return gather(_call(function, own, shared, mesh, statics, members), mesh)
        mesh = rows_mesh()
        if mesh is not None:
            own, shared = place((own, shared), mesh, PartitionSpec())
        return gather(_call(function, own, shared, mesh, statics, None), mesh)

    def run_epoch(state: FitState, last: int) -> tuple[FitState, History]:
        key = state.key if members is None else state.key[0]
        rng = rng_of(jax.random.fold_in(key, last_epoch(state)))
        carry = _Carry(state.params, state.opt_state, zeros, zeros)
        for number, parts in enumerate(_draw_blocks(len(data.x), block_rows, rng)):
            block = _read(data, parts, dtype, block_rows)
            jax.block_until_ready(carry.losses)  # While a block trains, one more is read.
            carry = call(_train_block, (state, carry), (block, number, encode))
        return call(_end_epoch, (state, carry), (valid, last, patience, encode))

    def run(state: FitState, *, epochs: int) -> tuple[FitState, History]:
        last, measured = last_epoch(state) + epochs, []
        while len(measured) < epochs and np.any(is_running(state, last, patience)):
            state, history = run_epoch(state, last)
            measured.append(history)
        return state, jax.tree.map(lambda *values: jnp.stack(values, axis=-1), *measured)

    return run


@bounded_jit(0, 3, 4, 5)
def _call(function, own, shared, mesh, statics, members):
    """Return `function(own, shared, statics)` of a network, or of each of the members of an ensemble."""
    if members is not None:
        return join_members(map_members(partial(function, statics=statics, mesh=None), own, shared, mesh), members)
    call = partial(function, statics=statics, mesh=mesh)
    return (call if mesh is None else on_each_device(call, mesh))(own, shared)


def _train_block(own, shared, statics, mesh):
    (state, carry), (data, number, encode) = own, shared
    (x, y, c, f), _ = validate_member(state, data, encode, statics)
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.epoch), number)
    params, opt_state, losses, totals = train_epoch(
        carry.params, carry.opt_state, key, x, y, c, f, statics.criterion,
        optimizer=statics.optimizer, batch_size=statics.batch_size, l2=None, encode=encode, mesh=mesh,
    )  # fmt: skip
    return _Carry(params, opt_state, carry.losses + losses, carry.totals + totals)


def _end_epoch(own, shared, statics, mesh):
    (state, carry), (valid, last, patience, encode) = own, shared
    f = validate_activations(statics.activation, len(state.params) - 1)
    loss = (carry.losses / carry.totals).astype(state.best_loss.dtype)
    valid = None if valid[0] is None else valid
    after, measured = end_epoch(state, carry[:2], loss, valid, f, statics, encode, advance_best_loss)
    running = is_running(state, last, patience)  # The members that stopped stay as they are.
    return choose(running, after._replace(key=None), state._replace(key=None))._replace(key=state.key), measured


def _draw_blocks(n: int, block_rows: int, rng: np.random.Generator) -> Iterator[list[slice]]:
    """Yield the parts of the file that each block reads."""
    size = -(-block_rows // _PIECES)
    parts, left = [], block_rows
    for piece in rng.permutation(-(-n // size)):
        start, stop = int(piece) * size, min(int(piece + 1) * size, n)
        while start < stop:
            parts.append(slice(start, min(stop, start + left)))
            left -= parts[-1].stop - start
            start = parts[-1].stop
            if not left:
                yield parts
                parts, left = [], block_rows
    if parts:
        yield parts


def _read(data: FitData, parts: list[slice], dtype: np.dtype, rows: int) -> FitData:
    """Return the rows of some parts of the file, as many as `rows`: zeros of weight 0 fill a block that is not full."""
    n = sum(part.stop - part.start for part in parts)

    def take(values: AnyArray) -> np.ndarray:
        block, end = np.zeros((rows, *values.shape[1:]), dtype), 0
        for part in parts:
            start, end = end, end + part.stop - part.start
            block[start:end] = values[part]
        return block

    weights = np.arange(rows) < n if data.sample_weight is None else take(data.sample_weight)
    return FitData(take(data.x), take(data.y), weights.astype(dtype))
