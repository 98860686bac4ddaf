"""`TableRegressor` and `TableClassifier`: the model of `fit_table`, with scikit-learn's conventions."""

import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from tables import FAST, N, houses

import jaxmlp
from jaxmlp.sklearn import TableClassifier, TableRegressor

OPTIONS = FAST | {"epochs": 2}
TABLE = houses()
X, Y = TABLE.drop("price"), TABLE["price"]
ARRAY = X.to_numpy()  # of objects; missing values are NaN
LABELS = np.array(["no", "unknown", "yes"])[np.digitize(Y, [5000.0, 9000.0])]


@pytest.fixture(scope="module")
def regressor():
    return TableRegressor(**OPTIONS).fit(X, Y)


@pytest.fixture(scope="module")
def classifier():
    return TableClassifier(**OPTIONS).fit(X, LABELS)


# Small networks that learn the checks' tables.
LEARNING = OPTIONS | {"batch_size": 16, "epochs": 20, "learning_rate": 0.05}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([TableRegressor(**LEARNING), TableClassifier(**LEARNING)])
def test_they_pass_the_checks_of_scikit_learn(estimator, check):
    if check.func.__name__ in ("check_methods_sample_order_invariance", "check_methods_subset_invariance"):
        pytest.skip("compares to 1e-7, float64's tolerance; the networks compute in float32: see the next test")
    check(estimator)


@pytest.mark.extended
def test_the_prediction_of_a_row_does_not_depend_on_the_other_rows(regressor):
    expected = regressor.predict(X)
    np.testing.assert_allclose(regressor.predict(X[::-1])[::-1], expected, rtol=1e-5)
    np.testing.assert_allclose([regressor.predict(X[k : k + 1])[0] for k in range(5)], expected[:5], rtol=1e-5)


def test_parameters_are_those_of_fit_table():
    ours = {*TableRegressor().get_params()} - {"random_state"}
    assert {*TableClassifier().get_params()} == {*ours, "random_state"} - {"task"}
    theirs = inspect.signature(jaxmlp.fit_table).parameters
    assert ours <= {*theirs}
    ours -= {"task"}
    assert {name: theirs[name].default for name in ours} == {name: getattr(TableRegressor(), name) for name in ours}


def test_the_model_is_that_of_fit_table(regressor):
    result = jaxmlp.fit_table(TABLE, "price", **OPTIONS)
    predictions = regressor.predict(X)
    assert predictions.dtype == np.float64
    np.testing.assert_array_equal(predictions, jaxmlp.predict(result.model, X)[:, 0])
    assert regressor.report_ == result.report
    assert regressor.plan_ == result.plan
    assert regressor.feature_names_in_.tolist() == X.columns
    assert regressor.n_features_in_ == 5


def test_columns_are_found_by_name_and_others_are_ignored(regressor):
    mixed = TABLE.select(reversed(TABLE.columns))
    np.testing.assert_array_equal(regressor.predict(mixed), regressor.predict(X))
    assert regressor.score(mixed, Y) == regressor.score(X, Y)
    with pytest.raises(ValueError, match="yet now missing:\n- rooms"):
        regressor.predict(X.drop("rooms"))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        np.testing.assert_array_equal(regressor.predict(ARRAY), regressor.predict(X))


def test_columns_of_an_array_have_numbers(regressor):
    model = clone(regressor).fit(ARRAY, Y.to_list())
    assert not hasattr(model, "feature_names_in_")
    assert model.report_["target"] == "y"
    assert {column["name"] for column in model.report_["columns"]} == {"x0", "x1", "x2", "x3"}  # x4 is constant
    np.testing.assert_array_equal(model.predict(ARRAY), regressor.predict(X))
    with pytest.raises(ValueError, match="X has 3 features, but TableRegressor is expecting 5 features"):
        model.predict(ARRAY[:, :3])


def test_a_pandas_frame_gives_the_same_model(regressor):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({name: X[name].to_list() for name in X.columns})
    model = clone(regressor).fit(frame, pandas.Series(Y.to_list(), name="price"))
    np.testing.assert_array_equal(model.predict(frame[frame.columns[::-1]]), regressor.predict(X))
    assert model.report_["target"] == "price"
    model.fit(frame.set_axis(range(5), axis=1), Y)  # numbers are no names
    np.testing.assert_array_equal(model.predict(ARRAY), regressor.predict(X))


