"""Many networks in one program: what an ensemble is, and where its members are computed.

An ensemble is a tree of arrays with a leading member axis. On CPUs each device computes its members one after another,
because a member's data then fit the fastest cache. On accelerators all members are one `vmap`.

    by_member, shared, mesh = split_members(by_member, shared, members)     # outside `jax.jit`
    results = map_members(function, by_member, shared, mesh)                # inside
    results = gather(results, mesh)                                         # outside, if `all_processes`
    results = join_members(results, members)                                # inside, or last
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxmlp._cpu_products import on_several_devices
from jaxmlp.ensembles.processes import place
from jaxmlp.network import Params

ByMember = TypeVar("ByMember")
Shared = TypeVar("Shared")
Result = TypeVar("Result")

_MEMBER, _WHOLE = PartitionSpec("member"), PartitionSpec()


def is_ensemble(params: Params) -> bool:
    """Return whether these parameters have a leading member axis, as `init_ensemble` returns."""
    return isinstance(params, tuple) and bool(params) and getattr(getattr(params[0], "w", None), "ndim", 2) == 3


def split_members(
    by_member: ByMember, shared: Shared, members: int, *, all_processes: bool = False
) -> tuple[ByMember, Shared, Mesh | None]:
    """Put each member on one of the local CPU devices (`jax.config.update("jax_num_cpu_devices", 2)` makes two).

    Nothing moves, and the mesh is None, while JAX traces, on accelerators, on a single device, on a mesh that the user
    has set, and where the user has sharded anything but the members. Members that the user has already split stay on
    these devices.

    Arguments:
        by_member: a tree of arrays with a leading member axis.
        shared: a tree of arrays that all members use; each device gets a copy.
        members: the number of members.
        all_processes: whether the members are split over the devices of all processes, if `jax.distributed` has
            several, on accelerators too. Each process must call with the same values.

    Returns:
        Both trees on the devices, `by_member` padded with copies of the last member so that all devices get the same
        number; and the mesh for `map_members`.
    """
    devices = _devices_to_split_over(by_member, shared, members, all_processes=all_processes)
    if not devices:
        return by_member, shared, None
    if copies := -members % len(devices):
        padded = [*range(members), *[members - 1] * copies]
        by_member = jax.tree.map(lambda leaf: _take(leaf, padded), by_member)
    mesh = Mesh(np.array(devices), ("member",))
    return place(by_member, mesh, _MEMBER), place(shared, mesh, _WHOLE), mesh


def map_members(
    function: Callable[[ByMember, Shared], Result], by_member: ByMember, shared: Shared, mesh: Mesh | None = None
) -> Result:
    """Return `function(by_member_k, shared)` of each member k, stacked along a leading member axis."""

    def in_turn(by_member, shared):
        return lax.map(lambda member: function(member, shared), by_member)

    def together(by_member, shared):
        return jax.vmap(function, in_axes=(0, None))(by_member, shared)

    if mesh is not None:
        # Devices do not communicate: there is nothing to check.
        specs = {"in_specs": (_MEMBER, _WHOLE), "out_specs": _MEMBER, "check_vma": False}
        mapped = in_turn if mesh.devices.flat[0].platform == "cpu" else together
        return jax.shard_map(mapped, mesh=mesh, **specs)(by_member, shared)
    if on_several_devices((by_member, shared)):
        return together(by_member, shared)
    return lax.platform_dependent(by_member, shared, cpu=in_turn, default=together)


def join_members(results: Result, members: int) -> Result:
    """Return the results without those of the padding."""
    if all(leaf.shape[0] == members for leaf in jax.tree.leaves(results)):
        return results
    return jax.tree.map(lambda leaf: _take(leaf, slice(members)), results)


def _take(leaf: Array | np.ndarray, members: slice | list[int]) -> Array | np.ndarray:
    """Return some members of an array or of keys, with NumPy where it can, because it compiles nothing."""
    if isinstance(leaf, Tracer | np.ndarray):
        return leaf[members]
    with jax.default_device(min(leaf.sharding.addressable_devices, key=lambda device: device.id)):
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.device_put(np.asarray(leaf)[members])
        data = jax.device_put(np.asarray(jax.random.key_data(leaf))[members])
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))


def _devices_to_split_over(by_member: object, shared: object, members: int, *, all_processes: bool) -> list[Any]:
    """Return the devices to split the members over; none if everything stays where it is."""
    leaves = jax.tree.leaves((by_member, shared))
    if any(isinstance(leaf, Tracer) for leaf in leaves) or not jax.sharding.get_abstract_mesh().empty:
        return []  # while JAX traces, or on a mesh that the user has set
    if jax.config.jax_disable_jit:  # type: ignore[attr-defined]  # A loop in a shard_map cannot run without jit.
        return []
    shardings = [leaf.sharding for leaf in leaves if isinstance(leaf, Array)]
    homes = {frozenset(sharding.device_set) for sharding in shardings if len(sharding.device_set) > 1}
    if not homes and all_processes and jax.process_count() > 1:
        # As many of each process; each has one, because all must run the program.
        each = -(-members // jax.process_count())
        processes = range(jax.process_count())
        return [device for k in processes for device in jax.local_devices(k)[:each]]
    if not homes:
        platforms = {device.platform for sharding in shardings for device in sharding.device_set}
        platforms = platforms or {jax.default_backend()}  # where JAX puts arrays of NumPy
        devices = jax.local_devices(backend="cpu") if platforms <= {"cpu"} else []
    elif len(homes) == 1 and _is_split_along(1, by_member) and _is_split_along(0, shared):
        devices = sorted(homes.pop(), key=lambda device: device.id)
    else:
        return []
    if len({device.process_index for device in devices}) > 1:
        return devices if all_processes else []
    devices = [device for device in devices if device.platform == "cpu"][:members]
    return devices if len(devices) > 1 else []


def _is_split_along(axes: int, tree: object) -> bool:
    """Return whether no array of a tree is split over devices along an axis after the first `axes` ones."""
    shardings = [leaf.sharding for leaf in jax.tree.leaves(tree) if isinstance(leaf, Array)]
    return all(
        sharding.is_fully_replicated or (isinstance(sharding, NamedSharding) and not any(sharding.spec[axes:]))
        for sharding in shardings
    )
