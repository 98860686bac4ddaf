"""Activations: functions of the pre-activation, each with its derivative."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array, lax


@dataclass(frozen=True)
class Activation:
    """An activation function and its derivative, both applied to the pre-activation `h` entry by entry.

    Calling it calls `fn`. It is hashable and static under `jax.jit`: create a custom activation once, at module level.

    Arguments:
        fn: maps `h` of any shape to an array of the same shape and dtype.
        derivative: maps `h` to d fn(h) / d h, of the same shape and dtype.
    """

    fn: Callable[[Array], Array]
    derivative: Callable[[Array], Array]

    def __post_init__(self) -> None:
        if not (callable(self.fn) and callable(self.derivative)):
            raise TypeError("Activation must hold two functions of the pre-activation, fn and its derivative")

    def __call__(self, h: Array) -> Array:
        """Return `fn(h)`."""
        return self.fn(h)


def _identity(h: Array) -> Array:
    return h


def _relu(h: Array) -> Array:
    return jnp.where(h < 0, 0, h)


def _relu_derivative(h: Array) -> Array:
    # 1 at h == 0, as in the tutorial and in torch's clamp(min=0); jax.nn.relu has 0 there.
    return jnp.where(h < 0, jnp.zeros_like(h), 1.0)


def _tanh_derivative(h: Array) -> Array:
    # (1 - t)(1 + t), not 1 - t²: where t is near ±1, the square would round the slope away.
    t = jnp.tanh(h)
    return (1 - t) * (1 + t)


def _sigmoid_derivative(h: Array) -> Array:
    # σ(-h), not 1 - σ(h), for the same reason.
    return lax.logistic(h) * lax.logistic(-h)


def _normal_cdf(h: Array) -> Array:
    return 0.5 * lax.erfc(-(0.5**0.5) * h)


def _gelu(h: Array) -> Array:
    return h * _normal_cdf(h)


def _gelu_derivative(h: Array) -> Array:
    return _normal_cdf(h) + h * ((0.5 / jnp.pi) ** 0.5 * jnp.exp(-0.5 * h**2))


def _silu(h: Array) -> Array:
    return h * lax.logistic(h)


def _silu_derivative(h: Array) -> Array:
    return lax.logistic(h) * (1 + h * lax.logistic(-h))


# `FORMULAS` in page/program.py has the formula of each.
identity = Activation(_identity, jnp.ones_like)
relu = Activation(_relu, _relu_derivative)
tanh = Activation(lax.tanh, _tanh_derivative)
sigmoid = Activation(lax.logistic, _sigmoid_derivative)
gelu = Activation(_gelu, _gelu_derivative)  # Exact (Hendrycks and Gimpel 2016); optax and flax approximate it by tanh.
silu = Activation(_silu, _silu_derivative)

ACTIVATIONS = {"identity": identity, "relu": relu, "tanh": tanh, "sigmoid": sigmoid, "gelu": gelu, "silu": silu}
