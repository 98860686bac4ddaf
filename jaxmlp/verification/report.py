"""What the oracles say, as data, as a table and as an error."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmlp.verification.oracles import Problem, central_difference, directions

# Errors are relative to the largest entry of a leaf. float64: some thousand roundings. bfloat16: the 16 roundings of
# 2^-8 that a chain of four layers takes.
BOUNDS = {"bfloat16": 16 * 2**-8, "float32": 1e-5, "float64": 1e-12}
CENTRAL_BOUND = 1e-7


class GradientError(AssertionError):
    """A gradient that its oracles contradict; the message says which, where and by how much."""


class Finding(NamedTuple):
    """One leaf of the gradient, or one derivative, against one oracle."""

    name: str  # `params[0].w`, `activation[0].derivative`, `criterion.derivative`
    shape: tuple[int, ...]
    oracle: str
    error: float  # the worst, relative to the largest entry; infinite where a number is not finite
    bound: float
    where: tuple[int, ...] | None  # index of the worst entry; None along a random direction
    actual: float  # the value there, by hand
    expected: float  # and by the oracle
    at: float | None  # the pre-activation there, for a derivative
    checked: int  # how many entries or directions the oracle has judged
    undecided: int  # and how many it could not, being closer to a kink than the step

    @property
    def ok(self) -> bool:
        """Whether the error is within its bound."""
        return self.error <= self.bound

    def __str__(self) -> str:
        """What is wrong, where, and by how much; or that nothing is."""
        if self.ok:
            return f"{self.name}: right to {self.error:.1e} by {self.oracle}"
        off = abs(self.actual - self.expected)
        if self.at is not None:
            place = f" at {'h' if self.name.startswith('activation') else 'output'} = {self.at:.6g}, entry {self.where}"
        else:
            place = " along a random direction" if self.where is None else f" at entry {self.where}"
        return (
            f"{self.name}: wrong by {off:.3g}{place}: by hand {self.actual:.9g}, by {self.oracle} "
            f"{self.expected:.9g} (relative error {self.error:.1e}, allowed {self.bound:.0e})"
        )


@dataclass(frozen=True)
class GradientReport:
    """What the oracles say about the gradients of one network on its data; prints as a table."""

    findings: tuple[Finding, ...]  # derivatives first, then leaves
    sizes: tuple[int, ...]
    rows: int
    dtype: str
    device: str
    rounding: float  # worst error of the gradient in this dtype, against float64; for information
    default_precision: float  # worst change of it when float32 products have the device's default precision

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings beyond their bounds."""
        return tuple(finding for finding in self.findings if not finding.ok)

    @property
    def ok(self) -> bool:
        """Whether all are within their bounds."""
        return not self.wrong

    def worst(self, oracle: str) -> float:
        """The largest error against an oracle."""
        return max((finding.error for finding in self.findings if finding.oracle == oracle), default=0.0)

    def raise_if_wrong(self) -> None:
        """One line for a test.

        Raises:
            GradientError: a gradient or a derivative is wrong.
        """
        if not self.ok:
            raise GradientError("\n".join([f"{len(self.wrong)} findings are wrong", *map(str, self.wrong)]))

    def __str__(self) -> str:
        """A row for each derivative and leaf, a column for each oracle, and what else there is to say."""
        oracles = list(dict.fromkeys(finding.oracle for finding in self.findings))
        table = {finding.name: [finding.name, str(finding.shape)] + [""] * len(oracles) for finding in self.findings}
        for finding in self.findings:
            error = f"{finding.error:.1e}{'' if finding.ok else ' !'}" if finding.checked else "undecided"
            table[finding.name][2 + oracles.index(finding.oracle)] = error
        bounds = {finding.oracle: f"{finding.bound:.1e}" for finding in self.findings}
        rows = [["relative error by", "", *oracles], *table.values(), ["allowed", "", *bounds.values()]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"Gradients of a {'-'.join(map(str, self.sizes))} network, {self.dtype}, {self.rows} rows, {self.device}"
        ]
        lines += ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [
            f"{f.name}: {f.undecided} of {f.checked + f.undecided} are closer to a kink than the step; "
            f"{f.oracle} leave them to the other oracles"
            for f in self.findings
            if f.undecided
        ]
        if self.dtype != "float64":
            lines.append(f"Rounding to {self.dtype} costs {self.rounding:.1e}, against float64 on the same values")
        if self.dtype == "float32":
            lines.append(f"The default precision of matrix products costs {self.default_precision:.1e} on this device")
        return "\n".join([*lines, *(f"WRONG {finding}" for finding in self.wrong), *(["All right"] if self.ok else [])])


