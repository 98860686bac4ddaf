"""Regression: targets are numbers, the score is R²."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

# isort: split (after ours, which says what to install where scikit-learn is missing)
from sklearn.base import RegressorMixin

from jaxmlp.criteria import CRITERIA, Criterion, poisson_nll_loss
from jaxmlp.fitting.metrics import Metric, r2_score
from jaxmlp.sklearn import settings
from jaxmlp.sklearn.estimator import Perceptron


def _half_squared_error(outputs: Array, y: Array) -> Array:
    return 0.5 * jnp.sum((outputs - y) ** 2, axis=1)


def _half_squared_error_derivative(outputs: Array, y: Array) -> Array:
    return outputs - y


# l = Σ_k (o_k - y_k)² / 2;  dl/do_k = o_k - y_k.  scikit-learn's "squared_error".
half_squared_error = Criterion(_half_squared_error, _half_squared_error_derivative)

_LOSSES = CRITERIA | {"squared_error": half_squared_error, "poisson": poisson_nll_loss}


class MLPRegressor(RegressorMixin, Perceptron):
    """A multilayer perceptron that predicts numbers, with the parameters and attributes of scikit-learn's.

    Arguments:
        hidden_layer_sizes: the units of each hidden layer.
        activation: "relu", "logistic", "tanh", "identity", "gelu", "silu", or a `jaxmlp.Activation`; or a tuple, one
            for each hidden layer.
        loss: "squared_error", "huber_loss", "poisson" or another of `jaxmlp.criteria`, or your own `jaxmlp.Criterion`.
        solver: "adam", "sgd", or an optimizer of `jaxmlp.fitting.optimizers` or of optax, made once.
        alpha: the L2 penalty: `alpha / 2` times the sum of all squared weights, over the weight of a batch's rows.
        batch_size: rows a step, or "auto": 200, or all if they are fewer.
        learning_rate_init: the step of "adam" and "sgd".
        momentum: of "sgd".
        nesterovs_momentum: whether "sgd" looks ahead.
        beta_1: the decay of the mean gradient in "adam".
        beta_2: the decay of the mean squared gradient in "adam".
        epsilon: keeps "adam" from dividing by zero.
        max_iter: at most how many epochs.
        early_stopping: put rows aside, stop once the loss on them no longer falls, and keep the best weights.
        validation_fraction: the share of rows to put aside.
        n_iter_no_change: epochs without progress after which to stop; infinity for never.
        tol: by how much the loss (that of validation with early stopping) must fall to count as progress.
        random_state: of the first weights, the rows put aside, and the order of the rows; an integer to repeat a run.
        warm_start: go on from the last weights in `fit`.
        n_members: how many networks to train in one program, which differ in first weights and order of rows; their
            mean is predicted.
        device: the name of a JAX device, "cpu", "cuda" or "cuda:1"; None for JAX's own choice.
        verbose: print the loss of each epoch.

    Attributes:
        coefs_: the weights of each layer, (fan_in, fan_out); with several members (members, fan_in, fan_out).
        intercepts_: the biases of each layer, (fan_out,) or (members, fan_out).
        loss_curve_: the training loss of each epoch, penalty included; with several members, a list for each.
        validation_loss_curve_: the loss on the rows put aside after each epoch; None without early stopping.
        validation_scores_, best_validation_score_: the score on them, and the highest.
        loss_: the last training loss.
        best_loss_: the lowest loss: on the rows put aside with early stopping, else in training.
        n_iter_: epochs run.
        n_layers_, n_outputs_, n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def __init__(
        self,
        *,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        loss: Any = "squared_error",
        solver: Any = "adam",
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate_init: float = 1e-3,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int | float = 10,
        tol: float = 1e-4,
        random_state: Any = None,
        warm_start: bool = False,
        n_members: int = 1,
        device: str | None = None,
        verbose: bool = False,
    ):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes, activation=activation, loss=loss, solver=solver, alpha=alpha,
            batch_size=batch_size, learning_rate_init=learning_rate_init, momentum=momentum,
            nesterovs_momentum=nesterovs_momentum, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, max_iter=max_iter,
            early_stopping=early_stopping, validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change,
            tol=tol, random_state=random_state, warm_start=warm_start, n_members=n_members, device=device,
            verbose=verbose,
        )  # fmt: skip

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """One more epoch, over these rows; arguments, result and errors as in `fit`."""
        return self._partial_fit(X, y, sample_weight, None)

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """The mean of what the members predict.

        Arguments:
            X: (n, features).
            return_std: return the standard deviation over the members too, zero for one.

        Returns:
            (n,), or (n, outputs) for several; or a pair of such arrays.
        """
        mean, deviation = (v[:, 0] if self.n_outputs_ == 1 else v for v in self._predictions(X))
        return (mean, deviation) if return_std else mean

    def _targets(self, y: np.ndarray) -> np.ndarray:
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError("y must not be negative with loss='poisson': it counts")
        return y.reshape(len(y), -1)

    def _criterion(self) -> Criterion:
        return settings.criterion(self.loss, _LOSSES)

    def _metric(self) -> Metric:
        return r2_score

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
