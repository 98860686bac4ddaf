"""The solver "lbfgs": SciPy's L-BFGS-B over the compiled loss and gradient of all rows."""

import numpy as np
import scipy.optimize
from jax.flatten_util import ravel_pytree
from sklearn.utils.optimize import _check_optimize_result

from jaxmlp._programs import bounded_jit
from jaxmlp._validation import validate
from jaxmlp.activations import Activation
from jaxmlp.criteria import Criterion
from jaxmlp.fitting.batches import mean_loss_and_grads, sum_weights
from jaxmlp.network import Params


def minimize(
    params: Params,
    x: object,
    y: object,
    c: object,
    *,
    l2: float,
    activation: Activation | tuple[Activation, ...],
    criterion: Criterion,
    max_iter: int,
    max_fun: int,
    tol: float,
) -> tuple[Params, float, int]:
    """Minimize the weighted mean loss of all rows, in float64.

    Arguments:
        params: the network to start from, float64.
        x: (n, fan_in) inputs, float64 as the other rows.
        y: (n, outputs) targets.
        c: (n,) sample weights.
        l2: the penalty of `mean_loss_and_grads`.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.
        max_iter: largest number of iterations.
        max_fun: largest number of evaluations of the loss.
        tol: largest entry of the gradient at which to stop.

    Returns:
        The network, its loss, and the number of iterations. It warns as scikit-learn does if that was too low.
    """
    start, unravel = ravel_pytree(params)

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = _loss_and_gradient(flat, params, x, y, c, l2, activation, criterion)
        return float(loss), np.array(gradient)

    options = {"maxiter": max_iter, "maxfun": max_fun, "gtol": tol}
    result = scipy.optimize.minimize(loss_and_gradient, np.asarray(start), method="L-BFGS-B", jac=True, options=options)
    return unravel(result.x), float(result.fun), _check_optimize_result("lbfgs", result, max_iter)


@bounded_jit(6, 7)
def _loss_and_gradient(flat, like, x, y, c, l2, activation, criterion):
    params = ravel_pytree(like)[1](flat)
    params, x, y, _, f = validate(params, x, y, c, activation, criterion)
    loss, grads = mean_loss_and_grads(params, x, y, c, f, criterion, total=sum_weights(c), l2=l2)
    return loss, ravel_pytree(grads)[0]
