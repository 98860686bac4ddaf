"""The linear baseline of a least-squares task: ridge regression, solved exactly."""

import numpy as np

from jaxmlp.selection.preparation import Prepared

# Penalties on the squared weights of scaled columns, per row. The smallest one only decides between columns that are
# linear functions of each other.
PENALTIES = np.array([1e-10, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0])


def solve_linear(prepared: Prepared) -> np.ndarray:
    """Return the predictions (folds, n_test, outputs) of a ridge regression on the rows that a fold does not hold out.

    The penalty is the one with the lowest leave-one-out error on these rows.
    """
    predictions = []
    data, weights = prepared.data, prepared.folds.valid_weights > 0
    for k, target in enumerate(prepared.targets):
        x, y = (
            np.concatenate([np.asarray(train[k], np.float64), np.asarray(valid[k], np.float64)[weights[k]]])
            for train, valid in ((data.x, data.x_valid), (data.y, data.y_valid))
        )
        predictions.append(target.invert(_predict(x, y, prepared.x_test[k].astype(np.float64))))
    return np.stack(predictions)


def _predict(x: np.ndarray, y: np.ndarray, x_test: np.ndarray) -> np.ndarray:
    """Return the predictions for `x_test` of the ridge regression of y on x."""
    center, mean, n = x.mean(axis=0), y.mean(axis=0), len(x)
    values, vectors = np.linalg.eigh((x - center).T @ (x - center))
    z = (x - center) @ vectors  # columns that are orthogonal: each weight is found by itself
    zy, shrunk = z.T @ (y - mean), np.maximum(values, 0) + n * PENALTIES[:, None]
    # The leave-one-out error of a row is its residual over 1 - h, where h is the row's weight in its own prediction.
    h = np.minimum(z**2 @ (1 / shrunk).T + 1 / n, 1 - 1e-6)
    errors = [
        np.mean(((y - mean - z @ (zy / scale[:, None])) / (1 - h[:, k : k + 1])) ** 2) for k, scale in enumerate(shrunk)
    ]
    w = zy / shrunk[int(np.argmin(errors))][:, None]
    return (x_test - center) @ vectors @ w + mean
