"""Criteria: the loss of a row, and its derivative with respect to the row's outputs.

The names are optax's, but the loss of a row is the sum over its outputs. `loss` applies the sample weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxmlp.activations import identity, sigmoid


@dataclass(frozen=True)
class Criterion:
    """A loss, its derivative, and the prediction that the network's outputs stand for.

    Calling it calls `fn`. It is hashable and static under `jax.jit`: create a custom criterion once, at module level.

    Arguments:
        fn: maps outputs and targets, both (n, outputs), to the loss of each row, (n,).
        derivative: maps the same arguments to d fn / d outputs, (n, outputs).
        predict: maps outputs to predictions, (n, outputs): means, probabilities or mean counts.
    """

    fn: Callable[[Array, Array], Array]
    derivative: Callable[[Array, Array], Array]
    predict: Callable[[Array], Array] = identity

    def __post_init__(self) -> None:
        if not (callable(self.fn) and callable(self.derivative) and callable(self.predict)):
            raise TypeError("Criterion must hold functions: fn and derivative of (outputs, y), predict of outputs")

    def __call__(self, outputs: Array, y: Array) -> Array:
        """Return `fn(outputs, y)`."""
        return self.fn(outputs, y)


def _squared_error(outputs: Array, y: Array) -> Array:
    return jnp.sum((outputs - y) ** 2, axis=1)


def _squared_error_derivative(outputs: Array, y: Array) -> Array:
    return 2 * (outputs - y)


def _huber(outputs: Array, y: Array) -> Array:
    # With c = clip(e, -1, 1), c (e - c/2) is e²/2 inside and |e| - 1/2 outside, without a branch that could overflow.
    error = outputs - y
    clipped = jnp.clip(error, -1, 1)
    return jnp.sum(clipped * (error - 0.5 * clipped), axis=1)


def _huber_derivative(outputs: Array, y: Array) -> Array:
    return jnp.clip(outputs - y, -1, 1)


def _sigmoid_cross_entropy(logits: Array, y: Array) -> Array:
    # -log σ(z) = softplus(-z), which stays finite where σ(z) rounds to 0.
    return jnp.sum(y * jax.nn.softplus(-logits) + (1 - y) * jax.nn.softplus(logits), axis=1)


def _sigmoid_cross_entropy_derivative(logits: Array, y: Array) -> Array:
    # σ(z) - y, split in two so that nothing cancels where a large logit is right.
    return (1 - y) * jax.nn.sigmoid(logits) - y * jax.nn.sigmoid(-logits)


def _softmax_cross_entropy(logits: Array, y: Array) -> Array:
    return -jnp.sum(y * jax.nn.log_softmax(logits, axis=1), axis=1)


def _softmax_cross_entropy_derivative(logits: Array, y: Array) -> Array:
    # The sum of y is 1 for probabilities; with it, the derivative holds for any non-negative targets, such as counts.
    return jax.nn.softmax(logits, axis=1) * jnp.sum(y, axis=1, keepdims=True) - y


def _poisson(log_mean: Array, y: Array) -> Array:
    return jnp.sum(jnp.exp(log_mean) - y * log_mean, axis=1)


def _poisson_derivative(log_mean: Array, y: Array) -> Array:
    return jnp.exp(log_mean) - y


# l = Σ_k (o_k - y_k)²;  dl/do_k = 2 (o_k - y_k).  The tutorial's loss; optax's squared_error, summed.
squared_error = Criterion(_squared_error, _squared_error_derivative)
# l = Σ_k e²/2 where |e| <= 1, else |e| - 1/2, e = o_k - y_k;  dl/do_k = clip(e, -1, 1)
# (Huber 1964; optax's huber_loss with its default delta of 1, summed)
huber_loss = Criterion(_huber, _huber_derivative)
# l = Σ_k -y_k log σ(o_k) - (1 - y_k) log(1 - σ(o_k));  dl/do_k = σ(o_k) - y_k.  Outputs are logits, labels 0 to 1.
sigmoid_binary_cross_entropy = Criterion(_sigmoid_cross_entropy, _sigmoid_cross_entropy_derivative, sigmoid)
# l = -Σ_k y_k log softmax(o)_k;  dl/do_k = softmax(o)_k Σ_j y_j - y_k.  Outputs are logits, targets non-negative.
softmax_cross_entropy = Criterion(_softmax_cross_entropy, _softmax_cross_entropy_derivative, jax.nn.softmax)
# l = Σ_k exp(o_k) - y_k o_k, the negative log-likelihood less log(y_k!);  dl/do_k = exp(o_k) - y_k.
# Outputs are logarithms of mean counts, targets are counts (optax's poisson_nll_loss with log_input, summed).
poisson_nll_loss = Criterion(_poisson, _poisson_derivative, lax.exp)

CRITERIA = {
    "squared_error": squared_error,
    "huber_loss": huber_loss,
    "sigmoid_binary_cross_entropy": sigmoid_binary_cross_entropy,
    "softmax_cross_entropy": softmax_cross_entropy,
    "poisson_nll_loss": poisson_nll_loss,
}
