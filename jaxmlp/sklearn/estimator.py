"""What both estimators share: scikit-learn's conventions around the training loop of `fit`."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import jax
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxmlp._fork import validate_process
from jaxmlp._validation import refuse_masked, validate
from jaxmlp.ensembles.prediction import predict_mean_and_std
from jaxmlp.network import Layer, Params
from jaxmlp.sklearn.lbfgs import minimize
from jaxmlp.sklearn.losses import out_activation
from jaxmlp.sklearn.parameters import Parameters, draw_params
from jaxmlp.sklearn.rows import (
    Rows,
    Start,
    make_dense,
    pad,
    round_rows,
    round_up,
    validate_rows,
)
from jaxmlp.sklearn.stochastic import CURVES, StochasticSolvers


class Perceptron(StochasticSolvers):
    """The shared part of `MLPRegressor` and `MLPClassifier`.

    These define `_encode(y, start)`, which returns targets (n, outputs) and a factor for the sample weights,
    `_criterion()` and `_metric()`.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train from new weights, or from the last ones if `warm_start`. An error leaves the estimator as it was.

        Arguments:
            X: (n, features), an array or a data frame of numbers; or a sparse matrix, which is made dense, of at most
                2 GiB then.
            y: (n,) or (n, outputs).
            sample_weight: (n,), not negative, or None for all ones. A row of weight 0 has no effect. If all rows are
                one batch, a row of weight 2 has the effect of the same row twice.

        Returns:
            The estimator.

        Raises:
            ValueError: data or parameters that cannot be used; training that diverges.
            TypeError: a parameter of another type.
        """
        with unchanged_on_error(self):
            self._validate_params()
            start: Start = "warm" if self.warm_start and hasattr(self, "coefs_") else "new"
            rows = validate_rows(self, X, y, sample_weight, start)
            with jax.enable_x64(rows.x.dtype == np.float64):
                params, random = self._prepare(rows, start)
                if self.solver == "lbfgs":
                    self._minimize(params, rows)
                else:
                    self._fit_epochs(params, rows, random, start)
        return self

    def _partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> Self:
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: one epoch is no training to stop")
        with unchanged_on_error(self):
            self._validate_params()
            rows = validate_rows(self, X, y, sample_weight, "partial")
            with jax.enable_x64(rows.x.dtype == np.float64):
                self._train(*self._prepare(rows, "partial"), rows, None, "partial")
        return self

    def _prepare(self, rows: Rows, start: Start) -> tuple[Params, np.random.RandomState]:
        """Return the weights to start from, and the generator of what else is random."""
        random, hidden, outputs = check_random_state(self.random_state), self._sizes(), rows.targets.shape[1]
        activation, criterion = self._activation(), self._criterion()
        if start != "new" and hasattr(self, "coefs_"):
            self._require_same_shapes(hidden, outputs)
            params = jax.tree.map(lambda leaf: np.asarray(leaf, rows.x.dtype), self._params())
        else:
            self.t_, self.loss_curve_, self.validation_loss_curve_, self.validation_scores_ = 0, [], None, None
            self._last = None
            sizes = (rows.x.shape[1], *hidden, outputs)
            members = [draw_params(random, sizes, activation, rows.x.dtype) for _ in range(self.n_members)]
            params = members[0] if self.n_members == 1 else jax.tree.map(lambda *leaves: np.stack(leaves), *members)
        self.n_layers_, self.n_outputs_, self.out_activation_ = len(params) + 1, outputs, out_activation(criterion)
        if not (isinstance(self.loss, str) and isinstance(self.activation, str)):
            # Errors about custom functions count the rows before padding.
            validate(self._members(params)[0], *rows, activation, criterion)
        return params, random

    def _require_same_shapes(self, hidden: tuple[int, ...], outputs: int) -> None:
        """Refuse to continue from the last weights with parameters or targets that ask for others."""
        *first, last = self.coefs_
        shapes = {
            "hidden_layer_sizes": (hidden, tuple(w.shape[-1] for w in first)),
            "n_members": (self.n_members, last.shape[0] if last.ndim == 3 else 1),
            "the number of outputs in y": (outputs, last.shape[-1]),
        }
        for name, (given, fitted) in shapes.items():
            if given != fitted:
                raise ValueError(f"{name} must be {fitted}, to continue from the last weights; got {given}")

    def _params(self) -> Params:
        return tuple(Layer(w, b[..., None, :]) for w, b in zip(self.coefs_, self.intercepts_, strict=True))

    def _members(self, params: Params) -> list[Params]:
        if self.n_members == 1:
            return [params]
        return [jax.tree.map(lambda leaf: leaf[k], params) for k in range(self.n_members)]  # noqa: B023

    def _minimize(self, params: Params, rows: Rows) -> None:
        """Train by "lbfgs", one member after the other."""
        for name in (*CURVES, "best_loss_"):
            vars(self).pop(name, None)
        self._last = None
        device = self._device() if self._platform() == "cpu" else jax.devices("cpu")[0]
        n = round_up(len(rows.x))
        data = jax.device_put([pad(values, n) for values in rows], device)
        train = partial(
            minimize, l2=float(self.alpha), activation=self._activation(), criterion=self._criterion(),
            max_iter=self.max_iter, max_fun=self.max_fun, tol=self.tol,
        )  # fmt: skip
        results = [train(member, *data) for member in self._members(params)]
        members, losses, iterations = zip(*results, strict=True)
        is_single = self.n_members == 1
        self._keep(members[0] if is_single else jax.tree.map(lambda *leaves: np.stack(leaves), *members), rows)
        self.loss_, self.n_iter_ = losses[0] if is_single else list(losses), max(iterations)

    def _predict(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of the members' predictions and their standard deviation, both (n, outputs)."""
        validate_process()
        check_is_fitted(self)
        refuse_masked("X", X)
        X = make_dense(
            validate_data(self, X, dtype=(np.float64, np.float32), accept_sparse=("csr", "csc"), reset=False)
        )
        result = np.result_type(X.dtype, self.coefs_[0].dtype)
        dtype = result if self._platform() == "cpu" else np.dtype(np.float32)
        x = pad(round_rows("X", X, dtype), round_up(len(X)))
        with jax.enable_x64(dtype == np.float64):
            params = jax.tree.map(lambda leaf: leaf.astype(dtype, copy=False), self._params())
            params, x = jax.device_put((params, x), self._device())
            found = predict_mean_and_std(params, x, activation=self._activation(), criterion=self._criterion())
            mean, std = (np.array(values, result)[: len(X)] for values in found)
        return mean, std

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def has_epochs(estimator: Parameters) -> bool:
    """Return whether `partial_fit` exists, or raise AttributeError, as scikit-learn's `available_if` demands."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for solvers that train by epochs; lbfgs does not")
    return True


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
