"""Claim: gradients by hand cost no more than autodiff's, in time or memory, from tiny networks to large ones.

    python bench/scaling.py --devices 2           (all parts; --part grid, epochs, large, fit, sharded or middle)

grid    `manual_value_and_grads` beside `jax.value_and_grad` of our own loss and of the loss as a textbook writes it:
        100 to 8192 rows, 32 to 1024 units, one and three hidden layers, 1 and 10 outputs; with temporary memory.
epochs  `train` of 100 rows through 3-32-1, 1 to 10,000 epochs, compared with the same scan over `jax.value_and_grad`.
large   one gradient step of 8192 rows through 256-1024-1024-10 (accelerators: 1024-4096-4096-1024) beside this run's
        own peak, the best median of a jitted float32 product of the largest layer, and beside torch; on accelerators
        at JAX's default precision and at full float32. Work is the layer products needed.
fit     mini-batches: 50,000 rows through 20-256-256-1 in batches of 256, Adam, 5 epochs, and the same loop in torch.
sharded an epoch of `train` of that network: on one device, which on a CPU uses all cores, and with its rows over all.
middle  an epoch of `train`, 1000 rows through 10-64-64-1 (50 in a call), on one core and on two: each in a process of
        its own, the two taking turns.
A call is timed until its results are complete.
"""

import functools
import itertools
import json
import os
import statistics
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from common import AbsentError, alternate, arguments, closeness, configured, ratio, report, summary
from peers import torch_gradients, torch_minibatches

import jaxmlp

GRID = [(n, (8, *[width] * depth, outputs)) for n, width, depth, outputs in [
    (100, 32, 1, 1), (100, 256, 1, 1), (100, 1024, 1, 1), (1000, 32, 1, 1), (1000, 256, 1, 1), (1000, 1024, 1, 1),
    (8192, 32, 1, 1), (8192, 256, 1, 1), (8192, 1024, 1, 1),
    (100, 32, 3, 10), (100, 256, 3, 10), (1000, 32, 3, 10), (1000, 256, 3, 10), (8192, 32, 3, 10), (8192, 256, 3, 10),
    (8192, 1024, 3, 10), (1000, 64, 1, 10), (1000, 1024, 1, 10), (8192, 64, 1, 10), (8192, 256, 1, 10),
]]  # fmt: skip
GRID += [(n, (3, 32, 1)) for n in (100, 128, 129, 1000, 8192)] + [(8192, (3, 1024, 1))]


def main():
    parser = arguments(__doc__)
    parser.add_argument("--part", choices=("grid", "epochs", "large", "fit", "sharded", "middle", "worker"))
    args = configured(parser)
    if args.part == "worker":
        worker()
        return
    parts = {"middle": middle, "grid": grid, "epochs": epochs, "large": large, "fit": fit, "sharded": sharded}
    for name, part in parts.items():
        if args.part in (None, name):
            part(args.rounds)


def data(n, sizes):
    """Parameters, inputs and targets, the same whenever they are asked for."""
    rng = np.random.default_rng(0)
    params = jax.jit(lambda key: jaxmlp.init_params(key, sizes, w_init=jax.nn.initializers.he_normal()))(
        jax.random.key(0)
    )
    x, y = rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))
    return params, jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)


def textbook_loss(params, x, y):
    """The loss as a textbook writes it."""
    *hidden, (w, b) = params
    for v, c in hidden:
        x = jnp.maximum(x @ v + c, 0)
    return ((x @ w + b - y) ** 2).sum()


