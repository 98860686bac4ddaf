"""The estimators pass scikit-learn's checks and agree with its networks; and what they can do beyond those."""

import importlib
import inspect
import pickle
import sys

import jax
import joblib
import numpy as np
import optax
import polars
import pytest
import sklearn.neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import jaxmlp
import jaxmlp.sklearn
from jaxmlp.ensembles import prediction
from jaxmlp.fitting import epochs
from jaxmlp.sklearn import MLPClassifier, MLPRegressor, rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
Y = X[:, 0] - X[:, 1] * X[:, 2]
CLASSES = np.digitize(Y, [-0.5, 0.5])
LABELS = np.stack([Y > 0, X[:, 3] > 0], axis=1).astype(int)
TABLES = {
    "regression": (MLPRegressor, Y),
    "two outputs": (MLPRegressor, np.stack([Y, Y**2], axis=1)),
    "two classes": (MLPClassifier, Y > 0),
    "strings": (MLPClassifier, np.array(["low", "middle", "high"])[CLASSES]),
    "labels": (MLPClassifier, LABELS),
}


def reference_of(ours):
    """Return scikit-learn's estimator with the same parameters, where it has them."""
    kind = getattr(sklearn.neural_network, type(ours).__name__)
    known = kind().get_params()
    same = {name: value for name, value in ours.get_params().items() if name in known}
    return kind(**same | ({"loss": "squared_error"} if "loss" in same else {}))


# scikit-learn's checks.


@pytest.mark.sampled(10)
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([MLPRegressor(), MLPClassifier()])
def test_it_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


# Agreement with scikit-learn. With all rows in one batch, only the initial weights are random.


@pytest.mark.sampled(2)
@pytest.mark.parametrize("table", TABLES)
def test_training_agrees_with_scikit_learn_in_every_number(table):
    kind, y = TABLES[table]
    ours = kind(random_state=3, max_iter=40, alpha=0.5, hidden_layer_sizes=(9, 4)).fit(X, y)
    reference = reference_of(ours).fit(X, y)
    for mine, expected in zip(ours.coefs_ + ours.intercepts_, reference.coefs_ + reference.intercepts_, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=1e-9)
    for name in ("best_loss_", "loss_"):
        assert getattr(ours, name) == pytest.approx(getattr(reference, name), rel=1e-9)
    for name in ("n_iter_", "t_", "out_activation_", "n_outputs_", "n_layers_"):
        assert getattr(ours, name) == getattr(reference, name)
    assert ours.score(X, y) == pytest.approx(reference.score(X, y), abs=1e-9)
    if kind is MLPClassifier:
        np.testing.assert_allclose(ours.predict_proba(X), reference.predict_proba(X), atol=1e-9)
        np.testing.assert_array_equal(ours.classes_, reference.classes_)
        np.testing.assert_array_equal(ours.predict(X), reference.predict(X))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_stops_in_the_same_epoch_as_scikit_learn(nesterov):
    ours = MLPRegressor(
        random_state=0, solver="sgd", nesterovs_momentum=nesterov, activation="logistic", learning_rate_init=0.02,
        hidden_layer_sizes=9, max_iter=500, tol=1e-3,
    ).fit(X, Y)  # fmt: skip
    reference = reference_of(ours).fit(X, Y)
    assert ours.n_iter_ == reference.n_iter_ < 500
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=1e-9)


def test_a_step_of_sgd_worked_by_hand():
    # One input, no hidden layer, w = 2, b = 1; two rows with weights 3 and 1; alpha = 4, learning rate 0.1. Outputs are
    # 2x + 1 = (3, 5), errors (3 - 4, 5 - 1) = (-1, 4). The weighted mean of error · x is (3 · -1 · 1 + 1 · 4 · 2) / 4 =
    # 1.25, to which the penalty adds 4 · 2 / 4 = 2; that of the error is 0.25. So w = 2 - 0.325, b = 1 - 0.025.
    x, y, weights = np.array([[1.0], [2.0]]), np.array([4.0, 1.0]), np.array([3.0, 1.0])
    model = MLPRegressor(hidden_layer_sizes=(), solver="sgd", momentum=0, learning_rate_init=0.1, alpha=4)
    model.partial_fit(x, y)
    model.coefs_, model.intercepts_ = [np.array([[2.0]], np.float32)], [np.array([1.0], np.float32)]
    model.partial_fit(x, y, weights)
    np.testing.assert_allclose(model.coefs_[0], [[1.675]], rtol=1e-6)
    np.testing.assert_allclose(model.intercepts_[0], [0.975], rtol=1e-6)
    # (3 · 1/2 + 1 · 16/2) / 4, and the penalty 4/2 · 2² / 4
    assert model.loss_curve_[-1] == pytest.approx(2.375 + 2)


