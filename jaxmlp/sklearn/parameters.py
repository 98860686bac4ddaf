"""The parameters of an estimator, as the functions of `jaxmlp.fitting` take them."""

import itertools
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxmlp._validation import validate_count
from jaxmlp.activations import ACTIVATIONS, Activation, sigmoid
from jaxmlp.criteria import Criterion
from jaxmlp.fitting.optimizers import Adam, Optimizer, Sgd
from jaxmlp.network import Layer, Params

ActivationName = str | Activation

_ACTIVATIONS = {"logistic": sigmoid, **ACTIVATIONS}
_NEVER = np.iinfo(np.int32).max


def read_sizes(value: int | Sequence[int]) -> tuple[int, ...]:
    """Return the hidden layer widths."""
    sizes = value if isinstance(value, Sequence | np.ndarray) else [value]
    return tuple(validate_count("hidden_layer_sizes", size, at_least=1) for size in sizes)


def read_activation(value: ActivationName | Sequence[ActivationName]) -> Activation | tuple[Activation, ...]:
    """Return one activation, or several, one for each hidden layer."""
    if isinstance(value, tuple | list):
        return tuple(_choose("activation", item, _ACTIVATIONS, Activation) for item in value)
    return _choose("activation", value, _ACTIVATIONS, Activation)


def read_criterion(value: str | Criterion, named: Mapping[str, Criterion]) -> Criterion:
    """Return a named criterion, or the given one."""
    return _choose("loss", value, named, object)


def read_optimizer(estimator: Any) -> Optimizer:
    """Return scikit-learn's adam or sgd with the hyperparameters of an estimator, or the optimizer that it has."""
    kind = _choose("solver", estimator.solver, {"adam": Adam, "sgd": Sgd}, object)
    if kind not in (Adam, Sgd):
        return kind
    rate = read_number("learning_rate_init", estimator.learning_rate_init)
    if rate == 0:
        raise ValueError("learning_rate_init must be above 0; got 0")
    if kind is Sgd:
        momentum = read_number("momentum", estimator.momentum)
        return Sgd(rate, momentum=momentum, nesterov=bool(estimator.nesterovs_momentum))
    decays = {name: read_number(name, getattr(estimator, name)) for name in ("beta_1", "beta_2", "epsilon")}
    return Adam(rate, **decays, epsilon_hat=True)


def read_number(name: str, value: Any) -> float:
    """Return a real number that is not negative."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}")
    if not float(value) >= 0:
        raise ValueError(f"{name} must not be negative; got {value}")
    return float(value)


def read_patience(n_iter_no_change: Any) -> int:
    """Return the epochs without progress after which scikit-learn stops: one more than `n_iter_no_change`."""
    if n_iter_no_change == np.inf:
        return _NEVER
    return validate_count("n_iter_no_change", n_iter_no_change, at_least=1) + 1


def read_device(value: str | None) -> Any:
    """Return the JAX device of a name such as "cpu", "cuda" or "cuda:1"; None for JAX's own choice."""
    if value is None:
        return None
    platform, _, index = str(value).partition(":")
    try:
        return jax.devices(platform)[int(index or 0)]
    except (RuntimeError, ValueError, IndexError):
        default = jax.devices()[0].platform
        raise ValueError(f"device must be one that JAX has here, such as {default}; got {value!r}") from None


def draw_params(random: np.random.RandomState, sizes: Sequence[int], activation: Any, dtype: Any) -> Params:
    """Draw weights and biases uniformly (Glorot and Bengio 2010), with the bounds and in the order of scikit-learn."""
    activations = activation if isinstance(activation, tuple) else (activation,)
    layers = []
    for k, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        bound = np.sqrt((2.0 if activations[min(k, len(activations) - 1)] == sigmoid else 6.0) / (fan_in + fan_out))
        leaves: Any = (random.uniform(-bound, bound, (rows, fan_out)).astype(dtype) for rows in (fan_in, 1))
        layers.append(Layer(*leaves))
    return tuple(layers)


def _choose(name: str, value: Any, named: Mapping[str, Any], kind: type) -> Any:
    """Return a named value, or a custom one of a type."""
    if not isinstance(value, str) and isinstance(value, kind):
        return value
    if not isinstance(value, str) or value not in named:
        raise ValueError(f"{name} must be one of {', '.join(named)}, or a custom one; got {value!r}")
    return named[value]
