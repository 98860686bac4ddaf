"""What public functions refuse, and what they say.

Each `validate_…` returns its argument, validated and cast to the dtype of the network. Only shapes and dtypes are
inspected, never values, so that under `jax.jit`, `jax.vmap` and `jax.grad` this happens once, while tracing.
"""

import importlib
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeGuard, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike

from jaxmlp._fork import validate_process
from jaxmlp.activations import ACTIVATIONS, Activation
from jaxmlp.criteria import CRITERIA, Criterion, softmax_cross_entropy

_DTYPES = tuple(np.dtype(d) for d in (jnp.bfloat16, jnp.float32, jnp.float64))
T = TypeVar("T")
Layers = tuple[Any, ...]  # `Params`, which network.py names: this module is below it.
Net = TypeVar("Net", bound=Layers)
_TURN_ON_X64 = 'turn it on first: jax.config.update("jax_enable_x64", True), or JAX_ENABLE_X64=1'


class MissingDependencyError(ImportError):
    """An optional dependency is not installed; the message holds the line to run."""


def validate(
    params: Net, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, activation: object, criterion: Criterion
) -> tuple[Net, Array, Array, Array | None, tuple[Activation, ...]]:
    """Validate a network and its data, and cast the data to the dtype of the network.

    Returns:
        params, x, y, the sample weights or None, and one activation for each hidden layer.

    Raises:
        TypeError: parameters that are not a tuple of layers or mix dtypes; data that are not numbers; an activation or
            criterion that is a bare function, or returns another dtype.
        ValueError: a shape that does not fit.
    """
    params, x, f = validate_network(params, x, activation)
    x, y, sample_weight = validate_data(params, x, y, sample_weight)
    validate_criterion(criterion, y.shape[1])
    if criterion not in CRITERIA.values():
        outputs = jax.ShapeDtypeStruct(y.shape, x.dtype)
        _validate_custom("criterion.fn", criterion.fn, y.shape[:1], outputs, outputs)
        _validate_custom("criterion.derivative", criterion.derivative, y.shape, outputs, outputs)
    return params, x, y, sample_weight, f


def validate_data(
    params: Layers, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, Array, Array | None]:
    """Validate the rows of a network, and cast them to its dtype."""
    x = validate_inputs(params, x)
    n, outputs = x.shape[0], params[-1].w.shape[1]
    y = cast("y", y, x.dtype)
    if y.shape != (n, outputs):
        raise ValueError(
            f"y must have shape (n, outputs) = {(n, outputs)}, a row for each of x and a column for each "
            f"output of the network; got {y.shape}{_hint_for_targets(y.shape, n, outputs)}"
        )
    if sample_weight is not None:
        sample_weight = cast("sample_weight", sample_weight, x.dtype)
        if sample_weight.shape != (n,):
            raise ValueError(
                f"sample_weight must have shape (n,) = {(n,)}, one for each row of x; got {sample_weight.shape}"
            )
    return x, y, sample_weight


def _hint_for_targets(shape: tuple[int, ...], n: int, outputs: int) -> str:
    if n == 1 and shape == (outputs,):
        return "; for one row, pass y[None]"
    if outputs == 1:
        return "; for one output, pass y[:, None]" if shape == (n,) else ""
    labels = {(n,): "y", (n, 1): "y[:, 0]"}.get(shape)
    return f"; integer class labels become such rows by jax.nn.one_hot({labels}, {outputs})" if labels else ""


def validate_criterion(criterion: object, outputs: int) -> Criterion:
    """Return a criterion, not a bare function, that suits the number of outputs."""
    criterion = validate_choice("criterion", criterion, Criterion, CRITERIA)
    if criterion == softmax_cross_entropy and outputs == 1:
        raise ValueError(
            "criterion must not be softmax_cross_entropy with one output, whose probability is always 1: use "
            "sigmoid_binary_cross_entropy, or one output for each class and targets jax.nn.one_hot(labels, classes)"
        )
    return criterion


