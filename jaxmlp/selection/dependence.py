"""Partial dependence: how predictions of held-out rows move when a column takes other values (Friedman 2001)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp.fitting.groups import predict_groups
from jaxmlp.fitting.splitting import rng_of
from jaxmlp.fitting.temperature import apply_temperature
from jaxmlp.selection.crossvalidation import CrossValidation
from jaxmlp.selection.importance import draw_sample, scale_inputs

_TAIL = 0.1  # The share of the rows below the band, and above it.


class Dependence(NamedTuple):
    """Predictions of held-out rows for each of several values of a column, in the target's unit."""

    mean: np.ndarray  # (values, outputs) over the rows of all folds
    # (values, outputs): 80 % of the rows' own curves are in between, each moved up or down to the mean level.
    low: np.ndarray
    high: np.ndarray
    folds: np.ndarray  # (folds, values, outputs) the mean over the rows of a fold, by its networks


def partial_dependence(
    result: CrossValidation,
    x: ArrayLike,
    groups: Sequence[Sequence[int]],
    sources: Sequence[np.ndarray],
    *,
    key: Array,
) -> list[Dependence]:
    """Set columns to the values of other rows in held-out rows of each fold, and predict by the networks of the fold.

    Arguments:
        result: of `cross_validate`.
        x: (n, fan_in) inputs that it was given.
        groups: columns that are set together, such as those of one-hot levels.
        sources: (values,) indices of the rows whose values are taken, for each group.
        key: a key of `jax.random.key`, for the choice of the rows.

    Returns:
        The dependence on each group.
    """
    scaled = scale_inputs(result, x)
    rows, repeats = draw_sample(result, len(groups), rng_of(key))
    taken = [scaled[own][:, list(group)] for group, own in zip(groups, sources, strict=True)]
    return [
        _measure(result, scaled, list(group), values, rows, repeats)
        for group, values in zip(groups, taken, strict=True)
    ]


def _measure(
    result: CrossValidation, x: np.ndarray, group: list[int], values: np.ndarray, rows: np.ndarray, repeats: int
) -> Dependence:
    """Return the dependence on one group; x and values (values, columns of the group) are scaled."""
    size = rows.shape[1] * repeats
    rows = rows[:, : max(1, size // len(values))]
    curves = []
    for k, own in enumerate(rows):
        mixed = np.repeat(x[own][:, None], len(values), axis=1)
        mixed[:, :, group] = values
        mixed = mixed.reshape(-1, x.shape[1])
        # As many rows as in `permutation_importance`, by repeating some, so that its compiled program is used again.
        padded = np.resize(mixed, (max(size, len(mixed)), x.shape[1]))
        networks = result.networks_of(k)
        mean, *_ = predict_groups(networks, [padded] * len(networks), result.criterion)
        curves.append(np.asarray(mean, np.float64)[: len(mixed)].reshape(len(own), len(values), -1))
    predictions = np.stack(curves)  # (folds, rows, values, outputs)
    if result.temperature is not None:
        predictions = apply_temperature(predictions, result.temperature)
    mean = predictions.mean(axis=(0, 1))
    level = predictions.mean(axis=2, keepdims=True)
    moved = (predictions - level + mean.mean(axis=0)).reshape(-1, *mean.shape)
    low, high = np.quantile(moved, (_TAIL, 1 - _TAIL), axis=0)
    return Dependence(mean, low, high, predictions.mean(axis=1))
