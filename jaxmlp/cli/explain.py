"""`jaxmlp explain`: every number in an epoch of the tutorial's network, compared with autodiff."""

import argparse
import ast
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp.cli.common import CommandError, Commands, compile_ahead, key_seed, positive, print_json
from jaxmlp.cli.tutorial import draw
from jaxmlp.tutorial import LEARNING_RATE, SIZES, Epoch, tutorial, tutorial_epoch

_ROWS, _UNITS = 100, SIZES[1]
# Relative to the largest entry of an array. Rounding in float64 costs 1e-15, and more where a sum over rows nearly
# cancels, as in the gradients after many epochs.
_TOLERANCE = 1e-9

_HEADINGS = {
    "h": "Forward pass",
    "grad_y_pred": "Backward pass: the gradient of the loss with respect to ...",
    "w1": f"Gradient descent: a small step against each gradient, learning_rate = {LEARNING_RATE}",
}
_MEANINGS = {
    "h": "hidden layer before activation",
    "h_relu": "its activation: values below 0 set to 0",
    "y_pred": "prediction for the row",
    "loss": "sum of the squared errors of all rows",
    "grad_y_pred": "... the prediction for the row",
    "grad_w2": "... the unit's output weight, which acts on all rows",
    "grad_h_relu": "... the unit's activation, which acts through w2",
    "grad_h": "... its value before activation: 0 where h < 0",
    "grad_b2": "... the output bias, which acts on all rows",
    "grad_w1": "... the unit's weights, one for each feature",
    "grad_b1": "... the unit's bias",
}


