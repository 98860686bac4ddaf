"""Metrics: how good predictions are, as one number over all rows, and the errors of single rows.

A metric takes what the criterion's `predict` returns, (n, outputs), targets `y` of the same shape, and the sample
weights (n,) or None. It returns a scalar. Names and meanings are scikit-learn's, averaged over outputs. Every function
takes JAX arrays or NumPy arrays, in float64 too. Predictions may have leading axes.
"""

from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jax import Array

Metric = Callable[[Array, Array, Array | None], Array]
AnyArray = Array | np.ndarray  # of JAX, or of NumPy
Values = TypeVar("Values", Array, np.ndarray)  # the same of both, in and out
RowError = Callable[[np.ndarray, np.ndarray], np.ndarray]


def root_mean_squared_error(predictions: Values, y: Values, sample_weight: Values | None = None) -> Values:
    """Return the square root of the mean squared error, in the units of y."""
    return numpy_of(predictions).sqrt(_average(row_squared_error(predictions, y), sample_weight))


def r2_score(predictions: Values, y: Values, sample_weight: Values | None = None) -> Values:
    """Return the share of the targets' variance that is explained: 1 at best, 0 for predicting the mean."""
    xp = numpy_of(predictions)
    mean = xp.average(y, axis=0, weights=sample_weight)
    unexplained = xp.average((y - predictions) ** 2, axis=-2, weights=sample_weight)
    variance = xp.average((y - mean[None]) ** 2, axis=0, weights=sample_weight)
    # As in scikit-learn, constant targets that are predicted exactly score 1, and otherwise 0.
    constant = (unexplained == 0).astype(unexplained.dtype)
    return xp.mean(xp.where(variance > 0, 1 - unexplained / xp.where(variance > 0, variance, 1), constant), axis=-1)


def accuracy_score(predictions: Values, y: Values, sample_weight: Values | None = None) -> Values:
    """Return the share of rows whose most probable class is right; with one output, of probabilities above 0.5."""
    if y.shape[-1] == 1:
        return all_labels_right(predictions, y, sample_weight)
    xp = numpy_of(predictions)
    right = xp.argmax(predictions, axis=-1) == xp.argmax(y, axis=-1)
    return _average(right.astype(predictions.dtype), sample_weight)


def label_accuracy(predictions: Values, y: Values, sample_weight: Values | None = None) -> Values:
    """Return the share of labels that are right, where each output is a label."""
    right = (predictions > 0.5) == (y > 0.5)
    return _average(numpy_of(predictions).mean(right.astype(predictions.dtype), axis=-1), sample_weight)


def all_labels_right(predictions: Values, y: Values, sample_weight: Values | None = None) -> Values:
    """Return the share of rows whose labels are all right: scikit-learn's accuracy of sets of labels."""
    right = numpy_of(predictions).all((predictions > 0.5) == (y > 0.5), axis=-1)
    return _average(right.astype(predictions.dtype), sample_weight)


def log_loss(predictions: Values, y: Values, sample_weight: Values | None = None) -> Values:
    """Return the mean negative logarithm of the probability of the right class; one output is that of "yes"."""
    row_error = row_label_log_loss if y.shape[-1] == 1 else row_log_loss
    return _average(row_error(predictions, y), sample_weight)


def mean_poisson_deviance(predictions: Values, y: Values, sample_weight: Values | None = None) -> Values:
    """Return twice the log-likelihood that exact mean counts would gain: 0 at best."""
    return _average(row_poisson_deviance(predictions, y), sample_weight)


# The errors (..., n) of predictions (..., n, outputs) for targets (n, outputs).


def row_squared_error(predictions: Values, y: Values) -> Values:
    """Return the squared error of each row, averaged over outputs."""
    return numpy_of(predictions).mean((predictions - y) ** 2, axis=-1)


def row_log_loss(predictions: Values, y: Values) -> Values:
    """Return the negative logarithm of the probability of each row's class, for one-hot targets."""
    return numpy_of(predictions).sum(-_xlogy(y, _inside(predictions)), axis=-1)


def row_label_log_loss(predictions: Values, y: Values) -> Values:
    """Return the negative logarithm of the probability of each row's labels, summed over labels."""
    p = _inside(predictions)
    return numpy_of(p).sum(-_xlogy(y, p) - _xlogy(1 - y, 1 - p), axis=-1)


def row_poisson_deviance(predictions: Values, y: Values) -> Values:
    """Return the Poisson deviance of each row, averaged over outputs."""
    xp = numpy_of(predictions)
    mean = xp.maximum(predictions, _smallest(predictions))
    return xp.mean(2 * (_xlogy(y, y / mean) - y + mean), axis=-1)


def numpy_of(values: object) -> ModuleType:
    """Return `numpy` for its arrays, which `jax.numpy` would round to float32, and `jax.numpy` for all others."""
    return np if isinstance(values, np.ndarray) else jnp


def _average(rows: Values, sample_weight: Values | None) -> Values:
    return numpy_of(rows).average(rows, axis=-1, weights=sample_weight)


def _smallest(predictions: AnyArray) -> float:
    """Return the smallest probability that counts: a network's rounding, which is float32's or coarser."""
    return max(float(jnp.finfo(predictions.dtype).eps), float(np.finfo(np.float32).eps))


def _inside(predictions: Values) -> Values:
    """Clip probabilities to the open interval from 0 to 1, so that a certain miss has a finite log loss."""
    smallest = _smallest(predictions)
    return predictions.clip(smallest, 1 - smallest)


def _xlogy(x: Values, y: Values) -> Values:
    """Return x log y, and 0 where x is 0."""
    xp = numpy_of(x)
    return xp.where(x == 0, 0, x * xp.log(xp.where(x == 0, 1, y)))
