"""The oracles: programs that compute the gradient of a function by hand and in other ways."""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxmlp.verification.differences import FEW, FEW_COARSE, STEPS, offsets

# Each entry of a small problem is varied: entries times operations at most.
_SMALL = 2**28
# Each leaf is also varied along this number of random directions; of a large problem along fewer, to bound the time.
_MOST, _LARGE = 4, 2**33
# Precision of float64, float32 and bfloat16, and how often the arguments are changed by as much to measure rounding.
PRECISIONS, _SAMPLES = np.array([2.0**-52, 2.0**-23, 2.0**-7]), 2

Values = Any  # Arrays of JAX inside the programs, of NumPy in their results.
Leaves = list[Values]
Scalar = Callable[[Leaves, Leaves], Array]


class Functions(NamedTuple):
    """A scalar function of two lists of arrays, its gradient with respect to the first, and ways to check it."""

    value: Scalar
    by_hand: Callable[[Leaves, Leaves], Leaves]
    autodiff: Scalar | None  # The function that `jax.grad` differentiates, as an oracle.
    forward: Scalar | None  # The function that forward mode differentiates.
    reference: Scalar | None = None  # Another form of the function.
    derivatives: Callable[[Leaves, Leaves], list["Derivative"]] = lambda theta, rest: []