class Line(NamedTuple):
    """One line of `tutorial_epoch`, with its numbers for one row and one hidden unit."""

    code: str
    name: str
    shape: tuple[int, ...]
    entries: list[tuple[int, ...]]  # Indices of the entries that belong to the row and the unit.
    values: list[float]  # The value of each entry.
    jax_grad: list[float] | None  # The values by `jax.grad`; None where the line is not a gradient.
    worst: float | None  # Largest error of the whole array compared with `jax.grad`, relative to the largest entry.

    @property
    def agrees(self) -> bool:
        """Whether the whole array agrees with `jax.grad`."""
        return self.worst is not None and self.worst <= _TOLERANCE


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "explain",
        description="Show one epoch of the tutorial's network: each line of tutorial_epoch in jaxmlp/tutorial.py, its "
        "meaning, its shape, its numbers for one row and one hidden unit, and each gradient as jax.grad computes it.",
    )
    add = parser.add_argument
    add("--epoch", type=positive, default=1, help="epoch to show, counted from 1 (default: 1)")
    add("--row", type=_index(_ROWS), default=0, help=f"row of the data to show, 0 to {_ROWS - 1} (default: 0)")
    add("--unit", type=_index(_UNITS), default=0, help=f"hidden unit to show, 0 to {_UNITS - 1} (default: 0)")
    add("--seed", type=key_seed, default=0, help="random seed of data and weights, as in jaxmlp tutorial (default: 0)")
    add("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train up to the epoch, compute it by hand and by autodiff, print."""
    x, y, params = draw(args.seed)
    weights = (*params[0], *params[1])
    # The programs of the log: the weights before the epoch, and its loss with the rounding of `jaxmlp tutorial`.
    _, before = compile_ahead(partial(tutorial, epochs=args.epoch - 1), weights, x, y)
    _, through = compile_ahead(partial(tutorial, epochs=args.epoch), weights, x, y)
    loss = float(through.result()(weights, x, y)[1][-1])
    if not np.isfinite(loss):
        raise CommandError(f"the loss is not finite at epoch {args.epoch}; try another --seed", code=1)
    weights, _ = before.result()(weights, x, y)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        x, y, *weights = (np.asarray(value, np.float64) for value in (x, y, *weights))
        epoch = jax.jit(tutorial_epoch)(tuple(weights), x, y)._replace(loss=np.asarray(loss))
        autodiff = jax.jit(_autodiff)(tuple(weights), x, y)

    arrays = dict(zip(("x", "y", "w1", "b1", "w2", "b2"), (x, y, *weights), strict=True))
    given = {name: _numbers(name, value, args.row, args.unit) for name, value in arrays.items()}
    lines = [_line(code, name, epoch, autodiff, args.row, args.unit) for code, name in _page()]
    wrong = [line.name for line in lines if line.jax_grad and not line.agrees]
    if args.json:
        result = {name: getattr(args, name) for name in ("seed", "epoch", "row", "unit")}
        result |= {"learning_rate": LEARNING_RATE, "given": {name: values for name, (_, values) in given.items()}}
        result["lines"] = [line._asdict() | {"meaning": _MEANINGS.get(line.name)} for line in lines]
        print_json(result | {"wrong": wrong})
    else:
        _print(args, given, lines)
    if wrong:
        raise CommandError(f"not the gradient that jax.grad computes: {', '.join(wrong)}", code=1)
    return 0


def _index(count: int) -> Callable[[str], int]:
    def index(text: str) -> int:
        try:
            return range(count).index(int(text))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of 0 to {count - 1}, counted from 0") from None

    return index


def _page() -> Iterator[tuple[str, str]]:
    """Yield each line of `tutorial_epoch` that computes a result of `Epoch`, and the name of the result."""
    function = ast.parse(inspect.getsource(tutorial_epoch)).body[0]
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in Epoch._fields:
            yield ast.unparse(node), ast.unparse(node.targets[0])


def _autodiff(weights: tuple[Array, ...], x: Array, y: Array) -> dict[str, Array]:
    """Return `jax.grad` of a loss that shares no code with the page, under the names of `Epoch`."""
    w1, b1, w2, b2 = weights
    # The gradient with respect to an intermediate value is that with respect to a zero added to it.
    hidden = jnp.zeros((len(x), len(w2)), x.dtype)
    zeros = {"h": hidden, "h_relu": hidden, "y_pred": jnp.zeros_like(y)}

    def loss(at: dict[str, Array]) -> Array:
        before = jnp.einsum("nf,fu->nu", x, at["w1"]) + at["b1"] + at["h"]
        after = jnp.where(before >= 0, before, hidden) + at["h_relu"]
        errors = y - jnp.einsum("nu,uo->no", after, at["w2"]) - at["b2"] - at["y_pred"]
        return jnp.vdot(errors, errors)

    grads = jax.grad(loss)({"w1": w1, "b1": b1, "w2": w2, "b2": b2, **zeros})
    return {f"grad_{name}": grad for name, grad in grads.items()}


def _line(code: str, name: str, epoch: Epoch, autodiff: dict[str, Array], row: int, unit: int) -> Line:
    value = np.asarray(getattr(epoch, name))
    entries, values = _numbers(name, value, row, unit)
    if name not in autodiff:
        return Line(code, name, value.shape, entries, values, None, None)
    expected = np.asarray(autodiff[name])
    difference, largest = np.max(np.abs(value - expected)), np.max(np.abs(expected))
    worst = 0.0 if difference == 0 else float(difference / largest) if largest > 0 else float("inf")
    return Line(code, name, value.shape, entries, values, _numbers(name, expected, row, unit)[1], worst)


def _numbers(name: str, value: np.ndarray, row: int, unit: int) -> tuple[list[tuple[int, ...]], list[float]]:
    """Return the indices in an array that belong to the row and the unit, and the values there."""
    features: list[tuple[int, ...]] = [(feature, unit) for feature in range(3)]
    entries = {"w1": features, "b1": [(0, unit)], "w2": [(unit, 0)], "b2": [(0, 0)], "loss": [()]}
    entries |= {"x": [(row, feature) for feature in range(3)], "y": [(row, 0)], "y_pred": [(row, 0)]}
    indices = (entries | {"h": [(row, unit)], "h_relu": [(row, unit)]})[name.removeprefix("grad_")]
    return indices, [float(value[index]) for index in indices]


def _print(args: argparse.Namespace, given: dict[str, tuple], lines: list[Line]) -> None:
    right, wrong = _marks()
    print(f"Epoch {args.epoch} of the tutorial's network, seed {args.seed}: row {args.row}, hidden unit {args.unit}\n")
    for names in (("x", "y"), ("w1", "b1"), ("w2", "b2")):
        print("  " + "   ".join(_assignment(name, *given[name]) for name in names))
    print(f"\n{'':48}{'shape':>9}{'entry':>9}{'value':>13}{'jax.grad':>13}")
    for line in lines:
        if line.name in _HEADINGS:
            print(_HEADINGS[line.name])
        words = [f"  {line.code:46}{line.shape!s:>9}"]
        words += [f"      {_MEANINGS[line.name]}"] if line.name in _MEANINGS else []
        entries = [f"{list(entry) or ''!s:>9}" for entry in line.entries]
        style = "13.7g" if line.name == "loss" else "#13.6g"  # The loss has the digits of the log.
        values = [f"{value:{style}}" for value in line.values]
        autodiff = [f"{value:{style}}  {right if line.agrees else wrong}" for value in line.jax_grad or []]
        for cells in itertools.zip_longest(words, entries, values, autodiff, fillvalue=""):
            print(f"{cells[0]:57}{''.join(cells[1:])}".rstrip())
    worst = max(line.worst for line in lines if line.worst is not None)
    print(f"\n{right} the whole array agrees with jax.grad in float64 (largest relative error: {worst:.1g})")


def _assignment(name: str, entries: list[tuple[int, ...]], values: list[float]) -> str:
    """Return Python's notation, `w1[:, 4] = …` for several entries."""
    index = ", ".join(":" if len(set(axis)) > 1 else str(axis[0]) for axis in zip(*entries, strict=True))
    return f"{name}[{index}] = {'  '.join(f'{value:#.6g}' for value in values)}"


def _marks() -> tuple[str, str]:
    """Return a tick and a cross, or words where stdout cannot write them."""
    try:
        "✓✗".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "ok", "WRONG"
    return "✓", "✗"
