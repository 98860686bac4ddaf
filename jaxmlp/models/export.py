"""The prediction of a model as a program for other machines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp.export.programs import export_program
from jaxmlp.fitting.groups import combine
from jaxmlp.fitting.metrics import AnyArray
from jaxmlp.fitting.scaling import Scaling, require_precision
from jaxmlp.fitting.targets import TargetScaling
from jaxmlp.fitting.temperature import SMALLEST
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
    dtype, outputs, columns = model.groups[0].params[0].w.dtype, model.groups[0].sizes[-1], model.groups[0].columns
    inputs = [f"column {k} of x" for k in range(columns)]
    if model.recipe is not None:
        inputs = [f"column {quote(name)}" for name in model.recipe.input_names()]
    for group in model.groups:
        if group.scaling is not None:
            require_precision(inputs, group.scaling.center, group.scaling.unit, dtype, _REMEDY)
        if group.target is not None and not group.target.is_log:
            scaling = group.target.scaling
            require_precision(["the target"] * outputs, scaling.center, scaling.unit, dtype, _REMEDY)

    def row(values: np.ndarray) -> Array:
        with np.errstate(over="ignore"):
            rounded = np.asarray(values, dtype)[None]
        if not np.isfinite(rounded.astype(np.float64)).all():
            raise ValueError(f"model cannot be exported: its scaling holds numbers that {dtype} cannot")
        return jnp.asarray(rounded)

    def scale(scaling: Scaling | None, x: Array) -> Array:
        return x if scaling is None else (x - row(scaling.center)) * row(scaling.factor)

    def invert(target: TargetScaling | None, mean: Array) -> Array:
        if target is None:
            return mean
        mean = mean * row(target.scaling.unit) + row(target.scaling.center)
        mean = jnp.exp(mean) if target.is_log else mean
        low, high = (None if end is None else row(np.array([end])) for end in (target.low, target.high))
        return mean if low is None and high is None else jnp.clip(mean, low, high)

    def predict(x: Array) -> AnyArray:
        means = [invert(g.target, g.predict(scale(g.scaling, x), model.criterion)[0]) for g in model.groups]
        shares = np.array([group.weights.sum() for group in model.groups])
        mean, _ = combine(shares, means, [jnp.zeros_like(mean) for mean in means])
        if model.temperature is None:
            return mean
        return jax.nn.softmax(jnp.log(jnp.maximum(mean, SMALLEST)) / model.temperature, axis=-1)

    return export_program(predict, platforms, lambda n: (jax.ShapeDtypeStruct((n, columns), dtype),))
