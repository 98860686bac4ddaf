"""Classification: targets are classes or sets of labels, the score is accuracy."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

# isort: split (after ours, which says what to install where scikit-learn is missing)
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from jaxmlp.criteria import CRITERIA, Criterion, sigmoid_binary_cross_entropy, softmax_cross_entropy
from jaxmlp.fitting.metrics import Metric, accuracy_score
from jaxmlp.sklearn import settings
from jaxmlp.sklearn.estimator import Perceptron


class MLPClassifier(ClassifierMixin, Perceptron):
    """A multilayer perceptron that predicts classes or sets of labels; parameters and attributes of scikit-learn's.

    Arguments:
        loss: "log_loss", the cross-entropy (of a softmax with more than two classes, of a sigmoid for each output
            otherwise); another of `jaxmlp.criteria`, or your own `jaxmlp.Criterion`. Its outputs and targets are one
            column for two classes, a column each for more, and a column for each label.
        class_weight: a dictionary from classes to weights, which multiply those of the rows; "balanced" for weights
            that make all classes count alike; None for all ones.
        others: as in `MLPRegressor`.

    Attributes:
        classes_: the classes, or labels, in the order of the columns of `predict_proba`.
        others: as in `MLPRegressor`.
    """

    def __init__(
        self,
        *,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        loss: Any = "log_loss",
        class_weight: Any = None,
        solver: Any = "adam",
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate_init: float = 1e-3,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int | float = 10,
        tol: float = 1e-4,
        random_state: Any = None,
        warm_start: bool = False,
        n_members: int = 1,
        device: str | None = None,
        verbose: bool = False,
    ):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes, activation=activation, loss=loss, solver=solver, alpha=alpha,
            batch_size=batch_size, learning_rate_init=learning_rate_init, momentum=momentum,
            nesterovs_momentum=nesterovs_momentum, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, max_iter=max_iter,
            early_stopping=early_stopping, validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change,
            tol=tol, random_state=random_state, warm_start=warm_start, n_members=n_members, device=device,
            verbose=verbose,
        )  # fmt: skip
        self.class_weight = class_weight

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None) -> "MLPClassifier":
        """One more epoch, over these rows.

        Arguments:
            X: (n, features).
            y: (n,), or (n, labels) of zeros and ones.
            sample_weight: (n,), or None for all ones.
            classes: all classes that will ever come; needed in the first call.

        Returns:
            The estimator.

        Raises:
            ValueError: as in `fit`; the first call without classes; "balanced" class weights.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight must be a dict in partial_fit, which never sees all rows; got {self.class_weight!r}"
            )
        if not hasattr(self, "classes_") and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        if (
            hasattr(self, "classes_")
            and classes is not None
            and not np.array_equal(self.classes_, unique_labels(classes))
        ):
            raise ValueError(f"classes must be those of the first call to partial_fit, {self.classes_}; got {classes}")
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X: Any) -> Any:
        """The class (n,) of each row X (n, features), or its labels (n, labels), by the mean of the members."""
        mean, _ = self._predictions(X)
        return self._binarizer.inverse_transform(mean)

    def predict_proba(self, X: Any, *, return_std: bool = False) -> Any:
        """The mean probabilities that the members give.

        Arguments:
            X: (n, features).
            return_std: return the standard deviation over the members too, zero for one.

        Returns:
            (n, classes) or (n, labels), the columns in the order of `classes_`; or a pair of such arrays.
        """
        mean, deviation = self._predictions(X)
        if self._binarizer.y_type_ == "binary":
            columns = slice(len(self.classes_))  # the first alone where training saw no other
            mean, deviation = (np.hstack(v)[:, columns] for v in ((1 - mean, mean), (deviation, deviation)))
        return (mean, deviation) if return_std else mean

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _learn_classes(self, y: Any) -> None:
        check_classification_targets(y)
        self._binarizer = LabelBinarizer().fit(y)
        self.classes_ = self._binarizer.classes_

    def _check_classes(self, y: np.ndarray) -> None:
        check_classification_targets(y)
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unknown):
            raise ValueError(f"y must hold the classes of the first call only, {self.classes_}; got {unknown}")

    def _targets(self, y: np.ndarray) -> np.ndarray:
        return self._binarizer.transform(y)

    def _class_weights(self, y: np.ndarray) -> np.ndarray | float:
        return 1.0 if self.class_weight is None else compute_sample_weight(self.class_weight, y)

    def _criterion(self) -> Criterion:
        cross_entropy = (
            softmax_cross_entropy if self._binarizer.y_type_ == "multiclass" else sigmoid_binary_cross_entropy
        )
        found = settings.criterion(self.loss, CRITERIA | {"log_loss": cross_entropy})
        if found == softmax_cross_entropy and self._binarizer.y_type_ != "multiclass":
            raise ValueError(
                "loss must be 'log_loss' or 'sigmoid_binary_cross_entropy' for two classes or for labels, which have "
                "one output each; got 'softmax_cross_entropy'"
            )
        return found

    def _metric(self) -> Metric:
        return all_labels_right if self._binarizer.y_type_.startswith("multilabel") else accuracy_score

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def all_labels_right(predictions: Array, y: Array, sample_weight: Array | None = None) -> Array:
    """The share of rows whose labels are all right: what scikit-learn calls the accuracy of sets of labels."""
    right = jnp.all((predictions > 0.5) == (y > 0.5), axis=1).astype(predictions.dtype)
    return jnp.average(right, weights=sample_weight)
