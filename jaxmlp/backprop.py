"""Backpropagation: the gradient of the loss, derived by hand.

The network maps the rows of `x` through L layers; `c_i` is the sample weight of row i, `f` an activation, `l` the
criterion:

    a[0] = x                                            the input
    z[k] = a[k-1] w[k] + b[k]          k = 1 … L        pre-activation of layer k                  (1)
    a[k] = f(z[k])                     k = 1 … L-1      activation of a hidden layer               (2)
    loss = Σ_i c_i l(z[L]_i, y_i)                       the last pre-activation is the output      (3)

`dv` is the gradient of the loss with respect to `v`: one number for each entry of `v`. The loss of row i depends on row
i of z[L] only, so from (3)

    dz[L]_i = c_i l'(z[L]_i, y_i)                                                                  (4)

Entry z[k]_ij is Σ_p a[k-1]_ip w[k]_pj + b[k]_j, from (1). The chain rule sums over every path from an entry to the
loss: a weight or a bias acts on every row, an input reaches the loss through every unit of the layer.

    dw[k]_pj = Σ_i a[k-1]_ip dz[k]_ij     that is       dw[k] = a[k-1]ᵀ dz[k]                      (5)
    db[k]_j  = Σ_i dz[k]_ij                             db[k] = column sums of dz[k]               (6)
    da[k]_ip = Σ_j dz[k+1]_ij w[k+1]_pj                 da[k] = dz[k+1] w[k+1]ᵀ                    (7)

An activation acts entry by entry, so from (2)

    dz[k] = da[k] · f'(z[k])              entry by entry                                           (8)

(4) starts the recursion, (7) and (8) carry it one layer down, (5) and (6) give the gradients. They are sums over rows:
row i adds a[k-1]_ip dz[k]_ij to dw[k]_pj, and dz[k]_ij to db[k]_j. The squared norm of its gradient needs no product:

    Σ_pj (a[k-1]_ip dz[k]_ij)² + Σ_j dz[k]_ij²  =  (‖a[k-1]_i‖² + 1) ‖dz[k]_i‖²                    (9)

Sources: Rumelhart, Hinton and Williams 1986, in the matrix form of the tutorial (its grad_h is dz[1]); Goodfellow 2015,
"Efficient per-example gradient computations".
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import validate
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.dense import bias_grad, input_grad, weight_grad
from jaxmlp.network import Layer, Params, forward_pass, sum_losses


def backpropagate(params: Params, x: Array, y: Array, c: Array | None, f, criterion: Criterion) -> tuple[Array, Params]:
    """Return the loss and its gradient: equations (1) to (8), of validated arguments."""
    a, z = forward_pass(params, x, f)  # (1), (2)
    value = sum_losses(criterion(z[-1], y), c)  # (3)
    dzs = backward_pass(params, z, y, c, f, criterion)
    return value, tuple(Layer(weight_grad(a_k, dz), bias_grad(dz)) for a_k, dz in zip(a, dzs, strict=True))  # (5), (6)


def backward_pass(params: Params, z: list[Array], y: Array, c: Array | None, f, criterion: Criterion) -> list[Array]:
    """Return the gradient dz of each layer: equations (4), (7) and (8)."""
    dz = criterion.derivative(z[-1], y)
    dzs = [dz if c is None else c[:, None] * dz]  # (4)
    for k in reversed(range(1, len(params))):
        da = input_grad(dzs[0], params[k].w)  # (7); lists count from 0: dzs[0] is dz[k+1], params[k] has w[k+1]
        dzs.insert(0, da * f[k - 1].derivative(z[k - 1]))  # (8); f[k - 1] and z[k - 1] are those of layer k
    return dzs


def manual_value_and_grads(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> tuple[Array, Params]:
    """Return the loss and its gradient with respect to the parameters; mirrors `jax.value_and_grad(loss)`.

    Arguments:
        params: the network.
        x: (n, fan_in) inputs.
        y: (n, outputs) targets.
        sample_weight: (n,) weights of the rows; None for all ones.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.

    Returns:
        The loss, a scalar, and the gradients: a tuple of `Layer` with the shapes and the dtype of `params`.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    return backpropagate(*validate(params, x, y, sample_weight, activation, criterion), criterion)


def manual_grads(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> Params:
    """Return the gradient of the loss; arguments and errors are those of `manual_value_and_grads`."""
    return manual_value_and_grads(params, x, y, sample_weight, activation=activation, criterion=criterion)[1]


def row_gradient_norms(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    per_layer: bool = False,
) -> Array:
    """Return how hard each row pulls: the norm of its gradient, (n,), or with `per_layer` of its parts, (layers, n)."""
    params, x, y, c, f = validate(params, x, y, sample_weight, activation, criterion)
    a, z = forward_pass(params, x, f)
    dzs = backward_pass(params, z, y, c, f, criterion)
    squares = [(_squared_norms(a_k) + 1) * _squared_norms(dz) for a_k, dz in zip(a, dzs, strict=True)]  # (9)
    return jnp.sqrt(jnp.stack(squares) if per_layer else sum(squares))


def _squared_norms(rows: Array) -> Array:
    # A product with ones. A CPU would split the sums of a hundred rows over two threads, which takes longer.
    return jnp.matmul(rows**2, jnp.ones(rows.shape[1], rows.dtype), precision="highest")
