"""`jaxmlp explain`: every number in an epoch of the tutorial's network, compared with autodiff."""

import argparse
import ast
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from jaxmlp.activations import relu
from jaxmlp.backprop import row_gradient_norms
from jaxmlp.cli.common import CommandError, Commands, compile_ahead, key_seed, positive, print_json
from jaxmlp.cli.tutorial import draw
from jaxmlp.network import Layer
from jaxmlp.page.program import Values, list_steps, meaning_of, name_gradients, terms_over_rows, why_zero
from jaxmlp.page.recording import worst_error
from jaxmlp.page.small import small_example
from jaxmlp.tutorial import EPOCHS, LEARNING_RATE, SIZES, Epoch, tutorial, tutorial_epoch
from jaxmlp.verification import grad_every_value

_ROWS, _UNITS = 100, SIZES[1]
_STEPS = list_steps(SIZES)
# Relative to the largest entry of an array. Rounding in float64 costs 1e-15, and more where a sum over rows nearly
# cancels, as in the gradients after many epochs.
_TOLERANCE = 1e-9

_HEADINGS = {
    "h": "Forward pass",
    "grad_y_pred": "Backward pass: the gradient of the loss with respect to ...",
    "w1": f"Gradient descent: a small step against each gradient, learning_rate = {LEARNING_RATE}",
}
_SHOWN_TERMS = 5  # of a sum over rows, the largest


