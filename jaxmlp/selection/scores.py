"""The score of held-out predictions, with its standard error."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from jaxmlp.fitting.tasks import Task

_LEVEL, _DRAWS, _BLOCKS = 0.01, 2000, 1000  # Of the bootstrap.


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


def rank_score(score: float) -> float:
    """Return a score that sorts: infinity if training diverged."""
    return score if np.isfinite(score) else np.inf


def is_better(candidate: Score, other: Score) -> bool:
    """Return whether `candidate` has a lower error than `other` on the same rows, by a paired bootstrap at 1 %.

    Rows are drawn again with replacement, 2,000 times: `candidate` is better if it has the lower error in 99 % of the
    draws. A t-test would let one far row decide; here, more than a third of the draws are without it. For few rows the
    share is higher (the expanded percentile interval of Hesterberg 2015, "What Teachers Should Know about the
    Bootstrap").
    """
    if not np.isfinite([candidate.score, other.score]).all():
        return candidate.score < other.score
    difference = other.row_errors - candidate.row_errors
    n = len(difference)
    if n < 2:
        return False
    if n > _BLOCKS:  # Draw blocks of rows: sums of independent rows are independent too.
        difference = np.bincount(np.arange(n) % _BLOCKS, weights=difference)
    drawn = np.random.default_rng(0).integers(len(difference), size=(_DRAWS, len(difference)))
    return bool(np.mean(difference[drawn].sum(axis=1) <= 0) <= _expanded_level(n))


def _expanded_level(n: int) -> float:
    """Return the level at which the percentiles of a bootstrap of n rows are as wide as an interval of Student's t."""
    z, freedom = NormalDist().inv_cdf(1 - _LEVEL), n - 1
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)  # Cornish and Fisher
    return NormalDist().cdf(-t * math.sqrt(n / freedom))
