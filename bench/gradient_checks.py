"""How many wrong gradients `jaxmlp.check_gradients` finds, and how many right ones it calls wrong.

    python bench/gradient_checks.py                 (needs flax and equinox: pip install '.[bench]')
    python bench/gradient_checks.py --part faults --part right --every 5        (a sample: each fifth check)

faults  30 faults planted in each of 10 models, float32, and what `jax.test_util.check_grads` says of the same functions
right   100 right gradients: kinks, ties, float32, bfloat16, cancelling sums, targets of 1e6, empty leaves
second  20 faults in second derivatives
time    the tutorial's network, and one of a million parameters on 1,000 rows
rows    the time of `row_gradient_norms`, and how many wrong labels are among the rows that pull hardest
"""

import argparse
import itertools
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

# Before JAX is imported. Faults of a model differ in a number, not in the program: each model is compiled once.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(tempfile.gettempdir(), "gradient_checks")))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import jax.numpy as jnp
import numpy as np
from gradient_models import KINDS, PLACES, Model, make_models, with_faults
from jax.test_util import check_grads

import jaxmlp
from jaxmlp.verification import GradientReport


def catches(model: Model, fault: int) -> bool:
    """Return whether `check_gradients` finds a fault."""
    loss, gradient = with_faults(model)
    number = np.float32(fault)
    return not jaxmlp.check_gradients(loss, *model[1:], number, gradient=gradient).ok


def check_grads_catches(model: Model, fault: int) -> bool:
    """Return whether `jax.test_util.check_grads` finds it, with its default tolerances."""
    loss, gradient = with_faults(model)
    leaves, structure = jax.tree.flatten(model.params)
    places = [k for k, leaf in enumerate(leaves) if hasattr(leaf, "dtype")]
    rest = model.x, model.y, np.float32(fault)

    def join(arrays):
        new = dict(zip(places, arrays, strict=True))
        return jax.tree.unflatten(structure, [new.get(k, leaf) for k, leaf in enumerate(leaves)])

    @jax.custom_vjp
    def f(arrays):
        return loss(join(arrays), *rest)

    def backward(arrays, u):
        return ([u * g for g in jax.tree.leaves(gradient(join(arrays), *rest))],)

    f.defvjp(lambda arrays: (f(arrays), arrays), backward)
    try:
        check_grads(jax.jit(f), ([leaves[k] for k in places],), order=1, modes=["rev"])
    except AssertionError:
        return True
    return False


def run_faults(every: int) -> None:
    """Print how many of the 300 faults each check finds."""
    total = np.zeros(3, int)
    print(f"{'':14}{'faults':>8}{'check_gradients':>17}{'check_grads':>13}")
    for name, make in make_models().items():
        model, faults = make(), range(0, len(KINDS) * PLACES, every)
        ours = [catches(model, fault) for fault in faults]
        counts = np.array([len(faults), sum(ours), sum(check_grads_catches(model, fault) for fault in faults)])
        total += counts
        missed = [f"{KINDS[k // PLACES]} ({k % PLACES})" for k, found in zip(faults, ours, strict=True) if not found]
        print(f"{name:14}{counts[0]:8}{counts[1]:17}{counts[2]:13}  {', '.join(missed)}", flush=True)
    print(f"{'total':14}{total[0]:8}{total[1]:17}{total[2]:13}", flush=True)


Check = Callable[[], GradientReport]


def right_gradients() -> Iterator[tuple[str, Check]]:
    """Yield a name and a check for each of 100 right gradients."""
    right = np.float32(len(KINDS) * PLACES)
    changes = {
        "float32": lambda p, x, y: (p, x, y),
        "bfloat16": lambda *parts: tuple(cast(part, jnp.bfloat16) for part in parts),
        "targets times 1e6": lambda p, x, y: (p, x, y * np.float32(1e6)),
        "targets plus 1e6": lambda p, x, y: (p, x, y + np.float32(1e6)),
        "scaled by 1e-3": lambda p, x, y: (cast(p, jnp.float32, 1e-3), x, y),
    }
    for name, make in make_models().items():
        model = make()
        loss, gradient = with_faults(model)
        for what, change in changes.items():
            arguments = (*change(*model[1:]), right)
            yield f"{name}, {what}", lambda a=arguments, f=loss, g=gradient: jaxmlp.check_gradients(f, *a, gradient=g)
    yield from kinks_and_ties()
    yield from cancelling_sums()


