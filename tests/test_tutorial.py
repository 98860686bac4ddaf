"""The tutorial on one page, against its NumPy transcription and against the package."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, relative_error, run
from reference import numpy_epoch, numpy_tutorial, tutorial_problem

import jaxmlp
from jaxmlp.tutorial import EPOCHS, LEARNING_RATE, SIZES, init_weights, tutorial, tutorial_epoch, tutorial_step

pytestmark = pytest.mark.core


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_two_hundred_epochs_equal_the_numpy_transcription(dtype, tolerance, x64):
    weights, x, y = tutorial_problem()
    expected_losses, expected = numpy_tutorial(*weights, x, y)
    weights, x, y = jax.tree.map(lambda v: jnp.asarray(v, dtype), (weights, x, y))
    with jax.default_matmul_precision("highest"):  # By default, accelerators round the inputs of a product.
        trained, losses = jax.jit(tutorial)(weights, x, y, jnp.asarray(1e-4, dtype))
    np.testing.assert_allclose(losses, expected_losses, rtol=tolerance)
    for leaf, other in zip(trained, expected, strict=True):
        assert relative_error(leaf, other) < tolerance


def test_an_epoch_holds_every_number_by_its_name(x64):
    weights, x, y = tutorial_problem()
    epoch, expected = jax.jit(tutorial_epoch)(weights, x, y), numpy_epoch(*weights, x, y)
    assert epoch._fields == tuple(expected)
    for name, value in expected.items():
        assert relative_error(getattr(epoch, name), value) < 1e-13, name


def test_a_step_equals_train_step():
    x, y = jaxmlp.synthetic_regression(jax.random.key(0))
    params = jaxmlp.init_params(jax.random.key(1), SIZES)
    weights, loss = run(tutorial_step, (*params[0], *params[1]), x, y)
    stepped, expected_loss = jaxmlp.train_step(params, x, y, LEARNING_RATE)
    assert_close((jaxmlp.Layer(*weights[:2]), jaxmlp.Layer(*weights[2:])), stepped, 1e-6)
    assert relative_error(loss, expected_loss) < 1e-6


def test_synthetic_regression_has_the_tutorials_shapes_and_coefficients():
    x, y = jaxmlp.synthetic_regression(jax.random.key(0))
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((100, 3), (100, 1), jnp.float32, jnp.float32)
    x, y = (np.asarray(v, np.float64) for v in jaxmlp.synthetic_regression(jax.random.key(0), 20_000))
    coefficients, residuals, *_ = np.linalg.lstsq(x, y)
    np.testing.assert_allclose(coefficients[:, 0], [0.2, -1.3, -0.5], atol=0.03)
    np.testing.assert_allclose(residuals / 20_000, 1, atol=0.03)
    np.testing.assert_allclose([x.mean(), x.std()], [0, 1], atol=0.03)


def test_weights_are_standard_normal_and_biases_zero():
    w1, b1, w2, b2 = init_weights(jax.random.key(0))
    assert [w.shape for w in (w1, b1, w2, b2)] == [(3, 32), (1, 32), (32, 1), (1, 1)]
    assert not np.any(b1)
    assert not np.any(b2)
    weights = np.concatenate([np.ravel(w) for k in range(40) for w in init_weights(jax.random.key(k))[::2]])
    np.testing.assert_allclose([weights.mean(), weights.std()], [0, 1], atol=0.04)
    assert (LEARNING_RATE, EPOCHS, SIZES) == (1e-4, 200, (3, 32, 1))


def test_data_and_noise_come_from_different_keys():
    x, y = jaxmlp.synthetic_regression(jax.random.key(3))
    noise = y - x @ jnp.asarray([[0.2], [-1.3], [-0.5]])
    assert np.abs(np.corrcoef(np.hstack([x, noise]).T) - np.eye(4)).max() < 0.35
