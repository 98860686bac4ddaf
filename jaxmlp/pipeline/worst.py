"""The rows that a model fits worst: errors in the data are among them."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxmlp.tables import Recipe, polars
from jaxmlp.tables.targets import class_names

if TYPE_CHECKING:
    from polars import DataFrame

_LEAST_ROWS, _MOST_ROWS = 3, 10


class WorstRows(NamedTuple):
    """Held-out rows with the largest misfit, the worst first."""

    misfit: np.ndarray  # (rows,) see `find_worst`
    predictions: "DataFrame"  # As `TableResult.predictions`.
    values: "DataFrame"  # The columns of the table that the model uses.


def find_worst(frame: "DataFrame", recipe: Recipe, predictions: "DataFrame") -> WorstRows:
    """Return the held-out rows with the largest misfit: up to ten that are notable, but at least three.

    The misfit of a number is its distance from the prediction, divided by that of the end of the 90 % prediction
    interval on the same side; above 1 the target is outside. That of a class is 1 minus its probability.

    Arguments:
        frame: the table.
        recipe: of the table.
        predictions: of held-out rows, as in `TableResult.predictions`.
    """
    if recipe.classes:
        misfit = 1 - probability_of_target(recipe, predictions)
    else:
        target, low, high, prediction = predictions["target", "low", "high", "prediction"].to_numpy().T
        reach = np.where(target < prediction, prediction - low, high - prediction)
        distance = np.abs(target - prediction)
        floor = 1e-3 * max(float(np.mean(high - low)), 1e-300)  # An end at the prediction itself.
        misfit = distance / np.maximum(reach, floor)
    order = np.argsort(-misfit, kind="stable")
    notable = int(np.sum(misfit > (0.5 if recipe.classes else 1)))
    order = order[: min(_MOST_ROWS, max(_LEAST_ROWS, notable))]
    chosen = predictions[order]
    values = frame[[column.name for column in recipe.columns]][chosen["row"].to_numpy() - 1]
    return WorstRows(misfit[order], chosen, values)


def probability_of_target(recipe: Recipe, predictions: "DataFrame") -> np.ndarray:
    """Return the predicted probability of the class that each row has (n,)."""
    probabilities = predictions[recipe.output_columns()[:-1]].to_numpy()
    return probabilities[np.arange(len(probabilities)), to_indices(recipe, predictions["target"])]


def to_indices(recipe: Recipe, column: "polars.Series") -> np.ndarray:
    """Return the index in `recipe.classes` of each value of a column of classes (n,)."""
    places = {name: k for k, name in enumerate(class_names(recipe.classes))}
    return np.array([places[name] for name in class_names(tuple(column.to_list()))])
