"""The losses of the estimators, with scikit-learn's values where it has them."""

from dataclasses import replace

import jax.numpy as jnp
from jax import Array
from jax.scipy.special import xlogy

from jaxmlp.criteria import (
    CRITERIA,
    Criterion,
    poisson_nll_loss,
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
)


def _half_squared_error(outputs: Array, y: Array) -> Array:
    return 0.5 * jnp.mean((outputs - y) ** 2, axis=1)


def _poisson_deviance(log_mean: Array, y: Array) -> Array:
    return jnp.sum(jnp.exp(log_mean) - y * log_mean + xlogy(y, y) - y, axis=1)


# l = Σ_k (o_k - y_k)² / 2;  dl/do_k = o_k - y_k.  As in scikit-learn, the value reported is the mean over the outputs,
# and the gradient is that of the sum.
half_squared_error = Criterion(_half_squared_error, lambda outputs, y: outputs - y)
# l = Σ_k exp(o_k) - y_k o_k + y_k log y_k - y_k: poisson_nll_loss with another constant, so that the lowest is 0.
half_poisson_deviance = replace(poisson_nll_loss, fn=_poisson_deviance)

REGRESSION_LOSSES = CRITERIA | {"squared_error": half_squared_error, "poisson": half_poisson_deviance}

_OUT_ACTIVATIONS = {
    half_squared_error.predict: "identity",
    half_poisson_deviance.predict: "exp",
    sigmoid_binary_cross_entropy.predict: "logistic",
    softmax_cross_entropy.predict: "softmax",
}


def out_activation(criterion: Criterion) -> str:
    """Return scikit-learn's name of the function that maps outputs to predictions; "custom" if it has none."""
    return _OUT_ACTIVATIONS.get(criterion.predict, "custom")
