"""All networks of a search, one for each fold, candidate and seed, as one compiled program on all devices."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxmlp.activations import Activation
from jaxmlp.criteria import Criterion
from jaxmlp.fitting.epochs import FitState, init_fit, run_epochs, running
from jaxmlp.fitting.loop import paced
from jaxmlp.fitting.optimizers import adam
from jaxmlp.network import Params, forward

# Epochs are run in chunks, so that progress moves and Ctrl-C is heard; a chunk has as many as fit in so many seconds.
_SECONDS = 0.5


class Members(NamedTuple):
    """What differs from network to network; a leading axis of all of them."""

    params: Params
    key: Array  # shuffles the rows
    learning_rate: np.ndarray
    weight_decay: np.ndarray
    fold: np.ndarray  # an index into the data


class FoldData(NamedTuple):
    """What the networks of a fold share; a leading axis of folds."""

    x: np.ndarray  # (folds, n_train, fan_in)
    y: np.ndarray  # (folds, n_train, outputs)
    x_valid: np.ndarray | None  # (folds, n_valid, fan_in); None for none to validate with
    y_valid: np.ndarray | None  # (folds, n_valid, outputs)
    valid_weights: np.ndarray | None  # (folds, n_valid)
    x_test: np.ndarray  # (folds, n_test, fan_in)


class Settings(NamedTuple):
    """What all networks share, static."""

    epochs: int
    batch_size: int
    patience: int | None
    activation: Activation | tuple[Activation, ...]
    criterion: Criterion


def train_members(
    members: Members, data: FoldData, settings: Settings, progress: Callable[[float], None] | None = None
) -> tuple[Params, np.ndarray]:
    """Train all networks, the learning rate of each falling to zero, and predict the rows that each has not seen.

    On CPUs the networks of a device are trained one after another, so that each stops by itself and its rows stay in
    the fastest cache. On accelerators they are one `vmap`.

    Arguments:
        members: the networks.
        data: the folds.
        settings: static.
        progress: called with the share that is done.

    Returns:
        The ensemble, each member with the parameters of its lowest validation loss, without validation the last; and
        its predictions for the rows that its fold holds out, (members, n_test, outputs): NaN where it diverged in the
        first epoch.
    """
    count, devices = len(members.fold), jax.local_devices()
    on_cpu = devices[0].platform == "cpu"
    devices = devices[:count] if on_cpu else devices[:1]
    members = jax.tree.map(lambda leaf: _padded(leaf, -count % len(devices)), members)
    mesh = Mesh(np.array(devices), ("member",))
    split, shared = NamedSharding(mesh, PartitionSpec("member")), NamedSharding(mesh, PartitionSpec())
    members, data = jax.device_put(members, split), jax.device_put(data, shared)
    steps = np.float32(settings.epochs * -(-data.x.shape[1] // settings.batch_size))

    state = jax.device_put(_start(members, steps), split)
    length, done = 1, 0
    while done < settings.epochs:
        start = time.perf_counter()
        length = min(length, settings.epochs - done)
        state, unfinished = _train(state, members.fold, data, np.int32(length), settings, mesh)
        done += length
        if not _any(unfinished):
            break
        if progress is not None:
            progress(done / settings.epochs)
        length = paced(length, time.perf_counter() - start, _SECONDS)
    outputs = _predict(state.best_params, members.fold, data.x_test, settings)
    params, outputs, epochs = jax.tree.map(
        lambda leaf: np.asarray(leaf)[:count], (state.best_params, outputs, state.best_epoch)
    )
    return params, np.where((epochs > 0)[:, None, None], outputs, np.float32(np.nan))


@jax.jit
def _start(members: Members, steps: Any) -> FitState:
    def start(member):
        optimizer = adam(member.learning_rate, weight_decay=member.weight_decay, decay_steps=steps)
        return init_fit(member.params, key=member.key, optimizer=optimizer)

    return jax.vmap(start)(members)


@partial(jax.jit, static_argnums=(4, 5))
def _train(state, fold, data, epochs, settings, mesh):
    def member(data, state, fold):
        x, y, *valid, _ = jax.tree.map(lambda leaf: leaf[fold], data)
        state, _ = run_epochs(
            state, x, y, None, None if valid[0] is None else tuple(valid), epochs, optimizer=adam(),
            batch_size=settings.batch_size, patience=settings.patience, activation=settings.activation,
            criterion=settings.criterion, metric=None,
        )  # fmt: skip
        return state, running(state, settings.epochs, settings.patience)

    def one_by_one(state, fold, data):
        return lax.map(lambda each: member(data, *each), (state, fold))

    def at_once(state, fold, data):
        return jax.vmap(partial(member, data))(state, fold)

    if mesh.size == 1:
        return lax.platform_dependent(state, fold, data, cpu=one_by_one, default=at_once)
    by_member = PartitionSpec("member")
    return jax.shard_map(
        one_by_one, mesh=mesh, in_specs=(by_member, by_member, PartitionSpec()), out_specs=by_member,
        check_vma=False,  # no device needs another; the histories that `run_epochs` begins would not pass for split
    )(state, fold, data)  # fmt: skip


@partial(jax.jit, static_argnums=3)
def _predict(params, fold, x, settings):
    def member(params, fold):
        return settings.criterion.predict(forward(params, x[fold], activation=settings.activation))

    return lax.map(lambda each: member(*each), (params, fold))


def _any(running: Any) -> bool:
    while not running.is_ready():  # with Python awake, so that Ctrl-C is heard
        time.sleep(0.001)
    return bool(np.asarray(running).any())


def _padded(leaf: Any, rows: int) -> Any:
    # The last member again, so that all devices get as many; the copies are cut off in the end.
    if rows == 0:
        return leaf
    if isinstance(leaf, np.ndarray):
        return np.concatenate([leaf, np.repeat(leaf[-1:], rows, axis=0)])
    return jax.numpy.concatenate([leaf, jax.numpy.repeat(leaf[-1:], rows, axis=0)])