# Sample weights.


@pytest.mark.sampled(1)
@pytest.mark.parametrize("table", ["regression", "strings"])
def test_a_row_of_weight_2_has_the_effect_of_the_row_twice_and_one_of_weight_0_none(table):
    kind, y = TABLES[table]
    weights = RNG.integers(0, 3, size=60)
    model = kind(random_state=0, max_iter=20)
    weighted = clone(model).fit(X, y, sample_weight=weights)
    repeated = clone(model).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-5)


def test_class_weights_multiply_sample_weights():
    weights = RNG.uniform(1, 2, size=60)
    model = MLPClassifier(random_state=0, max_iter=5)
    by_class = clone(model).set_params(class_weight={0: 1, 1: 3, 2: 1}).fit(X, CLASSES, weights)
    by_row = clone(model).fit(X, CLASSES, weights * np.where(CLASSES == 1, 3, 1))
    assert by_class.loss_curve_ == by_row.loss_curve_
    balanced = clone(model).set_params(class_weight="balanced").fit(X, CLASSES)
    by_row = clone(model).fit(X, CLASSES, 60 / 3 / np.bincount(CLASSES)[CLASSES])
    np.testing.assert_allclose(balanced.loss_curve_, by_row.loss_curve_, rtol=1e-6)


def test_mini_batches_use_every_row_once_in_random_order():
    model = MLPRegressor(random_state=0, max_iter=3, batch_size=16, learning_rate_init=1e-9, alpha=0).fit(X, Y)
    whole = clone(model).set_params(batch_size="auto").fit(X, Y)
    np.testing.assert_allclose(model.loss_curve_, whole.loss_curve_, rtol=1e-5)
    assert clone(model).fit(X, Y).loss_curve_ == model.loss_curve_
    assert clone(model).set_params(random_state=1).fit(X, Y).loss_curve_ != model.loss_curve_


# Continuing, and stopping.


def test_partial_fit_is_an_epoch():
    model = MLPClassifier(random_state=0, max_iter=4, n_iter_no_change=np.inf).fit(X, CLASSES)
    parts = MLPClassifier(random_state=0)
    for _ in range(4):
        parts.partial_fit(X, CLASSES, classes=[0, 1, 2])
    assert parts.loss_curve_ == model.loss_curve_
    assert parts.n_iter_ == 1
    assert parts.t_ == model.t_ == 4 * 60
    later = pickle.loads(pickle.dumps(parts)).partial_fit(X[:50], CLASSES[:50])
    np.testing.assert_array_equal(later.coefs_[0], parts.partial_fit(X[:50], CLASSES[:50]).coefs_[0])


def test_partial_fit_takes_classes_that_come_later():
    few = CLASSES < 2
    model = MLPClassifier(random_state=0).partial_fit(X[few], CLASSES[few], classes=[0, 1, 2])
    assert model.predict_proba(X).shape == (60, 3)
    with pytest.raises(ValueError, match="classes of the first call only"):
        model.partial_fit(X, CLASSES + 1)
    with pytest.raises(ValueError, match="is not the same as on last call"):
        model.partial_fit(X, CLASSES, classes=[0, 1])
    with pytest.raises(ValueError, match="on the first call to partial_fit"):
        MLPClassifier().partial_fit(X, CLASSES)
    with pytest.raises(ValueError, match="never sees all rows"):
        MLPClassifier(class_weight="balanced").partial_fit(X, CLASSES, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="does not support early_stopping=True"):
        MLPRegressor(early_stopping=True).partial_fit(X, Y)


