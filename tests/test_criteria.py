"""Criteria and their derivatives, against NumPy's formulas and against jax.grad."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALL_CRITERIA, relative_error, run, targets
from scipy import special

from jaxmlp.criteria import CRITERIA, Criterion, huber_loss, poisson_nll_loss, squared_error

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
    "poisson_nll_loss": lambda o, y: (np.exp(o) - y * o).sum(1),
}

PREDICTIONS = {
    "squared_error": lambda o: o,
    "huber_loss": lambda o: o,
    "sigmoid_binary_cross_entropy": special.expit,
    "softmax_cross_entropy": lambda o: special.softmax(o, axis=1),
    "poisson_nll_loss": np.exp,
}


@functools.cache
def computed():
    """(targets, losses, derivatives, jax.grad's, predictions) at OUTPUTS by name, float64, as one program."""

    def compute(o, ys):
        return {
            name: (y, f(o, y), f.derivative(o, y), jax.grad(lambda o, f=f, y=y: f(o, y).sum())(o), f.predict(o))
            for (name, f), y in zip(CRITERIA.items(), ys, strict=True)
        }

    with jax.enable_x64(True):
        return run(compute, OUTPUTS, [targets(name, OUTPUTS.shape) for name in CRITERIA])


@pytest.mark.parametrize("name", ALL_CRITERIA)
def test_the_loss_of_a_row_is_numpys(name):
    y, losses, *_ = computed()[name]
    assert relative_error(losses, VALUES[name](OUTPUTS, np.asarray(y))) < 1e-14


@pytest.mark.parametrize("name", ALL_CRITERIA)
def test_the_derivative_is_jax_grads(name):
    _, _, derivative, autodiff, _ = computed()[name]
    assert relative_error(derivative, autodiff) < 1e-14


@pytest.mark.parametrize("name", ALL_CRITERIA)
def test_the_prediction_is_what_the_outputs_mean(name):
    assert relative_error(computed()[name][-1], PREDICTIONS[name](OUTPUTS)) < 1e-14


def with_autodiff(criterion):
    """The losses, the derivative, and jax.grad's."""
    return lambda o, y: (criterion(o, y), criterion.derivative(o, y), jax.grad(lambda o: criterion(o, y).sum())(o))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sigmoid_binary_cross_entropy", "softmax_cross_entropy"])
def test_cross_entropies_stay_finite_and_right_for_huge_logits(name, dtype, x64):
    logits = np.asarray([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [-1e4, -1e4]], dtype)
    labels = np.asarray([[1, 0], [1, 0], [0, 1], [0.5, 0.5]], dtype)
    losses, derivative, autodiff = run(with_autodiff(CRITERIA[name]), logits, labels)
    np.testing.assert_allclose(losses, VALUES[name](np.float64(logits), np.float64(labels)), rtol=1e-6)
    assert np.isfinite(derivative).all()
    assert np.isfinite(autodiff).all()


@pytest.mark.parametrize(("dtype", "largest"), [("float32", 88.0), ("float64", 709.0)])
def test_poisson_is_finite_wherever_exp_is(dtype, largest, x64):
    log_rate, counts = np.asarray([[largest], [-1e4]], dtype), np.asarray([[3], [3]], dtype)
    for result in run(with_autodiff(poisson_nll_loss), log_rate, counts):
        assert np.isfinite(result).all()


def test_a_confident_and_right_logit_keeps_its_small_gradient():
    derivative = CRITERIA["sigmoid_binary_cross_entropy"].derivative
    result = run(derivative, np.full((1, 1), 30, np.float32), np.ones((1, 1), np.float32))
    np.testing.assert_allclose(result, -np.exp(-30.0), rtol=1e-5)


def test_huber_is_smooth_at_its_edges_and_does_not_overflow_where_its_square_would():
    o = np.asarray([[-1], [1], [1e30]], np.float32)
    losses, derivative, autodiff = run(with_autodiff(huber_loss), o, np.zeros((3, 1), np.float32))
    assert losses.tolist() == [0.5, 0.5, np.float32(1e30)]
    assert derivative.tolist() == autodiff.tolist() == [[-1], [1], [1]]


def test_ours_can_be_pickled():
    for criterion in CRITERIA.values():
        assert pickle.loads(pickle.dumps(criterion)) == criterion


def test_a_criterion_is_hashable_and_predicts_its_outputs_unless_told_otherwise():
    own = Criterion(squared_error.fn, squared_error.derivative)
    assert own == Criterion(squared_error.fn, squared_error.derivative)
    assert hash(own) == hash(squared_error)
    assert own.predict(jnp.asarray(3.0)) == 3


def test_a_criterion_that_holds_no_functions_is_refused():
    for functions in (("mse", jnp.sin), (jnp.sin, None), (jnp.sin, jnp.sin, None)):
        with pytest.raises(TypeError, match="Criterion must hold functions"):
            Criterion(*functions)
