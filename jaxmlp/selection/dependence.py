"""Partial dependence: how predictions of held-out rows move when a column takes other values (Friedman 2001)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import refuse_tracing
from jaxmlp.fitting.splitting import rng_of
from jaxmlp.fitting.temperature import apply_temperature
from jaxmlp.selection.crossvalidation import CrossValidation
from jaxmlp.selection.inspection import Sample, draw_sample, predict_by_fold, scale_inputs, validate_data

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

    Raises:
        ValueError: x without a row for each of the search, or of another shape.
        TypeError: a call that JAX traces.
    """
    refuse_tracing("partial_dependence", x, key)
    (x,) = validate_data(result, x=x)
    scaled = scale_inputs(result, x)
    sample = draw_sample(result, len(groups), rng_of(key))
    taken = [scaled[own][:, list(group)] for group, own in zip(groups, sources, strict=True)]
    return [_measure(result, scaled, list(group), values, sample) for group, values in zip(groups, taken, strict=True)]


def _measure(
    result: CrossValidation, x: np.ndarray, group: list[int], values: np.ndarray, sample: Sample
) -> Dependence:
    """Return the dependence on one group; x and values (values, columns of the group) are scaled."""
    rows = sample.rows[:, : max(1, sample.size // len(values))]
    curves = []
    for k, own in enumerate(rows):
        mixed = np.repeat(x[own][:, None], len(values), axis=1)
        mixed[:, :, group] = values
        predictions = predict_by_fold(result, k, mixed.reshape(-1, x.shape[1]), sample.size)
        curves.append(predictions.reshape(len(own), len(values), -1))
    predictions = np.stack(curves)  # (folds, rows, values, outputs)
    if result.temperature is not None:
        predictions = apply_temperature(predictions, result.temperature)
    mean = predictions.mean(axis=(0, 1))
    level = predictions.mean(axis=2, keepdims=True)
    moved = (predictions - level + mean.mean(axis=0)).reshape(-1, *mean.shape)
    low, high = np.quantile(moved, (_TAIL, 1 - _TAIL), axis=0)
    return Dependence(mean, low, high, predictions.mean(axis=1))
