"""A small example for paper: 2 inputs, 2 hidden units, 3 rows, one step; every number has at most two decimals."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmlp.page.program import Step, evaluate, list_steps

LEARNING_RATE = 0.02
SIZES = (2, 2, 1)
# Chosen so that all results are exact with two decimals, and that each unit is off for one row.
VALUES = {
    "x": np.array([[-1.0, -1], [-2, 1], [2, 1]]),
    "y": np.array([[0.0], [-3], [-5]]),
    "w1": np.array([[0.5, 0.5], [-0.5, 2]]),
    "b1": np.array([[1, 0.5]]),
    "w2": np.array([[1.0], [-2]]),
    "b2": np.array([[-0.5]]),
}


class Entry(NamedTuple):
    """An entry of a result: `h[0, 1] = -1.00 · 0.50 + … = -2.00`."""

    name: str
    products: str
    value: str


class SmallLine(NamedTuple):
    """A line of tutorial.py, and its entries with numbers."""

    code: str
    entries: list[Entry]


class SmallExample(NamedTuple):
    """The small example: each number in a single step."""

    learning_rate: float
    given: list[Entry]
    lines: list[SmallLine]
    after: Entry  # The loss after the step, rounded.

    def to_dict(self) -> dict[str, Any]:
        """Return the example as JSON can hold it."""
        lines = [{"code": code, "entries": [entry._asdict() for entry in entries]} for code, entries in self.lines]
        given = [entry._asdict() for entry in self.given]
        return self._asdict() | {"given": given, "lines": lines, "after": self.after._asdict()}

    def to_text(self) -> str:
        """Return the example as text: what is given, and each line with its products."""
        text = "A network of 2 inputs, 2 hidden units and 1 output, 3 rows, one step. All numbers are exact.\n\n"
        for _, entries in itertools.groupby(self.given, key=lambda entry: entry.name.partition("[")[0]):
            text += "  " + "   ".join(f"{entry.name} = {entry.value}" for entry in entries) + "\n"
        text += f"  learning_rate = {self.learning_rate}\n"
        for code, entries in self.lines:
            text += f"\n{code}\n" + "".join(f"  {name} = {products} = {value}\n" for name, products, value in entries)
        return f"{text}\n{self.after.name} = {self.after.value}"


def small_example() -> SmallExample:
    """Return the small example, with every product."""
    steps = list_steps(SIZES)
    with jax.enable_x64(True):
        before = {name: np.asarray(value) for name, value in evaluate(steps, VALUES, LEARNING_RATE).items()}
        new = VALUES | {name: before[f"new_{name}"] for name in ("w1", "b1", "w2", "b2")}
        after = float(evaluate(steps, new, LEARNING_RATE)["loss"])
    given = [
        Entry(_index(name, at), "", _two(value[at])) for name, value in VALUES.items() for at in np.ndindex(value.shape)
    ]
    lines = [SmallLine(step.code, list(_entries(step, before))) for step in steps]
    return SmallExample(LEARNING_RATE, given, lines, Entry("loss after the step, rounded", "", _two(after)))


def _entries(step: Step, values: Mapping[str, np.ndarray]) -> Iterator[Entry]:
    a = [values[name] for name in step.args]
    for at in np.ndindex(values[step.name].shape):
        i, j = at or (0, 0)
        if step.kind == "dense":
            products = f"{_products(a[0][i], a[1][:, j])} + {_two(a[2][0, j], inside=True)}"
        elif step.kind == "activation":
            products = f"where({_two(a[0][at])} < 0, 0, {_two(a[0][at])})"
        elif step.kind == "loss":
            pairs = zip(a[0][:, 0], a[1][:, 0], strict=True)
            products = " + ".join(f"({_two(y_pred)} - {_two(y, inside=True)})²" for y_pred, y in pairs)
        elif step.kind == "error_grad":
            products = f"2 · ({_two(a[0][at])} - {_two(a[1][at], inside=True)})"
        elif step.kind == "weight_grad":
            products = _products(a[0][:, i], a[1][:, j])
        elif step.kind == "input_grad":
            products = _products(a[0][i], a[1][j])
        elif step.kind == "activation_grad":
            products = f"where({_two(a[0][at])} < 0, 0, {_two(a[1][at])})"
        elif step.kind == "bias_grad":
            products = " + ".join(_two(value, inside=k > 0) for k, value in enumerate(a[0][:, j]))
        else:
            products = f"{_two(a[0][at])} - {LEARNING_RATE} · {_two(a[1][at], inside=True)}"
        yield Entry(_index(step.name.removeprefix("new_"), at), products, _two(values[step.name][at]))


def _products(a: np.ndarray, b: np.ndarray) -> str:
    pairs = enumerate(zip(a, b, strict=True))
    return " + ".join(f"{_two(p, inside=k > 0)} · {_two(q, inside=True)}" for k, (p, q) in pairs)


def _index(name: str, at: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, at))}]" if at else name


def _two(value: float | np.ndarray, *, inside: bool = False) -> str:
    """Return a number with two decimals; inside a formula, a negative one has parentheses."""
    text = f"{float(value) + 0.0:.2f}"  # + 0.0: no -0.00.
    return f"({text})" if inside and text.startswith("-") else text
