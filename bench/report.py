"""Turn the figures of the benchmarks into the tables of the documentation, and a picture.

    python bench/tutorial.py > results.txt; python bench/ensembles.py --devices 2 >> results.txt; …
    python bench/report.py results.txt [--picture docs/pictures/peers.png]
    python bench/report.py bench/results/*.json             (files of bench/accelerator.py)
    python bench/report.py bench/results/tables-*.jsonl     (files of bench/tables.py)

Prints a Markdown table for each benchmark, what loses too; lines that are no JSON are skipped.
"""

import argparse
import json
import pathlib
import statistics
from typing import Any

HIDDEN = {"bench", "commit", "device", "devices", "driver", "processor", "cores", "jax", "python", "seconds"}
HEADINGS = {
    "times_c": "times the C loop",
    "times_jaxmlp": "times jaxmlp",
    "median_us": "median, µs",
    "minimum_us": "minimum, µs",
    "first_call_s": "first call, s",
    "temp_KiB": "temporary memory, KiB",
    "times_import": "times import jax",
    "ours_to_it": "ours to it",
    "us_an_epoch": "an epoch, µs",
    "alone": "from training alone",
    "gflops": "GFLOP/s",
    "of_peak": "of the peak",
    "rows_a_second": "rows a second",
    "gain_median": "gain, median",
    "gain_minimum": "gain, minimum",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__ or "", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--picture", type=pathlib.Path, help="draw the tutorial's systems to this file")
    args = parser.parse_args()
    runs: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for path in args.files:
        if path.suffix == ".json":
            print(accelerator(json.loads(path.read_text())))
            continue
        for line in path.read_text().splitlines():
            if line.startswith("{"):
                row = json.loads(line)
                runs.setdefault((row["bench"], row["jax"], row["python"]), []).append(row)
    for (bench, _, _), rows in runs.items():
        print(f"\n{bench}: {where(rows[0])}\n")
        print(real_tables(rows) if bench == "tables" else table(rows))
    if args.picture:
        newest = [rows for (bench, _, _), rows in runs.items() if bench == "tutorial"][-1]
        draw(newest, args.picture)


def accelerator(result: dict[str, Any]) -> str:
    """The figures of one device, as `bench/accelerator.py` wrote them."""
    place = result["where"]
    driver = f", driver {place['driver']}" if "driver" in place else ""
    lines = [f"### {place['device'].split(' ', 1)[1]}", "", f"{where(place)}{driver}."]
    for part in result["parts"]:
        counts = ", ".join(f"{cell(row[key])} {key.replace('_', ' ')}" for row in part["rows"] for key in row)
        if part["part"] in ("check", "tests"):
            lines += ["", f"`{part['command'].split(' tests/')[0]}`: {counts or part['error']}."]
            continue
        if not part["ok"]:
            lines += ["", f"`{part['command']}` failed: {part['error']}"]
        for bench in dict.fromkeys(row["bench"] for row in part["rows"]):
            rows = [row for row in part["rows"] if row["bench"] == bench]
            lines += ["", f"`{part['command']}`, {bench}:", "", table(rows)]
    return "\n".join(lines)


def real_tables(rows: list[dict[str, Any]]) -> str:
    """The figures of `bench/tables.py`: ratios of errors, what a fit costs, and what the reports are worth."""
    from table_calibration import describe_calibration
    from tables import compare

    tables, peers = compare(rows)
    summary = [
        {"peer": line["peer"], "geometric mean": line["geometric_mean"], "median": line["median"]}
        | {"wins": f"{line['wins']} of {line['tables']}", "worst": line["worst"], "there": line["worst_table"]}
        for line in peers
    ]
    costs = []
    for system in dict.fromkeys(row["system"] for row in rows):
        own = [row for row in rows if row["system"] == system]
        medians = [statistics.median(row[key] for row in own) for key in ("train_s", "row_us", "kB")]
        cost = {"system": system, "seconds to train, median": medians[0], "most": max(row["train_s"] for row in own)}
        costs.append(cost | {"µs a predicted row": medians[1], "kB of the model file": medians[2]})
    promises = describe_calibration([row for row in rows if row["system"] == "jaxmlp"])
    return "\n\n".join([table(tables), table(summary), table(costs), "\n".join(f"* {line}" for line in promises)])


def where(row: dict[str, Any]) -> str:
    """What the figures belong to, in one line."""
    cores = "1 core" if row["cores"] == 1 else f"{row['cores']} cores"
    device = " ".join(dict.fromkeys(row["device"].split()))  # The platform and the kind of device may be equal.
    return f"{row['processor']}, {cores}, {device}, jax {row['jax']}, Python {row['python']}, {row['commit']}"


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table with a column for each figure."""
    columns = [key for key in rows[0] if key not in HIDDEN and any(row.get(key) is not None for row in rows)]
    lines = ["| " + " | ".join(HEADINGS.get(column, column) for column in columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        lines.append("| " + " | ".join(cell(row.get(column)) for column in columns) + " |")
    return "\n".join(lines)


def cell(value: object) -> str:
    """Three significant digits, no exponents."""
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    rounded = float(f"{value:.3g}")
    return f"{rounded:.0f}" if value >= 1e6 else f"{rounded:g}"


def draw(rows: list[dict[str, Any]], path: pathlib.Path) -> None:
    """Median times as dots on a logarithmic axis, which has no zero for bars to start at; ours in colour."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    rows = sorted(rows, key=lambda row: -row["median_us"])
    figure = Figure(figsize=(9, 0.45 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    colours = ["#1f4e79" if row["system"] == "jaxmlp.train" else "#7d8b99" for row in rows]
    times = [row["median_us"] / 1e3 for row in rows]
    axes.scatter(times, [row["system"] for row in rows], color=colours, s=60, zorder=2)
    for place, time in enumerate(times):
        axes.annotate(f"{time:.3g} ms", (time, place), (8, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlim(min(times) / 1.3, max(times) * 1.8)
    axes.grid(alpha=0.2)
    axes.set(xlabel="milliseconds for the tutorial's 200 epochs, median (logarithmic)", title=where(rows[0]))
    axes.title.set_fontsize(9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
