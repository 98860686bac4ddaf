"""The rows of each fold, scaled for training, and the baseline that needs no training."""

from typing import NamedTuple

import numpy as np

from jaxmlp.fitting.scaling import Scaling, finest_scaling, identity_scaling, learn_scaling
from jaxmlp.fitting.splitting import Folds
from jaxmlp.fitting.state import FitData
from jaxmlp.fitting.tasks import Task


class Prepared(NamedTuple):
    """All folds, each scaled by the rows that it does not hold out."""

    data: FitData  # Training and validation rows, with a leading axis of folds.
    x_test: np.ndarray  # (folds, n_test, fan_in) held-out rows
    folds: Folds
    inputs: tuple[Scaling, ...]  # The scaling of the inputs in each fold.
    targets: tuple[Scaling, ...]  # The scaling of the targets in each fold.
    encoding: Scaling  # The finest scaling of the inputs, which a model applies.
    target: Scaling  # The finest scaling of the targets, which a model inverts.
    constant: np.ndarray  # (folds, outputs) predictions of the constant baseline
    task: Task

    @property
    def held_out(self) -> np.ndarray:
        """Whether a row is held out in some fold, (n,) bool."""
        return self.folds.number >= 0

    def collect(self, predictions: np.ndarray) -> np.ndarray:
        """Return (n, outputs) predictions of held-out rows, given those of each fold (folds, n_test, outputs)."""
        collected = np.full((len(self.folds.number), predictions.shape[-1]), np.nan)
        real = self.folds.test_weights > 0
        collected[self.folds.test[real]] = predictions[real]
        return collected


def prepare(x: np.ndarray, y: np.ndarray, folds: Folds, task: Task) -> Prepared:
    """Scale the rows of each fold by the rows that it does not hold out.

    Arguments:
        x: (n, fan_in), float64.
        y: (n, outputs), float64.
        folds: which rows train, validate and are held out.
        task: says whether targets are standardized, and what the constant baseline predicts.

    Returns:
        The folds, in float32.
    """
    used = [np.concatenate([train, np.unique(valid)]) for train, valid in zip(folds.train, folds.valid, strict=True)]
    scale_target = learn_scaling if task.standardizes_target else lambda rows: identity_scaling(rows.shape[1])
    inputs = tuple(learn_scaling(x[rows]) for rows in used)
    targets = tuple(scale_target(y[rows]) for rows in used)
    data = FitData(
        x=_scale(x, folds.train, inputs),
        y=_scale(y, folds.train, targets),
        x_valid=_scale(x, folds.valid, inputs),
        y_valid=_scale(y, folds.valid, targets),
        valid_weight=folds.valid_weights,
    )
    constant = np.stack([task.constant(y[rows].mean(axis=0), len(y)) for rows in used])
    x_test = _scale(x, folds.test, inputs)
    encoding, target = finest_scaling(inputs), finest_scaling(targets)
    return Prepared(data, x_test, folds, inputs, targets, encoding, target, constant, task)


def _scale(values: np.ndarray, rows: np.ndarray, scalings: tuple[Scaling, ...]) -> np.ndarray:
    return np.stack([scaling.apply(values[fold]) for fold, scaling in zip(rows, scalings, strict=True)]).astype(
        np.float32
    )
