"""Many devices: where the rows and the parameters of one network lie. JAX does the rest.

`train` and all that is made of it run unchanged on what these functions place: each device sums the gradient over its
own rows, and one all-reduce an epoch adds up the sums, the loss among them.

    mesh = jaxmlp.data_mesh()
    x, y, weights = jaxmlp.shard_batch(mesh, x, y)
    params, losses = jaxmlp.train(jaxmlp.replicate(mesh, params), x, y, 1e-4, weights)

Several processes, on one machine or many, run the same program; each reads its own rows, and one writes:

    jax.distributed.initialize()  # a cluster's processes find each other; elsewhere, say who and where they are
    mesh = jaxmlp.data_mesh()
    x, y, weights = jaxmlp.shard_batch(mesh, *rows_of(jax.process_index()))
    params, losses = jaxmlp.train(jaxmlp.replicate(mesh, params), x, y, 1e-4, weights)
    if jax.process_index() == 0: save(params)

`weights / weights.sum()` makes the loss a mean over the rows of all. In a long run one process saves its `FitState` now
and then, by `save_state`; `replicate(mesh, load_state(path, like))` goes on from it, on any number of processes. Rows
are sharded for one network; for many, shard the members (`train_ensemble`).

Inside a `jax.shard_map` of your own, `train` trains on what the device holds: the
sum over devices, `jax.lax.psum` of `manual_value_and_grads`, is yours, and parameters that are the same everywhere must
be told that they will differ (`jax.lax.pcast(params, "data", to="varying")`).
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxmlp._validation import validate_rows

_Tree = TypeVar("_Tree")


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of one axis, "data", along which rows are sharded.

    Its type is Auto: JAX finds out how to shard what is computed (`jax.make_mesh` has axes of type Explicit, under
    which the products of `train` raise).

    Arguments:
        devices: which; None for all of this run, those of other processes too.

    Returns:
        A mesh for `shard_batch` and `replicate`.
    """
    devices = jax.devices() if devices is None else devices
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def shard_batch(
    mesh: Mesh, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[Array, Array, Array]:
    """Split the rows evenly over the devices of a mesh, filled up with rows of weight 0.

    With several processes each passes its own rows, as many as it has, and all of them must call; the result is one
    batch of the rows of all.

    Arguments:
        mesh: as `data_mesh` returns.
        x: (n, fan_in) of this process, best as NumPy's. Whole numbers become floats; float64 is float32 where x64 is
            off.
        y: (n, outputs).
        sample_weight: (n,), or None for all ones.

    Returns:
        x, y and the weights of all processes, each with the same number of rows: the next one that the devices
        divide. A filling row is the first one again, with weight 0; where a process has none, zeros.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: data that are not numbers.
    """
    x, y, weights = validate_rows(x, y, sample_weight)
    if mesh.is_multi_process:
        counts = multihost_utils.process_allgather(np.array([len(x), len(mesh.local_devices)]))
        each = max(-(-rows // devices) for rows, devices in counts.tolist())  # rows of a device
    else:
        each = -(-len(x) // mesh.size)
    filling = each * len(mesh.local_devices) - len(x)
    weights = np.concatenate([weights, np.zeros(filling, weights.dtype)])
    return _placed(mesh, _filled(x, filling)), _placed(mesh, _filled(y, filling)), _placed(mesh, weights)


def replicate(mesh: Mesh, params: _Tree) -> _Tree:
    """Put a whole copy of the parameters, or of any tree of arrays and keys, on each device of a mesh.

    With several processes each passes the same values, and all of them must call.

    Arguments:
        mesh: as `data_mesh` returns.
        params: the network.

    Returns:
        The same values.

    Raises:
        AssertionError: processes that pass different values.
    """
    whole = NamedSharding(mesh, PartitionSpec())

    def copied(leaf):
        if mesh.is_multi_process and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            # JAX does not carry a key to other processes, only the numbers that it is made of.
            data = jax.device_put(jax.random.key_data(leaf), whole)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        return jax.device_put(leaf, whole)

    return jax.tree.map(copied, params)


def _filled(rows: np.ndarray, filling: int) -> np.ndarray:
    # A row of the data's own, because a loss that is finite on the data may not be so at zero.
    row = rows[:1] if len(rows) else np.zeros((1, *rows.shape[1:]), rows.dtype)
    return np.concatenate([rows, np.repeat(row, filling, axis=0)])


def _placed(mesh: Mesh, rows: np.ndarray) -> Array:
    shape = (len(rows) // len(mesh.local_devices) * mesh.size, *rows.shape[1:])
    return jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("data")), rows, shape)
