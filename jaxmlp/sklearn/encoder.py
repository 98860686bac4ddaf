"""The piecewise-linear encoding of numbers as a transformer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from jaxmlp._validation import refuse_masked, validate_count
from jaxmlp.fitting.encoding import learn_edges, piecewise_linear


@dataclass(eq=False, repr=False)
class PiecewiseLinearEncoder(TransformerMixin, BaseEstimator):
    """Encode each feature piecewise linearly, in bins at the quantiles of the training rows.

    A feature with edges e[0] < … < e[T] becomes T columns. Column t holds (x - e[t]) / (e[t+1] - e[t]) inside bin t, 0
    before it and 1 beyond it. The first and the last column continue outside the training range, by two widths at most.
    The encoding needs no scaling. A feature with at most `n_bins + 1` different values has its edges at these values,
    and a constant feature becomes no column.

    Arguments:
        n_bins: int, default=16. Largest number of bins of a feature.

    Attributes:
        edges_: list of arrays, for each feature its edges, ascending.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    n_bins: int = 16

    if TYPE_CHECKING:  # fitted attributes

        def __getattr__(self, name: str) -> Any: ...

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn the edges of the bins.

        Arguments:
            X: (n, features), an array or a data frame of numbers.
            y: ignored.

        Returns:
            The encoder.

        Raises:
            ValueError: data that are not finite numbers; `n_bins` below 1.
            TypeError: `n_bins` that is no whole number; a sparse matrix.
        """
        n_bins = validate_count("n_bins", self.n_bins, at_least=1)
        x = self._validate(X, reset=True)
        self.edges_ = [learn_edges(column, n_bins) for column in x.T.astype(np.float64)]
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Encode rows.

        Arguments:
            X: (n, features), an array or a data frame of numbers.

        Returns:
            (n, sum of the numbers of bins), the columns of a feature next to each other; float32 if X is, else float64.

        Raises:
            ValueError: data that are not finite numbers, or do not have the features of `fit`.
            NotFittedError: `fit` comes first.
        """
        check_is_fitted(self)
        x = self._validate(X, reset=False)
        ends = np.cumsum([0, *self._count_bins()])
        encoded = np.empty((len(x), ends[-1]), x.dtype)
        with np.errstate(over="ignore"):  # A value far outside is bounded.
            for k, edges in enumerate(self.edges_):
                column = x[:, k : k + 1].astype(np.float64)
                encoded[:, ends[k] : ends[k + 1]] = piecewise_linear(edges[None], column)[:, 0]
        return encoded

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns that `transform` returns, such as "x0_bin_0".

        Arguments:
            input_features: (features,) names, default=None. None for those of `fit`, or else x0, x1, …
        """
        check_is_fitted(self)
        names = np.asarray(_check_feature_names_in(self, input_features))
        bins = zip(names, self._count_bins(), strict=True)
        return np.array([f"{name}_bin_{t}" for name, count in bins for t in range(count)], dtype=object)

    def _count_bins(self) -> list[int]:
        """Return the number of bins of each feature."""
        return [len(edges) - 1 for edges in self.edges_]

    def _validate(self, X: Any, *, reset: bool) -> np.ndarray:
        refuse_masked("X", X)
        return np.asarray(validate_data(self, X, dtype=(np.float64, np.float32), reset=reset))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        assert tags.transformer_tags is not None
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
