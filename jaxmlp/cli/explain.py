"""`jaxmlp explain`: one epoch of the tutorial's network, each line with its numbers, autodiff's beside them."""

import argparse
import ast
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp.cli.common import CommandError, key_seed, positive, print_json
from jaxmlp.cli.tutorial import draw
from jaxmlp.tutorial import LEARNING_RATE, SIZES, Epoch, tutorial, tutorial_epoch

_ROWS, _UNITS = 100, SIZES[1]
# Relative to the largest entry of an array. Float64 leaves 1e-15, and more of a sum over rows that nearly cancels, as
# gradients do after many epochs.
_TOLERANCE = 1e-9

_PARTS = {
    "h": "Forward pass",
    "grad_y_pred": "Backward pass: how fast the loss grows",
    "w1": f"Gradient descent: a small step against each gradient, learning_rate = {LEARNING_RATE}",
}
_MEANINGS = {
    "h": "hidden layer: what the unit makes of the row's features",
    "h_relu": "its activation: values below 0 set to 0",
    "y_pred": "prediction: all activations of the row, weighed by w2",
    "loss": "the squared errors of all rows, added up",
    "grad_y_pred": "with the prediction of the row",
    "grad_w2": "with the unit's output weight, which acts on every row",
    "grad_h_relu": "with its activation, which acts through w2",
    "grad_h": "with its value before activation: stopped where h < 0",
    "grad_b2": "with the output bias, which moves all rows alike",
    "grad_w1": "with its weights, one a feature, through every row's x",
    "grad_b1": "with its bias",
}


class Line(NamedTuple):
    """One line of the tutorial's page, and its numbers for one row and one unit."""

    code: str
    name: str
    shape: tuple[int, ...]
    entries: list[tuple[int, ...]]  # the indices that belong to the row and the unit
    values: list[float]  # one for each entry
    jax_grad: list[float] | None  # autodiff's numbers for these entries; None where the line is no gradient
    worst: float | None  # over the whole array, relative to its largest entry

    @property
    def agrees(self) -> bool:
        """Whether the whole array is autodiff's."""
        return self.worst is not None and self.worst <= _TOLERANCE


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "explain",
        help="one epoch of the tutorial's network, number by number",
        description="Show one epoch of the tutorial's network: each line of jaxmlp/tutorial.py with its meaning, its "
        "shape and its numbers for one row and one hidden unit, and beside each gradient the one of jax.grad.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epoch", type=positive, default=1, help="train up to this one, counted from 1 as in the log")
    parser.add_argument("--row", type=_index(_ROWS), default=0, help=f"of the data, 0 to {_ROWS - 1}, as Python counts")
    parser.add_argument("--unit", type=_index(_UNITS), default=0, help=f"of the hidden layer, 0 to {_UNITS - 1}")
    parser.add_argument("--seed", type=key_seed, default=0, help="of data and weights, as in jaxmlp tutorial")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train up to the epoch, compute it by hand and by autodiff, print."""
    x, y, params = draw(args.seed, SIZES)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        x, y, *weights = (np.asarray(value, np.float64) for value in (x, y, *params[0], *params[1]))
        before = partial(tutorial, learning_rate=LEARNING_RATE, epochs=args.epoch - 1)
        weights, _ = jax.jit(before)(tuple(weights), x, y)
        epoch = jax.jit(tutorial_epoch)(weights, x, y, LEARNING_RATE)
        autodiff = jax.jit(_autodiff)(weights, x, y)
    if not np.isfinite(epoch.loss):
        raise CommandError(f"the loss is not finite at epoch {args.epoch}; try another --seed", code=1)

    given = {"x": x, "y": y, **dict(zip(("w1", "b1", "w2", "b2"), weights, strict=True))}
    given = {name: _numbers(name, value, args.row, args.unit) for name, value in given.items()}
    lines = [_line(code, name, epoch, autodiff, args.row, args.unit) for code, name in _page()]
    wrong = [line.name for line in lines if line.jax_grad and not line.agrees]
    if args.json:
        result = {name: getattr(args, name) for name in ("seed", "epoch", "row", "unit")}
        result |= {"learning_rate": LEARNING_RATE, "given": {name: values for name, (_, values) in given.items()}}
        of_lines = [line._asdict() | {"meaning": _MEANINGS.get(line.name)} for line in lines]
        print_json(result | {"lines": of_lines, "wrong": wrong})
    else:
        _print(args, given, lines)
    if wrong:
        raise CommandError(f"not the gradient that jax.grad gives: {', '.join(wrong)}", code=1)
    return 0


def _index(count: int) -> Callable[[str], int]:
    def index(text: str) -> int:
        try:
            return range(count).index(int(text))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of 0 to {count - 1}, counted from 0") from None

    return index


def _page() -> Iterator[tuple[str, str]]:
    """The lines of `tutorial_epoch` that compute, and the name that each gives to its result."""
    function = ast.parse(inspect.getsource(tutorial_epoch)).body[0]
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in Epoch._fields:
            yield ast.unparse(node), ast.unparse(node.targets[0])


def _autodiff(weights: tuple[Array, ...], x: Array, y: Array) -> dict[str, Array]:
    """`jax.grad` of a loss that shares no code with the page, by the page's names."""
    w1, b1, w2, b2 = weights
    # The gradient with respect to a value on the way is that with respect to a zero added to it.
    hidden = jnp.zeros((len(x), len(w2)), x.dtype)
    zeros = {"h": hidden, "h_relu": hidden, "y_pred": jnp.zeros_like(y)}

    def loss(at: dict[str, Array]) -> Array:
        before = jnp.einsum("nf,fu->nu", x, at["w1"]) + at["b1"] + at["h"]
        after = jnp.where(before >= 0, before, hidden) + at["h_relu"]
        errors = y - jnp.einsum("nu,uo->no", after, at["w2"]) - at["b2"] - at["y_pred"]
        return jnp.vdot(errors, errors)

    grads = jax.grad(loss)({"w1": w1, "b1": b1, "w2": w2, "b2": b2, **zeros})
    return {f"grad_{name}": grad for name, grad in grads.items()}