class Line(NamedTuple):
    """One line of `tutorial_epoch`, with its numbers for one row and one hidden unit."""

    code: str
    name: str
    shape: tuple[int, ...]
    entries: list[tuple[int, ...]]  # Indices of the entries that belong to the row and the unit.
    values: list[float]  # The value of each entry.
    jax_grad: list[float] | None  # The values by `jax.grad`; None where the line is not a gradient.
    worst: float | None  # Largest error of the whole array compared with `jax.grad`, relative to the largest entry.
    terms: list[list[tuple[int, float]]] | None  # Row and value of the largest terms of each entry that sums over rows.
    why_zero: str | None  # Why the values are 0, where the unit is off.

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
    add("--epoch", type=_epoch, help=f"epoch to show, from 1; last: the log's last, {EPOCHS} (default: 1)")
    add("--row", type=_index(_ROWS), help=f"row, 0 to {_ROWS - 1} (default: one with a large error at the epoch)")
    add("--unit", type=_index(_UNITS), help=f"hidden unit, 0 to {_UNITS - 1} (default: one that is on for the row)")
    add("--seed", type=key_seed, help="random seed of data and weights, as in jaxmlp tutorial (default: 0)")
    add("--small", action="store_true", help="show a small example for paper instead: 2 inputs, 2 units, 3 rows")
    add("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train up to the epoch, compute it by hand and by autodiff, print."""
    if args.small:
        return _run_small(args)
    args.epoch, args.seed = args.epoch or 1, args.seed or 0
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
        norms = np.asarray(jax.jit(_norms)(tuple(weights), x, y))
    is_chosen = None in (args.row, args.unit)
    args.row, args.unit = _choose(epoch, y, args.row, args.unit)

    arrays = dict(zip(("x", "y", "w1", "b1", "w2", "b2"), (x, y, *weights), strict=True))
    given = {name: _numbers(name, value, args.row, args.unit) for name, value in arrays.items()}
    values = epoch._asdict() | arrays
    lines = [_line(code, name, epoch, autodiff, values, args.row, args.unit) for code, name in _page()]
    wrong = [line.name for line in lines if line.jax_grad and not line.agrees]
    pulls = _largest_terms(norms)
    if args.json:
        result = {name: getattr(args, name) for name in ("seed", "epoch", "row", "unit")}
        result |= {"learning_rate": LEARNING_RATE, "given": {name: values for name, (_, values) in given.items()}}
        result["hardest_rows"] = [{"row": number, "gradient_norm": norm} for number, norm in pulls]
        result["lines"] = [line._asdict() | {"meaning": _meaning(line.name)} for line in lines]
        print_json(result | {"wrong": wrong})
    else:
        _print(args, given, lines, is_chosen, pulls)
    if wrong:
        raise CommandError(f"not the gradient that jax.grad computes: {', '.join(wrong)}", code=1)
    return 0


def _epoch(text: str) -> int:
    try:
        return EPOCHS if text == "last" else positive(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or last") from None


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


def _autodiff(weights: tuple[Array, ...], x: Array, y: Array) -> Values:
    """Return `jax.grad` of every value under the names of `Epoch`."""
    w1, b1, w2, b2 = weights
    return name_gradients(_STEPS, *grad_every_value((Layer(w1, b1), Layer(w2, b2)), x, y, relu))


def _norms(weights: tuple[Array, ...], x: Array, y: Array) -> Array:
    w1, b1, w2, b2 = weights
    return row_gradient_norms((Layer(w1, b1), Layer(w2, b2)), x, y)


def _choose(epoch: Epoch, y: np.ndarray, row: int | None, unit: int | None) -> tuple[int, int]:
    """Return the row and the unit, or where they are None the largest error and the largest gradient."""
    errors, h = np.abs(np.asarray(epoch.y_pred) - y)[:, 0], np.asarray(epoch.h)
    if row is None:
        row = int(np.argmax(errors if unit is None else np.where(h[:, unit] < 0, -1, errors)))
    return row, int(np.argmax(np.abs(np.asarray(epoch.grad_h)[row]))) if unit is None else unit


def _line(code: str, name: str, epoch: Epoch, autodiff: Values, arrays: Values, row: int, unit: int) -> Line:
    value = np.asarray(getattr(epoch, name))
    entries, values = _numbers(name, value, row, unit)
    terms = [_largest_terms(terms) for entry in entries if (terms := _terms(name, arrays, entry)) is not None] or None
    why = why_zero(name, np.asarray(epoch.h), row, unit)
    if name not in autodiff:
        return Line(code, name, value.shape, entries, values, None, None, terms, why)
    expected = np.asarray(autodiff[name])
    worst = float(worst_error(value, expected))
    return Line(code, name, value.shape, entries, values, _numbers(name, expected, row, unit)[1], worst, terms, why)


def _terms(name: str, arrays: Values, entry: tuple[int, ...]) -> np.ndarray | None:
    step = next((step for step in _STEPS if step.name == name), None)
    return None if step is None else terms_over_rows(step, arrays, entry)


def _largest_terms(terms: np.ndarray) -> list[tuple[int, float]]:
    return [(int(row), float(terms[row])) for row in np.argsort(-np.abs(terms), stable=True)[:_SHOWN_TERMS]]


def _meaning(name: str) -> str | None:
    """Return the meaning of a line; the heading says that of the updates, whose names are those of parameters."""
    return None if name in ("w1", "b1", "w2", "b2") else meaning_of(name)


def _numbers(name: str, value: np.ndarray, row: int, unit: int) -> tuple[list[tuple[int, ...]], list[float]]:
    """Return the indices in an array that belong to the row and the unit, and the values there."""
    features: list[tuple[int, ...]] = [(feature, unit) for feature in range(3)]
    entries = {"w1": features, "b1": [(0, unit)], "w2": [(unit, 0)], "b2": [(0, 0)], "loss": [()]}
    entries |= {"x": [(row, feature) for feature in range(3)], "y": [(row, 0)], "y_pred": [(row, 0)]}
    indices = (entries | {"h": [(row, unit)], "h_relu": [(row, unit)]})[name.removeprefix("grad_")]
    return indices, [float(value[index]) for index in indices]


def _print(args: argparse.Namespace, given: dict[str, tuple], lines: list[Line], is_chosen: bool, pulls) -> None:
    right, wrong = _marks()
    print(f"Epoch {args.epoch} of the tutorial's network, seed {args.seed}: row {args.row}, hidden unit {args.unit}")
    if is_chosen:
        print(f"To compare epochs, add --row {args.row} --unit {args.unit}: the defaults depend on the epoch.")
    print()
    for names in (("x", "y"), ("w1", "b1"), ("w2", "b2")):
        print("  " + "   ".join(_assignment(name, *given[name]) for name in names))
    print(f"\n{'':48}{'shape':>9}{'entry':>9}{'value':>13}{'jax.grad':>13}")
    for line in lines:
        if line.name in _HEADINGS:
            print(_HEADINGS[line.name])
        words = [f"  {line.code:46}{line.shape!s:>9}"]
        words += [f"      {meaning}"] if (meaning := _meaning(line.name)) else []
        entries = [f"{list(entry) or ''!s:>9}" for entry in line.entries]
        style = "13.7g" if line.name == "loss" else "#13.6g"  # The loss has the digits of the log.
        values = [f"{value:{style}}" for value in line.values]
        autodiff = [f"{value:{style}}  {right if line.agrees else wrong}" for value in line.jax_grad or []]
        for cells in itertools.zip_longest(words, entries, values, autodiff, fillvalue=""):
            print(f"{cells[0]:57}{''.join(cells[1:])}".rstrip())
        for entry, terms, value in zip(line.entries, line.terms or [], line.values, strict=False):
            print(f"      {list(entry) or 'loss'} by row  {_write_terms(terms, value)}")
        if line.why_zero:
            print(textwrap.fill(line.why_zero, 100, initial_indent="      ", subsequent_indent="      "))
    rows = "  ".join(f"{number}: {norm:.4g}" for number, norm in pulls)
    print(f"Rows that pull hardest (norm of the gradient): {rows}")
    worst = max(line.worst for line in lines if line.worst is not None)
    print(f"{right} the whole array agrees with jax.grad in float64 (largest relative error: {worst:.1g})")


def _assignment(name: str, entries: list[tuple[int, ...]], values: list[float]) -> str:
    """Return Python's notation, `w1[:, 4] = …` for several entries."""
    index = ", ".join(":" if len(set(axis)) > 1 else str(axis[0]) for axis in zip(*entries, strict=True))
    return f"{name}[{index}] = {'  '.join(f'{value:#.6g}' for value in values)}"


def _write_terms(terms: list[tuple[int, float]], value: float) -> str:
    others = value - sum(term for _, term in terms)
    shown = "  ".join(f"{row}: {term:+.4g}" for row, term in terms)
    return f"{shown}  ({_ROWS - len(terms)} more: {others:+.4g})"


def _run_small(args: argparse.Namespace) -> int:
    """Print the small example."""
    given = [f"--{name}" for name in ("epoch", "row", "unit", "seed") if getattr(args, name) is not None]
    if given:
        raise CommandError(f"--small has its own network and rows; leave out {', '.join(given)}")
    example = small_example()
    if args.json:
        print_json(example.to_dict())
    else:
        print(example.to_text())
    return 0


def _marks() -> tuple[str, str]:
    """Return a tick and a cross, or words where stdout cannot write them."""
    try:
        "✓✗".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "ok", "WRONG"
    return "✓", "✗"
