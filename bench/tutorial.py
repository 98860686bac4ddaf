"""Claim: the tutorial's 200 epochs cost little more than twice a hand-written C loop, and far less than any framework.

    taskset -c 0 python bench/tutorial.py                                         (one core)
    XLA_FLAGS=--xla_cpu_max_isa=AVX2 taskset -c 0 python bench/tutorial.py        (without wider vectors, if there are)

The tutorial's network (100 rows, 3-32-1, 200 epochs) from the same weights, in the same process, the systems taking
turns. All of them are first checked to compute the same losses. A call is timed until its losses are a NumPy array.
Below the table of training runs: what `train` costs above a bare `jax.jit` of the same program, one epoch, cached.
"""

import jax
import numpy as np
from common import AbsentError, alternate, arguments, closeness, configured, first_call, ratio, report, summary
from peers import ALL

import jaxmlp
from jaxmlp.tutorial import init_weights, tutorial

EPOCHS, RATE = 200, 1e-4


def main():
    args = configured(arguments(__doc__))
    data_key, weights_key = jax.random.split(jax.random.key(0))
    x, y = jaxmlp.synthetic_regression(data_key)
    weights = init_weights(weights_key)
    params = (jaxmlp.Layer(*weights[:2]), jaxmlp.Layer(*weights[2:]))
    textbook = jax.jit(tutorial)

    def steps():
        p, losses = params, []
        for _ in range(EPOCHS):
            p, loss = jaxmlp.train_step(p, x, y, RATE)
            losses.append(loss)
        return np.array(losses)

    systems = {
        "jaxmlp.train": lambda: np.asarray(jaxmlp.train(params, x, y, RATE)[1]),
        "textbook JAX, jit + scan": lambda: np.asarray(textbook(weights, x, y)[1]),
        "jaxmlp.train_step, 200 calls": steps,
    }
    for name, peer in ALL.items():
        try:
            systems[name] = peer(tuple(np.asarray(w) for w in weights), np.asarray(x), np.asarray(y), RATE, EPOCHS)
        except AbsentError as what:
            print(f"skipped: {name} ({what} is not here)")

    starts = {name: first_call(call) for name, call in systems.items()}
    expected = systems["jaxmlp.train"]()
    for name, call in systems.items():
        np.testing.assert_allclose(call(), expected, rtol=closeness(), err_msg=f"{name} computes something else")

    seconds = alternate(systems, args.rounds, calls=3)
    limit = seconds.get("C loop")
    rows = []
    for name in sorted(systems, key=lambda name: min(seconds[name])):
        row = {"system": name, "times_c": ratio(seconds[name], limit) if limit else None}
        row |= {"times_jaxmlp": ratio(seconds[name], seconds["jaxmlp.train"])}
        rows.append(row | {"first_call_s": starts[name]} | summary(seconds[name]))
    report("tutorial", "200 epochs of the tutorial's network", rows)

    bare = jax.jit(lambda params, x, y, rate: jaxmlp.train(params, x, y, rate, epochs=1))
    calls = {
        "bare jax.jit, one epoch": lambda: np.asarray(bare(params, x, y, RATE)[1]),
        "jaxmlp.train, one epoch": lambda: np.asarray(jaxmlp.train(params, x, y, RATE, epochs=1)[1]),
    }
    seconds = alternate(calls, 5 * args.rounds, calls=20)
    report("dispatch", "a cached call, one epoch", [{"system": k} | summary(v) for k, v in seconds.items()])


if __name__ == "__main__":
    main()
