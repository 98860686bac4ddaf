"""Regression: targets are numbers, the score is R²."""

from dataclasses import dataclass
from typing import Any, Literal, Self, overload

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from jaxmlp.criteria import CRITERIA, Criterion, poisson_nll_loss
from jaxmlp.fitting.metrics import Metric, r2_score
from jaxmlp.sklearn.estimator import Perceptron
from jaxmlp.sklearn.parameters import choose

# l = Σ_k (o_k - y_k)² / 2;  dl/do_k = o_k - y_k.  scikit-learn's "squared_error".
half_squared_error = Criterion(lambda o, y: 0.5 * jnp.sum((o - y) ** 2, axis=1), lambda o, y: o - y)

_LOSSES = CRITERIA | {"squared_error": half_squared_error, "poisson": poisson_nll_loss}


@dataclass(kw_only=True, eq=False, repr=False)
class MLPRegressor(RegressorMixin, Perceptron):
    """A multilayer perceptron that predicts numbers, with the parameters and attributes of scikit-learn's.

    Arguments:
        hidden_layer_sizes: the units of each hidden layer.
        activation: "relu", "logistic", "tanh", "identity", "gelu", "silu", or a `jaxmlp.Activation`; or a tuple, one
            for each hidden layer.
        loss: "squared_error", "huber_loss", "poisson" or another of `jaxmlp.criteria`, or a custom `jaxmlp.Criterion`.
        solver: "adam", "sgd", or an optimizer of `jaxmlp.fitting.optimizers` or of optax, built once.
        alpha: L2 penalty: `alpha / 2` times the sum of all squared weights, over the sum of a batch's sample weights.
        batch_size: rows in a step, or "auto": 200, or all if they are fewer.
        learning_rate_init: learning rate of "adam" and "sgd".
        momentum: momentum of "sgd".
        nesterovs_momentum: whether "sgd" uses Nesterov's momentum.
        beta_1: decay of the mean gradient in "adam".
        beta_2: decay of the mean squared gradient in "adam".
        epsilon: keeps "adam" from dividing by zero.
        max_iter: largest number of epochs.
        early_stopping: hold out validation rows, stop once their loss no longer improves, and keep the best weights.
        validation_fraction: fraction of the rows that is for validation.
        n_iter_no_change: number of epochs without progress after which to stop; infinity for never.
        tol: by how much the loss (with early stopping, the validation loss) must improve to count as progress.
        random_state: draws the initial weights, the validation rows and the order of the rows; an integer repeats a
            run.
        warm_start: continue from the last weights in `fit`.
        n_members: number of networks, trained as one program on all CPU devices. They differ in initial weights and
            order of the rows; their mean is predicted.
        device: the name of a JAX device, such as "cpu", "cuda" or "cuda:1"; None for JAX's own choice.
        verbose: print the loss of each epoch.

    Attributes:
        coefs_: the weights of each layer, (fan_in, fan_out); with several members (members, fan_in, fan_out).
        intercepts_: the biases of each layer, (fan_out,) or (members, fan_out).
        loss_curve_: the training loss of each epoch, penalty included; with several members, a list for each.
        validation_loss_curve_: the validation loss after each epoch; None without early stopping.
        validation_scores_, best_validation_score_: the score of the validation rows after each epoch, and the highest.
        loss_: the last training loss.
        best_loss_: the lowest validation loss; without early stopping, the lowest training loss.
        n_iter_: number of epochs run.
        n_layers_, n_outputs_, n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one more epoch, on these rows; arguments, result and errors as in `fit`."""
        return self._partial_fit(X, y, sample_weight)

    @overload
    def predict(self, X: ArrayLike, *, return_std: Literal[False] = False) -> np.ndarray: ...
    @overload
    def predict(self, X: ArrayLike, *, return_std: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...
    def predict(self, X: ArrayLike, *, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the mean of the members' predictions.

        Arguments:
            X: (n, features).
            return_std: also return the standard deviation over members, zero for a single one.

        Returns:
            (n,), or (n, outputs) for several outputs; or a pair of such arrays.
        """
        mean, std = (v[:, 0] if self.n_outputs_ == 1 else v for v in self._predict(X))
        return (mean, std) if return_std else mean

    def _encode(self, y: np.ndarray, **_: Any) -> tuple[np.ndarray, None]:
        return y.reshape(len(y), -1), None

    def _criterion(self) -> Criterion:
        return choose("loss", self.loss, _LOSSES)

    def _metric(self) -> Metric:
        return r2_score

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