def validate_network(params: Net, x: ArrayLike, activation: object) -> tuple[Net, Array, tuple[Activation, ...]]:
    """Validate a network and its inputs; return them with one activation for each hidden layer."""
    params = validate_params(params)
    x = validate_inputs(params, x)
    f = validate_activations(activation, len(params) - 1)
    for layer, custom in zip(params, f, strict=False):
        if custom not in ACTIVATIONS.values():
            h = jax.ShapeDtypeStruct((x.shape[0], layer.w.shape[1]), x.dtype)
            _validate_custom("activation.fn", custom.fn, h.shape, h)
            _validate_custom("activation.derivative", custom.derivative, h.shape, h)
    return params, x, f


def validate_activations(activation: object, hidden: int) -> tuple[Activation, ...]:
    """Return one activation for each of `hidden` layers, given one for all or a tuple."""
    if not isinstance(activation, tuple):
        return (validate_choice("activation", activation, Activation, ACTIVATIONS),) * hidden
    if len(activation) != hidden:
        raise ValueError(
            f"activation must be one, or a tuple of {hidden}, one for each hidden layer; got {len(activation)}"
        )
    return tuple(validate_choice("activation", layer, Activation, ACTIVATIONS) for layer in activation)


def validate_static(name: str, value: object) -> object:
    """Return a static argument of a training function, validated before `jax.jit` hashes it."""
    if name == "epochs":
        return validate_count(name, value, at_least=0)
    if name == "criterion":
        return validate_choice(name, value, Criterion, CRITERIA)
    return value if isinstance(value, tuple) else validate_choice(name, value, Activation, ACTIVATIONS)


def refuse_tracing(name: str, *values: object) -> None:
    """Raise TypeError while JAX traces, or if it traces one of the values: a Python loop looks at numbers."""
    # Under jit, but not under vmap or grad, every result is traced.
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((values, jax.device_put(np.int32(0))))):
        raise TypeError(
            f"{name} is a Python loop, which jit, vmap, grad and checkify cannot trace; use fit_epochs, which composes "
            "with jit and vmap, or train, which composes with grad too"
        )


def validate_functions(activation: object, criterion: object) -> None:
    """Validate activation and criterion before `jax.jit` hashes them."""
    validate_static("activation", activation)
    validate_static("criterion", criterion)


def _validate_custom(
    name: str, function: Callable[..., object], shape: tuple[int, ...], *arguments: jax.ShapeDtypeStruct
) -> None:
    """Trace a custom function: it must return an array of `shape` and of its argument's dtype."""
    try:
        result = jax.eval_shape(function, *arguments)
    except jax.errors.TracerArrayConversionError:
        raise TypeError(f"{name} must be written with jax.numpy; it converts its argument to NumPy") from None
    validate_result(name, result, shape, arguments[0].dtype)


def validate_params(params: Net) -> Net:
    """Return a tuple of layers `(w, b)` whose shapes chain and whose leaves share one of the three dtypes."""
    validate_process()
    _require_layers("params", params, "init_params")
    leaves = [leaf for layer in params for leaf in layer]
    if not all(isinstance(leaf, jax.Array) for leaf in leaves):
        refuse_masked("params", *leaves)
        validate_dtype("params", np.result_type(*(leaf.dtype for leaf in leaves)))
        params = jax.tree.map(as_jax, params)
    fan_in = params[0].w.shape[0] if params[0].w.ndim == 2 else None
    for k, (w, b) in enumerate(params):
        if w.ndim != 2 or w.shape[0] != fan_in:
            wanted = "(fan_in, fan_out)" if fan_in is None else f"({fan_in}, fan_out)"
            hint = "; an ensemble is for train_ensemble, predict_ensemble, init_fit and fit" if w.ndim == 3 else ""
            raise ValueError(f"params[{k}].w must have shape {wanted}; got {w.shape}{hint}")
        fan_out = w.shape[1]
        if b.shape != (1, fan_out):
            raise ValueError(f"params[{k}].b must have shape (1, fan_out) = {(1, fan_out)}; got {b.shape}")
        if w.dtype != params[0].w.dtype or b.dtype != params[0].w.dtype:
            dtypes = sorted({str(leaf.dtype) for layer in params for leaf in layer})
            raise TypeError(f"params must have one dtype in all leaves; got {', '.join(dtypes)}")
        fan_in = fan_out
    validate_dtype("params", params[0].w.dtype)
    return params