def cast(tree, dtype, factor=1.0):
    """Return a tree with its floating-point leaves in a dtype, times a factor."""

    def convert(leaf):
        is_float = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.asarray(leaf * np.float32(factor), dtype) if is_float else leaf

    return jax.tree.map(convert, tree)


def kinks_and_ties() -> Iterator[tuple[str, Check]]:
    """Yield functions at a kink or a tie, each with two values between the one-sided slopes."""
    x = np.array([0, -1, 1, 0.3, 0, 0.3, -2.5, 3, 6], np.float32)
    y = np.where(np.arange(9) % 2, x, 1).astype(np.float32)
    functions = {
        "relu": (jax.nn.relu, lambda x, t: jnp.where(x > 0, 1, jnp.where(x < 0, 0, t))),
        "leaky relu": (jax.nn.leaky_relu, lambda x, t: jnp.where(x > 0, 1, jnp.where(x < 0, 0.01, 0.01 + 0.99 * t))),
        "hard tanh": (jax.nn.hard_tanh, lambda x, t: jnp.where(abs(x) < 1, 1, jnp.where(abs(x) > 1, 0, t))),
        "relu6": (jax.nn.relu6, lambda x, t: jnp.where((x > 0) & (x < 6), 1, jnp.where((x < 0) | (x > 6), 0, t))),
        "absolute error": (lambda x: jnp.abs(x - y.astype(x.dtype)), lambda x, t: _sign(x - y.astype(x.dtype), t)),
        "absolute value": (jnp.abs, _sign),
        "elu": (jax.nn.elu, lambda x, t: jnp.where(x > 0, 1, jnp.exp(jnp.minimum(x, 0))) + 0 * t),
        "hinge": (lambda x: jnp.maximum(0, 1 - x), lambda x, t: jnp.where(x < 1, -1, jnp.where(x > 1, 0, -t))),
        "clip": (lambda x: jnp.clip(x, 0, 3), lambda x, t: jnp.where((x > 0) & (x < 3), 1, (x >= 0) & (x <= 3)) * 1.0),
        "floor of a square root": (lambda x: jnp.floor(jnp.abs(x) + 0.5), lambda x, t: 0 * x * t),
    }
    for name, (function, slope) in functions.items():
        for t in (0.0, 0.5, 1.0):

            def gradient(x, slope=slope, t=t):
                return jnp.asarray(slope(x, t), x.dtype)

            yield (
                f"{name}, {t}",
                lambda f=function, g=gradient: jaxmlp.check_gradients(lambda x: jnp.sum(f(x)), x, gradient=g),
            )
    ties = {
        "max": (jnp.max, lambda x: jnp.zeros_like(x).at[jnp.argmax(x)].set(1)),
        "min": (jnp.min, lambda x: jnp.zeros_like(x).at[jnp.argmin(x)].set(1)),
        "sort": (lambda x: jnp.sort(x) @ jnp.arange(9, dtype=x.dtype), lambda x: jnp.argsort(jnp.argsort(x)) * 1.0),
        "median": (jnp.median, lambda x: jnp.zeros_like(x).at[jnp.argsort(x)[4]].set(1)),
        "max pooling": (lambda x: jnp.sum(jnp.max(x.reshape(3, 3), 1)), None),
    }
    for name, (function, gradient) in ties.items():
        by_hand = gradient and (lambda x, g=gradient: jnp.asarray(g(x), x.dtype))
        yield name, lambda f=function, g=by_hand: jaxmlp.check_gradients(f, x, gradient=g)


def _sign(x, t):
    return jnp.where(x > 0, 1, jnp.where(x < 0, -1, 2 * t - 1))


