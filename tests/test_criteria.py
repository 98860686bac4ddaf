"""Criteria and their derivatives, against NumPy's formulas and against jax.grad."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALL_CRITERIA, relative_error, targets
from scipy import special

from jaxmlp.criteria import CRITERIA, Criterion, huber_loss, poisson, squared_error

pytestmark = pytest.mark.core

OUTPUTS = np.random.default_rng(1).normal(size=(6, 3)) * 2


def numpy_huber(o, y):
    e = np.abs(o - y)
    return np.where(e <= 1, e**2 / 2, e - 0.5).sum(1)


def numpy_sigmoid_cross_entropy(o, y):
    return -(y * special.log_expit(o) + (1 - y) * special.log_expit(-o)).sum(1)


VALUES = {
    "squared_error": lambda o, y: ((o - y) ** 2).sum(1),
    "huber_loss": numpy_huber,
    "sigmoid_binary_cross_entropy": numpy_sigmoid_cross_entropy,
    "softmax_cross_entropy": lambda o, y: -(y * special.log_softmax(o, axis=1)).sum(1),
    "poisson": lambda o, y: (np.exp(o) - y * o).sum(1),
}

PREDICTIONS = {
    "squared_error": lambda o: o,
    "huber_loss": lambda o: o,
    "sigmoid_binary_cross_entropy": special.expit,
    "softmax_cross_entropy": lambda o: special.softmax(o, axis=1),
    "poisson": np.exp,
}


@pytest.mark.parametrize("name", ALL_CRITERIA)
def test_the_loss_of_a_row_is_numpys(name, x64):
    y = targets(name, OUTPUTS.shape)
    assert relative_error(CRITERIA[name](jnp.asarray(OUTPUTS), jnp.asarray(y)), VALUES[name](OUTPUTS, y)) < 1e-14


@pytest.mark.parametrize("name", ALL_CRITERIA)
def test_the_derivative_is_jax_grads(name, x64):
    o, y = jnp.asarray(OUTPUTS), jnp.asarray(targets(name, OUTPUTS.shape))
    expected = jax.grad(lambda o: CRITERIA[name](o, y).sum())(o)
    assert relative_error(CRITERIA[name].derivative(o, y), expected) < 1e-14


@pytest.mark.parametrize("name", ALL_CRITERIA)
def test_the_prediction_is_what_the_outputs_mean(name, x64):
    assert relative_error(CRITERIA[name].predict(jnp.asarray(OUTPUTS)), PREDICTIONS[name](OUTPUTS)) < 1e-14


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sigmoid_binary_cross_entropy", "softmax_cross_entropy"])
def test_cross_entropies_stay_finite_and_right_for_huge_logits(name, dtype, x64):
    logits = jnp.asarray([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [-1e4, -1e4]], dtype)
    labels = jnp.asarray([[1, 0], [1, 0], [0, 1], [0.5, 0.5]], dtype)
    losses, derivative = CRITERIA[name](logits, labels), CRITERIA[name].derivative(logits, labels)
    np.testing.assert_allclose(losses, VALUES[name](np.float64(logits), np.float64(labels)), rtol=1e-6)
    assert np.isfinite(derivative).all()
    assert np.isfinite(jax.grad(lambda o: CRITERIA[name](o, labels).sum())(logits)).all()


@pytest.mark.parametrize(("dtype", "largest"), [("float32", 88.0), ("float64", 709.0)])
def test_poisson_is_finite_wherever_exp_is(dtype, largest, x64):
    log_rate, counts = jnp.asarray([[largest], [-1e4]], dtype), jnp.asarray([[3], [3]], dtype)
    assert np.isfinite(poisson(log_rate, counts)).all()
    assert np.isfinite(poisson.derivative(log_rate, counts)).all()


def test_a_confident_and_right_logit_keeps_its_small_gradient():
    derivative = CRITERIA["sigmoid_binary_cross_entropy"].derivative
    np.testing.assert_allclose(derivative(jnp.full((1, 1), 30.0), jnp.ones((1, 1))), -np.exp(-30.0), rtol=1e-5)


def test_huber_does_not_overflow_where_its_square_would():
    o, y = jnp.asarray([[1e30]]), jnp.zeros((1, 1))
    assert huber_loss(o, y) == jnp.float32(1e30)
    assert jax.grad(lambda o: huber_loss(o, y).sum())(o) == 1


@pytest.mark.parametrize("edge", [-1.0, 1.0])
def test_huber_is_smooth_at_its_edges(edge):
    o, y = jnp.full((1, 1), edge), jnp.zeros((1, 1))
    assert huber_loss(o, y) == 0.5
    assert huber_loss.derivative(o, y) == edge
    assert jax.grad(lambda o: huber_loss(o, y).sum())(o) == edge


def test_ours_can_be_pickled():
    for criterion in CRITERIA.values():
        assert pickle.loads(pickle.dumps(criterion)) == criterion


def test_a_criterion_is_hashable_and_predicts_its_outputs_unless_told_otherwise():
    own = Criterion(squared_error.fn, squared_error.derivative)
    assert own == Criterion(squared_error.fn, squared_error.derivative)
    assert hash(own) == hash(squared_error)
    assert own.predict(jnp.asarray(3.0)) == 3
