"""Held-out rows whose predictions are inspected."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxmlp._validation import to_numpy
from jaxmlp.fitting.groups import predict_groups
from jaxmlp.selection.crossvalidation import CrossValidation

# Rows of a fold at most and at least; and the largest number of multiplications.
MAX_ROWS, MIN_ROWS = 2000, 100
MAX_WORK = 5e10


class Sample(NamedTuple):
    """Held-out rows whose predictions are inspected."""

    rows: np.ndarray  # (folds, length) indices of rows of each fold
    repeats: int  # How many variants of each row are affordable.

    @property
    def size(self) -> int:
        """Number of variants of the rows of a fold."""
        return self.rows.shape[1] * self.repeats


def validate_data(result: CrossValidation, **data: ArrayLike) -> list[np.ndarray]:
    """Return `x` (n, fan_in) and `y` (n, outputs) of a search in float64; ValueError if a shape is another."""
    shapes = {"x": (len(result.fold), result.groups[0].columns), "y": result.model.predictions.shape}
    arrays = {name: to_numpy(name, values).astype(np.float64) for name, values in data.items()}
    for name, values in arrays.items():
        if values.shape != shapes[name]:
            raise ValueError(f"{name} must have shape {shapes[name]}, as in the search; got {values.shape}")
    return list(arrays.values())


def scale_inputs(result: CrossValidation, x: np.ndarray) -> np.ndarray:
    """Return inputs (n, fan_in), float64, as all networks of a search take them."""
    return np.asarray(result.groups[0].scale(x))


def plan_sample(result: CrossValidation, groups: int, repeats: int = 10) -> tuple[int, int]:
    """Return how many held-out rows of each fold, and variants of each for every group of columns, are affordable."""
    held_out = np.bincount(result.fold[result.fold >= 0])
    weights = sum(layer.w.size for group in result.groups for layer in group.params)
    affordable = int(MAX_WORK / (max(groups, 1) * weights))  # rows of a fold times shuffles
    length = min(MAX_ROWS, max(MIN_ROWS, affordable // repeats), held_out.min())
    return length, min(repeats, max(2, affordable // length))


def draw_sample(result: CrossValidation, groups: int, rng: np.random.Generator, repeats: int = 10) -> Sample:
    """Return held-out rows of each fold, as many as `plan_sample` says."""
    length, repeats = plan_sample(result, groups, repeats)
    rows = [rng.choice(np.flatnonzero(result.fold == k), length, replace=False) for k in range(result.folds)]
    return Sample(np.stack(rows), repeats)


def predict_by_fold(result: CrossValidation, fold: int, x: np.ndarray, size: int) -> np.ndarray:
    """Return the predictions (n, outputs) of scaled rows by the networks of a fold, probabilities without temperature.

    Rows are repeated up to `size`, the number that `permutation_importance` predicts, so that its compiled program is
    used again.
    """
    padded = np.resize(x, (max(size, len(x)), x.shape[1]))
    networks = result.networks_of(fold)
    mean, *_ = predict_groups(networks, [padded] * len(networks), result.criterion)
    return np.asarray(mean, np.float64)[: len(x)]
