"""The oracles: programs that compute the gradient of a network by hand and in other ways."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from jaxmlp.activations import Activation
from jaxmlp.backprop import backpropagate
from jaxmlp.criteria import Criterion
from jaxmlp.network import Params, forward, forward_pass, loss

# The steps of the central differences, 4e-3 to 1e-6: rounding is least for long steps, kinks are missed by short ones.
_STEPS = 2.0 ** np.arange(-8, -21, -2)
_ROUNDING = 8 * np.finfo(np.float64).eps  # Relative rounding error of a loss, which is a sum of many terms.
# Each entry of a network is varied if that takes at most this number of products of an entry and a row.
_SMALL = 2**28
# Otherwise each leaf is varied along 2 to 32 random directions, as many as this number of products allows.
_LARGE, _FEWEST, _MOST = 2**34, 2, 32
# Derivatives are checked at about this number of pre-activations of a layer, those of the first rows.
_PLACES = 2**17
_PAIRS = 4  # Number of pairs of u and v in the adjoint identity, and of draws of random signs for the rows.

Values = Array | np.ndarray  # Arrays inside the programs, NumPy's in their results.

_linear = Criterion(lambda outputs, u: jnp.sum(outputs * u, axis=1), lambda outputs, u: u)


class Problem(NamedTuple):
    """A network and its data, validated: the arguments of `backpropagate`."""

    params: Params
    x: Array
    y: Array
    sample_weight: Array | None
    activation: tuple[Activation, ...]
    criterion: Criterion


class Gradients(NamedTuple):
    """The flat gradient of a problem in its dtype."""

    by_hand: Values
    by_grad: Values  # By `jax.grad`.
    default: Values  # By hand, at the device's default precision of matrix products.


class Derivative(NamedTuple):
    """The derivative of an activation or criterion."""

    at: Values  # The pre-activations.
    by_hand: Values
    by_grad: Values
    stepped: Values  # Values of the function, for `central_difference`.


class References(NamedTuple):
    """The results of the oracles in float64; gradients are flat."""

    gradients: Gradients
    by_signs: Values  # Root mean square of the gradients with random signs of the rows.
    central: tuple[Values, Values]  # For each direction, the losses for `central_difference` and the slope by hand.
    adjoint: tuple[Values, Values, Values]  # (pairs, leaves) <v, J^T u>, <J v, u>, and the norms that bound both.
    derivatives: list[Derivative]  # Of the activation of each hidden layer, and of the criterion.


def draw_vectors(problem: Problem) -> tuple[np.ndarray, ...]:
    """Return random signs for the rows, and pairs of u and v; always the same."""
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(_PAIRS, *np.shape(problem.y))), rng.normal(size=(_PAIRS, _size(problem)))
    return rng.choice([-1.0, 1.0], size=u.shape[:2]), u, v


def in_own_dtype(problem: Problem) -> Gradients:
    """Return the gradients in the dtype of the network."""
    by_hand = default = _by_hand(problem)
    if problem.params[0].w.dtype == jnp.float32:  # Devices may round the products of this dtype only.
        with jax.default_matmul_precision("default"):
            default = _by_hand(problem)
    return Gradients(by_hand, _by_grad(problem), default)


def in_float64(problem: Problem, signs: Array, u: Array, v: Array) -> References:
    """Return what the oracles compute of a problem in float64."""
    c = jnp.ones(problem.x.shape[0]) if problem.sample_weight is None else problem.sample_weight
    by_hand = _by_hand(problem)
    by_grad, *by_signs = _loop(problem)(
        lambda c: _by_grad(problem._replace(sample_weight=c)), jnp.concatenate([c[None], signs * c[None]])
    )
    return References(
        gradients=Gradients(by_hand, by_grad, by_hand),
        by_signs=jnp.sqrt(jnp.mean(jnp.stack(by_signs) ** 2, axis=0)),
        central=_central(problem, by_hand, v[0]),
        adjoint=lax.map(partial(_adjoint, problem), (u, v)),
        derivatives=_derivatives(problem),
    )


def _central(problem: Problem, by_hand: Array, v: Array) -> tuple[Array, Array]:
    """Return the losses of each step along each direction, and the slope by hand in that direction."""
    theta, unravel = ravel_pytree(problem.params)
    leaf, count = _leaf_of(problem), directions(problem)

    def along(direction):
        stepped = _loop(problem)(lambda step: _loss(unravel(theta + step * direction), problem), _offsets())
        return stepped, jnp.vdot(by_hand, direction)

    def entry(k):
        return along(jnp.where(jnp.arange(theta.size) == k, 1.0, 0.0))

    def random(k):
        direction = jnp.where(leaf == k // count, jnp.roll(v, k), 0)
        return along(direction / jnp.linalg.norm(direction))

    if count:
        return lax.map(random, jnp.arange(2 * len(problem.params) * count))
    return lax.map(entry, jnp.arange(theta.size))


def _adjoint(problem: Problem, pair: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    """Return <v, J^T u> and <J v, u> of each leaf, and the norms that bound both."""
    (u, v), leaf, unravel = pair, _leaf_of(problem), ravel_pytree(problem.params)[1]
    pulled = _by_hand(problem._replace(y=u, sample_weight=None, criterion=_linear))  # J^T u

    def outputs(params):
        return forward(params, problem.x, activation=problem.activation)

    def of_leaf(k):
        direction, part = (jnp.where(leaf == k, vector, 0) for vector in (v, pulled))
        jv = jax.jvp(outputs, (problem.params,), (unravel(direction),))[1]
        norm = jnp.linalg.norm
        return part @ v, jnp.sum(jv * u), jnp.maximum(norm(part) * norm(direction), norm(jv) * norm(u))

    return _loop(problem)(of_leaf, jnp.arange(2 * len(problem.params)))


def _derivatives(problem: Problem) -> list[Derivative]:
    z = forward_pass(problem.params, problem.x, problem.activation)[1]
    rows = _PLACES // max(h.shape[1] for h in z) + 1
    *hidden, outputs = (h[:rows] for h in z)
    y, criterion = problem.y[:rows], problem.criterion
    derivatives = []
    for f, h in zip(problem.activation, hidden, strict=True):
        by_grad, stepped = jax.grad(lambda h, f=f: jnp.sum(f(h)))(h), jax.vmap(lambda step, f=f, h=h: f(h + step))
        derivatives.append(Derivative(h, f.derivative(h), by_grad, stepped(_offsets())))

    def column(k):  # The rows are independent, so one step varies an output of all of them.
        unit = jnp.where(jnp.arange(outputs.shape[1]) == k, 1.0, 0.0)
        return jax.vmap(lambda step: criterion(outputs + step * unit[None], y))(_offsets())

    by_grad = jax.grad(lambda outputs: jnp.sum(criterion(outputs, y)))(outputs)
    stepped = jnp.transpose(lax.map(column, jnp.arange(outputs.shape[1])), (1, 2, 0))
    return [*derivatives, Derivative(outputs, criterion.derivative(outputs, y), by_grad, stepped)]


def central_difference(stepped: Values) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivative at 0, and a doubt: at least twice its error if a kink is closer than the step.

    Of two neighbouring steps, a kink strictly between 0 and the longer one makes their central differences disagree;
    one at 0 keeps the difference of the one-sided slopes from shrinking with the step. The doubt is at least the
    effect of rounding `stepped` on a difference. The result is that of the pair with the least doubt.
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
    """Return the number of random directions of a leaf that central differences vary; 0 if they vary each entry."""
    products = _size(problem) * np.shape(problem.x)[0]
    if _size(problem) * products <= _SMALL:
        return 0
    return max(_FEWEST, min(_MOST, _LARGE // max(1, products * 2 * len(problem.params))))


def _offsets() -> Array:
    """Return the arguments of a function for `central_difference`."""
    return jnp.asarray([0, *_STEPS, *-_STEPS])


def _loop(problem: Problem) -> Callable[[Callable[[Array], Any], Array], Any]:
    """Return how to map over arrays: at once, or in a loop where the network is large, to save memory."""
    return lax.map if directions(problem) else lambda function, xs: jax.vmap(function)(xs)


def _by_hand(problem: Problem) -> Array:
    return ravel_pytree(backpropagate(*problem)[1])[0]


def _by_grad(problem: Problem) -> Array:
    return ravel_pytree(jax.grad(_loss)(problem.params, problem))[0]


def _loss(params: Params, problem: Problem) -> Array:
    _, x, y, c, f, criterion = problem
    return loss(params, x, y, c, activation=f, criterion=criterion)


def _leaf_of(problem: Problem) -> Array:
    """Return the number of the leaf of each entry of the flat parameters."""
    return jnp.concatenate([jnp.full(leaf.size, k) for k, leaf in enumerate(jax.tree.leaves(problem.params))])


def _size(problem: Problem) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(problem.params))
