"""Optimizers: optax's, step by step; hyperparameters are in the state."""

import itertools
import pickle
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_close, run

import jaxmlp
from jaxmlp.fitting.optimizers import OPTIMIZERS, Adam, Sgd, adam, optimizer_step, schedule, sgd, validate_optimizer

pytestmark = pytest.mark.portable

PARAMS = jaxmlp.init_params(jax.random.key(1), (3, 4, 1))
SCHEDULE = optax.cosine_decay_schedule(0.02, 8)


def weights_only(params):
    return tuple(jaxmlp.Layer(True, False) for _ in params)


def chain(trace, rate, decay):
    return optax.chain(trace, optax.add_decayed_weights(decay, weights_only), optax.scale_by_learning_rate(rate))


def steps(optimizer, params):
    """Twelve steps along changing gradients, the last beyond the cosine."""

    def step(k, carry):
        params, state = carry
        return optimizer_step(optimizer, params, jax.tree.map(lambda p: jnp.sin(k.astype(p.dtype) + p), params), state)

    return jax.lax.fori_loop(0, 12, step, (params, optimizer.init(params)))[0]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("optimizer", "reference"),
    [
        (adam(0.02), optax.adam(0.02)),
        (adam(0.02, weight_decay=0.1), optax.adamw(0.02, weight_decay=0.1, mask=weights_only)),
        (adam(0.02, decay_steps=8, weight_decay=0.1), optax.adamw(SCHEDULE, weight_decay=0.1, mask=weights_only)),
        (Adam(0.02, beta_1=0.7, beta_2=0.9, epsilon=0.1), optax.adam(0.02, b1=0.7, b2=0.9, eps=0.1)),
        (sgd(0.02, momentum=0), optax.sgd(0.02)),
        (sgd(0.02), optax.sgd(0.02, momentum=0.9)),
        (Sgd(0.02, nesterov=True), optax.sgd(0.02, momentum=0.9, nesterov=True)),
        (sgd(0.02, weight_decay=0.1, decay_steps=8), chain(optax.trace(0.9), SCHEDULE, 0.1)),
    ],
)
def test_an_optimizer_agrees_with_optax(optimizer, reference, x64):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), PARAMS)
    assert_close(run(partial(steps, optimizer), params), run(partial(steps, reference), params), 1e-12)


def test_float32_agrees_with_optax():
    reference = optax.adamw(0.02, weight_decay=0.1, mask=weights_only)
    ours = run(partial(steps, adam(0.02, weight_decay=0.1)), PARAMS)
    assert_close(ours, run(partial(steps, reference), PARAMS), 2e-5)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_bfloat16_networks_have_float32_states(kind):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), PARAMS)
    optimizer = OPTIMIZERS[kind](0.02, weight_decay=0.1)
    state = optimizer.init(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {np.dtype(np.int32), np.dtype(np.float32)}
    stepped, after = jax.eval_shape(partial(optimizer_step, optimizer), params, params, state)
    assert {leaf.dtype for leaf in jax.tree.leaves(stepped)} == {np.dtype(jnp.bfloat16)}
    assert jax.tree.map(lambda leaf: leaf.dtype, after) == jax.tree.map(lambda leaf: leaf.dtype, state)
    exact = run(partial(steps, optimizer), PARAMS)
    assert_close(run(partial(steps, optimizer), params), jax.tree.map(lambda p: p.astype(jnp.bfloat16), exact), 0.03)


def test_the_two_epsilons_differ_by_the_bias_correction():
    def first_step(optimizer, params):
        return optimizer_step(optimizer, params, params, optimizer.init(params))[0]

    plain, hat = (partial(first_step, Adam(0.1, beta_2=0.75, epsilon=e, epsilon_hat=e == 1)) for e in (2.0, 1.0))
    assert_close(run(plain, PARAMS), run(hat, PARAMS))  # √(1 - 0.75) = 1/2


def test_optimizers_are_equal_if_they_update_alike():
    assert adam(1.0) == adam(2.0, weight_decay=0.1, decay_steps=7) != sgd(1.0)
    assert len({adam(1.0), adam(2.0), adam(jnp.float32(3)), sgd(1.0), sgd(2.0)}) == 2
    assert Sgd(nesterov=True) != Sgd()
    assert Adam(epsilon_hat=True) != Adam()


def test_other_hyperparameters_do_not_recompile():
    step = jax.jit(optimizer_step, static_argnums=0)
    for rate in (0.1, 1, jnp.float32(0.2), np.float64(0.3), jnp.int32(1)):
        optimizer = adam(rate, weight_decay=rate)
        step(optimizer, PARAMS, PARAMS, optimizer.init(PARAMS))
    assert step._cache_size() == 1


def test_a_vmap_sweeps_hyperparameters():
    rates = jnp.array([0.1, 0.003])
    swept = jax.jit(jax.vmap(lambda rate: steps(adam(rate, weight_decay=rate), PARAMS)))(rates)
    for k, rate in enumerate(rates):
        alone = run(lambda rate: steps(adam(rate, weight_decay=rate), PARAMS), rate)
        assert_close(jax.tree.map(lambda leaf: leaf[k], swept), alone)  # noqa: B023


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizers_are_pickled(kind):
    optimizer = pickle.loads(pickle.dumps(OPTIMIZERS[kind](0.01, weight_decay=0.1)))
    assert optimizer == OPTIMIZERS[kind](0.02)
    assert float(optimizer.init(PARAMS).hyperparameters["weight_decay"]) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (adam, "learning_rate", float("nan"), r"in the range \[0, inf\); got nan"),
        (sgd, "learning_rate", np.float32(np.inf), "got inf"),
        (adam, "learning_rate", -1, "got -1.0"),
        (adam, "weight_decay", -0.1, "got -0.1"),
        (sgd, "decay_steps", 0, r"in the range \(0, inf\]; got 0.0"),
        (sgd, "momentum", 1.5, r"in the range \[0, 1\]; got 1.5"),
        (Adam, "beta_1", 1, r"in the range \[0, 1\); got 1.0"),
        (Adam, "beta_2", jnp.float32(1), "got 1.0"),
        (Adam, "epsilon", 0, r"in the range \(0, inf\); got 0.0"),
    ],
)
def test_a_hyperparameter_out_of_range_is_named(kind, name, value, message):
    with pytest.raises(ValueError, match=f"{name} must be a number .*{message}"):
        kind(**{name: value})