def test_warm_start_continues_from_the_last_weights():
    plain = MLPRegressor(random_state=0, solver="sgd", momentum=0, max_iter=6)
    whole = clone(plain).fit(X, Y)
    warm = clone(plain).set_params(warm_start=True, max_iter=3)
    warm.fit(X, Y).fit(X, Y)
    assert warm.loss_curve_ == whole.loss_curve_
    assert warm.n_iter_ == 3
    cold = warm.set_params(warm_start=False).fit(X, Y)
    assert cold.loss_curve_ == whole.loss_curve_[:3]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("table", "validation"), [("regression", "loss"), ("strings", "loss"), ("strings", "score")])
def test_early_stopping_keeps_the_best_weights(table, validation):
    kind, y = TABLES[table]
    settings = {"random_state": 0, "early_stopping": True, "validation_fraction": 0.25, "learning_rate_init": 0.05}
    model = kind(**settings, validation=validation, max_iter=300, n_iter_no_change=4, tol=1e-9).fit(X, y)
    watched = model.validation_loss_curve_ if validation == "loss" else -np.array(model.validation_scores_)
    assert len(watched) == len(model.loss_curve_) == len(model.validation_scores_) == model.n_iter_ < 300
    assert np.argmin(watched) == model.n_iter_ - 6  # scikit-learn stops at one epoch more than n_iter_no_change
    assert model.best_loss_ is None
    assert model.best_validation_score_ == max(model.validation_scores_)
    shorter = clone(model).set_params(max_iter=model.n_iter_ - 5, n_iter_no_change=np.inf).fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], shorter.coefs_[0])


def test_training_ends_without_progress_and_warns_if_max_iter_ended_it():
    model = MLPRegressor(random_state=0, max_iter=50, tol=10.0, n_iter_no_change=3).fit(X, Y)
    assert model.n_iter_ == 5  # any loss beats infinity, then four epochs without progress
    with pytest.warns(ConvergenceWarning, match="stopped after max_iter=2 epochs and has not converged"):
        clone(model).set_params(max_iter=2).fit(X, Y)


def test_training_that_diverges_is_an_error_that_says_what_may_help():
    def advice(x, y, **parameters):
        with pytest.raises(ValueError, match="diverged in epoch") as error:
            MLPRegressor(random_state=0, **{"solver": "sgd", "learning_rate_init": 0.1} | parameters).fit(x, y)
        return str(error.value).split("; ")[1]

    assert advice(X, Y, learning_rate_init=1e10) == "lower learning_rate_init"
    assert advice(X, Y, alpha=1e20) == "lower learning_rate_init, or lower alpha"
    assert advice(X * 1e20, Y) == "standardize the columns of X, or lower learning_rate_init"
    assert advice(X, Y * 1e25) == "standardize y, or lower learning_rate_init"
    assert advice(X, Y, solver=optax.sgd(1e10)) == "lower the learning rate of solver"


# What is refused, and what remains of the estimator.

