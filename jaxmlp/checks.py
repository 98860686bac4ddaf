"""What public functions refuse, and how they say it.

Each `checked_…` takes what a user passed and returns it as the functions below want it: validated, and cast to the
dtype of the network. Only shapes and dtypes are looked at, never values, so that all of this happens once, while
tracing, under a user's own `jax.jit`, `jax.vmap` and `jax.grad` too.
"""

import importlib
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

_DTYPES = tuple(np.dtype(d) for d in (jnp.bfloat16, jnp.float32, jnp.float64))
_TURN_ON_X64 = 'turn it on first: jax.config.update("jax_enable_x64", True), or JAX_ENABLE_X64=1'


class MissingDependencyError(ImportError):
    """An optional dependency is not installed; the message holds the line to run."""


def checked(params: Any, x: Any, y: Any, weights: Any) -> tuple[Any, Array, Array, Array | None]:
    """Parameters, inputs, targets and row weights that belong together, cast to the parameters' dtype.

    Raises:
        TypeError: parameters that are no tuple of layers or mix dtypes; data that are not numbers.
        ValueError: a shape that does not fit.
    """
    params = checked_params(params)
    x = checked_inputs(params, x)
    n, outputs = x.shape[0], params[-1].w.shape[1]
    y = cast("y", y, x.dtype)
    if y.shape != (n, outputs):
        raise ValueError(
            f"y must have shape (n, outputs) = {(n, outputs)}, a row for each of x and a column for each "
            f"output of the network; got {y.shape}"
        )
    if weights is not None:
        weights = cast("weights", weights, x.dtype)
        if weights.shape != (n,):
            raise ValueError(f"weights must have shape (n,) = {(n,)}, one for each row of x; got {weights.shape}")
    return params, x, y, weights


def checked_params(params: Any) -> Any:
    """A tuple of layers `(w, b)` whose shapes chain and whose leaves share one of the three dtypes."""
    if not isinstance(params, tuple) or not params or not all(_is_layer(layer) for layer in params):
        raise TypeError(f"params must be a tuple of jaxmlp.Layer, as init_params returns; got {_kind(params)}")
    leaves = [leaf for layer in params for leaf in layer]
    if not all(isinstance(leaf, jax.Array) for leaf in leaves):
        checked_dtype("params", np.result_type(*(leaf.dtype for leaf in leaves)))
        params = jax.tree.map(jnp.asarray, params)
    fan_in = params[0].w.shape[0] if params[0].w.ndim == 2 else None
    for k, (w, b) in enumerate(params):
        if w.ndim != 2 or w.shape[0] != fan_in:
            wanted = "(fan_in, fan_out)" if fan_in is None else f"({fan_in}, fan_out)"
            raise ValueError(f"params[{k}].w must have shape {wanted}; got {w.shape}")
        fan_out = w.shape[1]
        if b.shape != (1, fan_out):
            raise ValueError(f"params[{k}].b must have shape (1, fan_out) = {(1, fan_out)}; got {b.shape}")
        if w.dtype != params[0].w.dtype or b.dtype != params[0].w.dtype:
            found = sorted({str(leaf.dtype) for layer in params for leaf in layer})
            raise TypeError(f"params must have one dtype in all leaves; got {', '.join(found)}")
        fan_in = fan_out
    checked_dtype("params", params[0].w.dtype)
    return params


def checked_members(params: Any) -> tuple[Any, int]:
    """An ensemble, and how many members it has: layers whose leaves all have one more axis in front."""
    if not isinstance(params, tuple) or not params or not all(_is_layer(layer) for layer in params):
        raise TypeError(f"params must be a tuple of jaxmlp.Layer, as init_ensemble returns; got {_kind(params)}")
    leading = params[0].w.shape[:1]
    for k, layer in enumerate(params):
        for leaf, value in zip("wb", layer, strict=True):
            if value.ndim != 3 or value.shape[:1] != leading or not leading[0]:
                raise ValueError(
                    f"params[{k}].{leaf} must have a leading axis of members and rank 3, as init_ensemble returns; "
                    f"got {value.shape}"
                )
    dtypes = {str(leaf.dtype) for layer in params for leaf in layer}
    if len(dtypes) > 1:
        raise TypeError(f"params must have one dtype in all leaves; got {', '.join(sorted(dtypes))}")
    checked_dtype("params", params[0].w.dtype)
    return params, leading[0]


