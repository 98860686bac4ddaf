"""Whether the rank of a value predicts the target: what tells a number such as an area from an identifier."""

import numpy as np

from jaxmlp.tables import polars

_STANDARD_ERRORS = 2


def rank(values: "polars.Series") -> np.ndarray:
    """Return the rank of each value (n,), float64; equal values share their mean rank."""
    return values.rank("average").cast(float).to_numpy()


def is_predictive(ranks: np.ndarray, target: np.ndarray, *, is_classes: bool) -> bool:
    """Return whether ranks predict the target better than a constant by two standard errors.

    For numbers, Spearman's rank correlation is compared with its standard error without any relation, 1 / sqrt(n - 1);
    for classes, the statistic of Kruskal and Wallis with its mean and standard deviation.

    Arguments:
        ranks: (n,) of a column.
        target: (n,) ranks of numbers, or codes of classes.
        is_classes: which of the two.
    """
    n = len(ranks)
    if n < 3 or np.ptp(ranks) == 0 or np.ptp(target) == 0:
        return False
    z = (ranks - ranks.mean()) / ranks.std()
    if not is_classes:
        y = (target - target.mean()) / target.std()
        return bool(abs(np.mean(z * y)) * np.sqrt(n - 1) > _STANDARD_ERRORS)
    _, codes, sizes = np.unique(target, return_inverse=True, return_counts=True)
    statistic = (n - 1) / n * np.sum(np.bincount(codes, weights=z) ** 2 / sizes)
    freedom = len(sizes) - 1
    return bool(statistic > freedom + _STANDARD_ERRORS * np.sqrt(2 * freedom))
