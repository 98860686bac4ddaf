"""The tutorial's program on one page: a network of one hidden layer, its backpropagation by hand.

Read this first. It is what the tutorial writes with torch tensors, line by line and in its own names; the rest of
the package says the same for any depth (`network.py`, `backprop.py`, `training.py`) and is tested against it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


def synthetic_regression(key: Array, n: int = 100) -> tuple[Array, Array]:
    """The tutorial's data: three features, a linear response, noise of the same size.

    Arguments:
        key: a key of `jax.random.key`.
        n: how many observations.

    Returns:
        x: (n, 3) float32, standard normal.
        y: (n, 1) float32, `0.2 x1 - 1.3 x2 - 0.5 x3 + noise`, the noise standard normal.
    """
    x_key, noise_key = jax.random.split(key)
    x = jax.random.normal(x_key, (n, 3), jnp.float32)
    noise = jax.random.normal(noise_key, (n, 1), jnp.float32)
    x1, x2, x3 = x[:, 0:1], x[:, 1:2], x[:, 2:3]
    return x, 0.2 * x1 - 1.3 * x2 - 0.5 * x3 + noise


def tutorial_epoch(weights, x: Array, y: Array, learning_rate: float | Array = 1e-4) -> "Epoch":
    """One epoch: forward, loss, backward, update.

    Arguments:
        weights: `(w1, b1, w2, b2)` of shapes (3, 32), (1, 32), (32, 1), (1, 1); any number of features, hidden
            units and outputs will do.
        x: (100, 3) the features.
        y: (100, 1) the targets.
        learning_rate: a scalar.

    Returns:
        Every number on the way, to look at: `tutorial_epoch(weights, x, y).grad_h[17]`.
    """
    w1, b1, w2, b2 = weights

    # Forward pass
    h = x @ w1 + b1  # hidden layer, before activation    (100, 32)
    h_relu = jnp.where(h < 0, 0, h)  # values below 0 set to 0        (100, 32)
    y_pred = h_relu @ w2 + b2  # prediction                    (100, 1)
    loss = ((y_pred - y) ** 2).sum()  # sum of squared errors         ()

    # Backward pass
    grad_y_pred = 2 * (y_pred - y)  # how the loss moves with y_pred   (100, 1)
    grad_w2 = h_relu.T @ grad_y_pred  # with the output weights       (32, 1)
    grad_h_relu = grad_y_pred @ w2.T  # with the activations          (100, 32)
    grad_h = jnp.where(h < 0, 0, grad_h_relu)  # stopped where h < 0  (100, 32)
    grad_b2 = grad_y_pred.sum(0, keepdims=True)  # output bias        (1, 1)
    grad_w1 = x.T @ grad_h  # with the hidden weights                 (3, 32)
    grad_b1 = grad_h.sum(0, keepdims=True)  # hidden bias             (1, 32)

    # Gradient descent
    w1 = w1 - learning_rate * grad_w1
    b1 = b1 - learning_rate * grad_b1
    w2 = w2 - learning_rate * grad_w2
    b2 = b2 - learning_rate * grad_b2
    return Epoch(
        h, h_relu, y_pred, loss, grad_y_pred, grad_w2, grad_h_relu, grad_h, grad_b2, grad_w1, grad_b1, w1, b1, w2, b2
    )


def tutorial_step(weights, x: Array, y: Array, learning_rate: float | Array = 1e-4):
    """The new weights, and the loss before the update; arguments as in `tutorial_epoch`."""
    epoch = tutorial_epoch(weights, x, y, learning_rate)
    return (epoch.w1, epoch.b1, epoch.w2, epoch.b2), epoch.loss


def tutorial(weights, x: Array, y: Array, learning_rate: float | Array = 1e-4, epochs: int = 200):
    """All epochs, one after another; arguments as in `tutorial_epoch`.

    Returns:
        The trained weights, and the losses (epochs,), each taken before its update.
    """

    def epoch(weights, _):
        return tutorial_step(weights, x, y, learning_rate)

    return jax.lax.scan(epoch, weights, length=epochs)


class Epoch(NamedTuple):
    """What `tutorial_epoch` returns: each name of the page; `w1` to `b2` are the new weights."""

    h: Array
    h_relu: Array
    y_pred: Array
    loss: Array
    grad_y_pred: Array
    grad_w2: Array
    grad_h_relu: Array
    grad_h: Array
    grad_b2: Array
    grad_w1: Array
    grad_b1: Array
    w1: Array
    b1: Array
    w2: Array
    b2: Array
