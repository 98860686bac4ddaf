"""Classification: targets are classes or sets of labels, the score is accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
    unique_labels,
)

from jaxmlp.criteria import CRITERIA, Criterion, sigmoid_binary_cross_entropy, softmax_cross_entropy
from jaxmlp.fitting.metrics import Metric, accuracy_score, all_labels_right
from jaxmlp.sklearn.estimator import Perceptron, has_epochs, unchanged_on_error
from jaxmlp.sklearn.parameters import Parameters, choose
from jaxmlp.sklearn.rows import Start


@dataclass(kw_only=True, eq=False, repr=False)
class MLPClassifier(ClassifierMixin, Perceptron):
    """A multilayer perceptron that predicts classes or sets of labels, with scikit-learn's parameters and attributes.

    Arguments:
        parameters: as in `MLPRegressor`, except:
        loss: "log_loss", the cross-entropy (of a softmax for more than two classes, otherwise of a sigmoid for each
            output); another of `jaxmlp.criteria`, or a custom `jaxmlp.Criterion`. Outputs and targets are one column
            for two classes, a column for each of more classes, and a column for each label.
        class_weight: a dictionary from classes to weights, which multiply the sample weights; "balanced" for weights
            that give all classes the same sum; None for all ones.

    Attributes:
        classes_: the classes, or labels, in the order of the columns of `predict_proba`.
        others: as in `MLPRegressor`.
    """

    loss: str | Criterion = "log_loss"
    class_weight: Mapping[Any, float] | str | None = None

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **Parameters._parameter_constraints,
        "loss": [StrOptions({"log_loss", *CRITERIA}), Criterion],
        "class_weight": [Mapping, StrOptions({"balanced"}), None],
    }

    @available_if(has_epochs)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None
    ) -> Self:
        """Train for one more epoch, on these rows.

        Arguments:
            X: (n, features).
            y: (n,), or (n, labels) of zeros and ones.
            sample_weight: (n,), or None for all ones.
            classes: all classes that will ever come; required in the first call.

        Returns:
            The estimator.

        Raises:
            ValueError: as in `fit`; a first call without classes; "balanced" class weights.
            AttributeError: `solver="lbfgs"`.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight must be a dict in partial_fit, which never sees all rows; got {self.class_weight!r}"
            )
        with unchanged_on_error(self):
            if _check_partial_fit_first_call(self, classes):
                is_multilabel = type_of_target(y, input_name="y").startswith("multilabel")
                self._binarizer = LabelBinarizer().fit(y if is_multilabel else classes)
            return self._partial_fit(X, y, sample_weight)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the class (n,) of each row of X (n, features), or its labels (n, labels), by the members' mean."""
        mean, _ = self._predict(X)
        return np.asarray(self._binarizer.inverse_transform(mean))

    @overload
    def predict_proba(self, X: ArrayLike, *, return_std: Literal[False] = False) -> np.ndarray: ...
    @overload
    def predict_proba(self, X: ArrayLike, *, return_std: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...
    def predict_proba(self, X: ArrayLike, *, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the mean of the members' probabilities; the classes of a row sum to 1.

        Arguments:
            X: (n, features).
            return_std: also return the standard deviation over members, zero for a single one.

        Returns:
            (n, classes) or (n, labels), the columns in the order of `classes_`; or a pair of such arrays.
        """
        mean, std = self._predict(X)
        if self._binarizer.y_type_ == "binary":  # also of a single class, as in scikit-learn
            mean, std = (np.hstack(pair) for pair in ((1 - mean, mean), (std, std)))
        elif self._binarizer.y_type_ == "multiclass":
            mean /= mean.sum(axis=1, keepdims=True)  # They were rounded to float32 on some devices.
        return (mean, std) if return_std else mean

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the logarithms of `predict_proba`; that of a probability which is rounded to 0 is finite, too."""
        probabilities = self.predict_proba(X)
        return np.log(np.maximum(probabilities, np.finfo(probabilities.dtype).tiny))

    def _encode(self, y: np.ndarray, start: Start) -> tuple[np.ndarray, np.ndarray | None]:
        check_classification_targets(y)
        if start == "new":
            self._binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._binarizer.classes_
        elif (y.ndim == 2) != self._binarizer.y_type_.startswith("multilabel"):
            raise ValueError(f"y must have as many dimensions as in the first call; got {y.ndim}")
        elif y.ndim == 1:
            classes = unique_labels(y)
            if start == "warm" and set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
            unknown = np.setdiff1d(classes, self.classes_)
            if len(unknown):
                raise ValueError(f"y must hold the classes of the first call only, {self.classes_}; got {unknown}")
        return np.asarray(self._binarizer.transform(y)), self._class_factor(y)

    def _class_factor(self, y: np.ndarray) -> np.ndarray | None:
        """Return the class weight of each row; None for all ones."""
        weights = self.class_weight
        if not isinstance(weights, Mapping) or y.ndim == 2:
            return None if weights is None else compute_sample_weight(weights, y)
        classes = self.classes_.tolist()
        unknown = [name for name in weights if name not in classes]
        # As in scikit-learn, there may be weights of other classes too, unless a class has none: a typing error.
        if unknown and not all(name in weights for name in classes):
            raise ValueError(f"class_weight must hold classes of y, {classes}; got {unknown}")
        for name, weight in weights.items():
            if not isinstance(weight, Real) or not 0 <= weight < np.inf:
                wanted = "numbers that are finite and not negative"
                raise ValueError(f"class_weight must hold {wanted}; got {weight!r} for class {name!r}")
        return np.array([weights.get(name, 1) for name in classes], np.float64)[np.searchsorted(self.classes_, y)]

    def _criterion(self) -> Criterion:
        is_multiclass = self._binarizer.y_type_ == "multiclass"
        cross_entropy = softmax_cross_entropy if is_multiclass else sigmoid_binary_cross_entropy
        criterion = choose("loss", self.loss, CRITERIA | {"log_loss": cross_entropy}, Criterion)
        if criterion == softmax_cross_entropy and not is_multiclass:
            raise ValueError(
                "loss must be 'log_loss' or 'sigmoid_binary_cross_entropy' for two classes or for labels, which have "
                "one output each; got 'softmax_cross_entropy'"
            )
        return criterion

    def _metric(self) -> Metric:
        return all_labels_right if self._binarizer.y_type_.startswith("multilabel") else accuracy_score

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
