"""The rows of an estimator: validation, and padding.

Tables of similar length share one compiled program: rows of weight 0 pad them to a round number.
"""

import warnings
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_sample_weight, validate_data

from jaxmlp._validation import refuse_masked, refuse_tracing
from jaxmlp.criteria import Criterion, poisson_nll_loss, softmax_cross_entropy
from jaxmlp.fitting.values import validate_finite, validate_targets, validate_weights
from jaxmlp.sklearn.losses import half_poisson_deviance
from jaxmlp.sklearn.parameters import Parameters

# Tables of at most this many rows may be padded to twice their length, so that all rows and the training rows of a fold
# more often share a program.
_DOUBLED = 2**14

# Sparse matrices of at most this many bytes, when dense, are made dense.
MOST_DENSE_BYTES = 2**31

# What `fit` or `partial_fit` begins with: new weights, the last ones, or the last ones and the state of the optimizer.
Start = Literal["new", "warm", "partial"]


class Rows(NamedTuple):
    """Rows to train or validate with."""

    x: np.ndarray  # (n, features)
    targets: np.ndarray  # (n, outputs)
    sample_weight: np.ndarray  # (n,), above 0


def validate_rows(estimator: Parameters, X: Any, y: Any, sample_weight: object, start: Start) -> Rows:
    """Return the rows that have a weight, validated by scikit-learn's rules.

    Arguments:
        estimator: learns features and classes if this is a new start, and encodes the targets.
        X: (n, features).
        y: (n,) or (n, outputs).
        sample_weight: (n,), or None for all ones.
        start: whether the rows must be of the same kind as those of an earlier call.
    """
    refuse_tracing(f"{type(estimator).__name__}.fit", X, y)
    for name, value in {"X": X, "y": y, "sample_weight": sample_weight}.items():
        refuse_masked(name, value)
    continues = start != "new" and hasattr(estimator, "coefs_")
    X, y = validate_data(
        estimator, X, y, dtype=(np.float64, np.float32), accept_sparse=("csr", "csc"), multi_output=True,
        y_numeric=is_regressor(estimator), reset=not continues,
    )  # fmt: skip
    X = make_dense(X)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    targets, factor = estimator._encode(y, start)
    dtype = np.result_type(estimator.coefs_[0].dtype, np.float32) if continues else X.dtype
    dtype = _choose_dtype(estimator, dtype, X.dtype)
    weights = _validate_weights(sample_weight, X, dtype)
    if is_classifier(estimator) and start == "new" and y.ndim == 1:
        lost = np.setdiff1d(y, y[weights > 0]).tolist()
        if lost:
            raise ValueError(f"sample_weight must not be zero in all rows of a class; got 0 for class {lost[0]!r}")
    if factor is not None:
        validate_weights("class_weight", factor, dtype)
        weights = validate_weights("sample_weight times class_weight", factor * weights, dtype)
    _validate_targets(targets, weights, estimator._criterion())
    rows = round_rows("X", X, dtype, weights), round_rows("y", targets, dtype, weights), weights.astype(dtype)
    return Rows(*(values[weights > 0] for values in rows))


def make_dense(X: Any) -> np.ndarray:
    """Return an array as it is, and a sparse matrix as an array if that is small enough."""
    if not scipy.sparse.issparse(X):
        return X
    size = X.shape[0] * X.shape[1] * X.dtype.itemsize
    if size > MOST_DENSE_BYTES:
        raise ValueError(
            f"a sparse X is made dense, so it must have at most {MOST_DENSE_BYTES / 2**30:g} GiB then; got {X.shape} "
            f"in {X.dtype}, which has {size / 2**30:.3g} GiB: select columns, reduce them by TruncatedSVD, or use "
            "partial_fit"
        )
    return X.toarray()


def _choose_dtype(estimator: Parameters, dtype: np.dtype, given: np.dtype) -> np.dtype:
    """Return the dtype to train in: float64 for "lbfgs", float32 on accelerators, otherwise that of the weights."""
    if estimator.solver == "lbfgs":
        return np.dtype(np.float64)
    platform = estimator._platform()
    if platform != "cpu" and given == np.float64:
        message = f"X is float64, but on {platform} the network computes in float32: convert X, or pass device='cpu'"
        warnings.warn(message, DataConversionWarning, stacklevel=4)
    return np.dtype(dtype if platform == "cpu" else np.float32)


def round_rows(name: str, values: np.ndarray, dtype: np.dtype, weights: np.ndarray | None = None) -> np.ndarray:
    """Return rows in a dtype, in which they must be finite unless their weight is 0."""
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype, copy=False)
    validate_finite(name, rounded, weights)
    return rounded


def _validate_targets(targets: np.ndarray, weights: np.ndarray, criterion: Criterion) -> None:
    validate_targets(targets, poisson_nll_loss if criterion == half_poisson_deviance else criterion, weights)
    if criterion == softmax_cross_entropy and targets.shape[1] == 1:
        raise ValueError(
            "loss must not be 'softmax_cross_entropy' with one output, whose probability is always 1: use "
            "'sigmoid_binary_cross_entropy'"
        )


def _validate_weights(sample_weight: object, X: np.ndarray, dtype: object) -> np.ndarray:
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
    size = 200 if batch_size == "auto" else int(batch_size)
    if batch_size != "auto" and size > n:
        warnings.warn(f"batch_size={size} is more than the number of rows: all {n} are one batch", stacklevel=4)
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
