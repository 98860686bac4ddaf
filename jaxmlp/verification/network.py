"""Verification of the gradients of networks; autodiff of every value of a network."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import keystr, tree_flatten_with_path
from jax.typing import ArrayLike

from jaxmlp._validation import validate
from jaxmlp.activations import Activation, relu
from jaxmlp.backprop import backpropagate
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.network import Params, forward_pass, loss
from jaxmlp.verification.differences import STEPS, offsets
from jaxmlp.verification.judging import check
from jaxmlp.verification.oracles import Arguments, Functions
from jaxmlp.verification.report import GradientReport

Choice = tuple[*tuple[Activation, ...], Criterion]  # Of the hidden layers, and of the outputs.
Arrays = tuple[Array, ...]  # One for each layer.
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
    return check_validated(network_functions(lambda: (*f, criterion)), [(params, (x, y, c))])[0]


def check_validated(functions: Functions, variants: list[Arguments]) -> list[GradientReport]:
    """Verify a network in several dtypes; arguments and result are those of `check`."""
    params, (x, *_) = variants[0]
    sizes = (x.shape[1], *(b.shape[1] for _, b in params))
    names = [f"params{keystr(path)}" for path, _ in tree_flatten_with_path(params)[0]]
    subject = f"a {'-'.join(map(str, sizes))} network, {len(x)} rows"
    return check(functions, variants, names, subject=subject, sizes=sizes, rows=len(x))


def network_functions(choose: Callable[..., Choice]) -> Functions:
    """Return the loss and its gradient, as functions of `params` and of `(x, y, sample_weight)`.

    Arguments:
        choose: returns the activations and the criterion; a function of what follows the sample weights.
    """

    def call(function, params, rest):
        x, y, c, *choice = rest
        *f, criterion = choose(*choice)
        return function(params, x, y, c, tuple(f), criterion)

    value = functools.partial(call, lambda *args: loss(*args[:4], activation=args[4], criterion=args[5]))
    by_hand = functools.partial(call, lambda *args: backpropagate(*args)[1])
    return Functions(value, by_hand, value, derivatives=functools.partial(call, _derivatives))


def _derivatives(params, x, y, _, f, criterion):
    rows = slice(_PLACES // max(b.size for _, b in params) + 1)
    *hidden, outputs = forward_pass(params, x[rows], f)[1]
    y = y[rows]

    def vary_each(stepped):  # The rows are independent, so one call varies an output of all of them.
        units = jnp.eye(outputs.shape[1], dtype=bool)
        return jax.lax.map(lambda unit: criterion(jnp.where(unit, stepped, outputs), y), units).T

    def derive(h, by_hand, function, entries):
        by_grad = jax.grad(lambda h: jnp.sum(function(h)))(h)
        return h, by_hand, by_grad, jax.vmap(lambda step: entries(h + step).ravel())(jnp.asarray(offsets(STEPS)))

    found = [derive(h, f_k.derivative(h), f_k, f_k) for f_k, h in zip(f, hidden, strict=True)]
    return [*found, derive(outputs, criterion.derivative(outputs, y), lambda h: criterion(h, y), vary_each)]


def grad_every_value(params: Params, x: Array, y: Array, activation: Activation) -> tuple[Params, Arrays, Arrays]:
    """Return `jax.grad` of the sum of squared errors, by a program that shares no code with `backpropagate`.

    The page and `jaxmlp explain` compare the gradients that they show with these.

    Arguments:
        params: the network.
        x: (n, fan_in) inputs.
        y: (n, 1) targets.
        activation: the activation of all hidden layers; its derivative is not used.

    Returns:
        The gradients with respect to the parameters; to the pre-activation of each layer, the last of which is the
        prediction; and to the activation of each hidden layer.
    """
    # The gradient with respect to an intermediate value is that with respect to a zero added to it.
    zeros = tuple(jnp.zeros((len(x), w.shape[1]), x.dtype) for w, _ in params)

    def error(params: Params, at_z: Arrays, at_a: Arrays) -> Array:
        a = x
        for k, (w, b) in enumerate(params):
            z = jnp.einsum("np,pj->nj", a, w) + b + at_z[k]
            a = activation.fn(z) + at_a[k] if k < len(at_a) else z
        return jnp.vdot(y - a, y - a)

    return jax.grad(error, (0, 1, 2))(params, zeros, zeros[:-1])
