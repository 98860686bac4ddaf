"""The lines of the tutorial's program as data, for networks of any depth: what the page and `jaxmlp explain` show."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jax import Array

from jaxmlp import tutorial
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.network import Params

_SIGMA = "σ(h) = 1 / (1 + exp(-h))"
_PHI = "Φ and φ: distribution function and density of the standard normal distribution"
# Activations: f(h), its derivative, and what their symbols are.
FORMULAS = {
    "identity": ("h", "1", ""),
    "relu": ("max(h, 0)", "1 if h >= 0 else 0", ""),
    "tanh": ("(exp(h) - exp(-h)) / (exp(h) + exp(-h))", "1 - tanh(h)²", ""),
    "sigmoid": ("σ(h)", "σ(h) · σ(-h)", _SIGMA),
    "gelu": ("h · Φ(h)", "Φ(h) + h · φ(h)", _PHI),
    "silu": ("h · σ(h)", "σ(h) · (1 + h · σ(-h))", _SIGMA),
}

# Why a number is 0 where a unit is off for a row, and where it is off for all rows.
OFF = (
    "Zero, because {entry} = {value} is below 0: the unit is off for this row. "
    "A small change of {name} changes neither its activation nor the loss."
)
DEAD = "Zero, because the unit is dead: it is below 0 for all rows, so no row gives it a gradient."

Value = Array | np.ndarray
Values = dict[str, Value]


class Step(NamedTuple):
    """A line of the program."""

    name: str  # The result, with the name of tutorial.py; `new_w1` is what becomes w1.
    kind: str  # A key of the table in `evaluate`, and of KINDS in program.js.
    args: tuple[str, ...]
    code: str
    meaning: str
    line: int | None  # Its line in tutorial.py; None where another network has another line.


def list_steps(sizes: Sequence[int], activation: str = "relu") -> list[Step]:
    """Return the lines of an epoch in the order of tutorial.py: forward pass, loss, backward pass, update.

    Arguments:
        sizes: layer widths from inputs to outputs. Names of several hidden layers have a number: h1, h2, ….
        activation: name of the hidden layers' activation.
    """
    depth = len(sizes) - 1
    h = ["h" if depth == 2 else f"h{k + 1}" for k in range(depth - 1)]
    inputs, outputs = ["x", *(f"{name}_{activation}" for name in h)], [*h, "y_pred"]
    slope = "jnp.where({h} < 0, 0, {a})" if activation == "relu" else "{a} * " + activation + "_derivative({h})"
    act = "jnp.where({h} < 0, 0, {h})" if activation == "relu" else activation + "({h})"
    steps = []

    def add(name: str, kind: str, args: Sequence[str], code: str) -> None:
        code = f"{name.removeprefix('new_')} = {code}"
        steps.append(Step(name, kind, tuple(args), code, meaning_of(name, activation), _line(code)))

    for k, (a, z) in enumerate(zip(inputs, outputs, strict=True), 1):
        add(z, "dense", (a, f"w{k}", f"b{k}"), f"{a} @ w{k} + b{k}")
        if k < depth:
            add(inputs[k], "activation", (z,), act.format(h=z))
    add("loss", "loss", ("y_pred", "y"), "((y_pred - y) ** 2).sum()")
    add("grad_y_pred", "error_grad", ("y_pred", "y"), "2 * (y_pred - y)")
    for k in range(depth, 0, -1):
        a, dz = inputs[k - 1], f"grad_{outputs[k - 1]}"
        add(f"grad_w{k}", "weight_grad", (a, dz), f"{a}.T @ {dz}")
        if k > 1:
            below = outputs[k - 2]
            add(f"grad_{a}", "input_grad", (dz, f"w{k}"), f"{dz} @ w{k}.T")
            add(f"grad_{below}", "activation_grad", (below, f"grad_{a}"), slope.format(h=below, a=f"grad_{a}"))
        add(f"grad_b{k}", "bias_grad", (dz,), f"{dz}.sum(0, keepdims=True)")
    for name in [f"{letter}{k}" for k in range(1, depth + 1) for letter in "wb"]:
        add(f"new_{name}", "update", (name, f"grad_{name}"), f"{name} - learning_rate * grad_{name}")
    return steps


def meaning_of(name: str, activation: str = "relu") -> str:
    """Return what a result of the program is, in words."""
    start, name = ("... ", name.removeprefix("grad_")) if name.startswith("grad_") else ("", name)
    if name.startswith("new_"):
        return "a small step against the gradient"
    if name == "loss":
        return "sum of the squared errors of all rows"
    if name == "y_pred":
        return start + ("the prediction for the row" if start else "prediction for the row")
    if name.endswith(activation) and start:
        return start + "the unit's activation, which acts through the weights of the next layer"
    if name.endswith(activation):
        return "its activation" + (": values below 0 set to 0" if activation == "relu" else "")
    if name[0] == "h":
        zero = ": 0 where h < 0" if activation == "relu" else ", times the slope of the activation"
        return start + f"the unit's value before activation{zero}" if start else "hidden layer before activation"
    return start + ("the weight, which acts on all rows" if name[0] == "w" else "the bias, which acts on all rows")


def evaluate(
    steps: Sequence[Step], values: Mapping[str, Value], learning_rate: float | Value, activation: str = "relu"
) -> Values:
    """Return every result of the program by its name.

    Arguments:
        steps: the lines, from `list_steps`.
        values: x, y, w1, b1, ….
        learning_rate: a scalar.
        activation: name of the hidden layers' activation.
    """
    f = ACTIVATIONS[activation]
    table: dict[str, Callable[..., Value]] = {
        "dense": lambda a, w, b: a @ w + b,
        "activation": f,
        "loss": lambda y_pred, y: ((y_pred - y) ** 2).sum(),
        "error_grad": lambda y_pred, y: 2 * (y_pred - y),
        "weight_grad": lambda a, dz: a.T @ dz,
        "input_grad": lambda dz, w: dz @ w.T,
        "activation_grad": lambda h, da: da * f.derivative(h),  # For relu, da where h >= 0, and else 0.
        "bias_grad": lambda dz: dz.sum(0, keepdims=True),
        "update": lambda p, dp: p - learning_rate * dp,
    }
    results = dict(values)
    for step in steps:
        results[step.name] = table[step.kind](*(results[name] for name in step.args))
    return results


def terms_over_rows(step: Step, values: Mapping[str, Value], entry: tuple[int, ...]) -> np.ndarray | None:
    """Return the terms (n,) of an entry that is a sum over rows; None for other lines."""
    args = [np.asarray(values[name]) for name in step.args]
    if step.kind == "loss":
        return ((args[0] - args[1]) ** 2)[:, 0]
    if step.kind == "weight_grad":
        return args[0][:, entry[0]] * args[1][:, entry[1]]
    return args[0][:, entry[1]] if step.kind == "bias_grad" else None


def why_zero(name: str, h: np.ndarray, row: int, unit: int) -> str | None:
    """Return why a result of tutorial.py is 0 for a row and a unit, or None; `explainZero` in the page is the same.

    Arguments:
        name: of the result.
        h: (n, units) values before the activation.
        row: a row.
        unit: a hidden unit.
    """
    if name in ("h_relu", "grad_h") and h[row, unit] < 0:
        return OFF.format(entry=f"h[{row}, {unit}]", value=f"{h[row, unit]:#.6g}", name="h")
    return DEAD if name in ("grad_w1", "grad_b1") and (h[:, unit] < 0).all() else None


def name_params(params: Params) -> Values:
    """Return the parameters, or their gradients, under the names of the program."""
    return {f"{letter}{k}": leaf for k, layer in enumerate(params, 1) for letter, leaf in zip("wb", layer, strict=True)}


def name_gradients(steps: Sequence[Step], params: Params, z: tuple[Array, ...], a: tuple[Array, ...]) -> Values:
    """Return the results of `grad_every_value` under the names of the program."""
    names = [step.name for step in steps]
    dense = [step.name for step in steps if step.kind == "dense"]
    activations = [step.name for step in steps if step.kind == "activation"]
    grads = name_params(params) | dict(zip([*dense, *activations], [*z, *a], strict=True))
    return {name: grads[name.removeprefix("grad_")] for name in names if name.startswith("grad_")}


def _line(code: str) -> int | None:
    lines = enumerate(inspect.getsource(tutorial).splitlines(), 1)
    return next((k for k, line in lines if line.partition("#")[0].strip() == code), None)
