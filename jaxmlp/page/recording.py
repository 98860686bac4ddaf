"""A run of the tutorial's network with the parameters of each epoch, and the gradients that `jax.grad` computes."""

import itertools
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from jaxmlp.activations import ACTIVATIONS
from jaxmlp.network import Layer, Params, forward
from jaxmlp.page.program import Step, Values, evaluate, list_steps, name_gradients, name_params
from jaxmlp.training import train_step
from jaxmlp.tutorial import SIZES, tutorial_step
from jaxmlp.verification import grad_every_value

_TUTORIAL = [*itertools.pairwise(SIZES)]
MOST_UNITS = 64  # Hidden units of a network that the page draws.
_MOST_NUMBERS = 190_000  # Parameters and gradients of all epochs, in float32; base64 makes them 1 MB.


class Recording(NamedTuple):
    """A run: what the page shows of it. `E` is the number of recorded epochs."""

    epochs: list[int]  # Numbers of the recorded epochs. Epoch k starts from the parameters after k - 1 steps.
    x: np.ndarray  # (n, features) float32
    y: np.ndarray  # (n, 1) float32
    losses: np.ndarray  # (epochs of the run,) float32: the log of the training.
    steps: list[Step]  # The lines of an epoch. What follows is empty for a network that is not drawn.
    weights: dict[str, np.ndarray]  # Parameters of each recorded epoch, (E, …) float32.
    jax_grad: dict[str, np.ndarray]  # Their gradients by `jax.grad`, in float64.
    loss64: np.ndarray  # (E,) The loss of each recorded epoch, in float64.
    worst: dict[str, np.ndarray]  # (E,) Largest error of each gradient by hand, relative to its largest entry.
    predictions: np.ndarray  # (E, n) float32, for a network that is not drawn only.


def record(x: Array, y: Array, params: Params, activation: str, learning_rate: float, epochs: int) -> Recording:
    """Train a network, and record the parameters of its epochs.

    Arguments:
        x: (n, features).
        y: (n, 1).
        params: the initial network.
        activation: name of the hidden layers' activation.
        learning_rate: learning rate of gradient descent.
        epochs: number of gradient steps.

    Returns:
        A `Recording`. It ends before the first epoch whose loss is not finite. A network of more than `MOST_UNITS`
        hidden units has predictions and losses only; of many epochs or parameters, each second, third … is recorded.
    """
    sizes = (x.shape[1], *(w.shape[1] for w, _ in params))
    drawn = sum(sizes[1:-1]) <= MOST_UNITS
    size = 2 * sum(leaf.size for leaf in jax.tree.leaves(params)) if drawn else len(x)
    stride = max(1, -(-epochs * size // _MOST_NUMBERS))
    run = jax.jit(partial(_run, activation=activation, epochs=epochs, stride=stride, drawn=drawn))
    recorded, losses = jax.tree.map(np.asarray, run(params, x, y, learning_rate))
    finite = int(np.argmin([*np.isfinite(losses), False]))
    shown = [0, *range(1, finite + 1, stride)]
    # Epoch 0 shows the initial parameters, from which epoch 1 starts.
    recorded = jax.tree.map(lambda leaf: leaf[[0, *range(len(shown) - 1)]] if epochs else leaf, recorded)
    inputs, targets = np.asarray(x), np.asarray(y)
    if not drawn:
        return Recording(shown, inputs, targets, losses, [], {}, {}, np.zeros(0), {}, recorded)
    weights = {name: np.asarray(value) for name, value in name_params(recorded).items()}
    steps = list_steps(sizes, activation)
    by_hand, by_grad = _gradients(inputs, targets, recorded, steps, activation)
    worst = {name: worst_error(by_hand[name], value, (1, 2)) for name, value in by_grad.items()}
    jax_grad = {f"grad_{name}": by_grad[f"grad_{name}"] for name in weights}
    return Recording(shown, inputs, targets, losses, steps, weights, jax_grad, by_hand["loss"], worst, np.zeros((0, 0)))


def _run(
    params: Params, x: Array, y: Array, learning_rate: Array, *, activation: str, epochs: int, stride: int, drawn: bool
) -> tuple[Params | Array, Array]:
    """Return the parameters, or the predictions, before each `stride`th step, and the loss before every step."""
    f, is_tutorial = ACTIVATIONS[activation], activation == "relu" and [w.shape for w, _ in params] == _TUTORIAL

    def step(params: Params, _: None) -> tuple[Params, Array]:
        if not is_tutorial:
            return train_step(params, x, y, learning_rate, activation=f)
        # The same rounding as `jaxmlp tutorial`.
        (w1, b1), (w2, b2) = params
        (w1, b1, w2, b2), loss = tutorial_step((w1, b1, w2, b2), x, y, learning_rate)
        return (Layer(w1, b1), Layer(w2, b2)), loss

    def block(params: Params, _: None) -> tuple[Params, tuple[Params | Array, Array]]:
        shown = params if drawn else forward(params, x, activation=f)[:, 0]
        params, losses = jax.lax.scan(step, params, length=stride)
        return params, (shown, losses)

    # One block more: with no epochs, the initial parameters are shown.
    _, (shown, losses) = jax.lax.scan(block, params, length=epochs // stride + 1)
    return shown, losses.reshape(-1)[:epochs]


def _gradients(
    x: np.ndarray, y: np.ndarray, recorded: Params, steps: list[Step], activation: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the results of each recorded epoch by hand and the gradients by `jax.grad`, both in float64, by name."""
    names = [step.name for step in steps if step.name.startswith("grad_") or step.name == "loss"]

    def by_hand(params: Params, x: Array, y: Array) -> Values:
        results = evaluate(steps, {"x": x, "y": y} | name_params(params), 0.0, activation)
        return {name: results[name] for name in names}

    def by_grad(params: Params, x: Array, y: Array) -> Values:
        return name_gradients(steps, *grad_every_value(params, x, y, ACTIVATIONS[activation]))

    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        arguments = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (recorded, x, y))
        # Two programs: in one, XLA would compute once what both have in common.
        programs = (jax.jit(jax.vmap(function, (0, None, None))) for function in (by_hand, by_grad))
        hand, grad = (jax.tree.map(np.asarray, program(*arguments)) for program in programs)
    return hand, grad


def worst_error(by_hand: np.ndarray, expected: np.ndarray, axes: tuple[int, ...] | None = None) -> np.ndarray:
    """Return the largest difference over `axes` relative to the largest expected entry; 0 where both are 0."""
    difference, largest = np.abs(by_hand - expected).max(axes), np.abs(expected).max(axes)
    return np.where(difference == 0, 0, difference / np.where(largest == 0, 1e-300, largest))
