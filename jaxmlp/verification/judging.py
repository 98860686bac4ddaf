"""From the results of the oracles to findings: which differences are errors, and which are rounding or a kink."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmlp.verification.differences import STEPS, measure_slopes
from jaxmlp.verification.oracles import Derivative, Leaves, Values, evaluate
from jaxmlp.verification.points import EPS, Along, Evidence, Point, Scale, finite, largest
from jaxmlp.verification.report import BOUNDS, CENTRAL_BOUND, Finding, GradientReport

# An oracle decides if what it allows, relative to the gradient, spans less than this or twice its bound.
_DECISIVE = 5e-3
_KINK = 1e-6  # One-sided slopes that differ by more, relative to the gradient, are those of a kink.
_LOST = 2e-3  # How much of a gradient a right function may lose to rounding in float32.
_TRIED = 32  # Of a large leaf, the number of entries that are varied if they disagree with autodiff.
_NAMES, _BOUNDS = [*BOUNDS], [*BOUNDS.values()]


class Claim(NamedTuple):
    """Which numbers are right by an oracle."""

    oracle: str
    by_hand: np.ndarray  # (values,)
    right: np.ndarray  # (3, values): the least right number, the greatest, and the tolerance.
    size: float  # Of the gradient.
    bound: float  # The tolerance relative to `size`, but for what the oracle cannot see.


def claim(oracle: str, by_hand: Values, expected: Values, scale: tuple[float, float], bound: float) -> Claim:
    """Return the claim that values are right within a bound, relative to their size and scale."""
    by_hand, expected = (np.ravel(np.asarray(values, np.float64)) for values in (by_hand, expected))
    right = np.stack([expected, expected, np.full(expected.shape, bound * max(scale))])
    return Claim(oracle, by_hand, right, scale[0], bound)


def claim_slopes(where: str, by_hand: Values, slopes: np.ndarray, size: float) -> Claim:
    """Return the claim that values are right if they are slopes."""
    right = slopes + np.array([[0], [0], [CENTRAL_BOUND * size]])
    return Claim(f"central differences{where}", np.ravel(np.asarray(by_hand, np.float64)), right, size, CENTRAL_BOUND)


def find(
    name: str,
    shape: tuple[int, ...],
    claim: Claim,
    *,
    entries: np.ndarray | None = None,
    slopes: np.ndarray | None = None,
    at: Values = None,
) -> Finding:
    """Compare values by hand with what is right by an oracle.

    Arguments:
        name: of the leaf or derivative.
        shape: of the leaf or derivative.
        claim: on its entries, or on directions.
        entries: places of the values in the leaf; None for directions.
        slopes: by differences; at a kink each value between them is right.
        at: pre-activations of the values.

    Returns:
        The largest error.
    """
    oracle, by_hand, (low, high, tolerance), size, bound = claim
    if slopes is not None:
        is_kink = slopes[1] - slopes[0] > np.maximum(_KINK * size, slopes[2])
        low = np.where(is_kink, np.minimum(low, slopes[0]), low)
        high = np.where(is_kink, np.maximum(high, slopes[1]), high)
        tolerance = np.where(is_kink, np.maximum(tolerance, slopes[2] + CENTRAL_BOUND * size), tolerance)
        if entries is None:  # In a direction in which several terms have a kink, more is right.
            tolerance = np.where(is_kink, np.inf, tolerance)
    expected = np.clip(by_hand, low, high)
    with np.errstate(all="ignore"):
        error = np.where(by_hand == expected, 0, bound * np.abs(by_hand - expected) / tolerance)
        is_undecided = (high - low + tolerance > max(_DECISIVE, 2 * bound) * size) & (size > 0)
    error = np.where(np.isfinite(by_hand) & np.isfinite(error), error, np.inf)
    worst, undecided = int(np.argmax(error)), int(np.sum(is_undecided))
    where = None if entries is None else tuple(int(i) for i in np.unravel_index(entries[worst], shape))
    numbers = float(by_hand[worst]), float(expected[worst]), None if at is None else float(np.ravel(at)[worst])
    return Finding(name, shape, oracle, float(error[worst]), bound, where, *numbers, error.size - undecided, undecided)


def judge(own: Point, evidence: Evidence, names: list[str], about: dict[str, Any]) -> GradientReport:
    """Return the report on the gradient at a point; `about` holds fields of it."""
    findings = [*_judge_derivatives(evidence.derivatives)]
    if evidence.f.is_reference:
        size = max(largest(evidence.value), 4 * evidence.jitter[evidence.level, 0] / EPS[evidence.level])
        reference = evidence.run(evaluate, evidence.f.autodiff)
        pair = claim("reference", evidence.value, reference, (size, size), _BOUNDS[evidence.gradient_level])
        findings.append(find("value", (), pair, entries=np.arange(1)))
    own_scales, scales = (evidence.measure_scales(point.gradient_level) for point in (own, evidence))
    for k, name in enumerate(names):
        if own.theta[k].size:
            findings += _judge_leaf(k, name, own, evidence, own_scales[k], scales[k])
    return GradientReport(
        findings=tuple(findings),
        dtype=_NAMES[own.gradient_level],
        device=jax.devices()[0].device_kind,
        rounding=_largest_change(evidence.by_hand, own.by_hand, own_scales),
        default_precision=_largest_change(own.by_hand, own.default, own_scales),
        **about,
    )


def _judge_derivatives(derivatives: list[Derivative]) -> Iterator[Finding]:
    """Yield the findings on the derivatives of activations and, last, of the criterion."""
    for k, (at, by_hand, by_grad, stepped) in enumerate(derivatives):
        name = "criterion" if k == len(derivatives) - 1 else f"activation[{k}]"
        # A flat function has no slope to be relative to; use the slope from the origin.
        size = max(largest(by_grad), largest(stepped[0]) / max(1.0, largest(at)))
        stepped = np.reshape(stepped, (len(stepped), -1))
        slopes = measure_slopes(stepped, STEPS, 8 * EPS[0] * np.abs(stepped).max(axis=0))
        by_autodiff = claim("jax.grad", by_hand, by_grad, (size, size), _BOUNDS[0])
        for pair in (by_autodiff, claim_slopes("", by_hand, slopes, size)):
            yield find(f"{name}.derivative", at.shape, pair, entries=np.arange(at.size), slopes=slopes, at=at)


def _judge_leaf(k: int, name: str, own: Point, evidence: Evidence, own_scale: Scale, scale: Scale) -> Iterator[Finding]:
    pairs = [*_compare_gradients(k, own, evidence, own_scale, scale)]
    leaf, along = evidence.theta[k], evidence.along(k)
    entries, slopes = np.arange(leaf.size), None
    if evidence.is_small:
        pairs, slopes = [*pairs, *_compare_slopes(along, evidence, scale)], along.slopes
    elif not all(find(name, leaf.shape, pair, entries=entries).ok for pair in pairs):
        errors = np.sum([np.abs(pair.by_hand - pair.right[0]) / pair.right[2] for pair in pairs], axis=0)
        entries = np.argsort(-errors, kind="stable")[:_TRIED]
        pairs = [pair._replace(by_hand=pair.by_hand[entries], right=pair.right[:, entries]) for pair in pairs]
        places = evidence.starts[k] + entries
        slopes = evidence.vary(np.stack([places, places + 1], axis=1)).slopes
    for pair in pairs:
        yield find(name, leaf.shape, pair, entries=entries, slopes=slopes)
    if not evidence.is_small:
        size = float(np.linalg.norm(finite(evidence.by_hand[k])))
        for pair in _compare_slopes(along, evidence, (size, scale[1])):
            yield find(name, leaf.shape, pair, slopes=along.slopes)


def _compare_gradients(k: int, own: Point, evidence: Evidence, own_scale: Scale, scale: Scale) -> Iterator[Claim]:
    """Yield the comparisons of leaf k with autodiff or, if there is none, with itself in float64."""
    name, bound = "jax.grad" + " of reference" * own.f.is_reference, _BOUNDS[own.gradient_level]
    if own.by_grad:
        yield claim(name, own.by_hand[k], own.by_grad[k], own_scale, bound)
    if evidence.gradient_level < own.gradient_level:
        where = f" in {_NAMES[evidence.level]}"
        if evidence.by_grad:
            right = evidence.by_hand[k], evidence.by_grad[k]
            yield claim(name + where, *right, scale, _BOUNDS[evidence.gradient_level])
        else:
            yield claim("itself" + where, own.by_hand[k], evidence.by_hand[k], own_scale, max(_LOST, bound))


def _compare_slopes(along: Along, evidence: Evidence, scale: Scale) -> Iterator[Claim]:
    """Yield the comparisons along directions with differences and, if there is one, forward mode."""
    is_coarse = evidence.level > 0
    yield claim_slopes(f" in {_NAMES[evidence.level]}" * is_coarse, along.by_hand, along.slopes, scale[0])
    if along.by_jvp is not None:
        bound = max(_BOUNDS[evidence.gradient_level], _LOST * is_coarse)
        yield claim("adjoint identity", along.by_hand, along.by_jvp, scale, bound)


def _largest_change(before: Leaves, after: Leaves, scales: list[Scale]) -> float:
    pairs = zip(before, after, scales, strict=True)
    return max(largest(finite(a) - finite(b)) / (scale or 1) for b, a, (_, scale) in pairs)
