"""Metrics agree with scikit-learn's, for JAX and NumPy arrays."""

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from helpers import run

from jaxmlp.fitting import metrics

pytestmark = pytest.mark.portable

RNG = np.random.default_rng(0)
N = 30
WEIGHTS = RNG.uniform(0.5, 2, N).astype(np.float32)
NUMBERS = RNG.normal(size=(2, N, 2)).astype(np.float32)
SCORES = RNG.normal(size=(N, 3))
PROBABILITIES = (np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)).astype(np.float32)
CLASSES = RNG.integers(0, 3, N)
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]
COUNTS = RNG.poisson(2.0, size=(N, 1)).astype(np.float32)
MEANS = RNG.uniform(0.5, 4, size=(N, 1)).astype(np.float32)
YES = (RNG.uniform(size=(N, 1)) < 0.5).astype(np.float32)


def root_mean_squared_error(y, predictions, sample_weight):
    # scikit-learn averages the roots of several outputs, and we the squares.
    return np.sqrt(sklearn.metrics.mean_squared_error(y, predictions, sample_weight=sample_weight))


CASES = {
    "root_mean_squared_error": (root_mean_squared_error, *NUMBERS, *NUMBERS),
    "r2_score": (sklearn.metrics.r2_score, *NUMBERS, *NUMBERS),
    "accuracy_score": (sklearn.metrics.accuracy_score, PROBABILITIES, ONE_HOT, PROBABILITIES.argmax(1), CLASSES),
    "log_loss": (sklearn.metrics.log_loss, PROBABILITIES, ONE_HOT, PROBABILITIES, CLASSES),
    "mean_poisson_deviance": (sklearn.metrics.mean_poisson_deviance, MEANS, COUNTS, MEANS, COUNTS),
}
YES_OR_NO = {
    "accuracy_score": (sklearn.metrics.accuracy_score, PROBABILITIES[:, :1], YES, PROBABILITIES[:, 0] > 0.5, YES[:, 0]),
    "log_loss": (sklearn.metrics.log_loss, PROBABILITIES[:, :1], YES, PROBABILITIES[:, 0], YES[:, 0]),
}


@pytest.mark.parametrize(("name", "case"), [*CASES.items(), *YES_OR_NO.items()])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_a_metric_agrees_with_scikit_learn(name, case, weights):
    reference, predictions, y, their_predictions, their_y = case
    expected = reference(their_y, their_predictions, sample_weight=weights)
    metric = getattr(metrics, name)
    np.testing.assert_allclose(run(metric, predictions, y, weights), expected, rtol=1e-5)
    in_float64 = [None if values is None else values.astype(np.float64) for values in (predictions, y, weights)]
    value = metric(*in_float64)
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_label_accuracy_counts_labels_and_all_labels_right_counts_rows():
    right = (PROBABILITIES > 0.5) == (ONE_HOT > 0.5)
    np.testing.assert_allclose(run(metrics.label_accuracy, PROBABILITIES, ONE_HOT, None), np.mean(right), 1e-6)
    np.testing.assert_allclose(
        run(metrics.all_labels_right, PROBABILITIES, ONE_HOT, WEIGHTS),
        np.average(right.all(axis=1), weights=WEIGHTS),
        1e-6,
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float32, np.float64])
def test_a_wrong_prediction_of_probability_1_has_a_finite_log_loss(dtype, x64):
    wrong, y = jnp.asarray(ONE_HOT[:, ::-1], dtype), jnp.asarray(ONE_HOT, dtype)
    value = run(metrics.log_loss, wrong, y, None)
    assert value.dtype == dtype
    assert np.isfinite(value)
    assert np.isfinite(run(metrics.mean_poisson_deviance, 0 * y, y, None))


def test_row_errors_take_leading_axes():
    for row_error in (metrics.row_squared_error, metrics.row_log_loss, metrics.row_label_log_loss):
        errors = row_error(np.stack([PROBABILITIES, PROBABILITIES[::-1]]), ONE_HOT)
        assert errors.shape == (2, N)
        np.testing.assert_array_equal(errors[1], row_error(PROBABILITIES[::-1], ONE_HOT))
