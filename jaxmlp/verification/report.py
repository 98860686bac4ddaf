"""What the oracles found, as data, as a table and as an error."""

from dataclasses import dataclass
from typing import NamedTuple

# Precisions, from fine to coarse, and the largest error of a right gradient, relative to the largest entry of a leaf.
# float64: some thousand roundings. bfloat16: the 16 roundings of 2^-8 in a chain of four layers.
BOUNDS = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 16 * 2**-8}
CENTRAL_BOUND = 1e-7


class GradientError(AssertionError):
    """A gradient disagrees with an oracle; the message is the report."""


class Finding(NamedTuple):
    """The comparison of a leaf of the gradient, or of a derivative, with an oracle."""

    name: str  # `['Dense_0']['kernel']`, `params[0].w`, `activation[0].derivative` or `criterion.derivative`.
    shape: tuple[int, ...]  # Shape of the leaf, or of the pre-activations.
    oracle: str
    error: float  # Largest error, relative to the scale of the leaf; infinite where a number is not finite.
    bound: float  # Largest error that is right.
    where: tuple[int, ...] | None  # Index of the entry with the largest error; None for a random direction.
    actual: float  # The value there, by hand.
    expected: float  # The value there, by the oracle.
    at: float | None  # The pre-activation there, for a derivative.
    checked: int  # Number of entries or directions that the oracle checked.
    undecided: int  # Number of those it could not check, because of a kink or of rounding.

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
    """The findings about the gradient of a function; prints as a table."""

    findings: tuple[Finding, ...]  # Derivatives first, then leaves.
    subject: str  # What was checked, for people.
    dtype: str  # The least precise of the function and its arguments.
    device: str
    rounding: float  # Largest relative difference of the gradient in its dtype from the one in float64.
    default_precision: float  # Largest relative change of it at the device's default precision of matrix products.
    remarks: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()  # Of a network: layer widths, from inputs to outputs.
    rows: int = 0  # Of a network: number of rows.

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings beyond their bounds."""
        return tuple(finding for finding in self.findings if not finding.ok)

    @property
    def ok(self) -> bool:
        """Whether all findings are within their bounds."""
        return not self.wrong

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The names of the leaves that no oracle could check in any entry or direction."""
        checked = {finding.name for finding in self.findings if finding.checked or not finding.ok}
        return tuple(dict.fromkeys(finding.name for finding in self.findings if finding.name not in checked))

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
        bounds = {f.oracle: f"{f.bound:.1e}" for f in self.findings}
        table = {f.name: {"": str(f.shape)} | dict.fromkeys(bounds, "") for f in self.findings}
        for f in self.findings:
            table[f.name][f.oracle] = f"{f.error:.1e}{'' if f.ok else ' !'}" if f.checked else "undecided"
        rows = [["relative error by", "", *bounds], *([name, *cells.values()] for name, cells in table.items())]
        rows.append(["allowed", "", *bounds.values()])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"Gradients of {self.subject}, {self.dtype}, {self.device}"]
        lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        for f in self.findings:
            if f.undecided:
                count = f"{f.undecided} of {f.checked + f.undecided} are undecided by {f.oracle}"
                lines.append(f"{f.name}: {count}: at or near a kink, or lost to rounding")
        lines += [*self.remarks, *(f"{name}: no method decides in any entry or direction" for name in self.unchecked)]
        if self.dtype != "float64":
            lines.append(f"Rounding to {self.dtype} changes the gradient by {self.rounding:.1e}, relative to float64")
        if self.dtype == "float32":
            change = f"{self.default_precision:.1e} on this device"
            lines.append(f"The default precision of matrix products changes the gradient by {change}")
        lines += [f"WRONG {finding}" for finding in self.wrong]
        return "\n".join([*lines, "All within their bounds"] if self.ok else lines)
