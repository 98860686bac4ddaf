"""Permutation importance: how much the error on held-out rows grows when a column is shuffled (Breiman 2001)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import refuse_tracing
from jaxmlp.fitting.groups import predict_groups
from jaxmlp.fitting.splitting import rng_of
from jaxmlp.fitting.tasks import Task
from jaxmlp.selection.crossvalidation import CrossValidation
from jaxmlp.selection.inspection import draw_sample, scale_inputs, validate_data


class Importance(NamedTuple):
    """How much the error grows when a group of columns is shuffled, in the error's unit."""

    mean: np.ndarray  # (groups,) mean over the shuffles; near or below 0 for a column that does not matter
    std: np.ndarray  # (groups,) standard deviation over the shuffles
    order: np.ndarray  # (groups,) groups, the most important first
    standard_error: np.ndarray  # (groups,) standard error of the mean, if rows are independent


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

    Raises:
        ValueError: x or y without a row for each of the search, or of another shape.
        TypeError: a call that JAX traces.
    """
    refuse_tracing("permutation_importance", x, y, key)
    x, y = validate_data(result, x=x, y=y)
    x = scale_inputs(result, x)
    groups = [[column] for column in range(x.shape[1])] if groups is None else groups
    rng = rng_of(key)
    rows, repeats = draw_sample(result, len(groups), rng, repeats)
    folds, length = rows.shape
    others = np.stack([rng.permuted(rows, axis=1) for _ in range(repeats)], axis=1)  # (folds, repeats, length)

    columns = [[], *groups]  # the first shuffles nothing
    errors = np.empty((len(columns), repeats, folds, length))
    for k in range(folds):
        networks = result.networks_of(k)
        for group, error in zip(columns, errors, strict=True):
            mixed = np.repeat(x[rows[k]][None], repeats, axis=0)
            mixed[:, :, list(group)] = x[others[k]][:, :, list(group)]
            mixed = mixed.reshape(-1, x.shape[1])
            mean, *_ = predict_groups(networks, [mixed] * len(networks), result.criterion)
            error[:, k] = result.task.row_error(np.asarray(mean, np.float64).reshape(repeats, length, -1), y[rows[k]])
    errors = errors.reshape(len(columns), repeats, -1)
    scores = result.task.score(errors)
    growth = scores[1:] - scores[:1]
    by_row = errors.mean(axis=1)
    standard_error = error_of_growth(result.task, by_row[1:], by_row[0])
    mean = growth.mean(axis=1)
    return Importance(mean, growth.std(axis=1, ddof=1), np.argsort(-mean, kind="stable"), standard_error)


def error_of_growth(task: Task, errors: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return the standard error (groups,) of the score of errors (groups, n) minus that of errors (n,), same rows."""
    # What each row adds to the difference, to first order.
    by_row = errors * task.slope(errors)[:, None] - base * task.slope(base)
    return by_row.std(axis=1, ddof=1) / np.sqrt(len(base))