def checked_member_axis(name: str, value: Any, rank: int, members: int) -> bool:
    """Whether `value` is given for each member (rank + 1) and not once for all (rank)."""
    if value.ndim == rank:
        return False
    if value.ndim != rank + 1:
        raise ValueError(f"{name} must have rank {rank} for all members, or {rank + 1} for each; got {value.shape}")
    if value.shape[0] != members:
        raise ValueError(f"{name} of rank {rank + 1} must have members = {members} in front; got {value.shape}")
    return True


def checked_inputs(params: Any, x: Any) -> Array:
    """`x` of shape (n, fan_in of the first layer)."""
    w = params[0].w
    x = cast("x", x, w.dtype)
    if x.ndim != 2 or x.shape[1] != w.shape[0]:
        raise ValueError(
            f"x must have shape (n, fan_in) = (n, {w.shape[0]}), a column for each row of params[0].w; got {x.shape}"
        )
    return x


def checked_rows(x: Any, y: Any, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of no network in particular, as NumPy arrays of floats: each keeps its dtype, where JAX has it."""
    x, y = _floats("x", x), _floats("y", y)
    weights = np.ones(x.shape[:1], x.dtype) if weights is None else _floats("weights", weights)
    if x.ndim != 2:
        raise ValueError(f"x must have shape (n, fan_in); got {x.shape}")
    if y.ndim != 2 or len(y) != len(x):
        raise ValueError(f"y must have shape (n, outputs) = ({len(x)}, outputs), a row for each of x; got {y.shape}")
    if weights.shape != (len(x),):
        raise ValueError(f"weights must have shape (n,) = {(len(x),)}, one for each row of x; got {weights.shape}")
    return x, y, weights


def checked_like(name: str, tree: Any, params: Any) -> Any:
    """A tree with the structure, shapes and dtypes of `params`."""
    if jax.tree.structure(tree) != jax.tree.structure(params):
        raise ValueError(f"{name} must have the structure of params; got {_kind(tree)}")
    for k, (layer, expected) in enumerate(zip(tree, params, strict=True)):
        for leaf, value, like in zip("wb", layer, expected, strict=True):
            if value.shape != like.shape:
                raise ValueError(f"{name}[{k}].{leaf} must have shape {like.shape}; got {value.shape}")
            if value.dtype != like.dtype:
                raise TypeError(f"{name}[{k}].{leaf} must have dtype {like.dtype}; got {value.dtype}")
    return tree


def checked_scalar(name: str, value: Any, dtype: np.dtype) -> Any:
    """A number, or an array of shape (), as an array of `dtype`."""
    if type(value) is float:
        return dtype.type(value)
    value = cast(name, value, dtype)
    if value.shape != ():
        raise ValueError(f"{name} must be a scalar, of shape (); got {value.shape}")
    return value


def checked_count(name: str, value: Any, at_least: int) -> int:
    """A whole number that is static, not below `at_least`."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number known before tracing; got {_kind(value)}") from None
    if isinstance(value, bool) or count < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}; got {value}")
    return count


def checked_sizes(sizes: Any) -> tuple[int, ...]:
    """The widths of a network from inputs to outputs: at least two, each at least 1."""
    sizes = tuple(sizes) if isinstance(sizes, Sequence | np.ndarray) and not isinstance(sizes, str | bytes) else sizes
    if not isinstance(sizes, tuple) or len(sizes) < 2:
        raise ValueError(f"sizes must name at least the inputs and the outputs, as in (3, 32, 1); got {sizes!r}")
    return tuple(checked_count(f"sizes[{k}]", size, at_least=1) for k, size in enumerate(sizes))


