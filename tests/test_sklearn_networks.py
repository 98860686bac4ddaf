"""After a change of the import, the estimators do what scikit-learn's networks do: number by number where no order of
rows is drawn, and in each behaviour that scikit-learn tests of its own."""

import warnings

import jax
import joblib
import numpy as np
import pytest
import scipy.sparse
import sklearn
import sklearn.neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import log_loss

import jaxmlp
from jaxmlp.sklearn import MLPClassifier, MLPRegressor, rows
from jaxmlp.sklearn.lbfgs import _loss_and_gradient
from jaxmlp.sklearn.losses import half_poisson_deviance

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.skipif(sklearn.__version__ < "1.7", reason="the networks of scikit-learn 1.6 differ"),
]

RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 5))
Y = X[:, 0] - X[:, 1] * X[:, 2]
BINARY = Y > 0
CLASSES = np.array(["high", "low", "middle"])[np.digitize(Y, [-0.5, 0.5])]
LABELS = np.stack([BINARY, X[:, 3] > 0], axis=1).astype(int)
SETTINGS = {"random_state": 0, "hidden_layer_sizes": (9,)}
# The rows of a batch in their own order: nothing but the initial weights and the validation rows is random.
IN_ORDER = SETTINGS | {"shuffle": False, "batch_size": 25}
SGD = IN_ORDER | {"solver": "sgd", "learning_rate_init": 0.05}
EARLY = {"early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": 3}


def fit_both(kind, y, *, calls=("fit",), **settings):
    """Return our estimator and scikit-learn's after the same calls, and the warnings of each."""
    estimators = kind(**settings), getattr(sklearn.neural_network, kind.__name__)(**settings)
    names = []
    for model in estimators:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for call in calls:
                options = {"classes": np.unique(y)} if call == "partial_fit" and kind is MLPClassifier else {}
                getattr(model, call)(X, y, **options)
        names.append({warning.category.__name__ for warning in caught})
    return *estimators, *names


