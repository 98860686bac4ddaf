"""The tutorial in NumPy, written from the tutorial alone: it shares no code with the package."""

import numpy as np


def numpy_tutorial(w1, b1, w2, b2, x, y, learning_rate=1e-4, epochs=200):
    """(losses, (w1, b1, w2, b2)) in the dtype of what is given."""
    losses = []
    for _ in range(epochs):
        epoch = numpy_epoch(w1, b1, w2, b2, x, y, learning_rate)
        losses.append(epoch["loss"])
        w1, b1, w2, b2 = (epoch[name] for name in ("w1", "b1", "w2", "b2"))
    return np.array(losses), (w1, b1, w2, b2)


def numpy_epoch(w1, b1, w2, b2, x, y, learning_rate=1e-4):
    """Every number of one epoch by its name in the tutorial; `w1` to `b2` are the new weights."""
    v = {"h": np.dot(x, w1) + b1}
    v["h_relu"] = v["h"].copy()
    v["h_relu"][v["h"] < 0] = 0
    v["y_pred"] = np.dot(v["h_relu"], w2) + b2
    v["loss"] = np.square(v["y_pred"] - y).sum()
    v["grad_y_pred"] = 2.0 * (v["y_pred"] - y)
    v["grad_w2"] = np.dot(np.transpose(v["h_relu"]), v["grad_y_pred"])
    v["grad_h_relu"] = np.dot(v["grad_y_pred"], np.transpose(w2))
    v["grad_h"] = v["grad_h_relu"].copy()
    v["grad_h"][v["h"] < 0] = 0
    v["grad_b2"] = v["grad_y_pred"].sum(axis=0, keepdims=True)
    v["grad_w1"] = np.dot(np.transpose(x), v["grad_h"])
    v["grad_b1"] = v["grad_h"].sum(axis=0, keepdims=True)
    v["w1"], v["b1"] = w1 - learning_rate * v["grad_w1"], b1 - learning_rate * v["grad_b1"]
    v["w2"], v["b2"] = w2 - learning_rate * v["grad_w2"], b2 - learning_rate * v["grad_b2"]
    return v


def tutorial_problem(seed=0):
    """The tutorial's data and weights, drawn by NumPy, float64: (weights, x, y)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(100, 3))
    y = x @ np.array([[0.2], [-1.3], [-0.5]]) + rng.normal(size=(100, 1))
    weights = (rng.normal(size=(3, 32)), np.zeros((1, 32)), rng.normal(size=(32, 1)), np.zeros((1, 1)))
    return weights, x, y
