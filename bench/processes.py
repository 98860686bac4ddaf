"""Claim: two processes of `jax.distributed`, with a device each, train as fast as one process with two devices.

    python bench/processes.py              (needs two cores; --processes 4 for four, --case cross_validate for one)

train_ensemble  64 networks 20-64-64-1 on 1,000 rows, 50 epochs.
fit, 4096       one network 784-1024-1024-10 on 16,384 rows, batches of 4,096, 2 epochs: the rows of a batch are split.
fit, 1024       the same with batches of 1,024. Each process sends the gradient, and takes the whole step of Adam, for
                each batch: the more rows in it, the less that matters.
fit, ensemble   16 networks 20-64-64-1 on 5,000 rows, batches of 128, 30 epochs: its members are split.
cross_validate  5 folds and 2 seeds of a network 20-32-1 on 2,000 rows, 1,000 epochs.

The processes talk over the loopback, and wait for a line before each call. Both systems compute the same numbers. The
first call compiles: it is timed apart. Each of several processes has one thread (`NPROC=1`, as `jaxmlp train
--distributed` sets it). To split the rows of a large network, each is bound to a core, with two threads, because
products with one thread take a quarter longer.
"""

import hashlib
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import time

import jax
import numpy as np
from common import arguments, report

import jaxmlp


def rows(n, columns, outputs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, columns)).astype(np.float32)
    return x, np.sin(x[:, :outputs]) + 0.1 * rng.normal(size=(n, outputs)).astype(np.float32)


def train_ensemble():
    params = jaxmlp.init_ensemble(jax.random.key(0), (20, 64, 64, 1), 64)
    x, y = rows(1000, 20, 1)
    return lambda: jaxmlp.train_ensemble(params, x, y, 1e-5, epochs=50)[1]


def fit(sizes, n, members, **options):
    key = jax.random.key(0)
    params = jaxmlp.init_ensemble(key, sizes, members) if members else jaxmlp.init_params(key, sizes)
    x, y = rows(n, sizes[0], sizes[-1])
    optimizer = jaxmlp.adam()
    return lambda: jaxmlp.fit(params, x, y, key=jax.random.key(1), optimizer=optimizer, **options).history.loss


def cross_validate():
    x, y = rows(2000, 20, 1)
    options = {"hidden": (32,), "folds": 5, "seeds": 2, "epochs": 1000, "batch_size": 128, "candidates": [(1e-3, 0.0)]}
    return lambda: jaxmlp.cross_validate(x, y, key=jax.random.key(1), **options).network.score


CASES = {
    "train_ensemble": train_ensemble,
    "fit, 4096": lambda: fit((784, 1024, 1024, 10), 16_384, None, batch_size=4096, epochs=2),
    "fit, 1024": lambda: fit((784, 1024, 1024, 10), 16_384, None, batch_size=1024, epochs=2),
    "fit, ensemble": lambda: fit((20, 64, 64, 1), 5000, 16, batch_size=128, epochs=30),
    "cross_validate": cross_validate,
}
BOUND = ("fit, 4096", "fit, 1024")


def main():
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--case", choices=CASES, help="one of the cases (default: all)")
    parser.add_argument("--processes", type=int, default=2, help="number of processes, and of devices (default 2)")
    parser.add_argument("--worker", nargs=4, help="name, port, processes and process, of a worker", default=None)
    args = parser.parse_args()
    if args.worker:
        name, *numbers = args.worker
        port, processes, process = map(int, numbers)
        work(name, port, processes, process, args.processes)
        return
    jax.config.update("jax_platforms", "cpu")
    measured = [row for name in CASES if args.case in (None, name) for row in measure(name, args)]
    report("processes", f"a call after the first, {args.processes} processes beside one", measured)


def measure(name, args):
    """Return a row for each system."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    systems = {"one process": 1, f"{args.processes} processes": args.processes}
    command = [sys.executable, __file__, "--processes", str(args.processes), "--worker", name, str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}

    def start(count, k):
        share = {"NPROC": "2" if name in BOUND else "1"} if count > 1 else {}
        return subprocess.Popen([*command, str(count), str(k)], env=os.environ | share, **pipes)

    running = {system: [start(count, k) for k in range(count)] for system, count in systems.items()}
    first = {system: ask(workers) for system, workers in running.items()}
    np.testing.assert_allclose(*(answer["result"] for answer in first.values()), rtol=1e-4)
    seconds = {system: [] for system in running}
    for _ in range(args.rounds):
        for system, workers in running.items():
            seconds[system].append(ask(workers)["seconds"])
    workers = list(itertools.chain(*running.values()))
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
    assert [worker.wait() for worker in workers] == [0] * len(workers)
    one = seconds["one process"]
    return [
        {
            "case": name, "system": system, "median_s": statistics.median(own), "minimum_s": min(own),
            "speed_to_one": statistics.median(a / b for a, b in zip(one, own, strict=True)),
            "first_s": first[system]["seconds"], "seconds": own,
        }
        for system, own in seconds.items()
    ]  # fmt: skip


def ask(workers):
    """Let all workers of a system call once; return the slowest answer."""
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    # Gloo, which sends the messages, prints lines of its own.
    answers = [json.loads(next(line for line in worker.stdout if line.startswith("{"))) for worker in workers]
    assert len({answer["digest"] for answer in answers}) == 1, "each process gets the same"
    return max(answers, key=lambda answer: answer["seconds"])


def work(name, port, processes, process, devices):
    """Answer each line on stdin with the seconds of a call and its result."""
    if name in BOUND and processes > 1:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [cores[process % len(cores)]])
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices // processes)
    if processes > 1:
        here = f"127.0.0.1:{port}"
        jax.distributed.initialize(here, processes, process, coordinator_bind_address=here)
    call = CASES[name]()
    for _ in sys.stdin:
        start = time.perf_counter()
        result = np.asarray(call())
        seconds = time.perf_counter() - start
        digest = hashlib.sha256(result.tobytes()).hexdigest()
        print(json.dumps({"seconds": seconds, "digest": digest, "result": float(np.mean(result))}), flush=True)


if __name__ == "__main__":
    main()