def judge(problem: Problem, own: dict[str, Any], proof: dict[str, Any]) -> GradientReport:
    """The report on a problem, from the results of `in_own_dtype` and `in_float64`."""
    params = problem.params
    leaves = jax.tree.leaves(params)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = [slice(end - leaf.size, end) for leaf, end in zip(leaves, ends, strict=True)]
    # At a minimum the rows' gradients cancel, and what is left of the sum is rounding: relative to the sum with random
    # signs then, which is the root of the sum of their squares.
    sizes = [max(_largest(proof["by_grad"][part]), _largest(proof["by_signs"][part])) for part in parts]
    dtype = str(params[0].w.dtype)
    # bfloat16 has so few digits that a leaf may lose all of them to cancelling: relative to the largest leaf.
    own_sizes = [max(sizes)] * len(sizes) if dtype == "bfloat16" else sizes

    findings = _of_derivatives(proof["derivatives"])
    for k, (leaf, part) in enumerate(zip(leaves, parts, strict=True)):
        name = f"params[{k // 2}].{'wb'[k % 2]}"
        by_hand, by_grad = (np.asarray(own[how][part], np.float64) for how in ("by_hand", "by_grad"))
        found = [_finding(name, "jax.grad", by_hand, by_grad, own_sizes[k], BOUNDS[dtype])]
        if dtype != "float64":
            by_hand, by_grad = proof["by_hand"][part], proof["by_grad"][part]
            found.append(_finding(name, "jax.grad in float64", by_hand, by_grad, sizes[k], BOUNDS["float64"]))
        along_random = directions(problem)
        varied = slice(k * along_random, (k + 1) * along_random) if along_random else part
        stepped, along = (each[varied] for each in proof["central"])
        central, doubt = central_difference(stepped.T)
        found.append(_finding(name, "central differences", along, central, sizes[k], CENTRAL_BOUND, doubt=doubt))
        left, right, norm = (each[:, k] for each in proof["adjoint"])
        found.append(_finding(name, "adjoint identity", left, right, norm, BOUNDS["float64"]))
        findings += [_placed(each, leaf.shape, bool(along_random)) for each in found]
    return GradientReport(
        findings=tuple(findings),
        sizes=(params[0].w.shape[0], *(layer.w.shape[1] for layer in params)),
        rows=problem.x.shape[0],
        dtype=dtype,
        device=jax.devices()[0].device_kind,
        rounding=_worst_change(proof["by_hand"], own["by_hand"], parts, own_sizes),
        default_precision=_worst_change(own["by_hand"], own["default"], parts, own_sizes),
    )


def _of_derivatives(derivatives: list[dict[str, Any]]) -> list[Finding]:
    names = [f"activation[{k}].derivative" for k in range(len(derivatives) - 1)] + ["criterion.derivative"]
    findings = []
    for name, d in zip(names, derivatives, strict=True):
        # Where a function is flat there is no slope to be relative to; the one from the origin stands in.
        secant = _largest(d["stepped"][0]) / max(1.0, _largest(d["at"]))
        size, (central, doubt) = max(_largest(d["by_grad"]), secant), central_difference(d["stepped"])
        for oracle, expected, bound, unsure in (
            ("jax.grad", d["by_grad"], BOUNDS["float64"], None),
            ("central differences", central, CENTRAL_BOUND, doubt),
        ):
            findings.append(_finding(name, oracle, d["by_hand"], expected, size, bound, doubt=unsure, at=d["at"]))
    return findings


def _placed(finding: Finding, shape: tuple[int, ...], along_random: bool) -> Finding:
    """The finding on a flat leaf, its place in the leaf's own shape; none where directions were random."""
    random = finding.oracle == "adjoint identity" or (finding.oracle == "central differences" and along_random)
    if finding.where is None or random:
        return finding._replace(shape=shape, where=None)
    return finding._replace(shape=shape, where=tuple(int(i) for i in np.unravel_index(finding.where[0], shape)))


def _worst_change(before: np.ndarray, after: np.ndarray, parts: list[slice], sizes: list[float]) -> float:
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    return max(_largest(_relative(after[part], before[part], size)) for part, size in zip(parts, sizes, strict=True))


def _finding(
    name: str,
    oracle: str,
    by_hand: np.ndarray,
    expected: np.ndarray,
    size: float | np.ndarray,
    bound: float,
    *,
    doubt: np.ndarray | None = None,
    at: np.ndarray | None = None,
) -> Finding:
    """The worst entry that the oracle is sure of."""
    error = _relative(by_hand, expected, size)
    decided = np.full(error.shape, True) if doubt is None else doubt <= 0.5 * bound * size
    checked = int(decided.sum())
    if not checked:
        return Finding(name, error.shape, oracle, 0.0, bound, None, 0.0, 0.0, None, 0, error.size)
    where = tuple(int(i) for i in np.unravel_index(np.argmax(np.where(decided, error, -1)), error.shape))
    return Finding(
        name,
        error.shape,
        oracle,
        float(error[where]),
        bound,
        where,
        float(by_hand[where]),
        float(expected[where]),
        None if at is None else float(at[where]),
        checked,
        error.size - checked,
    )


def _relative(actual: np.ndarray, expected: np.ndarray, size: float | np.ndarray) -> np.ndarray:
    """Entry by entry, in units of `size`; infinite where a number is not finite."""
    with np.errstate(all="ignore"):
        error = np.where(actual == expected, 0.0, np.abs(actual - expected) / size)
    return np.where(np.isfinite(actual) & np.isfinite(expected) & np.isfinite(error), error, np.inf)


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values), initial=0))
