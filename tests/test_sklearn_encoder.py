"""`PiecewiseLinearEncoder`: scikit-learn's checks, its definition, and its place in a pipeline."""

import jax.numpy as jnp
import numpy as np
import polars
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxmlp.fitting.encoding import REACH, piecewise_linear
from jaxmlp.sklearn import MLPRegressor, PiecewiseLinearEncoder

RNG = np.random.default_rng(0)
# Skewed numbers, few different ones, and a constant.
X = np.column_stack([RNG.lognormal(size=90), RNG.integers(4, size=90), np.full(90, 7.0)])


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([PiecewiseLinearEncoder()])
def test_it_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_rows_are_encoded_in_bins_at_quantiles_of_the_training_rows():
    encoder = PiecewiseLinearEncoder(n_bins=4).fit(X)
    np.testing.assert_allclose(encoder.edges_[0], np.quantile(X[:, 0], [0, 0.25, 0.5, 0.75, 1]))
    np.testing.assert_array_equal(encoder.edges_[1], [0, 1, 2, 3])
    got = encoder.transform([[encoder.edges_[0][2], 1.5, 8.0], [-1e300, 1e300, 7.0]])
    np.testing.assert_array_equal(got, [[1, 1, 0, 0, 1, 0.5, 0], [-REACH, 0, 0, 0, 1, 1, 1 + REACH]])


def test_it_is_the_encoding_of_networks_in_the_dtype_of_the_rows():
    encoder = PiecewiseLinearEncoder(n_bins=6).fit(X)
    expected = piecewise_linear(jnp.asarray(encoder.edges_[0][None], jnp.float32), jnp.asarray(X[:, :1], jnp.float32))
    single, double = encoder.transform(X.astype(np.float32)), encoder.transform(X)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single[:, :6], expected[:, 0], rtol=1e-5, atol=1e-6)
    # All digits of float64: the components times the widths add up to the number.
    np.testing.assert_allclose(
        encoder.edges_[0][0] + double[:, :6] @ np.diff(encoder.edges_[0]), X[:, 0], rtol=1e-14, atol=0
    )


def test_columns_are_named_by_feature_and_bin():
    encoder = PiecewiseLinearEncoder(n_bins=2).fit(X)
    assert encoder.get_feature_names_out().tolist() == ["x0_bin_0", "x0_bin_1", "x1_bin_0", "x1_bin_1"]
    frame = polars.DataFrame(X, schema=["income", "rooms", "year"])
    encoder = PiecewiseLinearEncoder(n_bins=1).set_output(transform="polars").fit(frame)
    assert encoder.transform(frame).columns == ["income_bin_0", "rooms_bin_0"]


@pytest.mark.parametrize(
    ("n_bins", "rows", "error", "message"),
    [
        (0, X, ValueError, "n_bins must be a whole number of at least 1; got 0"),
        (2.5, X, TypeError, "n_bins must be a whole number"),
        (2, np.where(X > 2, np.nan, X), ValueError, "Input X contains NaN"),
        (2, np.ma.array(X, mask=X > 2), ValueError, "X must not be a masked array"),
    ],
)
def test_what_is_refused(n_bins, rows, error, message):
    with pytest.raises(error, match=message):
        PiecewiseLinearEncoder(n_bins=n_bins).fit(rows)
    with pytest.raises(NotFittedError):
        PiecewiseLinearEncoder().transform(X)


@pytest.mark.extended
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_pipeline_with_bins_learns_a_step_that_a_linear_model_cannot():
    y = np.where(X[:, 0] > 1, 1.0, -1.0)
    model = MLPRegressor(
        hidden_layer_sizes=(), solver="sgd", learning_rate_init=0.05, max_iter=40, tol=0, random_state=0
    )
    linear = make_pipeline(StandardScaler(), model).fit(X, y).score(X, y)
    binned = make_pipeline(StandardScaler(), PiecewiseLinearEncoder(), model).fit(X, y).score(X, y)
    assert binned > 0.9
    assert linear < 0.5
