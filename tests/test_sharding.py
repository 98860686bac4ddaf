"""Rows over eight CPU devices, and over two processes."""

import pathlib
import re
import signal
import socket
import subprocess
import sys
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import worker
from helpers import assert_close, assert_equal, problem, run
from jax.sharding import AxisType, PartitionSpec

import jaxmlp
from jaxmlp import fit_epochs, load_state, train
from jaxmlp.sharding import data_mesh, replicate, shard_batch

pytestmark = pytest.mark.portable

# Sums over rows in another order, a few roundings of 6e-8 each.
TOLERANCE = 1e-6
MEAN_OF = {n: np.full(n, 1 / n, np.float32) for n in (100, 37)}


def collectives(program):
    """Return how often each kind of collective occurs in a part of a compiled program."""
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
    return Counter(re.findall(rf" ({kinds})(?:-start)?\(", program))


def before_and_in_the_loop(program):
    """Return a compiled program's main part, and the rest: the loop's condition and body."""
    loop, main = re.split(r"^ENTRY ", program.as_text(), flags=re.M)
    assert main.count(" while(") == 1
    return main, loop


def test_the_mesh_has_one_axis_and_leaves_the_sharding_to_jax():
    assert dict(data_mesh().shape) == {"data": 8}
    assert data_mesh().axis_types == (AxisType.Auto,)
    assert data_mesh(jax.devices()[:2]).size == 2


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("n", "sizes"), [(100, (3, 32, 1)), (37, (3, 32, 1)), (37, (3, 5, 4, 2))])
def test_training_on_eight_devices_equals_one_with_one_all_reduce_an_epoch(n, sizes):
    params, x, y, _ = problem(sizes, n)
    placed = replicate(data_mesh(), params), *shard_batch(data_mesh(), x, y, MEAN_OF[n])
    program = jax.jit(lambda params, x, y, weights: train(params, x, y, 0.05, weights, epochs=50))
    program = program.lower(*placed).compile()
    main, loop = before_and_in_the_loop(program)
    assert not collectives(main)
    assert collectives(loop) == {"all-reduce": 1}

    trained, losses = program(*placed)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves((trained, losses)))
    assert_close(trained, train(params, x, y, 0.05, MEAN_OF[n], epochs=50)[0], TOLERANCE)


@pytest.mark.extended
def test_fitting_on_eight_devices_equals_one_with_one_all_reduce_an_epoch():
    params, x, y, weights = problem((3, 5, 2), 37)
    options = {"optimizer": jaxmlp.adam(1e-2), "epochs": 5}
    state = jaxmlp.init_fit(params, key=jax.random.key(0), optimizer=options["optimizer"])
    placed = replicate(data_mesh(), state), *shard_batch(data_mesh(), x, y, weights)
    program = jax.jit(lambda *operands: jaxmlp.fit_epochs(*operands, **options)).lower(*placed).compile()
    main, loop = before_and_in_the_loop(program)
    assert collectives(main) == {"all-reduce": 1}  # the sum of the weights
    assert collectives(loop) == {"all-reduce": 1}
    fitted, history = jaxmlp.fit_epochs(state, x, y, weights, **options)
    there, measured = program(*placed)
    assert_close((there.params, measured.loss), (fitted.params, np.asarray(history.loss)), TOLERANCE)


@pytest.mark.extended
def test_mini_batches_are_the_same_rows_on_eight_devices():
    params, x, y, _ = problem((3, 5, 2), 37)
    options = {"optimizer": jaxmlp.sgd(1e-2), "epochs": 3, "batch_size": 8}
    state = jaxmlp.init_fit(params, key=jax.random.key(0), optimizer=options["optimizer"])
    held_out = (np.arange(37) % 5 == 0).astype(np.float32)
    mesh = data_mesh()
    placed = *shard_batch(mesh, x, y, 1 - held_out), shard_batch(mesh, x, y, held_out)[2]
    there, measured = jaxmlp.fit_epochs(replicate(mesh, state), *placed, **options)
    fitted, history = jaxmlp.fit_epochs(state, x, y, 1 - held_out, held_out, **options)
    assert_close((there.params, *measured), (fitted.params, *map(np.asarray, history)), TOLERANCE)


def test_rows_are_split_evenly_and_padded_with_weight_0():
    _, x, y, weights = problem(n=37)
    for given, expected in ((weights, weights), (None, np.ones(37, np.float32))):
        placed = shard_batch(data_mesh(), x, y, given)
        for array, rows in zip(placed, (x, y, expected), strict=True):
            assert array.shape == (40, *rows.shape[1:])
            assert array.sharding.spec == PartitionSpec("data")
            assert {shard.data.shape[0] for shard in array.addressable_shards} == {5}
            assert_equal(np.asarray(array)[:37], rows)
        assert not np.any(np.asarray(placed[2])[37:])


