"""Many networks of the same shape, drawn and trained as one compiled program.

An ensemble is `Params` whose leaves have a leading member axis.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from jaxmlp._dispatch import as_array
from jaxmlp._programs import QUICK, bounded_jit, he_normal
from jaxmlp._validation import (
    cast,
    validate_count,
    validate_dtype,
    validate_functions,
    validate_key,
    validate_member_axis,
    validate_members,
    validate_sizes,
)
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.ensembles.members import join_members, map_members, split_members
from jaxmlp.ensembles.processes import gather
from jaxmlp.network import Params, init_params
from jaxmlp.training import train


def init_ensemble(
    key: Array,
    sizes: Sequence[int],
    members: int,
    *,
    w_init: Callable[..., Array] = he_normal,
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """Draw the weights of many networks; member k is `init_params(jax.random.split(key, members)[k], sizes)`.

    Arguments:
        key: a key of `jax.random.key`.
        sizes: layer widths from inputs to outputs, the same for all members.
        members: the number of networks.
        w_init: an initializer of `jax.nn.initializers`.
        dtype: bfloat16, float32 or float64.

    Returns:
        `Params` with a leading member axis: `w` (members, fan_in, fan_out), `b` (members, 1, fan_out).

    Raises:
        ValueError: fewer than two sizes, or one below 1; fewer than 1 member.
        TypeError: not a key; another dtype; float64 while x64 is off.
    """
    keys = jax.random.split(validate_key(key), validate_count("members", members, at_least=1))
    # A custom initializer runs as it is, as in `init_params`.
    draw = _draw_compiled if w_init is he_normal else _draw
    return draw(keys, validate_sizes(sizes), w_init, validate_dtype("dtype", dtype))


def _draw(keys: Array, sizes: tuple[int, ...], w_init: Callable[..., Array], dtype: DTypeLike) -> Params:
    return jax.vmap(lambda key: init_params(key, sizes, w_init=w_init, dtype=dtype))(keys)


_draw_compiled = bounded_jit(1, 2, 3, compiler_options=QUICK)(_draw)


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
    """Run `train` for each member, as one compiled program.

    Data, sample weights and learning rate are shared by all members, or given for each with a leading member axis; the
    rank tells which. On CPUs the members are split over the local devices (see `jaxmlp/ensembles/members.py`); on
    accelerators they are one `vmap`. Member k equals the same network trained alone, up to rounding.

    After `jax.distributed.initialize()`, the members are split over the devices of all processes. Each process must
    call with the same arguments, and gets all results.

    Arguments:
        params: an ensemble, as `init_ensemble` returns.
        x: (n, fan_in) for all, or (members, n, fan_in).
        y: (n, outputs) for all, or (members, n, outputs).
        learning_rate: a scalar for all, or (members,).
        sample_weight: (n,) for all, or (members, n); None for all ones.
        epochs: number of steps, each over all rows.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.

    Returns:
        The trained ensemble, and the losses (members, epochs), each taken before its update.

    Raises:
        ValueError: a shape that does not fit, shown as one member sees it; a leading axis that is not `members`.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    validate_functions(activation, criterion)
    epochs = validate_count("epochs", epochs, at_least=0)
    params, members = validate_members(params)
    dtype = params[0].w.dtype
    data = {"x": as_array("x", x, dtype), "y": as_array("y", y, dtype)}
    data["learning_rate"] = cast("learning_rate", learning_rate, dtype)
    if sample_weight is not None:
        data["sample_weight"] = as_array("sample_weight", sample_weight, dtype)
    ranks = {"x": 2, "y": 2, "learning_rate": 0, "sample_weight": 1}
    by_member: dict[str, Any] = {"params": params}
    shared: dict[str, Any] = {}
    for name, value in data.items():
        (by_member if validate_member_axis(name, value, ranks[name], members) else shared)[name] = value
    by_member, shared, mesh = split_members(by_member, shared, members, all_processes=True)
    return gather(_train_members(by_member, shared, epochs, activation, criterion, members, mesh), mesh)


@bounded_jit(2, 3, 4, 5, 6)
def _train_members(by_member, shared, epochs, activation, criterion, members, mesh):
    def train_member(own, shared):
        return train(**own, **shared, epochs=epochs, activation=activation, criterion=criterion)

    return join_members(map_members(train_member, by_member, shared, mesh), members)
