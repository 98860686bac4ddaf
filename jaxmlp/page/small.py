"""A small example for paper: 2 inputs, 2 hidden units, 3 rows, one step; every number has at most two decimals."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

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
    by_name: str  # The products with the names of earlier results, to hide these.


class SmallLine(NamedTuple):
    """A line of tutorial.py, and its entries with numbers."""

    code: str
    entries: list[Entry]


class SmallExample(NamedTuple):
    """The small example: each number in a single step."""

    learning_rate: float
    given: list[str]  # Each array that is given, as in `b1 = [[1.00 0.50]]`.
    lines: list[SmallLine]
    after: str  # A sentence: the loss after the step.

    def to_dict(self) -> dict[str, object]:
        """Return the example as JSON can hold it."""
        lines = [{"code": code, "entries": [entry._asdict() for entry in entries]} for code, entries in self.lines]
        return {**self._asdict(), "lines": lines}

    def to_text(self) -> str:
        """Return the example as text: what is given, and each line with its products."""
        text = "A network of 2 inputs, 2 hidden units and 1 output, 3 rows, one step. All its numbers are exact.\n\n"
        text += textwrap.indent("\n".join([*self.given, f"learning_rate = {self.learning_rate}"]), "  ") + "\n"
        for code, entries in self.lines:
            text += f"\n{code}\n" + "".join(f"  {name} = {sums} = {value}\n" for name, sums, value, _ in entries)
        return f"{text}\n{self.after}"


def small_example() -> SmallExample:
    """Return the small example, with every product."""
    steps = list_steps(SIZES)
    with jax.enable_x64(True):
        before = {name: np.asarray(value) for name, value in evaluate(steps, VALUES, LEARNING_RATE).items()}
        new = VALUES | {name: before[f"new_{name}"] for name in ("w1", "b1", "w2", "b2")}
        after = float(evaluate(steps, new, LEARNING_RATE)["loss"])
    # + 0.0: no -0.00.
    numbers = {name: _texts([f"{v + 0.0:.2f}" for v in value.flat], value) for name, value in before.items()}
    names = {name: _texts([_index(name, at) for at in np.ndindex(v.shape)], v) for name, v in before.items()}
    names |= {name: numbers[name] for name in VALUES}  # What is given is not hidden.
    given = [f"{name} = {_matrix(value, len(name) + 3)}" for name, value in VALUES.items()]
    lines = [SmallLine(step.code, list(_entries(step, numbers, names))) for step in steps]
    closing = f"Loss after the step: about {after:.2f} (rounded). To check, repeat the lines with the new weights."
    return SmallExample(LEARNING_RATE, given, lines, closing)


def _entries(step: Step, numbers: Mapping[str, np.ndarray], names: Mapping[str, np.ndarray]) -> Iterator[Entry]:
    for at in np.ndindex(numbers[step.name].shape):
        products, by_name = (_write(step, at, *(texts[name] for name in step.args)) for texts in (numbers, names))
        yield Entry(_index(step.name.removeprefix("new_"), at), products, str(numbers[step.name][at]), by_name)


def _write(step: Step, at: tuple[int, ...], a: np.ndarray, *others: np.ndarray) -> str:
    """Return an entry as a formula, from arrays of texts."""
    (i, j), b = at or (0, 0), others[0] if others else a
    if step.kind == "dense":
        return f"{_products(a[i], b[:, j])} + {_inside(others[1][0, j])}"
    if step.kind == "activation":
        return f"where({a[at]} < 0, 0, {a[at]})"
    if step.kind == "loss":
        return " + ".join(f"({y_pred} - {_inside(y)})²" for y_pred, y in zip(a[:, 0], b[:, 0], strict=True))
    if step.kind == "error_grad":
        return f"2 · ({a[at]} - {_inside(b[at])})"
    if step.kind == "weight_grad":
        return _products(a[:, i], b[:, j])
    if step.kind == "input_grad":
        return _products(a[i], b[j])
    if step.kind == "activation_grad":
        return f"where({a[at]} < 0, 0, {b[at]})"
    if step.kind == "bias_grad":
        return " + ".join([a[0, j], *map(_inside, a[1:, j])])
    return f"{a[at]} - {LEARNING_RATE} · {_inside(b[at])}"


def _products(a: np.ndarray, b: np.ndarray) -> str:
    pairs = enumerate(zip(a, b, strict=True))
    return " + ".join(f"{_inside(p) if k else p} · {_inside(q)}" for k, (p, q) in pairs)


def _texts(texts: list[str], like: np.ndarray) -> np.ndarray:
    return np.array(texts, object).reshape(like.shape)


def _matrix(value: np.ndarray, indent: int) -> str:
    """Return a matrix as NumPy prints it, with two decimals."""
    return np.array2string(value, precision=2, floatmode="fixed").replace("\n", "\n" + indent * " ")


def _index(name: str, at: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, at))}]" if at else name


def _inside(text: str) -> str:
    """Return a text for the inside of a formula: a negative number has parentheses."""
    return f"({text})" if text.startswith("-") else text
