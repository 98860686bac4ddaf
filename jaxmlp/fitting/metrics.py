"""How good predictions are, in words that people use: one number over all rows.

Each function takes what the criterion's `predict` returns, (n, outputs), the targets `y` of the same shape and the
sample weights (n,) or None, and returns a scalar. Names and meanings are scikit-learn's, outputs averaged.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.scipy.special import xlogy

from jaxmlp.criteria import Criterion, poisson_nll_loss, sigmoid_binary_cross_entropy, softmax_cross_entropy

Metric = Callable[[Array, Array, Array | None], Array]


def root_mean_squared_error(predictions: Array, y: Array, sample_weight: Array | None = None) -> Array:
    """The square root of the mean squared error, in the units of y."""
    return jnp.sqrt(_mean(jnp.mean((predictions - y) ** 2, axis=1), sample_weight))


def r2_score(predictions: Array, y: Array, sample_weight: Array | None = None) -> Array:
    """The share of the targets' variance that is explained: 1 at best, 0 for guessing the mean."""
    if sample_weight is None:
        sample_weight = jnp.ones(y.shape[:1], y.dtype)
    column = (sample_weight / jnp.sum(sample_weight))[:, None]
    mean = jnp.sum(column * y, axis=0, keepdims=True)
    unexplained = jnp.sum(column * (y - predictions) ** 2, axis=0)
    return jnp.mean(1 - unexplained / jnp.sum(column * (y - mean) ** 2, axis=0))


def accuracy_score(predictions: Array, y: Array, sample_weight: Array | None = None) -> Array:
    """The share of rows whose most probable class is the right one; with one output, probability above a half."""
    if y.shape[1] == 1:
        right = (predictions[:, 0] > 0.5) == (y[:, 0] > 0.5)
    else:
        right = jnp.argmax(predictions, axis=1) == jnp.argmax(y, axis=1)
    return _mean(right.astype(predictions.dtype), sample_weight)


def label_accuracy(predictions: Array, y: Array, sample_weight: Array | None = None) -> Array:
    """The share of labels that are right, each output being a label of its own."""
    right = (predictions > 0.5) == (y > 0.5)
    return _mean(jnp.mean(right.astype(predictions.dtype), axis=1), sample_weight)


def log_loss(predictions: Array, y: Array, sample_weight: Array | None = None) -> Array:
    """The mean negative logarithm of the probability given to the right class; one output is a yes or no."""
    tiny = jnp.finfo(predictions.dtype).eps
    p = jnp.clip(predictions, tiny, 1 - tiny)
    if y.shape[1] == 1:
        return _mean(-jnp.sum(xlogy(y, p) + xlogy(1 - y, 1 - p), axis=1), sample_weight)
    return _mean(-jnp.sum(xlogy(y, p / jnp.sum(p, axis=1, keepdims=True)), axis=1), sample_weight)


def mean_poisson_deviance(predictions: Array, y: Array, sample_weight: Array | None = None) -> Array:
    """Twice the log-likelihood that a perfect rate would gain: 0 at best."""
    deviance = 2 * (xlogy(y, y) - xlogy(y, predictions) - y + predictions)
    return _mean(jnp.mean(deviance, axis=1), sample_weight)


def metric_of(criterion: Criterion) -> Metric:
    """The metric that is usual with a criterion; the root mean squared error of its predictions with a user's own."""
    usual = {
        sigmoid_binary_cross_entropy: label_accuracy,
        softmax_cross_entropy: accuracy_score,
        poisson_nll_loss: mean_poisson_deviance,
    }
    return usual.get(criterion, root_mean_squared_error)


def _mean(rows: Array, sample_weight: Array | None) -> Array:
    if sample_weight is None:
        return jnp.mean(rows)
    return jnp.sum(sample_weight * rows) / jnp.sum(sample_weight)
