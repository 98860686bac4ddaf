"""From the results of the oracles to findings: which differences are errors, and which are rounding or a kink."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmlp.verification.differences import STEPS, Slopes, measure_slopes
from jaxmlp.verification.oracles import PRECISIONS, Derivative, Gradients, Leaves, Problem, References, Values, Varied
from jaxmlp.verification.report import BOUNDS, CENTRAL_BOUND, Finding, GradientReport

# An oracle decides if its tolerance, relative to the gradient, is below this or twice its bound.
_DECISIVE = 5e-3
_KINK = 1e-6  # One-sided slopes that differ by more, relative to the gradient, are those of a kink.
NAMES = "float64", "float32", "bfloat16"  # For PRECISIONS.
_TRIED = 32  # Of a large leaf, the number of entries that are varied if they disagree with autodiff.


class Labels(NamedTuple):
    """The names in a report."""

    leaves: Sequence[str]
    subject: str
    dtype: str
    autodiff: str = "jax.grad"
    remarks: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    rows: int = 0


def same_value(own: Gradients, references: References, eps: float) -> bool:
    """Return whether a function has the value in float64 that it has in its dtype, but for rounding."""
    value, jitter = references.gradients.value, references.jitter[0][level_of(eps)]
    return abs(float(own.value) - float(value)) <= math.sqrt(eps) * (abs(value) + jitter / PRECISIONS[level_of(eps)])


class _Results(NamedTuple):
    """What is known of a problem."""

    own: Gradients  # In the dtype of the problem.
    eps: float
    double: Problem  # In the dtype of the oracles, mostly float64.
    references: References
    labels: Labels
    rounding: float  # Error of the values of the function.
    scales: list[float]  # Of each leaf, for errors of the oracles.
    own_scales: list[float]


def judge(
    problem: Problem,
    own: Gradients,
    double: Problem,
    references: References,
    labels: Labels,
    vary: Callable[[np.ndarray], Varied],
) -> GradientReport:
    """Return the report on a problem.

    Arguments:
        problem: in its dtype.
        own: its gradients.
        double: the problem in the dtype of the oracles, mostly float64.
        references: what the oracles computed of it.
        labels: the names in the report.
        vary: returns the function along some entries of a large problem, those that disagree with autodiff.
    """
    right = references.gradients
    rounding = max(
        8 * double.eps * _largest(references.varied.stepped), 4 * float(references.jitter[0][level_of(double.eps)])
    )
    scales, own_scales = (
        _scales(problem, references, double.gradient_eps),
        _scales(problem, references, problem.gradient_eps),
    )
    results = _Results(own, problem.gradient_eps, double, references, labels, rounding, scales, own_scales)
    findings = _judge_derivatives(references.derivatives)
    if references.reference is not None:
        scale = max(_largest(right.value), rounding / double.eps)
        pair = right.value, references.reference, scale, scale
        findings.append(_compare("value", (), "reference", *pair, _bound(double.gradient_eps)))
    starts = np.cumsum([0, *(leaf.size for leaf in problem.theta)])
    for k, leaf in enumerate(problem.theta):
        if leaf.size:
            findings += _judge_leaf(results, k, starts[k], vary)
    return GradientReport(
        findings=tuple(findings),
        subject=labels.subject,
        dtype=labels.dtype,
        device=jax.devices()[0].device_kind,
        rounding=_worst_change(right.by_hand, own.by_hand, own_scales),
        default_precision=_worst_change(own.by_hand, own.default, own_scales),
        remarks=labels.remarks,
        sizes=labels.sizes,
        rows=labels.rows,
    )


def _judge_leaf(results: _Results, k: int, start: int, vary: Callable[[np.ndarray], Varied]) -> list[Finding]:
    """Return the findings on leaf k, whose first entry is `start` of all leaves."""
    own, eps, double, references, labels, rounding, scales, own_scales = results
    right, where = references.gradients, "" if eps < 2**-40 else f" in {NAMES[level_of(double.eps)]}"
    by_hand, leaf = right.by_hand[k], double.theta[k]
    size, exact = _size(right, k), _bound(double.gradient_eps)
    compare = partial(_compare, labels.leaves[k], leaf.shape)
    own_size = own_scales[k] if eps > 2**-20 else size
    autodiff = []
    if own.by_grad and right.by_grad:
        autodiff.append((labels.autodiff, own.by_hand[k], own.by_grad[k], own_scales[k], own_size, _bound(eps)))
        if double.gradient_eps < eps:
            autodiff.append((labels.autodiff + where, by_hand, right.by_grad[k], scales[k], size, exact))
    elif double.gradient_eps < eps:
        autodiff.append((f"itself{where}", own.by_hand[k], by_hand, own_scales[k], own_size, _bound(eps)))
    varied, count = references.varied, len(double.theta) * double.directions
    entries, slopes = np.arange(leaf.size), None
    if double.varies_entries:
        slopes = _measure(varied, count + start + entries, double, rounding)
    elif not all(compare(*pair).ok for pair in autodiff):
        error = sum(_relative(np.ravel(pair[1]), np.ravel(pair[2]), pair[3]) for pair in autodiff)
        entries = np.argsort(-np.asarray(error), kind="stable")[:_TRIED]
        slopes = _measure(vary(start + entries), slice(None), double, rounding)
    findings = [compare(*pair, excused=slopes and _excuse(pair, entries, slopes)) for pair in autodiff]

    differences = "central differences" + (f" in {NAMES[level_of(double.eps)]}" if double.eps > 2**-40 else "")
    if double.varies_entries and slopes is not None:
        pair = by_hand, slopes, size + slopes.doubt / CENTRAL_BOUND, size
        findings.append(compare(differences, *pair, CENTRAL_BOUND, excused=slopes.high - slopes.low > _DECISIVE * size))
    of_leaf = slice(k * double.directions, (k + 1) * double.directions)
    random = _measure(varied, of_leaf, double, rounding, units=False)
    length, slope = varied.length[of_leaf], varied.by_hand[of_leaf]
    base = float(np.linalg.norm(np.ravel(_finite(by_hand)))) * length
    # One-sided slopes do not bound the gradient along a direction in which several terms have a kink.
    options = {"random": True, "excused": random.high - random.low > np.maximum(_KINK * base, random.doubt)}
    if not double.varies_entries:
        pair = slope, random, base + random.doubt / CENTRAL_BOUND, base
        findings.append(compare(differences, *pair, CENTRAL_BOUND, **options))
    if references.by_jvp is not None:
        scale = np.maximum(base, scales[k] * length)
        findings.append(compare("adjoint identity", slope, references.by_jvp[of_leaf], scale, base, exact, **options))
    return findings


def _judge_derivatives(derivatives: list[Derivative]) -> list[Finding]:
    names = [f"activation[{k}].derivative" for k in range(len(derivatives) - 1)] + ["criterion.derivative"]
    findings, eps = [], np.finfo(np.float64).eps
    for name, d in zip(names, derivatives, strict=False):
        # A flat function has no slope to be relative to; use the slope from the origin.
        secant = _largest(d.stepped[0]) / max(1.0, _largest(d.at))
        size = max(_largest(d.by_grad), secant)
        slopes = measure_slopes(d.stepped, STEPS, 8 * eps * np.abs(d.stepped).max(axis=0))
        slopes = Slopes(*map(np.ravel, slopes))
        compare = partial(_compare, name, d.at.shape, at=d.at)
        pair = "jax.grad", d.by_hand, d.by_grad, size, size, BOUNDS["float64"]
        findings.append(compare(*pair, excused=_excuse(pair, np.arange(d.at.size), slopes)))
        excused = slopes.high - slopes.low > _DECISIVE * size
        scale = size + slopes.doubt / CENTRAL_BOUND
        findings.append(compare("central differences", d.by_hand, slopes, scale, size, CENTRAL_BOUND, excused=excused))
    return findings


def _measure(varied: Varied, chosen: Any, double: Problem, rounding: float, *, units: bool = True) -> Slopes:
    """Return the slopes along some directions; with `units`, for a step of 1 in an entry."""
    slopes = measure_slopes(np.asarray(varied.stepped)[chosen].T, double.steps, rounding)
    length = np.asarray(varied.length)[chosen] if units else 1
    return Slopes(*(values / length for values in slopes))


def _excuse(pair: tuple[Any, ...], entries: np.ndarray, slopes: Slopes) -> np.ndarray:
    """Return which entries of a comparison are at a kink, with a value that lies between the one-sided slopes."""
    _, actual, expected, scale, size, bound = pair
    actual, expected = (np.ravel(np.asarray(values, np.float64)) for values in (actual, expected))
    is_kink = slopes.high - slopes.low > np.maximum(_KINK * size, slopes.doubt)
    right = is_kink & (slopes.distance(actual[entries]) <= slopes.doubt + max(bound, CENTRAL_BOUND) * size)
    excused = np.full(actual.shape, False)
    excused[entries] = right
    if len(entries) < len(actual):  # If the largest disagreements are kinks, so are the others.
        wrong = _relative(actual, expected, scale) > bound
        excused |= wrong & (right | ~wrong[entries]).all()
    return excused


def _compare(
    name: str,
    shape: tuple[int, ...],
    oracle: str,
    by_hand: Values,
    expected: Values | Slopes,
    scale: float | np.ndarray,
    size: float | np.ndarray,
    bound: float,
    *,
    at: Values | None = None,
    random: bool = False,
    excused: np.ndarray | None = None,
) -> Finding:
    """Find the largest error among the entries of an array of `shape`, or among random directions.

    Arguments:
        name: of the leaf or derivative.
        shape: of the leaf or derivative.
        oracle: name of the oracle.
        by_hand: values by hand.
        expected: values by the oracle.
        scale: errors are relative to it: `size`, or if that is larger, to what the oracle cannot see.
        size: of the gradient.
        bound: largest error that is right.
        at: pre-activations of the entries.
        random: whether the values belong to random directions rather than to entries.
        excused: what is at a kink.
    """
    actual = np.ravel(np.asarray(by_hand, np.float64))
    if isinstance(expected, Slopes):
        with np.errstate(invalid="ignore"):
            right = np.where(np.isfinite(expected.doubt), np.clip(actual, expected.low, expected.high), actual)
    else:
        right = np.ravel(np.asarray(expected, np.float64))
    undecided = np.broadcast_to((scale * bound > np.maximum(_DECISIVE, 2 * bound) * size) & (size > 0), actual.shape)
    if excused is not None:
        undecided = undecided | excused
    error = _relative(actual, right, scale)
    # Entries are judged even so, by a wide tolerance.
    error = np.where(undecided & (random or not isinstance(expected, Slopes)), np.where(undecided, 0, error), error)
    worst = int(np.argmax(error))
    where = None if random else tuple(int(i) for i in np.unravel_index(worst, shape))
    h = None if at is None else float(np.ravel(at)[worst])
    counts = int((~undecided).sum()), int(undecided.sum())
    return Finding(
        name, shape, oracle, float(error[worst]), bound, where, float(actual[worst]), float(right[worst]), h, *counts
    )


def _scales(problem: Problem, references: References, eps: float) -> list[float]:
    """Return the scale of each leaf: its largest entry or, where large terms cancel in it, their size.

    If the arguments change by one part in a million, so does each term, and the gradient by a millionth of the terms.
    A gradient of 0 may be a sum of terms that do not: of a sixteenth of the slope from the origin, say.
    """
    level, scales = level_of(eps), []
    for k, (leaf, jitter) in enumerate(zip(problem.theta, references.jitter[1:], strict=True)):
        size = _size(references.gradients, k)
        secant = _largest(references.gradients.value) / (_largest(leaf) or 1)
        scales.append(max(size, jitter[level] / PRECISIONS[level], secant / 16 if size < secant * 2**-30 else 0))
    # With so few digits a leaf may lose all of them to cancelling: relative to the largest leaf.
    return [max(scales)] * len(scales) if eps > 2**-20 else scales


def _bound(eps: float) -> float:
    return BOUNDS[NAMES[level_of(eps)]]


def level_of(eps: float) -> int:
    """Return the place in PRECISIONS and NAMES of a precision, or of the next coarser one."""
    return 0 if eps < 2**-40 else 1 if eps < 2**-20 else 2


def _size(gradients: Gradients, k: int) -> float:
    return max(_largest(gradients.by_hand[k]), _largest(gradients.by_grad[k]) if gradients.by_grad else 0.0)


def _worst_change(before: Leaves, after: Leaves, scales: list[float]) -> float:
    changes = (_largest(_relative(*pair)) for pair in zip(after, before, scales, strict=True))
    return max(changes, default=0.0)


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
