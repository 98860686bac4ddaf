"""A prediction interval is as wide as residuals are where the prediction is, and covers what it says."""

import itertools

import numpy as np
import pytest
from helpers import problem

from jaxmlp import Model, predict
from jaxmlp.models import Interval, measure_interval
from jaxmlp.models.interval import cross_fit_interval

PARAMS, X, _, _ = problem((3, 1))


def residuals(n, seed):
    """Predictions, and targets whose distance from them grows with the prediction; skewed, and never negative."""
    rng = np.random.default_rng(seed)
    prediction = rng.uniform(1, 20, n)
    return prediction, prediction * rng.gamma(9, 1 / 9, n)


def test_each_quarter_of_the_predictions_is_covered():
    prediction, target = residuals(2000, seed=0)
    interval = measure_interval(prediction, target)
    for new, y, ends in (
        (*residuals(4000, seed=1), interval.ends(residuals(4000, seed=1)[0])),
        (prediction, target, cross_fit_interval(prediction, target, np.arange(2000) % 5)),
    ):
        low, high = ends
        order = np.argsort(new)
        for quarter in np.array_split(order, 4):
            assert 0.85 <= np.mean((low[quarter] <= y[quarter]) & (y[quarter] <= high[quarter])) <= 0.95
        wide = (high - low)[order]
        assert wide[-1] > 4 * wide[0]


def test_the_ends_are_quantiles_of_residuals_times_their_size_between_the_knots():
    interval = Interval((0.0, 10.0), (1.0, 3.0), (-2.0, -1.0, 0.0, 1.0, 6.0))
    low, high = interval.ends(np.array([-5.0, 0.0, 5.0, 99.0]), 0.5)
    np.testing.assert_allclose(low, [-6, -1, 3, 96])
    np.testing.assert_allclose(high, [-4, 1, 7, 102])
    low, high = interval.ends(np.array([5.0]))  # 90 %
    np.testing.assert_allclose([low[0], high[0]], [5 - 2 * 1.8, 5 + 2 * 5])


def test_a_larger_coverage_holds_the_smaller_one():
    prediction, target = residuals(500, seed=0)
    interval = measure_interval(prediction, target)
    ends = [interval.ends(prediction, coverage) for coverage in (0.001, 0.5, 0.8, 0.9, 0.99, 0.999)]
    for (low, high), (lower, higher) in itertools.pairwise(ends):
        assert (lower <= low).all()
        assert (low <= high).all()
        assert (high <= higher).all()


def test_no_end_is_negative_if_no_target_was():
    prediction, target = residuals(500, seed=0)
    interval = measure_interval(prediction, target)
    assert interval.floor == 0
    low, high = interval.ends(np.array([-100.0, 0.0, 0.1]))
    np.testing.assert_array_equal(low, 0)
    assert (high >= 0).all()
    shifted = measure_interval(prediction - 5, target - 5)
    assert shifted.floor is None
    assert shifted.ends(np.array([-5.0]))[0] < -5


@pytest.mark.parametrize("n", [1, 59, 500])
def test_equal_predictions_and_exact_ones_have_an_interval(n):
    for value in np.linspace(0.1, 0.9, 20):  # whose means in bins differ in the last bit
        prediction = np.full(n, value)
        low, high = measure_interval(prediction, prediction + np.linspace(-1, 1, n)).ends(prediction)
        assert (low <= high).all()
        low, high = measure_interval(prediction, prediction).ends(prediction)
        np.testing.assert_allclose([low, high], value, atol=1e-9)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (((0.0, 1.0), (1.0,), (0.0, 1.0)), "must have a size for each knot, and at least two quantiles"),
        (((), (), (0.0, 1.0)), "must have a size for each knot, and at least two quantiles"),
        (((0.0,), (1.0,), (0.0,)), "must have a size for each knot, and at least two quantiles"),
        (((1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), "knots and quantiles must be in order, and sizes not negative"),
        (((0.0,), (1.0,), (1.0, 0.0)), "knots and quantiles must be in order, and sizes not negative"),
        (((0.0,), (-1.0,), (0.0, 1.0)), "knots and quantiles must be in order, and sizes not negative"),
    ],
)
def test_an_interval_whose_parts_do_not_fit_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        Interval(*parts)


def test_predict_returns_the_ends_of_the_interval():
    model = Model(PARAMS, interval=Interval((-1.0, 1.0), (1.0, 2.0), (-1.0, 0.0, 3.0)))
    mean, low, high = predict(model, X, interval=0.9)
    assert mean.shape == low.shape == high.shape == (len(X), 1)
    np.testing.assert_array_equal(mean, predict(model, X))
    assert model.interval is not None
    np.testing.assert_array_equal(np.hstack([low, high]), np.stack(model.interval.ends(mean[:, 0], 0.9), axis=1))
    _, inner, outer = predict(model, X, interval=0.5)
    assert ((low < inner) & (outer < high)).all()
    with pytest.raises(ValueError, match="interval must be None: the model has no prediction interval"):
        predict(Model(PARAMS), X, interval=0.9)
    for coverage in (0, 1, -0.5, 90, float("nan")):
        with pytest.raises(ValueError, match=f"coverage of an interval must be between 0 and 1; got {coverage}"):
            predict(model, X, interval=coverage)
