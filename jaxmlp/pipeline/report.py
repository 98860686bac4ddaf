"""The report on a model of a table: as data that JSON can hold, and as the lines that the command prints."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxmlp.fitting.defaults import Candidate
from jaxmlp.selection import CrossValidation, Importance, Score
from jaxmlp.selection.scores import difference_of
from jaxmlp.storage.json import make_finite
from jaxmlp.tables import Recipe
from jaxmlp.tables.messages import quote_if_odd

MAX_COLUMNS_SHOWN = 20


def make_report(
    recipe: Recipe,
    result: CrossValidation,
    importance: Importance,
    y: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray] | None,
    trees: Score | None,
) -> dict[str, Any]:
    """Return everything that is told about a model, by name; errors of a regression are in the target's unit.

    Arguments:
        recipe: of the table.
        result: of the search.
        importance: of the columns of the table.
        y: (n, outputs) targets.
        ends: of the 90 % prediction intervals of held-out rows (n,); None for classes.
        trees: the score of boosted trees; None if they were left out.

    Returns:
        What JSON can hold; numbers that are not finite are None.
    """
    report: dict[str, Any] = {"target": recipe.target, "task": recipe.task, "error": result.task.error}
    report |= {"verdict": result.verdict, "method": result.method, "interrupted": result.interrupted}
    held_out = result.fold >= 0
    measured = result.measured | ({} if trees is None else {"trees": trees})
    for name, score in measured.items():
        figures = _figures(score)
        if recipe.classes:
            right = score.predictions[held_out].argmax(axis=1) == y[held_out].argmax(axis=1)
            figures |= {"accuracy": right.mean(), "accuracy_error": right.std() / np.sqrt(len(right))}
        report |= figures if name == "model" else {name: figures}
    report |= {"saved": result.saved, "trees_are_better": _are_better(trees, result.model)}
    report["interval"] = None if ends is None else _describe_ends(ends, result.model.predictions[held_out], y[held_out])
    report["candidates"] = [
        _describe_candidate(candidate) | _figures(score)
        for candidate, score in zip(result.candidates, result.scores, strict=True)
    ]
    report |= _describe_candidate(result.candidates[result.best])
    report |= {"folds": result.folds, "networks": result.n_networks}
    report |= {"rows": len(y), "held_out": int(held_out.sum())}
    report["columns"] = [
        {"name": recipe.columns[k].name, "importance": importance.mean[k], "std": importance.std[k]}
        for k in importance.order
    ]
    return make_finite(report)


def _are_better(trees: Score | None, model: Score) -> bool:
    """Return whether boosted trees have a lower error than the model by two standard errors, on the same rows."""
    if trees is None:
        return False
    mean, standard_error = difference_of(model.row_errors, trees.row_errors)
    return mean > 2 * standard_error


def _describe_ends(ends: tuple[np.ndarray, np.ndarray], predictions: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return how wide the intervals of held-out rows are on average, and how many targets are inside."""
    low, high = ends
    inside = (low <= y[:, 0]) & (y[:, 0] <= high)
    mean = predictions[:, 0].mean()
    return {"low": low.mean() - mean, "high": high.mean() - mean, "coverage": inside.mean()}


def describe_report(report: Mapping[str, Any]) -> list[str]:
    """Return the report as lines of text.

    Arguments:
        report: of `make_report`.
    """
    kind = "class frequencies" if report["task"] == "classification" else "mean"
    names = {"mean": "network and linear, mean", "network": "network", "trees": "boosted trees", "linear": "linear"}
    names |= {"constant": f"constant ({kind})"}
    heads = ["model", report["error"], "accuracy" if "accuracy" in report["network"] else ""]
    rows = {name: [label, *_cells(report[name])] for name, label in names.items() if name in report}
    rows[report["saved"]] = [names[report["saved"]], *_cells(report)]
    widths = [max(len(row[k]) for row in [heads, *rows.values()]) for k in range(3)]
    lines = [f"{quote_if_odd(report['target'])}: {report['verdict']}", ""]
    for name, row in {"": heads, **rows}.items():
        cells = f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}".rstrip()
        lines.append(cells + "   <- saved" * (name == report["saved"]))
    lines += ["", f"Measured: {report['method']}"]
    if report["trees_are_better"]:
        lines.append("Boosted trees are better by more than two standard errors")
    if report["interval"] is not None:
        low, high, coverage = (report["interval"][name] for name in ("low", "high", "coverage"))
        around = f"from prediction - {abs(low):.4g} to prediction + {abs(high):.4g} on average"
        lines.append(f"90 % prediction intervals, {around}; they hold {coverage:.0%} of the held-out targets")
    columns = report["columns"][:MAX_COLUMNS_SHOWN]
    labels = [quote_if_odd(column["name"]) for column in columns]
    width = max(map(len, labels))
    lines += [
        "",
        f"Columns that matter (permutation importance: growth of the {report['error']}, ± standard deviation)",
    ]
    lines += [
        f"  {label:{width}}  {column['importance']:.4g} ± {column['std']:.2g}"
        for label, column in zip(labels, columns, strict=True)
    ]
    hidden = len(report["columns"]) - len(columns)
    return lines + ([f"  and {hidden} more"] if hidden else [])


def _describe_candidate(candidate: Candidate) -> dict[str, Any]:
    return candidate._asdict() | {"hidden": list(candidate.hidden)}


def _figures(score: Score) -> dict[str, Any]:
    return {"score": score.score, "standard_error": score.standard_error}


def _cells(entry: Mapping[str, Any]) -> list[str]:
    error = "diverged" if entry["score"] is None else f"{entry['score']:.4g} ± {entry['standard_error']:.2g}"
    return [error, f"{entry['accuracy']:.1%} ± {entry['accuracy_error']:.1%}" if "accuracy" in entry else ""]
