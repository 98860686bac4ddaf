"""Many networks of one shape, trained as one compiled program.

An ensemble is `Params` whose leaves have one more axis in front, one entry for each member.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxmlp._cpu_products import on_several_devices
from jaxmlp._dispatch import as_array
from jaxmlp._validation import (
    cast,
    validate_choice,
    validate_count,
    validate_key,
    validate_member_axis,
    validate_members,
)
from jaxmlp.activations import ACTIVATIONS, Activation, relu
from jaxmlp.criteria import CRITERIA, Criterion, squared_error
from jaxmlp.network import Params, forward, init_params
from jaxmlp.training import train


def init_ensemble(
    key: Array,
    sizes: Sequence[int],
    members: int,
    *,
    w_init: Callable[..., Array] = jax.nn.initializers.he_normal(),
    dtype: Any = jnp.float32,
) -> Params:
    """Draw the weights of many networks; member k is `init_params(jax.random.split(key, members)[k], sizes)`.

    Arguments:
        key: a key of `jax.random.key`.
        sizes: the widths from inputs to outputs, the same for all members.
        members: how many networks.
        w_init: an initializer of `jax.nn.initializers`.
        dtype: bfloat16, float32 or float64.

    Returns:
        `Params` with a leading member axis: `w` (members, fan_in, fan_out), `b` (members, 1, fan_out).

    Raises:
        ValueError: fewer than two sizes, or one below 1; fewer than 1 member.
        TypeError: not a key; another dtype; float64 while x64 is off.
    """
    keys = jax.random.split(validate_key(key), validate_count("members", members, at_least=1))
    return jax.vmap(lambda key: init_params(key, sizes, w_init=w_init, dtype=dtype))(keys)


def train_ensemble(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    learning_rate: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    epochs: int = 200,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> tuple[Params, Array]:
    """`train` for each member, as one compiled program.

    Data, sample weights and learning rate are shared by all members or given for each, which their ranks tell.
    On CPUs the members are trained one after another on each device, and split over the local devices when there are
    several (`jax.config.update("jax_num_cpu_devices", 2)` makes two). Inputs that already live on several devices stay
    there, be it their members or their rows that are split. On accelerators the members are one `vmap`. Member k equals
    the same network trained alone, to the rounding of a differently compiled program.

    Arguments:
        params: an ensemble, as `init_ensemble` returns.
        x: (n, fan_in) for all, or (members, n, fan_in).
        y: (n, outputs) for all, or (members, n, outputs).
        learning_rate: a scalar for all, or (members,).
        sample_weight: (n,) for all, or (members, n); None for all ones.
        epochs: how many steps, each over all rows.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: the loss of a row.

    Returns:
        The trained ensemble, and the losses (members, epochs), each taken before its update.

    Raises:
        ValueError: a shape that does not fit, shown as one member sees it; a leading axis that is not `members`.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    if not isinstance(activation, tuple):
        validate_choice("activation", activation, Activation, ACTIVATIONS)
    validate_choice("criterion", criterion, Criterion, CRITERIA)
    epochs = validate_count("epochs", epochs, at_least=0)
    params, members = validate_members(params)
    dtype = params[0].w.dtype
    data = {"x": as_array("x", x, dtype), "y": as_array("y", y, dtype)}
    data["learning_rate"] = cast("learning_rate", learning_rate, dtype)
    ranks = {"x": 2, "y": 2, "learning_rate": 0, "sample_weight": 1}
    if sample_weight is not None:
        data["sample_weight"] = as_array("sample_weight", sample_weight, dtype)
    each: dict[str, Any] = {"params": params}
    shared: dict[str, Any] = {}
    for name, value in data.items():
        (each if validate_member_axis(name, value, ranks[name], members) else shared)[name] = value

    devices = _devices_to_split_over(each, shared, members)
    if devices is None:
        return _train_members(each, shared, activation, criterion, epochs)
    each = _padded(each, -members % len(devices))
    mesh = Mesh(np.array(devices), ("member",))
    each = jax.device_put(each, NamedSharding(mesh, PartitionSpec("member")))
    shared = jax.device_put(shared, NamedSharding(mesh, PartitionSpec()))
    return _train_members_on(each, shared, activation, criterion, epochs, members, mesh)


