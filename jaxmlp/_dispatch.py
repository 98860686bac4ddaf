"""How a training function becomes a compiled program: what happens before `jax.jit` sees a call, and per platform."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero

from jaxmlp._fork import validate_process
from jaxmlp._programs import Programs
from jaxmlp._validation import Layers, cast, validate_params, validate_scalar, validate_static

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# On processors with AVX-512, LLVM uses half of a vector unless told otherwise; elsewhere this changes nothing.
_WIDE = {"xla_cpu_prefer_vector_width": 512}


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile `function(params, x, y, learning_rate, sample_weight=None, *, …)`; its keywords are static.

    Numbers of every type share one trace. Arguments that `jax.jit` cannot take raise the errors of `_validation.py`;
    `function` validates shapes once, while it is traced. As a part of another program it is compiled without the option
    of `_WIDE`, so that the last bits may differ.
    """
    defaults: dict[str, object] = function.__kwdefaults__  # type: ignore[attr-defined]
    programs = Programs(function, static_argnames=tuple(defaults))

    @wraps(function)
    def call(params, x, y, learning_rate, sample_weight=None, **keywords):
        statics = {}
        for name, value in keywords.items():
            if name not in defaults:
                raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}")
            value = validate_static(name, value)
            if value != defaults[name]:  # a default, given or not, means the same program
                statics[name] = value
        dtype = params_dtype(params)
        x, y, rate = as_array("x", x, dtype), as_array("y", y, dtype), _scalar(learning_rate, dtype)
        c = None if sample_weight is None else as_array("sample_weight", sample_weight, dtype)
        # Not `BoundedJit`, because a call of `train_step` takes few microseconds.
        widths = tuple([w.shape for w, _ in params])
        key = widths, x.shape, y.shape, dtype, tuple(statics.items())
        return programs.call(key, _WIDE, params, x, y, rate, c, **statics)

    return call  # type: ignore[return-value]


def params_dtype(params: Layers) -> np.dtype:
    """Return the dtype of the parameters; fast, because each call of `train` needs it.

    NumPy leaves are validated here, because `jax.jit` would silently convert float64 to float32; JAX leaves are
    validated while tracing.
    """
    validate_process()
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
    """Return a JAX array as it is, because it is cast while tracing; cast others now, as jit wraps large integers."""
    if hasattr(value, "aval"):  # a faster isinstance(value, jax.Array)
        return value
    return cast(name, value, dtype)


_scalars: dict[tuple[float, np.dtype], Array] = {}


def _scalar(value: object, dtype: np.dtype) -> Array:
    """Return the learning rate as an array on the device. Later calls reuse it: a copy takes as long as 5 epochs."""
    if type(value) is not float:
        return validate_scalar("learning_rate", value, dtype)
    scalar = _scalars.get((value, dtype))
    if scalar is None:
        scalar = jnp.asarray(dtype.type(value))
        # A scalar that belongs to a trace, a mesh or another mode of JAX is not reused.
        if isinstance(scalar, Tracer) or scalar.committed or scalar.dtype != dtype:
            return dtype.type(value)
        if len(_scalars) == 256:
            _scalars.clear()
        _scalars[value, dtype] = scalar
    return scalar


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def by_platform(
    platform: str, form: Callable[..., Result], textbook: Callable[..., Result], *operands: Array
) -> Result:
    """Return `form(*operands)` on that platform, and `textbook(*operands)`, the same function, on others.

    The platform is known when the program is lowered, so that an export for others gets the textbook's form.
    """
    return lax.platform_dependent(*operands, default=textbook, **{platform: form})


@partial(by_platform.defjvp, symbolic_zeros=True)
def _by_platform_jvp(platform, form, textbook, operands, tangents):
    # Autodiff of a form would be slow, as of a sum that is written out, or not possible, as of a kernel.
    moved = [k for k, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]

    def of_moved(*values):
        given = dict(zip(moved, values, strict=True))
        return textbook(*[given.get(k, operand) for k, operand in enumerate(operands)])

    _, tangent = jax.jvp(of_moved, [operands[k] for k in moved], [tangents[k] for k in moved])
    return by_platform(platform, form, textbook, *operands), tangent
