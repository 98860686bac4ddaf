"""Several processes of `jax.distributed`: arrays over the devices of all, results in each, and what all decide alike.

Each process calls the same functions with the same arguments. A program over several processes ends only if all of them
run it, so that whatever depends on the time, or on Ctrl-C, must be agreed on first.
"""

from functools import cache
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


def is_first() -> bool:
    """Return whether this process writes files: process 0, or the only one."""
    return jax.process_index() == 0


def rows_mesh() -> Mesh | None:
    """Return a mesh of the devices of all processes with one axis, "data"; None for a single process."""
    if jax.process_count() == 1:
        return None
    return Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))


def place(tree: Tree, mesh: Mesh, spec: PartitionSpec) -> Tree:
    """Put a tree of arrays and keys on the devices of a mesh; with several processes, each passes the same values."""
    sharding = NamedSharding(mesh, spec)
    if not mesh.is_multi_process:
        return jax.device_put(jax.tree.map(_to_host, tree), sharding)

    def put(leaf: object) -> Any:
        if isinstance(leaf, Array) and leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
            return leaf
        if isinstance(leaf, Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        # Not jax.device_put, which would first compare the values of all processes.
        array = np.asarray(leaf)
        array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(put, tree)


def _to_host(leaf: object) -> object:
    """Return an array on one CPU device as an array of NumPy, so that splitting it compiles nothing."""
    if not isinstance(leaf, Array) or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    devices = leaf.devices()
    return np.asarray(leaf) if len(devices) == 1 and next(iter(devices)).platform == "cpu" else leaf


def gather(tree: Tree, mesh: Mesh | None) -> Tree:
    """Return arrays that are split over the devices of several processes as a whole, on a device of each.

    Arguments:
        tree: arrays and keys that are split along their first axis, or copied; others are returned as they are.
        mesh: their devices, along one axis; None for those of this process.

    Returns:
        The tree, of arrays on one device.
    """
    if mesh is None or not mesh.is_multi_process:
        return tree
    if not all(leaf.is_fully_replicated for leaf in jax.tree.leaves(tree)):
        tree = _replicate(mesh)(tree)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


@cache
def _replicate(mesh: Mesh) -> Any:
    """Return the compiled function that sends all arrays as one, because each takes some milliseconds."""
    split, whole = PartitionSpec(*mesh.axis_names), PartitionSpec()

    def send(tree):
        leaves, structure = jax.tree.flatten(tree)
        packed = [_to_bytes(leaf) for leaf in leaves]
        ends = np.cumsum([part.shape[1] for part in packed])[:-1]
        everything = lax.all_gather(jnp.concatenate(packed, axis=1), mesh.axis_names, tiled=True)
        parts = zip(jnp.split(everything, ends, axis=1), leaves, strict=True)
        return jax.tree.unflatten(structure, [_from_bytes(part, leaf) for part, leaf in parts])

    return jax.jit(jax.shard_map(send, mesh=mesh, in_specs=split, out_specs=whole, check_vma=False))


def _to_bytes(leaf: Array) -> Array:
    """Return an array or keys (n, …) as (n, bytes) uint8."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if leaf.dtype == bool:
        leaf = leaf.astype(jnp.uint8)
    return lax.bitcast_convert_type(leaf, jnp.uint8).reshape(len(leaf), -1)


def _from_bytes(packed: Array, like: Array) -> Array:
    """Return (n, bytes) uint8 as an array or keys (n, …) of the dtype and shape of rows of `like`."""
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        data = jax.eval_shape(jax.random.key_data, like)
        return jax.random.wrap_key_data(_from_bytes(packed, data), impl=jax.random.key_impl(like))  # type: ignore[arg-type]
    if like.dtype == bool:
        return packed.reshape(-1, *like.shape[1:]).astype(bool)
    size = like.dtype.itemsize
    return lax.bitcast_convert_type(packed.reshape(-1, *like.shape[1:], *([size] if size > 1 else [])), like.dtype)


def agree(*values: float) -> np.ndarray:
    """Return the values of each process, (processes, values); all processes must call."""
    own = np.asarray(values, np.float32)
    return own[None] if jax.process_count() == 1 else np.asarray(multihost_utils.process_allgather(own))


def share_text(text: str) -> str:
    """Return the text of process 0; all processes must call."""
    if jax.process_count() == 1:
        return text
    own = np.frombuffer(text.encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(own))))
    sent = multihost_utils.broadcast_one_to_all(np.resize(own, size))
    return np.asarray(sent, np.uint8).tobytes().decode()
