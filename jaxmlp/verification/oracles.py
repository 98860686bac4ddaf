"""The oracles: programs that compute the gradient of a function, each in its way, and what they say at a point."""

import math
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from jaxmlp._programs import Programs
from jaxmlp.verification.differences import FEW, FEW_COARSE, STEPS, distances, finite, largest, measure_slopes, offsets
from jaxmlp.verification.report import BOUNDS

Values = Any  # Arrays of JAX inside the programs, of NumPy in their results; or a tree of them.
Arguments = tuple[Values, Values]  # Trees: those to differentiate with respect to, and the others.
Scalar = Callable[[Values, Values], Array]
EPS = [float(jnp.finfo(name).eps) for name in BOUNDS]  # The precisions of BOUNDS.
_OVERHEAD = 1000.0  # Of an operation, in additions.

# Without optimizations: compiling and running a program once then takes less time.
UNOPTIMIZED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
# Each entry of a small problem is varied: entries times operations at most.
_SMALL = 2**28
# Each leaf of a larger one is varied in this number of parts, or in fewer, to bound the time.
_MOST, _LARGE = 4, 2**33
_SAMPLES = 2  # How often the arguments are changed by each precision to measure rounding.


class Functions(NamedTuple):
    """A scalar function of two trees of arrays, its gradient with respect to the first, and ways to check it."""

    value: Scalar
    by_hand: Callable[[Values, Values], Values]  # The gradient to check; without one, `jax.grad` of `value`.
    autodiff: Scalar | None  # What `jax.grad` differentiates, as an oracle: `value`, or another form of it.
    is_reference: bool = False  # Whether that is another form.
    # For each activation and, last, for the criterion: the pre-activations; the derivative there, by hand and by
    # `jax.grad`; and values of the function, for `measure_slopes`.
    derivatives: Callable[[Values, Values], list[tuple[Values, Values, Values, Values]]] | None = None


def take_gradient(f: Functions, theta: Values, rest: Values) -> list[Values]:
    """Return the value of a function and, as vectors, the leaves of its gradient by hand."""
    return [f.value(theta, rest), *(jnp.ravel(leaf) for leaf in jax.tree.leaves(f.by_hand(theta, rest)))]


def evaluate(function: Callable[..., Values], *args: Values) -> Values:
    """Return the result of a function."""
    return function(*args)


def differentiate(function: Scalar, theta: Values, rest: Values) -> list[Values]:
    """Return the leaves of the gradient of a function by autodiff as vectors."""
    return [jnp.ravel(leaf) for leaf in jax.tree.leaves(jax.grad(function)(theta, rest))]


def step_along(function: Scalar, theta: Values, rest: Values, base: Array, parts: Array, offsets: Array) -> Array:
    """Return (parts, offsets) values of a function: after steps along parts of `base`."""
    step = _stepper(function, theta, rest, base)
    return lax.map(lambda part: lax.map(lambda offset: step(part, offset), offsets), parts)


def slope_along(function: Scalar, theta: Values, rest: Values, base: Array, parts: Array) -> Array:
    """Return the slopes of a function along parts of `base`, by forward mode."""
    step = _stepper(function, theta, rest, base)
    return lax.map(lambda part: jax.jvp(lambda offset: step(part, offset), (0.0,), (1.0,))[1], parts)


def _stepper(function: Scalar, theta: Values, rest: Values, base: Array) -> Callable[[Array, Array], Array]:
    """Return the function after a step along a part of `base`: a range of its entries, and an offset times these."""
    with jax.numpy_dtype_promotion("standard"):  # The leaves may be of several dtypes.
        flat, rebuild = ravel_pytree(theta)
    place = jnp.arange(flat.size)

    def step(part, offset):
        direction = jnp.where((part[0] <= place) & (place < part[1]), base, 0)
        return function(rebuild(flat + (offset * direction).astype(flat.dtype)), rest)

    return step


def measure(function: Callable[..., object], theta: Values, rest: Values) -> tuple[float, int]:
    """Return the number of operations of a function, roughly, and the place in EPS of its coarsest dtype."""
    work, dtypes, programs = 0.0, set(), [(jax.jit(function).trace(theta, rest).jaxpr, 1)]
    while programs:
        program, times = programs.pop()
        for operation in program.eqns:
            arrays = [v.aval for v in (*operation.invars, *operation.outvars) if hasattr(v.aval, "dtype")]
            sizes = [float(array.size) for array in arrays]
            # The number of products of a matrix product is the root of the product of the three sizes.
            is_product = operation.primitive.name in ("dot_general", "conv_general_dilated")
            work += times * (_OVERHEAD + (math.sqrt(math.prod(sizes)) if is_product else sum(sizes)))
            dtypes |= {array.dtype for array in arrays}
            inside = [leaf for leaf in jax.tree.leaves([*operation.params.values()]) if hasattr(leaf, "eqns")]
            programs += [(inner, times * operation.params.get("length", 1)) for inner in inside]
    eps = [float(jnp.finfo(dtype).eps) for dtype in dtypes if jnp.issubdtype(dtype, np.inexact)]
    return work, sum(max(eps, default=0) > finer for finer in EPS[:-1])


class Along(NamedTuple):
    """The slopes of a function along some directions, per unit of their lengths."""

    by_hand: Values
    by_autodiff: Values | None
    slopes: np.ndarray  # (3, directions), of `measure_slopes`.


_PROGRAMS = Programs(evaluate, static_argnums=(0, 1))  # Of an oracle and what it is about.