FAILURES = {
    "y": ({}, (X, Y[:5]), "inconsistent numbers of samples"),
    "NaN in y": ({}, (X, np.where(Y > 0, np.nan, Y)), "y contains NaN"),
    "large X": ({}, (X * 1e300, Y), r"non-finite parameter weights\. .*: training diverged in epoch 1; stand"),
    "large float32 y": ({}, (X.astype(np.float32), Y * 1e300), "y must hold finite numbers only; got -?inf as float32"),
    "negative weights": ({}, (X, Y, np.where(Y > 0, -2, 1)), r"sample_weight .* not negative; got -2 in row 0"),
    "NaN in the weights": ({}, (X, Y, np.where(Y > 0, np.nan, 1)), r"sample_weight must .*; got nan in row 0"),
    "no weights": ({}, (X, Y, 0 * Y), "sample_weight must not be zero in all rows"),
    "large weights": ({}, (X, Y, np.full(60, 1e300)), "sample_weight must have a sum that float64 can hold"),
    "masked X": ({}, (np.ma.array(X, mask=X > 1), Y), "X must not be a masked array"),
    "masked y": ({}, (X, np.ma.array(Y, mask=Y > 1)), "y must not be a masked array"),
    "negative counts": ({"loss": "poisson_nll_loss"}, (X, Y), "y must not be negative with poisson_nll_loss; got"),
    "one probability": ({"loss": "softmax_cross_entropy"}, (X, np.abs(Y)), "loss must not be 'softmax_cross_entropy'"),
    "alpha": (
        {"alpha": np.inf},
        (X, Y),
        r"The 'alpha' parameter of MLPRegressor must be .* \[0.0, inf\)",
    ),
    "beta_1": ({"beta_1": 1}, (X, Y), r"The 'beta_1' parameter of MLPRegressor must be .* in the range \[0.0, 1.0\)"),
    "tol": ({"tol": np.nan}, (X, Y), "The 'tol' parameter of MLPRegressor must be"),
    "validation_fraction": (
        {"early_stopping": True, "validation_fraction": 2},
        (X, Y),
        "The 'validation_fraction' param",
    ),
    "activation": ({"activation": "swish"}, (X, Y), "The 'activation' parameter of MLPRegressor must be a str among"),
    "divergence": ({"solver": "sgd", "learning_rate_init": 1e200}, (X, Y), "diverged in epoch"),
    "columns": ({"warm_start": True}, (X[:, :3], Y), "X has 3 features"),
    "hidden layers": ({"warm_start": True, "hidden_layer_sizes": 7}, (X, Y), r"hidden_layer_sizes must be \(6,\), to"),
    "members": ({"warm_start": True, "n_members": 2}, (X, Y), "n_members must be 1, to continue"),
    "outputs": ({"warm_start": True}, (X, TABLES["two outputs"][1]), "the number of outputs in y must be 1, to"),
    "activations": ({"warm_start": True, "activation": ("relu", "relu")}, (X, Y), "activation must be one, or a tuple"),
}


@pytest.fixture(scope="module")
def fitted():
    return MLPRegressor(random_state=0, max_iter=3, hidden_layer_sizes=(6,)).fit(X, Y)


def unchanged(model, method, data, message):
    """Assert that a method raises and leaves every attribute of the estimator."""
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(*data)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


@pytest.mark.parametrize("failure", FAILURES)
def test_an_estimator_is_unchanged_after_a_failed_fit(fitted, failure):
    parameters, data, message = FAILURES[failure]
    model = pickle.loads(pickle.dumps(fitted)).set_params(**parameters)
    unchanged(model, "fit", data, message)
    if not model.warm_start:
        unchanged(clone(model), "fit", data, message)


def test_a_classifier_is_unchanged_after_a_failed_fit():
    model = MLPClassifier(random_state=0, max_iter=2).fit(X, TABLES["strings"][1])
    y, never = np.array(["a", "b", "c", "d"])[CLASSES], np.where(CLASSES == 1, 0, 1)
    unchanged(model, "fit", (X, y, -Y), "sample_weight must be finite and not negative")
    unchanged(model, "fit", (X, y, never), "sample_weight must not be zero in all rows of a class; got 0 for class 'b'")
    unchanged(model, "partial_fit", (X, y), "y must hold the classes of the first call only")
    unchanged(model, "partial_fit", (X, LABELS), "y must have as many dimensions as in the first call; got 2")
    model.set_params(warm_start=True)
    unchanged(model, "fit", (X, y), "warm_start can only be used where `y` has the same classes")
    labels = MLPClassifier(random_state=0, max_iter=2).fit(X, np.eye(3, dtype=int)[CLASSES])
    unchanged(labels, "partial_fit", (X, CLASSES), "y must have as many dimensions as in the first call; got 1")


def test_an_interruption_before_training_leaves_the_estimator(fitted, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    model = pickle.loads(pickle.dumps(fitted))
    before = dict(vars(model))
    monkeypatch.setattr(type(model), "_start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :2], Y)
    assert vars(model) == before


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"low": -1}, "must hold numbers that are finite and not negative; got -1 for class 'low'"),
        ({"low": np.nan}, "got nan for class 'low'"),
        ({"low": np.inf}, "got inf for class 'low'"),
        ({"low": "2"}, "got '2' for class 'low'"),
        ({"lwo": 2}, r"must hold classes of y, \['high', 'low', 'middle'\]; got \['lwo'\]"),
        ({"low": 0, "middle": 0, "high": 0}, "must not be zero in all rows"),
        ({"low": 1e300}, "must have a sum that float64 can hold"),
    ],
)
def test_bad_class_weights_are_errors(weights, message):
    with pytest.raises(ValueError, match=f"class_weight.*{message}"):
        MLPClassifier(class_weight=weights).fit(X, TABLES["strings"][1])