def checked_key(key: Any) -> Array:
    """One key of `jax.random.key` (or an old-style one of `jax.random.PRNGKey`)."""
    new_style = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    old_style = hasattr(key, "dtype") and key.dtype == np.uint32 and key.ndim == 1
    if not (old_style or (new_style and key.shape == ())):
        shape = f" of shape {key.shape}" if new_style else ""
        raise TypeError(f"key must be a single key, as jax.random.key(0) returns; got {_kind(key)}{shape}")
    return key


def checked_dtype(name: str, dtype: Any) -> np.dtype:
    """One of bfloat16, float32 and, where x64 is on, float64."""
    dtype = np.dtype(dtype)
    if dtype not in _DTYPES:
        raise TypeError(f"{name} must be bfloat16, float32 or float64; got {dtype}")
    if dtype == np.float64 and jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise TypeError(f"{name} must not be float64 while JAX's x64 mode is off; {_TURN_ON_X64}")
    return dtype


def checked_choice(name: str, value: Any, kind: type, ours: dict[str, Any]) -> Any:
    """An instance of `kind`, not a bare function; the message names `ours`."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} must be a jaxmlp.{kind.__name__}, which holds a function and its derivative: one of "
            f"{', '.join(ours)}, or your own {kind.__name__}(fn, derivative); got {_kind(value)}"
        )
    return value


def checked_result(name: str, value: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """What a user's own function returned: an array of the shape and dtype that the chain rule needs."""
    if not isinstance(value, jax.Array):
        raise TypeError(f"{name} must return a JAX array, made with jax.numpy; got {_kind(value)}")
    if value.shape != shape:
        raise ValueError(f"{name} must return an array of shape {shape}; got {value.shape}")
    if value.dtype != dtype:
        raise TypeError(f"{name} must return {dtype}, the dtype of the network; got {value.dtype}")
    return value


def network_dtype(params: Any) -> np.dtype:
    """The dtype of the parameters, as quick as can be: `train` asks before each call.

    NumPy's leaves are looked at closely, because jit would make float64 float32 without a word; JAX's while tracing.
    """
    try:
        for w, b in params:
            if isinstance(w, np.ndarray) or isinstance(b, np.ndarray):
                break
        else:
            return params[0].w.dtype
    except (TypeError, LookupError, AttributeError, ValueError):
        pass
    return checked_params(params)[0].w.dtype


def as_array(name: str, value: Any, dtype: np.dtype) -> Any:
    """JAX's arrays as they are, to be cast while tracing; anything else cast now: jit would wrap large integers."""
    if hasattr(value, "aval"):  # as isinstance(value, jax.Array), but quick
        return value
    return cast(name, value, dtype)


def cast(name: str, value: Any, dtype: Any) -> Array:
    """`value` as an array of `dtype`; Python's and NumPy's numbers go there directly, never through float32."""
    if isinstance(value, jax.Array):
        if value.dtype == dtype and not value.weak_type:
            return value
        if jnp.issubdtype(value.dtype, jnp.number) and not jnp.issubdtype(value.dtype, jnp.complexfloating):
            return lax.convert_element_type(value, dtype)
        if value.dtype == bool:
            return lax.convert_element_type(value, dtype)
    else:
        array = np.asarray(value)
        if array.dtype.kind in "biuf" or array.dtype in _DTYPES:
            # A NumPy array is as good as JAX's under jit, and does not wait for a device.
            return np.asarray(array, dtype)  # type: ignore[return-value]
    raise TypeError(f"{name} must hold real numbers; got {_kind(value)} of dtype {getattr(value, 'dtype', 'object')}")


def _floats(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    dtype = array.dtype if array.dtype in _DTYPES else np.float64
    return np.asarray(cast(name, array, jax.dtypes.canonicalize_dtype(dtype)))


def required(module: str, extra: str) -> Any:
    """An optional dependency, imported where it is used; where it is missing, the error says what to run."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingDependencyError(
            f"{module} is needed for this and not installed: pip install 'jaxmlp[{extra}]'"
        ) from None


def _is_layer(layer: Any) -> bool:
    return getattr(layer, "_fields", None) == ("w", "b") and all(hasattr(leaf, "dtype") for leaf in layer)


def _kind(value: Any) -> str:
    return getattr(value, "__qualname__", None) or type(value).__name__
