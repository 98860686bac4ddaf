"""Claim: a thousand small networks train in one program, each for less than a C loop alone needs on one core.

    python bench/ensembles.py --devices 2          (two cores: two CPU devices)

Networks of the tutorial (100 rows, 3-32-1, 200 epochs), shared data, from 1 to --members: `train_ensemble`, a plain
vmap of the textbook form, torch's batched products, and the C loop one network after another. All are first checked
to compute the same losses, and `alone` is how far those of up to 100 members lie from those of `train`. A call is timed
until its losses are a NumPy array. Peak memory is that of the process. A system that fails is named.
"""

import functools
import resource
import sys

import jax
import numpy as np
from common import AbsentError, alternate, arguments, closeness, configured, ratio, report, summary
from peers import c_loop, torch_batched

import jaxmlp
from jaxmlp.tutorial import tutorial

EPOCHS, RATE = 200, 1e-4


def main():
    parser = arguments(__doc__)
    parser.add_argument("--members", default="1,16,256", help="how many networks, as in 1,16,256,10000")
    parser.add_argument("--only", help="just one system, as in jaxmlp (for peak memory)")
    args = configured(parser)
    x, y = jaxmlp.synthetic_regression(jax.random.key(0))
    rows = []
    for members in (int(count) for count in args.members.split(",")):
        params = jaxmlp.init_ensemble(jax.random.key(1), (3, 32, 1), members)
        systems = {}
        for name, build in SYSTEMS.items():
            if args.only and args.only not in name:
                continue
            try:
                systems[name] = build(params, x, y)
            except AbsentError as what:
                print(f"skipped: {name} ({what} is not here)")
        expected = np.asarray(jaxmlp.train_ensemble(params, x, y, RATE)[1])
        for name, call in list(systems.items()):
            try:
                losses = call()
            except RuntimeError as error:  # the device's memory, for example
                print(f"failed: {name}, {members} members: {str(error).splitlines()[0]}")
                del systems[name]
                continue
            np.testing.assert_allclose(losses, expected[: len(losses)], rtol=closeness(), err_msg=f"{name} differs")
        seconds = alternate(systems, args.rounds)
        alone = furthest_from_alone(params, x, y, expected)
        # What one network costs: the C loop trains the first one only.
        each = {name: [s / (1 if name == C else members) for s in seconds[name]] for name in seconds}
        for name in systems:
            row = {"system": name, "members": members, "times_c": ratio(each[name], each[C]) if C in each else None}
            row |= {"alone": alone} if name.startswith("jaxmlp") else {}
            rows.append(row | summary(each[name]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    report("ensembles", "microseconds a network, 200 epochs", rows)
    print(f"peak memory of this process: {peak / 2**20:.0f} MiB")


def furthest_from_alone(params, x, y, losses):
    """The largest relative difference between the losses of members and those of the same networks trained alone."""
    sample = np.random.default_rng(0).choice(len(losses), min(len(losses), 100), replace=False)
    singles = [jaxmlp.train(jax.tree.map(lambda leaf, k=k: leaf[k], params), x, y, RATE)[1] for k in sample]
    return float(np.max(np.abs(np.array(singles) / losses[sample] - 1)))


def ours(params, x, y):
    return lambda: np.asarray(jaxmlp.train_ensemble(params, x, y, RATE)[1])


def plain_vmap(params, x, y):
    weights = (*params[0], *params[1])
    run = jax.jit(jax.vmap(functools.partial(tutorial), (0, None, None)))
    return lambda: np.asarray(run(weights, x, y)[1])


def torch_products(params, x, y):
    weights = [np.asarray(leaf) for leaf in (*params[0], *params[1])]
    return torch_batched(weights, np.asarray(x), np.asarray(y), RATE, EPOCHS)


def one_c_loop(params, x, y):
    weights = [np.asarray(leaf[0]) for leaf in (*params[0], *params[1])]
    run = c_loop(weights, np.asarray(x), np.asarray(y), RATE, EPOCHS)
    return lambda: run()[None]


C = "C loop, one network, one core"
SYSTEMS = {
    "jaxmlp.train_ensemble": ours,
    "plain vmap of the textbook form": plain_vmap,
    "torch, batched products": torch_products,
    C: one_c_loop,
}


if __name__ == "__main__":
    main()
