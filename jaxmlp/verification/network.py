"""Verification of the gradients of networks."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxmlp._validation import validate
from jaxmlp.activations import Activation, relu
from jaxmlp.backprop import backpropagate
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.network import Layer, Params, forward_pass, loss
from jaxmlp.verification.checking import check
from jaxmlp.verification.differences import STEPS, offsets
from jaxmlp.verification.oracles import Arguments, Derivative, Functions, Leaves, Result
from jaxmlp.verification.report import GradientReport

Choice = tuple[*tuple[Activation, ...], Criterion]  # Of the hidden layers, and of the outputs.
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
        ValueError: a shape that does not fit; no rows; a loss that is not finite.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    params, x, y, c, f = validate(params, x, y, sample_weight, activation, criterion)
    if not len(x):
        raise ValueError("x must have a row: the gradient of no rows is 0, whatever is wrong")
    arrays = jax.tree.leaves(params), [x, y] if c is None else [x, y, c]
    return check_validated(network_functions(lambda: (*f, criterion)), [arrays])[0]


def check_validated(functions: Functions, variants: list[Arguments], *, quick: bool = False) -> list[GradientReport]:
    """Verify a network in several dtypes; arguments and result are those of `check`."""
    theta, (x, *_) = variants[0]
    sizes = (x.shape[1], *(b.shape[1] for b in theta[1::2]))
    names = [f"params[{k // 2}].{'wb'[k % 2]}" for k in range(len(theta))]
    subject = f"a {'-'.join(map(str, sizes))} network, {len(x)} rows"
    return check(functions, variants, names, subject=subject, sizes=sizes, rows=len(x), quick=quick)


def network_functions(choose: Callable[..., Choice]) -> Functions:
    """Return the loss and its gradient, as functions of the leaves of `params` and of `[x, y, sample_weight]`.

    Arguments:
        choose: returns the activations and the criterion; a function of what follows the sample weights in the list.
    """

    def with_network(function: Callable[..., Result]) -> Callable[[Leaves, Leaves], Result]:
        def call(theta, rest):
            x, y, c, *choice = (*rest, None)[: max(3, len(rest))]
            *f, criterion = choose(*choice)
            return function(tuple(map(Layer, theta[::2], theta[1::2])), x, y, c, tuple(f), criterion)

        return call

    value = with_network(lambda *args: loss(*args[:4], activation=args[4], criterion=args[5]))
    by_hand = with_network(lambda *args: jax.tree.leaves(backpropagate(*args)[1]))
    return Functions(value, by_hand, value, derivatives=with_network(lambda *args: list(_derivatives(*args))))


def _derivatives(params, x, y, _, f, criterion) -> Iterator[Derivative]:
    z = forward_pass(params, x, f)[1]
    rows = _PLACES // max(h.shape[1] for h in z) + 1
    *hidden, outputs = (h[:rows] for h in z)
    y, steps = y[:rows], jnp.asarray(offsets(STEPS))
    for f_k, h in zip(f, hidden, strict=True):
        by_grad = jax.grad(lambda h, f_k=f_k: jnp.sum(f_k(h)))(h)
        yield Derivative(h, f_k.derivative(h), by_grad, jax.vmap(lambda step, f_k=f_k, h=h: f_k(h + step))(steps))

    def column(unit):  # The rows are independent, so one step varies an output of all of them.
        return jax.vmap(lambda step: criterion(outputs + step * unit[None], y))(steps)

    by_grad = jax.grad(lambda outputs: jnp.sum(criterion(outputs, y)))(outputs)
    stepped = jnp.transpose(jax.lax.map(column, jnp.eye(outputs.shape[1])), (1, 2, 0))
    yield Derivative(outputs, criterion.derivative(outputs, y), by_grad, stepped)