@pytest.mark.extended
def test_a_classifier_predicts_labels_as_they_came(classifier):
    assert classifier.classes_.tolist() == ["no", "unknown", "yes"]
    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == (N, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    labels = classifier.predict(X)
    assert labels.tolist() == classifier.classes_[probabilities.argmax(axis=1)].tolist()
    assert classifier.score(X, LABELS) == np.mean(labels == LABELS)
    assert classifier.model_.recipe.classes == ("no", "unknown", "yes")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("names", [[False, True], [3, 70], [-1.0, 1.0], ["1", "NA"], np.arange(2).astype("M8[D]")])
def test_labels_of_any_type_are_classes(names):
    names = np.array(names)
    y = names[(Y > 9000).to_numpy().astype(int)]
    model = TableClassifier(**OPTIONS, missing=("0", "1")).fit(X, y)
    assert model.classes_.tolist() == names.tolist()
    assert model.predict(X).dtype == y.dtype
    assert model.report_["rows"] == N


@pytest.mark.extended
def test_pipelines_searches_and_pickle(regressor, classifier):
    part = FunctionTransformer(lambda frame: frame.drop("zone"))
    grid = GridSearchCV(
        make_pipeline(part, regressor), {"tableregressor__learning_rate": [1e-9, 0.1]}, cv=2, refit=False
    )
    grid.fit(X, Y)
    assert grid.best_params_ == {"tableregressor__learning_rate": 0.1}
    assert cross_val_score(classifier, X, LABELS, cv=2).shape == (2,)
    again = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(again.predict(X), regressor.predict(X))
    repeated = clone(regressor).set_params(plan=regressor.plan_, random_state=np.int64(0)).fit(X, Y)
    np.testing.assert_array_equal(repeated.predict(X), regressor.predict(X))
    other = clone(regressor).set_params(random_state=np.random.RandomState(3)).fit(X, Y)
    assert other.report_["seed"] != 0


FAILURES = {
    "NaN in y": ({}, (X, np.where(Y > 0, np.nan, 1)), "Input y contains NaN"),
    "None in y": ({}, (X, np.array([None] * N)), "TableRegressor needs a target in each row"),
    "masked y": ({}, (X, np.ma.array(Y, mask=Y > 0)), "y must not be a masked array"),
    "text in y": ({}, (X, LABELS), "could not convert string to float"),
    "no y": ({}, (X, None), "requires y to be passed"),
    "few targets": ({}, (X, Y[:5]), "inconsistent numbers of samples"),
    "constant y": ({}, (X, np.ones(N)), "the target 'y' is the same in all training rows"),
    "y named as missing": ({"missing": "1"}, (X, np.arange(N)), "missing must not name values of y; got '1'"),
    "no table": ({}, ([1.0] * N, Y), "Expected 2D array"),
    "masked X": ({}, (np.ma.array(ARRAY, mask=True), Y), "X must not be a masked array"),
    "task": ({"task": "classification"}, (X, Y), "task must be one of regression, counts; got 'classification'"),
    "negative counts": ({"task": "counts"}, (X, -Y), "counts are 0 or more"),
    "option of fit_table": ({"activation": "swish"}, (X, Y), "activation must be one of"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_estimator_is_unchanged_after_a_failed_fit(regressor, failure):
    parameters, data, message = FAILURES[failure]
    model = clone(regressor).set_params(**parameters)
    vars(model).update({name: value for name, value in vars(regressor).items() if name.endswith("_")})
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(*data)
    assert vars(model) == before


def test_what_a_classifier_refuses():
    with pytest.raises(ValueError, match="y must hold at least two classes; got one class, 'a'"):
        TableClassifier(**OPTIONS).fit(X, ["a"] * N)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        TableClassifier(**OPTIONS).fit(X, Y)
    with pytest.raises(NotFittedError):
        TableClassifier().predict(X)


def test_a_target_may_have_the_name_of_a_column(regressor):
    model = clone(regressor).fit(X.rename({"zone": "y"}), Y.rename("y"))
    assert model.report_["target"] == "y_"
