"""The linear baseline of a least-squares task: ridge regression, solved exactly."""

import numpy as np

from jaxmlp.selection.preparation import Prepared

# Penalties on the squared weights of scaled columns, per row. The smallest one only decides between columns that are
# linear functions of each other.
PENALTIES = (1e-10, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def solve_linear(prepared: Prepared) -> np.ndarray:
    """Return the predictions (folds, n_test, outputs) of a ridge regression for each fold.

    The penalty is the one with the lowest error on the validation rows; then these rows are used to solve it too.
    """
    predictions = []
    data, weights = prepared.data, prepared.folds.valid_weights > 0
    for k, target in enumerate(prepared.targets):
        x, y = data.x[k].astype(np.float64), data.y[k].astype(np.float64)
        x_valid, y_valid = (np.asarray(v[k], np.float64)[weights[k]] for v in (data.x_valid, data.y_valid))
        errors = [((_solve(x, y, penalty, x_valid) - y_valid) ** 2).mean() for penalty in PENALTIES]
        penalty = PENALTIES[int(np.argmin(errors))]
        x, y = np.concatenate([x, x_valid]), np.concatenate([y, y_valid])
        predictions.append(target.invert(_solve(x, y, penalty, prepared.x_test[k].astype(np.float64))))
    return np.stack(predictions)


def _solve(x: np.ndarray, y: np.ndarray, penalty: float, x_new: np.ndarray) -> np.ndarray:
    """Return the predictions for `x_new` of the ridge regression of y on x, by the normal equations."""
    center, mean = x.mean(axis=0), y.mean(axis=0)
    x = x - center
    w = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(x.shape[1]), x.T @ (y - mean))
    return (x_new - center) @ w + mean
