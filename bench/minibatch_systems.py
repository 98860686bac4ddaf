"""The systems of `minibatch.py`: each is a function of a problem and a number of epochs that returns `run(orders)`.

`run(orders)` trains from the initial weights and returns the mean loss of each epoch, a batch before its step.
`orders` (epochs, n) are the rows of each epoch in turn; None to draw them. Packages are imported where they are used,
so that a process holds those of one system.
"""

import concurrent.futures
import multiprocessing
import os
import pathlib
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from common import imported

RATE = 1e-3
Run = Callable[[np.ndarray | None], Any]


class Case(NamedTuple):
    """A problem."""

    rows: int
    sizes: tuple[int, ...]
    batches: tuple[int, ...]
    members: int = 0  # Number of networks; 0 for a single one without a member axis.


class Problem(NamedTuple):
    """Its data."""

    x: np.ndarray  # (n, inputs) float32
    y: np.ndarray  # (n, outputs) float32; of classes, one column of ones and zeros for each
    weights: list[np.ndarray]  # w1, b1, w2, b2, …; of many networks with a leading member axis
    batch: int
    members: int
    is_classes: bool


CASES = {
    "images": Case(60_000, (784, 256, 128, 10), (32, 128, 1024)),
    "numbers": Case(50_000, (20, 64, 64, 1), (32, 128, 1024)),
    "networks": Case(5_000, (20, 64, 64, 1), (128,), 100),
}


