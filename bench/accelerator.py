"""Everything that can be said about this package on an accelerator, in one command of at most ten minutes.

    python bench/accelerator.py --device cuda          (or tpu, cpu; --quick for a minute; --output FILE)

Runs `jaxmlp check`, the tests of the core, and the benchmarks of training, of many networks at once, of large networks
and of mini-batches, each in a process of its own, so that a part that fails does not end the others. Prints a short
table, and writes all figures to a JSON file of `bench/results/`, which `bench/report.py` draws for the documentation.
If you have a device that is not there yet, send that file.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import Any, NamedTuple

from common import ROOT, print_table

BENCH, TESTS = ROOT / "bench", ROOT / "tests"
SECONDS = 600
QUICK_TESTS = ["test_network.py", "test_gpu_training.py"]


class Part(NamedTuple):
    """A command, and how long it may take."""

    name: str
    words: list[str]
    seconds: int


def parts(device: str, quick: bool) -> list[Part]:
    """What is run; a quick run has fewer tests, sizes and rounds."""

    def bench(script: str, *words: str) -> list[str]:
        return [str(BENCH / script), "--device", device, "--rounds", "1" if quick else "10", *words]

    core = [
        path.name for path in sorted(TESTS.glob("test_*.py")) if "pytestmark = pytest.mark.core" in path.read_text()
    ]
    tests = [str(TESTS / name) for name in (QUICK_TESTS if quick else core)]
    processes = [] if quick else ["-n", str(min(os.cpu_count() or 1, 12))]
    pytest = ["-m", "pytest", "-m", "core", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:benchmark"]
    found = [
        Part("check", ["-m", "jaxmlp", "check", "--json"], 100),
        Part("tests", [*pytest, *processes, *tests], 200),
        Part("tutorial", bench("tutorial.py"), 80),
        Part("ensembles", bench("ensembles.py", "--members", "1,16" if quick else "1,100,10000"), 100),
    ]
    if not quick:
        many = "1000000" if device != "cpu" else "10000"
        found += [
            Part("many", bench("ensembles.py", "--members", many, "--only", "jaxmlp"), 100),
            Part("large", bench("scaling.py", "--part", "large"), 60),
            Part("fit", bench("scaling.py", "--part", "fit"), 100),
        ]
        found += [Part("one kernel", bench("products.py"), 100)] if device == "cuda" else []
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--device", default="cpu", choices=("cpu", "cuda", "tpu"), help="the JAX platform (default cpu)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer tests, sizes and rounds: about a minute")
    parser.add_argument("--output", type=pathlib.Path, help="the JSON file (default: in bench/results/, by chip)")
    args = parser.parse_args()

    end = time.monotonic() + SECONDS
    code = "import json, common; print(json.dumps(common.where()))"
    place = run(Part("where", ["-c", code], 60), args.device, end)
    if not place["rows"]:
        parser.error(f"--device {args.device}: {place['error']}")
    place = place["rows"][0]
    results = []
    for part in parts(args.device, args.quick):
        print(f"{part.name} …", file=sys.stderr, flush=True)
        results.append(run(part, args.device, end))
    output = args.output or BENCH / "results" / f"{file_name(place)}.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps({"where": place, "quick": args.quick, "parts": results}, indent=1) + "\n")

    print(", ".join(f"{key} {value}" for key, value in place.items()))
    for result in results:
        print(f"\n{result['part']}: {'done' if result['ok'] else 'FAILED'} in {result['seconds']:.0f} s")
        print(result["error"] or "", end="\n" if result["error"] else "")
        print_table([{key: row[key] for key in row if key not in place and key != "bench"} for row in result["rows"]])
    print(f"\nwritten to {output}")
    return 0 if all(result["ok"] for result in results) else 1


def run(part: Part, device: str, end: float) -> dict[str, Any]:
    """Run a part; its figures are the JSON lines that it prints."""
    platforms = device if device == "cpu" else f"{device},cpu"
    environment = {**os.environ, "JAX_PLATFORMS": platforms, "PYTHONPATH": f"{ROOT}{os.pathsep}{BENCH}"}
    if part.name == "tests":  # Several processes share the device.
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    start = time.monotonic()
    limit = max(min(part.seconds, end - start), 1)
    try:
        done = subprocess.run(
            [sys.executable, *part.words], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=limit
        )
        out, error = done.stdout, describe_failure(done) if done.returncode else ""
    except subprocess.TimeoutExpired as stopped:
        out, error = (stopped.stdout or b"").decode(), f"stopped after {limit:.0f} s"
    result = {"part": part.name, "command": " ".join(["python", *part.words]).replace(f"{ROOT}/", "")}
    result |= {"ok": not error, "seconds": round(time.monotonic() - start, 1), "error": error[-2000:]}
    return result | {"rows": figures(part.name, out)}


def describe_failure(done: subprocess.CompletedProcess[str]) -> str:
    """The tests that failed, or else what was printed last, or else the exit code."""
    output = done.stderr.strip() or done.stdout.strip()
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return "\n".join(failed) or output or f"exit code {done.returncode}"


def figures(name: str, out: str) -> list[dict[str, Any]]:
    """The figures of a part, one dictionary a row."""
    if name == "tests":
        counts = re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", out.strip().rpartition("\n")[2])
        return [{word: int(count) for count, word in counts}] if counts else []
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if name == "check":
        rows = [
            {"configurations": len(row["configurations"]), "wrong": row["wrong"]}
            | {"change_by_default_precision": row["default_precision"]}
            for row in rows
        ]
    return [{key: row[key] for key in row if key != "seconds"} for row in rows]


def file_name(place: dict[str, Any]) -> str:
    """The chip and the version of JAX, in lower case with hyphens; a CPU is named by its processor."""
    chip = place["processor"] if place["device"].startswith("cpu") else place["device"].split(" ", 1)[1]
    return re.sub(r"[^a-z0-9.]+", "-", f"{chip} jax {place['jax']}".lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
