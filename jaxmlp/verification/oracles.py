"""The oracles: programs that compute a gradient by hand and in every other way."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from jaxmlp.activations import Activation, relu
from jaxmlp.backprop import manual_grads
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.network import Params, forward, forward_pass, loss

# The steps of the central differences, 4e-3 to 1e-6: the longest ones round least, the shortest ones miss most kinks.
_STEPS = 2.0 ** np.arange(-8, -21, -2)
_ROUNDING = 8 * np.finfo(np.float64).eps  # of a loss, relative: it is a sum of many terms
# A network is small, and each entry is varied, if that takes at most so many products of an entry and a row.
_SMALL = 2**28
# Each leaf of a larger one is varied along as many random directions as take so many products, but 2 to 32.
_LARGE, _FEWEST, _MOST = 2**34, 2, 32
# The derivatives are checked at about so many pre-activations of a layer, those of the first rows.
_PLACES = 2**17
_PAIRS = 4  # of u and v in the adjoint identity, and draws of signs for the rows

_linear = Criterion(lambda outputs, u: jnp.sum(outputs * u, axis=1), lambda outputs, u: u)


class Problem(NamedTuple):
    """A network, its data, and what is done with them; the arguments of `check_network`."""

    params: Any  # Params
    x: Any
    y: Any
    sample_weight: Any = None
    activation: Any = relu  # or a tuple, one each
    criterion: Criterion = squared_error


def draws(problem: Problem) -> tuple[np.ndarray, ...]:
    """Signs for the rows, and pairs of u and v; always the same, so that a report can be repeated."""
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(_PAIRS, *np.shape(problem.y))), rng.normal(size=(_PAIRS, _entries(problem)))
    return rng.choice([-1.0, 1.0], size=u.shape[:2]), u, v


def in_own_dtype(problem: Problem) -> dict[str, Array]:
    """The flat gradient by hand, by hand with the device's default precision, and by jax.grad."""
    *arrays, activation, criterion = problem
    options: Any = {"activation": activation, "criterion": criterion}
    by_hand = default = manual_grads(*arrays, **options)
    if problem.params[0].w.dtype == jnp.float32:  # the one dtype whose products a device may round further
        with jax.default_matmul_precision("default"):
            default = manual_grads(*arrays, **options)
    by_grad = jax.grad(loss)(*arrays, **options)
    return {"by_hand": _flat(by_hand), "by_grad": _flat(by_grad), "default": _flat(default)}