def test_partial_fit_takes_class_weights_of_classes_that_these_rows_do_not_have():
    few = CLASSES != 1
    model = MLPClassifier(random_state=0, class_weight={1: 3}).partial_fit(X[few], CLASSES[few], classes=[0, 1, 2])
    plain = clone(model).set_params(class_weight=None).partial_fit(X[few], CLASSES[few], classes=[0, 1, 2])
    assert model.loss_curve_ == plain.loss_curve_


def test_partial_fit_uses_new_hyperparameters():
    model = MLPRegressor(random_state=0, hidden_layer_sizes=(6,)).partial_fit(X, Y)
    before = model.coefs_[0]
    model.set_params(learning_rate_init=1e-9).partial_fit(X, Y)
    np.testing.assert_allclose(model.coefs_[0], before, atol=1e-8)


@pytest.mark.extended
def test_weights_keep_their_dtype():
    model = MLPRegressor(random_state=0, max_iter=2, hidden_layer_sizes=(), warm_start=True).fit(X, Y)
    assert model.partial_fit(X.astype(np.float32), Y).fit(X.astype(np.float32), Y).coefs_[0].dtype == np.float64
    model.coefs_, model.intercepts_ = ([v.astype(np.float32) for v in vs] for vs in (model.coefs_, model.intercepts_))
    assert model.partial_fit(X, Y).fit(X, Y).coefs_[0].dtype == np.float32


def test_one_row_of_a_class_cannot_be_held_out():
    model = MLPClassifier(early_stopping=True)
    with pytest.raises(ValueError, match=r"early_stopping cannot hold out validation_fraction=0.1 .* of 60 rows: "):
        model.fit(X, np.arange(60) == 7)
    assert vars(model) == vars(clone(model))


def test_inputs_of_predict_must_be_finite_and_not_masked(fitted):
    with pytest.raises(ValueError, match="Input X contains infinity or a value too large for dtype"):
        fitted.predict(np.full((1, 5), np.inf))
    with pytest.raises(ValueError, match="X must not be a masked array"):
        fitted.predict(np.ma.array(X, mask=X > 1))


# Beyond scikit-learn.

SINE = jaxmlp.Activation(jax.numpy.sin, jax.numpy.cos)
ADABELIEF = optax.adabelief(1e-2)


def test_softmax_cross_entropy_is_an_error_for_two_classes():
    with pytest.raises(ValueError, match="loss must be 'log_loss' or 'sigmoid_binary_cross_entropy' for two classes"):
        MLPClassifier(loss="softmax_cross_entropy").fit(X, Y > 0)


def test_partial_fit_with_another_solver_starts_with_a_new_state():
    model = MLPRegressor(random_state=0, max_iter=5).fit(X, Y).set_params(solver="sgd").partial_fit(X, Y)
    assert len(model.loss_curve_) == 6


@pytest.mark.extended
def test_any_loss_activation_and_optimizer(x64):
    model = MLPRegressor(
        random_state=0, loss=jaxmlp.huber_loss, activation=(SINE, "gelu"), hidden_layer_sizes=(9, 4), solver=ADABELIEF,
        max_iter=300,
    ).fit(X, Y)  # fmt: skip
    assert model.score(X, Y) > 0.8
    layers = tuple(jaxmlp.Layer(w, b[None]) for w, b in zip(model.coefs_, model.intercepts_, strict=True))
    outputs = jaxmlp.forward(layers, X, activation=(SINE, jaxmlp.gelu))
    np.testing.assert_allclose(model.predict(X), outputs[:, 0], rtol=1e-4, atol=1e-5)
    counts = np.exp(X[:, 0]).round()
    means = MLPRegressor(random_state=0, loss="poisson", max_iter=20).fit(X, counts).predict(X)
    assert means.min() > 0
    with pytest.raises(ValueError, match="y must not be negative"):
        MLPRegressor(loss="poisson").fit(X, Y)
    with pytest.raises(ValueError, match=r"The 'solver' parameter .* or an object implementing 'init' and 'update'"):
        MLPRegressor(solver=optax.adam).fit(X, Y)


