"""`jaxmlp check`: the hand-derived gradients proven on this machine, for every kind of network that the package has."""

import argparse
import itertools
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp.activations import ACTIVATIONS
from jaxmlp.cli.common import note, platform, print_json
from jaxmlp.criteria import CRITERIA
from jaxmlp.network import Layer
from jaxmlp.verification import BOUNDS, CENTRAL_BOUND, GradientReport, Problem, check_many

_DEPTHS = (1, 2, 4)
_DTYPES = ("bfloat16", "float32", "float64")
# Three inputs and sixteen rows, so that both forms of each product occur (see _cpu_products.py).
_ROWS, _INPUTS, _WIDTH, _OUTPUTS = 16, 3, 5, 2
_IN_FLOAT64 = ("central differences", "adjoint identity")


class Configuration(NamedTuple):
    """One cell of the grid, by names."""

    activation: str
    criterion: str
    depth: int  # how many layers
    dtype: str


def check_grid(
    activations: Iterable[str] = tuple(ACTIVATIONS),
    criteria: Iterable[str] = tuple(CRITERIA),
    depths: Iterable[int] = _DEPTHS,
    dtypes: Iterable[str] = _DTYPES,
) -> dict[Configuration, GradientReport]:
    """A report for each combination, on one network and one set of data for each depth and criterion."""
    grid = list(itertools.starmap(Configuration, itertools.product(activations, criteria, depths, dtypes)))
    with jax.enable_x64(True):
        reports = check_many([_problem(*each) for each in grid], quick=True)
    return dict(zip(grid, reports, strict=True))


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "check",
        help="prove the hand-derived gradients on this machine",
        description="Compare the hand-derived gradients with jax.grad, central differences and the adjoint identity: "
        "each activation with each criterion, at 1, 2 and 4 layers, in bfloat16, float32 and float64.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check and print."""
    start = time.perf_counter()
    reports = check_grid()
    seconds = time.perf_counter() - start
    wrong = sum(not report.ok for report in reports.values())
    dtypes = list(dict.fromkeys(each.dtype for each in reports))
    cost = max(report.default_precision for report in reports.values())
    if args.json:
        result = {"wrong": wrong, "configurations": [_row(*item) for item in reports.items()]}
        result |= {"allowed": {**BOUNDS, "central differences": CENTRAL_BOUND, "adjoint identity": BOUNDS["float64"]}}
        result |= {"default_precision": cost, "platform": platform(), "devices": jax.device_count()}
        print_json(result | {"seconds": seconds})
    else:
        _print_table(reports, dtypes)
        print(f"\n{len(reports)} configurations, {wrong} wrong")
    note(f"Device: {platform()}; {jax.device_count()} of them, checked on the first")
    note(_precision(cost))
    note(f"Time: {seconds:.1f} s. Your own network: jaxmlp.check_network(params, x, y)")
    return 1 if wrong else 0


def _precision(cost: float) -> str:
    """What the products of a training run are rounded to: TPUs round inputs to bfloat16, recent NVIDIA to TF32."""
    checked = "Checked at the highest precision of matrix products"
    if cost <= BOUNDS["float32"]:
        return f"{checked}, which on this device the default has too (float32 gradients differ by {cost:.1e})"
    more = 'with jax.default_matmul_precision("highest"): or JAX_DEFAULT_MATMUL_PRECISION=highest'
    return f"{checked}. This device's default rounds float32 gradients by {cost:.1e}; for more, {more}"


def _problem(activation: str, criterion: str, depth: int, dtype: str) -> Problem:
    rng = np.random.default_rng(0)
    sizes = (_INPUTS, *(_WIDTH,) * (depth - 1), _OUTPUTS)

    def cast(values: np.ndarray) -> Any:
        # Numbers that all dtypes hold, so that they are one network in float64, and proven there once.
        return values.astype(jnp.bfloat16).astype(jnp.dtype(dtype))

    params = tuple(
        Layer(cast(rng.normal(size=(i, o)) / np.sqrt(i)), cast(rng.normal(size=(1, o)) / 2))
        for i, o in itertools.pairwise(sizes)
    )
    x, noise = rng.normal(size=(_ROWS, _INPUTS)), rng.normal(size=(_ROWS, _OUTPUTS))
    targets = {
        "sigmoid_binary_cross_entropy": 1 / (1 + np.exp(-noise)),
        "softmax_cross_entropy": np.abs(noise),
        "poisson_nll_loss": np.floor(2 * np.abs(noise)),
    }
    weights = rng.uniform(0.5, 2, size=_ROWS)
    arrays = params, cast(x), cast(targets.get(criterion, noise)), cast(weights)
    return Problem(*arrays, ACTIVATIONS[activation], CRITERIA[criterion])


def _row(configuration: Configuration, report: GradientReport) -> dict[str, Any]:
    worst = {oracle: report.worst(oracle) for oracle in ("jax.grad", "jax.grad in float64", *_IN_FLOAT64)}
    undecided = sum(finding.undecided for finding in report.findings)
    return {
        **configuration._asdict(),
        "ok": report.ok,
        "errors": worst,
        "rounding": report.rounding,
        "near_a_kink": undecided,
        "wrong": [str(finding) for finding in report.wrong],
    }


def _print_table(reports: dict[Configuration, GradientReport], dtypes: list[str]) -> None:
    depths = ", ".join(str(depth) for depth in dict.fromkeys(each.depth for each in reports))
    print(f"Worst relative error of the gradient over networks of {depths} layers, by jax.grad in each dtype, and")
    print("by two oracles in float64\n")
    line = "{:10}{:30}" + "{:11}" * len(dtypes) + "{:21}{}"
    print(line.format("", "", *dtypes, *_IN_FLOAT64))
    for pair in dict.fromkeys((each.activation, each.criterion) for each in reports):
        chosen = {c: report for c, report in reports.items() if c[:2] == pair}
        columns = [
            [f for c, r in chosen.items() if c.dtype == dtype for f in r.findings if f.oracle not in _IN_FLOAT64]
            for dtype in dtypes
        ]
        columns += [[f for r in chosen.values() for f in r.findings if f.oracle == oracle] for oracle in _IN_FLOAT64]
        print(line.format(*pair, *map(_cell, columns)).rstrip())
    allowed = [*(BOUNDS[dtype] for dtype in dtypes), CENTRAL_BOUND, BOUNDS["float64"]]
    print(line.format("allowed", "", *(f"{bound:.1e}" for bound in allowed)))
    for configuration, report in reports.items():
        for finding in report.wrong:
            print(f"WRONG {' '.join(map(str, configuration))}: {finding}")


def _cell(findings: list[Any]) -> str:
    worst = max((finding.error for finding in findings), default=0.0)
    return f"{worst:.1e}" + ("" if all(finding.ok for finding in findings) else " !")