def validate_members(params: Net) -> tuple[Net, int]:
    """Return an ensemble and its number of members: all leaves have a leading axis of that length."""
    validate_process()
    _require_layers("params", params, "init_ensemble")
    leading = params[0].w.shape[:1]
    for k, layer in enumerate(params):
        for leaf, value in zip("wb", layer, strict=True):
            refuse_masked("params", value)
            if value.ndim != 3 or value.shape[:1] != leading or not leading[0]:
                hint = "; a single network is for train and forward" if value.ndim == 2 else ""
                raise ValueError(
                    f"params[{k}].{leaf} must have a leading axis of members and rank 3, as init_ensemble returns; "
                    f"got {value.shape}{hint}"
                )
    dtypes = {str(leaf.dtype) for layer in params for leaf in layer}
    if len(dtypes) > 1:
        raise TypeError(f"params must have one dtype in all leaves; got {', '.join(sorted(dtypes))}")
    validate_dtype("params", params[0].w.dtype)
    return params, leading[0]


def validate_member_axis(name: str, value: Array, rank: int, members: int) -> bool:
    """Return whether `value` is given for each member (rank + 1) rather than once for all (rank)."""
    if value.ndim == rank:
        return False
    if value.ndim != rank + 1:
        hint = (
            f"; for one row pass {name}[None], for one column {name}[:, None]" if (rank, value.ndim) == (2, 1) else ""
        )
        raise ValueError(
            f"{name} must have rank {rank} for all members, or {rank + 1} for each; got {value.shape}{hint}"
        )
    if value.shape[0] != members:
        raise ValueError(f"{name} of rank {rank + 1} must have members = {members} in front; got {value.shape}")
    return True


def validate_inputs(params: Layers, x: ArrayLike) -> Array:
    """Return `x` of shape (n, fan_in of the first layer)."""
    w = params[0].w
    x = cast("x", x, w.dtype)
    if x.ndim != 2 or x.shape[1] != w.shape[0]:
        hint = ""
        if x.ndim == 1 and w.shape[0] in (1, x.shape[0]):
            hint = "; for one row, pass x[None]" if w.shape[0] == x.shape[0] else "; for one column, pass x[:, None]"
        raise ValueError(
            f"x must have shape (n, fan_in) = (n, {w.shape[0]}), a column for each row of params[0].w; got "
            f"{x.shape}{hint}"
        )
    return x


