"""An estimator's parameters, as the functions of `jaxmlp.fitting` want them."""

import numbers
from typing import Any

import jax
import numpy as np

from jaxmlp._validation import validate_count
from jaxmlp.activations import ACTIVATIONS, Activation, sigmoid
from jaxmlp.fitting.optimizers import Adam, Sgd

_ACTIVATIONS = {"logistic": sigmoid, **ACTIVATIONS}
_NEVER = np.iinfo(np.int32).max


def hidden_layer_sizes(value: Any) -> tuple[int, ...]:
    """A number, or several."""
    sizes = value if np.iterable(value) else [value]
    return tuple(validate_count("hidden_layer_sizes", size, at_least=1) for size in sizes)


def activation(value: Any) -> Activation | tuple[Activation, ...]:
    """A name or an `Activation`; or several, one for each hidden layer."""
    if isinstance(value, tuple | list):
        return tuple(activation(each) for each in value)  # type: ignore[misc]
    if isinstance(value, Activation):
        return value
    return _named("activation", value, _ACTIVATIONS)


def glorot_factors(value: Any, layers: int) -> list[float]:
    """scikit-learn's numerators for the bounds of the initial weights, one for each layer."""
    if isinstance(value, tuple | list):
        return [_factor(value[min(k, len(value) - 1)]) for k in range(layers)]
    return [_factor(value)] * layers


def _factor(value: Any) -> float:
    return 2.0 if activation(value) == sigmoid else 6.0


def criterion(value: Any, named: dict[str, Any]) -> Any:
    """One of `named`, or one's own `Criterion`."""
    return _named("loss", value, named) if isinstance(value, str) else value


def optimizer(estimator: Any) -> Any:
    """scikit-learn's adam or sgd with the estimator's numbers, or the optimizer that `solver` is."""
    if not isinstance(estimator.solver, str):
        return estimator.solver
    rate = number("learning_rate_init", estimator.learning_rate_init)
    if rate == 0:
        raise ValueError("learning_rate_init must be above 0; got 0")
    if _named("solver", estimator.solver, {"adam": True, "sgd": False}):
        decays = {name: number(name, getattr(estimator, name)) for name in ("beta_1", "beta_2", "epsilon")}
        return Adam(rate, **decays, epsilon_hat=True)
    return Sgd(rate, momentum=number("momentum", estimator.momentum), nesterov=bool(estimator.nesterovs_momentum))


def number(name: str, value: Any) -> float:
    """A real number that is not negative."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}")
    if not float(value) >= 0:
        raise ValueError(f"{name} must not be negative; got {value}")
    return float(value)


def patience(n_iter_no_change: Any) -> int:
    """scikit-learn stops at one epoch more than `n_iter_no_change` without progress; infinity is for never."""
    if n_iter_no_change == np.inf:
        return _NEVER
    return validate_count("n_iter_no_change", n_iter_no_change, at_least=1) + 1


def device(value: Any) -> Any:
    """The JAX device of a name such as "cpu", "cuda" or "cuda:1"; None for JAX's own choice."""
    if value is None:
        return None
    platform, _, index = str(value).partition(":")
    try:
        return jax.devices(platform)[int(index or 0)]
    except (RuntimeError, ValueError, IndexError):
        raise ValueError(
            f"device must be one that JAX has here, such as {jax.devices()[0].platform}; got {value!r}"
        ) from None


def _named(name: str, value: Any, named: dict[str, Any]) -> Any:
    if not isinstance(value, str) or value not in named:
        raise ValueError(f"{name} must be one of {', '.join(named)}, or one's own; got {value!r}")
    return named[value]
