"""Boosted trees as a baseline: scikit-learn's HistGradientBoosting at its defaults, if it is installed."""

import importlib.util

import numpy as np

from jaxmlp.selection.preparation import Prepared

# Of the trees of a fold, as measured on two cores: 0.2 s, and 1 s for 400,000 numbers.
_SECONDS, _SECONDS_PER_NUMBER = 0.2, 2.5e-6
_ONE_THREAD = 10**6  # Numbers in a table up to which more threads cost more than they help, most on busy cores.


def estimate_trees(prepared: Prepared) -> float | None:
    """Return roughly how many seconds `measure_trees` takes; None if scikit-learn is not installed."""
    if importlib.util.find_spec("sklearn") is None:
        return None
    outputs = prepared.y.shape[1] if prepared.task.stratifies and prepared.y.shape[1] > 2 else 1
    return len(prepared.used) * outputs * (_SECONDS + _SECONDS_PER_NUMBER * prepared.x.size)


def measure_trees(prepared: Prepared, *, is_count: bool) -> np.ndarray | None:
    """Return predictions (n, outputs) of held-out rows by boosted trees; None if scikit-learn is not installed.

    Arguments:
        prepared: the rows of all folds.
        is_count: whether targets are counts, for which the trees minimize the Poisson deviance.
    """
    if importlib.util.find_spec("sklearn") is None:
        return None
    import sklearn.ensemble  # noqa: F401 (loads the threads that are then limited)
    from threadpoolctl import threadpool_limits  # of scikit-learn

    with threadpool_limits(1 if prepared.x.size <= _ONE_THREAD else None, user_api="openmp"):
        return _predict(prepared, is_count)


def _predict(prepared: Prepared, is_count: bool) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    predictions = np.zeros((*prepared.folds.test.shape, prepared.y.shape[1]))
    for k, rows in enumerate(prepared.used):
        x, y, x_test = prepared.x[rows], prepared.y[rows], prepared.x[prepared.folds.test[k]]
        if prepared.task.stratifies:
            trees = HistGradientBoostingClassifier(random_state=0).fit(x, y.argmax(axis=1))
            predictions[k][:, trees.classes_] = trees.predict_proba(x_test)
        else:
            trees = HistGradientBoostingRegressor(loss="poisson" if is_count else "squared_error", random_state=0)
            predictions[k, :, 0] = trees.fit(x, y[:, 0]).predict(x_test)
    return prepared.collect(predictions)
