"""Whether what `jaxmlp train` promises holds on test rows; part of `bench/tables.py`.

reported      the error that the report expects of the saved model; `error` is that of the test rows
z             the difference of these two, in combined standard errors
single        the error on held-out rows, which the networks of a single fold predict; single_z belongs to it
inside        share of the test targets that lie within their 90 % interval
low_quarter   the same for the worst quarter of the predictions, if a quarter has at least 100 rows
temperature   by how much the best temperature would lower the log loss of the test rows
negative      predictions below zero, where no target is
"""

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from table_peers import measure_error, measure_row_errors

from jaxmlp.fitting.temperature import apply_temperature

QUARTER = 100  # Rows, at least.
TEMPERATURES = np.geomspace(0.2, 5, 161)


class Predictions(NamedTuple):
    """Predictions of the test rows: numbers (n,), with the ends of their intervals, or probabilities (n, classes)."""

    values: np.ndarray
    ends: tuple[np.ndarray, np.ndarray] | None = None


def measure_calibration(
    task: str, y: np.ndarray, predictions: Predictions, report: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the figures of a model as a row of results.

    Arguments:
        task: "regression", "classification" or "counts".
        y: (n,) targets of the test rows; for a classification the numbers of the classes.
        predictions: of the test rows.
        report: of the model.
    """
    values, ends = predictions
    errors, error = measure_row_errors(task, y, values), measure_error(task, y, values)
    standard_error = float(errors.std(ddof=1) / np.sqrt(len(errors)))
    if task == "regression":
        standard_error /= 2 * error  # of the root
    combined = float(np.hypot(standard_error, report["standard_error"]))
    single, adjusted = report["score"], report.get("adjusted_score")
    expected = single if adjusted is None else adjusted
    row = {"reported": expected, "z": (error - expected) / combined}
    row |= {} if adjusted is None else {"single": single, "single_z": (error - single) / combined}
    if task == "classification":
        best = min(measure_error(task, y, apply_temperature(values, t)) for t in TEMPERATURES)
        return row | {"temperature": 1 - best / error}
    row |= {"negative": int((values < 0).sum()) if y.min() >= 0 else 0}
    if ends is None:
        return row
    inside = (ends[0] <= y) & (y <= ends[1])
    quarters = [float(part.mean()) for part in np.array_split(inside[np.argsort(values)], 4)]
    return row | {"inside": float(inside.mean()), "low_quarter": min(quarters) if len(y) >= 4 * QUARTER else None}


def describe_calibration(rows: list[dict[str, Any]]) -> list[str]:
    """Return what all rows of results of jaxmlp say, a line each."""
    lines = []
    for name, label, z in (("reported", "reported error", "z"), ("single", "error of single folds", "single_z")):
        if known := [row for row in rows if name in row]:
            ratio = statistics.geometric_mean([row["error"] / row[name] for row in known])
            near = f"{sum(abs(row[z]) <= 2 for row in known)} of {len(known)} within two standard errors"
            lines.append(f"test error / {label}: geometric mean {ratio:.3f}; {near}")
    if inside := [row for row in rows if row.get("inside") is not None]:
        tables: dict[str, list[float]] = {}
        for row in inside:
            tables.setdefault(row["table"], []).append(row["inside"])
        means = {name: statistics.fmean(shares) for name, shares in tables.items()}
        lowest = min(means, key=lambda name: means[name])
        line = f"90 % intervals: {statistics.fmean(row['inside'] for row in inside):.1%} on average, "
        lines.append(f"{line}lowest table {means[lowest]:.1%} ({lowest})" + _describe_quarter(inside))
    if classes := [row for row in rows if row.get("temperature") is not None]:
        gain = sum(row["error"] * row["temperature"] for row in classes) / sum(row["error"] for row in classes)
        lines.append(f"with the best temperature of each split, the mean log loss would be lower by {gain:.1%}")
    negative = sum(row.get("negative", 0) for row in rows)
    return [*lines, f"negative predictions of targets that are never negative: {negative}"]


def _describe_quarter(rows: list[dict[str, Any]]) -> str:
    quarters = [row for row in rows if row["low_quarter"] is not None]
    if not quarters:
        return ""
    lowest = min(quarters, key=lambda row: row["low_quarter"])
    return f", lowest quarter {lowest['low_quarter']:.1%} ({lowest['table']}, seed {lowest['seed']})"
