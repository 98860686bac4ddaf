"""Which columns matter: how much worse predictions of unseen rows are once a column is shuffled (Breiman 2001)."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxmlp._validation import validate_key
from jaxmlp.network import forward
from jaxmlp.selection.crossvalidation import CrossValidation
from jaxmlp.selection.scores import mean_error, row_errors

# So many rows of a fold tell enough; and fewer, or fewer shuffles, where that would be more multiplications than these.
_MOST_ROWS, _ENOUGH_ROWS = 2000, 100
_MOST_WORK = 3e11


class Importance(NamedTuple):
    """How much the error grows when a group of columns is shuffled, in the error's own unit."""

    mean: np.ndarray  # (groups,), over the shuffles; near 0, or below, for a column that does not matter
    spread: np.ndarray  # (groups,), their standard deviation
    order: np.ndarray  # (groups,), the groups from the one that matters most


def permutation_importance(
    result: CrossValidation,
    x: ArrayLike,
    y: ArrayLike,
    groups: Sequence[Sequence[int]] | None = None,
    *,
    key: Array,
    repeats: int = 10,
) -> Importance:
    """Shuffle columns among the rows that a fold holds out, and see what its networks make of them.

    Columns that say the same share their importance: shuffling one leaves the other.

    Arguments:
        result: of `cross_validate`.
        x: (n, fan_in), that it was given.
        y: (n, outputs), the same.
        groups: columns that are shuffled together, as those of one-hot levels; None for each by itself.
        key: of the shuffles.
        repeats: shuffles of each group; two at least, but fewer than asked for where the networks are very wide.

    Returns:
        The importance of each group, over all folds.
    """
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float64)
    groups = [[column] for column in range(x.shape[1])] if groups is None else groups
    masks = np.zeros((1 + len(groups), x.shape[1]), bool)  # the first shuffles nothing
    for mask, group in zip(masks[1:], groups, strict=True):
        mask[list(group)] = True
    rng = np.random.default_rng(np.asarray(jax.random.key_data(validate_key(key))).ravel())
    folds = int(result.fold.max()) + 1
    weights = sum(layer.w.size for layer in result.params)  # of all folds and seeds
    affordable = int(_MOST_WORK / (len(groups) * weights))  # rows of a fold, times shuffles
    length = min(_MOST_ROWS, max(_ENOUGH_ROWS, affordable // repeats), np.bincount(result.fold).min())
    repeats = min(repeats, max(2, affordable // length))
    rows = np.stack([rng.choice(np.flatnonzero(result.fold == fold), length, replace=False) for fold in range(folds)])
    others = np.stack([rng.permuted(rows, axis=1) for _ in range(repeats)])  # (repeats, folds, length)
    params = jax.tree.map(lambda leaf: leaf.reshape(folds, -1, *leaf.shape[1:]), result.params)

    x_rows, x_others = jax.device_put((x[rows], x[others]))
    scores = np.empty((len(masks), repeats))
    for mask, score in zip(masks, scores, strict=True):
        predictions = _predict(params, x_rows, x_others, mask, result.activation, result.criterion)
        errors = row_errors(np.asarray(predictions, np.float64), y[rows], result.criterion)
        score[:] = mean_error(errors.reshape(repeats, -1), result.criterion)
    growth = scores[1:] - scores[:1]
    mean, spread = growth.mean(axis=1), growth.std(axis=1, ddof=1) if repeats > 1 else np.zeros(len(groups))
    return Importance(mean, spread, np.argsort(-mean, kind="stable"))


@partial(jax.jit, static_argnums=(4, 5))
def _predict(params, x, others, mask, activation, criterion):
    """The predictions (repeats, folds, rows, outputs) of the mean of a fold's networks."""

    def once(other):
        mixed = jnp.where(mask[None, None, :], other, x)
        seeds = jax.vmap(jax.vmap(partial(forward, activation=activation), (0, None)))(params, mixed)
        return jnp.mean(jax.vmap(jax.vmap(criterion.predict))(seeds), axis=1)

    return lax.map(once, others)
