"""Permutation importance: how much the error on held-out rows grows when a column is shuffled (Breiman 2001)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import to_numpy
from jaxmlp.fitting.groups import predict_groups
from jaxmlp.fitting.splitting import rng_of
from jaxmlp.selection.crossvalidation import CrossValidation

# Rows of a fold that are shuffled at most and at least; and the largest number of multiplications.
MAX_ROWS, MIN_ROWS = 2000, 100
MAX_WORK = 5e10


class Importance(NamedTuple):
    """How much the error grows when a group of columns is shuffled, in the error's unit."""

    mean: np.ndarray  # (groups,) mean over the shuffles; near or below 0 for a column that does not matter
    std: np.ndarray  # (groups,) standard deviation over the shuffles
    order: np.ndarray  # (groups,) groups, the most important first


def permutation_importance(
    result: CrossValidation,
    x: ArrayLike,
    y: ArrayLike,
    groups: Sequence[Sequence[int]] | None = None,
    *,
    key: Array,
    repeats: int = 10,
) -> Importance:
    """Shuffle columns among the held-out rows of each fold, and measure how much the error of its networks grows.

    Columns that hold the same information share their importance: shuffling one leaves the other.

    Arguments:
        result: of `cross_validate`.
        x: (n, fan_in) inputs that it was given.
        y: (n, outputs) targets that it was given.
        groups: columns that are shuffled together, such as those of one-hot levels; None for single columns.
        key: a key of `jax.random.key`, for the shuffles.
        repeats: number of shuffles of each group; fewer, but at least 2, if the networks are very wide.

    Returns:
        The importance of each group over all folds.
    """
    x, y = to_numpy("x", x).astype(np.float64), to_numpy("y", y).astype(np.float64)
    x = np.asarray(result.groups[0].scale(x))  # all groups of a search share the scaling
    groups = [[column] for column in range(x.shape[1])] if groups is None else groups
    held_out = np.bincount(result.fold[result.fold >= 0])
    weights = sum(layer.w.size for group in result.groups for layer in group.params)
    affordable = int(MAX_WORK / (max(len(groups), 1) * weights))  # rows of a fold times shuffles
    length = min(MAX_ROWS, max(MIN_ROWS, affordable // repeats), held_out.min())
    repeats = min(repeats, max(2, affordable // length))
    rng = rng_of(key)
    rows = np.stack([rng.choice(np.flatnonzero(result.fold == k), length, replace=False) for k in range(len(held_out))])
    others = np.stack([rng.permuted(rows, axis=1) for _ in range(repeats)], axis=1)  # (folds, repeats, length)

    columns = [[], *groups]  # the first shuffles nothing
    errors = np.empty((len(columns), repeats, len(held_out), length))
    for k in range(len(held_out)):
        networks = result.networks_of(k)
        for group, error in zip(columns, errors, strict=True):
            mixed = np.repeat(x[rows[k]][None], repeats, axis=0)
            mixed[:, :, list(group)] = x[others[k]][:, :, list(group)]
            mixed = mixed.reshape(-1, x.shape[1])
            mean, *_ = predict_groups(networks, [mixed] * len(networks), result.criterion)
            error[:, k] = result.task.row_error(np.asarray(mean, np.float64).reshape(repeats, length, -1), y[rows[k]])
    scores = result.task.score(errors.reshape(len(columns), repeats, -1))
    growth = scores[1:] - scores[:1]
    return Importance(growth.mean(axis=1), growth.std(axis=1, ddof=1), np.argsort(-growth.mean(axis=1), kind="stable"))
