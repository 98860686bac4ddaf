"""The score of held-out predictions, with its standard error."""

from typing import NamedTuple

import numpy as np

from jaxmlp.fitting.tasks import Task


class Score(NamedTuple):
    """Predictions of held-out rows, and how wrong they are."""

    predictions: np.ndarray  # (n, outputs) means, probabilities or mean counts; NaN for rows never held out
    row_errors: np.ndarray  # (held-out rows,) errors, of which the score is the mean or the root of the mean
    score: float  # The error over all held-out rows; lower is better; infinite if training diverged.
    standard_error: float  # The standard error of the score, if rows are independent.

    def __repr__(self) -> str:
        return f"Score({self.score:.4g} ± {self.standard_error:.2g} on {len(self.row_errors)} rows)"


def score_predictions(predictions: np.ndarray, y: np.ndarray, task: Task, held_out: np.ndarray | None = None) -> Score:
    """Score predictions by the error of a task.

    Arguments:
        predictions: (n, outputs).
        y: (n, outputs) targets, in the same unit.
        task: says what the error is.
        held_out: (n,) bool, the rows to score; None for all.

    Returns:
        Predictions, errors and score.
    """
    predictions, y = np.asarray(predictions, np.float64), np.asarray(y, np.float64)
    rows = np.ones(len(y), bool) if held_out is None else held_out
    if not np.isfinite(predictions[rows]).all():  # diverged
        return Score(predictions, np.full(rows.sum(), np.inf), np.inf, np.inf)
    errors = np.asarray(task.row_error(predictions[rows], y[rows]))
    return Score(predictions, errors, float(task.score(errors)), task.standard_error(errors))


def is_better(candidate: Score, other: Score, standard_errors: float = 2.0) -> bool:
    """Return whether `candidate` beats `other` on the same rows by more than 2 standard errors of the difference."""
    if not np.isfinite([candidate.score, other.score]).all():
        return candidate.score < other.score
    difference = other.row_errors - candidate.row_errors
    return bool(difference.mean() > standard_errors * difference.std(ddof=1) / np.sqrt(len(difference)))