CASES = {
    "mini-batches": (MLPRegressor, Y, IN_ORDER | {"max_iter": 9}),
    "no convergence": (MLPClassifier, CLASSES, IN_ORDER | {"max_iter": 9, "n_iter_no_change": np.inf}),
    "tolerance": (MLPClassifier, BINARY, SETTINGS | {"tol": 0.5, "n_iter_no_change": 2}),
    "tolerance 0": (MLPClassifier, CLASSES, IN_ORDER | EARLY | {"tol": 0, "max_iter": 60, "learning_rate_init": 0.1}),
    "constant": (MLPRegressor, Y, SGD | {"max_iter": 30}),
    "invscaling": (MLPRegressor, Y, SGD | {"learning_rate": "invscaling", "power_t": 0.3, "max_iter": 30}),
    "adaptive": (MLPRegressor, Y, SGD | {"learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2}),
    "without Nesterov": (
        MLPRegressor, Y,
        SGD | {"learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2, "nesterovs_momentum": False},
    ),
    "early stopping": (MLPRegressor, Y, IN_ORDER | EARLY | {"tol": 0.01}),
    "early stopping of classes": (MLPClassifier, CLASSES, IN_ORDER | EARLY),
    "early stopping of two classes": (MLPClassifier, BINARY, IN_ORDER | EARLY),
    "early stopping of labels": (MLPClassifier, LABELS, IN_ORDER | EARLY),
    "adaptive with early stopping": (MLPRegressor, Y, SGD | EARLY | {"learning_rate": "adaptive", "tol": 0.05}),
    "counts": (MLPRegressor, np.abs(Y).round(), SETTINGS | {"loss": "poisson", "max_iter": 30}),
    "one class": (MLPClassifier, np.ones(60), SETTINGS | {"max_iter": 20}),
    "constant targets": (MLPRegressor, np.ones(60), IN_ORDER | EARLY),
    "small targets": (MLPRegressor, Y * 1e-50, SETTINGS | {"max_iter": 9}),
    "lbfgs": (MLPRegressor, Y, SETTINGS | {"solver": "lbfgs", "max_iter": 25}),
    "lbfgs of labels": (MLPClassifier, LABELS, SETTINGS | {"solver": "lbfgs", "max_iter": 25}),
    "max_fun": (MLPClassifier, CLASSES, SETTINGS | {"solver": "lbfgs", "max_fun": 10}),
    "tolerance of lbfgs": (MLPRegressor, Y, SETTINGS | {"solver": "lbfgs", "tol": 0.05}),
}  # fmt: skip


def assert_same(ours, theirs):
    """Assert that two estimators have the same public attributes."""
    names = {name for name in vars(theirs) if name.endswith("_") and not name.startswith("_")}
    assert names <= {name for name in dir(ours) if hasattr(ours, name)}
    for name in names:
        mine, expected = getattr(ours, name), getattr(theirs, name)
        if name in ("n_iter_", "t_", "out_activation_", "n_layers_", "n_outputs_", "n_features_in_"):
            assert mine == expected, name
        elif name == "classes_":
            np.testing.assert_array_equal(mine, expected)
        elif expected is None:
            assert mine is None, name
        else:
            pairs = zip(mine, expected, strict=True) if name in ("coefs_", "intercepts_") else [(mine, expected)]
            for a, b in pairs:
                np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", CASES)
def test_every_number_is_that_of_scikit_learn(case):
    kind, y, settings = CASES[case]
    ours, theirs, warned, expected = fit_both(kind, y, **settings)
    assert_same(ours, theirs)
    assert warned == expected
    np.testing.assert_allclose(ours.score(X, y), theirs.score(X, y), rtol=1e-6)
    for x in (X, X.astype(np.float32)):
        mine, reference = ours.predict(x), theirs.predict(x)
        assert mine.dtype == reference.dtype
        if kind is MLPClassifier:
            np.testing.assert_array_equal(mine, reference)
            mine, reference = ours.predict_proba(x), theirs.predict_proba(x)
            assert mine.dtype == reference.dtype
        np.testing.assert_allclose(mine, reference, rtol=1e-4, atol=1e-5)


CALLS = {
    "partial_fit": (["partial_fit"] * 9, IN_ORDER),
    "partial_fit, adaptive": (
        ["partial_fit"] * 12,
        SGD | {"learning_rate": "adaptive", "tol": 9, "n_iter_no_change": 2},
    ),
    "partial_fit, invscaling": (["partial_fit"] * 5, SGD | {"learning_rate": "invscaling"}),
    "fit and partial_fit": (["fit", "partial_fit"], IN_ORDER | {"max_iter": 3}),
    "warm start": (["fit", "fit"], IN_ORDER | {"warm_start": True, "max_iter": 3}),
    "warm start, converged": (["fit", "fit"], IN_ORDER | {"warm_start": True, "tol": 0.2, "n_iter_no_change": 2}),
    "warm start, early stopping": (["fit", "fit"], IN_ORDER | EARLY | {"warm_start": True, "tol": 0.05}),
    "warm start, invscaling": (
        ["fit", "fit"],
        SGD | {"warm_start": True, "max_iter": 3, "learning_rate": "invscaling"},
    ),
    "warm start, lbfgs": (["fit", "fit"], SETTINGS | {"warm_start": True, "max_iter": 5, "solver": "lbfgs"}),
}  # fmt: skip


@pytest.mark.sampled(1)
@pytest.mark.parametrize("case", CALLS)
def test_calls_continue_as_in_scikit_learn(case):
    calls, settings = CALLS[case]
    ours, theirs, *_ = fit_both(MLPClassifier, CLASSES, calls=calls, **settings)
    assert_same(ours, theirs)


# "lbfgs".


def test_the_gradient_for_lbfgs_is_that_of_its_loss(x64):
    params = jaxmlp.init_params(jax.random.key(0), (5, 4, 1), dtype=np.float64)
    flat, weights = np.concatenate([np.ravel(v) for layer in params for v in layer]), RNG.uniform(size=60)

    def loss_and_gradient(flat):
        y = np.abs(Y)[:, None]
        return _loss_and_gradient(flat, params, X, y, weights, 0.5, jaxmlp.tanh, half_poisson_deviance)

    gradient = loss_and_gradient(flat)[1]
    steps = 1e-6 * np.eye(len(flat))
    differences = [(loss_and_gradient(flat + d)[0] - loss_and_gradient(flat - d)[0]) / 2e-6 for d in steps]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-8)


@pytest.mark.extended
def test_lbfgs_learns_several_outputs_and_members():
    y = np.stack([Y, 10 * X[:, 0]], axis=1)
    model = MLPRegressor(**SETTINGS | {"hidden_layer_sizes": 30}, solver="lbfgs", max_iter=150, n_members=2).fit(X, y)
    assert model.score(X, y) > 0.99
    assert model.coefs_[0].shape == (2, 5, 30)
    assert np.shape(model.loss_) == (2,)


def test_lbfgs_trains_with_all_rows_at_once_and_has_no_partial_fit():
    for kind in (MLPRegressor, MLPClassifier):
        assert not hasattr(kind(solver="lbfgs"), "partial_fit")
        with pytest.raises(AttributeError, match="partial_fit"):
            kind(solver="lbfgs").partial_fit(X, BINARY)
    model = MLPRegressor(**SETTINGS, max_iter=2).fit(X, Y).set_params(solver="lbfgs").fit(X, Y)
    assert not hasattr(model, "loss_curve_")
    assert not hasattr(model, "best_validation_score_")


def test_a_linear_network_of_counts_is_a_poisson_regression():
    counts = RNG.poisson(np.exp(X[:, 0]))
    network = MLPRegressor("poisson", (), alpha=0, solver="lbfgs", tol=1e-7, random_state=0)
    reference = PoissonRegressor(alpha=0, tol=1e-7).fit(X, counts)
    np.testing.assert_allclose(network.fit(X, counts).predict(X), reference.predict(X), rtol=1e-4)


# Training.


def test_a_larger_alpha_makes_smaller_weights():
    small, large = (MLPClassifier(**SETTINGS, alpha=alpha, max_iter=60).fit(X, BINARY) for alpha in (0, 10))
    assert all(np.abs(a).sum() > np.abs(b).sum() for a, b in zip(small.coefs_, large.coefs_, strict=True))


def test_an_epoch_shuffles_the_rows_unless_told_otherwise():
    first, second, in_order = (
        MLPRegressor(**IN_ORDER | {"shuffle": shuffle}, max_iter=1).fit(X, Y) for shuffle in (True, True, False)
    )
    np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])
    assert not np.array_equal(first.coefs_[0], in_order.coefs_[0])