class Problem(NamedTuple):
    """What is checked, and where."""

    f: Functions
    theta: Leaves  # The arrays whose gradient is checked.
    rest: Leaves  # The other arrays.
    work: float  # Number of operations of an evaluation, roughly.
    eps: float  # Relative precision of the function: that of its coarsest dtype.
    gradient_eps: float  # The same of the gradient, or that of the function if it is coarser.

    @property
    def varies_entries(self) -> bool:
        """Whether each entry is varied."""
        return sum(leaf.size for leaf in self.theta) * self.work <= _SMALL

    @property
    def directions(self) -> int:
        """Number of random directions of each leaf."""
        return int(max(1, min(_MOST, _LARGE // (self.work * max(1, len(self.theta)) * len(FEW)))))

    @property
    def steps(self) -> np.ndarray:
        """The steps of the differences."""
        return STEPS if self.varies_entries else FEW if self.eps < 2**-40 else FEW_COARSE


class Gradients(NamedTuple):
    """The gradient of a problem in its dtype."""

    value: Values
    by_hand: Leaves
    by_grad: Leaves | None
    default: Leaves  # By hand, at the device's default precision of matrix products.


class Derivative(NamedTuple):
    """The derivative of an activation or criterion."""

    at: Values  # The pre-activations.
    by_hand: Values
    by_grad: Values
    stepped: Values  # Values of the function, for `measure_slopes`.


class Varied(NamedTuple):
    """The function along some directions."""

    stepped: Values  # (directions, 1 + 2 steps) values, for `measure_slopes`.
    length: Values  # Norm of each direction.
    by_hand: Values  # Slope by hand.
    by_jvp: Values | None  # By forward mode.


class References(NamedTuple):
    """What the oracles compute of a problem, mostly in float64."""

    gradients: Gradients
    jitter: list[Values]  # Largest change of the value and of each leaf if the arguments change by each precision.
    reference: Values | None  # The value of the other form.
    varied: Varied  # Along random directions of each leaf; then, of a small problem, each entry.
    derivatives: list[Derivative]


def take_gradients(problem: Problem) -> Gradients:
    """Return the gradients in the dtype of the problem."""
    f, *arrays = problem[:3]
    value, by_hand = f.value(*arrays), f.by_hand(*arrays)
    default = by_hand
    if any(leaf.dtype == jnp.float32 for leaf in problem.theta):  # Devices may round the products of this dtype only.
        with jax.default_matmul_precision("default"):
            default = f.by_hand(*arrays)
    return Gradients(value, by_hand, f.autodiff and jax.grad(f.autodiff)(*arrays), default)


def consult(problem: Problem) -> References:
    """Return what the oracles compute of a problem."""
    f, theta, rest = problem[:3]
    changes = jnp.asarray([0, *np.repeat(PRECISIONS, _SAMPLES)])

    def change(pair):
        def move(k, leaf):
            return leaf * (
                1 + pair[1].astype(leaf.dtype) * jnp.sign(_random(leaf.shape, k, pair[0])).astype(leaf.dtype)
            )

        changed = list(itertools.starmap(move, enumerate([*theta, *rest])))
        arrays = changed[: len(theta)], changed[len(theta) :]
        return [f.value(*arrays), *f.by_hand(*arrays)]

    results = lax.map(change, (jnp.arange(len(changes)), changes))
    value, *by_hand = [values[0] for values in results]
    differences = [jnp.abs(values - values[:1])[1:].reshape(len(PRECISIONS), -1) for values in results]

    random = jnp.arange(problem.directions * len(theta))
    entries = jnp.arange(sum(leaf.size for leaf in theta) if problem.varies_entries else 0)
    return References(
        gradients=Gradients(value, by_hand, f.autodiff and jax.grad(f.autodiff)(theta, rest), by_hand),
        jitter=[jnp.max(values, axis=1, initial=0) for values in differences],
        reference=f.reference and f.reference(theta, rest),
        varied=_vary(problem, by_hand, jnp.concatenate([random, entries + len(random)])),
        derivatives=f.derivatives(theta, rest),
    )


def vary_entries(problem: Problem, entries: Values) -> Varied:
    """Return the function along the directions of some entries, which are counted through all leaves."""
    by_hand = problem.f.by_hand(problem.theta, problem.rest)
    return _vary(problem, by_hand, jnp.asarray(entries) + problem.directions * len(problem.theta))


def _vary(problem: Problem, by_hand: Leaves, directions: Array) -> Varied:
    f, theta, rest = problem[:3]

    def along(k):
        d = _direction(problem, by_hand, k)

        def step(offset):
            return f.value([leaf + offset.astype(leaf.dtype) * v for leaf, v in zip(theta, d, strict=True)], rest)

        slope = sum(jnp.sum(h.astype(float) * v.astype(float)) for h, v in zip(by_hand, d, strict=True))
        squares = sum(jnp.sum(jnp.square(v.astype(float))) for v in d)
        by_jvp = f.forward and jax.jvp(lambda *leaves: f.forward([*leaves], rest), theta, d)[1]  # type: ignore[misc]
        return Varied(lax.map(step, jnp.asarray(offsets(problem.steps))), jnp.sqrt(squares), slope, by_jvp)

    return lax.map(along, directions)


def _direction(problem: Problem, by_hand: Leaves, k: Array) -> Leaves:
    """Return direction k: a random one of each leaf in turn, then the entries."""
    count, directions = problem.directions, []
    start = count * len(problem.theta)
    for place, (theta, h) in enumerate(zip(problem.theta, by_hand, strict=True)):
        largest, h = _largest(theta), h.astype(theta.dtype) / _largest(h).astype(theta.dtype)
        # Partly along the gradient, where rounding matters least, and partly at random, where no error cancels.
        rms = jnp.sqrt(jnp.sum(jnp.square(h)) / max(1, h.size))
        random = largest * (h / jnp.where(rms > 0, rms, 1) + _random(h.shape, place, k).astype(h.dtype))
        # In float64 there are digits enough for steps that fit an entry much smaller than others.
        unit = jnp.maximum(jnp.abs(theta), largest * (2**-10 if problem.eps < 2**-40 else 1))
        entry = jnp.where(jnp.arange(start, start + theta.size).reshape(theta.shape) == k, unit, 0)
        directions.append(jnp.where(k // count == place, random, entry).astype(theta.dtype))
        start += theta.size
    return directions


def _random(shape: tuple[int, ...], place: int, sample: Array) -> Array:
    """Return numbers between -√3 and √3 for a leaf, of mean 0 and variance 1; always the same."""
    seed = (jnp.uint32(place) * 1024 + sample.astype(jnp.uint32)) * jnp.uint32(0x9E3779B1)
    bits = jnp.arange(math.prod(shape), dtype=jnp.uint32) + seed
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):  # The hash "lowbias32" of Chris Wellons.
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    return (math.sqrt(3) * (bits.astype(jnp.float32) * 2.0**-31 - 1)).reshape(shape)


def _largest(leaf: Array) -> Array:
    """Return the largest entry, or 1 if that is 0."""
    largest = jnp.max(jnp.abs(leaf), initial=0)
    return jnp.where(largest > 0, largest, 1).astype(leaf.dtype)
