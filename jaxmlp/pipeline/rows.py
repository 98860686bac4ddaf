"""The rows of a table as arrays, and predictions of rows as a table."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.models import Interval
from jaxmlp.models.tables import arrange_predictions
from jaxmlp.selection import CrossValidation
from jaxmlp.tables import Recipe, TableError, as_frame, learn_recipe, load_table, polars
from jaxmlp.tables.messages import join, quote

MIN_ROWS = 6
MAX_ROWS_COMPARED = 10**5  # Duplicates are counted up to this number of rows.
Note = Callable[[str], None]


class Rows(NamedTuple):
    """The rows of a table that have a target."""

    recipe: Recipe
    x: np.ndarray  # (n, inputs), float64
    y: np.ndarray  # (n, outputs), float64
    number: np.ndarray  # (n,) row numbers in the table, from 1


def read_rows(table: Any, target: str, task: str | None, drop: tuple[str, ...], note: Note) -> Rows:
    """Read a table, learn its recipe, and note what was decided about its columns and rows."""
    frame = load_table(Path(table)) if isinstance(table, str | PathLike) else as_frame(table)
    recipe = learn_recipe(frame, target, task=task, drop=drop)
    x, remarks = recipe.inputs(frame)
    y, has_target = recipe.targets(frame)
    for line in [*recipe.describe(), *remarks]:
        note(line)
    rows = np.flatnonzero(has_target)
    n = len(rows)
    if n < frame.height:
        note(f"Rows without a target, left out: {frame.height - n}")
    least, of = max(MIN_ROWS, 2 * len(recipe.classes)), f" of {len(recipe.classes)} classes" * bool(recipe.classes)
    if n < least:
        raise TableError(f"{n} rows with a target; at least {least} are needed to measure a model{of} on held-out rows")
    x, y = x[rows], y[rows]
    single = [quote(str(name)) for name, number in zip(recipe.classes, y.sum(axis=0), strict=False) if number == 1]
    if single:
        note(f"Classes with a single row, which cannot be judged: {join(single)}")
    if n <= MAX_ROWS_COMPARED:
        duplicates = n - len(np.unique(np.concatenate([x, y], axis=1), axis=0))
        if duplicates > n / 20:
            note(f"{duplicates} of {n} rows are duplicates; in different folds they make the score optimistic")
    return Rows(recipe, x, y, rows + 1)


def arrange_held_out(rows: Rows, result: CrossValidation, interval: Interval | None) -> "polars.DataFrame":
    """Return the predictions of held-out rows with row and fold (from 1) and target."""
    held_out = np.flatnonzero(result.fold >= 0)
    predictions = arrange_predictions(rows.recipe, result.network.predictions[held_out], None, interval)
    target = rows.recipe.decode(rows.y[held_out])["prediction"]
    about = {"row": rows.number[held_out], "fold": result.fold[held_out] + 1, "target": target}
    return polars.concat([polars.DataFrame(about), predictions], how="horizontal")
