"""One file for other machines: a network's prediction, or its training, as StableHLO that JAX alone can run.

    artefact = jaxmlp.export_predict(params, activation=jaxmlp.tanh).serialize()   # bytes, to be written to a file

and on a machine without jaxmlp, on any of the platforms exported for

    jax.export.deserialize(artefact).call(x)                                       # after `import jax.export`

`serialize` and `deserialize` need the package flatbuffers (`pip install 'jaxmlp[export]'`). What JAX promises about
reading old artefacts holds for these: for six months at least. The number of rows is left open, so that products are
in the textbook's form (see _cpu_products.py).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import cast, validate_choice, validate_members, validate_params
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import CRITERIA, Criterion, squared_error
from jaxmlp.ensembles import predict_ensemble
from jaxmlp.network import Params, forward
from jaxmlp.training import train

if TYPE_CHECKING:
    from jax.export import Exported

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
    """The prediction of a network for any number of rows, with its parameters inside.

    What is exported is `y_mean + y_scale * criterion.predict(forward(params, (x - x_mean) / x_scale))`, in the dtype of
    the network.

    Arguments:
        params: the network, or an ensemble, whose members' predictions are averaged.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: its `predict` makes means, probabilities or rates of the outputs.
        x_mean: what the inputs were centred by before training; a scalar or (fan_in,).
        x_scale: what they were divided by.
        y_mean: of the targets; a scalar or (outputs,).
        y_scale: likewise.
        platforms: to run on, of "cpu", "cuda", "rocm" and "tpu"; none of them need be here.

    Returns:
        A `jax.export.Exported`: its `call` takes x (n, fan_in) and returns (n, outputs), `serialize()` makes bytes of
        it.

    Raises:
        ValueError: a shape that does not fit; an unknown platform.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    params, one = _checked(params)
    validate_choice("criterion", criterion, Criterion, CRITERIA)
    fan_in, outputs = one[0].w.shape[0], one[-1].w.shape[1]
    x_mean, x_scale = _row("x_mean", x_mean, fan_in, params), _row("x_scale", x_scale, fan_in, params)
    y_mean, y_scale = _row("y_mean", y_mean, outputs, params), _row("y_scale", y_scale, outputs, params)

    def predict(x: Array) -> Array:
        x = (x - x_mean) / x_scale
        if one is params:
            return y_mean + y_scale * criterion.predict(forward(params, x, activation=activation))
        return y_mean + y_scale * predict_ensemble(params, x, activation=activation, criterion=criterion)[0]

    return _exported(predict, platforms, lambda n: (_placeholder((n, fan_in), params),))


def export_train(
    params: Params,
    *,
    epochs: int = 200,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> "Exported":
    """`train` for networks of the shapes and dtype of `params`, and any number of rows.

    Arguments:
        params: a network; only its shapes and dtype matter.
        epochs: how many steps, each over all rows.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: the loss of a row.
        platforms: to run on, as in `export_predict`.

    Returns:
        A `jax.export.Exported`. Its `call` takes plain tuples, `((w, b), …)`, so that it is loaded without jaxmlp, then
        x (n, fan_in), y (n, outputs), the learning rate () and sample weights (n,), all in the dtype of the network.
        It returns the trained network, plain too, and the losses (epochs,).

    Raises:
        ValueError: a shape that does not fit; a negative number of epochs; an unknown platform.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    params = validate_params(params)

    def plain_train(leaves: Any, x: Array, y: Array, learning_rate: Array, sample_weight: Array) -> Any:
        network = tuple(type(params[0])(*leaf) for leaf in leaves)
        options: Any = {"epochs": epochs, "activation": activation, "criterion": criterion}
        trained, losses = train(network, x, y, learning_rate, sample_weight, **options)
        return tuple(tuple(layer) for layer in trained), losses

    def operands(n):
        shapes = ((n, params[0].w.shape[0]), (n, params[-1].w.shape[1]), (), (n,))
        leaves = tuple(tuple(_placeholder(leaf.shape, params) for leaf in layer) for layer in params)
        return leaves, *(_placeholder(shape, params) for shape in shapes)

    return _exported(plain_train, platforms, operands)


def _exported(function: Any, platforms: Sequence[str], operands: Any) -> "Exported":
    """`function` of what `operands` makes of the number of rows."""
    from jax import export  # not needed to train, and slow to import

    platforms = (platforms,) if isinstance(platforms, str) else tuple(platforms)
    if not platforms or not set(platforms) <= set(PLATFORMS):
        raise ValueError(f"platforms must be some of {', '.join(PLATFORMS)}; got {', '.join(platforms) or 'none'}")
    (n,) = export.symbolic_shape("n")
    return export.export(jax.jit(function), platforms=platforms)(*operands(n))


def _checked(params: Any) -> tuple[Params, Params]:
    """A network or an ensemble, and the network or the first member."""
    if np.ndim(jax.tree.leaves(params)[0]) == 3:
        params, _ = validate_members(params)
        return params, jax.tree.map(lambda leaf: leaf[0], params)
    params = validate_params(params)
    return params, params


def _placeholder(shape: Any, params: Params) -> Any:
    return jax.ShapeDtypeStruct(shape, params[0].w.dtype)


def _row(name: str, value: ArrayLike, width: int, params: Params) -> Array:
    row = cast(name, value, params[0].w.dtype)
    if row.shape not in ((), (width,)):
        raise ValueError(f"{name} must be a scalar or have shape {(width,)}; got {row.shape}")
    return jnp.broadcast_to(row, (1, width))
