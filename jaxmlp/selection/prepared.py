"""The rows of each fold as networks want them, and what can be said of them without training one."""

from typing import NamedTuple

import numpy as np

from jaxmlp.criteria import (
    Criterion,
    huber_loss,
    poisson_nll_loss,
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from jaxmlp.selection.folds import Folds
from jaxmlp.selection.members import FoldData
from jaxmlp.selection.standard import Affine, identity, standard


class Prepared(NamedTuple):
    """All folds, standardised by the rows that each does not hold out."""

    data: FoldData
    inputs: list[Affine]  # of each fold
    targets: list[Affine]
    guess: np.ndarray  # (folds, outputs), of a model without inputs
    folds: Folds
    criterion: Criterion


def prepare(x: np.ndarray, y: np.ndarray, folds: Folds, criterion: Criterion) -> Prepared:
    """Standardise by the rows that a fold does not hold out, and by nothing else."""
    seen = [np.concatenate([train, np.unique(valid)]) for train, valid in zip(folds.train, folds.valid, strict=True)]
    inputs = [standard(x[rows]) for rows in seen]
    standardised = criterion in (squared_error, huber_loss)
    targets = [standard(y[rows]) if standardised else identity(y.shape[1]) for rows in seen]
    data = FoldData(
        x=_of_folds(x, folds.train, inputs),
        y=_of_folds(y, folds.train, targets),
        x_valid=_of_folds(x, folds.valid, inputs),
        y_valid=_of_folds(y, folds.valid, targets),
        valid_weights=folds.valid_weights,
        x_test=_of_folds(x, folds.test, inputs),
    )
    guess = np.stack([_guess(y[rows].mean(axis=0), len(y), criterion) for rows in seen])
    return Prepared(data, inputs, targets, guess, folds, criterion)


def _guess(mean: np.ndarray, n: int, criterion: Criterion) -> np.ndarray:
    """What a model without inputs predicts; a class or a count that no row has is half as likely as that of one row."""
    rare = 0.5 / n
    if criterion == softmax_cross_entropy:
        floored = np.maximum(mean, rare)
        return floored * mean.sum() / floored.sum()
    if criterion == sigmoid_binary_cross_entropy:
        return np.clip(mean, rare, 1 - rare)
    return np.maximum(mean, rare) if criterion == poisson_nll_loss else mean


def starting_outputs(prepared: Prepared) -> np.ndarray:
    """The outputs (folds, outputs) of a network that guesses: where training starts."""
    mean, criterion = prepared.guess, prepared.criterion
    if criterion in (softmax_cross_entropy, poisson_nll_loss):
        return np.log(mean)
    if criterion == sigmoid_binary_cross_entropy:
        return np.log(mean / (1 - mean))
    return np.zeros_like(mean)


def least_squares(prepared: Prepared) -> np.ndarray:
    """The predictions (n, outputs) of linear models of each fold, solved and not trained."""
    data, folds = prepared.data, prepared.folds
    x_valid, y_valid = np.asarray(data.x_valid), np.asarray(data.y_valid)
    predictions = np.empty((len(folds.number), data.y.shape[2]))
    for k in range(data.x.shape[0]):
        real, held_out = folds.valid_weights[k] > 0, folds.test_weights[k] > 0
        x = _with_ones(np.concatenate([data.x[k], x_valid[k][real]]))
        y = np.concatenate([data.y[k], y_valid[k][real]]).astype(np.float64)
        # The normal equations: of standardised columns they are accurate enough, and small however many the rows. The
        # ridge is for columns that say the same, and too small to be seen.
        w = np.linalg.solve(x.T @ x + 1e-10 * len(x) * np.eye(x.shape[1]), x.T @ y)
        found = _with_ones(data.x_test[k][held_out]) @ w
        predictions[folds.test[k][held_out]] = prepared.targets[k].undone(found)
    return predictions


def _with_ones(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones_like(x[:, :1])], axis=1, dtype=np.float64)


def _of_folds(values: np.ndarray, rows: np.ndarray, affines: list[Affine]) -> np.ndarray:
    return np.stack([affine(values[some]) for some, affine in zip(rows, affines, strict=True)])
