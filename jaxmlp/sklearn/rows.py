"""Tables of nearly equal length share one program: rows of weight 0 fill them up to a round number."""

import numpy as np

from jaxmlp._validation import validate_count

# Tables of up to so many rows may be filled up to twice their length: the folds of a table and all of it then are one
# program more often than not.
_DOUBLED = 2**14


def batches(n: int, batch_size: int | str) -> tuple[int, int | None]:
    """The rows that n rows are filled up to, and the rows of a batch, None where all are one batch.

    What is filled up to a power of two adds no batch, only memory; so larger tables are filled up less.
    scikit-learn's "auto" are 200 rows, or all.
    """
    size = 200 if batch_size == "auto" else validate_count("batch_size", batch_size, at_least=1)
    if n <= size:
        return rounded(n), None
    return 1 << (n - 1).bit_length() if n <= _DOUBLED else rounded(n), size


def rounded(n: int) -> int:
    """N rows, filled up to a multiple of 32, or by less than an eighth."""
    step = max(32, (1 << n.bit_length()) // 16)
    return -(-n // step) * step


def filled(array: np.ndarray, n: int) -> np.ndarray:
    """The array with rows of zeros below, n in all."""
    return np.concatenate([array, np.zeros((n - len(array), *array.shape[1:]), array.dtype)])