def grid(rounds):
    rows = []
    for n, sizes in GRID:
        operands = data(n, sizes)
        functions = {
            "jaxmlp.manual_value_and_grads": jaxmlp.manual_value_and_grads,
            "jax.value_and_grad(jaxmlp.loss)": jax.value_and_grad(jaxmlp.loss),
            "jax.value_and_grad(textbook)": jax.value_and_grad(textbook_loss),
        }
        programs = {name: jax.jit(f).lower(*operands).compile() for name, f in functions.items()}
        (_, expected), *others = [program(*operands) for program in programs.values()]
        for _, grads in others:
            for leaf, other in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
                size = float(np.abs(other).max())
                np.testing.assert_allclose(leaf, other, rtol=closeness(), atol=closeness() * size)
        calls = {name: lambda p=p, o=operands: jax.block_until_ready(p(*o)) for name, p in programs.items()}
        work = 6 * n * sum(i * o for i, o in itertools.pairwise(sizes))
        # Short calls several in a turn, and in more turns: they are noisy.
        seconds = alternate(calls, rounds if work > 1e10 else 5 * rounds, calls=max(1, min(20, int(1e9 / work))))
        ours = seconds["jaxmlp.manual_value_and_grads"]
        memory = {name: getattr(p.memory_analysis(), "temp_size_in_bytes", np.nan) for name, p in programs.items()}
        for name in programs:
            row = {"rows": n, "sizes": "-".join(map(str, sizes)), "system": name}
            row |= {"ours_to_it": ratio(ours, seconds[name]), "temp_KiB": memory[name] / 1024}
            rows.append(row | summary(seconds[name]))
    report("scaling grid", "hand-derived gradients compared with autodiff", rows)


