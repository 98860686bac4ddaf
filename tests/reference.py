"""The tutorial in NumPy, written from the tutorial alone: it shares no code with the package."""

import numpy as np


def numpy_tutorial(w1, b1, w2, b2, x, y, learning_rate=1e-4, epochs=200):
    """(losses, (w1, b1, w2, b2)) in the dtype of what is given."""
    losses = []
    for _ in range(epochs):
        h = np.dot(x, w1) + b1
        h_relu = h.copy()
        h_relu[h < 0] = 0
        y_pred = np.dot(h_relu, w2) + b2
        losses.append(np.square(y_pred - y).sum())
        grad_y_pred = 2.0 * (y_pred - y)
        grad_w2 = np.dot(np.transpose(h_relu), grad_y_pred)
        grad_h = np.dot(grad_y_pred, np.transpose(w2))
        grad_h[h < 0] = 0
        grad_b2 = grad_y_pred.sum(axis=0, keepdims=True)
        grad_w1 = np.dot(np.transpose(x), grad_h)
        grad_b1 = grad_h.sum(axis=0, keepdims=True)
        w1, b1 = w1 - learning_rate * grad_w1, b1 - learning_rate * grad_b1
        w2, b2 = w2 - learning_rate * grad_w2, b2 - learning_rate * grad_b2
    return np.array(losses), (w1, b1, w2, b2)


def tutorial_problem(seed=0):
    """The tutorial's data and weights, drawn by NumPy, float64: (weights, x, y)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(100, 3))
    y = x @ np.array([[0.2], [-1.3], [-0.5]]) + rng.normal(size=(100, 1))
    weights = (rng.normal(size=(3, 32)), np.zeros((1, 32)), rng.normal(size=(32, 1)), np.zeros((1, 1)))
    return weights, x, y