def test_weights_of_the_user_are_trained_further():
    model = MLPClassifier(**SETTINGS).partial_fit(X, CLASSES, classes=np.unique(CLASSES))
    own = MLPClassifier(**SETTINGS)
    own.coefs_, own.intercepts_ = [w.copy() for w in model.coefs_], [b.copy() for b in model.intercepts_]
    own.partial_fit(X, CLASSES, classes=np.unique(CLASSES))
    assert own.n_iter_ == len(own.loss_curve_) == 1
    model.coefs_[0][:] = 0
    model.intercepts_[0] += 1
    assert np.ptp(model.predict_proba(X), axis=0).max() < 1e-12


@pytest.mark.extended
def test_training_that_diverges_keeps_the_best_weights_or_is_an_error():
    settings = SETTINGS | {"activation": "identity", "solver": "sgd", "learning_rate_init": 1.0}
    model = MLPRegressor(**settings, **EARLY | {"n_iter_no_change": np.inf})
    with pytest.warns(ConvergenceWarning, match="diverged in epoch"):
        model.fit(10 * X, Y)
    assert np.isnan(model.validation_scores_[-1])
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        MLPRegressor(**settings).fit(10 * X, Y)


@pytest.mark.extended
def test_early_stopping_may_watch_the_validation_loss():
    model = MLPClassifier(**SETTINGS, **EARLY, validation="loss", learning_rate_init=0.05).fit(X, CLASSES)
    losses = model.validation_loss_curve_
    assert len(losses) == model.n_iter_ < 200
    assert min(losses[-4:]) > min(losses) - 1e-4


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier])
def test_sample_weights_of_one_change_nothing(kind):
    y = Y if kind is MLPRegressor else CLASSES
    weighted, plain = (kind(**IN_ORDER, **EARLY).fit(X, y, w) for w in (np.ones(60), None))
    np.testing.assert_array_equal(weighted.coefs_[0], plain.coefs_[0])


@pytest.mark.extended
def test_a_saved_estimator_learns_on(tmp_path):
    model = MLPRegressor(**SETTINGS, learning_rate_init=0.01, max_iter=50).fit([[2.0]], [4.0])
    joblib.dump(model, tmp_path / "model")
    model = joblib.load(tmp_path / "model")
    for _ in range(200):
        model.partial_fit([[2.0]], [1.0])
    np.testing.assert_allclose(model.predict([[2.0]]), [1.0], rtol=1e-2)


@pytest.mark.extended
def test_verbose_prints_losses_and_scores(capsys):
    model = MLPRegressor(**SETTINGS, **EARLY, verbose=10, max_iter=1).fit(X, Y)
    loss, score = model.loss_curve_[0], model.validation_scores_[0]
    assert capsys.readouterr().out == f"Iteration 1, loss = {loss:.8f}\nValidation score: {score:f}\n"


# Rows.


@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.csr_array, scipy.sparse.csc_array])
def test_a_sparse_matrix_is_made_dense_if_it_is_small(make, monkeypatch):
    model = MLPClassifier(**SETTINGS, max_iter=3)
    dense, sparse = clone(model).fit(X, CLASSES), model.fit(make(X), CLASSES)
    np.testing.assert_array_equal(dense.predict_proba(X), sparse.predict_proba(make(X)))
    monkeypatch.setattr(rows, "MOST_DENSE_BYTES", 2**11)
    with pytest.raises(ValueError, match=r"at most 1.9.* GiB then; got \(60, 5\) in float64, which has 2.24e-06 GiB"):
        model.predict(make(X))