def in_float64(problem: Problem, signs: Array, u: Array, v: Array) -> dict[str, Any]:
    """All that the oracles say in float64; gradients are flat."""
    params, x, y, weights, activation, criterion = problem
    options: Any = {"activation": activation, "criterion": criterion}
    theta, unravel = ravel_pytree(params)
    leaves = jax.tree.leaves(params)
    leaf_of = jnp.concatenate([jnp.full(leaf.size, k) for k, leaf in enumerate(leaves)])
    along_random = directions(problem)
    over = lax.map if along_random else _at_once  # a larger network goes one by one, for the memory

    by_hand = _flat(manual_grads(params, x, y, weights, **options))
    weights = jnp.ones(x.shape[0]) if weights is None else weights
    by_grad, *by_signs = over(
        lambda w: _flat(jax.grad(loss)(params, x, y, w, **options)),
        jnp.concatenate([weights[None], signs * weights[None]]),
    )

    def along(direction):
        def moved(step):
            return loss(unravel(theta + step * direction), x, y, weights, **options)

        return over(moved, _offsets()), jnp.vdot(by_hand, direction)

    def entry(k):
        return along(jnp.where(jnp.arange(theta.size) == k, 1.0, 0.0))

    def random(k):
        direction = jnp.where(leaf_of == k // along_random, jnp.roll(v[0], k), 0)
        return along(direction / jnp.linalg.norm(direction))

    if along_random:
        central = lax.map(random, jnp.arange(len(leaves) * along_random))
    else:
        central = lax.map(entry, jnp.arange(theta.size))

    def adjoint(pair):
        u, v = pair
        pulled = _flat(manual_grads(params, x, u, activation=activation, criterion=_linear))  # J^T u

        def of_leaf(k):
            direction, part = (jnp.where(leaf_of == k, vector, 0) for vector in (v, pulled))
            jv = jax.jvp(lambda p: forward(p, x, activation=activation), (params,), (unravel(direction),))[1]
            norm = jnp.linalg.norm
            return part @ v, jnp.sum(jv * u), jnp.maximum(norm(part) * norm(direction), norm(jv) * norm(u))

        return over(of_leaf, jnp.arange(len(leaves)))

    z = forward_pass(params, x, activation)[1]
    rows = _PLACES // max(h.shape[1] for h in z) + 1
    derivatives = [_activation_derivative(f, h[:rows]) for f, h in zip(activation, z, strict=False)]
    derivatives.append(_criterion_derivative(criterion, z[-1][:rows], y[:rows]))
    return {
        "by_hand": by_hand,
        "by_grad": by_grad,
        "default": by_hand,
        "by_signs": jnp.sqrt(jnp.mean(jnp.stack(by_signs) ** 2, axis=0)),
        "central": central,
        "adjoint": lax.map(adjoint, (u, v)),
        "derivatives": derivatives,
    }


def _activation_derivative(f: Activation, h: Array) -> dict[str, Any]:
    by_grad = jax.grad(lambda h: jnp.sum(f(h)))(h)
    stepped = _stepped(lambda step: f(h + step))
    return {"at": h, "by_hand": f.derivative(h), "by_grad": by_grad, "stepped": stepped}


def _criterion_derivative(criterion: Criterion, outputs: Array, y: Array) -> dict[str, Any]:
    def column(k):  # the rows are independent: one difference for all of them
        unit = jnp.where(jnp.arange(outputs.shape[1]) == k, 1.0, 0.0)
        return _stepped(lambda step: criterion(outputs + step * unit[None], y))

    by_grad = jax.grad(lambda outputs: jnp.sum(criterion(outputs, y)))(outputs)
    stepped = jnp.transpose(lax.map(column, jnp.arange(outputs.shape[1])), (1, 2, 0))
    by_hand = criterion.derivative(outputs, y)
    return {"at": outputs, "by_hand": by_hand, "by_grad": by_grad, "stepped": stepped}


def _stepped(f: Callable[[Array], Array]) -> Array:
    """`f` of each step for `central_difference`, along a new axis in front."""
    return _at_once(f, _offsets())


def _offsets() -> Array:
    return jnp.asarray([0, *_STEPS, *-_STEPS])


def _at_once(f: Callable, xs: Array) -> Any:
    return jax.vmap(f)(xs)


def central_difference(stepped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The derivative at 0, and a doubt: at least twice its error if a kink is closer than the step.

    Of two neighbouring steps, a kink strictly between 0 and the longer one makes their central differences disagree;
    one at 0 keeps the difference of the one-sided slopes from shrinking with the step. The doubt is no smaller than
    what the rounding of `stepped` may do to a difference. The pair of least doubt wins.
    """
    steps = _STEPS.reshape(-1, *[1] * (stepped.ndim - 1))
    middle, up, down = np.split(stepped, [1, 1 + len(steps)])
    with np.errstate(all="ignore"):
        slope, bend = (up - down) / (2 * steps), (up - 2 * middle + down) / steps
        doubt = np.maximum(np.abs(slope[:-1] - slope[1:]), np.abs(bend[:-1] - _STEPS[0] / _STEPS[1] * bend[1:]))
        doubt = np.maximum(doubt, _ROUNDING * np.abs(stepped).max(axis=0) / steps[1:])
    doubt = np.where(np.isfinite(doubt), doubt, np.inf)
    best = np.argmin(doubt, axis=0)[None]
    return np.take_along_axis(slope[1:], best, 0)[0], np.take_along_axis(doubt, best, 0)[0]


def directions(problem: Problem) -> int:
    """How many random directions of a leaf the central differences vary; 0 if they vary each entry instead."""
    products = _entries(problem) * np.shape(problem.x)[0]
    if _entries(problem) * products <= _SMALL:
        return 0
    return max(_FEWEST, min(_MOST, _LARGE // max(1, products * len(jax.tree.leaves(problem.params)))))


def _entries(problem: Problem) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(problem.params))


def _flat(params: Params) -> Array:
    return ravel_pytree(params)[0]