def validate_rows(x: object, y: object, sample_weight: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows as NumPy arrays of floats, before there is a network. Without x64 mode, float64 becomes float32."""
    validate_process()
    x, y = _floats("x", x), _floats("y", y)
    c = np.ones(x.shape[:1], x.dtype) if sample_weight is None else _floats("sample_weight", sample_weight)
    if x.ndim != 2:
        raise ValueError(f"x must have shape (n, fan_in); got {x.shape}")
    if y.ndim != 2 or len(y) != len(x):
        raise ValueError(
            f"y must have shape (n, outputs) = ({len(x)}, outputs), a row for each of x; got {y.shape}"
            f"{_hint_for_targets(y.shape, len(x), 1)}"
        )
    if c.shape != (len(x),):
        raise ValueError(f"sample_weight must have shape (n,) = {(len(x),)}, one for each row of x; got {c.shape}")
    return x, y, c


def validate_update(params: Net, grads: Net, learning_rate: ArrayLike) -> tuple[Net, Net, Array]:
    """Return parameters, gradients with their structure, shapes and dtypes, and a scalar learning rate."""
    params = validate_params(params)
    if jax.tree.structure(grads) != jax.tree.structure(params):
        wanted = f"a tuple of {count(len(params), 'layer')}, as manual_grads returns"
        raise ValueError(f"grads must have the structure of params, {wanted}; got {_describe_layers('grads', grads)}")
    for k, (gradients, layer) in enumerate(zip(grads, params, strict=True)):
        for leaf, gradient, like in zip("wb", gradients, layer, strict=True):
            if gradient.shape != like.shape:
                raise ValueError(f"grads[{k}].{leaf} must have shape {like.shape}; got {gradient.shape}")
            if gradient.dtype != like.dtype:
                raise TypeError(f"grads[{k}].{leaf} must have dtype {like.dtype}; got {gradient.dtype}")
    return params, grads, validate_scalar("learning_rate", learning_rate, params[0].w.dtype)


def validate_scalar(name: str, value: object, dtype: np.dtype) -> Array:
    """Return a number, or an array of shape (), as an array of `dtype`."""
    if type(value) is float:
        return dtype.type(value)
    value = cast(name, value, dtype)
    if value.shape != ():
        raise ValueError(f"{name} must be a scalar, of shape (); got {value.shape}")
    return value


def validate_count(name: str, value: Any, at_least: int) -> int:
    """Return a static whole number of at least `at_least`."""
    try:
        count = operator.index(value)
    except TypeError:
        hint = ""
        if isinstance(value, Tracer):
            hint = f'; under jax.jit it must be static: jax.jit(…, static_argnames="{name.partition("[")[0]}")'
        raise TypeError(f"{name} must be a whole number known before tracing; got {describe(value)}{hint}") from None
    if isinstance(value, bool) or count < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}; got {value}")
    return count


def validate_sizes(sizes: object) -> tuple[int, ...]:
    """Return layer widths from inputs to outputs: at least two, each at least 1."""
    sizes = tuple(sizes) if isinstance(sizes, Sequence | np.ndarray) and not isinstance(sizes, str | bytes) else sizes
    if not isinstance(sizes, tuple) or len(sizes) < 2:
        raise ValueError(f"sizes must name at least the inputs and the outputs, as in (3, 32, 1); got {sizes!r}")
    return tuple(validate_count(f"sizes[{k}]", size, at_least=1) for k, size in enumerate(sizes))


def validate_key(key: Any) -> Array:
    """Return a single key of `jax.random.key`, or an old-style one of `jax.random.PRNGKey`."""
    validate_process()
    new_style = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    old_style = hasattr(key, "dtype") and key.dtype == np.uint32 and key.ndim == 1
    if not (old_style or (new_style and key.shape == ())):
        hint = f" of shape {key.shape}; pass one of them, or jax.vmap over them" if new_style else ""
        hint += f"; pass jax.random.key({key})" if isinstance(key, int) else ""
        raise TypeError(f"key must be a single key, as jax.random.key(0) returns; got {describe(key)}{hint}")
    return key


def validate_dtype(name: str, dtype: DTypeLike) -> np.dtype:
    """Return bfloat16, float32 or, where x64 is on, float64."""
    dtype = np.dtype(dtype)
    if dtype not in _DTYPES:
        raise TypeError(f"{name} must be bfloat16, float32 or float64; got {dtype}")
    if dtype == np.float64 and jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise TypeError(f"{name} must not be float64 while JAX's x64 mode is off; {_TURN_ON_X64}")
    return dtype


def validate_choice(name: str, value: object, kind: type[T], built_in: Mapping[str, T]) -> T:
    """Return an instance of `kind`, not a bare function; the message names the built-in ones."""
    if not isinstance(value, kind):
        like = (value if isinstance(value, str) else describe(value)).lower()
        hint = f"; pass jaxmlp.{like}" if like in built_in else ""
        raise TypeError(
            f"{name} must be a jaxmlp.{kind.__name__}, which holds a function and its derivative: one of "
            f"{', '.join(built_in)}, or a custom {kind.__name__}(fn, derivative); got {describe(value)}{hint}"
        )
    return value


def require_known(name: str, value: object, known: Collection[str], *, optional: bool = False) -> None:
    """Refuse a value that is not among the known names; or None, if it may be left out."""
    if value not in known and not (optional and value is None):
        or_none = ", or None" if optional else ""
        raise ValueError(f"{name} must be one of {', '.join(known)}{or_none}; got {value!r}")


def find_name(function: object, built_in: Mapping[str, object]) -> str | None:
    """Return the name of a built-in activation or criterion; None for a custom one."""
    return next((name for name, value in built_in.items() if value == function), None)


def validate_result(name: str, value: T, shape: tuple[int, ...], dtype: object) -> T:
    """Return the result of a custom function: an array of the shape and dtype that the chain rule needs."""
    if not isinstance(value, jax.Array | jax.ShapeDtypeStruct):
        raise TypeError(f"{name} must return a JAX array, made with jax.numpy; got {describe(value)}")
    if value.shape != shape:
        raise ValueError(f"{name} must return an array of shape {shape}; got {value.shape}")
    if value.dtype != dtype:
        raise TypeError(f"{name} must return {dtype}, the dtype of the network; got {value.dtype}")
    return value


def cast(name: str, value: object, dtype: DTypeLike) -> Array:
    """Return `value` as an array of `dtype`; float64 numbers are rounded once, directly to `dtype`."""
    if isinstance(value, jax.Array):
        if value.dtype == dtype and not value.weak_type:
            return value
        if jnp.issubdtype(value.dtype, jnp.number) and not jnp.issubdtype(value.dtype, jnp.complexfloating):
            return lax.convert_element_type(value, dtype)
        if value.dtype == bool:
            return lax.convert_element_type(value, dtype)
        found = value.dtype
    else:
        array = to_numpy(name, value)
        if array.dtype.kind in "biuf" or array.dtype in _DTYPES:
            # Stay in NumPy: jit takes such an array too, and no device has to copy it first.
            return np.asarray(array, dtype)  # type: ignore[return-value]
        found = array.dtype
    hint = f"; pass {name}.astype(float)" if found == np.dtype(object) and hasattr(value, "astype") else ""
    raise TypeError(f"{name} must hold real numbers; got {describe(value)} of dtype {found}{hint}")


def to_numpy(name: str, value: object) -> np.ndarray:
    """Return `value` as a NumPy array; masked entries, whose mask NumPy would drop, are refused."""
    if type(value) is np.ndarray:
        return value
    refuse_masked(name, *(value if isinstance(value, list | tuple) else (value,)))
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of real numbers: {error}") from None


def refuse_masked(name: str, *values: object) -> None:
    """Refuse NumPy's masked arrays, unless no entry is masked."""
    if any(isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value) for value in values):
        raise ValueError(
            f"{name} must not be a masked array with masked entries: fill them, or leave out their rows, and pass a "
            "plain array"
        )