class Point:
    """A function and its gradient at some arguments, in one dtype.

    Arguments:
        f: the functions. What is compiled for them serves other arguments of the same shapes.
        theta: the tree of the arrays whose gradient is checked.
        rest: the tree of the other arrays.
        quick: compile without optimizations.
    """

    def __init__(self, f: Functions, theta: Values, rest: Values, *, quick: bool = True) -> None:
        self.f, self._arguments, self._quick = f, (theta, rest), quick
        self.leaves = jax.tree.leaves(theta)
        self.value, *self.by_hand = self.run(take_gradient, f)
        self.default = self.by_hand  # At the device's default precision of matrix products, which rounds float32 only.
        if any(leaf.dtype == np.float32 for leaf in self.leaves):
            with jax.default_matmul_precision("default"):
                _, *self.default = self.run(take_gradient, f)
        run = self.run if f.is_reference else self.attempt
        self.by_grad = f.autodiff and run(differentiate, f.autodiff)
        # Number of operations, and the coarsest dtype of the function and of its gradient: places in EPS.
        self.work, self.level = measure(f.value, theta, rest)
        self.gradient_level = max(self.level, measure(f.by_hand, theta, rest)[1])

    def run(self, oracle: Callable[..., Values], f: Hashable, *more: object, at: Arguments | None = None) -> Values:
        """Return what an oracle computes of a function, here or at other arguments."""
        program = _PROGRAMS.get((oracle, f), UNOPTIMIZED if self._quick else None)
        return jax.device_get(program(oracle, f, *(at or self._arguments), *more))

    def attempt(self, oracle: Callable[..., Values], f: Hashable, *more: object) -> Values | None:
        """Return the same, or None if the function does not allow it."""
        try:
            return self.run(oracle, f, *more)
        except Exception:
            return None


def count_parts(sizes: list[int], work: float) -> list[int]:
    """Return in how many parts each leaf is varied: of a small problem, in its entries."""
    most = int(max(1, min(_MOST, _LARGE // (work * len(sizes) * len(FEW)))))
    return sizes if sum(sizes) * work <= _SMALL else [min(size, most) for size in sizes]


class Evidence(Point):
    """A point, and how the function changes around it: what the oracles know. Mostly in float64."""

    def __init__(self, f: Functions, theta: Values, rest: Values) -> None:
        super().__init__(f, theta, rest)
        self.derivatives = self.run(evaluate, f.derivatives) if f.derivatives else []
        self.reference = self.run(evaluate, f.autodiff) if f.is_reference else None
        self.jitter = np.array([self._measure_jitter(eps) for eps in EPS])
        sizes = [leaf.size for leaf in self.leaves]
        parts = count_parts(sizes, self.work)
        self.is_small = parts == sizes
        self.starts = np.cumsum([0, *sizes])
        ranges = [self.starts[k] + sizes[k] * np.arange(j, j + 2) // n for k, n in enumerate(parts) for j in range(n)]
        self._leaf = np.repeat(np.arange(len(parts)), parts)  # To which leaf each range belongs.
        self._along = self.vary(np.reshape(ranges, (-1, 2)))

    def along(self, k: int) -> Along:
        """Return the slopes along parts of leaf k: of a small problem, along each entry."""
        return jax.tree.map(lambda values: values[..., self._leaf == k], self._along)

    def vary(self, ranges: np.ndarray) -> Along:
        """Return the slopes along directions: ranges of entries, which are counted through all leaves."""
        coarse = self.level > 0
        steps = STEPS if self.is_small else FEW_COARSE if coarse else FEW
        rng, base = np.random.default_rng(0), []
        for leaf, h in zip(self.leaves, self.by_hand, strict=True):
            # In float64 there are digits enough for steps that fit an entry much smaller than others.
            unit = np.maximum(np.abs(finite(leaf)).ravel(), (1 if coarse else 2**-10) * (largest(leaf) or 1))
            # Along the gradient, where rounding matters least; but not quite, so that no error cancels.
            base.append(np.copysign(unit * rng.uniform(0.5, 1, leaf.size), finite(h)).astype(leaf.dtype))
        h, d = (np.concatenate(leaves, dtype=np.float64) for leaves in (self.by_hand, base))
        stepped = self.run(step_along, self.f.value, d, ranges, offsets(steps)).T.astype(np.float64)
        by_jvp = self.attempt(slope_along, self.f.autodiff or self.f.value, d, ranges)
        rounding = max(8 * EPS[self.level] * largest(stepped), 4 * self.jitter[self.level, 0])
        if coarse:  # Differences of the function in its dtype: how much short steps bend is rounding.
            middle, up, down = np.split(stepped, [1, 1 + len(steps)])
            rounding = max(rounding, 4 * largest((up - 2 * middle + down)[(len(steps) + 2) // 2 :]))
        length = np.array([np.linalg.norm(d[i:j]) for i, j in ranges])
        by_hand = np.array([h[i:j] @ d[i:j] for i, j in ranges]) / length
        slopes = measure_slopes(stepped, steps, rounding) / length
        return Along(by_hand, None if by_jvp is None else by_jvp / length, slopes)

    def _measure_jitter(self, eps: float) -> np.ndarray:
        """Return how much the value and each leaf change, at most, if the arguments change by a part of `eps`."""
        rng = np.random.default_rng(0)

        def change(leaf):
            return leaf * (1 + eps * rng.choice([-1, 1], leaf.shape)).astype(leaf.dtype)

        changed = (self.run(take_gradient, self.f, at=jax.tree.map(change, self._arguments)) for _ in range(_SAMPLES))
        return np.max([distances(results, [self.value, *self.by_hand]) for results in changed], axis=0)
