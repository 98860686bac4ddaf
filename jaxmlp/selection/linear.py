"""The linear baseline: a model without hidden layers, with a penalty on its squared weights.

Ridge regression is solved exactly, unless there are very many columns. Other criteria, as those of logistic and Poisson
regression, are minimized by L-BFGS over the loss and gradient of `backprop.py`, in float64.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.optimize import minimize

from jaxmlp._programs import bounded_jit
from jaxmlp.backprop import manual_value_and_grads
from jaxmlp.criteria import Criterion
from jaxmlp.fitting.encoding import Encoding
from jaxmlp.network import Layer, Params
from jaxmlp.selection.preparation import Prepared

# Penalties on the squared weights of standardized columns, per row. The smallest one only decides between columns that
# are linear functions of each other.
PENALTIES = (1e-10, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_MOST_COLUMNS = 2000  # Ridge regression is solved up to this number of columns: time grows with their cube.
_ITERATIONS = 100
_MOST_WORK = 2e10  # Multiplications of all steps of L-BFGS; with more rows or columns, there are fewer steps.


class Linear(NamedTuple):
    """Linear models for a range of penalties."""

    params: list[Params]  # For each penalty, of all folds: leaves with a leading axis of folds.
    predictions: np.ndarray  # (penalties, n, outputs) of held-out rows, in the target's unit


def fit_linear(prepared: Prepared, criterion: Criterion) -> Linear:
    """Fit a linear model for each fold and penalty, and predict the held-out rows."""
    encoding, targets = prepared.encoding(None), prepared.targets(is_log=False)
    fits, predictions = [], []
    for k, rows in enumerate(prepared.used):
        own: Encoding = jax.tree.map(lambda leaf, k=k: leaf[k], encoding)
        x, x_test = (_encode(own, prepared.x[some]) for some in (rows, prepared.folds.test[k]))
        y = targets[k].apply(prepared.y[rows])
        is_solved = prepared.task.is_least_squares and x.shape[1] <= _MOST_COLUMNS
        layers = _solve_ridge(x, y) if is_solved else _descend(criterion, _start(prepared, y), x, y)
        fits.append(layers)
        predictions.append([targets[k].invert(_predict(criterion, x_test @ w + b)) for w, b in layers])
    params: list[Params] = []
    for of_folds in zip(*fits, strict=True):
        w, b = (np.stack(leaves).astype(np.float32) for leaves in zip(*of_folds, strict=True))
        params.append((Layer(w, b),))  # type: ignore[arg-type]
    by_penalty = np.stack([prepared.collect(np.stack(of_folds)) for of_folds in zip(*predictions, strict=True)])
    return Linear(params, by_penalty)


def _encode(encoding: Encoding, x: np.ndarray) -> np.ndarray:
    """Return standardized rows in float64."""
    return (x.astype(np.float64) - encoding.center) * encoding.factor


def _predict(criterion: Criterion, outputs: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(criterion.predict(jax.numpy.asarray(outputs)), np.float64)


def _solve_ridge(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weights and biases of the ridge regression of y on x for each penalty."""
    center, mean = x.mean(axis=0), y.mean(axis=0)
    values, vectors = np.linalg.eigh((x - center).T @ (x - center))
    zy = vectors.T @ ((x - center).T @ (y - mean))  # columns that are orthogonal: each weight is found by itself
    fits = []
    for penalty in PENALTIES:
        w = vectors @ (zy / (np.maximum(values, 0) + len(x) * penalty)[:, None])
        fits.append((w, (mean - center @ w)[None]))
    return fits


def _start(prepared: Prepared, y: np.ndarray) -> np.ndarray:
    """Return the biases (1, outputs) with which all rows have the constant prediction."""
    return prepared.task.link(prepared.task.constant(y.mean(axis=0), len(y)))[None]


def _descend(
    criterion: Criterion, bias: np.ndarray, x: np.ndarray, y: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weights and biases with the lowest mean loss plus penalty, for each penalty."""
    n, shape = len(x), (x.shape[1], y.shape[1])
    steps = int(np.clip(_MOST_WORK / (len(PENALTIES) * 4 * x.size * shape[1]), 5, _ITERATIONS))
    with jax.enable_x64(True):
        data = jax.device_put((x, y, np.full(n, 1 / n)))

        def value_and_grad(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
            w, b = _unpack(flat, shape)
            value, (grads,) = jax.device_get(_value_and_grads((Layer(w, b),), data, criterion))  # type: ignore[arg-type]
            gradient = np.concatenate([(grads.w + penalty * w).ravel(), grads.b.ravel()])
            return float(value) + penalty / 2 * float(np.sum(w**2)), gradient

        flat, fits = np.concatenate([np.zeros(shape[0] * shape[1]), bias.ravel()]), []
        for penalty in reversed(PENALTIES):
            found: Any = minimize(
                value_and_grad, flat, args=(max(penalty, 1e-8),), jac=True, method="L-BFGS-B",
                options={"maxiter": steps},
            )  # fmt: skip
            flat = found.x if np.isfinite(found.x).all() else flat
            fits.append(_unpack(flat, shape))
    return fits[::-1]


def _unpack(flat: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (columns, outputs) and biases (1, outputs) that are one array."""
    return flat[: -shape[1]].reshape(shape), flat[-shape[1] :][None]


@bounded_jit(2)
def _value_and_grads(params, data, criterion):
    return manual_value_and_grads(params, *data, criterion=criterion)