@pytest.mark.extended
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_network_has_the_dtype_of_the_rows(dtype):
    for kind, y in ((MLPRegressor, Y), (MLPClassifier, CLASSES)):
        model = kind(**SETTINGS, max_iter=3).fit(X.astype(dtype), y)
        assert {array.dtype for array in model.coefs_ + model.intercepts_} == {np.dtype(dtype)}
    probabilities = model.predict_proba(X.astype(dtype))
    assert probabilities.dtype == dtype
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_loss(CLASSES, probabilities)


def test_an_accelerator_computes_in_float32_and_a_warning_says_so(monkeypatch):
    monkeypatch.setattr(MLPClassifier, "_platform", lambda self: "gpu")
    with pytest.warns(DataConversionWarning, match="X is float64, but on gpu the network computes in float32"):
        model = MLPClassifier(**SETTINGS, max_iter=3).fit(X, CLASSES)
    assert model.coefs_[0].dtype == np.float32
    probabilities = model.predict_proba(X)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)


def test_logarithms_of_probabilities_are_finite():
    for y in (BINARY, CLASSES):
        model = MLPClassifier(**SETTINGS, max_iter=3).fit(X, y)
        logarithms = model.predict_log_proba(1e9 * X)
        assert np.isfinite(logarithms).all()
        np.testing.assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)))


@pytest.mark.extended
@pytest.mark.parametrize(("n", "features"), [(1, 5), (60, 1)])
def test_one_row_or_one_feature_is_enough(n, features):
    x = X[:n, :features]
    assert MLPRegressor(**SETTINGS, max_iter=2).fit(x, Y[:n]).predict(x).shape == (n,)
    assert MLPClassifier(**SETTINGS, max_iter=2).fit(x, BINARY[:n]).predict(x).shape == (n,)


@pytest.mark.extended
def test_names_of_columns_are_kept_with_early_stopping():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X, schema=list("abcde"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier(**SETTINGS, **EARLY, max_iter=2).fit(frame, CLASSES)
    assert list(model.feature_names_in_) == list("abcde")


# Refusals.


@pytest.mark.extended
def test_classes_that_change_are_refused():
    warm = MLPClassifier(**SETTINGS, warm_start=True, max_iter=2).fit(X, CLASSES)
    for y in (BINARY, np.where(CLASSES == "low", "lower", CLASSES), np.where(CLASSES == "low", "high", CLASSES)):
        with pytest.raises(ValueError, match=r"warm_start .* same classes .* Previously got \['high' 'low' 'middle'\]"):
            warm.fit(X, y)
    few = MLPClassifier(**SETTINGS).partial_fit(X[:3], CLASSES[:3], classes=np.unique(CLASSES))
    assert few.partial_fit(X, CLASSES).score(X, CLASSES) > 0
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        few.partial_fit(X, CLASSES, classes=["high", "low"])
    with pytest.raises(ValueError, match="must hold the classes of the first call only"):
        MLPClassifier(**SETTINGS).partial_fit(X, CLASSES, classes=["high", "low"])


def test_an_estimator_that_failed_is_not_fitted():
    for data in ((X, Y[:5]), (np.where(X > 2, np.nan, X), Y)):
        model = MLPRegressor(**SETTINGS)
        with pytest.raises(ValueError, match=r"samples|NaN"):
            model.fit(*data)
        with pytest.raises(NotFittedError):
            model.predict(X)


def test_validation_rows_that_cannot_be_held_out_are_refused():
    with pytest.raises(ValueError, match=r"of 4 rows: The least populated class.* only 1 member.*\['True'\]"):
        MLPClassifier(early_stopping=True).fit(X[:4], [0, 0, 0, 1])
    with pytest.raises(ValueError, match=r"The validation set is too small: validation_fraction=0.1 of 2 rows"):
        MLPRegressor(early_stopping=True).fit(X[:2], Y[:2])
    stopped = MLPRegressor(**SETTINGS, **EARLY, max_iter=2).fit(X, Y)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        stopped.partial_fit(X, Y)


def test_errors_count_the_rows_of_the_user():
    bad = jaxmlp.Criterion(lambda outputs, y: outputs - y, lambda outputs, y: outputs - y)
    with pytest.raises(ValueError, match=r"\(57,\)") as error:
        MLPRegressor(**SETTINGS, loss=bad).fit(X[:57], Y[:57])
    assert "64" not in str(error.value)


def test_a_batch_larger_than_the_table_is_all_rows_and_a_warning():
    with pytest.warns(UserWarning, match="batch_size=100 is more than the number of rows: all 60 are one batch"):
        large = MLPRegressor(**SETTINGS, batch_size=100, max_iter=3).fit(X, Y)
    np.testing.assert_array_equal(large.coefs_[0], MLPRegressor(**SETTINGS, max_iter=3).fit(X, Y).coefs_[0])
