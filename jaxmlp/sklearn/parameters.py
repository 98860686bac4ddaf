"""The parameters of an estimator, and what the functions of `jaxmlp.fitting` take for them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import jax
import numpy as np
import sklearn.neural_network
from jax.tree_util import Partial
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_parameter_constraints

from jaxmlp._validation import validate_count
from jaxmlp.activations import ACTIVATIONS, Activation, sigmoid
from jaxmlp.fitting.optimizers import Adam, Optimizer, Sgd, require_optimizer
from jaxmlp.network import Layer, Params
from jaxmlp.sklearn.progress import Progress, Settings, Watched

T = TypeVar("T")
_ACTIVATIONS = {"logistic": sigmoid, **ACTIVATIONS}
NEVER = np.iinfo(np.int32).max


@dataclass(eq=False, repr=False)
class Parameters(BaseEstimator):
    """The parameters that both estimators share; `MLPRegressor` explains them."""

    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str | Activation | Sequence[str | Activation] = "relu"
    _: KW_ONLY
    solver: str | Optimizer = "adam"
    alpha: float = 1e-4
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 1e-3
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: int | np.random.RandomState | None = None
    tol: float = 1e-4
    verbose: bool | int = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    # Not in scikit-learn:
    validation: str = "score"
    n_members: int = 1
    device: str | None = None

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **sklearn.neural_network.MLPClassifier._parameter_constraints,
        "activation": [StrOptions(set(_ACTIVATIONS)), Activation, tuple, list],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"}), HasMethods(["init", "update"])],
        "validation": [StrOptions({"score", "loss"})],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "device": [str, None],
    }

    if TYPE_CHECKING:  # fitted attributes, and what subclasses define

        def __getattr__(self, name: str) -> Any: ...

    def _validate_params(self) -> None:
        """Refuse parameters in scikit-learn's words; its own method takes longer, as it reads the signature first."""
        values = {name: getattr(self, name) for name in self._parameter_constraints}
        validate_parameter_constraints(self._parameter_constraints, values, type(self).__name__)

    def _sizes(self) -> tuple[int, ...]:
        """Return the hidden layer widths."""
        sizes: Any = self.hidden_layer_sizes
        sizes = [sizes] if isinstance(sizes, Integral) else sizes
        return tuple(validate_count("hidden_layer_sizes", size, at_least=1) for size in sizes)

    def _activation(self) -> Activation | tuple[Activation, ...]:
        """Return one activation, or several, one for each hidden layer."""
        if isinstance(self.activation, tuple | list):
            return tuple(choose("activation", item, _ACTIVATIONS, Activation) for item in self.activation)
        return choose("activation", self.activation, _ACTIVATIONS, Activation)

    def _optimizer(self) -> Optimizer:
        """Return scikit-learn's adam or sgd with the hyperparameters of the estimator, or the custom optimizer."""
        if not isinstance(self.solver, str):
            require_optimizer(self.solver, "solver")
            return self.solver
        if self.solver == "sgd":
            return Sgd(self.learning_rate_init, momentum=self.momentum, nesterov=bool(self.nesterovs_momentum))
        return Adam(
            self.learning_rate_init, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon, epsilon_hat=True
        )

    def _progress(self, rows: int, earlier: float, dtype: np.dtype) -> Partial:
        """Return scikit-learn's rules after each epoch of so many rows, given the rows that earlier calls used."""
        rule = Progress(self._watches(), self.learning_rate if self.solver == "sgd" else "constant")  # type: ignore
        numbers = (self.learning_rate_init, self.power_t, rows, earlier)
        rate, *others = (np.asarray(number, dtype) for number in numbers)
        return Partial(
            rule, Settings(self._number("tol", dtype), np.asarray(self._patience(), np.int32), rate, *others)
        )

    def _watches(self) -> Watched:
        """Return what must improve, or training stops."""
        if not self.early_stopping:
            return "loss"
        return "metric" if self.validation == "score" else "validation_loss"

    def _number(self, name: str, dtype: np.dtype) -> np.ndarray:
        """Return a parameter in a dtype, and not more than it can hold."""
        return np.asarray(min(float(getattr(self, name)), float(np.finfo(dtype).max)), dtype)

    def _patience(self) -> int:
        """Return the epochs without progress after which scikit-learn stops: one more than `n_iter_no_change`."""
        return int(min(self.n_iter_no_change, NEVER - 1)) + 1

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

    def _platform(self) -> str:
        """Return the platform of the device, such as "cpu"."""
        device = self._device() or jax.config.jax_default_device or jax.devices()[0]  # type: ignore[attr-defined]
        return getattr(device, "platform", device)


def draw_params(
    random: np.random.RandomState,
    sizes: Sequence[int],
    activation: Activation | tuple[Activation, ...],
    dtype: np.dtype,
) -> Params:
    """Draw weights and biases uniformly (Glorot and Bengio 2010).

    Bounds and order are those of scikit-learn, so that the same `random_state` draws the same network there;
    `init_params` draws another one, from a key.
    """
    activations = activation if isinstance(activation, tuple) else (activation,)
    layers = []
    for k, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        bound = np.sqrt((2.0 if activations[min(k, len(activations) - 1)] == sigmoid else 6.0) / (fan_in + fan_out))
        w, b = (random.uniform(-bound, bound, (rows, fan_out)).astype(dtype) for rows in (fan_in, 1))
        layers.append(Layer(w, b))  # type: ignore[arg-type]
    return tuple(layers)


def choose(name: str, value: object, named: Mapping[str, T], kind: type[T]) -> T:
    """Return a named value, or a custom one of a type."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, str) or value not in named:
        raise ValueError(f"{name} must be one of {', '.join(named)}, or a custom one; got {value!r}")
    return named[value]
