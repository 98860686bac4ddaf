"""What the oracles compute of a function at some arguments: gradients, slopes along directions, effects of rounding."""

import functools
import itertools
from collections.abc import Callable, Hashable
from typing import NamedTuple

import jax
import numpy as np

from jaxmlp._programs import Programs
from jaxmlp.verification import oracles
from jaxmlp.verification.differences import FEW, FEW_COARSE, STEPS, measure_slopes, offsets
from jaxmlp.verification.oracles import EPS, Arguments, Functions, Leaves, Result, Values

# Without optimizations: compiling and running a program once then takes less time.
UNOPTIMIZED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
# Each entry of a small problem is varied: entries times operations at most.
_SMALL = 2**28
# Each leaf of a larger one is varied in this number of parts, or in fewer, to bound the time.
_MOST, _LARGE = 4, 2**33
_SAMPLES = 2  # How often the arguments are changed by each precision to measure rounding.

Scale = tuple[float, float]  # Size of a leaf, and what its errors are relative to.


@functools.cache
def _programs(oracle: Callable[..., object]) -> Programs:
    return Programs(oracle, static_argnums=0)


class Point:
    """A function and its gradient at some arguments, in one dtype.

    Arguments:
        f: the functions. What is compiled for them serves other arguments of the same shapes.
        theta: the arrays whose gradient is checked.
        rest: the other arrays.
        quick: compile without optimizations.
    """

    def __init__(self, f: Functions, theta: Leaves, rest: Leaves, *, quick: bool = True) -> None:
        self.f, self.theta, self.rest, self._quick = f, theta, rest, quick
        self.value, self.by_hand = self.run(oracles.take_gradient, f)
        self.default = self.by_hand  # At the device's default precision of matrix products, which rounds float32 only.
        if any(leaf.dtype == np.float32 for leaf in theta):
            with jax.default_matmul_precision("default"):
                self.default = self.run(oracles.take_gradient, f)[1]
        differentiate = self.run if f.is_reference else self.attempt
        self.by_grad = f.autodiff and differentiate(oracles.differentiate, f.autodiff)
        # Number of operations, and the coarsest dtype of the function and of its gradient: places in EPS.
        self.work, self.level = oracles.measure(f.value, theta, rest)
        self.gradient_level = max(self.level, oracles.measure(f.by_hand, theta, rest)[1])

    def run(self, oracle: Callable[..., Result], f: Hashable, *more: object, at: Arguments | None = None) -> Result:
        """Return what an oracle computes of a function, here or at other arguments."""
        program = _programs(oracle).get(f, UNOPTIMIZED if self._quick else None)
        return jax.device_get(program(f, *(at or (self.theta, self.rest)), *more))

    def attempt(self, oracle: Callable[..., Result], f: Hashable, *more: object) -> Result | None:
        """Return the same, or None if the function does not allow it."""
        try:
            return self.run(oracle, f, *more)
        except Exception:
            return None


