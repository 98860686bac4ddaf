"""`jaxmlp check`: verify the hand-derived gradients on this machine, for every kind of network of the package."""

import argparse
import functools
import itertools
import time
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxmlp.activations import ACTIVATIONS, Activation
from jaxmlp.cli.common import Commands, note, platform, print_json
from jaxmlp.criteria import CRITERIA, Criterion
from jaxmlp.network import Layer
from jaxmlp.verification import BOUNDS, CENTRAL_BOUND, Finding, GradientReport
from jaxmlp.verification.network import Choice, check_validated, network_functions
from jaxmlp.verification.oracles import Arguments

Part = TypeVar("Part", Activation, Criterion)
_DEPTHS = (1, 2, 4)
_DTYPES = ("bfloat16", "float32", "float64")
# With three inputs and sixteen rows, both forms of each product in _cpu_products.py occur.
_ROWS, _INPUTS, _WIDTH, _OUTPUTS = 16, 3, 5, 2
_IN_FLOAT64 = {"central differences": CENTRAL_BOUND, "adjoint identity": BOUNDS["float64"]}


class Configuration(NamedTuple):
    """The names of a combination in the grid."""

    activation: str
    criterion: str
    depth: int  # Number of layers.
    dtype: str


def check_grid(
    activations: Iterable[str] = tuple(ACTIVATIONS),
    criteria: Iterable[str] = tuple(CRITERIA),
    depths: Iterable[int] = _DEPTHS,
    dtypes: Iterable[str] = _DTYPES,
) -> dict[Configuration, GradientReport]:
    """Return a report for each combination, on one network and data set for each depth and criterion."""
    activations, criteria, dtypes, depths, reports = [*activations], [*criteria], [*dtypes], [*depths], {}
    # One program for all activations and criteria, because compiling takes longer than running.
    functions = {depth: network_functions(functools.partial(_choose, activations, criteria, depth)) for depth in depths}
    grid = itertools.product(enumerate(activations), enumerate(criteria), depths)
    with jax.enable_x64(True):
        for (place, activation), (number, criterion), depth in grid:
            variants = [_arrays(criterion, depth, dtype, (place, number)) for dtype in dtypes]
            checked = check_validated(functions[depth], variants)
            keys = [Configuration(activation, criterion, depth, dtype) for dtype in dtypes]
            reports |= zip(keys, checked, strict=True)
    return reports


def _choose(activations: list[str], criteria: list[str], depth: int, place: Array, number: Array) -> Choice:
    """Return the activations and the criterion at places that are known when the program runs."""
    activation = _switch([ACTIVATIONS[name] for name in activations], place)
    return *[activation] * (depth - 1), _switch([CRITERIA[name] for name in criteria], number)


def _switch(options: list[Part], place: Array) -> Part:
    def switch(name):
        functions = [getattr(option, name) for option in options]
        return lambda *operands: lax.switch(jnp.round(place).astype(int), functions, *operands)

    return type(options[0])(switch("fn"), switch("derivative"))


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "check",
        description="Compare the hand-derived gradients with jax.grad, central differences and the adjoint identity: "
        "each activation with each criterion, with 1, 2 and 4 layers, in bfloat16, float32 and float64.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check and print."""
    start = time.perf_counter()
    reports = check_grid()
    seconds = time.perf_counter() - start
    wrong = sum(not report.ok for report in reports.values())
    change = max(report.default_precision for report in reports.values())
    if args.json:
        result = {"wrong": wrong, "configurations": [_row(*item) for item in reports.items()]}
        result |= {"allowed": BOUNDS | _IN_FLOAT64, "default_precision": change}
        print_json(result | {"platform": platform(), "devices": jax.device_count(), "seconds": seconds})
    else:
        _print_table(reports)
        print(f"\n{len(reports)} configurations, {wrong} wrong")
    note(f"Device: {platform()} (the first of {jax.device_count()})")
    note(_precision(change))
    note(f"Time: {seconds:.1f} s. To check another network: jaxmlp.check_network(params, x, y)")
    return 1 if wrong else 0


