"""The tutorial's program on one page: a network with one hidden layer, its backpropagation by hand.

Read this first: the program of https://torch.mlverse.org/technical/network/ (S. Keydana, torch for R), line by line and
with its names. `network.py`, `backprop.py` and `training.py` compute the same for any depth and are tested against it.
`jaxmlp --seed 0` and `jaxmlp explain --seed 0` print the numbers of these three lines (compiled, as code that is not
compiled rounds differently):

    data_key, weights_key = jax.random.split(jax.random.key(0))
    x, y = jax.jit(synthetic_regression)(data_key)
    weights, losses = jax.jit(tutorial)(jax.jit(init_weights)(weights_key), x, y)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

SIZES = (3, 32, 1)  # Features, hidden units and outputs.
LEARNING_RATE = 1e-4
EPOCHS = 200
Weights = tuple[Array, Array, Array, Array]  # w1, b1, w2, b2
Scalar = float | Array


def synthetic_regression(key: Array, n: int = 100) -> tuple[Array, Array]:
    """Draw the tutorial's data: three features, a linear response, and noise.

    Arguments:
        key: a key of `jax.random.key`.
        n: number of rows.

    Returns:
        x: (n, 3) float32, standard normal.
        y: (n, 1) float32, `0.2 x1 - 1.3 x2 - 0.5 x3 + noise`; the noise is standard normal.
    """
    x_key, noise_key = jax.random.split(key)
    x, noise = jax.random.normal(x_key, (n, 3), jnp.float32), jax.random.normal(noise_key, (n, 1), jnp.float32)
    x1, x2, x3 = x[:, 0:1], x[:, 1:2], x[:, 2:3]
    return x, 0.2 * x1 - 1.3 * x2 - 0.5 * x3 + noise


def init_weights(key: Array) -> Weights:
    """Draw the tutorial's weights `(w1, b1, w2, b2)`: standard normal weights, zero biases."""
    w1_key, w2_key = jax.random.split(key)
    w1, b1 = jax.random.normal(w1_key, (3, 32), jnp.float32), jnp.zeros((1, 32), jnp.float32)
    w2, b2 = jax.random.normal(w2_key, (32, 1), jnp.float32), jnp.zeros((1, 1), jnp.float32)
    return w1, b1, w2, b2


def tutorial_epoch(weights: Weights, x: Array, y: Array, learning_rate: Scalar = LEARNING_RATE) -> "Epoch":
    """Compute one epoch: forward pass, loss, backward pass, update.

    Arguments:
        weights: `(w1, b1, w2, b2)` of shapes (3, 32), (1, 32), (32, 1), (1, 1), or of other widths.
        x: (100, 3) features.
        y: (100, 1) targets.
        learning_rate: a scalar.

    Returns:
        Every result by its name, for example `tutorial_epoch(weights, x, y).grad_h[17]`.
    """
    w1, b1, w2, b2 = weights

    # Forward pass
    h = x @ w1 + b1  # hidden layer, before activation    (100, 32)
    h_relu = jnp.where(h < 0, 0, h)  # values below 0 set to 0        (100, 32)
    y_pred = h_relu @ w2 + b2  # prediction                    (100, 1)
    loss = ((y_pred - y) ** 2).sum()  # sum of squared errors         ()

    # Backward pass
    grad_y_pred = 2 * (y_pred - y)  # gradient of the loss by y_pred   (100, 1)
    grad_w2 = h_relu.T @ grad_y_pred  # by the output weights         (32, 1)
    grad_h_relu = grad_y_pred @ w2.T  # by the activations            (100, 32)
    grad_h = jnp.where(h < 0, 0, grad_h_relu)  # zero where h < 0     (100, 32)
    grad_b2 = grad_y_pred.sum(0, keepdims=True)  # by the output bias (1, 1)
    grad_w1 = x.T @ grad_h  # by the hidden weights                   (3, 32)
    grad_b1 = grad_h.sum(0, keepdims=True)  # by the hidden bias      (1, 32)

    # Gradient descent
    w1 = w1 - learning_rate * grad_w1
    b1 = b1 - learning_rate * grad_b1
    w2 = w2 - learning_rate * grad_w2
    b2 = b2 - learning_rate * grad_b2
    grads = grad_y_pred, grad_w2, grad_h_relu, grad_h, grad_b2, grad_w1, grad_b1
    return Epoch(h, h_relu, y_pred, loss, *grads, w1, b1, w2, b2)


def tutorial_step(weights: Weights, x: Array, y: Array, learning_rate: Scalar = LEARNING_RATE) -> tuple[Weights, Array]:
    """Return the new weights, and the loss before the update; arguments as in `tutorial_epoch`."""
    epoch = tutorial_epoch(weights, x, y, learning_rate)
    return (epoch.w1, epoch.b1, epoch.w2, epoch.b2), epoch.loss


def tutorial(
    weights: Weights, x: Array, y: Array, learning_rate: Scalar = LEARNING_RATE, epochs: int = EPOCHS
) -> tuple[Weights, Array]:
    """Return the trained weights, and the loss (epochs,) before each update; arguments as in `tutorial_epoch`."""
    return jax.lax.scan(lambda weights, _: tutorial_step(weights, x, y, learning_rate), weights, length=epochs)


class Epoch(NamedTuple):
    """The results of `tutorial_epoch` by their names; `w1` to `b2` are the new weights."""

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