def count_parts(sizes: list[int], work: float) -> list[int]:
    """Return in how many parts each leaf is varied: of a small problem, in its entries."""
    most = int(max(1, min(_MOST, _LARGE // (work * len(sizes) * len(FEW)))))
    return sizes if sum(sizes) * work <= _SMALL else [min(size, most) for size in sizes]


class Along(NamedTuple):
    """A function along some directions, per unit of their lengths."""

    by_hand: Values
    by_autodiff: Values | None
    slopes: np.ndarray  # (3, directions), of `measure_slopes`.


class Evidence(Point):
    """A point, and how the function changes around it: what the oracles know. Mostly in float64."""

    def __init__(self, f: Functions, theta: Leaves, rest: Leaves) -> None:
        super().__init__(f, theta, rest)
        self.derivatives = self.run(oracles.evaluate, f.derivatives) if f.derivatives else []
        self.jitter = np.array([self._measure_jitter(eps) for eps in EPS])
        sizes = [leaf.size for leaf in theta]
        parts = count_parts(sizes, self.work)
        self.is_small = parts == sizes
        self.starts, self._parts = ([0, *itertools.accumulate(counts)] for counts in (sizes, parts))
        leaves = zip(self.starts[:-1], sizes, parts, strict=True)
        ranges = [[start + size * k // n for k in (j, j + 1)] for start, size, n in leaves for j in range(n)]
        self._along = self.vary(np.reshape(ranges, (-1, 2)))

    def along(self, k: int) -> Along:
        """Return the function along parts of leaf k: of a small problem, along each entry."""
        part = slice(*self._parts[k : k + 2])
        return jax.tree.map(lambda values: values[..., part], self._along)

    def vary(self, ranges: np.ndarray) -> Along:
        """Return the function along directions: ranges of entries, which are counted through all leaves."""
        steps, rng, base = STEPS if self.is_small else FEW_COARSE if self.level else FEW, np.random.default_rng(0), []
        for leaf, h in zip(self.theta, self.by_hand, strict=True):
            # In float64 there are digits enough for steps that fit an entry much smaller than others.
            unit = np.maximum(np.abs(finite(leaf)), (1 if self.level else 2**-10) * (largest(leaf) or 1))
            # Along the gradient, where rounding matters least; but not quite, so that no error cancels.
            signs = np.reshape(finite(h), leaf.shape)
            base.append(np.copysign(unit * rng.uniform(0.5, 1, leaf.shape), signs).astype(leaf.dtype))
        stepped = self.run(oracles.step_along, self.f.value, base, ranges, offsets(steps)).T.astype(np.float64)
        by_jvp = self.attempt(oracles.slope_along, self.f.autodiff or self.f.value, base, ranges)
        rounding = max(8 * EPS[self.level] * largest(stepped), 4 * self.jitter[self.level, 0])
        if self.level:  # Differences of the function in its dtype: how much short steps bend is rounding.
            middle, up, down = np.split(stepped, [1, 1 + len(steps)])
            rounding = max(rounding, 4 * largest((up - 2 * middle + down)[(len(steps) + 2) // 2 :]))
        h, d = (np.concatenate([np.ravel(leaf).astype(float) for leaf in leaves]) for leaves in (self.by_hand, base))
        parts = [slice(*bounds) for bounds in ranges]
        length = np.array([np.linalg.norm(d[part]) for part in parts])
        by_hand = np.array([h[part] @ d[part] for part in parts]) / length
        slopes = measure_slopes(stepped, steps, rounding) / length
        return Along(by_hand, None if by_jvp is None else by_jvp / length, slopes)

    def _measure_jitter(self, eps: float) -> np.ndarray:
        """Return how much the value and each leaf change, at most, if the arguments change by a part of `eps`."""
        rng, changes = np.random.default_rng(0), []

        def change(leaf):
            return leaf * (1 + eps * rng.choice([-1, 1], leaf.shape)).astype(leaf.dtype)

        for _ in range(_SAMPLES):
            at = jax.tree.map(change, (self.theta, self.rest))
            value, by_hand = self.run(oracles.take_gradient, self.f, at=at)
            pairs = zip([value, *by_hand], [self.value, *self.by_hand], strict=True)
            changes.append([largest(finite(new) - finite(old)) for new, old in pairs])
        return np.max(changes, axis=0)

    def measure_scales(self, level: int) -> list[Scale]:
        """Return the size of each leaf, its largest entry, and its scale: where large terms cancel in it, their size.

        If the arguments change by one part in a million, so does each term, and the gradient by a millionth of the
        terms. A gradient of 0 may be a sum of terms that do not: of a sixteenth of the slope from the origin, say.
        """
        lost, scales = max(2**-30, 2 * EPS[self.level]), []
        for k, leaf in enumerate(self.theta):
            size = max(largest(leaves[k]) for leaves in (self.by_hand, self.by_grad or self.by_hand))
            terms, secant = self.jitter[level, 1 + k] / EPS[level], largest(self.value) / (largest(leaf) or 1)
            scales.append((size, max(size, terms, secant / 16 if size < secant * lost else 0)))
        # With so few digits a leaf may lose all of them to cancelling: relative to the largest leaf.
        return [(max(map(max, scales)),) * 2] * len(scales) if level == 2 else scales


def finite(values: Values) -> np.ndarray:
    """Return values in float64, and 0 for those that are not finite."""
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values), values, 0)


def largest(values: Values) -> float:
    """Return the largest finite absolute value, or 0."""
    return float(np.max(np.abs(finite(values)), initial=0))
