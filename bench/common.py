"""What the benchmarks share: alternating rounds, medians and minima, a table, JSON lines."""

import argparse
import importlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX"}  # The flags of x86 processors, widest first.


class AbsentError(Exception):
    """A package or program that is not installed."""


def imported(name: str) -> Any:
    """Return a module; raise `AbsentError` if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise AbsentError(name.split(".")[0]) from None


def arguments(description: str | None, rounds: int = 20) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has; call `configured` on what it parses, before using JAX."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"alternating rounds (default {rounds})")
    parser.add_argument("--device", help="JAX platform: cpu, cuda, tpu (default: JAX's own choice)")
    parser.add_argument("--devices", type=int, help="number of devices; a CPU is split into this number")
    return parser


def configured(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse, and configure this process as the options say."""
    import jax

    args = parser.parse_args()
    if args.device:
        jax.config.update("jax_platforms", args.device if args.device == "cpu" else f"{args.device},cpu")
    if args.devices:
        jax.config.update("jax_num_cpu_devices", args.devices)
    try:
        found = len(jax.devices(args.device))
    except RuntimeError as error:  # JAX would go on with the CPU
        parser.error(f"--device {args.device}: {str(error).splitlines()[0]}")
    if found < (args.devices or 1):
        parser.error(f"--devices {args.devices}: there are {found} here")
    return args


def closeness() -> float:
    """How far the losses of two systems that compute the same may lie apart: accelerators round products."""
    import jax

    return 1e-3 if jax.default_backend() == "cpu" else 5e-2


def where() -> dict[str, Any]:
    """Commit, device, driver and versions: what a figure belongs to."""
    import jax

    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    device = jax.devices()[0]
    return {
        "commit": commit.stdout.strip() or "unknown",
        "device": f"{device.platform} {device.device_kind}",
        **({} if device.platform == "cpu" else {"driver": _driver(device)}),
        "devices": jax.local_device_count(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "jax": jax.__version__,
        "python": platform.python_version(),
    }


def alternate(systems: Mapping[str, Callable[[], Any]], rounds: int, calls: int = 1) -> dict[str, list[float]]:
    """Seconds a call of each system, one list entry a round; the systems take turns.

    A turn begins with a call that is not timed: the caches are full of what the last system left there.

    Arguments:
        systems: functions that return when their result is complete.
        rounds: how often each has its turn.
        calls: in a turn, timed together.
    """
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, call in systems.items():
            call()
            start = time.perf_counter()
            for _ in range(calls):
                call()
            seconds[name].append((time.perf_counter() - start) / calls)
    return seconds


def first_call(call: Callable[[], Any]) -> float:
    """Seconds of a first call: tracing, compiling, running once."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def report(bench: str, claim: str, rows: list[dict[str, Any]]) -> None:
    """Print where this ran, the rows as a table, and one JSON line a row."""
    place = where()
    print(f"{bench}: {claim}")
    print(", ".join(f"{key} {value}" for key, value in place.items()))
    print_table(rows)
    for row in rows:
        print(json.dumps({"bench": bench, **place, **row}))


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table; a dash stands for None and for a missing key."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "seconds"))
    cells = [columns, *[[_text(row.get(key)) for key in columns] for row in rows]]
    widths = [max(len(line[k]) for line in cells) for k in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(widths[0]) if k == 0 else cell.rjust(widths[k]) for k, cell in enumerate(line)))


def summary(seconds: list[float]) -> dict[str, Any]:
    """Median and minimum in microseconds, and the seconds themselves."""
    return {
        "median_us": statistics.median(seconds) * 1e6,
        "minimum_us": min(seconds) * 1e6,
        "seconds": [float(f"{value:.4g}") for value in seconds],
    }


def ratio(seconds: list[float], to: list[float]) -> float:
    """The ratio of two medians."""
    return statistics.median(seconds) / statistics.median(to)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _driver(device: Any) -> str:
    version = device.client.platform_version.strip().splitlines()[0]
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return version
    return f"{found}, {version}"


def is_avx2_only() -> bool:
    """Whether XLA was told to use no wider vectors than AVX2; the C loop is then compiled so, too."""
    return "--xla_cpu_max_isa=AVX2" in os.environ.get("XLA_FLAGS", "").split()


def _processor() -> str:
    """The name of the processor and, where the system tells, the widest vectors that are used."""
    path = pathlib.Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor()
    about = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    facts = {key.strip(): value.split() for key, value in about.items()}
    name = " ".join(facts.get("model name", [platform.processor()]))
    vectors = [title for flag, title in VECTORS.items() if flag in facts.get("flags", [])]
    return ", ".join([name, *(["AVX2"] if is_avx2_only() else vectors[:1])])
