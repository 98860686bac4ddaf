"""Tables of nearly equal length share one program: rows of weight 0 fill them up to a round number."""

import numpy as np

from jaxmlp.checks import checked_count


def batches(n: int, batch_size: int | str) -> tuple[int, int | None]:
    """The rows that n rows are filled up to, and the rows of a batch, None where all are one batch.

    Filling up adds no batch: scikit-learn's "auto" are 200 rows, or all.
    """
    size = 200 if batch_size == "auto" else checked_count("batch_size", batch_size, at_least=1)
    if n <= size:
        return rounded(n), None
    return -(-n // size) * size, size


def rounded(n: int) -> int:
    """N rows, filled up to a multiple of 32, or by less than an eighth."""
    step = max(32, (1 << n.bit_length()) // 16)
    return -(-n // step) * step


def filled(array: np.ndarray, n: int) -> np.ndarray:
    """The array with rows of zeros below, n in all."""
    return np.concatenate([array, np.zeros((n - len(array), *array.shape[1:]), array.dtype)])
