"""Adam and gradient descent with momentum, and what it takes to use another library's optimizer.

An optimizer is static under `jax.jit`. Its hyperparameters are arrays in the state that `init` returns, so changing
them does not recompile, and a `vmap` sweeps them. Two of our optimizers are equal if they update alike, whatever their
hyperparameters.
"""

import math
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxmlp.network import Layer, Params


class Optimizer(Protocol):
    """A pair of functions, as optax's `GradientTransformation`; hashable."""

    def init(self, params: Params, /) -> Any:
        """Return the optimizer's first state."""
        ...

    def update(self, grads: Params, state: Any, params: Params, /) -> tuple[Any, Any]:
        """Return what is added to the parameters, and the next state."""
        ...


class OptimizerState(NamedTuple):
    """What `Adam` and `Sgd` keep between two steps."""

    step: Array  # number of steps done
    moments: tuple[Params, ...]  # decaying sums, see `update`
    hyperparameters: dict[str, Array]


@dataclass(frozen=True)
class Adam:
    """Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019)."""

    learning_rate: ArrayLike = field(default=1e-3, compare=False)
    weight_decay: ArrayLike = field(default=0.0, compare=False)
    decay_steps: ArrayLike = field(default=math.inf, compare=False)
    beta_1: ArrayLike = field(default=0.9, compare=False)
    beta_2: ArrayLike = field(default=0.999, compare=False)
    epsilon: ArrayLike = field(default=1e-8, compare=False)
    epsilon_hat: bool = False  # Take epsilon for ε̂, at the end of section 2 of Kingma and Ba, as scikit-learn does.

    def init(self, params: Params) -> OptimizerState:
        """Return the state before the first step: no mean of gradients m, nor of their squares v."""
        return _init(self, params, moments=2)

    def update(self, grads: Params, state: OptimizerState, params: Params) -> tuple[Params, OptimizerState]:
        """Return what is added to the parameters, and the next state."""
        beta_1, beta_2, epsilon = (state.hyperparameters[name] for name in ("beta_1", "beta_2", "epsilon"))
        t = (state.step + 1).astype(epsilon.dtype)
        m = jax.tree.map(lambda m, dp: beta_1 * m + (1 - beta_1) * dp.astype(m.dtype), state.moments[0], grads)
        v = jax.tree.map(lambda v, dp: beta_2 * v + (1 - beta_2) * dp.astype(v.dtype) ** 2, state.moments[1], grads)
        # m / (1 - β₁ᵗ) / (√(v / (1 - β₂ᵗ)) + ε) = √(1 - β₂ᵗ) / (1 - β₁ᵗ) m / (√v + ε̂), where ε̂ = ε √(1 - β₂ᵗ)
        root = jnp.sqrt(1 - beta_2**t)
        epsilon_hat = epsilon if self.epsilon_hat else epsilon * root
        direction = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + epsilon_hat), m, v)
        return _descend(direction, root / (1 - beta_1**t), state, params), _next(state, m, v)


@dataclass(frozen=True)
class Sgd:
    """Gradient descent with momentum and decoupled weight decay."""

    learning_rate: ArrayLike = field(default=1e-2, compare=False)
    weight_decay: ArrayLike = field(default=0.0, compare=False)
    decay_steps: ArrayLike = field(default=math.inf, compare=False)
    momentum: ArrayLike = field(default=0.9, compare=False)
    nesterov: bool = False  # Add the momentum once more: Nesterov's form.

    def init(self, params: Params) -> OptimizerState:
        """Return the state before the first step, without velocity."""
        return _init(self, params, moments=1)

    def update(self, grads: Params, state: OptimizerState, params: Params) -> tuple[Params, OptimizerState]:
        """Return what is added to the parameters, and the next state."""
        momentum = state.hyperparameters["momentum"]

        def accelerate(velocity, dp):
            return momentum * velocity + dp.astype(velocity.dtype)

        velocity = jax.tree.map(accelerate, state.moments[0], grads)
        direction = jax.tree.map(accelerate, velocity, grads) if self.nesterov else velocity
        return _descend(direction, 1, state, params), _next(state, velocity)