def predict_ensemble(
    params: Params,
    x: ArrayLike,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> tuple[Array, Array]:
    """What the members predict, on average, and how much they differ.

    Arguments:
        params: an ensemble.
        x: (n, fan_in) for all, or (members, n, fan_in).
        activation: one for all hidden layers, or a tuple, one each.
        criterion: its `predict` makes means, probabilities or rates of the outputs, before they are averaged.

    Returns:
        The mean and the standard deviation over the members, both (n, outputs).

    Raises:
        ValueError: a shape that does not fit.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    validate_choice("criterion", criterion, Criterion, CRITERIA)
    params, members = validate_members(params)
    x = as_array("x", x, params[0].w.dtype)
    axis = 0 if validate_member_axis("x", x, 2, members) else None
    outputs = jax.vmap(partial(forward, activation=activation), (0, axis))(params, x)
    predictions = jax.vmap(criterion.predict)(outputs)
    return jnp.mean(predictions, axis=0), jnp.std(predictions, axis=0)


def _member(activation, criterion, epochs, shared, each):
    return train(**shared, **each, epochs=epochs, activation=activation, criterion=criterion)


@partial(jax.jit, static_argnums=(2, 3, 4))
def _train_members(each, shared, activation, criterion, epochs):
    member = partial(_member, activation, criterion, epochs)

    def together(each, shared):
        return jax.vmap(partial(member, shared))(each)

    def in_turn(each, shared):  # a member's data stay in the fastest cache, where a batched product would stream them
        return lax.map(partial(member, shared), each)

    if on_several_devices((each, shared)):
        return together(each, shared)
    return lax.platform_dependent(each, shared, cpu=in_turn, default=together)


@partial(jax.jit, static_argnums=(2, 3, 4, 5, 6))
def _train_members_on(each, shared, activation, criterion, epochs, members, mesh):
    def on_one_device(each, shared):
        return lax.map(partial(_member, activation, criterion, epochs, shared), each)

    specs = (PartitionSpec("member"), PartitionSpec())
    split = jax.shard_map(on_one_device, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("member"))
    return jax.tree.map(lambda leaf: leaf[:members], split(each, shared))


@partial(jax.jit, static_argnums=1)
def _padded(each, rows):
    # The last member again, so that all devices get as many; the copies are cut off in the end.
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[-1:], rows, axis=0)]), each)


def _devices_to_split_over(each: Any, shared: Any, members: int) -> tuple[Any, ...] | None:
    """The CPU devices that members are split over; None where everything stays as it is."""
    leaves = jax.tree.leaves((each, shared))
    if any(isinstance(leaf, Tracer) for leaf in leaves) or not jax.sharding.get_abstract_mesh().empty:
        return None  # in a trace, or on a mesh that the user has set
    shardings = [leaf.sharding for leaf in leaves if isinstance(leaf, Array)]
    homes = {frozenset(sharding.device_set) for sharding in shardings if len(sharding.device_set) > 1}
    if not homes:
        platforms = {device.platform for sharding in shardings for device in sharding.device_set}
        devices = jax.local_devices(backend="cpu") if platforms <= {"cpu"} else []
    elif len(homes) == 1 and _by_members(each, shared):
        devices = sorted(homes.pop(), key=lambda device: device.id)
    else:
        return None
    devices = [device for device in devices if device.platform == "cpu"][:members]
    return tuple(devices) if len(devices) > 1 else None


def _by_members(each: Any, shared: Any) -> bool:
    """Whether arrays on several devices are whole on each of them, or split along the axis of members alone."""

    def at_most(axes: int, tree: Any) -> bool:
        shardings = [leaf.sharding for leaf in jax.tree.leaves(tree) if isinstance(leaf, Array)]
        return all(
            sharding.is_fully_replicated
            or (isinstance(sharding, NamedSharding) and not any(tuple(sharding.spec)[axes:]))
            for sharding in shardings
        )

    return at_most(1, each) and at_most(0, shared)
