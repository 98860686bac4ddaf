"""Verification of the gradients of networks."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxmlp._validation import validate
from jaxmlp.activations import Activation, relu
from jaxmlp.backprop import backpropagate
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.network import Layer, Params, forward_pass, loss
from jaxmlp.verification.checking import check_problems
from jaxmlp.verification.differences import STEPS, offsets
from jaxmlp.verification.judging import Labels
from jaxmlp.verification.oracles import Derivative, Functions, Leaves, Problem
from jaxmlp.verification.report import GradientReport

# Derivatives are checked at about this number of pre-activations of a layer, those of the first rows.
_PLACES = 2**17


def check_network(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> GradientReport:
    """Verify the hand-derived gradient of a network on its data, and the derivatives of activations and criterion.

    This is `check_gradients` of `loss` and `manual_grads`, with the derivatives in addition; see there.

    Arguments:
        params: the network, in bfloat16, float32 or float64.
        x: (n, fan_in) inputs.
        y: (n, outputs) targets.
        sample_weight: (n,) weights of the rows; None for all ones.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.

    Returns:
        A report, which prints as a table. In a test, call its `raise_if_wrong()`.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    return check_many([(*validate(params, x, y, sample_weight, activation, criterion), criterion)])[0]


def check_many(networks: Sequence[tuple], *, quick: bool = False) -> tuple[GradientReport, ...]:
    """Verify many networks with two programs: one in their own dtypes and one in float64.

    Arguments:
        networks: arguments of `backpropagate`.
        quick: see `check_problems`.

    Returns:
        A report for each network.
    """
    problems, labels = [], []
    for params, x, y, c, f, criterion in networks:
        theta, rest = jax.tree.leaves(params), [x, y] if c is None else [x, y, c]
        products, eps = sum(leaf.size for leaf in theta) * len(x), float(jnp.finfo(x.dtype).eps)
        problems.append(Problem(theta, rest, (*f, criterion), _network, products, eps, eps))
        sizes, names = [x.shape[1]], []
        for k, (w, _) in enumerate(params):
            sizes.append(w.shape[1])
            names += [f"params[{k}].w", f"params[{k}].b"]
        subject = f"a {'-'.join(map(str, sizes))} network, {len(x)} rows"
        labels.append(Labels(names, subject, str(x.dtype), sizes=tuple(sizes), rows=len(x)))
    return check_problems(problems, labels, quick=quick)


def _network(choices: tuple) -> Functions:
    """Return the loss and its gradient, as functions of the leaves of `params` and of `[x, y, sample_weight]`."""
    *f, criterion = choices
    options = {"activation": tuple(f), "criterion": criterion}

    def unflatten(theta: Leaves) -> Params:
        return tuple(map(Layer, theta[::2], theta[1::2]))

    def value(theta, rest):
        return loss(unflatten(theta), *rest, **options)

    def by_hand(theta, rest):
        x, y, *c = rest
        return jax.tree.leaves(backpropagate(unflatten(theta), x, y, c[0] if c else None, tuple(f), criterion)[1])

    def derivatives(theta, rest):
        return _derivatives(unflatten(theta), rest[0], rest[1], tuple(f), criterion)

    return Functions(value, by_hand, value, value, None, derivatives)


def _derivatives(params, x, y, f, criterion) -> list[Derivative]:
    z = forward_pass(params, x, f)[1]
    rows = _PLACES // max(h.shape[1] for h in z) + 1
    *hidden, outputs = (h[:rows] for h in z)
    y, steps = y[:rows], jnp.asarray(offsets(STEPS))
    derivatives = []
    for f_k, h in zip(f, hidden, strict=True):
        by_grad, stepped = jax.grad(lambda h, f=f_k: jnp.sum(f(h)))(h), jax.vmap(lambda step, f=f_k, h=h: f(h + step))
        derivatives.append(Derivative(h, f_k.derivative(h), by_grad, stepped(steps)))

    def column(k):  # The rows are independent, so one step varies an output of all of them.
        unit = jnp.where(jnp.arange(outputs.shape[1]) == k, 1.0, 0.0)
        return jax.vmap(lambda step: criterion(outputs + step * unit[None], y))(steps)

    by_grad = jax.grad(lambda outputs: jnp.sum(criterion(outputs, y)))(outputs)
    stepped = jnp.transpose(jax.lax.map(column, jnp.arange(outputs.shape[1])), (1, 2, 0))
    return [*derivatives, Derivative(outputs, criterion.derivative(outputs, y), by_grad, stepped)]
