"""The score of the model that averages the networks of all folds, estimated from the scores of the folds."""

import math

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import refuse_tracing
from jaxmlp.fitting.splitting import rng_of
from jaxmlp.fitting.temperature import apply_temperature
from jaxmlp.selection.crossvalidation import CrossValidation
from jaxmlp.selection.inspection import MAX_ROWS, plan_sample, predict_by_fold, scale_inputs, validate_data


def adjusted_score(result: CrossValidation, x: ArrayLike, y: ArrayLike, *, key: Array) -> float:
    """Return the score of the model that averages the networks of all folds.

    A held-out row is predicted by the networks of a single fold. The model averages the networks of all folds, and its
    error is lower. The difference is measured on all rows and subtracted (Burman 1989, "A Comparative Study of Ordinary
    Cross-Validation, v-Fold Cross-Validation and the Repeated Learning-Testing Methods").

    Arguments:
        result: of `cross_validate`.
        x: (n, fan_in) inputs that it was given.
        y: (n, outputs) targets that it was given.
        key: a key of `jax.random.key`, for the choice of the rows.

    Returns:
        The adjusted score of what was chosen; of a single hold-out the score as it is.

    Raises:
        ValueError: x or y without a row for each of the search, or y of another shape.
        TypeError: a call that JAX traces.
    """
    refuse_tracing("adjusted_score", x, y, key)
    (x, y), held_out = validate_data(result, x=x, y=y), np.flatnonzero(result.fold >= 0)
    if result.folds == 1:
        return result.model.score
    rng, task = rng_of(key), result.task
    size = math.prod(plan_sample(result, x.shape[1]))
    # A small fold makes the size small, whatever the number of rows: hence `MAX_ROWS`.
    chosen = rng.choice(len(held_out), min(len(held_out), max(size, MAX_ROWS)), replace=False)
    rows = held_out[chosen]
    inputs, y, shares = scale_inputs(result, x[rows]), y[rows], np.bincount(result.fold[held_out]) / len(held_out)
    folds = np.stack([predict_by_fold(result, k, inputs, size) for k in range(result.folds)])

    def measure(predictions: np.ndarray) -> np.ndarray:
        if result.temperature is not None:
            predictions = apply_temperature(predictions, result.temperature)
        return task.row_error(predictions, y).mean(axis=-1)

    gain = shares @ measure(folds) - measure(folds.mean(axis=0))
    # In units of the same rows' error: a far row that is among them, or is not, must not decide.
    error, own = result.model.row_errors.mean(keepdims=True), result.model.row_errors[chosen].mean()
    return float(task.score(error * max(1 - gain / own, 0) if own > 0 else error - gain))
