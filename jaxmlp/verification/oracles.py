"""The oracles: programs that compute the gradient of a function by hand and in other ways."""

import math
from collections.abc import Callable, Hashable
from functools import partial
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


class Functions(NamedTuple):
    """A scalar function of two lists of arrays, its gradient with respect to the first, and ways to check it."""

    value: Callable[[Leaves, Leaves], Array]
    by_hand: Callable[[Leaves, Leaves], Leaves]
    autodiff: Callable[[Leaves, Leaves], Array] | None  # The function that `jax.grad` differentiates, as an oracle.
    forward: Callable[[Leaves, Leaves], Array] | None  # The function that forward mode differentiates.
    reference: Callable[[Leaves, Leaves], Array] | None = None  # Another form of the function.
    derivatives: Callable[[Leaves, Leaves], list["Derivative"]] = lambda theta, rest: []


class Problem(NamedTuple):
    """What is checked, and where. Problems of the same shapes and `make` share their code."""

    theta: Leaves  # The arrays whose gradient is checked.
    rest: Leaves  # The other arrays.
    choices: tuple[Hashable, ...]  # What distinguishes the functions: activations and criterion.
    make: Callable[[tuple[Any, ...]], Functions]
    work: float  # Number of operations of an evaluation, roughly.
    eps: float  # Relative precision of the function: that of its coarsest dtype.
    gradient_eps: float  # The same of the gradient.

    @property
    def size(self) -> int:
        """Number of entries of the gradient."""
        return sum(leaf.size for leaf in self.theta)

    @property
    def varies_entries(self) -> bool:
        """Whether each entry is varied."""
        return self.size * self.work <= _SMALL

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


class References(NamedTuple):
    """What the oracles compute of a problem, mostly in float64."""

    gradients: Gradients
    jitter: list[Values]  # Largest change of the value and of each leaf if the arguments change by each precision.
    reference: Values | None  # The value of the other form.
    varied: Varied  # Along random directions of each leaf; then, of a small problem, each entry.
    by_jvp: Values | None  # Slope along the random directions by forward mode.
    derivatives: list[Derivative]


def take_gradients(problem: Problem) -> Gradients:
    """Return the gradients in the dtype of the problem."""
    f = problem.make(problem.choices)

    value, by_hand = f.value(problem.theta, problem.rest), f.by_hand(problem.theta, problem.rest)
    default = by_hand
    if any(leaf.dtype == jnp.float32 for leaf in problem.theta):  # Devices may round the products of this dtype only.
        with jax.default_matmul_precision("default"):
            default = f.by_hand(problem.theta, problem.rest)
    by_grad = jax.grad(f.autodiff)(problem.theta, problem.rest) if f.autodiff else None
    return Gradients(value, by_hand, by_grad, default)


def _jitter(problem: Problem, f: Functions) -> list[Array]:
    count, leaves = len(problem.theta), [*problem.theta, *problem.rest]

    def of_sample(pair):
        sample, change = pair
        signs = [jnp.sign(_random(leaf.shape, k, sample)).astype(leaf.dtype) for k, leaf in enumerate(leaves)]
        changed = [leaf * (1 + change.astype(leaf.dtype) * sign) for leaf, sign in zip(leaves, signs, strict=True)]
        return [f.value(changed[:count], changed[count:]), *f.by_hand(changed[:count], changed[count:])]

    changes = jnp.asarray([0, *np.repeat(PRECISIONS, _SAMPLES)])
    results = lax.map(of_sample, (jnp.arange(len(changes)), changes))
    return [
        jnp.max(jnp.abs(values - values[:1])[1:].reshape(len(PRECISIONS), -1), axis=1, initial=0) for values in results
    ]


def consult(problem: Problem) -> References:
    """Return what the oracles compute of a problem."""
    f = problem.make(problem.choices)
    gradients, random = take_gradients(problem), jnp.arange(problem.directions * len(problem.theta))
    entries = jnp.arange(len(random), len(random) + problem.size if problem.varies_entries else len(random))

    def slope(forward, k):
        d = _direction(problem, gradients.by_hand, k)
        return jax.jvp(lambda theta: forward(theta, problem.rest), (problem.theta,), (d,))[1]

    return References(
        gradients=gradients,
        jitter=_jitter(problem, f),
        reference=f.reference and f.reference(problem.theta, problem.rest),
        varied=_vary(problem, f, gradients.by_hand, jnp.concatenate([random, entries])),
        by_jvp=f.forward and lax.map(partial(slope, f.forward), random),
        derivatives=f.derivatives(problem.theta, problem.rest),
    )


def vary_entries(problem: Problem, entries: Values) -> Varied:
    """Return the function along the directions of some entries, which are counted through all leaves."""
    f = problem.make(problem.choices)
    by_hand = f.by_hand(problem.theta, problem.rest)
    return _vary(problem, f, by_hand, jnp.asarray(entries) + problem.directions * len(problem.theta))


def _vary(problem: Problem, f: Functions, by_hand: Leaves, directions: Array) -> Varied:
    def along(k):
        d = _direction(problem, by_hand, k)

        def step(offset):
            theta = [leaf + offset.astype(leaf.dtype) * v for leaf, v in zip(problem.theta, d, strict=True)]
            return f.value(theta, problem.rest)

        slope = sum(jnp.sum(h.astype(float) * v.astype(float)) for h, v in zip(by_hand, d, strict=True))
        squares = sum(jnp.sum(jnp.square(v.astype(float))) for v in d)
        return Varied(lax.map(step, jnp.asarray(offsets(problem.steps))), jnp.sqrt(squares), slope)

    return lax.map(along, directions)


def _direction(problem: Problem, by_hand: Leaves, k: Array) -> Leaves:
    """Return direction k: a random one of each leaf in turn, then the entries."""
    count, directions = problem.directions, []
    start = count * len(problem.theta)
    for place, (theta, h) in enumerate(zip(problem.theta, by_hand, strict=True)):
        h = h.astype(theta.dtype)
        largest = _largest(theta)
        # Partly along the gradient, where rounding matters least, and partly at random, where no error cancels.
        rms = _largest(h) * jnp.sqrt(jnp.mean(jnp.square(h / _largest(h)))) if h.size else 1
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
