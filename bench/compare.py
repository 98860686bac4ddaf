"""Compare the speed of this checkout with that of another one, such as an older version.

    python bench/compare.py ../other --devices 2             (--part grid for some of the cells)

Both packages are imported into one process, must compute the same, and take turns. `ratio` is this checkout's time
divided by the other's: the median over all rounds, with the 95 % confidence interval of that median. Below 1, this
checkout is faster. Each program is compiled several times, because two compilations may differ by a few percent.

tutorial   `train` and `train_step` of the tutorial's network: a run of 200 epochs, one epoch, one step
ensembles  `train_ensemble` of 1, 16 and 256 of these networks
grid       `manual_value_and_grads` of the networks of `bench/scaling.py --part grid`
large      the same of 8192 rows through 256-1024-1024-10
startup    the process `python -m jaxmlp`
"""

import importlib
import math
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any

import jax
import numpy as np
from common import ROOT, alternate, arguments, closeness, configured, report
from scaling import GRID
from startup import process

USED = ("Layer", "train", "train_step", "manual_value_and_grads", "train_ensemble")
PARTS = ("tutorial", "ensembles", "grid", "large", "startup")
RATE = 1e-4
TURN = 2e-3  # seconds that a turn takes at least


def main():
    parser = arguments(__doc__, rounds=60)
    parser.add_argument("other", type=pathlib.Path, help="the checkout to compare with")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    parser.add_argument(
        "--compilations", type=int, default=3, help="of each program; they share the rounds (default 3)"
    )
    args = configured(parser)
    checkouts = (ROOT, args.other.resolve())
    packages = [package_of(root) for root in checkouts]
    rows = []
    for name, cell in cells(args.part or PARTS):
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(args.compilations):
            jax.clear_caches()
            this, other = (cell(side) for side in (checkouts if name == "startup" else packages))
            for measured, more in zip(seconds, in_turns(this, other, args.rounds // args.compilations), strict=True):
                measured += more
        rows.append({"cell": name} | paired(*seconds))
    report("compare", f"this checkout's time divided by that of {args.other}", rows)
    print(f"geometric mean of the ratios: {statistics.geometric_mean(row['ratio'] for row in rows):.3f}")
    print(f"intervals above 1.05: {'; '.join(row['cell'] for row in rows if row['low'] > 1.05) or 'none'}")


def package_of(root: pathlib.Path) -> ModuleType:
    """Import `jaxmlp` from a checkout, and forget it, so that the next one can be imported."""
    for name in [name for name in sys.modules if name.split(".")[0] == "jaxmlp"]:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    package = importlib.import_module("jaxmlp")
    sys.path.remove(str(root))
    assert pathlib.Path(package.__file__ or "").is_relative_to(root)
    for name in USED:  # They are imported on first use, which must not find the other package.
        assert getattr(package, name) is not None
    return package


def cells(parts: tuple[str, ...]) -> Iterator[tuple[str, Callable[[Any], Callable[[], Any]]]]:
    """The name of each cell, and what makes of a package (or a checkout) a call that returns its losses."""
    if "tutorial" in parts:
        yield "tutorial: train, 200 epochs", partial(training, 200)
        yield "tutorial: train, one epoch", partial(training, 1)
        yield "tutorial: train_step", partial(training, None)
    if "ensembles" in parts:
        for members in (1, 16, 256):
            yield f"ensembles: {members}", partial(ensemble, members)
    if "grid" in parts:
        for n, sizes in GRID:
            yield f"grid: {n} rows, {'-'.join(map(str, sizes))}", partial(gradients, n, sizes)
    if "large" in parts:
        yield "large", partial(gradients, 8192, (256, 1024, 1024, 10))
    if "startup" in parts:
        yield "startup", lambda root: partial(process, ["-m", "jaxmlp"], root)


def training(epochs: int | None, package: ModuleType) -> Callable[[], Any]:
    params, x, y = data(package, 100, (3, 32, 1))
    if epochs is None:
        return lambda: np.asarray(package.train_step(params, x, y, RATE)[1])
    return lambda: np.asarray(package.train(params, x, y, RATE, epochs=epochs)[1])


def ensemble(members: int, package: ModuleType) -> Callable[[], Any]:
    params, x, y = data(package, 100, (3, 32, 1), (members,))
    return lambda: np.asarray(package.train_ensemble(params, x, y, RATE)[1])


def gradients(n: int, sizes: tuple[int, ...], package: ModuleType) -> Callable[[], Any]:
    operands = data(package, n, sizes)
    program = jax.jit(package.manual_value_and_grads).lower(*operands).compile()
    return lambda: jax.block_until_ready(program(*operands))[0]


def data(package: ModuleType, n: int, sizes: tuple[int, ...], members: tuple[int, ...] = ()) -> Any:
    """Parameters, with a leading axis if there are members, inputs and targets: the same for both packages."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jax.numpy.asarray(rng.normal(size=shape), np.float32)

    params = [(normal(*members, i, o) / math.sqrt(i), normal(*members, 1, o)) for i, o in pairwise(sizes)]
    return tuple(package.Layer(*layer) for layer in params), normal(n, sizes[0]), normal(n, sizes[-1])


def in_turns(this: Callable[[], Any], other: Callable[[], Any], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of the two calls, which must compute the same, in each round; who begins alternates."""
    expected, result = other(), this()
    if expected is not None:
        np.testing.assert_allclose(result, expected, rtol=closeness())
    start = time.perf_counter()
    this()
    calls = max(1, math.ceil(TURN / (time.perf_counter() - start)))
    seconds: tuple[list[float], list[float]] = ([], [])
    for k in range(rounds):
        systems = {"this": this, "other": other} if k % 2 else {"other": other, "this": this}
        measured = alternate(systems, 1, calls)
        for side, name in zip(seconds, ("this", "other"), strict=True):
            side += measured[name]
    return seconds


def paired(this: list[float], other: list[float]) -> dict[str, Any]:
    """The median of the ratios and its 95 % interval, which two of the ratios limit, whatever their distribution."""
    ratios = sorted(a / b for a, b in zip(this, other, strict=True))
    n = len(ratios)
    first = max(0, math.floor(n / 2 - 0.98 * math.sqrt(n)))
    row = {"ratio": statistics.median(ratios), "low": ratios[first], "high": ratios[n - 1 - first]}
    return row | {"this_us": statistics.median(this) * 1e6, "other_us": statistics.median(other) * 1e6}


if __name__ == "__main__":
    main()