def test_padding_repeats_a_row_of_the_data():
    # At a target of zero this loss is infinite, and 0 times that is no number.
    logarithmic = jaxmlp.Criterion(
        lambda outputs, y: jnp.sum((outputs - jnp.log(y)) ** 2, axis=1), lambda outputs, y: 2 * (outputs - jnp.log(y))
    )
    params, x, y, _ = problem((3, 5, 2), n=3)
    placed = shard_batch(data_mesh(), x, np.exp(y))
    sharded = run(lambda *rows: jaxmlp.loss(params, *rows, criterion=logarithmic), *placed)
    assert_close(sharded, run(jaxmlp.loss, params, x, y))


def test_whole_numbers_become_floats_and_floats_keep_their_dtype():
    x = np.array([[2**24, 1]], np.int64)
    placed = shard_batch(data_mesh(), x, np.array([[True]]), np.ones(1))
    assert {array.dtype for array in placed} == {np.dtype(np.float32)}
    half = jnp.ones((1, 2), jnp.bfloat16)
    assert [a.dtype for a in shard_batch(data_mesh(), half, x)] == [jnp.bfloat16, jnp.float32, jnp.bfloat16]
    with jax.enable_x64(True):
        assert shard_batch(data_mesh(), x, x)[0].dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3), np.ones((3, 1))), r"x must have shape \(n, fan_in\); got \(3,\)"),
        ((np.ones((3, 2)), np.ones(3)), r"y must have shape \(n, outputs\) = \(3, outputs\).*got \(3,\)"),
        ((np.ones((3, 2)), np.ones((4, 1))), r"a row for each of x; got \(4, 1\)"),
        ((np.ones((3, 2)), np.ones((3, 1)), np.ones((3, 1))), r"sample_weight must have shape .*got \(3, 1\)"),
    ],
)
def test_rows_that_do_not_fit_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        shard_batch(data_mesh(), *arguments)
    with pytest.raises(TypeError, match="x must hold real numbers"):
        shard_batch(data_mesh(), np.array([["a"]]), np.ones((1, 1)))


@pytest.mark.extended
def test_sharded_gradients_are_checked():
    params, x, y, weights = problem((3, 4, 2), n=5)
    mesh = data_mesh()
    jaxmlp.check_network(replicate(mesh, params), *shard_batch(mesh, x, y, weights)).raise_if_wrong()


@pytest.mark.extended
def test_a_users_own_shard_map_sums_over_devices_or_trains_on_each():
    params, x, y, _ = problem((3, 4, 2), n=16)
    mesh, rows, whole = data_mesh(), PartitionSpec("data"), PartitionSpec()

    @jax.shard_map(mesh=mesh, in_specs=(whole, rows, rows), out_specs=whole)
    def summed(params, x, y):
        return jax.lax.psum(jaxmlp.manual_value_and_grads(params, x, y), "data")

    @jax.shard_map(mesh=mesh, in_specs=(whole, rows), out_specs=rows, check_vma=False)
    def swept(params, rates):
        return train(params, x, y, rates[0], epochs=2)[1][None]

    assert_close(run(summed, params, x, y), run(jaxmlp.manual_value_and_grads, params, x, y))
    rates = np.linspace(0, 1e-2, 8, dtype=np.float32)
    alone = run(lambda params, rate: train(params, x, y, rate, epochs=2)[1], params, rates[7])
    assert_close(run(swept, params, rates)[7], alone)


def two_processes(path, state):
    """Return what process 0 wrote, of two that train together and are killed during a fit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "tests.worker", str(port)]
    options = {"cwd": pathlib.Path(__file__).parent.parent, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*words, str(k), path, state], **options) for k in range(2)]
    try:
        errors = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    # The process that is killed second may first lose the other.
    assert {process.returncode for process in running} <= {-signal.SIGKILL, -signal.SIGABRT}, errors
    with np.load(path) as written:
        return list(written.values())


@pytest.mark.extended
@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_two_processes_equal_one(times, tmp_path):
    x, y = (np.concatenate(parts) for parts in zip(worker.rows_of(0), worker.rows_of(1), strict=True))
    params, losses = train(worker.network(), x, y, 1e-4)
    whole, _ = fit_epochs(worker.first_state(), x, y, optimizer=worker.OPTIMIZER, epochs=12)
    for k in range(times):
        saved = tmp_path / f"{k}.state"
        *leaves, history, rows, key = two_processes(tmp_path / f"{k}.npz", saved)
        assert_close(leaves, jax.tree.leaves(params), TOLERANCE)
        assert_close(history, np.asarray(losses), TOLERANCE)
        assert rows == 100
        assert_equal(key, jax.random.key_data(jax.random.key(3)))
        # One process continues from where two were killed, as if nothing had happened.
        state = load_state(saved, worker.first_state())
        assert 0 < state.epoch < 12
        state, _ = fit_epochs(state, x, y, optimizer=worker.OPTIMIZER, epochs=12 - int(state.epoch))
        assert_close((state.params, state.opt_state.moments), (whole.params, whole.opt_state.moments), 1e-5)
