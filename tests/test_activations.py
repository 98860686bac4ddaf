"""Activations and their derivatives, against SciPy's formulas and against jax.grad."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALL_ACTIVATIONS, run
from scipy import special, stats

from jaxmlp.activations import ACTIVATIONS, Activation, relu

pytestmark = pytest.mark.core

H = np.concatenate([np.linspace(-6, 6, 49), [-30.0, -12.5, 12.5, 30.0]])
FAR = np.array([-1e4, -200.0, 200.0, 1e4])

VALUES = {
    "identity": lambda h: h,
    "relu": lambda h: np.maximum(h, 0),
    "tanh": lambda h: np.sinh(h) / np.cosh(h),
    "sigmoid": special.expit,
    "gelu": lambda h: h * stats.norm.cdf(h),
    "silu": lambda h: h * special.expit(h),
}


@functools.cache
def computed(dtype):
    """(values, derivatives, jax.grad's) at H and at FAR, by name, as one program."""

    def compute(*places):
        return {
            name: [(f(h), f.derivative(h), jax.vmap(jax.grad(f.fn))(h)) for h in places]
            for name, f in ACTIVATIONS.items()
        }

    with jax.enable_x64(True):
        return run(compute, jnp.asarray(H, dtype), jnp.asarray(FAR, dtype))


@pytest.mark.parametrize("name", ALL_ACTIVATIONS)
def test_the_value_is_scipys(name):
    # Entry by entry, so that the tails count as much as the middle.
    np.testing.assert_allclose(computed("float64")[name][0][0], VALUES[name](H), rtol=1e-12)


@pytest.mark.parametrize("name", ALL_ACTIVATIONS)
def test_the_derivative_is_jax_grads_in_the_tails_too(name):
    _, derivative, autodiff = computed("float64")[name][0]
    # An absolute floor of 1e-15: autodiff's own 1 - t² of tanh has lost its digits at 30.
    np.testing.assert_allclose(derivative, autodiff, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ALL_ACTIVATIONS)
def test_value_and_derivative_stay_finite_far_out(name):
    value, derivative, _ = computed("float32")[name][1]
    assert np.isfinite(value).all()
    assert np.isfinite(derivative).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("name", ALL_ACTIVATIONS)
def test_shape_and_dtype_are_kept(name, dtype):
    h = jax.ShapeDtypeStruct((2, 3), dtype)
    for function in (ACTIVATIONS[name], ACTIVATIONS[name].derivative):
        result = jax.eval_shape(function, h)
        assert (result.shape, result.dtype) == (h.shape, h.dtype)


def test_relu_passes_the_gradient_at_zero_as_the_tutorial_does():
    h = jnp.asarray([0, -1e-30], jnp.float32)
    by_hand, autodiff = run(lambda h: (relu.derivative(h), jax.vmap(jax.grad(relu.fn))(h)), h)
    assert by_hand.tolist() == autodiff.tolist() == [1, 0]


def test_an_activation_is_hashable_and_equal_by_its_functions():
    assert Activation(jnp.sin, jnp.cos) == Activation(jnp.sin, jnp.cos)
    assert len({Activation(jnp.sin, jnp.cos), Activation(jnp.sin, jnp.cos)}) == 1
    assert Activation(jnp.sin, jnp.cos) != Activation(jnp.sin, jnp.sin)


def test_ours_can_be_pickled():
    for activation in ACTIVATIONS.values():
        assert pickle.loads(pickle.dumps(activation)) == activation


def test_calling_an_activation_calls_its_function():
    assert Activation(jnp.sin, jnp.cos)(jnp.asarray(1.0)) == jnp.sin(1.0)


def test_a_pair_that_holds_no_functions_is_refused():
    for pair in ((jnp.sin, None), ("sin", jnp.cos), (None, None)):
        with pytest.raises(TypeError, match="Activation must hold two functions"):
            Activation(*pair)
