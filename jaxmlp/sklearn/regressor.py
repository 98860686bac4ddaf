"""Regression: targets are numbers, the score is R²."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from jaxmlp.criteria import Criterion
from jaxmlp.fitting.metrics import Metric, r2_score
from jaxmlp.sklearn.estimator import Perceptron, has_epochs
from jaxmlp.sklearn.losses import REGRESSION_LOSSES
from jaxmlp.sklearn.parameters import Parameters, choose
from jaxmlp.sklearn.rows import Start


@dataclass(eq=False, repr=False)
class _Loss:
    """The first parameter: fields of the last base class come first."""

    loss: str | Criterion = "squared_error"


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, Perceptron, _Loss):
    """A multilayer perceptron that predicts numbers, with the parameters and attributes of scikit-learn's.

    Parameters up to `activation` may be passed by position, as in scikit-learn.

    Arguments:
        loss: "squared_error" or "poisson"; also "huber_loss" or another of `jaxmlp.criteria`, or a custom
            `jaxmlp.Criterion`.
        hidden_layer_sizes: the units of each hidden layer.
        activation: "relu", "logistic", "tanh" or "identity"; also "gelu", "silu", or a `jaxmlp.Activation`; or a tuple,
            one for each hidden layer.
        solver: "adam", "sgd" or "lbfgs"; also an optimizer of `jaxmlp.fitting.optimizers` or of optax, built once.
            "lbfgs" is SciPy's L-BFGS-B on all rows at once, in float64 on the CPU.
        alpha: L2 penalty: `alpha / 2` times the sum of all squared weights, over the sum of a batch's sample weights.
        batch_size: rows in a step, or "auto": 200, or all if they are fewer.
        learning_rate: of "sgd": "constant"; "invscaling", which divides it by the number of rows used so far, plus 1,
            to the power of `power_t`; or "adaptive", which divides it by 5 where training would stop, down to 1e-6.
        learning_rate_init: first learning rate of "adam" and "sgd".
        power_t: exponent of "invscaling".
        max_iter: largest number of epochs; of "lbfgs", of iterations.
        shuffle: whether batches take the rows in a new random order in each epoch.
        random_state: draws the initial weights, the validation rows and the order of the rows; an integer repeats a
            run.
        tol: by how much the loss (with early stopping, the validation score) must improve to count as progress; of
            "lbfgs", the largest entry of the gradient at which to stop.
        verbose: print the loss of each epoch, and the validation score.
        warm_start: continue from the last weights in `fit`.
        momentum: momentum of "sgd".
        nesterovs_momentum: whether "sgd" uses Nesterov's momentum.
        early_stopping: hold out validation rows, stop once they are no longer predicted better, and keep the best
            weights.
        validation_fraction: fraction of the rows that is for validation.
        beta_1: decay of the mean gradient in "adam".
        beta_2: decay of the mean squared gradient in "adam".
        epsilon: keeps "adam" from dividing by zero.
        n_iter_no_change: number of epochs without progress after which to stop; infinity for never.
        max_fun: largest number of evaluations of the loss by "lbfgs".
        validation: what early stopping watches: "score", R² or the accuracy, as in scikit-learn; or "loss".
        n_members: number of networks, trained as one program on all CPU devices. They differ in initial weights and
            order of the rows; their mean is predicted.
        device: the name of a JAX device, such as "cpu", "cuda" or "cuda:1"; None for JAX's own choice. On a CPU, the
            network computes in the dtype of X; on other devices in float32.

    Attributes:
        coefs_: the weights of each layer, (fan_in, fan_out); with several members (members, fan_in, fan_out).
        intercepts_: the biases of each layer, (fan_out,) or (members, fan_out).
        loss_: the last training loss, penalty included, a mean over outputs; with several members, of each.
        best_loss_: the lowest training loss; None with early stopping.
        loss_curve_: the training loss of each epoch; with several members, a list for each.
        validation_loss_curve_: the validation loss after each epoch; None without early stopping.
        validation_scores_, best_validation_score_: the score of the validation rows after each epoch, and the highest.
        n_iter_: number of epochs that the last call ran; of "lbfgs", of iterations.
        t_: number of rows that all epochs used.
        out_activation_: the function of the outputs: "identity", "exp", "logistic", "softmax"; "custom" of a custom
            loss with another.
        n_layers_, n_outputs_, n_features_in_, feature_names_in_: as in scikit-learn. "lbfgs" has no `best_loss_`, and
            no values of epochs.
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **Parameters._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES)), Criterion],
    }

    @available_if(has_epochs)
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

    def _encode(self, y: np.ndarray, start: Start) -> tuple[np.ndarray, None]:
        return y.reshape(len(y), -1), None

    def _criterion(self) -> Criterion:
        return choose("loss", self.loss, REGRESSION_LOSSES, Criterion)

    def _metric(self) -> Metric:
        return r2_score

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
