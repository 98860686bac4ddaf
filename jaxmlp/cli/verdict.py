"""The verdict on a table: what `jaxmlp train` does unless told to be fast."""

import argparse
import itertools
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmlp import __version__, plots
from jaxmlp._validation import require
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.cli.common import CommandError, finite, note, platform, print_json, write_figure
from jaxmlp.cli.tables import CRITERIA, Prepared, band_scale, refusing
from jaxmlp.models import Model, save_model
from jaxmlp.selection import CrossValidation, Importance, cross_validate, permutation_importance
from jaxmlp.selection.crossvalidation import CANDIDATES, Candidate, default_batch_size, default_epochs
from jaxmlp.tables import Recipe

# Seconds: of a process that trains nothing, of a step whatever its size, and of a multiplication; two x86-64 cores.
_START, _STEP, _MULTIPLICATION = 12.0, 2e-5, 1e-9
# From the most thorough plan to the least: folds, candidates, seeds.
_PLANS = ((5, 4, 2), (5, 4, 1), (5, 2, 1), (3, 2, 1), (3, 1, 1), (2, 1, 1))
_MOST_SHOWN = 20
_MOST_COMPARED = 10**5  # rows, to find copies


class Plan(NamedTuple):
    """How much is tried."""

    folds: int
    candidates: tuple[Candidate, ...]
    seeds: int
    epochs: int
    batch_size: int
    shortened: bool  # whether the budget allows less than the table is worth


