"""How a training function becomes a compiled program, and what happens in each call before `jax.jit` sees it."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from jaxmlp._validation import cast, validate_params, validate_scalar, validate_statics

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile `function(params, x, y, learning_rate, sample_weight=None, *, …)`; its keywords are static.

    Numbers of every type share one trace, and what `jax.jit` would refuse is refused in the library's words. Shapes
    are validated by `function`, once, while it is traced.
    """
    defaults: dict[str, Any] = function.__kwdefaults__  # type: ignore[attr-defined]

    def by_position(params, x, y, rate, c, *statics):
        return function(params, x, y, rate, c, **dict(zip(defaults, statics, strict=True)))  # type: ignore[call-arg]

    by_position.__name__ = function.__name__  # the name of the compiled program
    # JAX finds a cached program faster when static arguments are passed by position.
    program = jax.jit(by_position, static_argnums=tuple(range(5, 5 + len(defaults))))

    @wraps(function)
    def call(params, x, y, learning_rate, sample_weight=None, **keywords):
        statics = {**defaults, **keywords}
        if len(statics) > len(defaults):
            unknown = ", ".join(statics.keys() - defaults.keys())
            raise TypeError(f"{function.__name__}() got an unexpected keyword argument: {unknown}")
        validate_statics(statics)
        dtype = params_dtype(params)
        rate = _scalar(learning_rate, dtype)
        c = None if sample_weight is None else as_array("sample_weight", sample_weight, dtype)
        x, y = as_array("x", x, dtype), as_array("y", y, dtype)
        return program(params, x, y, rate, c, *statics.values())

    return call  # type: ignore[return-value]


def params_dtype(params: Any) -> np.dtype:
    """Return the dtype of the parameters, quickly: `train` asks before each call.

    NumPy's leaves are validated here, because jit would silently make float64 float32; JAX's while tracing.
    """
    try:
        for w, b in params:
            if isinstance(w, np.ndarray) or isinstance(b, np.ndarray):
                break
        else:
            return params[0].w.dtype
    except (TypeError, LookupError, AttributeError, ValueError):
        pass
    return validate_params(params)[0].w.dtype


def as_array(name: str, value: Any, dtype: np.dtype) -> Array:
    """Return a JAX array unchanged, to be cast while tracing; cast other values now, as jit wraps large integers."""
    if hasattr(value, "aval"):  # a faster isinstance(value, jax.Array)
        return value
    return cast(name, value, dtype)


_scalars: dict[tuple[float, np.dtype], Array] = {}


def _scalar(value: Any, dtype: np.dtype) -> Array:
    """Return the learning rate as an array that is on the device already: a transfer costs as much as five epochs."""
    if type(value) is not float:
        return validate_scalar("learning_rate", value, dtype)
    scalar = _scalars.get((value, dtype))
    if scalar is None:
        scalar = jnp.asarray(dtype.type(value))
        # A scalar that belongs to a trace, a mesh or another mode of JAX is for this call alone.
        if isinstance(scalar, Tracer) or scalar.committed or scalar.dtype != dtype:
            return dtype.type(value)
        if len(_scalars) == 256:
            _scalars.clear()
        _scalars[value, dtype] = scalar
    return scalar
