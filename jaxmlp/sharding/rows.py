"""Place the rows and the parameters of a network on many devices; JAX does the rest.

`train` and all functions built on it run unchanged on sharded arrays: each device sums the gradient over its rows, and
one all-reduce in each epoch adds these sums and the losses.

    mesh = jaxmlp.sharding.data_mesh()
    x, y, c = jaxmlp.sharding.shard_batch(mesh, x, y)
    params, losses = jaxmlp.train(jaxmlp.sharding.replicate(mesh, params), x, y, 1e-4, c)

With several processes, on one machine or many, all run the same program; each reads its part of the rows, and one
writes:

    jax.distributed.initialize()  # Outside a cluster that JAX knows, pass the addresses of the processes.
    mesh = jaxmlp.sharding.data_mesh()
    x, y, c = jaxmlp.sharding.shard_batch(mesh, *read_rows(jax.process_index()))
    params, losses = jaxmlp.train(jaxmlp.sharding.replicate(mesh, params), x, y, 1e-4, c)
    if jax.process_index() == 0: save(params)

For the mean over all rows, pass `c / c.sum()`. In a long run, one process saves the `FitState` with `save_state`, and
`replicate(mesh, load_state(path, like))` resumes it on any number of processes. To train many networks, shard the
members (`train_ensemble`), not the rows.

Inside `jax.shard_map`, `train` sees only the rows of its device. Sum over devices with `jax.lax.psum` of
`manual_value_and_grads`, and first mark the parameters as different on each device:
`jax.lax.pcast(params, "data", to="varying")`.
"""

from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxmlp._fork import validate_process
from jaxmlp._validation import validate_rows

_Tree = TypeVar("_Tree")


def data_mesh(devices: Sequence[object] | None = None) -> Mesh:
    """Return a mesh with one axis, "data", along which rows are sharded.

    Its axis has the type Auto, so that JAX chooses the sharding of results. The axes of `jax.make_mesh` have the type
    Explicit, with which `train` raises.

    Arguments:
        devices: devices of the mesh; None for all, including those of other processes.

    Returns:
        A mesh for `shard_batch` and `replicate`.
    """
    devices = jax.devices() if devices is None else devices
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def shard_batch(
    mesh: Mesh, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[Array, Array, Array]:
    """Split the rows evenly over the devices of a mesh, and pad them with rows of weight 0.

    With several processes, each passes its part of the rows, of any number, and all must call.

    Arguments:
        mesh: a mesh of `data_mesh`.
        x: (n, fan_in) inputs of this process, ideally a NumPy array. Whole numbers become floats; float64 becomes
            float32 where x64 is off.
        y: (n, outputs) targets.
        sample_weight: (n,) weights of the rows; None for all ones.

    Returns:
        x, y and the sample weights of all processes, with the same number of rows on each device. The padding repeats
        the first row of the process with weight 0; without rows, it is zero.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: data that are not numbers.
    """
    x, y, c = validate_rows(x, y, sample_weight)
    if mesh.is_multi_process:
        counts = multihost_utils.process_allgather(np.array([len(x), len(mesh.local_devices)]))
        per_device = max(-(-rows // devices) for rows, devices in counts.tolist())
    else:
        per_device = -(-len(x) // mesh.size)
    padding = per_device * len(mesh.local_devices) - len(x)
    c = np.concatenate([c, np.zeros(padding, c.dtype)])
    return _place(mesh, _pad(x, padding)), _place(mesh, _pad(y, padding)), _place(mesh, c)


def replicate(mesh: Mesh, params: _Tree) -> _Tree:
    """Copy the parameters, or any tree of arrays and keys, to each device of a mesh.

    With several processes, each passes the same values, and all must call.

    Arguments:
        mesh: a mesh of `data_mesh`.
        params: the network.

    Returns:
        The same values, on all devices.

    Raises:
        AssertionError: processes pass different values.
    """
    validate_process()
    everywhere = NamedSharding(mesh, PartitionSpec())

    def copy(leaf):
        if mesh.is_multi_process and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            # JAX does not send keys to other processes, only the numbers in them.
            data = jax.device_put(jax.random.key_data(leaf), everywhere)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        return jax.device_put(leaf, everywhere)

    return jax.tree.map(copy, params)


def _pad(rows: np.ndarray, padding: int) -> np.ndarray:
    # Repeat a row of the data, because a loss may be infinite at zero, and 0 times infinity is NaN.
    row = rows[:1] if len(rows) else np.zeros((1, *rows.shape[1:]), rows.dtype)
    return np.concatenate([rows, np.repeat(row, padding, axis=0)])


def _place(mesh: Mesh, rows: np.ndarray) -> Array:
    shape = (len(rows) // len(mesh.local_devices) * mesh.size, *rows.shape[1:])
    return jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("data")), rows, shape)