def epochs(rounds):
    params, x, y = data(100, (3, 32, 1))
    rate = 1e-4

    @functools.partial(jax.jit, static_argnums=3)
    def by_autodiff(params, x, y, epochs):
        def epoch(params, _):
            value, grads = jax.value_and_grad(textbook_loss)(params, x, y)
            return jax.tree.map(lambda p, dp: p - rate * dp, params, grads), value

        return jax.lax.scan(epoch, params, length=epochs)

    rows = []
    for count in (1, 10, 100, 1000, 10_000):
        calls = {
            "jaxmlp.train": lambda n=count: np.asarray(jaxmlp.train(params, x, y, rate, epochs=n)[1]),
            "jax.value_and_grad(textbook), scan": lambda n=count: np.asarray(by_autodiff(params, x, y, n)[1]),
        }
        ours, theirs = (call() for call in calls.values())
        np.testing.assert_allclose(ours, theirs, rtol=closeness())
        seconds = alternate(calls, rounds, calls=max(1, 100 // count))
        for name, measured in seconds.items():
            row = {"epochs": count, "system": name, "ours_to_it": ratio(seconds["jaxmlp.train"], measured)}
            rows.append(row | {"us_an_epoch": statistics.median(measured) / count * 1e6} | summary(measured))
    report("scaling epochs", "100 rows through 3-32-1, from the call to a NumPy array", rows)


def large(rounds):
    n, sizes = 8192, (256, 1024, 1024, 10)
    precisions = ["default"]
    if jax.default_backend() != "cpu":
        sizes, precisions = (1024, 4096, 4096, 1024), ["default", "highest"]
    params, x, y = data(n, sizes)
    wide = sizes[1]
    weights = sum(i * o for i, o in itertools.pairwise(sizes))
    # forward and weight gradients through every layer; input gradients through all but the first
    work = 2 * n * (3 * weights - sizes[0] * sizes[1])
    a, b = (jax.random.normal(jax.random.key(k), shape) for k, shape in enumerate([(n, wide), (wide, wide)]))
    peak = f"matrix product, {n} x {wide} x {wide}"
    rows = []
    for precision in precisions:
        with jax.default_matmul_precision(precision):
            product = jax.jit(jnp.matmul).lower(a, b).compile()
            step = jax.jit(jaxmlp.manual_value_and_grads).lower(params, x, y).compile()
        calls = {
            peak: lambda product=product: jax.block_until_ready(product(a, b)),
            "jaxmlp.manual_value_and_grads": lambda step=step: jax.block_until_ready(step(params, x, y)),
        }
        try:
            calls["torch, autograd"] = torch_gradients(
                [np.asarray(v) for v in jax.tree.leaves(params)], np.asarray(x), np.asarray(y), precision
            )
        except AbsentError as what:
            print(f"skipped: torch ({what} is not here)")
        seconds = alternate(calls, rounds)
        speed = {name: (2 * n * wide**2 if name == peak else work) / statistics.median(seconds[name]) for name in calls}
        rows += [
            {"system": name, "precision": precision, "gflops": speed[name] / 1e9, "of_peak": speed[name] / speed[peak]}
            | summary(seconds[name])
            for name in calls
        ]
    report("scaling large", f"{n} rows through {'-'.join(map(str, sizes))}", rows)


def fit(rounds):
    n, sizes, epochs, batch, rate = 50_000, (20, 256, 256, 1), 5, 256, 1e-3
    params, x, y = data(n, sizes)
    y = jnp.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3] + 0.1 * y
    optimizer = jaxmlp.adam(rate)
    state = jaxmlp.init_fit(params, key=jax.random.key(1), optimizer=optimizer)
    settings = {"optimizer": optimizer, "epochs": epochs, "batch_size": batch}
    calls = {"jaxmlp.fit_epochs": lambda: np.asarray(jaxmlp.fit_epochs(state, x, y, **settings)[1].loss)}
    try:
        arrays = jax.tree.map(np.asarray, params), np.asarray(x), np.asarray(y)
        calls["torch nn, autograd, Adam"] = torch_minibatches(*arrays, rate, epochs, batch)
    except AbsentError as what:
        print(f"skipped: torch ({what} is not here)")
    losses = {name: call() for name, call in calls.items()}
    for name, found in losses.items():  # The orders of the rows differ, and so do the losses a little.
        np.testing.assert_allclose(found, losses["jaxmlp.fit_epochs"], rtol=0.3, err_msg=name)
    seconds = alternate(calls, min(rounds, 5))
    ours = seconds["jaxmlp.fit_epochs"]
    rows = [
        {
            "system": name,
            "ours_to_it": ratio(ours, seconds[name]),
            "rows_a_second": n * epochs / statistics.median(seconds[name]),
        }
        | {"loss": float(losses[name][-1])}
        | summary([s / epochs for s in seconds[name]])
        for name in calls
    ]
    report("scaling fit", f"an epoch of {n} rows in batches of {batch}, {'-'.join(map(str, sizes))}, Adam", rows)


def sharded(rounds):
    devices = jax.devices()
    if len(devices) < 2:
        print("skipped: sharded (it needs several devices; --devices 2 makes two of a CPU)")
        return
    n, sizes, epochs = 8192, (256, 1024, 1024, 10), 2
    params, x, y = data(n, sizes)
    calls = {}
    for name, mesh in {
        "one device": jaxmlp.sharding.data_mesh(devices[:1]),
        f"{len(devices)} devices": jaxmlp.sharding.data_mesh(devices),
    }.items():
        batch = jaxmlp.sharding.shard_batch(mesh, x, y, np.full(n, 1 / n, np.float32))
        calls[name] = functools.partial(losses_of, jaxmlp.sharding.replicate(mesh, params), *batch, epochs)
    expected, losses = (call() for call in calls.values())
    np.testing.assert_allclose(losses, expected, rtol=closeness())
    seconds = alternate(calls, rounds)
    rows = [
        {"system": name, "speed_to_one": ratio(seconds["one device"], seconds[name])}
        | summary([s / epochs for s in seconds[name]])
        for name in calls
    ]
    report("scaling sharded", "8192 rows through 256-1024-1024-10, an epoch", rows)


def losses_of(params, x, y, weights, epochs):
    return np.asarray(jaxmlp.train(params, x, y, 1e-2, weights, epochs=epochs)[1])


def middle(rounds):
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        print("skipped: middle (it needs two cores, and a system that can bind a process to one)")
        return
    cores = sorted(os.sched_getaffinity(0))[:2]
    workers = {}
    for name, allowed in {"one core": cores[1:], "two cores": cores}.items():
        os.sched_setaffinity(0, allowed)  # which a child inherits
        command = [sys.executable, __file__, "--part", "worker", "--device", "cpu"]
        workers[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(0, cores)
    seconds = {name: [] for name in workers}
    for _ in range(rounds):
        for name, process in workers.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            seconds[name].append(json.loads(process.stdout.readline()))
    for process in workers.values():
        process.stdin.close()
        process.wait()
    rows = [{"system": k, "times_one_core": ratio(v, seconds["one core"])} | summary(v) for k, v in seconds.items()]
    report("scaling middle", "1000 rows through 10-64-64-1", rows)


def worker():
    """Answer each line on stdin with the seconds of an epoch."""
    params, x, y = data(1000, (10, 64, 64, 1))
    weights = np.full(1000, 1 / 1000, np.float32)
    for _ in sys.stdin:
        call = {"train": lambda: np.asarray(jaxmlp.train(params, x, y, 1e-2, weights, epochs=50)[1])}
        print(json.dumps(alternate(call, rounds=1, calls=4)["train"][0] / 50), flush=True)


if __name__ == "__main__":
    main()
