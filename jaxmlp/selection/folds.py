"""Folds: which rows train a network, which stop it, and which judge it."""

from typing import NamedTuple

import numpy as np


class Folds(NamedTuple):
    """The rows of each fold, as indices; every row is held out in exactly one fold.

    A fold is a vector of 0/1 weights over all rows. As indices, the rows of weight 0 cost no time; what is left of
    the weights tells the rows from the padding that makes all folds equally long.
    """

    number: np.ndarray  # (n,), the fold in which a row is held out
    train: np.ndarray  # (folds, n_train), no padding
    valid: np.ndarray  # (folds, n_valid)
    valid_weights: np.ndarray  # (folds, n_valid)
    test: np.ndarray  # (folds, n_test)
    test_weights: np.ndarray  # (folds, n_test)


def make_folds(
    n: int, folds: int, rng: np.random.Generator, *, classes: np.ndarray | None = None, validation: float = 0.1
) -> Folds:
    """Draw folds.

    Arguments:
        n: rows.
        folds: at least 2.
        rng: draws them.
        classes: (n,) integers; each fold, and its rows to validate with, get their share of each class.
        validation: the share of the rows not held out that stop the training and do not train.

    Returns:
        Folds, as equal as can be.

    Raises:
        ValueError: too few rows.
    """
    if folds < 2 or n < 3 * folds:
        raise ValueError(f"folds must be at least 2 and have at least 3 rows each; got {folds} folds of {n} rows")
    order = rng.permutation(n)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    number = np.empty(n, np.int64)
    number[order] = np.arange(n) % folds
    rest = [order[number[order] != fold] for fold in range(folds)]  # class by class
    fewest = min(map(len, rest))
    n_train = fewest - max(1, round(validation * fewest))
    train, valid = zip(*(_apart(rows, len(rows) - n_train, rng) for rows in rest), strict=True)
    valid, valid_weights = _padded(list(valid))
    test, test_weights = _padded([np.flatnonzero(number == fold) for fold in range(folds)])
    return Folds(number, np.stack(train), valid, valid_weights, test, test_weights)


def _apart(rows: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The other rows, and `count` of them, evenly spaced, so that each class gives its share."""
    taken = np.floor((np.arange(count) + rng.uniform()) * (len(rows) / count)).astype(np.int64)
    return np.sort(np.delete(rows, taken)), np.sort(rows[taken])


def _padded(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    longest = max(map(len, parts))
    indices, weights = np.zeros((len(parts), longest), np.int64), np.zeros((len(parts), longest), np.float32)
    for row, weight, part in zip(indices, weights, parts, strict=True):
        row[: len(part)], row[len(part) :], weight[: len(part)] = part, part[0], 1
    return indices, weights