def make_problem(case: Case, batch: int) -> Problem:
    """Return the data and the initial weights of a case, the same in every process."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case.rows, case.sizes[0]), np.float32)
    is_classes = case.sizes[-1] > 1
    if is_classes:
        scores = x @ rng.standard_normal((case.sizes[0], case.sizes[-1]), np.float32)
        y = np.eye(case.sizes[-1], dtype=np.float32)[scores.argmax(axis=1)]
    else:
        y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3] + 0.1 * rng.standard_normal((case.rows, 1), np.float32)
    lead = (case.members,) if case.members else ()
    weights = []
    for fan_in, fan_out in zip(case.sizes, case.sizes[1:], strict=False):
        w = rng.standard_normal((*lead, fan_in, fan_out), np.float32) * np.float32(np.sqrt(2 / fan_in))
        weights += [w, np.zeros((*lead, fan_out), np.float32)]
    return Problem(x, y, weights, batch, case.members, is_classes)


def peak_memory() -> int:
    """Return the largest memory so far of this process, and of the processes it has started, in bytes."""
    if pathlib.Path("/proc/self/status").exists():  # Not that of `resource`, which a child inherits.
        pids = ["self", *(str(child.pid) for child in multiprocessing.active_children())]
        lines = [line for pid in pids for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def ours(problem: Problem, epochs: int) -> Run:
    """`fit_epochs`."""
    import jax

    import jaxmlp

    optimizer = jaxmlp.adam(RATE)
    x, y = jax.device_put((problem.x, problem.y))
    state = jaxmlp.init_fit(_layers(problem), key=jax.random.key(1), optimizer=optimizer)
    options = {"optimizer": optimizer, "epochs": epochs, "batch_size": problem.batch, "criterion": _criterion(problem)}
    return lambda orders: np.asarray(jaxmlp.fit_epochs(state, x, y, **options)[1].loss)


def ours_many(problem: Problem, epochs: int) -> Run:
    """`fit` of an ensemble, which splits its members over CPU devices, one for each core."""
    import jax

    jax.config.update("jax_num_cpu_devices", _cores())
    import jaxmlp

    params, options = _layers(problem), {"epochs": epochs, "batch_size": problem.batch, "key": jax.random.key(1)}
    options |= {"optimizer": jaxmlp.adam(RATE), "criterion": _criterion(problem)}
    return lambda orders: jaxmlp.fit(params, problem.x, problem.y, **options).history.loss


def _layers(problem: Problem) -> Any:
    import jax

    import jaxmlp

    pairs = zip(problem.weights[::2], problem.weights[1::2], strict=True)
    return tuple(jaxmlp.Layer(*jax.device_put((w, b[..., None, :]))) for w, b in pairs)


def _criterion(problem: Problem) -> Any:
    import jaxmlp

    return jaxmlp.softmax_cross_entropy if problem.is_classes else jaxmlp.squared_error


def plain_jax(problem: Problem, epochs: int) -> Run:
    """A scan over the batches, `jax.value_and_grad` and optax."""
    import jax
    import jax.numpy as jnp

    optax = imported("optax")
    optimizer = optax.adam(RATE)

    def loss(weights, x, y):
        for w, b in weights[:-1]:
            x = jax.nn.relu(x @ w + b)
        w, b = weights[-1]
        return _jax_loss(x @ w + b, y, problem.is_classes)

    def step(carry, rows, x, y):
        weights, state = carry
        value, grads = jax.value_and_grad(loss)(weights, x[rows], y[rows])
        updates, state = optimizer.update(grads, state, weights)
        return (optax.apply_updates(weights, updates), state), value

    pairs = [tuple(map(jnp.asarray, pair)) for pair in zip(problem.weights[::2], problem.weights[1::2], strict=True)]
    return _scan(problem, epochs, (pairs, optimizer.init(pairs)), step)


def flax_nnx(problem: Problem, epochs: int) -> Run:
    """A module and an optimizer of flax nnx, split, in a scan over the batches."""
    nnx, optax = imported("flax.nnx"), imported("optax")
    import jax
    import jax.numpy as jnp

    class Network(nnx.Module):
        def __init__(self, rngs):
            pairs = list(zip(problem.weights[::2], problem.weights[1::2], strict=True))
            self.layers = nnx.List([nnx.Linear(*w.shape, rngs=rngs) for w, _ in pairs])
            for layer, (w, b) in zip(self.layers, pairs, strict=True):
                layer.kernel[...], layer.bias[...] = jnp.asarray(w), jnp.asarray(b)

        def __call__(self, x):
            for layer in self.layers[:-1]:
                x = jax.nn.relu(layer(x))
            return self.layers[-1](x)

    network = Network(nnx.Rngs(0))
    optimizer = nnx.Optimizer(network, optax.adam(RATE), wrt=nnx.Param)
    graph, first = nnx.split((network, optimizer))

    def step(state, rows, x, y):
        network, optimizer = nnx.merge(graph, state)
        value, grads = nnx.value_and_grad(lambda model: _jax_loss(model(x[rows]), y[rows], problem.is_classes))(network)
        optimizer.update(network, grads)
        return nnx.split((network, optimizer))[1], value

    return _scan(problem, epochs, first, step)


def _jax_loss(outputs: Any, y: Any, is_classes: bool) -> Any:
    optax = imported("optax")
    if is_classes:
        return optax.softmax_cross_entropy(outputs, y).mean()
    return ((outputs - y) ** 2).sum(axis=1).mean()


def _scan(problem: Problem, epochs: int, first: Any, step: Callable[..., Any]) -> Run:
    """Return a run whose epochs are one program each: a scan over the whole batches, then the rest."""
    import jax
    import jax.numpy as jnp

    x, y = jax.device_put((problem.x, problem.y))
    n, batch = len(x), problem.batch
    whole = n // batch * batch

    @jax.jit
    def epoch(carry, order, x, y):
        batches = order[:whole].reshape(-1, batch)
        carry, losses = jax.lax.scan(lambda carry, rows: step(carry, rows, x, y), carry, batches)
        total = losses.sum() * batch
        if whole < n:
            carry, last = step(carry, order[whole:], x, y)
            total += last * (n - whole)
        return carry, total / n

    draw = jax.jit(lambda key: jax.random.permutation(key, n))

    def run(orders):
        carry, losses = first, []
        for k in range(epochs):
            order = draw(jax.random.key(k)) if orders is None else jnp.asarray(orders[k])
            carry, loss = epoch(carry, order, x, y)
            losses.append(loss)
        return np.asarray(losses)

    return run


def torch_loop(problem: Problem, epochs: int, *, compiles: bool = False) -> Run:
    """torch.nn, autograd and fused Adam, a Python loop over the batches; the loss is compiled if `compiles`."""
    torch = imported("torch")
    torch.set_num_threads(_cores())
    x = torch.tensor(problem.x)
    y = torch.tensor(problem.y.argmax(axis=1) if problem.is_classes else problem.y)
    losses_of = torch.nn.CrossEntropyLoss() if problem.is_classes else torch.nn.MSELoss()
    pairs = list(zip(problem.weights[::2], problem.weights[1::2], strict=True))
    layers = [torch.nn.Linear(*w.shape) for w, _ in pairs]
    model = torch.nn.Sequential(*(part for layer in layers for part in (layer, torch.nn.ReLU())))[:-1]

    def loss_of(x, y):
        return losses_of(model(x), y)

    call = torch.compile(loss_of, dynamic=False) if compiles else loss_of

    def run(orders):
        with torch.no_grad():
            for layer, (w, b) in zip(layers, pairs, strict=True):
                layer.weight.copy_(torch.tensor(w.T))
                layer.bias.copy_(torch.tensor(b))
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        losses = []
        for k in range(epochs):
            order = torch.randperm(len(x)) if orders is None else torch.tensor(orders[k], dtype=torch.int64)
            total = torch.zeros(())
            for rows in order.split(problem.batch):
                optimizer.zero_grad()
                loss = call(x[rows], y[rows])
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(rows)
            losses.append(total / len(x))
        return torch.stack(losses).numpy()

    return run


def torch_compiled(problem: Problem, epochs: int) -> Run:
    """`torch_loop`, with the loss compiled by torch.compile."""
    return torch_loop(problem, epochs, compiles=True)


def torch_vmap(problem: Problem, epochs: int) -> Run:
    """`torch.func.vmap` of the gradient over the networks, and fused Adam of the stacked weights."""
    torch = imported("torch")
    torch.set_num_threads(_cores())
    x, y, n, members = torch.tensor(problem.x), torch.tensor(problem.y), len(problem.x), problem.members

    def loss(weights, x, y):
        for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            x = torch.relu(torch.addmm(b, x, w))
        return (torch.addmm(weights[-1], x, weights[-2]) - y).pow(2).sum(dim=1).mean()

    grad = torch.func.vmap(torch.func.grad_and_value(loss))

    def run(orders):
        weights = [torch.tensor(w) for w in problem.weights]
        optimizer = torch.optim.Adam(weights, lr=RATE, fused=True)
        losses = []
        for k in range(epochs):
            if orders is None:
                order = torch.rand(members, n).argsort(dim=1)
            else:
                order = torch.tensor(orders[:, k], dtype=torch.int64)
            total = torch.zeros(members)
            for rows in order.split(problem.batch, dim=1):
                grads, values = grad(weights, x[rows], y[rows])
                for weight, own in zip(weights, grads, strict=True):
                    weight.grad = own
                optimizer.step()
                total += values * rows.shape[1]
            losses.append(total / n)
        return torch.stack(losses, dim=1).numpy()

    return run


def scikit_learn(problem: Problem, epochs: int) -> Run:
    """MLPClassifier or MLPRegressor, an epoch a call of `partial_fit`."""
    neural_network = imported("sklearn.neural_network")
    kind = neural_network.MLPClassifier if problem.is_classes else neural_network.MLPRegressor
    hidden = tuple(w.shape[1] for w in problem.weights[:-2:2])
    x = problem.x
    y = problem.y.argmax(axis=1) if problem.is_classes else problem.y[:, 0]
    named = {"classes": np.arange(problem.y.shape[1])} if problem.is_classes else {}

    def run(orders):
        options = {"hidden_layer_sizes": hidden, "learning_rate_init": RATE, "alpha": 0.0, "batch_size": problem.batch}
        model = kind(**options, shuffle=orders is None, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a first call with fewer rows than a batch makes the arrays
            model.partial_fit(x[:1], y[:1], **named)
        model.coefs_ = [w.copy() for w in problem.weights[::2]]
        model.intercepts_ = [b.copy() for b in problem.weights[1::2]]
        model.loss_curve_ = []
        del model._optimizer
        for k in range(epochs):
            rows = slice(None) if orders is None else orders[k]
            model.partial_fit(x[rows], y[rows])
        return np.array(model.loss_curve_) * (1 if problem.is_classes else 2)  # it halves squares

    return run


def scikit_learn_many(problem: Problem, epochs: int) -> Run:
    """`scikit_learn` for each network, in two processes."""
    imported("sklearn.neural_network")
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(2, context, _keep, (problem, epochs))

    def run(orders):
        own = [None] * problem.members if orders is None else list(orders)
        return np.stack(list(pool.map(_run_member, range(problem.members), own, chunksize=5)))

    return run


_kept: Any = None


def _keep(problem: Problem, epochs: int) -> None:
    global _kept
    _kept = problem, epochs


def _run_member(k: int, orders: np.ndarray | None) -> np.ndarray:
    problem, epochs = _kept
    return scikit_learn(problem._replace(weights=[w[k] for w in problem.weights]), epochs)(orders)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_ALONE = {
    "jaxmlp.fit_epochs": ours,
    "plain JAX, optax, scan": plain_jax,
    "flax nnx, scan": flax_nnx,
    "torch, fused Adam": torch_loop,
    "torch.compile, fused Adam": torch_compiled,
    "scikit-learn": scikit_learn,
}
SYSTEMS: dict[str, dict[str, Callable[[Problem, int], Run]]] = {
    "images": _ALONE,
    "numbers": _ALONE,
    "networks": {
        "jaxmlp.fit": ours_many,
        "torch.func.vmap, fused Adam": torch_vmap,
        "scikit-learn, two processes": scikit_learn_many,
    },
}
