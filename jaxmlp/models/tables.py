"""Predictions for a table, as a table."""

from typing import Any

import numpy as np

from jaxmlp.models.interval import Interval
from jaxmlp.models.model import Model, predict_frame
from jaxmlp.tables import Recipe, polars


def predict_table(model: Model, frame: Any) -> tuple["polars.DataFrame", list[str]]:
    """Return a table of predictions, a row for each row of `frame`, and notes on its values for the user.

    Arguments:
        model: a model with a recipe.
        frame: a table.

    Returns:
        The table: the probabilities of the classes; the standard deviation over the networks, if there are several;
        the ends of the 90 % prediction interval, if it was measured; and last the prediction.

    Raises:
        TableError: the table does not fit the recipe.
    """
    mean, std, notes = predict_frame(model, frame)
    assert model.recipe is not None
    return arrange_predictions(model.recipe, mean, std if model.members > 1 else None, model.interval), notes


def arrange_predictions(
    recipe: Recipe, mean: np.ndarray, std: np.ndarray | None, interval: Interval | None
) -> "polars.DataFrame":
    """Return the table of predictions whose mean and standard deviation (n, outputs) are given."""
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
