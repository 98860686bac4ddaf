"""What both estimators are: scikit-learn's conventions on the outside, the training loop of `fit` within."""

import itertools
import warnings
from typing import Any

import jax
import numpy as np

from jaxmlp._validation import require, validate_count
from jaxmlp.criteria import Criterion
from jaxmlp.ensembles.prediction import predict_mean_and_std
from jaxmlp.fitting.loop import prepare_run, run_chunks
from jaxmlp.fitting.metrics import Metric
from jaxmlp.fitting.state import FitData, FitState, History, empty_history, init_fit
from jaxmlp.network import Layer, Params
from jaxmlp.sklearn import settings
from jaxmlp.sklearn.rows import batches, filled, rounded

require("sklearn", extra="sklearn")
from sklearn.base import BaseEstimator, is_classifier, is_regressor  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from sklearn.utils import check_random_state, column_or_1d  # noqa: E402
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data  # noqa: E402

# The attribute that keeps each measurement of a history.
_CURVES = {"loss": "loss_curve_", "validation_loss": "validation_loss_curve_", "metric": "validation_scores_"}


class Perceptron(BaseEstimator):
    """The common part of `MLPRegressor` and `MLPClassifier`, which say what their targets, loss and score are."""

    def __init__(
        self, *, hidden_layer_sizes, activation, loss, solver, alpha, batch_size, learning_rate_init, momentum,
        nesterovs_momentum, beta_1, beta_2, epsilon, max_iter, early_stopping, validation_fraction, n_iter_no_change,
        tol, random_state, warm_start, n_members, device, verbose,
    ):  # fmt: skip
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_members = n_members
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train from new weights, or from the last ones if `warm_start`.

        Arguments:
            X: (n, features), an array or a data frame of numbers.
            y: (n,) or (n, outputs).
            sample_weight: (n,), not negative, or None for all ones. With all rows in one batch, a row of weight 2
                counts as the row twice; a row of weight 0 always as none.

        Returns:
            The estimator.

        Raises:
            ValueError: data or parameters that cannot be used; training that diverges.
            TypeError: a parameter of another type; a sparse matrix.
        """
        again = self.warm_start and hasattr(self, "coefs_")
        X, targets, weights = self._validated(X, y, sample_weight, reset=not again)
        random = check_random_state(self.random_state)
        params = self._params() if again else self._initial_params(random, X, targets)
        aside = None
        if self.early_stopping:
            split = train_test_split(
                X, targets, weights, test_size=self.validation_fraction, random_state=random,
                stratify=targets if is_classifier(self) and targets.shape[1] == 1 else None,
            )  # fmt: skip
            X, targets, weights, aside = *split[::2], split[1::2]
            if len(aside[0]) < 2:
                raise ValueError("validation_fraction must leave two rows for validation at least; give it more")
        if not again:
            self.loss_curve_, self.validation_loss_curve_, self.validation_scores_ = [], None, None
        patience = settings.patience(self.n_iter_no_change)
        last = validate_count("max_iter", self.max_iter, at_least=1)
        self.n_iter_ = 0
        state = self._train(self._start(params, random), X, targets, weights, aside, last, patience)
        if self.n_iter_ == last and np.any(np.asarray(state.waited) < patience):
            warnings.warn(
                f"max_iter={last} epochs are over, and the optimization has not converged yet",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Any:
        if self.early_stopping:
            raise ValueError("early_stopping must be False in partial_fit: one epoch is no training to stop")
        first = not hasattr(self, "coefs_")
        X, targets, weights = self._validated(X, y, sample_weight, reset=first, classes=classes)
        random = check_random_state(self.random_state)
        if first:
            self.n_iter_, self.loss_curve_, self.validation_loss_curve_, self.validation_scores_ = 0, [], None, None
            state = self._start(self._initial_params(random, X, targets), random)
        else:
            state = self._start(self._params(), random)
            resumed = state._replace(**self._resume)
            if jax.tree.structure(resumed.opt_state) == jax.tree.structure(state.opt_state):
                state = resumed
            else:  # another solver, which has steps of its own to remember
                state = resumed._replace(opt_state=state.opt_state)
        last = int(np.max(state.epoch)) + 1
        self._train(state, X, targets, weights, None, last, settings.patience(np.inf))
        return self

    @property
    def loss_(self) -> float | list[float]:
        """The training loss of the last epoch; of each member."""
        curves = np.asarray(self.loss_curve_)  # NaN after the end of a member
        last = np.sum(~np.isnan(curves), axis=-1, keepdims=True) - 1
        return np.take_along_axis(curves, last, axis=-1)[..., 0].tolist()

    @property
    def best_validation_score_(self) -> float | list[float] | None:
        """The highest score on the rows put aside; of each member; None without early stopping."""
        return None if self.validation_scores_ is None else np.nanmax(self.validation_scores_, axis=-1).tolist()

    # What follows is the way in: data, weights, the state before the first epoch.

    def _validated(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool, classes: Any = None
    ) -> tuple[np.ndarray, ...]:
        X, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=is_regressor(self), reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if reset:
            self._learn_classes(y if classes is None or y.ndim == 2 else classes)
        if not reset or classes is not None:
            self._check_classes(y)
        targets = self._targets(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        weights = weights * self._class_weights(y)
        counted = weights > 0
        if not counted.any():
            raise ValueError("sample_weight must not be zero in all rows")
        # float32 where JAX's x64 mode is off, and where the data are. What overflows ends in a loss that is not finite.
        dtype = jax.dtypes.canonicalize_dtype(X.dtype)
        with np.errstate(over="ignore"):
            X, targets, weights = (v[counted].astype(dtype, copy=False) for v in (X, targets, weights))
        return X, targets, weights

    def _learn_classes(self, y: Any) -> None:
        pass

    def _check_classes(self, y: np.ndarray) -> None:
        pass

    def _targets(self, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _class_weights(self, y: np.ndarray) -> np.ndarray | float:
        return 1.0

    def _criterion(self) -> Criterion:
        raise NotImplementedError

    def _metric(self) -> Metric:
        raise NotImplementedError

    def _initial_params(self, random: Any, X: np.ndarray, targets: np.ndarray) -> Params:
        """Uniform after Glorot and Bengio 2010, drawn in scikit-learn's order: the first starts as its network does."""
        hidden = settings.hidden_layer_sizes(self.hidden_layer_sizes)
        sizes = list(itertools.pairwise((X.shape[1], *hidden, targets.shape[1])))
        factors = settings.glorot_factors(self.activation, len(sizes))
        members = []
        for _ in range(validate_count("n_members", self.n_members, at_least=1)):
            layers = []
            for (fan_in, fan_out), factor in zip(sizes, factors, strict=True):
                bound = np.sqrt(factor / (fan_in + fan_out))
                w, b = random.uniform(-bound, bound, (fan_in, fan_out)), random.uniform(-bound, bound, (1, fan_out))
                layers.append(Layer(w.astype(X.dtype), b.astype(X.dtype)))
            members.append(tuple(layers))
        return members[0] if len(members) == 1 else jax.tree.map(lambda *leaves: np.stack(leaves), *members)

    def _params(self) -> Params:
        return tuple(Layer(w, b[..., None, :]) for w, b in zip(self.coefs_, self.intercepts_, strict=True))

    def _start(self, params: Params, random: Any) -> FitState:
        key: Any = np.array([0, random.randint(np.iinfo(np.int32).max)], np.uint32)
        return init_fit(params, key=key, optimizer=settings.optimizer(self))

    # And the way out: the epochs, and what is kept of them.

    def _train(
        self, state: FitState, X: Any, targets: Any, weights: Any, aside: Any, last: int, patience: int
    ) -> FitState:
        n, batch_size = batches(len(X), self.batch_size)
        table = [filled(v, n) for v in (X, targets, weights)]
        if aside is not None:
            table += [filled(v, rounded(len(v))) for v in aside]
        state, data = jax.device_put((state, FitData(*table)), settings.device(self.device))
        metric = self._metric()
        run = prepare_run(
            state, data, optimizer=settings.optimizer(self), batch_size=batch_size, patience=patience,
            activation=settings.activation(self.activation), criterion=self._criterion(), metric=metric,
            tolerance=settings.number("tol", self.tol), l2=settings.number("alpha", self.alpha),
        )  # fmt: skip
        history = self._continue_history(empty_history(state, data, metric))
        state, _, interrupted = run_chunks(
            run, state, history, epochs=last, patience=patience, on_chunk=lambda _, history: self._record(history)
        )
        if interrupted:
            warnings.warn("training was interrupted; the weights are those after the last epochs", stacklevel=3)
        state = jax.device_get(state)
        if np.any(state.diverged):
            raise ValueError(
                f"training diverged in epoch {self.n_iter_}: the loss or the weights are not finite any more; "
                "standardise the columns of X, or lower learning_rate_init"
            )
        self.coefs_ = [layer.w for layer in state.best_params]
        self.intercepts_ = [layer.b[..., 0, :] for layer in state.best_params]
        self.n_layers_, self.n_outputs_ = len(self.coefs_) + 1, targets.shape[1]
        self.best_loss_ = state.best_loss.tolist()
        self._resume = {"opt_state": state.opt_state, "key": state.key, "epoch": state.epoch}
        return state

    def _continue_history(self, empty: History) -> History:
        """Return the history of the earlier epochs, empty for what they did not measure."""
        curves = {name: getattr(self, curve) for name, curve in _CURVES.items()}
        return empty._replace(
            **{
                name: np.asarray(curves[name], values.dtype) if curves[name] else values
                for name, values in empty._asdict().items()
                if values is not None
            }
        )

    def _record(self, history: History) -> None:
        seen = np.shape(self.loss_curve_)[-1]
        for name, values in history._asdict().items():
            if values is not None:
                setattr(self, _CURVES[name], values.tolist())
        for losses in np.asarray(history.loss).T[seen:]:
            self.n_iter_ += 1
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {np.nanmean(losses):.8f}")  # noqa: T201 (asked for)

    def _predictions(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """The mean over the members of what the criterion makes of the outputs, and the deviation: (n, outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        x = filled(X.astype(self.coefs_[0].dtype, copy=False), rounded(len(X)))
        params, x = jax.device_put((self._params(), x), settings.device(self.device))
        activation, criterion = settings.activation(self.activation), self._criterion()
        predicted = predict_mean_and_std(params, x, activation=activation, criterion=criterion)
        mean, deviation = (np.asarray(values, X.dtype)[: len(X)] for values in predicted)
        return mean, deviation
