"""What the commands share that turn a table into a model, or a model and a table into predictions."""

import argparse
import csv
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp._validation import require
from jaxmlp.cli.common import CommandError, note, run_once
from jaxmlp.criteria import poisson_nll_loss, softmax_cross_entropy, squared_error
from jaxmlp.fitting.metrics import accuracy_score, log_loss, mean_poisson_deviance, r2_score, root_mean_squared_error
from jaxmlp.storage.files import StorageError
from jaxmlp.tables import Recipe, TableError, learn_recipe, load_table, split_table

if TYPE_CHECKING:
    from polars import DataFrame

CRITERIA = {"regression": squared_error, "classification": softmax_cross_entropy, "counts": poisson_nll_loss}


class Prepared(NamedTuple):
    """A table as arrays, and its rows in parts."""

    recipe: Recipe
    x: np.ndarray  # (n, inputs)
    y: np.ndarray  # (n, outputs)
    parts: list[np.ndarray]  # masks (n,): rows to train on, then a part for each fraction
    untold: int  # rows without a target, which are in no part


def columns(text: str) -> list[str]:
    """Names of columns, separated by commas; one that holds a comma stands in double quotes."""
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        raise argparse.ArgumentTypeError(f"{text!r} does not name columns, as in A,B") from None


def refusing(function: Callable[..., Any], *args: Any, prefix: str = "", code: int = 2, **options: Any) -> Any:
    """`function(*args, **options)`, of which a table or file that cannot be used is one line and an exit code."""
    try:
        return function(*args, **options)
    except TableError as error:
        raise CommandError(f"{prefix}{error}", code) from None
    except StorageError as error:
        raise CommandError(str(error), code) from None


def prepared(
    file: str, target: str, *, task: str | None, drop: list[str], fractions: tuple[float, ...], seed: int
) -> Prepared:
    """Read a table, split its rows, learn its recipe on those to train on, and say what was decided."""
    frame = refusing(load_table, file)
    name = f"{'standard input' if file == '-' else file}: "
    parts = refusing(split_table, frame, target, task=task, fractions=fractions, seed=seed, prefix=name)
    recipe = refusing(learn_recipe, frame, target, task=task, drop=drop, rows=parts[0], prefix=name)
    x, notes = refusing(recipe.inputs, frame, prefix=name)
    y, told = refusing(recipe.targets, frame, prefix=name)
    for line in recipe.describe() + notes:
        note(line)
    return Prepared(recipe, x, y, parts, int(np.sum(~told)))


def scores(recipe: Recipe, mean: np.ndarray, y: np.ndarray, y_train: np.ndarray) -> dict[str, float]:
    """How good predictions are, and how good it would be to guess the mean, or the most frequent class.

    Arguments:
        recipe: says what is predicted.
        mean: (n, outputs), as the network predicts.
        y: (n, outputs), the targets in the network's terms.
        y_train: (n_train, outputs), from which one would guess.

    Returns:
        By name; errors of a regression in the target's own unit.
    """
    measures = {
        "regression": {"rmse": root_mean_squared_error, "r2": r2_score},
        "classification": {"accuracy": accuracy_score, "log_loss": log_loss},
        "counts": {"deviance": mean_poisson_deviance, "rmse": root_mean_squared_error},
    }[recipe.task]

    def measured(mean: Array, y: Array, y_train: Array) -> dict[str, Array]:
        guess = jnp.broadcast_to(jnp.mean(y_train, axis=0, keepdims=True), y.shape)
        found = {name: measure(mean, y, None) for name, measure in measures.items()}
        return found | {f"{name}_of_guessing": measure(guess, y, None) for name, measure in measures.items()}

    arrays = (np.asarray(each, np.float32) for each in (mean, y, y_train))
    found = {name: float(value) for name, value in run_once(measured, *arrays).items()}
    return {name: value * recipe.scale if name.startswith("rmse") else value for name, value in found.items()}


def score_lines(recipe: Recipe, found: dict[str, float], rows: int) -> list[str]:
    """The same in words, and what to think of it."""
    aside = f"of {recipe.target} on the {rows} rows kept aside" if rows > 1 else f"of {recipe.target} on one row"
    if recipe.task == "regression":
        line = f"RMSE {aside}: {found['rmse']:.4g}; of guessing the mean: {found['rmse_of_guessing']:.4g}"
        return [line + (f"; R² {found['r2']:.3f}" if np.isfinite(found["r2"]) else "")]
    if recipe.task == "classification":
        return [
            f"Accuracy {aside}: {found['accuracy']:.1%}; of guessing the most frequent class: "
            f"{found['accuracy_of_guessing']:.1%}",
            f"Log loss: {found['log_loss']:.4g}; of guessing by frequency: {found['log_loss_of_guessing']:.4g}",
        ]
    return [
        f"Poisson deviance {aside}: {found['deviance']:.4g}; of guessing the mean: {found['deviance_of_guessing']:.4g}",
        f"RMSE: {found['rmse']:.4g}; of guessing the mean: {found['rmse_of_guessing']:.4g}",
    ]


def better_than_guessing(recipe: Recipe, found: dict[str, float]) -> bool:
    """Whether the model is worth anything on those rows."""
    name = {"regression": "rmse", "classification": "log_loss", "counts": "deviance"}[recipe.task]
    return found[name] < found[f"{name}_of_guessing"]


def arrays(mean_and_std: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """What `mean_and_std` returns, as NumPy arrays."""
    mean, std = mean_and_std
    return np.asarray(mean), None if std is None else np.asarray(std)


def predictions(
    recipe: Recipe, mean: np.ndarray, std: np.ndarray | None, band: Sequence[float] | None = None
) -> "DataFrame":
    """A table of predictions: class probabilities first, the prediction last, before it spread and band of an ensemble.

    Arguments:
        recipe: says what is predicted.
        mean: (n, outputs), in the network's own unit.
        std: the members' standard deviation of the same shape; None for one network.
        band: the ends of a band that holds nine in ten targets: times `band_scale`, what is added to the prediction;
            None for no band.
    """
    frame = recipe.decode(mean)
    if std is None:
        return frame
    std = np.asarray(std, np.float64)
    if recipe.classes:
        std = np.take_along_axis(std, np.asarray(mean).argmax(axis=1)[:, None], axis=1)
    elif recipe.task == "regression":
        std = std * recipe.scale
    polars = require("polars", extra="tables")
    frame.insert_column(frame.width - 1, polars.Series("std", std[:, 0]))
    if band is None or recipe.classes:
        return frame
    spread = band_scale(recipe, frame["prediction"].to_numpy())
    ends = {name: frame["prediction"] + end * spread for name, end in zip(("low", "high"), band, strict=True)}
    if recipe.task == "counts":
        ends["low"] = ends["low"].clip(0, None)
    for name, values in ends.items():
        frame.insert_column(frame.width - 1, values.rename(name))
    return frame


def band_scale(recipe: Recipe, predictions: np.ndarray) -> np.ndarray:
    """The width of the band around each prediction, in a unit of its own; of counts it is the root of the rate."""
    return np.sqrt(predictions) if recipe.task == "counts" else np.ones_like(predictions)