def cancelling_sums() -> Iterator[tuple[str, Check]]:
    """Yield functions whose gradient is lost to rounding, empty leaves, and gradients of 0."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=200).astype(np.float32)
    functions = {
        "a minimum": lambda x: jnp.sum((x - jnp.mean(x)) ** 2) * jnp.mean(x - jnp.mean(x)),
        "a constant that cancels": lambda x: jnp.sum(x + 1e4 - 1e4) ** 2,
        "a sum minus itself, reversed": lambda x: (jnp.sum(x) - jnp.sum(x[::-1])) ** 2 + jnp.sum(x),
        "a shift of a softmax": lambda x: -jax.nn.log_softmax(jnp.arange(3.0) + jnp.sum(x))[0],
        "a shift of a variance": lambda x: jnp.var(jnp.arange(5.0) + x[0]) + jnp.sum(x[1:] ** 2),
        "a large sum": lambda x: jnp.sum(x) + 1e8,
        "exp minus 1": lambda x: jnp.sum(jnp.exp(1e-4 * x) - 1 - 1e-4 * x),
        "nothing": lambda x: jnp.zeros(()) * x[0],
        "a stationary point": lambda x: jnp.sum(jnp.cos(0 * x)),
        "alternating signs": lambda x: jnp.sum(jnp.sin(1e3 + x) * (-1.0) ** jnp.arange(200)),
    }
    for name, function in functions.items():
        yield name, lambda f=function: jaxmlp.check_gradients(f, x)
    tree = {"x": x, "empty": np.zeros((0, 3), np.float32), "count": np.arange(3), "is_on": np.array([True, False])}
    empty = {
        "an empty leaf": lambda t: jnp.sum(t["x"] ** 2) + jnp.sum(t["empty"]),
        "integer and boolean leaves": lambda t: jnp.sum(t["x"][t["count"]] ** 2) * t["is_on"].sum(),
        "a tree of results": lambda t: {"sine": jnp.sin(t["x"]), "count": t["count"], "empty": t["empty"]},
        "an unused leaf": lambda t: jnp.sum(t["empty"]) + 1.0,
        "a sum of nothing": lambda t: jnp.sum(t["x"][:0] ** 2) + jnp.sum(t["x"][:1] ** 3),
    }
    for name, function in empty.items():
        yield name, lambda f=function: jaxmlp.check_gradients(f, tree)


def run_right(every: int) -> None:
    """Print which of the right gradients are called wrong."""
    alarms, count = [], 0
    for name, check in itertools.islice(right_gradients(), 0, None, every):
        report, count = check(), count + 1
        if not report.ok:
            alarms.append(name)
            print(name, report, sep="\n", flush=True)
    print(f"{count} right gradients, {len(alarms)} false alarms: {', '.join(alarms)}", flush=True)


def second_order_faults() -> Iterator[tuple[str, Check, Check]]:
    """Yield a name, the check of a function with a wrong second derivative, and that of the right one."""
    x = np.random.default_rng(0).uniform(0.2, 1.5, 6).astype(np.float32)
    functions = {
        "sin": (jnp.sin, jnp.cos),
        "exp": (jnp.exp, jnp.exp),
        "tanh": (jnp.tanh, lambda x: 1 - jnp.tanh(x) ** 2),
        "cube": (lambda x: x**3, lambda x: 3 * x**2),
        "log": (jnp.log, lambda x: 1 / x),
        "softplus": (jax.nn.softplus, jax.nn.sigmoid),
        "square root": (jnp.sqrt, lambda x: 0.5 / jnp.sqrt(x)),
        "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2),
        "arctan": (jnp.arctan, lambda x: 1 / (1 + x**2)),
        "normal density": (lambda x: jnp.exp(-(x**2) / 2), lambda x: -x * jnp.exp(-(x**2) / 2)),
    }
    for name, (function, derivative) in functions.items():

        def custom_jvp(factor, function=function, derivative=derivative):
            """Return the function; its derivative is right, but differentiates to `factor` times what is right."""
            slope, f = jax.custom_jvp(lambda x: derivative(x)), jax.custom_jvp(lambda x: function(x))
            slope.defjvp(lambda p, t: (derivative(*p), factor * jax.jvp(derivative, p, t)[1]))
            f.defjvp(lambda p, t: (function(*p), slope(*p) * t[0]))
            return f

        def custom_vjp(stop, function=function, derivative=derivative):
            f = jax.custom_vjp(lambda x: function(x))
            f.defvjp(lambda x: (function(x), x), lambda x, u: (u * derivative(stop(x)),))
            return f

        stopped = custom_vjp(jax.lax.stop_gradient), custom_vjp(lambda x: x)
        for kind, pair in (("1.01", (custom_jvp(1.01), custom_jvp(1.0))), ("stopped", stopped)):
            wrong, right = (
                lambda f=f: jaxmlp.check_gradients(lambda x: jnp.sum(f(x) * jnp.roll(x, 1)), x, order=2) for f in pair
            )
            yield f"{name}, {kind}", wrong, right


def run_second(every: int) -> None:
    """Print how many faults in second derivatives are found."""
    found, alarms, count = 0, 0, 0
    for name, wrong, right in itertools.islice(second_order_faults(), 0, None, every):
        is_found, count = not wrong().ok, count + 1
        found, alarms = found + is_found, alarms + (not right().ok)
        if not is_found:
            print(f"missed: {name}")
    print(f"{count} faults in second derivatives, {found} found; {alarms} false alarms", flush=True)


def run_time(_: int) -> None:
    """Print how long two checks take, the first call of each, in a new process without the cache of programs."""
    jax.config.update("jax_enable_compilation_cache", False)
    x, y = jaxmlp.synthetic_regression(jax.random.key(0))
    params = jaxmlp.init_params(jax.random.key(1), (3, 32, 1))
    keys = jax.random.split(jax.random.key(2), 2)
    large = jaxmlp.init_params(keys[0], (10, 1000, 980, 1))
    data = jax.random.normal(keys[1], (1000, 11))
    checks = {
        "check_gradients": lambda *a: jaxmlp.check_gradients(jaxmlp.loss, *a, gradient=jaxmlp.manual_grads),
        "check_network": lambda *a: jaxmlp.check_network(*a),
    }
    for name, arguments in {
        "the tutorial's network": (params, x, y),
        f"{sum(leaf.size for leaf in jax.tree.leaves(large))} parameters, 1,000 rows": (
            large,
            data[:, 1:],
            data[:, :1],
        ),
    }.items():
        for check, call in checks.items():
            start, cpu = time.perf_counter(), time.process_time()
            report = call(*arguments)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            print(f"{name}, {check}: {seconds:.1f} s, {cpu:.1f} s of processors, ok={report.ok}", flush=True)


def run_rows(_: int) -> None:
    """Print the time of row norms, and how many wrong labels are among the 2 % of rows that pull hardest."""
    for n, sizes in ((100, (3, 32, 1)), (1000, (10, 256, 256, 1)), (20000, (10, 64, 64, 1))):
        params, key = jaxmlp.init_params(jax.random.key(0), sizes), jax.random.key(1)
        x, y = jax.random.normal(key, (n, sizes[0])), jax.random.normal(key, (n, 1))
        functions = [jax.jit(jaxmlp.manual_grads), jax.jit(jaxmlp.row_gradient_norms)]
        seconds = np.empty((50, len(functions)))
        for k, turn in np.ndindex(seconds.shape):  # They take turns.
            start = time.perf_counter()
            jax.block_until_ready(functions[turn](params, x, y))
            seconds[k, turn] = time.perf_counter() - start
        times = np.quantile(seconds, 0.1, axis=0)
        print(f"{n} rows, {sizes}: row_gradient_norms takes {times[1] / times[0]:.2f} x the time of manual_grads")
    print(f"wrong labels among the top 2 %: {enrichment():.1f} x as frequent as in the table", flush=True)


def enrichment(rows: int = 5000, wrong: float = 0.02) -> float:
    """Return how much more frequent wrong labels are among the rows that pull hardest than in the whole table."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 8)).astype(np.float32)
    labels = np.digitize(x[:, 0] + np.sin(2 * x[:, 1]) + 0.5 * x[:, 2] * x[:, 3], [-0.7, 0.7])
    is_wrong = rng.permutation(rows) < wrong * rows
    labels = np.where(is_wrong, (labels + rng.integers(1, 3, rows)) % 3, labels)
    y, criterion = np.eye(3, dtype=np.float32)[labels], jaxmlp.softmax_cross_entropy
    params = jaxmlp.init_params(jax.random.key(0), (8, 32, 3))
    params, _ = jaxmlp.train(params, x, y, 0.5, np.full(rows, 1 / rows), epochs=1000, criterion=criterion)
    hardest = np.argsort(-np.asarray(jaxmlp.row_gradient_norms(params, x, y, criterion=criterion)))[: int(wrong * rows)]
    return float(is_wrong[hardest].mean() / is_wrong.mean())


PARTS = {"faults": run_faults, "right": run_right, "second": run_second, "time": run_time, "rows": run_rows}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    parser.add_argument("--every", type=int, default=1, help="check each n-th fault and right gradient (default: 1)")
    args = parser.parse_args()
    for part in args.part or PARTS:
        PARTS[part](args.every)
