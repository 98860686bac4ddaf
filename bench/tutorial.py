"""Claim: the tutorial's 200 epochs are one compiled program that runs in well under a millisecond on a laptop CPU.

    python bench/tutorial.py

Trains the tutorial's network (100 rows, 3-32-1, 200 epochs), `train` beside the textbook form of the same formulas.
Prints a table, and one JSON line for each system. A call is timed until its losses are a NumPy array.
"""

import argparse
import json
import platform
import statistics
import time

import jax
import numpy as np

import jaxmlp
from jaxmlp.tutorial import tutorial


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds

    data_key, params_key = jax.random.split(jax.random.key(0))
    x, y = jaxmlp.synthetic_regression(data_key)
    params = jaxmlp.init_params(params_key)
    textbook = jax.jit(tutorial)
    systems = {
        "jaxmlp.train": lambda: np.asarray(jaxmlp.train(params, x, y)[1]),
        "textbook formulas, jit + scan": lambda: np.asarray(textbook((*params[0], *params[1]), x, y)[1]),
    }

    compile_seconds, losses = {}, {}
    for name, call in systems.items():
        start = time.perf_counter()
        losses[name] = call()
        compile_seconds[name] = time.perf_counter() - start
    for name, history in losses.items():
        np.testing.assert_allclose(history, losses["jaxmlp.train"], rtol=1e-4, err_msg=name)

    seconds = {name: [] for name in systems}
    for _ in range(rounds):
        for name, call in systems.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)

    device = jax.devices()[0]
    where = f"{device.platform} {device.device_kind}, jax {jax.__version__}, Python {platform.python_version()}"
    print(f"{where}; {rounds} alternating rounds")
    print(f"{'system':32} {'first call':>12} {'median':>12} {'minimum':>12}")
    for name in systems:
        median, minimum = statistics.median(seconds[name]), min(seconds[name])
        print(f"{name:32} {compile_seconds[name]:10.2f} s {median * 1e6:9.0f} µs {minimum * 1e6:9.0f} µs")
    for name in systems:
        line = {"bench": "tutorial", "system": name, "device": where, "rounds": rounds}
        line |= {"first_call_seconds": compile_seconds[name], "seconds": seconds[name]}
        print(json.dumps(line))


if __name__ == "__main__":
    main()
