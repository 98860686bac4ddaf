"""Activations and their derivatives, against SciPy's formulas and against jax.grad."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALL_ACTIVATIONS
from scipy import special, stats

from jaxmlp.activations import ACTIVATIONS, Activation, relu

pytestmark = pytest.mark.core

H = np.concatenate([np.linspace(-6, 6, 49), [-30.0, -12.5, 12.5, 30.0]])

VALUES = {
    "identity": lambda h: h,
    "relu": lambda h: np.maximum(h, 0),
    "tanh": lambda h: np.sinh(h) / np.cosh(h),
    "sigmoid": special.expit,
    "gelu": lambda h: h * stats.norm.cdf(h),
    "silu": lambda h: h * special.expit(h),
}


@pytest.mark.parametrize("name", ALL_ACTIVATIONS)
def test_the_value_is_scipys(name, x64):
    # Entry by entry, so that the tails count as much as the middle.
    np.testing.assert_allclose(ACTIVATIONS[name](jnp.asarray(H)), VALUES[name](H), rtol=1e-12)


@pytest.mark.parametrize("name", ALL_ACTIVATIONS)
def test_the_derivative_is_jax_grads_in_the_tails_too(name, x64):
    activation = ACTIVATIONS[name]
    expected = jax.vmap(jax.grad(activation.fn))(jnp.asarray(H))
    # An absolute floor of 1e-15: autodiff's own 1 - t² of tanh has lost its digits at 30.
    np.testing.assert_allclose(activation.derivative(jnp.asarray(H)), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ALL_ACTIVATIONS)
def test_value_and_derivative_stay_finite_far_out(name):
    far = jnp.asarray([-1e4, -200.0, 200.0, 1e4], jnp.float32)
    assert np.isfinite(ACTIVATIONS[name](far)).all()
    assert np.isfinite(ACTIVATIONS[name].derivative(far)).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("name", ALL_ACTIVATIONS)
def test_shape_and_dtype_are_kept(name, dtype):
    h = jnp.ones((2, 3), dtype)
    for result in (ACTIVATIONS[name](h), ACTIVATIONS[name].derivative(h)):
        assert (result.shape, result.dtype) == (h.shape, h.dtype)


def test_relu_passes_the_gradient_at_zero_as_the_tutorial_does():
    assert relu.derivative(jnp.zeros(())) == 1
    assert jax.grad(relu.fn)(jnp.zeros(())) == 1
    assert relu.derivative(jnp.asarray(-1e-30)) == 0


def test_an_activation_is_hashable_and_equal_by_its_functions():
    assert Activation(jnp.sin, jnp.cos) == Activation(jnp.sin, jnp.cos)
    assert len({Activation(jnp.sin, jnp.cos), Activation(jnp.sin, jnp.cos)}) == 1
    assert Activation(jnp.sin, jnp.cos) != Activation(jnp.sin, jnp.sin)


def test_ours_can_be_pickled():
    for activation in ACTIVATIONS.values():
        assert pickle.loads(pickle.dumps(activation)) == activation


def test_calling_an_activation_calls_its_function():
    assert Activation(jnp.sin, jnp.cos)(jnp.asarray(1.0)) == jnp.sin(1.0)
