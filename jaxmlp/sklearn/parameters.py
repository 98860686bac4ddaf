"""The parameters of an estimator, and what the functions of `jaxmlp.fitting` take for them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import jax
import numpy as np
from sklearn.base import BaseEstimator

from jaxmlp._validation import validate_count
from jaxmlp.activations import ACTIVATIONS, Activation, sigmoid
from jaxmlp.criteria import Criterion
from jaxmlp.fitting.optimizers import RANGES, Adam, Optimizer, Sgd, require_optimizer
from jaxmlp.fitting.values import validate_number
from jaxmlp.network import Layer, Params

_ACTIVATIONS = {"logistic": sigmoid, **ACTIVATIONS}
_RANGES = RANGES | {"learning_rate_init": "(0, inf)", "validation_fraction": "(0, 1)"}
NEVER = np.iinfo(np.int32).max


@dataclass(kw_only=True, eq=False, repr=False)
class Parameters(BaseEstimator):
    """The parameters that both estimators share; `MLPRegressor` explains them."""

    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str | Activation | Sequence[str | Activation] = "relu"
    loss: str | Criterion = "squared_error"
    solver: str | Optimizer = "adam"
    alpha: float = 1e-4
    batch_size: int | str = "auto"
    learning_rate_init: float = 1e-3
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    max_iter: int = 200
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: float = 10
    tol: float = 1e-4
    random_state: int | np.random.RandomState | None = None
    warm_start: bool = False
    n_members: int = 1
    device: str | None = None
    verbose: bool = False

    def _sizes(self) -> tuple[int, ...]:
        """Return the hidden layer widths."""
        value = self.hidden_layer_sizes
        sizes = value if isinstance(value, Sequence | np.ndarray) else [value]
        return tuple(validate_count("hidden_layer_sizes", size, at_least=1) for size in sizes)

    def _activation(self) -> Activation | tuple[Activation, ...]:
        """Return one activation, or several, one for each hidden layer."""
        if isinstance(self.activation, tuple | list):
            return tuple(choose("activation", item, _ACTIVATIONS, Activation) for item in self.activation)
        return choose("activation", self.activation, _ACTIVATIONS, Activation)

    def _optimizer(self) -> Optimizer:
        """Return scikit-learn's adam or sgd with the hyperparameters of the estimator, or the custom optimizer."""
        kind = choose("solver", self.solver, {"adam": Adam, "sgd": Sgd})
        if kind not in (Adam, Sgd):
            require_optimizer(kind, "solver")
            return kind
        rate = self._number("learning_rate_init")
        if kind is Sgd:
            return Sgd(rate, momentum=self._number("momentum"), nesterov=bool(self.nesterovs_momentum))
        beta_1, beta_2, epsilon = (self._number(name) for name in ("beta_1", "beta_2", "epsilon"))
        return Adam(rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, epsilon_hat=True)

    def _number(self, name: str) -> float:
        """Return a parameter that is a real number in its range."""
        value = getattr(self, name)
        if not isinstance(value, Real):
            raise TypeError(f"{name} must be a number; got {type(value).__name__}")
        validate_number(name, value, _RANGES.get(name, "[0, inf)"), np.float32)
        return float(value)

    def _patience(self) -> int:
        """Return the epochs without progress after which scikit-learn stops: one more than `n_iter_no_change`."""
        if self.n_iter_no_change == np.inf:
            return NEVER
        return validate_count("n_iter_no_change", self.n_iter_no_change, at_least=1) + 1

    def _device(self) -> Any:
        """Return the JAX device of a name such as "cpu", "cuda" or "cuda:1"; None for JAX's own choice."""
        if self.device is None:
            return None
        platform, _, index = str(self.device).partition(":")
        try:
            return jax.devices(platform)[int(index or 0)]
        except (RuntimeError, ValueError, IndexError):
            default = jax.devices()[0].platform
            raise ValueError(f"device must be one that JAX has here, such as {default}; got {self.device!r}") from None


def draw_params(
    random: np.random.RandomState,
    sizes: Sequence[int],
    activation: Activation | tuple[Activation, ...],
    dtype: np.dtype,
) -> Params:
    """Draw weights and biases uniformly (Glorot and Bengio 2010), with the bounds and in the order of scikit-learn."""
    activations = activation if isinstance(activation, tuple) else (activation,)
    layers = []
    for k, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        bound = np.sqrt((2.0 if activations[min(k, len(activations) - 1)] == sigmoid else 6.0) / (fan_in + fan_out))
        w, b = (random.uniform(-bound, bound, (rows, fan_out)).astype(dtype) for rows in (fan_in, 1))
        layers.append(Layer(w, b))  # type: ignore[arg-type]
    return tuple(layers)


def choose(name: str, value: object, named: Mapping[str, Any], kind: type = object) -> Any:
    """Return a named value, or a custom one of a type."""
    if not isinstance(value, str) and isinstance(value, kind):
        return value
    if not isinstance(value, str) or value not in named:
        raise ValueError(f"{name} must be one of {', '.join(named)}, or a custom one; got {value!r}")
    return named[value]
