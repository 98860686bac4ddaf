"""What both estimators share: scikit-learn's conventions around the training loop of `fit`."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import jax
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxmlp._fork import validate_process
from jaxmlp._validation import refuse_masked, validate_count
from jaxmlp.ensembles.prediction import predict_mean_and_std
from jaxmlp.fitting.epochs import run_epochs
from jaxmlp.fitting.loop import prepare_run, run_chunks
from jaxmlp.fitting.optimizers import OptimizerState
from jaxmlp.fitting.state import FitData, FitState, History, empty_history, init_fit
from jaxmlp.network import Layer, Params
from jaxmlp.sklearn.parameters import NEVER, Parameters, draw_params
from jaxmlp.sklearn.rows import Rows, pad, plan_batches, round_rows, round_up, validate_rows

# The attributes that keep the measurements of a `History`.
_CURVES = ("loss_curve_", "validation_loss_curve_", "validation_scores_")

# Values above this in X or y are not standardized.
_LARGE = 100


class Perceptron(Parameters):
    """The shared part of `MLPRegressor` and `MLPClassifier`.

    These define `_encode(y, …)`, which returns targets (n, outputs) and a factor for the sample weights, `_criterion()`
    and `_metric()`.
    """

    if TYPE_CHECKING:  # fitted attributes, and what subclasses define

        def __getattr__(self, name: str) -> Any: ...

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train from new weights, or from the last ones if `warm_start`. An error leaves the estimator as it was.

        Arguments:
            X: (n, features), an array or a data frame of numbers.
            y: (n,) or (n, outputs).
            sample_weight: (n,), not negative, or None for all ones. A row of weight 0 has no effect. If all rows are
                one batch, a row of weight 2 has the effect of the same row twice.

        Returns:
            The estimator.

        Raises:
            ValueError: data or parameters that cannot be used; training that diverges.
            TypeError: a parameter of another type; a sparse matrix.
        """
        with unchanged_on_error(self):
            continues = self.warm_start and hasattr(self, "coefs_")
            rows = validate_rows(self, X, y, sample_weight, reset=not continues)
            params, random = self._prepare(rows, continues=continues)
            valid, patience = None, self._patience()
            if self.early_stopping:
                rows, valid = self._hold_out(rows, random)
            self.n_iter_, last = 0, validate_count("max_iter", self.max_iter, at_least=1)
            state = self._train(self._start(params, random), rows, valid, last, patience)
            if self.n_iter_ == last and np.any(np.asarray(state.waited) < patience):
                message = f"training stopped after max_iter={last} epochs and has not converged yet"
                warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return self

    def _partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, classes: object = None) -> Self:
        if self.early_stopping:
            raise ValueError("early_stopping must be False in partial_fit: one epoch is no training to stop")
        with unchanged_on_error(self):
            continues = hasattr(self, "coefs_")
            rows = validate_rows(self, X, y, sample_weight, reset=not continues, classes=classes)
            state = self._start(*self._prepare(rows, continues=continues))
            if continues:
                state = self._continue(state)
            self._train(state, rows, None, int(np.max(state.epoch)) + 1, NEVER)
        return self

    def _continue(self, state: FitState) -> FitState:
        """Return a first state as the state after the last epoch, with its own hyperparameters, or its own solver."""
        opt_state, fresh = self._resume["opt_state"], state.opt_state
        if jax.tree.structure(opt_state) != jax.tree.structure(fresh):
            opt_state = fresh
        elif isinstance(fresh, OptimizerState):
            opt_state = opt_state._replace(hyperparameters=fresh.hyperparameters)
        return state._replace(**self._resume | {"opt_state": opt_state, "key": _as_key(self._resume["key"])})

    def _hold_out(self, rows: Rows, random: np.random.RandomState) -> tuple[Rows, Rows]:
        """Return the rows to train and to validate with."""
        fraction, n = self._number("validation_fraction"), len(rows.x)
        stratify = rows.targets if is_classifier(self) and rows.targets.shape[1] == 1 else None
        try:
            split: Any = train_test_split(*rows, test_size=fraction, random_state=random, stratify=stratify)
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot hold out validation_fraction={fraction} (test_size) of {n} rows: {error}"
            ) from None
        rows, valid = Rows(*split[::2]), Rows(*split[1::2])
        if len(valid.x) < 2:
            raise ValueError(
                f"validation_fraction must leave at least two rows for validation; got {fraction} of {n} rows"
            )
        return rows, valid

    def _prepare(self, rows: Rows, *, continues: bool) -> tuple[Params, np.random.RandomState]:
        """Return the weights to start from, and the generator of what else is random."""
        random, hidden, outputs = check_random_state(self.random_state), self._sizes(), rows.targets.shape[1]
        members = validate_count("n_members", self.n_members, at_least=1)
        if continues:
            self._require_same_shapes(hidden, members, outputs)
            # Weights in float64 come from a fit in JAX's x64 mode, which may be off now.
            cast = jax.dtypes.canonicalize_dtype(self.coefs_[0].dtype)
            return jax.tree.map(lambda leaf: leaf.astype(cast, copy=False), self._params()), random
        self.n_iter_, self.loss_curve_, self.validation_loss_curve_, self.validation_scores_ = 0, [], None, None
        sizes, activation = (rows.x.shape[1], *hidden, outputs), self._activation()
        params = [draw_params(random, sizes, activation, rows.x.dtype) for _ in range(members)]
        return params[0] if len(params) == 1 else jax.tree.map(lambda *leaves: np.stack(leaves), *params), random

    def _require_same_shapes(self, hidden: tuple[int, ...], members: int, outputs: int) -> None:
        """Refuse to continue from the last weights with parameters or targets that ask for others."""
        *first, last = self.coefs_
        shapes = {
            "hidden_layer_sizes": (hidden, tuple(w.shape[-1] for w in first)),
            "n_members": (members, last.shape[0] if last.ndim == 3 else 1),
            "the number of outputs in y": (outputs, last.shape[-1]),
        }
        for name, (given, fitted) in shapes.items():
            if given != fitted:
                raise ValueError(f"{name} must be {fitted}, to continue from the last weights; got {given}")

    @property
    def loss_(self) -> float | list[float]:
        """The training loss of the last epoch; with several members, of each."""
        curves = np.asarray(self.loss_curve_)  # NaN after a member has stopped
        last = np.sum(~np.isnan(curves), axis=-1, keepdims=True) - 1
        return np.take_along_axis(curves, last, axis=-1)[..., 0].tolist()

    @property
    def best_validation_score_(self) -> float | list[float] | None:
        """The highest validation score; with several members, of each; None without early stopping."""
        return None if self.validation_scores_ is None else np.nanmax(self.validation_scores_, axis=-1).tolist()

    def _params(self) -> Params:
        return tuple(Layer(w, b[..., None, :]) for w, b in zip(self.coefs_, self.intercepts_, strict=True))

    def _start(self, params: Params, random: np.random.RandomState) -> FitState:
        key = _as_key(np.array([0, random.randint(np.iinfo(np.int32).max)], np.uint32))
        return init_fit(params, key=key, optimizer=self._optimizer())

    def _train(self, state: FitState, rows: Rows, valid: Rows | None, last: int, patience: int) -> FitState:
        """Train up to the epoch `last`, and keep the result."""
        n, batch_size = plan_batches(len(rows.x), self.batch_size)
        padded = [pad(v, n) for v in rows] + [pad(v, round_up(len(v))) for v in valid or ()]
        device, data, metric = self._device(), FitData(*padded), self._metric()
        options: Any = {
            "optimizer": self._optimizer(), "batch_size": batch_size, "patience": patience, "metric": metric,
            "activation": self._activation(), "criterion": self._criterion(), "tolerance": self._number("tol"),
            "l2": self._number("alpha"),
        }  # fmt: skip
        # Members are split over all CPU devices, unless there is a device to stay on.
        if device is not None:
            state, data = jax.device_put((state, data), device)
        run = prepare_run(state, data, **options) if device is None else partial(run_epochs, data=data, **options)
        # The history of earlier epochs, empty for what they did not measure.
        empty: Any = zip(_CURVES, empty_history(state, data, metric), strict=True)
        curves: Any = (v if v is None else np.asarray(getattr(self, name) or v, v.dtype) for name, v in empty)
        state, _, interrupted = run_chunks(
            run, state, History(*curves), epochs=last, patience=patience, on_chunk=self._record
        )
        if interrupted:
            warnings.warn("training was interrupted; the weights are those after the last epoch", stacklevel=3)
        state = jax.device_get(state)
        if np.any(state.diverged):
            raise ValueError(
                f"training diverged in epoch {self.n_iter_}: the loss or a weight is not finite; {self._advise(rows)}"
            )
        self.coefs_ = [layer.w for layer in state.best_params]
        self.intercepts_ = [layer.b[..., 0, :] for layer in state.best_params]
        self.n_layers_, self.n_outputs_ = len(self.coefs_) + 1, rows.targets.shape[1]
        self.best_loss_ = state.best_loss.tolist()
        key = np.asarray(jax.random.key_data(state.key))  # can be pickled
        self._resume = {"opt_state": state.opt_state, "key": key, "epoch": state.epoch}
        return state

    def _advise(self, rows: Rows) -> str:
        """Return what may help a training that diverges."""
        advice = ["lower learning_rate_init" if isinstance(self.solver, str) else "lower the learning rate of solver"]
        advice += ["lower alpha"] if self.alpha > 1 else []
        if not is_classifier(self) and np.abs(rows.targets).max() > _LARGE:
            advice.insert(0, "standardize y")
        if np.abs(rows.x).max() > _LARGE:
            advice.insert(0, "standardize the columns of X")
        return ", or ".join(advice)

    def _record(self, _: FitState, history: History) -> None:
        recorded = np.shape(self.loss_curve_)[-1]
        for name, values in zip(_CURVES, history, strict=True):
            setattr(self, name, getattr(self, name) if values is None else values.tolist())
        for losses in np.asarray(history.loss).T[recorded:]:
            self.n_iter_ += 1
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {np.nanmean(losses):.8f}")  # noqa: T201 (the user asked)

    def _predict(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of the members' predictions and their standard deviation, both (n, outputs)."""
        validate_process()
        check_is_fitted(self)
        refuse_masked("X", X)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        x = pad(round_rows("X", X, self.coefs_[0].dtype), round_up(len(X)))
        params, x = jax.device_put((self._params(), x), self._device())
        mean, std = predict_mean_and_std(params, x, activation=self._activation(), criterion=self._criterion())
        return np.asarray(mean, X.dtype)[: len(X)], np.asarray(std, X.dtype)[: len(X)]


@contextmanager
def unchanged_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Give an estimator its old attributes back if fitting fails or is interrupted outside the training loop."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _as_key(data: Any) -> jax.Array:
    """Return a key, or keys, of JAX's default generator, whatever generator the user has chosen since."""
    return jax.random.wrap_key_data(data, impl="threefry2x32")
