"""The report on a model of a table: as data that JSON can hold, and as the lines that the command prints."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxmlp.models import Interval
from jaxmlp.selection import CrossValidation, Importance, Score
from jaxmlp.storage.json import make_finite
from jaxmlp.tables import Recipe
from jaxmlp.tables.messages import quote_if_odd

MAX_COLUMNS_SHOWN = 20


def make_report(
    recipe: Recipe, result: CrossValidation, importance: Importance, y: np.ndarray, interval: Interval | None
) -> dict[str, Any]:
    """Return everything that is told about a model, by name; errors of a regression are in the target's unit.

    Arguments:
        recipe: of the table.
        result: of the search.
        importance: of the columns of the table.
        y: (n, outputs) targets.
        interval: the 90 % prediction interval; None for classes.

    Returns:
        What JSON can hold; numbers that are not finite are None.
    """
    report: dict[str, Any] = {"target": recipe.target, "task": recipe.task, "error": result.task.error}
    report |= {"verdict": result.verdict, "method": result.method, "interrupted": result.interrupted}
    held_out = result.fold >= 0
    for name in ("network", "linear", "constant"):
        score = getattr(result, name)
        report[name] = _figures(score)
        if recipe.classes:
            right = score.predictions[held_out].argmax(axis=1) == y[held_out].argmax(axis=1)
            report[name] |= {"accuracy": right.mean(), "accuracy_error": right.std() / np.sqrt(len(right))}
    report["interval"] = None if interval is None else [interval.low, interval.high]
    report["candidates"] = [
        candidate._asdict() | _figures(score) for candidate, score in zip(result.candidates, result.scores, strict=True)
    ]
    report |= result.candidates[result.best]._asdict()
    report |= {"folds": result.folds, "members": result.group.members, "networks": result.n_networks}
    report |= {"rows": len(y), "held_out": int(held_out.sum())}
    report["columns"] = [
        {"name": recipe.columns[k].name, "importance": importance.mean[k], "std": importance.std[k]}
        for k in importance.order
    ]
    return make_finite(report)


def describe_report(report: Mapping[str, Any]) -> list[str]:
    """Return the report as lines of text.

    Arguments:
        report: of `make_report`.
    """
    kind = "class frequencies" if report["task"] == "classification" else "mean"
    names = {"network": "network", "linear": "linear", "constant": f"constant ({kind})"}
    heads = ["model", report["error"], "accuracy" if "accuracy" in report["network"] else ""]
    rows = [[label, *_cells(report[name])] for name, label in names.items()]
    widths = [max(len(row[k]) for row in [heads, *rows]) for k in range(3)]
    lines = [f"{quote_if_odd(report['target'])}: {report['verdict']}", ""]
    for row in [heads, *rows]:
        cells = f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}".rstrip()
        lines.append(cells + ("   <- saved" if row[0] == "network" else ""))
    lines += ["", f"Measured: {report['method']}"]
    if report["interval"] is not None:
        root = " √prediction" if report["task"] == "counts" else ""
        low, high = (f"{'-' if end < 0 else '+'} {abs(end):.4g}{root}" for end in report["interval"])
        lines.append(f"90 % of targets fall within [prediction {low}, prediction {high}]")
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


def _figures(score: Score) -> dict[str, Any]:
    return {"score": score.score, "standard_error": score.standard_error}


def _cells(entry: Mapping[str, Any]) -> list[str]:
    error = "diverged" if entry["score"] is None else f"{entry['score']:.4g} ± {entry['standard_error']:.2g}"
    return [error, f"{entry['accuracy']:.1%} ± {entry['accuracy_error']:.1%}" if "accuracy" in entry else ""]