@pytest.mark.extended
def test_members_are_trained_together_and_their_mean_is_predicted(x64):
    model = MLPRegressor(random_state=0, n_members=3, max_iter=10, hidden_layer_sizes=(7,)).fit(X, Y)
    assert model.coefs_[0].shape == (3, 5, 7)
    assert np.shape(model.loss_curve_) == (3, 10)
    alone = clone(model).set_params(n_members=1).fit(X, Y)
    np.testing.assert_allclose(model.loss_curve_[0], alone.loss_curve_, rtol=1e-5)
    (w1, w2), (b1, b2) = model.coefs_, model.intercepts_
    members = [(jaxmlp.Layer(w1[k], b1[k][None]), jaxmlp.Layer(w2[k], b2[k][None])) for k in range(3)]
    outputs = [jaxmlp.forward(params, X) for params in members]
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, np.mean(outputs, axis=0)[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(std, np.std(outputs, axis=0)[:, 0], rtol=1e-3, atol=1e-5)
    assert np.all(alone.predict(X, return_std=True)[1] == 0)


@pytest.mark.extended
def test_members_stop_one_by_one():
    model = MLPClassifier(
        random_state=0, n_members=3, early_stopping=True, validation="loss", learning_rate_init=0.05,
        hidden_layer_sizes=7, max_iter=400,
    ).fit(X, Y > 0)  # fmt: skip
    losses = np.array(model.validation_loss_curve_)
    assert losses.shape == np.shape(model.loss_curve_) == (3, model.n_iter_)
    assert len(set(np.isfinite(losses).sum(axis=1))) > 1
    assert model.n_iter_ < 400
    curves = np.array(model.loss_curve_)
    assert model.loss_ == [curve[np.isfinite(curve)][-1] for curve in curves]
    assert model.best_validation_score_ == np.nanmax(model.validation_scores_, axis=1).tolist()
    probabilities, std = model.predict_proba(X, return_std=True)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert (std > 0).all()


@pytest.mark.extended
def test_the_dtype_is_that_of_the_rows():
    for dtype in (np.float32, np.float64):
        model = MLPRegressor(random_state=0, max_iter=2, hidden_layer_sizes=()).fit(X.astype(dtype), Y)
        assert model.coefs_[0].dtype == model.predict(X.astype(dtype)).dtype == dtype


def test_a_device_is_named():
    model = MLPRegressor(random_state=0, max_iter=2, hidden_layer_sizes=(), device="cpu:3").fit(X, Y)
    assert model.predict(X).shape == (60,)


@pytest.mark.extended
def test_members_use_all_cpu_devices_unless_one_is_named():
    model = MLPClassifier(random_state=0, n_members=5, max_iter=3, hidden_layer_sizes=7)
    devices = []

    def fit(device):
        with pytest.MonkeyPatch.context() as patch:
            run = epochs._run

            def record(state, *arguments):
                devices.append({device.id for leaf in jax.tree.leaves(state) for device in leaf.devices()})
                return run(state, *arguments)

            patch.setattr(epochs, "_run", record)
            return clone(model).set_params(device=device).fit(X, CLASSES)

    split, single = fit(None), fit("cpu:3")
    assert len(devices[0]) == min(5, len(jax.devices("cpu")))
    assert devices[-1] == {jax.devices("cpu")[3].id}
    np.testing.assert_allclose(split.coefs_[0], single.coefs_[0], rtol=1e-6)


OURS = {"validation", "n_members", "device", "loss", "class_weight"}


@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier])
def test_the_constructor_begins_as_that_of_scikit_learn(kind):
    def describe(kind):
        parameters = inspect.signature(kind).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    theirs, ours = describe(getattr(sklearn.neural_network, kind.__name__)), describe(kind)
    if sklearn.__version__ < "1.7" and kind is MLPRegressor:  # which has no loss
        theirs.insert(0, ours[0])
    assert ours[: len(theirs)] == theirs
    more = ours[len(theirs) :]
    assert {name for name, *_ in more} == (OURS if kind is MLPClassifier else OURS - {"loss", "class_weight"})
    assert all(kind == inspect.Parameter.KEYWORD_ONLY for _, kind, _ in more)
    assert kind(alpha=3).get_params()["alpha"] == 3


