"""The solvers that train by epochs: "adam", "sgd" and custom optimizers."""

import warnings
from functools import partial
from typing import Any

import jax
import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from jaxmlp.fitting.epochs import CAPACITY, run_epochs
from jaxmlp.fitting.loop import prepare_run, run_chunks
from jaxmlp.fitting.metrics import AnyArray
from jaxmlp.fitting.optimizers import Optimizer, OptimizerState, OptState
from jaxmlp.fitting.state import FitData, FitState, History, empty_history, init_fit, last_epoch
from jaxmlp.network import Params
from jaxmlp.sklearn.parameters import Parameters
from jaxmlp.sklearn.rows import Rows, Start, pad, plan_batches, round_up

# The attributes that keep the measurements of a `History`.
CURVES = ("loss_curve_", "validation_loss_curve_", "validation_scores_")

# Rows times parameters of epochs that end within a quarter of a second on a slow core.
_SHORT = 2**24

# Values above this in X or y are not standardized.
_LARGE = 100

_NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed"
)


class StochasticSolvers(Parameters):
    """Training by epochs, and the attributes that keep its course."""

    def _fit_epochs(self, params: Params, rows: Rows, random: np.random.RandomState, start: Start) -> None:
        """Train by epochs, until there is no progress."""
        valid = None
        if self.early_stopping:
            rows, valid = self._hold_out(rows, random)
        state = self._train(params, random, rows, valid, start)
        if np.any(state.diverged):
            message = f"training diverged in epoch {self.n_iter_}; the weights are those of the best epoch before it"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        elif self.n_iter_ == self.max_iter and np.any(state.waited < self._patience()):
            message = f"training stopped after max_iter={self.max_iter} epochs and has not converged yet"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)

    def _hold_out(self, rows: Rows, random: np.random.RandomState) -> tuple[Rows, Rows]:
        """Return the rows to train and to validate with."""
        fraction, n = self.validation_fraction, len(rows.x)
        stratify = rows.targets.astype(bool) if is_classifier(self) and rows.targets.shape[1] == 1 else None
        try:
            split: Any = train_test_split(*rows, test_size=fraction, random_state=random, stratify=stratify)
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot hold out validation_fraction={fraction} (test_size) of {n} rows: {error}"
            ) from None
        rows, valid = Rows(*split[::2]), Rows(*split[1::2])
        if len(valid.x) < 2:
            raise ValueError(
                f"The validation set is too small: validation_fraction={fraction} of {n} rows must be two rows at least"
            )
        return rows, valid

    def _start(self, params: Params, random: np.random.RandomState, start: Start, optimizer: Optimizer) -> FitState:
        """Return the first state of this call, which continues what the last call has left."""
        key = _as_key(np.array([0, random.randint(np.iinfo(np.int32).max)], np.uint32))
        state, last = init_fit(params, key=key, optimizer=optimizer), getattr(self, "_last", None)
        if last is None or start == "new":
            return state
        if start == "partial":
            opt_state = self._continue_optimizer(state.opt_state, last.opt_state)
            state = state._replace(opt_state=opt_state, key=_as_key(last.key), epoch=last.epoch)
        if self._watched == self._watches():
            waited = np.minimum(last.waited, self._patience() - 1)
            best_loss = np.minimum(last.best_loss, np.finfo(params[0].w.dtype).max)
            state = state._replace(best_loss=best_loss.astype(params[0].w.dtype), waited=waited)
        return state

    def _continue_optimizer(self, fresh: OptState, last: OptState) -> OptState:
        """Return the last state of an optimizer with the hyperparameters of a fresh one; of another solver, that."""
        if jax.tree.structure(last) != jax.tree.structure(fresh):
            return fresh
        if isinstance(fresh, OptimizerState):
            kept = ("learning_rate",) if self.solver == "sgd" and self.learning_rate != "constant" else ()
            hyperparameters = fresh.hyperparameters | {name: last.hyperparameters[name] for name in kept}
            last = last._replace(hyperparameters=hyperparameters)
        return jax.tree.map(lambda old, new: np.asarray(old, new.dtype), last, fresh)

    def _train(
        self, params: Params, random: np.random.RandomState, rows: Rows, valid: Rows | None, start: Start
    ) -> FitState:
        """Train, by `partial_fit` for one epoch, and keep the result."""
        optimizer = self._optimizer()
        state = self._start(params, random, start, optimizer)
        done = last_epoch(state)
        n, batch_size = plan_batches(len(rows.x), self.batch_size)
        padded = [pad(v, n) for v in rows] + [pad(v, round_up(len(v))) for v in valid or ()]
        device, data, metric, patience = self._device(), FitData(*padded), self._metric(), self._patience()
        earlier, dtype = getattr(self, "t_", 0), rows.x.dtype
        options: Any = {
            "optimizer": optimizer, "batch_size": batch_size, "patience": patience, "metric": metric,
            "activation": self._activation(), "criterion": self._criterion(), "shuffle": bool(self.shuffle),
            "l2": self._number("alpha", dtype),
            "advance": self._progress(len(rows.x), earlier - len(rows.x) * done, dtype),
        }  # fmt: skip
        # Members are split over all CPU devices, unless there is a device to stay on.
        if device is not None:
            state, data = jax.device_put((state, data), device)
        run = prepare_run(state, data, **options) if device is None else partial(run_epochs, data=data, **options)
        # The history of earlier epochs, empty for what they did not measure.
        empty = zip(CURVES, empty_history(state, data, metric), strict=True)
        curves: Any = (v if v is None else np.asarray(getattr(self, name, None) or v, v.dtype) for name, v in empty)
        self.n_iter_ = 0
        state, history, interrupted = run_chunks(
            run, state, History(*curves), epochs=done + 1 if start == "partial" else self.max_iter, patience=patience,
            on_chunk=self._record, length=_count_short_epochs(n, params),
        )  # fmt: skip
        if interrupted:
            warnings.warn("training was interrupted; the weights are those after the last epoch", stacklevel=4)
        state = jax.device_get(state)
        if np.any(state.diverged & ((state.best_loss == np.finfo(dtype).max) | (valid is None))):
            raise ValueError(f"{_NOT_FINITE}: training diverged in epoch {self.n_iter_}; {self._advise(rows)}")
        self._keep(state.best_params, rows)
        self.t_ = earlier + len(rows.x) * self.n_iter_
        self.loss_ = _last_of(history.loss)
        self.best_loss_ = None if self.early_stopping else state.best_loss.tolist()
        key = np.asarray(jax.random.key_data(state.key))  # can be pickled
        self._last, self._watched = state._replace(params=(), best_params=(), key=key), self._watches()
        return state

    def _advise(self, rows: Rows) -> str:
        """Return what may help a training that diverges."""
        advice = ["lower learning_rate_init" if isinstance(self.solver, str) else "lower the learning rate of solver"]
        advice = [] if self.solver == "lbfgs" else advice
        advice += ["lower alpha"] if self.alpha > 1 else []
        if not is_classifier(self) and np.abs(rows.targets).max() > _LARGE:
            advice.insert(0, "standardize y")
        if np.abs(rows.x).max() > _LARGE:
            advice.insert(0, "standardize the columns of X")
        return ", or ".join(advice)

    def _record(self, _: FitState, history: History) -> None:
        """Keep what was measured so far; an epoch that diverged has no score."""
        recorded, scores = np.shape(getattr(self, "loss_curve_", []))[-1], history.metric
        if scores is not None:
            diverged = np.isinf(history.loss[..., history.loss.shape[-1] - scores.shape[-1] :])
            history = history._replace(metric=np.where(diverged, np.nan, scores))
        for name, values in zip(CURVES, history, strict=True):
            setattr(self, name, getattr(self, name, None) if values is None else values.tolist())
        for k in range(recorded - history.loss.shape[-1], 0):
            self.n_iter_ += 1
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {_mean(history.loss[..., k]):.8f}")  # noqa: T201 (the user asked)
                if history.metric is not None:
                    print(f"Validation score: {_mean(history.metric[..., k]):f}")  # noqa: T201

    def _keep(self, params: Params, rows: Rows) -> None:
        """Keep weights, if they are finite, in arrays that may be written to."""
        params = jax.tree.map(np.array, params)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
            raise ValueError(f"{_NOT_FINITE}: {self._advise(rows)}")
        self.coefs_ = [layer.w for layer in params]
        self.intercepts_ = [layer.b[..., 0, :] for layer in params]

    @property
    def best_validation_score_(self) -> float | list[float] | None:
        """The highest validation score; with several members, of each; None without early stopping."""
        return None if self.validation_scores_ is None else np.nanmax(self.validation_scores_, axis=-1).tolist()


def _as_key(data: Any) -> jax.Array:
    """Return a key, or keys, of JAX's default generator, whatever generator the user has chosen since."""
    return jax.random.wrap_key_data(data, impl="threefry2x32")


def _count_short_epochs(n: int, params: Params) -> int:
    """Return the number of epochs that are run before their time is measured."""
    return int(np.clip(_SHORT / (n * sum(leaf.size for leaf in jax.tree.leaves(params))), 1, CAPACITY))


def _last_of(curves: AnyArray) -> float | list[float]:
    """Return the last value of a curve (epochs,), or of each (members, epochs), which is NaN after a member stopped."""
    last = np.sum(~np.isnan(curves), axis=-1, keepdims=True) - 1
    return np.take_along_axis(curves, last, axis=-1)[..., 0].tolist()


def _mean(values: object) -> float:
    """Return the mean over the members that still run."""
    values = np.asarray(values)
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else float("nan")
