"""How predictions move with the columns of a table that matter most."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from jax import Array

from jaxmlp.pipeline.rows import Rows
from jaxmlp.selection import CrossValidation, Dependence, partial_dependence
from jaxmlp.tables.columns import Boolean, Column, Number
from jaxmlp.tables.temporal import Clock, Date

MOST_COLUMNS = 3
MOST_CLASSES = 4  # Whose probabilities are shown.
_MOST_VALUES, _MOST_LEVELS = 20, 10
_TAIL = 0.01  # The share of the rows below the lowest value that is tried, and above the highest.

# Of predictions: a curve that is moved may leave it.
_RANGES = {"regression": (-np.inf, np.inf), "classification": (0, 1), "counts": (0, np.inf)}
_BOOLEANS = {"false": "no", "true": "yes"}


@dataclass(frozen=True, eq=False)
class ColumnDependence:
    """How the prediction moves with a column."""

    name: str  # of the column
    scale: Literal["number", "date", "hour", "level"]
    places: tuple[float, ...]  # numbers, days since 1970 or hours, in ascending order; for levels 0, 1, 2, ...
    labels: tuple[str, ...]  # of the levels; empty for a scale
    classes: tuple[str, ...]  # whose probability is the prediction; empty for numbers
    values: Dependence  # of `classes`, or of the number


def measure_dependence(
    rows: Rows, result: CrossValidation, columns: list[int], key: Array
) -> tuple[ColumnDependence, ...]:
    """Return how the prediction moves with some columns, given by their index in the recipe."""
    groups = rows.recipe.groups()
    known = [choose_values(rows.recipe.columns[k], rows.x[:, list(groups[k])]) for k in columns]
    known = [(k, *own) for k, own in zip(columns, known, strict=True) if len(own[0]) > 1]
    sources = [source for _, source, *_ in known]
    measured = partial_dependence(result, rows.x, [groups[k] for k, *_ in known], sources, key=key)
    outputs, classes = _choose_classes(rows)
    return tuple(
        ColumnDependence(
            rows.recipe.columns[k].name, scale, places, labels, classes,
            Dependence(*(np.clip(part[..., outputs], *_RANGES[rows.recipe.task]) for part in values)),
        )
        for (k, _, scale, places, labels), values in zip(known, measured, strict=True)
    )  # fmt: skip


def _choose_classes(rows: Rows) -> tuple[list[int], tuple[str, ...]]:
    """Return the outputs to show, and the names of their classes: of two classes the second, of more the largest."""
    names = rows.recipe.class_names()
    if len(names) < 3:
        return [len(names) - 1 if names else 0], tuple(names[1:])
    largest = np.argsort(-rows.y.sum(axis=0), kind="stable")[:MOST_CLASSES]
    outputs = sorted(largest.tolist())
    return outputs, tuple(names[k] for k in outputs)


def choose_values(
    column: Column, x: np.ndarray
) -> tuple[np.ndarray, Literal["number", "date", "hour", "level"], tuple[float, ...], tuple[str, ...]]:
    """Return rows that hold the values to try of a column with inputs x (n, inputs); the scale; places; labels."""
    names = [name.removeprefix(f"{column.name} is ") for name in column.input_names()]
    if isinstance(column, Boolean):
        names = [_BOOLEANS.get(name, name) for name in names]
    if not isinstance(column, Number | Date | Clock):
        sizes, first = x.sum(axis=0), x.argmax(axis=0)
        if len(names) == 1:  # whether a value is missing
            rows, labels = [int(x[:, 0].argmin()), int(first[0])], ["not missing", "missing"]
        else:
            levels = sorted(np.argsort(-sizes, kind="stable")[:_MOST_LEVELS].tolist())
            levels = [k for k in levels if sizes[k] > 0]
            rows, labels = (
                [int(first[k]) for k in levels],
                [names[k].removeprefix(f"{column.name} is ") for k in levels],
            )
        return np.array(rows), "level", tuple(map(float, range(len(rows)))), tuple(labels)
    axis = names.index(f"{column.name}: days since the start") if isinstance(column, Date) else 0
    present = np.flatnonzero(x[:, -1] == 0) if column.missing else np.arange(len(x))
    order = present[np.argsort(x[present, axis], kind="stable")]
    different, first = np.unique(ascending := x[order, axis], return_index=True)
    if len(different) > _MOST_VALUES:
        levels = np.linspace(_TAIL, 1 - _TAIL, _MOST_VALUES)
        different = np.unique(np.quantile(ascending, levels, method="nearest"))
        first = np.searchsorted(ascending, different)
    if not isinstance(column, Date):
        return order[first], "hour" if isinstance(column, Clock) else "number", tuple(different.tolist()), ()
    start = datetime.fromisoformat(column.start)
    days = [(start + timedelta(days=value) - datetime(1970, 1, 1)) / timedelta(days=1) for value in different]
    return order[first], "date", tuple(days), ()
