"""Splitting rows: a hold-out, and the folds of a cross-validation; at random, by groups or by time."""

from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from jaxmlp._validation import validate_key
from jaxmlp.fitting.grouping import assign_parts, split_latest


class Folds(NamedTuple):
    """The rows of each fold, as indices.

    Index arrays are padded to equal length; weight 0 marks padding.
    """

    number: np.ndarray  # (n,), the fold in which a row is held out; -1 for none
    train: np.ndarray  # (folds, n_train)
    valid: np.ndarray  # (folds, n_valid), for early stopping
    valid_weights: np.ndarray  # (folds, n_valid), 0 or 1
    test: np.ndarray  # (folds, n_test), held out
    test_weights: np.ndarray  # (folds, n_test), 0 or 1
    train_weights: np.ndarray | None = None  # (folds, n_train), 0 or 1; None for no padding


def make_folds(
    n: int,
    folds: int,
    rng: np.random.Generator,
    *,
    classes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
    validation: float = 0.1,
    held_out: float = 0.2,
) -> Folds:
    """Draw folds: each row is held out in one of them; or, if there is one fold, a fraction of the rows.

    Arguments:
        n: number of rows.
        folds: number of folds.
        rng: draws them.
        classes: (n,) integers; each fold and its validation rows get their share of each class.
        groups: (n,) integers; the rows of a group are held out together.
        times: (n,) numbers, for one fold: the latest rows are held out; of the others, the latest are validation rows.
        validation: fraction of the remaining rows that is for early stopping and not for training.
        held_out: fraction of the rows that a single fold holds out; at least two rows, as a standard error needs.

    Returns:
        Folds of equal size, as far as whole rows can.

    Raises:
        ValueError: too few rows.
    """
    if folds < 1 or n < 3 * folds:
        raise ValueError(f"folds must be at least 1 and have at least 3 rows each; got {folds} folds of {n} rows")
    if times is not None or groups is not None:
        return _make_whole_folds(n, folds, rng, classes, groups, times, validation, held_out)
    if folds == 1:
        try:
            rest, test = hold_out(n, max(held_out, 2 / n) if n > 3 else held_out, rng, classes)
            train, valid = hold_out(len(rest), validation, rng, None if classes is None else classes[rest])
        except ValueError as error:
            raise ValueError(f"too few rows for a single hold-out and its validation rows: {error}") from None
        number = np.full(n, -1)
        number[test] = 0
        return Folds(number, rest[train][None], *_pad([rest[valid]]), *_pad([test]))
    order = _draw_order(n, rng, classes)
    number = np.empty(n, np.int64)
    number[order] = np.arange(n) % folds
    rests = [order[number[order] != fold] for fold in range(folds)]  # class by class
    fewest = min(map(len, rests))
    n_train = fewest - max(1, round(validation * fewest))
    train, valid = zip(*(_take_evenly(rows, len(rows) - n_train, rng) for rows in rests), strict=True)
    test = [np.flatnonzero(number == fold) for fold in range(folds)]
    return Folds(number, np.stack(train), *_pad(list(valid)), *_pad(test))


def _make_whole_folds(
    n: int,
    folds: int,
    rng: np.random.Generator,
    classes: np.ndarray | None,
    groups: np.ndarray | None,
    times: np.ndarray | None,
    validation: float,
    held_out: float,
) -> Folds:
    """Draw folds of whole groups, or one fold of the latest rows; arguments are those of `make_folds`."""
    number = np.full(n, -1)
    if times is not None:
        if folds != 1:
            raise ValueError(f"folds must be 1 if times are given: the latest rows are held out; got {folds}")
        rest, test = split_latest(times, held_out, least=2)
        number[test] = 0
        train, valid = split_latest(times[rest], validation, least=1)
        return Folds(number, rest[train][None], *_pad([rest[valid]]), *_pad([test]))
    assert groups is not None
    least = 3 if folds == 1 else folds + 1
    if (given := len(np.unique(groups))) < least:
        raise ValueError(f"groups must be at least {least}, for training, validation and {folds} folds; got {given}")
    if folds == 1:
        part = assign_parts(groups, min(given, round(1 / held_out)), rng, classes)
        number[part == np.argmax(np.bincount(part) >= 2)] = 0  # the first part that has two rows
    else:
        number = assign_parts(groups, folds, rng, classes)
    train, valid = [], []
    for fold in range(folds):
        rest = rng.permutation(np.flatnonzero(number != fold))
        parts = min(round(1 / validation), len(np.unique(groups[rest])))
        part = assign_parts(groups[rest], parts, rng, None if classes is None else classes[rest])
        train.append(rest[part > 0])
        valid.append(rest[part == 0])
    n_train = min(map(len, train))
    # Folds train on equally many rows: the rows that are too many are validation rows.
    valid = [np.sort(np.concatenate([some, rows[n_train:]])) for some, rows in zip(valid, train, strict=True)]
    test = [np.flatnonzero(number == fold) for fold in range(folds)]
    return Folds(number, np.stack([np.sort(rows[:n_train]) for rows in train]), *_pad(valid), *_pad(test))


