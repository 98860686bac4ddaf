"""From the results of the oracles to findings: which differences are errors, and which are rounding or a kink."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmlp.verification.differences import STEPS, Slopes, measure_slopes
from jaxmlp.verification.oracles import PRECISIONS, Gradients, Leaves, Problem, References, Values, Varied
from jaxmlp.verification.report import BOUNDS, CENTRAL_BOUND, Finding, GradientReport

# An oracle decides if its tolerance, relative to the gradient, is below this or twice its bound.
_DECISIVE = 5e-3
_KINK = 1e-6  # One-sided slopes that differ by more, relative to the gradient, are those of a kink.
_LOST = 2e-3  # How much of a gradient a right function may lose to rounding in float32.
_TRIED = 32  # Of a large leaf, the number of entries that are varied if they disagree with autodiff.
_NAMES = "float64", "float32", "bfloat16"  # For PRECISIONS.


class _Pair(NamedTuple):
    """A comparison of values with an oracle."""

    oracle: str
    actual: Values
    expected: Values | Slopes
    scale: float | np.ndarray  # Errors are relative to it: `size`, or if larger, to what the oracle cannot see.
    size: float | np.ndarray  # Of the gradient.
    bound: float  # Largest error that is right.


class Case(NamedTuple):
    """What is known of a gradient."""

    problem: Problem  # In its dtype.
    own: Gradients
    double: Problem  # In the dtype of the oracles, mostly float64.
    references: References  # What the oracles computed of it.
    names: list[str]  # Of the leaves.
    vary: Callable[[np.ndarray], Varied]  # The function along entries of a large problem that disagree with autodiff.

    @property
    def rounding(self) -> float:
        """Error of the values along directions."""
        eps, stepped = self.double.eps, self.references.varied.stepped
        rounding = max(8 * eps * _largest(stepped), 4 * float(self.references.jitter[0][_level(eps)]))
        if eps > 2**-40:  # Differences of the function in its dtype: how much short steps bend is rounding.
            count = len(self.double.steps)
            middle, up, down = np.split(np.asarray(stepped, np.float64), [1, 1 + count], axis=1)
            rounding = max(rounding, 4 * _largest((up - 2 * middle + down)[:, (count + 2) // 2 :]))
        return rounding

    def scales(self, eps: float) -> list[float]:
        """Return the scale of each leaf: its largest entry or, where large terms cancel in it, their size.

        If the arguments change by one part in a million, so does each term, and the gradient by a millionth of the
        terms. A gradient of 0 may be a sum of terms that do not: of a sixteenth of the slope from the origin, say.
        """
        level, lost, scales = _level(eps), max(2**-30, 2 * self.double.eps), []
        for k, (leaf, jitter) in enumerate(zip(self.double.theta, self.references.jitter[1:], strict=True)):
            size, secant = self.size(k), _largest(self.references.gradients.value) / (_largest(leaf) or 1)
            scales.append(max(size, jitter[level] / PRECISIONS[level], secant / 16 if size < secant * lost else 0))
        # With so few digits a leaf may lose all of them to cancelling: relative to the largest leaf.
        return [max(scales)] * len(scales) if eps > 2**-20 else scales

    def size(self, k: int) -> float:
        """Return the size of the gradient of leaf k."""
        right = self.references.gradients
        return max(_largest(leaves[k]) for leaves in (right.by_hand, right.by_grad or right.by_hand))


def same_value(own: Gradients, references: References, eps: float) -> bool:
    """Return whether a function has the value in float64 that it has in its dtype, but for rounding."""
    value, jitter = references.gradients.value, references.jitter[0][_level(eps)]
    return abs(float(own.value) - float(value)) <= math.sqrt(eps) * (abs(value) + jitter / PRECISIONS[_level(eps)])


def judge(case: Case, about: dict[str, Any]) -> GradientReport:
    """Return the report on a gradient; `about` holds fields of it."""
    problem, own, double, references = case[:4]
    right, findings, start, rounding = references.gradients, [], 0, case.rounding
    scales, own_scales = case.scales(double.gradient_eps), case.scales(problem.gradient_eps)
    for k, d in enumerate(references.derivatives):
        name = "criterion" if k == len(references.derivatives) - 1 else f"activation[{k}]"
        # A flat function has no slope to be relative to; use the slope from the origin.
        size = max(_largest(d.by_grad), _largest(d.stepped[0]) / max(1.0, _largest(d.at)))
        slopes = measure_slopes(d.stepped, STEPS, 8 * PRECISIONS[0] * np.abs(d.stepped).max(axis=0))
        pairs = [_Pair("jax.grad", d.by_hand, d.by_grad, size, size, BOUNDS["float64"])]
        pairs.append(_Pair("central differences", d.by_hand, slopes, size, size, CENTRAL_BOUND))
        findings += _judge_entries(f"{name}.derivative", d.at.shape, pairs, slopes, at=d.at)
    if references.reference is not None:
        scale = max(_largest(right.value), rounding / double.eps)
        pair = _Pair("reference", right.value, references.reference, scale, scale, _bound(double.gradient_eps))
        findings.append(_compare("value", (), pair))
    for k, leaf in enumerate(double.theta):
        if leaf.size:
            pairs = list(_autodiff_pairs(case, k, scales[k], own_scales[k]))
            findings += _judge_leaf(case, k, start, pairs, rounding, scales[k])
        start += leaf.size
    return GradientReport(
        findings=tuple(findings),
        dtype=_NAMES[_level(problem.gradient_eps)],
        device=jax.devices()[0].device_kind,
        rounding=_worst_change(right.by_hand, own.by_hand, own_scales),
        default_precision=_worst_change(own.by_hand, own.default, own_scales),
        **about,
    )


def _autodiff_pairs(case: Case, k: int, scale: float, own_scale: float) -> Iterator[_Pair]:
    """Yield the comparisons of leaf k with autodiff or, if there is none, with itself in float64."""
    problem, own, double, right, eps = *case[:3], case.references.gradients, case.problem.gradient_eps
    size, name = case.size(k), "jax.grad" + " of reference" * bool(problem.f.reference)
    own_size = own_scale if eps > 2**-20 else size
    if own.by_grad and right.by_grad:
        yield _Pair(name, own.by_hand[k], own.by_grad[k], own_scale, own_size, _bound(eps))
    if double.gradient_eps < eps:
        where = f" in {_NAMES[_level(double.eps)]}"
        if right.by_grad:
            yield _Pair(name + where, right.by_hand[k], right.by_grad[k], scale, size, _bound(double.gradient_eps))
        else:
            bound = max(_LOST, _bound(eps))
            yield _Pair("itself" + where, own.by_hand[k], right.by_hand[k], own_scale, own_size, bound)


def _judge_leaf(case: Case, k: int, start: int, pairs: list[_Pair], rounding: float, scale: float) -> Iterator[Finding]:
    """Yield the findings on leaf k, whose first entry is `start` of all leaves."""
    double, varied, name, size = case.double, case.references.varied, case.names[k], case.size(k)
    by_hand, shape = case.references.gradients.by_hand[k], double.theta[k].shape

    def measure(varied, chosen, length: Any = 1):
        slopes = measure_slopes(np.asarray(varied.stepped)[chosen].T, double.steps, rounding)
        return Slopes(*(values / length for values in slopes))

    differences = "central differences" + f" in {_NAMES[_level(double.eps)]}" * (double.eps > 2**-40)
    entries, slopes = np.arange(by_hand.size), None
    if double.varies_entries:
        chosen = len(double.theta) * double.directions + start + entries
        slopes = measure(varied, chosen, varied.length[chosen])
        pairs.append(_Pair(differences, by_hand, slopes, size, size, CENTRAL_BOUND))
    elif not all(_compare(name, shape, pair).ok for pair in pairs):
        error = sum(_relative(np.ravel(pair.actual), np.ravel(pair.expected), pair.scale) for pair in pairs)
        entries = np.argsort(-error, kind="stable")[:_TRIED]
        of_entries = case.vary(start + entries)
        slopes = measure(of_entries, slice(None), of_entries.length)
    yield from _judge_entries(name, shape, pairs, slopes, entries)

    of_leaf = slice(k * double.directions, (k + 1) * double.directions)
    length, slope, random = varied.length[of_leaf], varied.by_hand[of_leaf], measure(varied, of_leaf)
    base = float(np.linalg.norm(np.ravel(_finite(by_hand)))) * length
    # One-sided slopes do not bound the gradient along a direction in which several terms have a kink.
    kinks = random.high - random.low > np.maximum(_KINK * base, random.doubt)
    if not double.varies_entries:
        yield _compare(name, shape, _Pair(differences, slope, random, base, base, CENTRAL_BOUND), kinks, random=True)
    if varied.by_jvp is not None:
        scales = np.maximum(base, scale * length)
        bound = max(_bound(double.gradient_eps), _LOST if double.eps > 2**-40 else 0)
        pair = _Pair("adjoint identity", slope, varied.by_jvp[of_leaf], scales, base, bound)
        yield _compare(name, shape, pair, kinks, random=True)


def _judge_entries(
    name: str,
    shape: tuple[int, ...],
    pairs: list[_Pair],
    slopes: Slopes | None,
    entries: np.ndarray | slice = slice(None),
    at: Values | None = None,
) -> Iterator[Finding]:
    """Yield the findings on pairs of entries, some of which have slopes: at a kink, each between them is right."""
    for pair in pairs:
        excused = None
        if slopes is not None:
            low, high, doubt = map(np.ravel, slopes)
            actual = np.ravel(np.asarray(pair.actual, np.float64))
            if isinstance(pair.expected, Slopes):
                excused = high - low > _DECISIVE * pair.size
            else:
                right = high - low > np.maximum(_KINK * pair.size, doubt)
                outside = Slopes(low, high, doubt).distance(actual[entries])
                right &= outside <= doubt + max(pair.bound, CENTRAL_BOUND) * pair.size
                excused = np.full(actual.shape, False)
                excused[entries] = right
                if len(right) < len(actual):  # If the largest disagreements are kinks, so are the others.
                    wrong = _relative(actual, np.ravel(pair.expected), pair.scale) > pair.bound
                    excused |= wrong & (right | ~wrong[entries]).all()
        yield _compare(name, shape, pair, excused, at=at)


def _compare(
    name: str,
    shape: tuple[int, ...],
    pair: _Pair,
    excused: np.ndarray | None = None,
    *,
    at: Values | None = None,
    random: bool = False,
) -> Finding:
    """Find the largest error among the entries of an array of `shape`, or among random directions."""
    oracle, actual, right, scale, size, bound = pair
    actual = np.ravel(np.asarray(actual, np.float64))
    is_judged = isinstance(right, Slopes) and not random  # Entries are, by a wide tolerance, even if undecided.
    if isinstance(right, Slopes):
        low, high, doubt = map(np.ravel, right)
        scale = scale + doubt / bound
        with np.errstate(invalid="ignore"):
            right = np.where(np.isfinite(doubt), np.clip(actual, low, high), actual)
    right = np.ravel(np.asarray(right, np.float64))
    undecided = (scale * bound > np.maximum(_DECISIVE, 2 * bound) * size) & (size > 0)
    undecided = np.broadcast_to(undecided if excused is None else undecided | excused, actual.shape)
    error = np.where(undecided & (not is_judged), 0, _relative(actual, right, scale))
    worst = int(np.argmax(error))
    where = None if random else tuple(int(i) for i in np.unravel_index(worst, shape))
    numbers = float(actual[worst]), float(right[worst]), None if at is None else float(np.ravel(at)[worst])
    counts = int((~undecided).sum()), int(undecided.sum())
    return Finding(name, shape, oracle, float(error[worst]), bound, where, *numbers, *counts)


def _level(eps: float) -> int:
    """Return the place in PRECISIONS and _NAMES of a precision, or of the next coarser one."""
    return 0 if eps < 2**-40 else 1 if eps < 2**-20 else 2


def _bound(eps: float) -> float:
    return BOUNDS[_NAMES[_level(eps)]]


def _worst_change(before: Leaves, after: Leaves, scales: list[float]) -> float:
    return max(_largest(_relative(*pair)) for pair in zip(after, before, scales, strict=True))


def _relative(actual: Values, expected: Values, scale: float | np.ndarray) -> np.ndarray:
    """Return the error of each entry in units of `scale`; infinite where a number is not finite."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    with np.errstate(all="ignore"):
        error = np.where(actual == expected, 0.0, np.abs(actual - expected) / scale)
    return np.where(np.isfinite(actual) & np.isfinite(expected) & np.isfinite(error), error, np.inf)


def _finite(values: Values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values), values, 0)


def _largest(values: Values) -> float:
    return float(np.max(np.abs(_finite(values)), initial=0))
