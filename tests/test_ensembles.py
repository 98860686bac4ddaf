"""Ensembles, on eight CPU devices: members are split and padded."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_equal, problem
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxmlp
from jaxmlp import init_ensemble, init_params, predict_ensemble, train, train_ensemble
from jaxmlp.ensembles import prediction, training
from jaxmlp.ensembles.members import join_members, split_members

pytestmark = pytest.mark.portable

# A member is compiled in another program than the same network alone, which rounds differently.
TOLERANCE = 1e-5
SIZES = (3, 4, 2)
_, X, Y, WEIGHTS = problem(SIZES)


@functools.cache
def ensemble(members=3):
    return jax.jit(lambda key: init_ensemble(key, SIZES, members))(jax.random.key(0))


def member(tree, k):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[k], tree)


def test_member_k_is_init_params_of_the_kth_key():
    keys = jax.random.split(jax.random.key(0), 3)
    assert_equal(member(ensemble(), 1), jax.jit(lambda key: init_params(key, SIZES))(keys[1]))


def test_init_ensemble_uses_the_initializer_and_the_dtype():
    params = init_ensemble(jax.random.key(0), (3, 1), 2, w_init=jax.nn.initializers.ones, dtype=jnp.bfloat16)
    assert params[0].w.dtype == jnp.bfloat16
    assert np.all(np.asarray(params[0].w, np.float32) == 1)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("members", [1, 11])
def test_each_member_equals_the_same_network_trained_alone(members):
    params, losses = train_ensemble(ensemble(members), X, Y, 1e-2, WEIGHTS, epochs=20)
    assert losses.shape == (members, 20)
    for k in {0, members - 1}:
        alone = train(member(ensemble(members), k), X, Y, 1e-2, WEIGHTS, epochs=20)
        assert_close(member((params, losses), k), alone, TOLERANCE)


def test_members_may_have_different_data_weights_and_learning_rates():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 7, 3)).astype(np.float32), rng.normal(size=(3, 7, 2)).astype(np.float32)
    weights, rates = rng.uniform(size=(3, 7)).astype(np.float32), np.array([1e-3, 1e-2, 2e-2], np.float32)
    params, losses = train_ensemble(ensemble(), x, y, rates, weights, epochs=20)
    for k in range(3):
        alone = train(member(ensemble(), k), x[k], y[k], rates[k], weights[k], epochs=20)
        assert_close(member((params, losses), k), alone, TOLERANCE)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("which", ["x", "y", "learning_rate", "sample_weight"])
def test_each_argument_may_have_a_member_axis(which):
    arguments = {"x": X, "y": Y, "learning_rate": np.float32(1e-2), "sample_weight": WEIGHTS}
    arguments[which] = np.stack([arguments[which], 2 * arguments[which], 3 * arguments[which]])
    _, losses = train_ensemble(ensemble(), **arguments, epochs=5)
    arguments[which] = arguments[which][2]
    assert_close(losses[2], train(member(ensemble(), 2), **arguments, epochs=5)[1], TOLERANCE)


def test_members_are_split_over_the_devices():
    params, losses = train_ensemble(ensemble(8), X, Y, 1e-2, epochs=5)
    for leaf in jax.tree.leaves((params, losses)):
        assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {1}
        assert len(leaf.sharding.device_set) == 8


@pytest.mark.sampled(1)
@pytest.mark.parametrize("members", [11, 2])
def test_members_are_padded_for_all_devices_and_joined_again(members):
    whole = (ensemble(members), jax.random.split(jax.random.key(1), members), np.arange(members))
    split, shared, mesh = split_members(whole, X, members)
    counts = {leaf.shape[0] for leaf in jax.tree.leaves(split)}
    assert counts == {members} if members < 8 else {-(-members // 8) * 8}
    assert shared.sharding.device_set == set(mesh.devices.flat)
    joined = join_members(split, members)
    assert_equal(jax.tree.map(as_numbers, joined), jax.tree.map(as_numbers, whole))
    assert members < 8 or not any(leaf.committed for leaf in jax.tree.leaves(joined))


def as_numbers(leaf):
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def test_arrays_of_numpy_stay_off_the_cpu_where_a_gpu_is_the_default_device(monkeypatch):
    params = jax.device_get(ensemble())
    assert split_members(params, X, 3)[2] is not None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert split_members(params, X, 3)[2] is None
    assert split_members(ensemble(), X, 3)[2] is not None


@pytest.mark.extended
def test_training_continues_from_a_trained_ensemble():
    half, first = train_ensemble(ensemble(11), X, Y, 1e-2, epochs=5)
    whole, second = train_ensemble(half, X, Y, 1e-2, epochs=5)
    expected, losses = train_ensemble(ensemble(11), X, Y, 1e-2, epochs=10)
    assert_close(whole, expected, TOLERANCE)
    assert_close(np.concatenate([first, second], axis=1), np.asarray(losses), TOLERANCE)


def test_the_program_on_several_devices_has_no_collective():
    placed, _ = train_ensemble(ensemble(8), X, Y, 1e-2, epochs=0)
    mesh = Mesh(np.array(jax.devices()), ("member",))
    shared = {"x": X, "y": Y, "learning_rate": np.float32(1e-2)}
    statics = (5, jaxmlp.relu, jaxmlp.squared_error, 8, mesh)
    arguments = ({"params": placed}, shared, *statics)
    program = training._train_members.program(*arguments).lower(*arguments).compile().as_text()
    assert "while" in program
    assert not re.search("all-reduce|all-gather|collective-permute|all-to-all", program)


def test_inputs_on_several_devices_stay_there():
    mesh = Mesh(np.array(jax.devices()[:2]), ("rows",))
    x = jax.device_put(X[:6], NamedSharding(mesh, PartitionSpec("rows")))
    y = jax.device_put(Y[:6], NamedSharding(mesh, PartitionSpec("rows")))
    params = jax.device_put(ensemble(), NamedSharding(mesh, PartitionSpec()))
    trained, losses = train_ensemble(params, x, y, 1e-2, epochs=5)
    assert losses.sharding.device_set == set(jax.devices()[:2])
    assert_close(member(trained, 1), train(member(ensemble(), 1), X[:6], Y[:6], 1e-2, epochs=5)[0], TOLERANCE)


def test_members_that_the_user_split_stay_where_they_are():
    mesh = jaxmlp.sharding.data_mesh(jax.devices()[2:6])
    params = jax.device_put(ensemble(8), NamedSharding(mesh, PartitionSpec("data")))
    trained, losses = train_ensemble(params, X, Y, 1e-2, epochs=5)
    assert losses.sharding.device_set == set(mesh.devices.flat)
    assert {shard.data.shape[0] for shard in losses.addressable_shards} == {2}
    assert_close(trained, train_ensemble(ensemble(8), X, Y, 1e-2, epochs=5)[0], TOLERANCE)


@pytest.mark.extended
def test_on_a_mesh_that_the_user_has_set_members_are_not_split():
    with jax.set_mesh(jaxmlp.sharding.data_mesh()):
        trained, _ = train_ensemble(ensemble(2), X, Y, 1e-2, epochs=5)
    assert_close(trained, train_ensemble(ensemble(2), X, Y, 1e-2, epochs=5)[0], TOLERANCE)


def test_members_and_rows_may_both_be_split():
    grid = Mesh(np.array(jax.devices()).reshape(4, 2), ("member", "data"))
    params = jax.device_put(ensemble(8), NamedSharding(grid, PartitionSpec("member")))
    x, y = jax.device_put((X[:6], Y[:6]), NamedSharding(grid, PartitionSpec("data")))
    program = jax.jit(lambda params, x, y: train_ensemble(params, x, y, 1e-2, epochs=5)).lower(params, x, y).compile()
    kinds = re.findall("(all-reduce|all-gather|collective-permute|all-to-all)[(]", program.as_text())
    assert kinds == ["all-reduce"]
    assert_close(member(program(params, x, y), 1), train(member(ensemble(8), 1), X[:6], Y[:6], 1e-2, epochs=5))


def test_a_second_call_traces_nothing_even_with_another_learning_rate():
    traces = []

    def fn(outputs, y):
        traces.append(1)
        return jaxmlp.squared_error.fn(outputs, y)

    criterion = jaxmlp.Criterion(fn, jaxmlp.squared_error.derivative)
    train_ensemble(ensemble(), X, Y, 1e-2, epochs=2, criterion=criterion)
    once = len(traces)
    for rate in (2e-2, np.float64(1e-3), jnp.float32(1e-3), 1):
        train_ensemble(ensemble(), X, Y, rate, epochs=2, criterion=criterion)
    assert len(traces) == once > 0


@pytest.mark.extended
def test_ensembles_compose_with_jit_vmap_and_grad():
    plain = train_ensemble(ensemble(), X, Y, 1e-2, epochs=5)
    assert_close(jax.jit(lambda p: train_ensemble(p, X, Y, 1e-2, epochs=5))(ensemble()), plain, TOLERANCE)
    rates = jnp.array([1e-2, 2e-2])
    many = jax.vmap(lambda rate: train_ensemble(ensemble(), X, Y, rate, epochs=5)[1])(rates)
    assert_close(many[0], plain[1], TOLERANCE)
    slopes = jax.grad(lambda rate: train_ensemble(ensemble(), X, Y, rate, epochs=5)[1][:, -1].sum())(1e-2)
    step = 1e-4
    ends = [train_ensemble(ensemble(), X, Y, 1e-2 + s, epochs=5)[1][:, -1].sum() for s in (step, -step)]
    np.testing.assert_allclose(slopes, (ends[0] - ends[1]) / (2 * step), rtol=2e-2)


def test_zero_epochs_return_the_ensemble_and_empty_losses():
    params, losses = train_ensemble(ensemble(), X, Y, 1e-2, epochs=0)
    assert_equal(jax.tree.map(np.asarray, params), jax.tree.map(np.asarray, ensemble()))
    assert losses.shape == (3, 0)


def test_predict_ensemble_returns_mean_and_standard_deviation():
    outputs = np.stack([jaxmlp.forward(member(ensemble(), k), X) for k in range(3)])
    mean, std = predict_ensemble(ensemble(), X)
    assert_close(mean, outputs.mean(0), TOLERANCE)
    assert_close(std, outputs.std(0), TOLERANCE)


def test_probabilities_are_averaged_not_logits():
    outputs = np.stack([jaxmlp.forward(member(ensemble(), k), X) for k in range(3)])
    mean, _ = predict_ensemble(ensemble(), X, criterion=jaxmlp.softmax_cross_entropy)
    assert_close(mean, np.asarray(jax.nn.softmax(outputs, axis=2)).mean(0), TOLERANCE)
    np.testing.assert_allclose(mean.sum(1), 1, rtol=1e-6)


def test_members_may_predict_different_inputs():
    x = np.stack([X, 2 * X, 3 * X])
    mean, _ = predict_ensemble(ensemble(), x)
    outputs = np.stack([jaxmlp.forward(member(ensemble(), k), x[k]) for k in range(3)])
    assert_close(mean, outputs.mean(0), TOLERANCE)


def test_members_may_be_weighted_in_mean_and_standard_deviation():
    mean, std = prediction.predict_mean_and_std(ensemble(), X, member_weights=[1, 0, 3])
    first, last = (np.asarray(jaxmlp.forward(member(ensemble(), k), X)) for k in (0, 2))
    assert_close(mean, (first + 3 * last) / 4, TOLERANCE)
    assert_close(std, np.sqrt(3) / 4 * np.abs(first - last), TOLERANCE)


def test_one_network_has_no_standard_deviation():
    mean, std = prediction.predict_mean_and_std(member(ensemble(), 1), X)
    assert_close(mean, jaxmlp.forward(member(ensemble(), 1), X), TOLERANCE)
    assert not np.any(std)


def test_each_member_predicts_its_fold():
    x = np.stack([X, 2 * X])
    predictions = prediction.predict_members(ensemble(), x, np.array([1, 0, 1], np.int32))
    for k, fold in enumerate((1, 0, 1)):
        assert_close(predictions[k], jaxmlp.forward(member(ensemble(), k), x[fold]), TOLERANCE)


@pytest.mark.parametrize("n", [1, 8, 9, 20])
def test_rows_are_predicted_in_blocks(n, monkeypatch):
    monkeypatch.setattr(prediction, "BLOCK", 8)
    x = np.linspace(-2, 2, 2 * n * 3, dtype=np.float32).reshape(2, n, 3)
    blocks = jax.jit(functools.partial(prediction.map_blocks, lambda rows: (2 * rows, rows[..., :1])))(x)
    assert_equal(blocks, (2 * x, x[..., :1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": jax.tree.map(lambda leaf: leaf[0], ensemble())}, "params[0].w must have a leading axis of members"),
        ({"x": X[0]}, "x must have rank 2 for all members, or 3 for each; got (3,)"),
        ({"x": np.stack([X, X])}, "x of rank 3 must have members = 3 in front; got (2, 7, 3)"),
        ({"y": Y[:, 0]}, "y must have rank 2 for all members, or 3 for each; got (7,)"),
        ({"y": Y[:6]}, "y must have shape (n, outputs) = (7, 2)"),
        ({"sample_weight": np.ones((2, 7))}, "sample_weight of rank 2 must have members = 3 in front; got (2, 7)"),
        ({"sample_weight": np.ones(6)}, "sample_weight must have shape (n,) = (7,)"),
        ({"learning_rate": np.ones(2)}, "learning_rate of rank 1 must have members = 3 in front; got (2,)"),
        ({"epochs": -1}, "epochs must be a whole number of at least 0; got -1"),
    ],
)
def test_wrong_shapes_raise(change, message):
    arguments = {"params": ensemble(), "x": X, "y": Y, "learning_rate": 1e-2, "sample_weight": WEIGHTS} | change
    with pytest.raises(ValueError, match=re.escape(message)):
        train_ensemble(**arguments)


def test_bare_functions_and_mixed_dtypes_raise():
    with pytest.raises(TypeError, match=r"activation must be a jaxmlp\.Activation"):
        train_ensemble(ensemble(), X, Y, 1e-2, activation=jax.nn.relu)
    with pytest.raises(TypeError, match=r"criterion must be a jaxmlp\.Criterion"):
        predict_ensemble(ensemble(), X, criterion=jnp.exp)
    mixed = (ensemble()[0], jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), ensemble()[1]))
    with pytest.raises(TypeError, match="params must have one dtype in all leaves; got bfloat16, float32"):
        train_ensemble(mixed, X, Y, 1e-2)
    with pytest.raises(TypeError, match=r"params must be a tuple of jaxmlp\.Layer, as init_ensemble returns"):
        predict_ensemble(list(ensemble()), X)


@pytest.mark.parametrize("members", [0, -1])
def test_fewer_than_one_member_raises(members):
    with pytest.raises(ValueError, match="members must be a whole number of at least 1"):
        init_ensemble(jax.random.key(0), SIZES, members)
