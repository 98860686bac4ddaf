"""A network's prediction or its training as StableHLO, which JAX alone can run on another machine.

    artefact = jaxmlp.export.export_predict(params, activation=jaxmlp.tanh).serialize()   # bytes, to write to a file

and on a machine without jaxmlp, for any of the exported platforms:

    jax.export.deserialize(artefact).call(x)                                              # after `import jax.export`

`serialize` and `deserialize` need the package flatbuffers (`pip install 'jaxmlp[export]'`). JAX reads old artefacts for
at least six months. The number of rows is left open, so the products have the textbook form (see _cpu_products.py).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import cast, validate_criterion, validate_members, validate_params
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.ensembles.members import is_ensemble
from jaxmlp.ensembles.prediction import predict_mean_and_std
from jaxmlp.fitting.scaling import require_precision
from jaxmlp.network import Params
from jaxmlp.training import train

if TYPE_CHECKING:
    from jax.export import Exported

_Plain = tuple[tuple[Array, Array], ...]  # `Params` without the class.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export_predict(
    params: Params,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    x_mean: ArrayLike = 0.0,
    x_scale: ArrayLike = 1.0,
    y_mean: ArrayLike = 0.0,
    y_scale: ArrayLike = 1.0,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> "Exported":
    """Export the prediction of a network for any number of rows, with its parameters inside.

    The exported function is `y_mean + y_scale * criterion.predict(forward(params, (x - x_mean) / x_scale))`, in the
    dtype of the network.

    Arguments:
        params: the network, or an ensemble, whose members' predictions are averaged.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: its `predict` maps outputs to means, probabilities or mean counts.
        x_mean: the center of the inputs in training; a scalar or (fan_in,).
        x_scale: the scale that the inputs were divided by; a scalar or (fan_in,).
        y_mean: the center of the targets in training; a scalar or (outputs,).
        y_scale: the scale that the targets were divided by; a scalar or (outputs,).
        platforms: names of "cpu", "cuda", "rocm" and "tpu"; this machine does not need to have them.

    Returns:
        A `jax.export.Exported`: its `call` takes x (n, fan_in) and returns (n, outputs), its `serialize` returns bytes.

    Raises:
        ValueError: a shape that does not fit; an unknown platform; a mean so large compared with its scale that the
            dtype cannot tell the values apart.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    params = validate_members(params)[0] if is_ensemble(params) else validate_params(params)
    validate_criterion(criterion, params[-1].w.shape[-1])
    dtype, fan_in, outputs = params[0].w.dtype, params[0].w.shape[-2], params[-1].w.shape[-1]
    scalings = {"x": (x_mean, x_scale, fan_in), "y": (y_mean, y_scale, outputs)}
    x_mean, x_scale = _row("x_mean", x_mean, fan_in, dtype), _row("x_scale", x_scale, fan_in, dtype)
    y_mean, y_scale = _row("y_mean", y_mean, outputs, dtype), _row("y_scale", y_scale, outputs, dtype)
    for name, (mean, scale, size) in scalings.items():
        center, unit = (np.broadcast_to(np.asarray(value, np.float64), size) for value in (mean, scale))
        if not (np.isfinite([center, unit]).all() and unit.all()):
            raise ValueError(f"{name}_mean and {name}_scale must be finite, and {name}_scale not 0")
        names = [f"column {k} of {name}" for k in range(size)]
        require_precision(names, center, unit, dtype, f"subtract a constant from {name} before training")

    def predict(x: Array) -> Array:
        x = (x - x_mean) / x_scale
        mean, _ = predict_mean_and_std(params, x, activation=activation, criterion=criterion)
        return y_mean + y_scale * mean

    return export_program(predict, platforms, lambda n: (jax.ShapeDtypeStruct((n, fan_in), dtype),))


def export_train(
    params: Params,
    *,
    epochs: int = 200,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> "Exported":
    """Export `train` for networks with the shapes and dtype of `params`, and any number of rows.

    Arguments:
        params: a network; only its shapes and dtype matter.
        epochs: number of steps, each over all rows.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.
        platforms: as in `export_predict`.

    Returns:
        A `jax.export.Exported`. Its `call` takes plain tuples, `((w, b), …)`, so that it is loaded without jaxmlp, then
        x (n, fan_in), y (n, outputs), the learning rate () and sample weights (n,), all in the dtype of the network.
        It returns the trained network, plain too, and the losses (epochs,).

    Raises:
        ValueError: a shape that does not fit; a negative number of epochs; an unknown platform.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    params = validate_params(params)
    train_all = partial(train, epochs=epochs, activation=activation, criterion=criterion)

    def plain_train(leaves: _Plain, x: Array, y: Array, learning_rate: Array, sample_weight: Array) -> object:
        network = tuple(type(params[0])(*leaf) for leaf in leaves)
        trained, losses = train_all(network, x, y, learning_rate, sample_weight)
        return tuple(tuple(layer) for layer in trained), losses

    def operands(n: object) -> tuple[object, ...]:
        shapes = ((n, params[0].w.shape[0]), (n, params[-1].w.shape[1]), (), (n,))
        leaves = tuple(tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in layer) for layer in params)
        return leaves, *(jax.ShapeDtypeStruct(shape, params[0].w.dtype) for shape in shapes)

    return export_program(plain_train, platforms, operands)


def export_program(
    function: Callable[..., object], platforms: Sequence[str], operands: Callable[[object], tuple[object, ...]]
) -> "Exported":
    """Export a function of the arrays whose shapes `operands` returns for a number of rows that is left open."""
    from jax import export  # not needed to train, and slow to import

    platforms = (platforms,) if isinstance(platforms, str) else tuple(platforms)
    if not platforms or not set(platforms) <= set(PLATFORMS):
        raise ValueError(f"platforms must be some of {', '.join(PLATFORMS)}; got {', '.join(platforms) or 'none'}")
    (n,) = export.symbolic_shape("n")
    return export.export(jax.jit(function), platforms=platforms)(*operands(n))


def _row(name: str, value: ArrayLike, width: int, dtype: np.dtype) -> Array:
    row = cast(name, value, dtype)
    if row.shape not in ((), (width,)):
        raise ValueError(f"{name} must be a scalar or have shape {(width,)}; got {row.shape}")
    return jnp.broadcast_to(row, (1, width))
