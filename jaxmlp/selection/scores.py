"""How good predictions of rows are that no network has seen, with a standard error."""

from typing import NamedTuple

import numpy as np

from jaxmlp.criteria import Criterion, poisson_nll_loss, sigmoid_binary_cross_entropy, softmax_cross_entropy


class Scored(NamedTuple):
    """Out-of-fold predictions and how wrong they are."""

    predictions: np.ndarray  # (n, outputs): means, probabilities or rates
    row_errors: np.ndarray  # (n,), of which the score is the mean, or the root of it
    score: float  # lower is better
    standard_error: float  # of the score, over the rows


def scored(predictions: np.ndarray, y: np.ndarray, criterion: Criterion) -> Scored:
    """The usual error of a criterion, over all rows.

    Arguments:
        predictions: (n, outputs), of the criterion's `predict`.
        y: (n, outputs), in the same unit.
        criterion: with cross-entropies the error is the log loss, for counts the deviance, else the root of the mean
            squared error, of outputs averaged.

    Returns:
        Predictions and errors. The standard error takes the rows for independent.
    """
    predictions, y = np.asarray(predictions, np.float64), np.asarray(y, np.float64)
    rows = row_errors(predictions, y, criterion)
    score, deviation = float(mean_error(rows, criterion)), float(rows.std(ddof=1) / np.sqrt(len(rows)))
    if error_name(criterion) == "RMSE":
        deviation = deviation / (2 * score) if score > 0 else 0.0  # that of a root
    return Scored(predictions, rows, score, deviation)


def row_errors(predictions: np.ndarray, y: np.ndarray, criterion: Criterion) -> np.ndarray:
    """The error of each row, (..., n), of predictions (..., n, outputs) and targets (n, outputs)."""
    name = error_name(criterion)
    if name == "RMSE":
        return ((predictions - y) ** 2).mean(axis=-1)
    tiny = np.finfo(np.float32).eps
    if name == "deviance":
        rates = np.maximum(predictions, tiny)
        return 2 * (y * np.log(np.maximum(y, tiny) / rates) - y + rates).mean(axis=-1)
    p = np.clip(predictions, tiny, 1 - tiny)
    if criterion == softmax_cross_entropy:
        return -(y * np.log(p)).sum(axis=-1)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(axis=-1)


def mean_error(errors: np.ndarray, criterion: Criterion) -> np.ndarray:
    """The score (...) of the errors of rows (..., n)."""
    mean = errors.mean(axis=-1)
    return np.sqrt(mean) if error_name(criterion) == "RMSE" else mean


def error_name(criterion: Criterion) -> str:
    """What `scored` measures: "RMSE", "log loss" or "deviance"."""
    if criterion in (softmax_cross_entropy, sigmoid_binary_cross_entropy):
        return "log loss"
    return "deviance" if criterion == poisson_nll_loss else "RMSE"


def is_better(one: Scored, other: Scored, deviations: float = 2.0) -> bool:
    """Whether `one` is better than `other` on the same rows, by more than so many standard errors of the difference."""
    difference = other.row_errors - one.row_errors
    return bool(difference.mean() > deviations * difference.std(ddof=1) / np.sqrt(len(difference)))
