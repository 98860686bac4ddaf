"""A network, what its outputs mean, and the recipe of its table: all that a prediction needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._dispatch import as_array
from jaxmlp._validation import (
    validate_activations,
    validate_choice,
    validate_inputs,
    validate_members,
    validate_params,
)
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import CRITERIA, Criterion, squared_error
from jaxmlp.ensembles import predict_ensemble
from jaxmlp.network import Params, forward
from jaxmlp.tables import Recipe, as_frame, is_table

# Rows go through the network in blocks of so many, for the memory of their hidden units.
_BLOCK = 2**16


@dataclass(frozen=True, eq=False)
class Model:
    """All that a prediction needs; `save_model` keeps it, `load_model` brings it back.

    Arguments:
        params: a network, or an ensemble, whose leaves have a leading member axis.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: says what the outputs mean.
        recipe: how a table becomes the network's inputs; None for a network of arrays.
        training: how it was trained, for people to read: what JSON can hold.

    Raises:
        ValueError: parts that do not fit each other.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """

    params: Params
    activation: Activation | tuple[Activation, ...] = relu
    criterion: Criterion = squared_error
    recipe: Recipe | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.members is None:
            validate_params(self.params)
        else:
            validate_members(self.params)
        validate_activations(self.activation, len(self.params) - 1)
        validate_choice("criterion", self.criterion, Criterion, CRITERIA)
        if self.recipe is not None:
            wanted, ends = (self.recipe.n_inputs, self.recipe.n_outputs), (self.sizes[0], self.sizes[-1])
            if ends != wanted:
                raise ValueError(f"params must have inputs and outputs {wanted}, as the recipe has; got {ends}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The widths from inputs to outputs."""
        return (self.params[0].w.shape[-2], *(layer.w.shape[-1] for layer in self.params))

    @property
    def members(self) -> int | None:
        """How many networks an ensemble has; None for one network."""
        first = jax.tree.leaves(self.params)[:1]
        return first[0].shape[0] if first and np.ndim(first[0]) == 3 else None


def predict(model: Model, data: Any) -> Array | np.ndarray:
    """What a model says of each row: the mean, class probabilities or rates; of an ensemble, the members' average.

    Arguments:
        model: a model.
        data: the network's inputs, (n, fan_in); or, for a model with a recipe, a table: a DataFrame of polars or
            pandas, or a dict of columns. Columns are found by name, others ignored.

    Returns:
        (n, outputs). With a recipe a regression is in the target's own unit, and the classes are `recipe.classes`, in
        order. Of a table NumPy's float64; of an array JAX's, of the network's dtype.

    Raises:
        ValueError: a shape that does not fit, or a table that does not fit the recipe (a TableError).
        TypeError: a table for a model without a recipe.
    """
    return _in_units(model, data, mean_and_std(model, _inputs(model, data))[0])


def predict_with_std(model: Model, data: Any) -> tuple[Array | np.ndarray, Array | np.ndarray]:
    """`predict` of an ensemble, and how much its members differ.

    Arguments:
        model: a model whose params are an ensemble.
        data: as in `predict`.

    Returns:
        The mean and the standard deviation over the members, both (n, outputs), in one unit.

    Raises:
        ValueError: one network only, and all that `predict` raises.
        TypeError: a table for a model without a recipe.
    """
    if model.members is None:
        raise ValueError("model.params must be an ensemble, with a leading axis of members; got one network")
    mean, std = mean_and_std(model, _inputs(model, data))
    return _in_units(model, data, mean), _in_units(model, data, std, spread=True)


def mean_and_std(model: Model, x: ArrayLike) -> tuple[Array, Array | None]:
    """What the network predicts, in its own unit, and of an ensemble how much the members differ.

    Arguments:
        model: a model.
        x: (n, fan_in), as its recipe's `inputs` returns.

    Returns:
        The mean over the members, and their standard deviation (None for one network), both (n, outputs); of a
        regression standardised, for `Recipe.decode`.

    Raises:
        ValueError: a shape that does not fit.
    """
    one = model.params if model.members is None else jax.tree.map(lambda leaf: leaf[0], model.params)
    x = validate_inputs(one, x)
    blocks = [x[start : start + _BLOCK] for start in range(0, max(x.shape[0], 1), _BLOCK)]
    parts = [_predict_block(model.params, block, model.activation, model.criterion) for block in blocks]
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *part: jnp.concatenate(part), *parts)


def _inputs(model: Model, data: Any) -> Any:
    if is_table(data):
        if model.recipe is None:
            raise TypeError("data must be an array (n, fan_in): the model has no recipe for tables")
        return model.recipe.inputs(as_frame(data))[0]
    if isinstance(data, str | bytes | PathLike):
        raise TypeError("data must be an array or a table; read a file with jaxmlp.tables.load_table first")
    return as_array("data", data, model.params[0].w.dtype)


@partial(jax.jit, static_argnums=(2, 3))
def _predict_block(params, x, activation, criterion):
    if params[0].w.ndim == 3:
        return predict_ensemble(params, x, activation=activation, criterion=criterion)
    return criterion.predict(forward(params, x, activation=activation)), None


def _in_units(model: Model, data: Any, values: Any, *, spread: bool = False) -> Array | np.ndarray:
    """Standardised means, or their spread, in the target's own unit."""
    if is_table(data):
        values = np.asarray(values, np.float64)
    if model.recipe is None or model.recipe.task != "regression":
        return values
    return values * model.recipe.scale + (0.0 if spread else model.recipe.center)
