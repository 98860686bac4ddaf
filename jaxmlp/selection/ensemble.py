"""The choice of what predicts: a greedy ensemble of networks, a linear model, or the mean of both.

All is chosen by predictions of held-out rows. To measure it, the choice is cross-fitted: what predicts the rows of a
fold is chosen by the rows of the other folds.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxmlp.fitting.splitting import other_parts
from jaxmlp.fitting.tasks import Task, difference_of
from jaxmlp.selection.scores import rank_score

_ROUNDS = 25


class Library(NamedTuple):
    """Predictions of held-out rows by everything that was trained."""

    networks: np.ndarray  # (networks, n, outputs)
    linear: np.ndarray  # (penalties, n, outputs)
    y: np.ndarray  # (n, outputs)
    task: Task

    def predict(self, weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the weighted mean of the models for some rows; `weights` has networks first, then linear models."""
        parts = np.split(weights, [len(self.networks)])
        total = np.zeros(self.y[rows].shape)
        for own, predictions in zip(parts, (self.networks, self.linear), strict=True):
            for k in np.flatnonzero(own):
                total += own[k] * predictions[k][rows]
        return total

    def errors(self, weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the errors of some rows."""
        return np.asarray(self.task.row_error(self.predict(weights, rows), self.y[rows]))

    def choose(self, models: range, rows: np.ndarray) -> np.ndarray:
        """Return the weights that choose the model of some models with the lowest error."""
        one = [np.eye(1, len(self.networks) + len(self.linear), k)[0] for k in models]
        return min(one, key=lambda weights: _score(self, weights, rows))


def choose_all(library: Library, rows: np.ndarray, *, blends: bool) -> dict[str, np.ndarray]:
    """Return the weights of a linear model, of the networks, of their mean, and of the best of these as "model".

    A simpler model, in this order, is the best if its error is higher by no more than one standard error.

    Arguments:
        library: predictions of held-out rows.
        rows: (n,) bool, the rows that choose.
        blends: False to choose the network with the lowest error instead, and no linear model.
    """
    networks = len(library.networks)
    linear = library.choose(range(networks, networks + len(library.linear)), rows)
    if not blends:
        best = library.choose(range(networks), rows)
        return {"linear": linear, "network": best, "model": best}
    ensemble = choose_ensemble(library, rows)
    choices = {"linear": linear, "network": ensemble, "mean": (linear + ensemble) / 2}
    errors = {name: library.errors(weights, rows) for name, weights in choices.items()}
    best = min(choices, key=lambda name: _score(library, choices[name], rows))
    for name, weights in choices.items():
        if name == best:
            break
        mean, standard_error = difference_of(errors[name], errors[best])
        if mean <= standard_error:
            return choices | {"model": weights}
    return choices | {"model": choices[best]}


def describe_choice(library: Library, weights: np.ndarray) -> str:
    """Return what weights choose: "network", "linear" or "mean"."""
    networks, linear = np.split(weights, [len(library.networks)])
    return "mean" if networks.any() and linear.any() else "network" if networks.any() else "linear"


def choose_ensemble(library: Library, rows: np.ndarray) -> np.ndarray:
    """Return the weights of a greedy ensemble of the networks (Caruana et al. 2004, "Ensemble Selection").

    Round by round, the network joins with which the mean has the lowest error; it may join again. The best of all
    rounds is the ensemble.
    """
    task, y = library.task, library.y[rows]
    predictions = [own[rows] for own in library.networks]
    total, counts = np.zeros(y.shape), np.zeros(len(predictions))
    lowest, best = np.inf, None
    for size in range(1, _ROUNDS + 1):
        scores = [rank_score(float(task.score(task.row_error((total + own) / size, y)))) for own in predictions]
        added = int(np.argmin(scores))
        total, counts = total + predictions[added], counts + np.eye(1, len(counts), added)[0]
        if best is None or scores[added] < lowest:
            lowest, best = scores[added], counts / size
    return np.concatenate([counts if best is None else best, np.zeros(len(library.linear))])


def cross_fit(
    library: Library, parts: np.ndarray, choose: Callable[[Library, np.ndarray], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the predictions (n, outputs) of rows by what the rows of the other parts choose; NaN without a part.

    Arguments:
        library: predictions of held-out rows.
        parts: (n,) the part of each row; -1 for none.
        choose: returns weights by name, as `choose_all`.
    """
    predictions: dict[str, np.ndarray] = {}
    for part in range(parts.max() + 1):
        rows = parts == part
        for name, weights in choose(library, other_parts(parts, part)).items():
            whole = predictions.setdefault(name, np.full(library.y.shape, np.nan))
            whole[rows] = library.predict(weights, rows)
    return predictions


def make_parts(fold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the parts for `cross_fit` (n,): the folds, or five parts of the rows of a single hold-out."""
    if fold.max() > 0:
        return fold
    parts, rows = np.full(len(fold), -1), np.flatnonzero(fold >= 0)
    parts[rows] = rng.permutation(len(rows)) % min(5, len(rows))
    return parts


def _score(library: Library, weights: np.ndarray, rows: np.ndarray) -> float:
    return rank_score(float(library.task.score(library.errors(weights, rows))))
