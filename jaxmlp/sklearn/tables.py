"""Estimators of tables: columns of any kind in, a search of `fit_table` inside."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxmlp._validation import refuse_masked, require_known
from jaxmlp.models import Model, predict
from jaxmlp.pipeline import fit_table
from jaxmlp.pipeline.plan import Plan
from jaxmlp.sklearn.estimator import unchanged_on_error
from jaxmlp.storage.json import JsonObject
from jaxmlp.tables import as_frame, is_table, polars
from jaxmlp.tables.learning import MOST_LEVELS
from jaxmlp.tables.words import remove_missing


@dataclass(kw_only=True, eq=False, repr=False)
class TableEstimator(BaseEstimator):
    """The shared part of `TableRegressor`, which explains the parameters, and `TableClassifier`."""

    budget: float = 60.0
    fast: bool = False
    random_state: int | np.random.RandomState | None = 0
    keep: Iterable[str] = ()
    missing: Iterable[str] = ()
    decimal: str | None = None
    date_order: str | None = None
    max_levels: int = MOST_LEVELS
    hidden: Sequence[int] | None = None
    activation: str | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    members: int | None = None
    plan: Plan | JsonObject | None = None

    if TYPE_CHECKING:  # fitted attributes

        def __getattr__(self, name: str) -> Any: ...

    def _read_rows(self, X: object, y: Any) -> tuple["polars.DataFrame", str, np.ndarray]:
        """Return X as a table, the name of y or another that no column has, and y as an array (n,)."""
        refuse_masked("y", y)
        values = np.asarray(validate_data(self, "no_validation", y))
        if any(value is None for value in values.tolist()):
            raise ValueError(f"{type(self).__name__} needs a target in each row, but y has missing values")
        check_consistent_length(X, values)
        frame = self._read_columns(X, reset=True)
        name = getattr(y, "name", None)
        name = name if isinstance(name, str) and name else "y"
        while name in frame.columns:
            name += "_"
        return frame, name, values

    def _read_columns(self, X: Any, *, reset: bool) -> "polars.DataFrame":
        """Return X (n, features) as a table, whose columns have the names that `fit` saw, or else x0, x1 and so on."""
        refuse_masked("X", X)
        if is_table(X) and hasattr(X, "columns"):
            if hasattr(self, "feature_names_in_") and not reset:
                X = X[[name for name in self.feature_names_in_ if name in X.columns]]
            validate_data(self, X, reset=reset, skip_check_array=True)
            frame = as_frame(X)
        else:
            least = 2 if reset else 1
            array = validate_data(self, X, dtype=None, ensure_all_finite=False, ensure_min_samples=least, reset=reset)
            frame = as_frame({f"x{k}": column for k, column in enumerate(np.asarray(array).T)})
        names = getattr(self, "feature_names_in_", [f"x{k}" for k in range(frame.width)])
        return frame.rename(dict(zip(frame.columns, names, strict=True)))

    def _search(self, frame: "polars.DataFrame", target: "polars.Series", **options: Any) -> None:
        """Find the model that predicts a target from the columns of a table, and keep it."""
        parameters = self.get_params(deep=False) | options
        seed = parameters.pop("random_state")
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        missing = [self.missing] if isinstance(self.missing, str) else self.missing
        if remove_missing(target, missing).null_count():
            raise ValueError(f"missing must not name values of y; got {self.missing!r}")
        result = fit_table(frame.with_columns(target), target.name, seed=int(seed), **parameters)
        self.model_, self.report_, self.plan_ = result.model, dict(result.report), result.plan

    def _predict(self, X: object) -> np.ndarray:
        """Return predictions (n, outputs)."""
        check_is_fitted(self)
        return np.asarray(predict(self.model_, self._read_columns(X, reset=False)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.target_tags.required = True
        return tags


@dataclass(kw_only=True, eq=False, repr=False)
class TableRegressor(RegressorMixin, TableEstimator):
    """A model that predicts a number from columns of numbers, text, dates and missing values, found by `fit_table`.

    Arguments:
        task: {"regression", "counts"}, default="regression".
        budget: float, default=60.0. Time limit of `fit` in seconds.
        fast: bool, default=False. Whether to train one candidate, and to measure it on a single hold-out.
        random_state: int, RandomState instance or None, default=0. Seed of folds, initial weights and the order of
            rows.
        keep: list of str, default=(). Columns to use, even if they look like identifiers.
        missing: list of str, default=(). More words, or numbers, that are missing values.
        decimal: {".", ","} or None, default=None. The decimal mark of numbers in text; None to decide for each column.
        date_order: {"dmy", "mdy", "ymd"} or None, default=None. The order of day, month and year in dates in text;
            None to decide for each column.
        max_levels: int, default=50. The largest number of levels of a column that have an input each.
        hidden: tuple of int or None, default=None. Hidden layer widths. A given hyperparameter is fixed in the search.
        activation: str or None, default=None. Name of the activation of the hidden layers.
        optimizer: {"adam", "sgd"} or None, default=None.
        learning_rate: float or None, default=None. Largest learning rate.
        weight_decay: float or None, default=None. Share of each weight that a step takes away, times the learning rate.
        epochs: int or None, default=None. Largest number of passes over all rows.
        batch_size: int or None, default=None. Number of rows in a step.
        members: int or None, default=None. Number of networks to train on all rows; None for an ensemble.
        plan: Plan, dict or None, default=None. `plan_` of an earlier fit, to repeat its search; None to find one within
            the budget.

    Attributes:
        model_: the `jaxmlp.Model`, which `jaxmlp.save_model` writes. Without names of columns, these are x0, x1, …
        report_: dict, what was measured on held-out rows.
        plan_: the plan of the search, which repeats it with the same seed.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    task: str = "regression"

    def fit(self, X: object, y: ArrayLike) -> Self:
        """Find the model. An error leaves the estimator as it was.

        Arguments:
            X: (n, features), a data frame of pandas or polars, or an array. NaN and None are missing values.
            y: (n,) numbers.

        Returns:
            The estimator.

        Raises:
            ValueError: a table, targets or a parameter that cannot be used.
            FloatingPointError: training diverged for all candidates.
        """
        with unchanged_on_error(self):
            require_known("task", self.task, ("regression", "counts"))
            frame, name, values = self._read_rows(X, y)
            self._search(frame, polars.Series(name, values.astype(np.float64)))
        return self

    def predict(self, X: object) -> np.ndarray:
        """Return the prediction (n,) of each row, in the unit of y.

        Arguments:
            X: (n, features). A data frame must have the columns of `fit`, in any order; others are ignored.
        """
        return self._predict(X)[:, 0]