def test_without_scikit_learn_the_import_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"sklearn is needed .*: pip install 'jaxmlp\[sklearn\]'"):
        importlib.reload(jaxmlp.sklearn)


# With scikit-learn's tools.


def test_in_a_pipeline_and_a_grid_search():
    frame = polars.DataFrame(X, schema=list("abcde"))
    model = make_pipeline(StandardScaler(), MLPClassifier(random_state=0, max_iter=5)).set_output(transform="polars")
    names = {"mlpclassifier__learning_rate_init": [1e-3, 1e-2], "mlpclassifier__alpha": [1e-4, 1e-2]}
    search = GridSearchCV(model, names, cv=3).fit(frame, TABLES["strings"][1])
    assert list(search.best_estimator_[-1].feature_names_in_) == list("abcde")
    again = joblib.Parallel(n_jobs=2, prefer="threads")(
        joblib.delayed(cross_val_score)(search.best_estimator_, frame, TABLES["strings"][1], cv=3) for _ in range(2)
    )
    for scores in again:
        assert scores.mean() == search.best_score_
    restored = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(restored.predict(frame), search.predict(frame))


@pytest.mark.extended
def test_only_another_shape_of_table_recompiles():
    def programs(n, **settings):
        settings = {"random_state": 0, "max_iter": 3, "hidden_layer_sizes": (6,)} | settings
        model = MLPRegressor(**settings).fit(X[:n], Y[:n])
        model.predict(X[:n])
        return epochs._run.programs.count(), prediction._mean_and_std.programs.count()

    for bounded in (epochs._run, prediction._mean_and_std):
        bounded.programs._programs.clear()  # so that none is dropped
    before = programs(40)
    settings = {"alpha": 1.0, "learning_rate_init": 0.1, "beta_1": 0.5, "tol": 0.1, "n_iter_no_change": 2}
    for other in ({}, settings, {"max_iter": 7, "random_state": 1}):
        assert programs(40, **other) == before
    assert programs(41) == programs(60) == before  # padded with rows of weight 0 to 64
    fits, predictions = programs(40, hidden_layer_sizes=(8,))
    assert fits > before[0]
    assert predictions > before[1]
    # All rows and the training rows of a fold share a program; large tables are not padded to twice their length.
    assert rows.plan_batches(1437, "auto") == rows.plan_batches(1797, "auto") == (2048, 200)
    assert rows.plan_batches(200, "auto") == (224, None)
    assert rows.plan_batches(20_000, 64) == (20_480, 64)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "hinge"), ("loss", np.square), ("hidden_layer_sizes", 0), ("activation", "swish"),
        ("solver", "newton"), ("alpha", -1), ("batch_size", 0), ("learning_rate", "cosine"), ("power_t", -1),
        ("learning_rate_init", 0), ("max_iter", "5"), ("shuffle", 2), ("tol", "small"), ("momentum", 2.0),
        ("early_stopping", "no"), ("beta_1", 1.0), ("n_iter_no_change", 1.5), ("max_fun", 0), ("n_members", 0),
        ("validation", "R2"), ("device", 3),
    ],
)  # fmt: skip
def test_an_invalid_parameter_is_refused_in_the_words_of_scikit_learn(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of MLPRegressor must be"):
        MLPRegressor(**{name: value}).fit(X, Y)


def test_verbose_prints_a_line_for_each_epoch(capsys):
    model = MLPRegressor(random_state=0, max_iter=3, verbose=True).fit(X, Y)
    lines = [f"Iteration {k}, loss = {loss:.8f}" for k, loss in enumerate(model.loss_curve_, start=1)]
    assert capsys.readouterr().out.splitlines() == lines
