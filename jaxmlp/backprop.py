"""Backpropagation: the gradient of the loss, derived by hand.

The network maps the rows of `x` through L layers; `c_i` is the weight of row i, `f` an activation, `l` the criterion:

    a[0] = x                                            the input
    z[k] = a[k-1] w[k] + b[k]          k = 1 … L        pre-activation of layer k                  (1)
    a[k] = f(z[k])                     k = 1 … L-1      activation of a hidden layer               (2)
    loss = Σ_i c_i l(z[L]_i, y_i)                       the last pre-activation is the output      (3)

Write `dv` for the gradient of the loss with respect to `v`: an array of the shape of `v`, whose entries say how fast
the loss grows with each entry of `v`. Only row i of z[L] moves the loss of row i, so from (3)

    dz[L]_i = c_i l'(z[L]_i, y_i)                                                                  (4)

Entry z[k]_ij is Σ_p a[k-1]_ip w[k]_pj + b[k]_j, from (1). The chain rule adds up all ways in which an entry moves the
loss: a weight acts through every row, a bias too, an input through every unit of the layer.

    dw[k]_pj = Σ_i a[k-1]_ip dz[k]_ij     that is       dw[k] = a[k-1]ᵀ dz[k]                      (5)
    db[k]_j  = Σ_i dz[k]_ij                             db[k] = column sums of dz[k]               (6)
    da[k]_ip = Σ_j dz[k+1]_ij w[k+1]_pj                 da[k] = dz[k+1] w[k+1]ᵀ                    (7)

An activation acts entry by entry, so from (2)

    dz[k] = da[k] · f'(z[k])              entry by entry                                           (8)

(4) starts the recursion, (7) and (8) carry it one layer down, (5) and (6) read the gradients off.
Source: Rumelhart, Hinton and Williams 1986, in the matrix form of the tutorial (its grad_h is dz[1]).
"""

from jax import Array
from jax.typing import ArrayLike

from jaxmlp.activations import Activation, relu
from jaxmlp.checks import checked, checked_result
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.network import Layer, Params, forward_pass, hidden_activations, weighted_loss
from jaxmlp.products import bias_grad, input_grad, weight_grad


def manual_value_and_grads(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> tuple[Array, Params]:
    """The loss and its gradient with respect to the parameters; mirrors `jax.value_and_grad(loss)`.

    Arguments:
        params: the network.
        x: (n, fan_in).
        y: (n, outputs).
        weights: (n,), or None for all ones.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: the loss of a row.

    Returns:
        The loss, a scalar, and the gradients: a tuple of `Layer` with the shapes and the dtype of `params`.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    params, x, y, weights = checked(params, x, y, weights)
    f = hidden_activations(activation, len(params) - 1)
    a, z = forward_pass(params, x, f)  # (1), (2)
    outputs = z[-1]
    value = weighted_loss(outputs, y, weights, criterion)  # (3)

    dz = checked_result("criterion.derivative", criterion.derivative(outputs, y), outputs.shape, outputs.dtype)
    if weights is not None:
        dz = weights[:, None] * dz  # (4)

    grads = []
    for k in reversed(range(len(params))):
        grads.append(Layer(w=weight_grad(a[k], dz), b=bias_grad(dz)))  # (5), (6)
        if k > 0:
            da = input_grad(dz, params[k].w)  # (7)
            slope = checked_result("activation.derivative", f[k - 1].derivative(z[k - 1]), da.shape, da.dtype)
            dz = da * slope  # (8)
    return value, tuple(reversed(grads))


def manual_grads(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> Params:
    """The gradient of the loss alone; arguments, result and errors as in `manual_value_and_grads`."""
    return manual_value_and_grads(params, x, y, weights, activation=activation, criterion=criterion)[1]
