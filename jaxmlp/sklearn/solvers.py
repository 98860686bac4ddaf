"""scikit-learn's solvers, as a pair of functions `init` and `update` whose numbers are arrays in the state.

All solvers of a kind are equal, so that another learning rate or momentum compiles nothing anew.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp.fitting.optimizers import Optimizer
from jaxmlp.network import Params


class AdamState(NamedTuple):
    """What Adam keeps between two steps."""

    step: Array
    m: Params  # the decaying mean of the gradients
    v: Params  # and of their squares
    learning_rate: Array
    beta_1: Array
    beta_2: Array
    epsilon: Array


class SgdState(NamedTuple):
    """What gradient descent with momentum keeps between two steps."""

    velocity: Params  # the last step
    learning_rate: Array
    momentum: Array


def adam(*, learning_rate: float, beta_1: float, beta_2: float, epsilon: float) -> Optimizer:
    """Adam as scikit-learn has it: Kingma and Ba 2015, with the faster form at the end of their section 2."""

    def init(params: Params) -> AdamState:
        dtype, zeros = params[0].w.dtype, _zeros(params)
        numbers = [dtype.type(number) for number in (learning_rate, beta_1, beta_2, epsilon)]
        return AdamState(np.zeros((), np.int32), zeros, zeros, *numbers)  # type: ignore[arg-type]

    return Optimizer(init=init, update=_adam_update)


def sgd(*, learning_rate: float, momentum: float, nesterov: bool) -> Optimizer:
    """Gradient descent with momentum, Nesterov's or the plain one."""

    def init(params: Params) -> SgdState:
        dtype = params[0].w.dtype
        return SgdState(_zeros(params), dtype.type(learning_rate), dtype.type(momentum))

    return Optimizer(init=init, update=_nesterov_update if nesterov else _momentum_update)


def _adam_update(grads: Params, state: AdamState, params: Params) -> tuple[Params, AdamState]:
    step = state.step + 1
    m = jax.tree.map(lambda m, dp: state.beta_1 * m + (1 - state.beta_1) * dp, state.m, grads)
    v = jax.tree.map(lambda v, dp: state.beta_2 * v + (1 - state.beta_2) * dp**2, state.v, grads)
    t = step.astype(state.learning_rate.dtype)
    rate = state.learning_rate * jnp.sqrt(1 - state.beta_2**t) / (1 - state.beta_1**t)
    steps = jax.tree.map(lambda m, v: -rate * m / (jnp.sqrt(v) + state.epsilon), m, v)
    return steps, state._replace(step=step, m=m, v=v)


def _momentum_update(grads: Params, state: SgdState, params: Params) -> tuple[Params, SgdState]:
    velocity = _momentum_step(state, state.velocity, grads)
    return velocity, state._replace(velocity=velocity)


def _nesterov_update(grads: Params, state: SgdState, params: Params) -> tuple[Params, SgdState]:
    velocity = _momentum_step(state, state.velocity, grads)
    return _momentum_step(state, velocity, grads), state._replace(velocity=velocity)


def _momentum_step(state: SgdState, velocity: Params, grads: Params) -> Params:
    return jax.tree.map(lambda v, dp: state.momentum * v - state.learning_rate * dp, velocity, grads)


def _zeros(params: Params) -> Any:
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), params)
