"""From the results of the oracles to a report: which differences are errors, and which are rounding or a kink."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp.verification.differences import STEPS, distances, finite, largest, measure_slopes
from jaxmlp.verification.oracles import EPS, Along, Arguments, Evidence, Functions, Point, Values
from jaxmlp.verification.report import BOUNDS, CENTRAL_BOUND, Finding, GradientReport

# An oracle decides if what it allows, relative to the gradient, spans less than this or twice its bound.
_DECISIVE = 5e-3
_KINK = 1e-6  # One-sided slopes that differ by more, relative to the gradient, are those of a kink.
_LOST = 2e-3  # How much of a gradient a right function may lose to rounding in float32.
_TRIED = 32  # Of a large leaf, the number of entries that are varied if they disagree with autodiff.
_NAMES, _BOUNDS = [*BOUNDS], [*BOUNDS.values()]

Scale = tuple[float, float]  # Size of a leaf, and what its errors are relative to.


class Claim(NamedTuple):
    """What an oracle says of values by hand."""

    oracle: str
    by_hand: Values
    right: Values  # As many; or the slopes of `measure_slopes`: any between the least and the greatest is right.
    scale: Scale
    bound: float  # Of the error, relative to the scale.


def check(f: Functions, variants: list[Arguments], names: list[str], **about: object) -> list[GradientReport]:
    """Verify a gradient, in the dtype of the arguments and in float64 where that is possible.

    Arguments:
        f: the functions. If they are those of an earlier call, with the same shapes, nothing is compiled.
        variants: one or more pairs of trees of arrays, with the same values in different dtypes. If there are several,
            their programs are compiled without optimizations, which saves time for small networks.
        names: of the leaves.
        **about: fields of the reports.

    Returns:
        A report for each of the variants.
    """
    # What is compiled for its own sake is not what `jax.disable_jit` is for.
    with jax.default_matmul_precision("highest"), jax.disable_jit(False), contextlib.ExitStack() as float64:
        own = [Point(f, *arguments, quick=len(variants) > 1) for arguments in variants]
        if not all(np.isfinite(point.value) for point in own):
            raise ValueError(f"{about['subject']} is {own[0].value} at these arguments: it must be finite")
        try:
            float64.enter_context(jax.enable_x64(True))
            if jax.default_backend() == "tpu":  # TPUs compute in float64 with fewer digits than the bounds require.
                float64.enter_context(jax.default_device(jax.devices("cpu")[0]))
            evidence = Evidence(f, *jax.tree.map(_promote, variants[0]))
            eps, jitter = EPS[own[0].level], evidence.jitter[own[0].level, 0]
            change = abs(float(own[0].value) - float(evidence.value))
            if change > math.sqrt(eps) * (abs(evidence.value) + jitter / eps):
                raise ValueError("its value is another one there")
        except Exception as error:
            float64.close()
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"
            about["remarks"] = (f"Not possible in float64: the differences have a tolerance for rounding. {reason}",)
            evidence = Evidence(f, *variants[0])
        return [_judge(point, evidence, names, about) for point in own]


def _promote(leaf: Values) -> Values:
    leaf = leaf if isinstance(leaf, jax.Array) and len(leaf.devices()) > 1 else np.asarray(leaf)
    return leaf.astype(np.complex128 if jnp.iscomplexobj(leaf) else np.float64)


def _judge(own: Point, evidence: Evidence, names: list[str], about: dict[str, Any]) -> GradientReport:
    """Return the report on the gradient at a point; `about` holds fields of it."""
    findings = [*_judge_derivatives(evidence)]
    if evidence.reference is not None:
        size = max(largest(evidence.value), 4 * evidence.jitter[evidence.level, 0] / EPS[evidence.level])
        claim = Claim("reference", evidence.value, evidence.reference, (size, size), _BOUNDS[evidence.gradient_level])
        findings.append(find("value", (), claim, np.arange(1)))
    own_scales, scales = (_measure_scales(evidence, point.gradient_level) for point in (own, evidence))
    for k, name in enumerate(names):
        if own.leaves[k].size:
            findings += _judge_leaf(k, name, own, evidence, own_scales[k], scales[k])
    units = np.array([unit or 1 for _, unit in own_scales])
    rounding, change = (float(np.max(distances(own.by_hand, h) / units)) for h in (evidence.by_hand, own.default))
    about = about | {"dtype": _NAMES[own.gradient_level], "device": jax.devices()[0].device_kind}
    return GradientReport(tuple(findings), rounding=rounding, default_precision=change, **about)


def _measure_scales(evidence: Evidence, level: int) -> list[Scale]:
    """Return the size of each leaf, its largest entry, and its scale: where large terms cancel in it, their size.

    If the arguments change by one part in a million, so does each term, and the gradient by a millionth of the
    terms. A gradient of 0 may be a sum of terms that do not: of a sixteenth of the slope from the origin, say.
    """
    lost, scales = max(2**-30, 2 * EPS[evidence.level]), []
    for k, leaf in enumerate(evidence.leaves):
        size = max(largest(leaves[k]) for leaves in (evidence.by_hand, evidence.by_grad or evidence.by_hand))
        terms, secant = evidence.jitter[level, 1 + k] / EPS[level], largest(evidence.value) / (largest(leaf) or 1)
        scales.append((size, max(size, terms, secant / 16 if size < secant * lost else 0)))
    # With so few digits a leaf may lose all of them to cancelling: relative to the largest leaf.
    return [(max(map(max, scales)),) * 2] * len(scales) if level == 2 else scales


def _judge_derivatives(evidence: Evidence) -> Iterator[Finding]:
    """Yield the findings on the derivatives of activations and, last, of the criterion."""
    for k, (at, by_hand, by_grad, stepped) in enumerate(evidence.derivatives):
        name = "criterion" if k == len(evidence.derivatives) - 1 else f"activation[{k}]"
        # A flat function has no slope to be relative to; use the slope from the origin.
        size = max(largest(by_grad), largest(stepped[0]) / max(1.0, largest(at)))
        slopes = measure_slopes(stepped, STEPS, 8 * EPS[0] * np.abs(stepped).max(axis=0))
        for claim in _compare_along(Along(by_hand, by_grad, slopes), "jax.grad", "", (size, size), _BOUNDS[0]):
            finding = find(f"{name}.derivative", at.shape, claim, np.arange(at.size), slopes)
            yield finding._replace(at=float(at[finding.where]))


def _judge_leaf(k: int, name: str, own: Point, evidence: Evidence, own_scale: Scale, scale: Scale) -> Iterator[Finding]:
    """Yield the findings on leaf k."""
    shape, along, coarse = evidence.leaves[k].shape, evidence.along(k), evidence.level > 0
    claims, entries = [*_compare_gradients(k, own, evidence, own_scale, scale)], np.arange(math.prod(shape))
    slopes = along.slopes if evidence.is_small else None
    if slopes is None and not all(find(name, shape, claim, entries).ok for claim in claims):
        errors = sum(np.abs(c.by_hand.astype(float) - c.right) / (c.bound * max(c.scale) or 1) for c in claims)
        entries = np.argsort(-np.nan_to_num(errors, nan=np.inf), kind="stable")[:_TRIED]
        claims = [c._replace(by_hand=c.by_hand[entries], right=c.right[entries]) for c in claims]
        slopes = evidence.vary(evidence.starts[k] + np.stack([entries, entries + 1], axis=1)).slopes
    for claim in claims:
        yield find(name, shape, claim, entries, slopes)
    if not evidence.is_small:
        entries, scale = None, (float(np.linalg.norm(finite(evidence.by_hand[k]))), scale[1])
    bound, where = _BOUNDS[evidence.gradient_level], f" in {_NAMES[evidence.level]}" * coarse
    for claim in _compare_along(along, "adjoint identity", where, scale, max(bound, _LOST * coarse)):
        yield find(name, shape, claim, entries, along.slopes)


def _compare_gradients(k: int, own: Point, evidence: Evidence, own_scale: Scale, scale: Scale) -> Iterator[Claim]:
    """Yield the comparisons of leaf k with autodiff or, if there is none, with itself in float64."""
    name, bound = "jax.grad" + " of reference" * own.f.is_reference, _BOUNDS[own.gradient_level]
    right, where = evidence.by_hand[k], f" in {_NAMES[evidence.level]}"
    is_finer = evidence.gradient_level < own.gradient_level
    if own.by_grad:
        yield Claim(name, own.by_hand[k], own.by_grad[k], own_scale, bound)
    elif is_finer:
        yield Claim("itself" + where, own.by_hand[k], right, own_scale, max(_LOST, bound))
    if is_finer and evidence.by_grad:
        yield Claim(name + where, right, evidence.by_grad[k], scale, _BOUNDS[evidence.gradient_level])


def _compare_along(along: Along, oracle: str, where: str, scale: Scale, bound: float) -> Iterator[Claim]:
    """Yield the comparisons along directions with autodiff, if there is one, and with differences."""
    if along.by_autodiff is not None:
        yield Claim(oracle, along.by_hand, along.by_autodiff, scale, bound)
    yield Claim(f"central differences{where}", along.by_hand, along.slopes, (scale[0], scale[0]), CENTRAL_BOUND)


def find(name: str, shape: tuple[int, ...], claim: Claim, entries: Values, slopes: Values = None) -> Finding:
    """Compare values by hand with what is right by an oracle.

    Arguments:
        name: of the leaf or derivative.
        shape: of the leaf or derivative.
        claim: on some of its entries, or on slopes along directions.
        entries: places of these entries; None for directions.
        slopes: of `measure_slopes`; at a kink each value between them is right.

    Returns:
        The largest error.
    """
    oracle, by_hand, right, (size, unit), bound = claim
    by_hand = np.asarray(by_hand, np.float64).ravel()
    right = np.asarray(right, np.float64).reshape(-1, by_hand.size)
    low, high, doubt = right if len(right) == 3 else (right[0], right[0], 0.0)
    tolerance = doubt + bound * max(size, unit)
    if slopes is not None:
        is_kink = slopes[1] - slopes[0] > np.maximum(_KINK * size, slopes[2])
        low, high = np.where(is_kink, [np.minimum(low, slopes[0]), np.maximum(high, slopes[1])], [low, high])
        # Along a direction, several terms may have a kink: the one-sided slopes bound nothing, and it is undecided.
        more = np.inf if entries is None else np.maximum(tolerance, slopes[2] + CENTRAL_BOUND * size)
        tolerance = np.where(is_kink, more, tolerance)
    expected = np.clip(by_hand, low, high)
    with np.errstate(all="ignore"):
        difference = np.abs(by_hand - expected)
        error = np.where(difference > tolerance, difference / max(size, unit), bound * difference / tolerance)
        is_undecided = (high - low + tolerance > max(_DECISIVE, 2 * bound) * size) & (size > 0)
    error = np.where(difference == 0, 0, np.where(np.isfinite(error), error, np.inf))
    worst, undecided = int(np.argmax(error)), int(np.sum(is_undecided))
    where = None if entries is None else tuple(int(i) for i in np.unravel_index(entries[worst], shape))
    checked = (len(error) if entries is None else math.prod(shape)) - undecided
    numbers = float(by_hand[worst]), float(expected[worst]), None, checked, undecided
    return Finding(name, shape, oracle, float(error[worst]), bound, where, *numbers)