def plan(n: int, sizes: tuple[int, ...], candidates: tuple[Candidate, ...], budget: float, devices: int) -> Plan:
    """The most thorough search that fits in so many seconds, by a rough count of its multiplications.

    Arguments:
        n: rows.
        sizes: of the networks.
        candidates: the most that are tried.
        budget: seconds of the whole process.
        devices: that train side by side.
    """
    batch_size = default_batch_size(n)
    step = _STEP + _MULTIPLICATION * 3 * batch_size * sum(i * o for i, o in itertools.pairwise(sizes))
    seconds = max(budget - _START, budget / 4) * devices
    epochs = default_epochs(n, batch_size)
    tries = [Plan(min(f, n // 3), candidates[:c], s, epochs, batch_size, k > 0) for k, (f, c, s) in enumerate(_PLANS)]
    costs = [each.folds * len(each.candidates) * each.seeds * -(-n // batch_size) * step for each in tries]
    for each, cost in zip(tries, costs, strict=True):
        if cost * epochs <= seconds:
            return each
    return tries[-1]._replace(epochs=max(1, int(seconds / costs[-1])))


def run(args: argparse.Namespace, table: Prepared, out: Path) -> int:
    """Choose, judge, say it, keep the networks."""
    start = time.perf_counter()
    recipe, told = table.recipe, table.parts[0]
    x, y, n = table.x[told], table.y[told], int(told.sum())
    if n < 6:
        raise CommandError(f"{n} rows with a target; at least 6 are needed to judge by rows not seen in training")
    candidates = tuple(
        dict.fromkeys(
            each._replace(
                learning_rate=each.learning_rate if args.learning_rate is None else args.learning_rate,
                weight_decay=each.weight_decay if args.weight_decay is None else args.weight_decay,
            )
            for each in CANDIDATES
        )
    )
    sizes = (recipe.n_inputs, *args.hidden, recipe.n_outputs)
    chosen = plan(n, sizes, candidates, args.budget, jax.local_device_count())
    if table.untold:
        note(f"Rows without a target, left out: {table.untold}")
    if chosen.shortened:
        note(
            f"In {args.budget:g} s fewer networks are tried than the table is worth: folds {chosen.folds}, candidates "
            f"{len(chosen.candidates)}, seeds {chosen.seeds}, epochs {chosen.epochs}; see --budget"
        )
    copies = n - len(np.unique(np.concatenate([x, y], axis=1), axis=0)) if n <= _MOST_COMPARED else 0
    if copies > n / 20:
        note(f"{copies} of {n} rows are copies of others; if one thing stands there twice, the score is flattered")
    with _progress() as show:
        result = refusing(
            cross_validate, x, y, key=jax.random.key(args.seed), hidden=args.hidden, folds=chosen.folds,
            candidates=chosen.candidates, seeds=chosen.seeds, epochs=chosen.epochs, batch_size=chosen.batch_size,
            activation=ACTIVATIONS[args.activation], criterion=CRITERIA[recipe.task], progress=show,
        )  # fmt: skip
    if not np.isfinite(result.network.score):
        raise CommandError("training diverged: try a smaller --learning-rate", code=1)
    importance = permutation_importance(result, x, y, _groups(recipe), key=jax.random.key(args.seed))
    found = summary(recipe, result, importance, y)
    training = {"jaxmlp": __version__, "table": "-" if args.file == "-" else Path(args.file).name, "seed": args.seed}
    training |= {"rows": n} | {name: value for name, value in found.items() if name not in ("candidates", "columns")}
    refusing(
        save_model, Model(result.params, result.activation, result.criterion, recipe, finite(training)), out, code=1
    )

    command = shlex.join(["jaxmlp", "predict", str(out), args.file])
    seconds = time.perf_counter() - start
    if args.json:
        about = {"file": args.file, "target": args.target, "task": recipe.task, "features": len(recipe.columns)}
        about |= {"left_out": dict(recipe.left_out)} | training | found
        print_json(about | {"platform": platform(), "seconds": seconds, "model": str(out), "predict": command})
    else:
        for line in report(recipe, found):
            print(line)
        print(f"\nModel: {out}, the mean of {found['members']} networks. To predict:\n{command}")
    note(f"{result.networks} networks, {seconds:.1f} s")
    if args.plot:
        title = f"{recipe.target}: {found['verdict']}"
        write_figure(
            plots.report_figure(found | {"constant": found["guess"]}, *_shown(recipe, result, y), title=title),
            args.plot,
        )
    return 0


def summary(recipe: Recipe, result: CrossValidation, importance: Importance, y: np.ndarray) -> dict[str, Any]:
    """All that is said, by name; errors of a regression in the target's own unit."""
    unit = recipe.scale if recipe.task == "regression" else 1.0
    found: dict[str, Any] = {"error": result.error, "verdict": result.verdict, "how": result.how}
    for name in ("network", "linear", "guess"):
        each = getattr(result, name)
        found[name] = {"score": each.score * unit, "standard_error": each.standard_error * unit}
        if recipe.classes:
            right = each.predictions.argmax(axis=1) == y.argmax(axis=1)
            found[name] |= {"accuracy": right.mean(), "accuracy_error": right.std() / np.sqrt(len(right))}
    if not recipe.classes:
        predicted = result.network.predictions[:, 0]
        spread = band_scale(recipe, predicted)
        found["band"] = (np.quantile((y[:, 0] - predicted) / spread, (0.05, 0.95)) * unit).tolist()
    scores = zip(result.candidates, result.scores * unit, result.standard_errors * unit, strict=True)
    found["candidates"] = [each._asdict() | {"score": score, "standard_error": se} for each, score, se in scores]
    found |= result.candidates[result.chosen]._asdict()
    found["folds"] = int(result.fold.max()) + 1
    found["members"], found["networks"] = result.params[0].w.shape[0], result.networks
    found["columns"] = [
        {"name": recipe.columns[k].name, "importance": importance.mean[k] * unit, "spread": importance.spread[k] * unit}
        for k in importance.order
    ]
    return jax.tree.map(lambda value: value.item() if isinstance(value, np.generic) else value, found)


def report(recipe: Recipe, found: dict[str, Any]) -> list[str]:
    """The same in words."""
    network, linear, guess = (found[name] for name in ("network", "linear", "guess"))
    guessing = "by frequency" if recipe.classes else "the mean"
    lines = [
        f"{found['error']} of {recipe.target}: {_plus_minus(network)}; of a linear model: {_plus_minus(linear)}; "
        f"of guessing {guessing}: {_plus_minus(guess)}"
    ]
    if recipe.classes:
        shares = [f"{each['accuracy']:.1%} ± {each['accuracy_error']:.1%}" for each in (network, linear, guess)]
        lines.append(f"Accuracy: {shares[0]}; of a linear model: {shares[1]}; of the most frequent class: {shares[2]}")
    lines.append(f"Verdict: {found['verdict']}")
    lines.append(f"How: {found['how']}")
    if "band" in found:
        root = " √prediction" if recipe.task == "counts" else ""
        low, high = (f"prediction {end:+.4g}{root}" for end in found["band"])
        lines.append(f"Nine in ten targets lie between {low} and {high}")
    lines.append(f"\ncolumns that matter ({found['error']} grows by so much when one is shuffled)")
    columns = found["columns"][:_MOST_SHOWN]
    width = max(len(column["name"]) for column in columns)
    lines += [f"  {c['name']:{width}}  {c['importance']:.4g} ± {c['spread']:.2g}" for c in columns]
    rest = len(found["columns"]) - len(columns)
    return lines + ([f"  and {rest} more"] if rest else [])


def _plus_minus(each: dict[str, float]) -> str:
    return f"{each['score']:.4g} ± {each['standard_error']:.2g}"


def _groups(recipe: Recipe) -> list[range]:
    """The inputs that each column of the table becomes."""
    ends = np.cumsum([column.width for column in recipe.columns]).tolist()
    return [range(end - column.width, end) for end, column in zip(ends, recipe.columns, strict=True)]


def _shown(recipe: Recipe, result: CrossValidation, y: np.ndarray) -> tuple[Any, Any, list[str] | None]:
    """Targets, out-of-fold predictions and the names of classes, as `report_figure` draws them."""
    predictions = result.network.predictions
    if recipe.classes:
        names = [name.removeprefix("probability_") for name in recipe.output_columns()[:-1]]
        return y.argmax(axis=1), predictions.argmax(axis=1), names
    return recipe.decode(y)["prediction"], recipe.decode(predictions)["prediction"], None


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """A function that shows how far the search is, on stderr, where that is a terminal."""
    with require("tqdm", extra="tables").tqdm(total=100, unit="%", disable=None) as bar:
        yield lambda share: bar.update(round(100 * share) - bar.n)