def join_validation(folds: Folds) -> Folds:
    """Return folds without validation rows, which train instead; to train equally long, a fold may leave out a row."""
    real = folds.valid_weights > 0
    rows = [
        np.concatenate([train, valid[some]]) for train, valid, some in zip(folds.train, folds.valid, real, strict=True)
    ]
    fewest = min(map(len, rows))
    if max(map(len, rows)) <= fewest + 1:
        rows = [some[:fewest] for some in rows]
    train, weights = _pad([np.sort(some) for some in rows])
    empty = np.empty((len(rows), 0))
    return folds._replace(
        train=train, valid=empty.astype(np.int64), valid_weights=empty, train_weights=None if weights.all() else weights
    )


def hold_out(
    n: int, fraction: float, rng: np.random.Generator, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows to hold out.

    Arguments:
        n: number of rows.
        fraction: fraction of the rows to hold out; at least one row.
        rng: draws them.
        classes: (n,) integers; each class gives its share, and keeps at least one row to train on.

    Returns:
        The indices of the rows to train on, and of the held-out rows, both in ascending order.

    Raises:
        ValueError: no row would be left to train on, or a class would lose all its rows.
    """
    order = _draw_order(n, rng, classes)
    kept = np.arange(min(n, 1)) if classes is None else np.unique(classes[order], return_index=True)[1]
    left = np.delete(order, kept)
    count = max(1, round(fraction * n)) if 0 < fraction < 1 else n
    if count > len(left):
        of = "" if classes is None else f" of {len(kept)} classes, each of which keeps a row to train on"
        raise ValueError(f"fraction must leave rows on both sides; got {fraction:g} of {n} rows{of}")
    rest, held_out = _take_evenly(left, count, rng)
    return np.sort(np.concatenate([rest, order[kept]])), held_out


def rng_of(key: Array) -> np.random.Generator:
    """Return NumPy's generator for a key of `jax.random.key`: what runs once is not worth compiling."""
    return np.random.default_rng(np.asarray(jax.random.key_data(validate_key(key))).ravel())


def _draw_order(n: int, rng: np.random.Generator, classes: np.ndarray | None) -> np.ndarray:
    """Return the rows in random order, class by class."""
    order = rng.permutation(n)
    return order if classes is None else order[np.argsort(classes[order], kind="stable")]


def _take_evenly(rows: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the other rows, and `count` evenly spaced ones: where rows are sorted by class, each gives its share."""
    taken = np.floor((np.arange(count) + rng.uniform()) * (len(rows) / count)).astype(np.int64)
    return np.sort(np.delete(rows, taken)), np.sort(rows[taken])


def _pad(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return index arrays as one, padded to equal length, and weights that are 0 for padding."""
    longest = max(map(len, parts))
    weights = np.arange(longest) < np.array([[len(part)] for part in parts])
    return np.stack([np.resize(part, longest) for part in parts]), weights.astype(np.float32)


def other_parts(part: np.ndarray, k: int) -> np.ndarray:
    """Return which rows (n,) decide for those of part k, such as which model predicts them: those of the other parts.

    A single held-out row has no others, and can only choose for itself.

    Arguments:
        part: (n,) the part of each row; -1 for rows that are not held out.
        k: a part.
    """
    others = (part >= 0) & (part != k)
    return others if others.any() else part == k