def _line(code: str, name: str, epoch: Any, autodiff: dict[str, Array], row: int, unit: int) -> Line:
    value = np.asarray(getattr(epoch, name))
    entries, values = _numbers(name, value, row, unit)
    if name not in autodiff:
        return Line(code, name, value.shape, entries, values, None, None)
    expected = np.asarray(autodiff[name])
    difference, largest = np.max(np.abs(value - expected)), np.max(np.abs(expected))
    worst = 0.0 if difference == 0 else float(difference / largest) if largest > 0 else float("inf")
    return Line(code, name, value.shape, entries, values, _numbers(name, expected, row, unit)[1], worst)


def _numbers(name: str, value: Any, row: int, unit: int) -> tuple[list[tuple[int, ...]], list[float]]:
    """The entries of an array that belong to the row and the unit, and their numbers."""
    features = range(3)
    entries = {
        "x": [(row, feature) for feature in features],
        "y": [(row, 0)],
        "h": [(row, unit)],
        "h_relu": [(row, unit)],
        "y_pred": [(row, 0)],
        "loss": [()],
        "w1": [(feature, unit) for feature in features],
        "b1": [(0, unit)],
        "w2": [(unit, 0)],
        "b2": [(0, 0)],
    }[name.removeprefix("grad_")]
    return entries, [float(value[entry]) for entry in entries]


def _print(args: argparse.Namespace, given: dict[str, Any], lines: list[Line]) -> None:
    right, wrong = _marks()
    print(f"Epoch {args.epoch} of the tutorial's network, seed {args.seed}: row {args.row}, hidden unit {args.unit}\n")
    for names in (("x", "y"), ("w1", "b1"), ("w2", "b2")):
        print("  " + "   ".join(_assignment(name, *given[name]) for name in names))
    print(f"\n{'':48}{'shape':>9}{'entry':>9}{'value':>13}{'jax.grad':>13}")
    for line in lines:
        if line.name in _PARTS:
            print(_PARTS[line.name])
        words = [f"  {line.code:46}{line.shape!s:>9}"]
        words += [f"      {_MEANINGS[line.name]}"] if line.name in _MEANINGS else []
        entries = [f"{list(entry) or ''!s:>9}" for entry in line.entries]
        values = [f"{value:#13.6g}" for value in line.values]
        autodiff = [f"{value:#13.6g}  {right if line.agrees else wrong}" for value in line.jax_grad or []]
        for cells in itertools.zip_longest(words, entries, values, autodiff, fillvalue=""):
            print(f"{cells[0]:57}{''.join(cells[1:])}".rstrip())
    worst = max(line.worst for line in lines if line.worst is not None)
    print(
        f"\n{right} in the whole array the numbers are jax.grad's (float64; off by {worst:.1g} of the largest at most)"
    )


def _assignment(name: str, entries: list[tuple[int, ...]], values: list[float]) -> str:
    """As in Python, `w1[:, 4] = …` where several entries are shown."""
    index = ", ".join(":" if len(set(axis)) > 1 else str(axis[0]) for axis in zip(*entries, strict=True))
    return f"{name}[{index}] = {'  '.join(f'{value:#.6g}' for value in values)}"


def _marks() -> tuple[str, str]:
    """A tick and a cross, where stdout can write them."""
    try:
        "✓✗".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "ok", "WRONG"
    return "✓", "✗"
