"""Metrics: scikit-learn's numbers."""

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
RATES = RNG.uniform(0.5, 4, size=(N, 1)).astype(np.float32)
YES = (RNG.uniform(size=(N, 1)) < 0.5).astype(np.float32)


def root_mean_squared_error(y, predictions, sample_weight):
    # scikit-learn averages the roots of several outputs, and we the squares.
    return np.sqrt(sklearn.metrics.mean_squared_error(y, predictions, sample_weight=sample_weight))


CASES = {
    "root_mean_squared_error": (root_mean_squared_error, *NUMBERS, *NUMBERS),
    "r2_score": (sklearn.metrics.r2_score, *NUMBERS, *NUMBERS),
    "accuracy_score": (sklearn.metrics.accuracy_score, PROBABILITIES, ONE_HOT, PROBABILITIES.argmax(1), CLASSES),
    "log_loss": (sklearn.metrics.log_loss, PROBABILITIES, ONE_HOT, PROBABILITIES, CLASSES),
    "mean_poisson_deviance": (sklearn.metrics.mean_poisson_deviance, RATES, COUNTS, RATES, COUNTS),
}
YES_OR_NO = {
    "accuracy_score": (sklearn.metrics.accuracy_score, PROBABILITIES[:, :1], YES, PROBABILITIES[:, 0] > 0.5, YES[:, 0]),
    "log_loss": (sklearn.metrics.log_loss, PROBABILITIES[:, :1], YES, PROBABILITIES[:, 0], YES[:, 0]),
}


@pytest.mark.parametrize(("name", "case"), [*CASES.items(), *YES_OR_NO.items()])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_a_metric_is_scikit_learns(name, case, weights):
    theirs, predictions, y, their_predictions, their_y = case
    ours = run(getattr(metrics, name), predictions, y, weights)
    np.testing.assert_allclose(ours, theirs(their_y, their_predictions, sample_weight=weights), rtol=1e-5)


def test_labels_are_right_one_by_one():
    np.testing.assert_allclose(
        run(metrics.label_accuracy, PROBABILITIES, ONE_HOT, None),
        np.mean((PROBABILITIES > 0.5) == (ONE_HOT > 0.5)),
        1e-6,
    )


def test_sure_and_wrong_is_a_finite_log_loss():
    assert np.isfinite(run(metrics.log_loss, ONE_HOT[:, ::-1].copy(), ONE_HOT, None))