def count(number: int, noun: str) -> str:
    """Return "1 row", "2 rows": a number in a message."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def escape(text: str) -> str:
    """Return a text on one line: control characters, line ends, marks of direction and lone surrogates as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _floats(name: str, value: object) -> np.ndarray:
    array = to_numpy(name, value)
    dtype = array.dtype if array.dtype in _DTYPES else np.float64
    return np.asarray(cast(name, array, jax.dtypes.canonicalize_dtype(dtype)))


def require(module: str, extra: str) -> ModuleType:
    """Return an optional dependency, imported where it is used; if it is missing, the error says what to run."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingDependencyError(
            f"{module} is needed for this and not installed: pip install 'jaxmlp[{extra}]'"
        ) from None


def _require_layers(name: str, value: object, maker: str) -> None:
    if not isinstance(value, tuple) or not value or not all(_is_layer(layer) for layer in value):
        wanted = f"a tuple of jaxmlp.Layer, as {maker} returns"
        raise TypeError(f"{name} must be {wanted}; got {_describe_layers(name, value)}")


def _describe_layers(name: str, value: object) -> str:
    """Return what is wrong with a value that should be a tuple of layers."""
    if _is_pair(value):
        return "Layer alone; pass (layer,)"
    if not isinstance(value, tuple):
        return f"{describe(value)}; pass tuple({name})" if isinstance(value, list) else describe(value)
    for k, layer in enumerate(value):
        if not _is_pair(layer):
            return f"tuple, in which {name}[{k}] is not a Layer but {describe(layer)}"
        if not _is_layer(layer):
            return f"tuple, in which {name}[{k}] does not hold arrays but {' and '.join(map(describe, layer))}"
    return f"tuple of length {len(value)}"


def _is_pair(layer: object) -> TypeGuard[tuple[object, object]]:
    return getattr(layer, "_fields", None) == ("w", "b")


def as_jax(leaf: np.ndarray | jax.Array) -> jax.Array:
    """Return a copy of an array of NumPy; unlike `jnp.asarray`, this compiles nothing, and never shares memory."""
    return leaf if isinstance(leaf, jax.Array) else jax.device_put(np.array(leaf))


def _is_layer(layer: object) -> bool:
    return _is_pair(layer) and all(hasattr(leaf, "dtype") for leaf in layer)


def describe(value: object) -> str:
    return getattr(value, "__qualname__", None) or type(value).__name__