def adam(learning_rate: ArrayLike = 1e-3, *, weight_decay: ArrayLike = 0.0, decay_steps: ArrayLike = math.inf) -> Adam:
    """Return Adam with decoupled weight decay: optax's adamw.

    Arguments:
        learning_rate: size of the first step, a scalar.
        weight_decay: share of each weight that a step takes away, times the learning rate; biases do not decay.
        decay_steps: number of steps in which the learning rate falls to zero along half a cosine (Loshchilov and Hutter
            2017, without restarts); infinity for a constant learning rate.

    Returns:
        An optimizer for `init_fit`, `fit_epochs` and `fit`.
    """
    return Adam(learning_rate, weight_decay, decay_steps)


def sgd(
    learning_rate: ArrayLike = 1e-2,
    *,
    momentum: ArrayLike = 0.9,
    weight_decay: ArrayLike = 0.0,
    decay_steps: ArrayLike = math.inf,
) -> Sgd:
    """Return gradient descent with momentum (optax's sgd) and decoupled weight decay.

    Arguments:
        learning_rate: size of the first step, a scalar.
        momentum: share of the last step that is added to the next; 0 for none.
        weight_decay: as for `adam`.
        decay_steps: as for `adam`.

    Returns:
        An optimizer for `init_fit`, `fit_epochs` and `fit`.
    """
    return Sgd(learning_rate, weight_decay, decay_steps, momentum)


OPTIMIZERS = {"adam": adam, "sgd": sgd}


def optimizer_step(optimizer: Optimizer, params: Params, grads: Params, state: Any) -> tuple[Params, Any]:
    """Return the parameters after one step of an optimizer, and its next state."""
    # optax relies on JAX's usual promotion, which a user (or our tests) may have made strict.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        steps, state = optimizer.update(grads, state, params)
        return jax.tree.map(lambda p, step: (p + step).astype(p.dtype), params, steps), state


def validate_optimizer(optimizer: Any, params: Params) -> Any:
    """Return the first state of an optimizer, if it can step with gradients, state and parameters alone."""
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise TypeError(
            "optimizer must be a pair of functions init and update, as jaxmlp.adam() and optax's optimizers are; "
            f"got {type(optimizer).__name__}"
        )
    try:
        hash(optimizer)
    except TypeError:
        raise TypeError("optimizer must be hashable, because it is static under jit: build it once") from None
    if isinstance(optimizer, Adam | Sgd):  # These can step, and trying takes as long as a small fit.
        return optimizer.init(params)
    try:
        state = optimizer.init(params)
        jax.eval_shape(partial(optimizer_step, optimizer), params, params, state)
    except (TypeError, AttributeError) as error:
        raise TypeError(
            "optimizer must step with gradients, state and parameters alone; optimizers that search along a line need "
            f"more and are not supported: {error}"
        ) from None
    return state


def _init(optimizer: Adam | Sgd, params: Params, *, moments: int) -> OptimizerState:
    """Return a state of zeros; of a bfloat16 network in float32, because 0.999 would round to 1."""
    dtype = np.dtype(np.float32) if params[0].w.dtype == jnp.bfloat16 else params[0].w.dtype
    # Views of a single zero: nothing is compiled, and a trace stores one number.
    zeros: Any = jax.tree.map(lambda leaf: np.broadcast_to(dtype.type(0), leaf.shape), params)
    values = {f.name: getattr(optimizer, f.name) for f in fields(optimizer) if not f.compare}
    scalars: Any = {
        name: value.astype(dtype) if isinstance(value, Tracer) else np.asarray(value, dtype)
        for name, value in values.items()
    }
    return OptimizerState(np.zeros((), np.int32), (zeros,) * moments, scalars)  # type: ignore[arg-type]


def _next(state: OptimizerState, *moments: Params) -> OptimizerState:
    return state._replace(step=state.step + 1, moments=moments)


def _descend(direction: Params, factor: ArrayLike, state: OptimizerState, params: Params) -> Params:
    """Return the step against `factor` times a direction, weight decay included."""
    rate, decay, steps = (state.hyperparameters[name] for name in ("learning_rate", "weight_decay", "decay_steps"))
    rate = rate * (1 + jnp.cos(math.pi * jnp.minimum(state.step.astype(rate.dtype) / steps, 1))) / 2
    scaled, decay = -rate * factor, -rate * decay
    return tuple(
        Layer(scaled * d.w + decay * layer.w.astype(rate.dtype), scaled * d.b)
        for d, layer in zip(direction, params, strict=True)
    )
