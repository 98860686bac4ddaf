"""The rows of an estimator: validation, and padding.

Tables of similar length share one compiled program: rows of weight 0 pad them to a round number.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.base import is_regressor
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_sample_weight, validate_data

from jaxmlp._validation import refuse_tracing, validate_count

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
    X, y = validate_data(
        estimator, X, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=is_regressor(estimator),
        reset=reset,
    )  # fmt: skip
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    targets, factor = estimator._encode(y, reset=reset, classes=classes)
    weights = factor * _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not (weights > 0).any():
        raise ValueError("sample_weight must not be zero in all rows")
    # float32 if JAX's x64 mode is off or X is float32. A value that overflows leads to a loss that is not finite.
    dtype = jax.dtypes.canonicalize_dtype(X.dtype)
    with np.errstate(over="ignore"):
        return Rows(*(values[weights > 0].astype(dtype, copy=False) for values in (X, targets, weights)))


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
