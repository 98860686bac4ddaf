"""Predictions for a table, as a table."""

from collections.abc import Iterable

import numpy as np

from jaxmlp.models.model import Model, predict_frame
from jaxmlp.tables import Recipe, TableError, as_frame, polars
from jaxmlp.tables.findings import Finding
from jaxmlp.tables.messages import quote, require_columns

OUTSIDE = "outside"  # The column that names, for each row, the columns whose value is outside the training range.
_PROBABILITY_DIGITS = 7  # as many as float32 has
_MOST_DIGITS = 15  # of float64; numbers with more decimals stay as they are


def predict_table(
    model: Model, frame: object, *, ids: Iterable[str] = (), offset: int = 0
) -> tuple["polars.DataFrame", list[Finding]]:
    """Return a table of predictions, a row for each row of `frame`, and what was found about its values.

    Arguments:
        model: a model with a recipe.
        frame: a table.
        ids: columns of the table to copy.
        offset: rows of the whole table that come before; errors count from there.

    Returns:
        The table: the copied columns; the probabilities of the classes; the standard deviation over the networks, if
        there are several; the ends of the 90 % prediction interval, if it was measured; the names of the columns that
        are outside their training range; and last the prediction.

    Raises:
        TableError: the table does not fit the recipe, or lacks a column to copy.
    """
    mean, std, findings = predict_frame(model, frame, offset=offset)
    frame = as_frame(frame)
    require_columns(frame, ids)
    assert model.recipe is not None
    ends = None if model.interval is None else model.interval.ends(mean[:, 0])
    table = arrange_predictions(model.recipe, mean, std if model.members > 1 else None, ends)
    table.insert_column(table.width - 1, _name_outside(frame.height, findings))
    for name in reversed(tuple(ids)):
        if name in table.columns:
            raise TableError(f"column {quote(name)} cannot be copied: the predictions have a column of this name")
        table.insert_column(0, frame[name])
    return table, findings


def arrange_predictions(
    recipe: Recipe, mean: np.ndarray, std: np.ndarray | None, ends: tuple[np.ndarray, np.ndarray] | None
) -> "polars.DataFrame":
    """Return the table of predictions, given their mean and standard deviation (n, outputs), and interval ends (n,)."""
    table = recipe.decode(mean)
    more = {}
    if std is not None:
        column = mean.argmax(axis=1) if recipe.classes else np.zeros(len(mean), int)
        more["std"] = np.take_along_axis(std, column[:, None], axis=1)[:, 0]
    if ends is not None:
        more["low"], more["high"] = ends
    for name, values in more.items():
        table.insert_column(table.width - 1, polars.Series(name, values))
    return table


def round_predictions(recipe: Recipe, table: "polars.DataFrame") -> "polars.DataFrame":
    """Return a table of predictions with as many digits as matter: the last is below 1e-4 of the target's spread."""
    names = [name for name in table.columns if name in ("std", "low", "high", "prediction")]
    if recipe.classes:
        names = [name for name in table.columns if name == "std" or name in recipe.output_columns()[:-1]]
        return table.with_columns(polars.col(names).round_sig_figs(_PROBABILITY_DIGITS))
    if recipe.digits is None or recipe.digits > _MOST_DIGITS:
        return table
    return table.with_columns(polars.col(names).round(recipe.digits) + 0.0)  # not -0.0


def _name_outside(n: int, findings: list[Finding]) -> "polars.Series":
    """Return, for each of n rows, the names of the columns whose value is outside the training range; null for none."""
    outside = {str(k): finding for k, finding in enumerate(findings) if finding.is_outside}
    marks = polars.DataFrame({"": np.zeros(n, bool)} | {key: finding.rows for key, finding in outside.items()})
    names = [polars.when(polars.col(key)).then(polars.lit(finding.name)) for key, finding in outside.items()]
    if not names:
        return polars.Series(OUTSIDE, [None], dtype=polars.String).new_from_index(0, n)
    joined = marks.select(polars.concat_str(names, separator="; ", ignore_nulls=True)).to_series()
    return joined.replace("", None).alias(OUTSIDE)