@pytest.mark.parametrize(("name", "value", "rounded"), [("beta_1", 1 - 1e-12, 1), ("learning_rate", 1e300, "inf")])
def test_a_hyperparameter_is_in_range_in_the_dtype_of_the_network_too(name, value, rounded):
    with pytest.raises(ValueError, match=f"{name} must be .*, which is {rounded} in float32"):
        Adam(**{name: value}).init(PARAMS)


@pytest.mark.parametrize("value", ["fast", None, 1j, SCHEDULE])
def test_a_learning_rate_that_is_no_number_is_an_error(value):
    with pytest.raises(TypeError, match="learning_rate must be a number; got" + ".*schedule" * callable(value)):
        adam(value)


def test_a_learning_rate_is_a_scalar():
    with pytest.raises(ValueError, match=r"learning_rate must be a scalar, of shape \(\); got \(2,\): jax\.vmap"):
        adam(jnp.ones(2))
    with pytest.raises(ValueError, match="learning_rate must be a scalar"):
        jax.jit(sgd)(jnp.ones(2))


def test_an_optimizer_that_was_not_called_is_named():
    for optimizer in (optax.adam, adam, Adam):
        name = optimizer.__name__
        with pytest.raises(TypeError, match=rf"optimizer must be a pair .*; got {name}; call it, as in {name}\(1e-3\)"):
            validate_optimizer(optimizer, PARAMS)


def test_other_libraries_optimizers_are_validated():
    state = validate_optimizer(optax.adabelief(1e-2), PARAMS)
    assert jax.tree.structure(state) == jax.tree.structure(optax.adabelief(1e-2).init(PARAMS))
    with pytest.raises(TypeError, match=r"search along a line.*value_fn"):
        validate_optimizer(optax.lbfgs(), PARAMS)
    with pytest.raises(TypeError, match="optimizer must be a pair of functions init and update"):
        validate_optimizer("adam", PARAMS)
    with pytest.raises(TypeError, match="optimizer must be hashable"):
        validate_optimizer(SimpleNamespace(init=adam().init, update=adam().update), PARAMS)


def test_the_learning_rate_rises_and_falls_in_cycles_each_twice_as_long_as_the_one_before():
    share = np.linspace(0, 1, 1501)
    rate = np.asarray(schedule(jnp.asarray(share, jnp.float32), 4))
    np.testing.assert_allclose(rate, (1 - np.cos(2 * np.pi * np.log2(1 + 15 * share))) / 2, atol=1e-4)
    ends = [0, 1 / 15, 3 / 15, 7 / 15, 1]
    np.testing.assert_allclose(np.interp(ends, share, rate), 0, atol=1e-3)
    assert [rate[(share > low) & (share < high)].max() > 0.99 for low, high in itertools.pairwise(ends)] == [True] * 4


@pytest.mark.parametrize("make", [jaxmlp.adam, jaxmlp.sgd])
def test_cycles_need_an_end_and_are_whole(make):
    assert make(0.1, decay_steps=10, cycles=2) != make(0.1, decay_steps=10)  # another program
    with pytest.raises(ValueError, match="decay_steps must be finite with cycles"):
        make(0.1, cycles=2)
    with pytest.raises(ValueError, match="cycles must be a whole number of at least 0; got -1"):
        make(0.1, decay_steps=10, cycles=-1)
