"""Predictions for a table, as a table."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxmlp._validation import require
from jaxmlp.models.interval import Interval
from jaxmlp.models.model import Model, predict, predict_with_std
from jaxmlp.tables import Recipe

if TYPE_CHECKING:
    from polars import DataFrame


def predict_table(model: Model, frame: Any) -> "DataFrame":
    """Return a table of predictions, a row for each row of `frame`.

    Arguments:
        model: a model with a recipe.
        frame: a table.

    Returns:
        The probabilities of the classes; the standard deviation over the networks, if there are several; the ends of
        the 90 % prediction interval, if it was measured; and last the prediction.

    Raises:
        TableError: the table does not fit the recipe.
    """
    assert model.recipe is not None
    if model.members == 1:
        return arrange_predictions(model.recipe, np.asarray(predict(model, frame)), None, model.interval)
    mean, std = (np.asarray(values) for values in predict_with_std(model, frame))
    return arrange_predictions(model.recipe, mean, std, model.interval)


def arrange_predictions(
    recipe: Recipe, mean: np.ndarray, std: np.ndarray | None, interval: Interval | None
) -> "DataFrame":
    """Return the table of predictions whose mean and standard deviation (n, outputs) are given."""
    polars = require("polars", extra="tables")
    table = recipe.decode(mean)
    more = {}
    if std is not None:
        column = mean.argmax(axis=1) if recipe.classes else np.zeros(len(mean), int)
        more["std"] = np.take_along_axis(std, column[:, None], axis=1)[:, 0]
    if interval is not None:
        more["low"], more["high"] = interval.ends(mean[:, 0])
    for name, values in more.items():
        table.insert_column(table.width - 1, polars.Series(name, values))
    return table