def _precision(change: float) -> str:
    """Return a note on the default precision; TPUs round the inputs of products to bfloat16, recent NVIDIA to TF32."""
    start = "Checked at the highest precision of matrix products."
    if change <= BOUNDS["float32"]:
        return f"{start} The default precision of this device changes float32 gradients by {change:.1e} only"
    remedy = 'with jax.default_matmul_precision("highest"): or JAX_DEFAULT_MATMUL_PRECISION=highest'
    return f"{start} The default precision of this device changes float32 gradients by {change:.1e}; to avoid: {remedy}"


def _arrays(criterion: str, depth: int, dtype: str, places: tuple[int, int]) -> Arguments:
    rng = np.random.default_rng(0)
    sizes = (_INPUTS, *(_WIDTH,) * (depth - 1), _OUTPUTS)

    def cast(values: np.ndarray) -> Array:
        # Numbers that all dtypes hold: in float64 the networks are then equal, and computed once.
        return jnp.asarray(values.astype(jnp.bfloat16).astype(jnp.dtype(dtype)))

    layers = []
    for i, o in itertools.pairwise(sizes):
        layers.append(Layer(cast(rng.normal(size=(i, o)) / np.sqrt(i)), cast(rng.normal(size=(1, o)) / 2)))
    x, noise = rng.normal(size=(_ROWS, _INPUTS)), rng.normal(size=(_ROWS, _OUTPUTS))
    targets = {
        "sigmoid_binary_cross_entropy": 1 / (1 + np.exp(-noise)),
        "softmax_cross_entropy": np.abs(noise),
        "poisson_nll_loss": np.floor(2 * np.abs(noise)),
    }
    y, c = targets.get(criterion, noise), rng.uniform(0.5, 2, size=_ROWS)
    return tuple(layers), tuple(cast(np.asarray(values, float)) for values in (x, y, c, *places))


def _row(configuration: Configuration, report: GradientReport) -> dict[str, object]:
    return {
        **configuration._asdict(),
        "ok": report.ok,
        "errors": {oracle: report.worst(oracle) for oracle in ("jax.grad", "jax.grad in float64", *_IN_FLOAT64)},
        "rounding": report.rounding,
        "near_a_kink": sum(finding.undecided for finding in report.findings),
        "wrong": [str(finding) for finding in report.wrong],
    }


def _print_table(reports: dict[Configuration, GradientReport]) -> None:
    depths = ", ".join(str(depth) for depth in dict.fromkeys(configuration.depth for configuration in reports))
    dtypes = list(dict.fromkeys(configuration.dtype for configuration in reports))
    print(f"Largest relative error of the gradient, over networks of {depths} layers, compared with jax.grad in")
    print("each dtype, and with two more methods in float64\n")
    line = "{:10}{:30}" + "{:11}" * len(dtypes) + "{:21}{}"
    print(line.format("", "", *dtypes, *_IN_FLOAT64))
    findings: dict[tuple[str, str], dict[str, list[Finding]]] = {}
    for (activation, criterion, _, dtype), report in reports.items():
        columns = findings.setdefault((activation, criterion), {name: [] for name in (*dtypes, *_IN_FLOAT64)})
        for finding in report.findings:
            columns[finding.oracle if finding.oracle in _IN_FLOAT64 else dtype].append(finding)
    for pair, columns in findings.items():
        print(line.format(*pair, *map(_cell, columns.values())).rstrip())
    allowed = [*(BOUNDS[dtype] for dtype in dtypes), *_IN_FLOAT64.values()]
    print(line.format("allowed", "", *(f"{bound:.1e}" for bound in allowed)))
    for configuration, report in reports.items():
        for finding in report.wrong:
            print(f"WRONG {' '.join(map(str, configuration))}: {finding}")


def _cell(findings: list[Finding]) -> str:
    worst = max((finding.error for finding in findings), default=0.0)
    return f"{worst:.1e}" + ("" if all(finding.ok for finding in findings) else " !")
