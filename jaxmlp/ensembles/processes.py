"""Several processes of `jax.distributed`: arrays over the devices of all, results in each, and what all decide alike.

Each process calls the same functions with the same arguments. A program over several processes ends only if all of them
run it, so that whatever depends on the time, or on Ctrl-C, must be agreed on first.
"""

from functools import cache
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
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
        return jax.device_put(tree, sharding)

    def put(leaf: Any) -> Any:
        if isinstance(leaf, Array) and leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
            return leaf
        if isinstance(leaf, Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        # Not jax.device_put, which would first compare the values of all processes.
        array = np.asarray(leaf)
        array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(put, tree)


def gather(tree: Tree, mesh: Mesh | None) -> Tree:
    """Return arrays over the devices of several processes as a whole, on a device of each; others as they are."""
    if mesh is None or not mesh.is_multi_process:
        return tree
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), _replicate(mesh)(tree))


@cache
def _replicate(mesh: Mesh) -> Any:
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))


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
