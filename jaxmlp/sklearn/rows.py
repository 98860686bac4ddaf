"""The rows of an estimator: validation, and padding.

Tables of similar length share one compiled program: rows of weight 0 pad them to a round number.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_sample_weight, validate_data

from jaxmlp._validation import refuse_masked, refuse_tracing, validate_count
from jaxmlp.criteria import Criterion, softmax_cross_entropy
from jaxmlp.fitting.values import validate_finite, validate_targets, validate_weights

# Tables of at most this many rows may be padded to twice their length, so that all rows and the training rows of a fold
# more often share a program.
_DOUBLED = 2**14


class Rows(NamedTuple):
    """Rows to train or validate with."""

    x: np.ndarray  # (n, features)
    targets: np.ndarray  # (n, outputs)
    sample_weight: np.ndarray  # (n,), above 0


def validate_rows(estimator: Any, X: Any, y: Any, sample_weight: Any, *, reset: bool, classes: object = None) -> Rows:
    """Return the rows that have a weight, validated by scikit-learn's rules.

    Arguments:
        estimator: learns features and classes if `reset`, and encodes the targets.
        X: (n, features).
        y: (n,) or (n, outputs).
        sample_weight: (n,), or None for all ones.
        reset: whether this is a new start, and not more rows of the same kind.
        classes: all classes that will ever come; None for those in y.
    """
    refuse_tracing(f"{type(estimator).__name__}.fit", X, y)
    for name, value in {"X": X, "y": y, "sample_weight": sample_weight}.items():
        refuse_masked(name, value)
    X, y = validate_data(
        estimator, X, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=is_regressor(estimator),
        reset=reset,
    )  # fmt: skip
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    targets, factor = estimator._encode(y, reset=reset, classes=classes)
    # float32 if JAX's x64 mode is off or X is float32.
    dtype = jax.dtypes.canonicalize_dtype(X.dtype)
    weights = _validate_weights(sample_weight, X, dtype)
    if is_classifier(estimator) and reset and classes is None and y.ndim == 1:
        lost = np.setdiff1d(y, y[weights > 0]).tolist()
        if lost:
            raise ValueError(f"sample_weight must not be zero in all rows of a class; got 0 for class {lost[0]!r}")
    if factor is not None:
        validate_weights("class_weight", factor, dtype)
        weights = validate_weights("sample_weight times class_weight", factor * weights, dtype)
    _validate_targets(targets, weights, estimator._criterion())
    rows = round_rows("X", X, dtype, weights), round_rows("y", targets, dtype, weights), weights.astype(dtype)
    return Rows(*(values[weights > 0] for values in rows))


def round_rows(name: str, values: np.ndarray, dtype: Any, weights: np.ndarray | None = None) -> np.ndarray:
    """Return rows in a dtype, in which they must be finite unless their weight is 0."""
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype, copy=False)
    validate_finite(name, rounded, weights)
    return rounded


def _validate_targets(targets: np.ndarray, weights: np.ndarray, criterion: Criterion) -> None:
    validate_targets(targets, criterion, weights)
    if criterion == softmax_cross_entropy and targets.shape[1] == 1:
        raise ValueError(
            "loss must not be 'softmax_cross_entropy' with one output, whose probability is always 1: use "
            "'sigmoid_binary_cross_entropy'"
        )


def _validate_weights(sample_weight: Any, X: np.ndarray, dtype: Any) -> np.ndarray:
    """Return sample weights (n,), in float64; scikit-learn checks the shape."""
    values = np.asarray(sample_weight)
    if values.ndim == 1 and values.dtype.kind in "biuf":
        validate_weights("sample_weight", values, dtype)
    return validate_weights("sample_weight", _check_sample_weight(sample_weight, X, dtype=np.float64), dtype)


def plan_batches(n: int, batch_size: int | str) -> tuple[int, int | None]:
    """Return how many rows to pad n rows to, and the rows of a batch: None if all rows are one batch.

    Padding to a power of two adds no batch, only memory, so it is for small tables only. "auto" is scikit-learn's: 200
    rows, or all.
    """
    size = 200 if batch_size == "auto" else validate_count("batch_size", batch_size, at_least=1)
    if n <= size:
        return round_up(n), None
    return 1 << (n - 1).bit_length() if n <= _DOUBLED else round_up(n), size


def round_up(n: int) -> int:
    """Return the next multiple of 32; for large n, a number at most an eighth above n."""
    step = max(32, (1 << n.bit_length()) // 16)
    return -(-n // step) * step


def pad(array: np.ndarray, n: int) -> np.ndarray:
    """Append rows of zeros, up to n rows."""
    return np.concatenate([array, np.zeros((n - len(array), *array.shape[1:]), array.dtype)])
