"""Tasks: what training on real data must know about a criterion.

No other file asks which criterion it has. A custom criterion has no task: `fit` then measures what its `metric=` says,
and `cross_validate` takes a `task=`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jaxmlp import criteria
from jaxmlp.criteria import Criterion
from jaxmlp.fitting import metrics


@dataclass(frozen=True)
class Task:
    """What training on real data must know about a criterion.

    Arguments:
        metric: what `fit` measures after each epoch; nothing else uses it. Maps predictions and y (n, outputs) and
            sample_weight (n,) to a scalar.
        error: name of `row_error` in reports: "RMSE", "log loss", "deviance".
        row_error: what models are chosen and reported by. Maps predictions (..., n, outputs) and targets (n, outputs)
            to errors (..., n).
        link: maps a mean prediction (..., outputs) to the network's output; the inverse of the criterion's `predict`.
        constant: maps the mean target (outputs,) and the number of rows to the prediction of the constant baseline.
        is_root: whether the score is the root of the mean row error.
        standardizes_target: whether targets are standardized for training.
        stratifies: whether targets are one-hot classes, of which each part of the rows gets its share.
        is_least_squares: whether a linear model is solved exactly rather than trained.
        targets: the smallest and the largest target that makes sense.
        has_bounds: whether predictions are clipped to the range of the training targets.
    """

    metric: metrics.Metric
    error: str
    row_error: metrics.RowError
    link: Callable[[np.ndarray], np.ndarray]
    constant: Callable[[np.ndarray, int], np.ndarray]
    is_root: bool = False
    standardizes_target: bool = False
    stratifies: bool = False
    is_least_squares: bool = False
    targets: tuple[float, float] = (-math.inf, math.inf)
    has_bounds: bool = False

    def score(self, row_errors: np.ndarray) -> np.ndarray:
        """Return the score (...) of row errors (..., n): lower is better."""
        mean = row_errors.mean(axis=-1)
        return np.sqrt(mean) if self.is_root else mean

    def slope(self, row_errors: np.ndarray) -> np.ndarray:
        """Return how much the score (...) grows with the mean of the row errors (..., n): 1, or 1 / (2 root)."""
        score = np.asarray(self.score(row_errors))
        if not self.is_root:
            return np.ones_like(score)
        return np.divide(0.5, score, out=np.zeros_like(score), where=score > 0)

    def standard_error(self, row_errors: np.ndarray) -> float:
        """Return the standard error of the score of independent row errors (n,)."""
        return float(self.slope(row_errors) * row_errors.std(ddof=1) / np.sqrt(len(row_errors)))


def task_of(criterion: Criterion, task: Task | None = None) -> Task:
    """Return `task` if it is given, else the task of a built-in criterion.

    Raises:
        ValueError: a custom criterion without a task.
    """
    if task is None and criterion not in CRITERION_TASKS:
        raise ValueError(
            "task must be given with a custom criterion: a jaxmlp.fitting.Task, which holds its metric, row "
            "errors, link and constant baseline"
        )
    return CRITERION_TASKS[criterion] if task is None else task


def difference_of(errors: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Return by how much errors (n,) are larger on average than others of the same rows, and the standard error.

    The standard error of a single row is infinite: it tells nothing about others.
    """
    difference = errors - others
    n = len(difference)
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(n)) if n > 1 else np.inf


def _identity(mean: np.ndarray) -> np.ndarray:
    return mean


# Constant baselines. A class or count without training rows counts as half a row: its probability is never exactly 0,
# for which the log loss would be infinite.


def _mean(mean: np.ndarray, _: int) -> np.ndarray:
    return mean


def _mean_count(mean: np.ndarray, n: int) -> np.ndarray:
    return np.maximum(mean, 0.5 / n)


def _class_frequencies(mean: np.ndarray, n: int) -> np.ndarray:
    frequencies = _mean_count(mean, n)
    return frequencies * mean.sum() / frequencies.sum()


def _label_frequencies(mean: np.ndarray, n: int) -> np.ndarray:
    return np.clip(mean, 0.5 / n, 1 - 0.5 / n)


def _logit(mean: np.ndarray) -> np.ndarray:
    return np.log(mean / (1 - mean))


_REGRESSION = Task(
    metric=metrics.root_mean_squared_error, error="RMSE", row_error=metrics.row_squared_error, is_root=True,
    link=_identity, constant=_mean, standardizes_target=True, has_bounds=True,
)  # fmt: skip

# The task of each built-in criterion.
CRITERION_TASKS = {
    criteria.squared_error: replace(_REGRESSION, is_least_squares=True),
    criteria.huber_loss: _REGRESSION,
    criteria.sigmoid_binary_cross_entropy: Task(
        metric=metrics.label_accuracy, error="log loss", row_error=metrics.row_label_log_loss, link=_logit,
        constant=_label_frequencies, targets=(0, 1),
    ),
    criteria.softmax_cross_entropy: Task(
        metric=metrics.accuracy_score, error="log loss", row_error=metrics.row_log_loss, link=np.log,
        constant=_class_frequencies, targets=(0, math.inf), stratifies=True,
    ),
    criteria.poisson_nll_loss: Task(
        metric=metrics.mean_poisson_deviance, error="deviance", row_error=metrics.row_poisson_deviance, link=np.log,
        constant=_mean_count, targets=(0, math.inf), has_bounds=True,
    ),
}  # fmt: skip

# The criterion of each task of a table.
TABLE_CRITERIA = {
    "regression": criteria.squared_error,
    "classification": criteria.softmax_cross_entropy,
    "counts": criteria.poisson_nll_loss,
}
