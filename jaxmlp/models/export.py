"""The prediction of a model as a program for other machines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp.export.programs import export_program
from jaxmlp.fitting.groups import predict_groups
from jaxmlp.fitting.scaling import Scaling, require_precision
from jaxmlp.models.model import Model
from jaxmlp.tables.messages import quote

if TYPE_CHECKING:
    from jax.export import Exported

_REMEDY = "subtract a constant such as its mean before training, and export that model"


def export_model(model: Model, *, platforms: Sequence[str] = ("cpu", "cuda", "tpu")) -> "Exported":
    """Export the prediction of a model for any number of rows, in the dtype of its first group.

    The program takes inputs in that dtype and scales them in it, while `predict` scales in float64. A column whose
    values the dtype cannot tell apart, such as Unix times in float32, is therefore refused.

    Arguments:
        model: a model; with a recipe, the inputs are those of `recipe.input_names()`.
        platforms: as in `export_predict`.

    Returns:
        A `jax.export.Exported`: its `call` takes x (n, fan_in) and returns predictions (n, outputs).

    Raises:
        ValueError: an unknown platform; a scaling that overflows in this dtype; a column or a target whose values the
            dtype cannot tell apart.
    """
    dtype, (fan_in, *_, outputs) = model.groups[0].params[0].w.dtype, model.groups[0].sizes
    inputs = [f"column {k} of x" for k in range(fan_in)]
    if model.recipe is not None:
        inputs = [f"column {quote(name)}" for name in model.recipe.input_names()]
    for group in model.groups:
        if group.encoding is not None:
            require_precision(inputs, group.encoding.center, group.encoding.unit, dtype, _REMEDY)
    if model.target is not None:
        require_precision(["the target"] * outputs, model.target.center, model.target.unit, dtype, _REMEDY)

    def row(values: np.ndarray) -> Array:
        with np.errstate(over="ignore"):
            rounded = np.asarray(values, dtype)[None]
        if not np.isfinite(rounded.astype(np.float64)).all():
            raise ValueError(f"model cannot be exported: its scaling holds numbers that {dtype} cannot")
        return jnp.asarray(rounded)

    def encode(encoding: Scaling | None, x: Array) -> Array:
        return x if encoding is None else (x - row(encoding.center)) * row(encoding.factor)

    def predict(x: Array) -> Array:
        inputs = [encode(group.encoding, x) for group in model.groups]
        mean, _ = predict_groups(model.groups, inputs, model.criterion)
        return mean if model.target is None else mean * row(model.target.unit) + row(model.target.center)

    return export_program(predict, platforms, lambda n: (jax.ShapeDtypeStruct((n, fan_in), dtype),))
