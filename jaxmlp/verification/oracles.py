"""The oracles: programs that compute the gradient of a function, each in its way; and how much work a function is."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxmlp.verification.report import BOUNDS

Values = Any  # Arrays of JAX inside the programs, of NumPy in their results.
Leaves = list[Values]
Arguments = tuple[Leaves, Leaves]  # Those to differentiate with respect to, and the others.
Result = TypeVar("Result")
Scalar = Callable[[Leaves, Leaves], Array]
EPS = [float(jnp.finfo(name).eps) for name in BOUNDS]  # The precisions of BOUNDS.
_OVERHEAD = 1000.0  # Of an operation, in additions.


class Derivative(NamedTuple):
    """The derivative of an activation or criterion."""

    at: Values  # The pre-activations.
    by_hand: Values
    by_grad: Values
    stepped: Values  # Values of the function, for `measure_slopes`.


class Functions(NamedTuple):
    """A scalar function of two lists of arrays, its gradient with respect to the first, and ways to check it."""

    value: Scalar
    by_hand: Callable[[Leaves, Leaves], Leaves]  # The gradient to check; without one, `jax.grad` of `value`.
    autodiff: Scalar | None  # What `jax.grad` differentiates, as an oracle: `value`, or another form of it.
    is_reference: bool = False  # Whether that is another form.
    derivatives: Callable[[Leaves, Leaves], list[Derivative]] | None = None


def take_gradient(f: Functions, theta: Leaves, rest: Leaves) -> tuple[Values, Leaves]:
    """Return the value of a function, and the leaves of its gradient by hand as vectors."""
    return f.value(theta, rest), [jnp.ravel(leaf) for leaf in f.by_hand(theta, rest)]


def evaluate(function: Callable[[Leaves, Leaves], Result], theta: Leaves, rest: Leaves) -> Result:
    """Return the result of a function."""
    return function(theta, rest)


def differentiate(function: Scalar, theta: Leaves, rest: Leaves) -> Leaves:
    """Return the gradient of a function by autodiff."""
    return [jnp.ravel(leaf) for leaf in jax.grad(function)(theta, rest)]


def step_along(function: Scalar, theta: Leaves, rest: Leaves, base: Leaves, parts: Array, offsets: Array) -> Values:
    """Return (parts, offsets) values of a function: after steps along parts of `base`."""

    def step(direction, offset):
        return function([leaf + offset.astype(leaf.dtype) * d for leaf, d in zip(theta, direction, strict=True)], rest)

    return _map_parts(lambda direction: lax.map(lambda offset: step(direction, offset), offsets), base, parts)


def slope_along(function: Scalar, theta: Leaves, rest: Leaves, base: Leaves, parts: Array) -> Values:
    """Return the slopes of a function along parts of `base`, by forward mode."""
    return _map_parts(lambda d: jax.jvp(lambda theta: function(theta, rest), (theta,), (d,))[1], base, parts)


def _map_parts(function: Callable[[Leaves], Array], base: Leaves, parts: Array) -> Values:
    """Map a function over parts of `base`: each keeps a range of entries, which are counted through all leaves."""

    def keep(bounds):
        leaves, start = [], 0
        for leaf in base:
            place = start + jnp.arange(leaf.size).reshape(leaf.shape)
            leaves.append(jnp.where((bounds[0] <= place) & (place < bounds[1]), leaf, 0))
            start += leaf.size
        return leaves

    return lax.map(lambda bounds: function(keep(bounds)), parts)


def measure(function: Callable[..., object], theta: Leaves, rest: Leaves) -> tuple[float, int]:
    """Return the number of operations of a function, roughly, and the place in EPS of its coarsest dtype."""
    work, dtypes = 0.0, set()
    for operation, times in _list_operations(jax.jit(function).trace(theta, rest).jaxpr, 1.0):
        arrays = [v.aval for v in (*operation.invars, *operation.outvars) if hasattr(v.aval, "dtype")]
        sizes = [float(array.size) for array in arrays]
        # The number of products of a matrix product is the root of the product of the three sizes.
        is_product = operation.primitive.name in ("dot_general", "conv_general_dilated")
        work += times * (_OVERHEAD + (math.sqrt(math.prod(sizes)) if is_product else sum(sizes)))
        dtypes |= {array.dtype for array in arrays if jnp.issubdtype(array.dtype, np.inexact)}
    eps = max((float(jnp.finfo(dtype).eps) for dtype in dtypes), default=0.0)
    return work, sum(eps > finer for finer in EPS[:-1])


def _list_operations(program: Any, times: float) -> Iterator[tuple[Any, float]]:
    """Yield each operation of a program, also those of programs inside, and how often it runs."""
    for operation in program.eqns:
        yield operation, times
        for inner in jax.tree.leaves([*operation.params.values()]):
            if hasattr(inner, "eqns"):
                yield from _list_operations(inner, times * operation.params.get("length", 1))
