"""Predictions of a network or an ensemble: rows in blocks, mean and standard deviation over members."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.tree_util import Partial
from jax.typing import ArrayLike

from jaxmlp._dispatch import as_array, params_dtype
from jaxmlp._programs import bounded_jit
from jaxmlp._validation import (
    validate_criterion,
    validate_functions,
    validate_member_axis,
    validate_members,
    validate_network,
)
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.ensembles.members import is_ensemble, map_members
from jaxmlp.network import Params, forward_pass

Results = TypeVar("Results")

# Rows pass through a network in blocks of this size, because the hidden units of all rows need more memory.
BLOCK = 2**16


def predict_ensemble(
    params: Params,
    x: ArrayLike,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> tuple[Array, Array]:
    """Return the mean of the members' predictions and their standard deviation.

    Arguments:
        params: an ensemble.
        x: (n, fan_in) for all members, or (members, n, fan_in).
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: its `predict` maps outputs to means, probabilities or mean counts, which are then averaged.

    Returns:
        The mean and the standard deviation over members, both (n, outputs).

    Raises:
        ValueError: a shape that does not fit.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    params, _ = validate_members(params)
    return predict_mean_and_std(params, x, activation=activation, criterion=criterion)


def predict_mean_and_std(
    params: Params,
    x: ArrayLike,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    member_weights: ArrayLike | None = None,
    encode: Partial | None = None,
) -> tuple[Array, Array]:
    """`predict_ensemble` of an ensemble or of a single network, whose standard deviation is 0.

    `member_weights` (members,) are the weights of the members in both; None for all equal. `encode` maps rows of x to
    inputs of a network; for an ensemble, its arrays have a leading member axis.
    """
    x = _validate(params, x, activation, criterion)
    weights = None if member_weights is None else as_array("member_weights", member_weights, params[0].w.dtype)
    return _mean_and_std(params, x, weights, encode, activation, criterion)


def predict_members(
    params: Params,
    x: ArrayLike,
    fold: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    encode: Partial | None = None,
) -> Array:
    """Return the predictions of all members, (members, n, outputs); a single network is one member.

    Arguments are those of `predict_mean_and_std`; with `fold` (members,), x is (folds, n, fan_in), and member k
    predicts `x[fold[k]]`.
    """
    x = _validate(params, x, activation, criterion) if fold is None else jnp.asarray(x)
    return _members(params, x, fold, encode, activation, criterion)


def map_blocks(function: Callable[[Array], Results], x: Array) -> Results:
    """Return `function(x)`, computed for blocks of rows if there are many.

    Arguments:
        function: maps rows (..., n, fan_in) to a tree of arrays (..., n, columns), each row on its own.
        x: the rows.
    """
    n = x.shape[-2]
    if not isinstance(n, int) or n <= BLOCK:  # an export leaves the number of rows open
        return function(x)

    def block(k: Array, results: Results) -> Results:
        # The last block starts early enough to be whole: it repeats rows of the one before.
        start = jnp.minimum(k * BLOCK, n - BLOCK)
        part = function(lax.dynamic_slice_in_dim(x, start, BLOCK, axis=-2))
        return jax.tree.map(partial(lax.dynamic_update_slice_in_dim, start_index=start, axis=-2), results, part)

    empty = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), jax.eval_shape(function, x))
    return lax.fori_loop(0, -(-n // BLOCK), block, empty)


def _validate(params: Any, x: Any, activation: Any, criterion: Any) -> Array:
    """Validate what must be right before `jax.jit`; the shapes of a member are validated while it traces."""
    validate_functions(activation, criterion)
    if not is_ensemble(params):
        return as_array("x", x, params_dtype(params))
    params, members = validate_members(params)
    x = as_array("x", x, params[0].w.dtype)
    validate_member_axis("x", x, 2, members)
    return x


@bounded_jit(4, 5)
def _mean_and_std(params, x, weights, encode, activation, criterion):
    def mean_and_std(rows):
        predictions = _predictions(params, rows, None, encode, activation, criterion)
        if not is_ensemble(params):
            return predictions[0], jnp.zeros_like(predictions[0])
        if weights is None:
            return jnp.mean(predictions, axis=0), jnp.std(predictions, axis=0)
        c = (weights / jnp.sum(weights)).astype(predictions.dtype)
        mean = jnp.einsum("m,mno->no", c, predictions)
        return mean, jnp.sqrt(jnp.einsum("m,mno->no", c, (predictions - mean[None]) ** 2))

    return map_blocks(mean_and_std, x)


@bounded_jit(4, 5)
def _members(params, x, fold, encode, activation, criterion):
    return map_blocks(lambda rows: _predictions(params, rows, fold, encode, activation, criterion), x)


def _predictions(params, x, fold, encode, activation, criterion):
    """Return the predictions of each member, (members, n, outputs)."""

    def predict(own, x):
        params, encode = own
        params, x, f = validate_network(params, x if encode is None else encode(x), activation)
        validate_criterion(criterion, params[-1].w.shape[1])
        return criterion.predict(forward_pass(params, x, f)[1][-1])

    own = params, encode
    if not is_ensemble(params):
        return predict(own, x)[None]
    if fold is not None:
        return map_members(lambda own, x: predict(own[0], x[own[1]]), (own, fold), x)
    if x.ndim == 3:
        return map_members(lambda own, _: predict(*own), (own, x), None)
    return map_members(predict, own, x)
