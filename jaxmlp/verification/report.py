"""What the oracles found, as data, as a table and as an error."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from jaxmlp.verification import oracles
from jaxmlp.verification.oracles import Derivative, Gradients, Problem, References, Values

# Errors are relative to the largest entry of a leaf. float64: some thousand roundings. bfloat16: the 16 roundings of
# 2^-8 in a chain of four layers.
BOUNDS = {"bfloat16": 16 * 2**-8, "float32": 1e-5, "float64": 1e-12}
CENTRAL_BOUND = 1e-7


class GradientError(AssertionError):
    """A gradient disagrees with an oracle; the message is the report."""


class Finding(NamedTuple):
    """The comparison of a leaf of the gradient, or of a derivative, with an oracle."""

    name: str  # `params[0].w`, `activation[0].derivative` or `criterion.derivative`.
    shape: tuple[int, ...]  # Shape of the leaf, or of the pre-activations.
    oracle: str
    error: float  # Largest error, relative to the largest entry; infinite where a number is not finite.
    bound: float  # Largest error that is right.
    where: tuple[int, ...] | None  # Index of the entry with the largest error; None for a random direction.
    actual: float  # The value there, by hand.
    expected: float  # The value there, by the oracle.
    at: float | None  # The pre-activation there, for a derivative.
    checked: int  # Number of entries or directions that the oracle checked.
    undecided: int  # Number of those it could not check, because a kink is closer than the step.

    @property
    def ok(self) -> bool:
        """Whether the error is within its bound."""
        return self.error <= self.bound

    def __str__(self) -> str:
        """Return in one line what is wrong, where, and by how much."""
        if self.ok:
            return f"{self.name}: agrees with {self.oracle} to {self.error:.1e}"
        place = " along a random direction" if self.where is None else f" at entry {self.where}"
        if self.at is not None:
            place = f" at {'h' if self.name.startswith('activation') else 'output'} = {self.at:.6g}, entry {self.where}"
        return (
            f"{self.name}: wrong by {abs(self.actual - self.expected):.3g}{place}: by hand {self.actual:.9g}, by "
            f"{self.oracle} {self.expected:.9g} (relative error {self.error:.1e}, allowed {self.bound:.0e})"
        )


@dataclass(frozen=True)
class GradientReport:
    """The findings about the gradients of a network on its data; prints as a table."""

    findings: tuple[Finding, ...]  # Derivatives first, then leaves.
    sizes: tuple[int, ...]  # Layer widths, from inputs to outputs.
    rows: int
    dtype: str
    device: str
    rounding: float  # Largest relative difference of the gradient in its dtype from the one in float64.
    default_precision: float  # Largest relative change of it at the device's default precision of matrix products.

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings beyond their bounds."""
        return tuple(finding for finding in self.findings if not finding.ok)

    @property
    def ok(self) -> bool:
        """Whether all findings are within their bounds."""
        return not self.wrong

    def worst(self, oracle: str) -> float:
        """Return the largest relative error compared with an oracle."""
        return max((finding.error for finding in self.findings if finding.oracle == oracle), default=0.0)

    def raise_if_wrong(self) -> None:
        """Raise if a gradient or a derivative is wrong.

        Raises:
            GradientError: the report, as a table.
        """
        if not self.ok:
            raise GradientError(f"{len(self.wrong)} findings are wrong\n{self}")

    def __repr__(self) -> str:
        """Return a table with a row for each derivative and leaf and a column for each oracle, and remarks."""
        oracles = list(dict.fromkeys(finding.oracle for finding in self.findings))
        table = {finding.name: [finding.name, str(finding.shape)] + [""] * len(oracles) for finding in self.findings}
        for finding in self.findings:
            error = f"{finding.error:.1e}{'' if finding.ok else ' !'}" if finding.checked else "undecided"
            table[finding.name][2 + oracles.index(finding.oracle)] = error
        bounds = {finding.oracle: f"{finding.bound:.1e}" for finding in self.findings}
        rows = [["relative error by", "", *oracles], *table.values(), ["allowed", "", *bounds.values()]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        sizes = "-".join(map(str, self.sizes))
        lines = [f"Gradients of a {sizes} network, {self.dtype}, {self.rows} rows, {self.device}"]
        lines += ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [
            f"{f.name}: {f.undecided} of {f.checked + f.undecided} are closer to a kink than the step of the "
            f"{f.oracle}; the other oracles check them"
            for f in self.findings
            if f.undecided
        ]
        if self.dtype != "float64":
            lines.append(f"Rounding to {self.dtype} changes the gradient by {self.rounding:.1e}, relative to float64")
        if self.dtype == "float32":
            change = f"{self.default_precision:.1e} on this device"
            lines.append(f"The default precision of matrix products changes the gradient by {change}")
        lines += [f"WRONG {finding}" for finding in self.wrong]
        return "\n".join([*lines, "All within their bounds"] if self.ok else lines)


def judge(problem: Problem, own: Gradients, references: References) -> GradientReport:
    """Return the report on a problem, from the results of `in_own_dtype` and `in_float64`."""
    params, double = problem.params, references.gradients
    leaves, dtype = jax.tree.leaves(params), str(params[0].w.dtype)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = [slice(end - leaf.size, end) for leaf, end in zip(leaves, ends, strict=True)]
    # At a minimum the gradients of the rows cancel, and only rounding is left of the sum. Errors are then relative to
    # the sum with random signs, which is the root of the sum of squares.
    scales = [max(_largest(double.by_grad[part]), _largest(references.by_signs[part])) for part in parts]
    # bfloat16 has so few digits that a leaf may lose all of them to cancelling: relative to the largest leaf.
    own_scales = [max(scales)] * len(scales) if dtype == "bfloat16" else scales

    findings = _judge_derivatives(references.derivatives)
    count = oracles.directions(problem)
    for k, (leaf, part, scale) in enumerate(zip(leaves, parts, scales, strict=True)):
        compare = partial(_compare, f"params[{k // 2}].{'wb'[k % 2]}", leaf.shape)
        findings.append(compare("jax.grad", own.by_hand[part], own.by_grad[part], own_scales[k], BOUNDS[dtype]))
        if dtype != "float64":
            pair = double.by_hand[part], double.by_grad[part]
            findings.append(compare("jax.grad in float64", *pair, scale, BOUNDS["float64"]))
        varied = slice(k * count, (k + 1) * count) if count else part
        stepped, slope = (values[varied] for values in references.central)
        central, doubt = oracles.central_difference(stepped.T)
        options = {"doubt": doubt, "random": count > 0}
        findings.append(compare("central differences", slope, central, scale, CENTRAL_BOUND, **options))
        left, right, norm = (values[:, k] for values in references.adjoint)
        findings.append(compare("adjoint identity", left, right, norm, BOUNDS["float64"], random=True))
    return GradientReport(
        findings=tuple(findings),
        sizes=(params[0].w.shape[0], *(layer.w.shape[1] for layer in params)),
        rows=problem.x.shape[0],
        dtype=dtype,
        device=jax.devices()[0].device_kind,
        rounding=_worst_change(double.by_hand, own.by_hand, parts, own_scales),
        default_precision=_worst_change(own.by_hand, own.default, parts, own_scales),
    )


def _judge_derivatives(derivatives: list[Derivative]) -> list[Finding]:
    names = [f"activation[{k}].derivative" for k in range(len(derivatives) - 1)] + ["criterion.derivative"]
    findings = []
    for name, d in zip(names, derivatives, strict=True):
        # A flat function has no slope to be relative to; use the slope from the origin.
        secant = _largest(d.stepped[0]) / max(1.0, _largest(d.at))
        scale = max(_largest(d.by_grad), secant)
        compare = partial(_compare, name, d.at.shape, at=d.at)
        findings.append(compare("jax.grad", d.by_hand, d.by_grad, scale, BOUNDS["float64"]))
        central, doubt = oracles.central_difference(d.stepped)
        findings.append(compare("central differences", d.by_hand, central, scale, CENTRAL_BOUND, doubt=doubt))
    return findings


def _worst_change(before: Values, after: Values, parts: list[slice], scales: list[float]) -> float:
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    return max(_largest(_relative(after[part], before[part], scale)) for part, scale in zip(parts, scales, strict=True))


def _compare(
    name: str,
    shape: tuple[int, ...],
    oracle: str,
    by_hand: Values,
    expected: Values,
    scale: float | Values,
    bound: float,
    *,
    doubt: np.ndarray | None = None,
    at: Values | None = None,
    random: bool = False,
) -> Finding:
    """Find the largest error among the entries of an array of `shape`, or among random directions.

    Arguments:
        name: of the leaf or derivative.
        shape: of the leaf or derivative.
        oracle: name of the oracle.
        by_hand: values by hand.
        expected: values by the oracle.
        scale: a number, or one for each value: errors are relative to it.
        bound: largest error that is right.
        doubt: uncertainty of the expected values; entries where it is too large are not checked.
        at: pre-activations of the entries.
        random: whether the values belong to random directions rather than to entries.
    """
    by_hand, expected = (np.asarray(values, np.float64).ravel() for values in (by_hand, expected))
    error = _relative(by_hand, expected, scale)
    decided = np.full(error.shape, True) if doubt is None else doubt.ravel() <= 0.5 * bound * scale
    checked = int(decided.sum())
    if not checked:
        return Finding(name, shape, oracle, 0.0, bound, None, 0.0, 0.0, None, 0, error.size)
    worst = int(np.argmax(np.where(decided, error, -1)))
    where = None if random else tuple(int(i) for i in np.unravel_index(worst, shape))
    actual, right, largest = float(by_hand[worst]), float(expected[worst]), float(error[worst])
    h = None if at is None else float(at.ravel()[worst])
    return Finding(name, shape, oracle, largest, bound, where, actual, right, h, checked, error.size - checked)


def _relative(actual: np.ndarray, expected: np.ndarray, scale: float | Values) -> np.ndarray:
    """Return the error of each entry in units of `scale`; infinite where a number is not finite."""
    with np.errstate(all="ignore"):
        error = np.where(actual == expected, 0.0, np.abs(actual - expected) / scale)
    return np.where(np.isfinite(actual) & np.isfinite(expected) & np.isfinite(error), error, np.inf)


def _largest(values: Values) -> float:
    return float(np.max(np.abs(values), initial=0))
