"""Claim: an epoch of mini-batches takes less time than with any peer.

    python bench/minibatch.py                     (all cells; --case images, numbers or networks, --batch 32,128,1024)

images    60,000 rows through 784-256-128-10, ReLU, softmax cross entropy.
numbers   50,000 rows through 20-64-64-1, ReLU, squared error.
networks  100 networks 20-64-64-1 on the same 5,000 rows, each in an order of its own.
Batches of 32, 128 and 1024 rows (networks: 128), float32, Adam. The peers are plain JAX with optax in a scan, flax nnx
in a scan, torch with fused Adam, the same with torch.compile, and scikit-learn; for many networks torch.func.vmap, and
scikit-learn in two processes.

Each system runs in a process of its own. All start from the same weights, and a first run uses the same batches in the
same order: the losses of its epochs must agree. In the timed runs, which take turns, each system draws its orders
itself. `first_s` is the time of the first run, with imports left out and compilation included; `peak_MiB` is the
largest memory of the process and its children, imports and data included. A system that is not installed is named.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from common import AbsentError, report
from minibatch_systems import CASES, SYSTEMS, make_problem, peak_memory

# How far the losses of two systems may lie apart: roundings grow from step to step, and scikit-learn adds the epsilon
# of Adam elsewhere.
CLOSENESS = 2e-2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, help="one of the problems (default: all)")
    parser.add_argument("--batch", default="", help="rows in a batch, as in 32,128 (default: those of the problem)")
    parser.add_argument("--rows", type=int, help="number of rows, for a try (default: those of the problem)")
    parser.add_argument("--only", nargs="+", help="systems, by a part of their names")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of a run (default 3)")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(*args.worker)
        return
    rows = []
    for name, case in CASES.items():
        if args.case in (None, name):
            case = case._replace(rows=args.rows or case.rows)
            for batch in map(int, args.batch.split(",")) if args.batch else case.batches:
                rows += measure(name, case, batch, args)
    report("minibatch", "seconds an epoch of mini-batches, Adam, float32", rows)


def measure(name, case, batch, args):
    """Return a row for each system that is installed."""
    chosen = [system for system in SYSTEMS[name] if not args.only or any(word in system for word in args.only)]
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "orders.npy"
        np.save(path, orders_of(case, batch, args.epochs))
        about = {"case": name, "rows": case.rows, "batch": batch, "epochs": args.epochs, "orders": str(path)}
        workers = {system: Worker(system, about) for system in chosen}
        first = {}
        for system, worker in list(workers.items()):
            answer = worker.ask("check")
            if "absent" in answer:
                print(f"skipped: {system} ({answer['absent']} is not here)")
                del workers[system]
                continue
            first[system] = answer
            np.testing.assert_allclose(
                answer["losses"], next(iter(first.values()))["losses"], rtol=CLOSENESS, err_msg=f"{system} differs"
            )
        for worker in workers.values():  # compiles what draws the orders
            worker.ask("run")
        seconds = {system: [] for system in workers}
        for _ in range(args.rounds):
            for system, worker in workers.items():
                seconds[system].append(worker.ask("run")["seconds"] / args.epochs)
        peaks = {system: worker.ask("end")["peak"] for system, worker in workers.items()}
    ours = statistics.median(next(iter(seconds.values())))
    return [
        {
            "case": name, "batch": batch, "system": system, "epoch_s": statistics.median(seconds[system]),
            "minimum_s": min(seconds[system]), "times_ours": statistics.median(seconds[system]) / ours,
            "first_s": first[system]["seconds"], "peak_MiB": round(peaks[system] / 2**20),
            "loss": float(np.mean(np.asarray(first[system]["losses"])[..., -1])),
            "seconds": [float(f"{value:.4g}") for value in seconds[system]],
        }
        for system in workers
    ]  # fmt: skip


def orders_of(case, batch, epochs):
    """Return the orders in which `fit_epochs` takes the rows, (epochs, n), of many networks (members, epochs, n)."""
    import jax

    from jaxmlp.fitting.batches import _draw_order

    def order(key, epoch):
        return _draw_order(jax.random.fold_in(key, epoch), case.rows, None, batch, True).ravel()[: case.rows]

    number = np.arange(epochs)
    key = jax.random.key(1)
    if not case.members:
        return np.asarray(jax.jit(jax.vmap(order, (None, 0)))(key, number))
    keys = jax.random.split(key, case.members)
    return np.asarray(jax.jit(jax.vmap(jax.vmap(order, (None, 0)), (0, None)))(keys, number))


class Worker:
    """A process that runs one system, and answers a word with a line of JSON."""

    def __init__(self, system, about):
        command = [sys.executable, __file__, "--worker", system, json.dumps(about)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, word):
        """Return the answer to check, run or end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline() or "null")


def work(system, text):
    """Answer each word on stdin: check, run or end."""
    about = json.loads(text)
    case = CASES[about["case"]]._replace(rows=about["rows"])
    try:
        problem = make_problem(case, about["batch"])
        run = SYSTEMS[about["case"]][system](problem, about["epochs"])
    except AbsentError as what:
        sys.stdin.readline()
        print(json.dumps({"absent": str(what)}))
        return
    for line in sys.stdin:
        word = line.strip()
        orders = np.load(about["orders"]) if word == "check" else None
        answer = {"peak": peak_memory()}
        if word != "end":
            start = time.perf_counter()
            losses = run(orders)
            answer = {"seconds": time.perf_counter() - start, "losses": np.asarray(losses).tolist()}
        print(json.dumps(answer), flush=True)
        if word == "end":
            return


if __name__ == "__main__":
    main()
