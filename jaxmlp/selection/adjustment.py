"""The score of the model that averages the networks of all folds, estimated from the scores of the folds."""

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import to_numpy
from jaxmlp.fitting.splitting import rng_of
from jaxmlp.selection.crossvalidation import CrossValidation
from jaxmlp.selection.inspection import draw_sample, predict_by_fold, scale_inputs


def adjusted_score(result: CrossValidation, x: ArrayLike, y: ArrayLike, *, key: Array) -> float:
    """Return the score of the model that averages the networks of all folds.

    The networks of one fold predict a held-out row, but the model averages those of all folds, which is better. Its
    error is lower than the mean of theirs; by how much is measured on all rows, and subtracted (Burman 1989, "A
    Comparative Study of Ordinary Cross-Validation, v-Fold Cross-Validation and the Repeated Learning-Testing Methods").

    Arguments:
        result: of `cross_validate`.
        x: (n, fan_in) inputs that it was given.
        y: (n, outputs) targets that it was given.
        key: a key of `jax.random.key`, for the choice of the rows.

    Returns:
        The adjusted score of what was chosen; of a single hold-out the score as it is.
    """
    if result.folds == 1:
        return result.model.score
    x, y = scale_inputs(result, x), to_numpy("y", y).astype(np.float64)
    sample = draw_sample(result, x.shape[1], rng_of(key))
    rows = sample.rows[:, : max(1, sample.size // result.folds)].ravel()
    predictions = np.stack([predict_by_fold(result, k, x[rows], sample) for k in range(result.folds)])
    task, y = result.task, y[rows]
    gain = task.row_error(predictions, y).mean() - task.row_error(predictions.mean(axis=0), y).mean()
    return float(task.score(np.maximum(result.model.row_errors.mean(keepdims=True) - gain, 0)))