@dataclass(kw_only=True, eq=False, repr=False)
class TableClassifier(ClassifierMixin, TableEstimator):
    """A model that predicts a class from columns of numbers, text, dates and missing values, found by `fit_table`.

    Arguments:
        parameters: as in `TableRegressor`, without `task`.

    Attributes:
        classes_: the classes, in the order of the columns of `predict_proba`.
        others: as in `TableRegressor`.
    """

    def fit(self, X: object, y: ArrayLike) -> Self:
        """Find the model; as `TableRegressor.fit`, but y (n,) holds classes: text, booleans or whole numbers."""
        with unchanged_on_error(self):
            frame, name, values = self._read_rows(X, y)
            check_classification_targets(values)
            self.classes_, codes = np.unique(values, return_inverse=True)
            names = self.classes_.tolist()
            if len(names) < 2:
                raise ValueError(f"y must hold at least two classes; got one class, {names[0]!r}")
            # Texts that a table cannot take for numbers, yes and no, or missing values.
            target = polars.Series(name, [f"class {code:04}" for code in codes])
            self._search(frame, target, task="classification")
            self.model_ = _name_classes(self.model_, names)
        return self

    def predict(self, X: object) -> np.ndarray:
        """Return the most probable class (n,) of each row, X as in `TableRegressor.predict`."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: object) -> np.ndarray:
        """Return the probability (n, classes) of each class, in the order of `classes_`."""
        return self._predict(X)


def _name_classes(model: Model, names: list[object]) -> Model:
    """Return a model whose classes have their names, if these are text, numbers or booleans."""
    if len({type(name) for name in names}) > 1 or not isinstance(names[0], str | bool | int | float):
        return model
    assert model.recipe is not None
    return replace(model, networks=model.groups, recipe=replace(model.recipe, classes=tuple(names)))
