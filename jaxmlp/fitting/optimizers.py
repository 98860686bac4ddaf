"""Adam and gradient descent with momentum, and what it takes to use another library's optimizer.

An optimizer is static under `jax.jit`. Its hyperparameters are arrays in the state that `init` returns, so changing
them does not recompile, and a `vmap` sweeps them. Two of our optimizers are equal if they update alike, whatever their
hyperparameters.
"""

import math
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxmlp._validation import describe, to_numpy, validate_count
from jaxmlp.fitting.values import validate_number
from jaxmlp.network import Layer, Params

# The range of each hyperparameter. An epsilon of 0 divides 0 by 0 where a gradient is 0.
RANGES = {
    "learning_rate": "[0, inf)", "weight_decay": "[0, inf)", "decay_steps": "(0, inf]", "beta_1": "[0, 1)",
    "beta_2": "[0, 1)", "epsilon": "(0, inf)", "momentum": "[0, 1]",
}  # fmt: skip


OptState = Any  # The state of an optimizer: any tree of arrays.


class Optimizer(Protocol):
    """A pair of functions, as optax's `GradientTransformation`; hashable."""

    def init(self, params: Params, /) -> OptState:
        """Return the optimizer's first state."""
        ...

    def update(self, grads: Params, state: OptState, params: Params, /) -> tuple[Params, OptState]:
        """Return what is added to the parameters, and the next state."""
        ...


class OptimizerState(NamedTuple):
    """What `Adam` and `Sgd` keep between two steps."""

    step: Array  # number of steps done
    moments: tuple[Params, ...]  # decaying sums, see `update`
    hyperparameters: dict[str, Array]


@dataclass(frozen=True)
class _Descent:
    """What both optimizers share: a learning rate that falls, decoupled weight decay, and moments of the gradients."""

    learning_rate: ArrayLike = field(default=1e-3, compare=False)
    weight_decay: ArrayLike = field(default=0.0, compare=False)
    decay_steps: ArrayLike = field(default=math.inf, compare=False)
    cycles: int = field(default=0, kw_only=True)  # Of the learning rate, see `schedule`.

    n_moments: ClassVar[int]

    def __post_init__(self) -> None:
        for name, value in self._hyperparameters().items():
            _validate_hyperparameter(name, value)

    def _hyperparameters(self) -> dict[str, ArrayLike]:
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.compare}

    def init(self, params: Params) -> OptimizerState:
        """Return the first state. Its moments are zero, and float32 for a bfloat16 network: in bfloat16, 0.999 is 1."""
        dtype = np.dtype(np.float32) if params[0].w.dtype == jnp.bfloat16 else params[0].w.dtype
        # Views of a single zero: nothing is compiled, and a trace stores one number.
        zeros: Params = jax.tree.map(lambda leaf: np.broadcast_to(dtype.type(0), leaf.shape), params)
        scalars = {}
        for name, value in self._hyperparameters().items():
            if not isinstance(value, Tracer):
                validate_number(name, value, RANGES[name], dtype)
                # The largest number does what infinity does, and `jax_debug_infs` does not take it for an error.
                value = np.minimum(np.asarray(value, dtype), np.finfo(dtype).max)
            scalars[name] = value.astype(dtype)
        return OptimizerState(np.zeros((), np.int32), (zeros,) * self.n_moments, scalars)  # type: ignore[arg-type]

    def _descend(
        self, direction: Params, factor: ArrayLike, state: OptimizerState, params: Params, *moments: Params
    ) -> tuple[Params, OptimizerState]:
        """Return the step against `factor` times a direction, weight decay included, and the next state."""
        rate, decay, steps = (state.hyperparameters[name] for name in ("learning_rate", "weight_decay", "decay_steps"))
        rate = rate * schedule(jnp.minimum(state.step.astype(rate.dtype) / steps, 1), self.cycles)
        scaled, decay = -rate * factor, -rate * decay
        layers = zip(direction, params, strict=True)
        step = tuple(Layer(scaled * d.w + decay * layer.w.astype(rate.dtype), scaled * d.b) for d, layer in layers)
        return step, state._replace(step=state.step + 1, moments=moments)


@dataclass(frozen=True)
class Adam(_Descent):
    """Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019)."""

    beta_1: ArrayLike = field(default=0.9, compare=False)
    beta_2: ArrayLike = field(default=0.999, compare=False)
    epsilon: ArrayLike = field(default=1e-8, compare=False)
    epsilon_hat: bool = False  # Take epsilon for ε̂, at the end of section 2 of Kingma and Ba, as scikit-learn does.

    n_moments = 2  # Decaying means of the gradients, m, and of their squares, v.

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
        return self._descend(direction, root / (1 - beta_1**t), state, params, m, v)


@dataclass(frozen=True)
class Sgd(_Descent):
    """Gradient descent with momentum and decoupled weight decay."""

    learning_rate: ArrayLike = field(default=1e-2, compare=False)
    momentum: ArrayLike = field(default=0.9, compare=False)
    nesterov: bool = False  # Add the momentum once more: Nesterov's form.

    n_moments = 1  # The velocity.

    def update(self, grads: Params, state: OptimizerState, params: Params) -> tuple[Params, OptimizerState]:
        """Return what is added to the parameters, and the next state."""
        momentum = state.hyperparameters["momentum"]

        def accelerate(velocity, dp):
            return momentum * velocity + dp.astype(velocity.dtype)

        velocity = jax.tree.map(accelerate, state.moments[0], grads)
        direction = jax.tree.map(accelerate, velocity, grads) if self.nesterov else velocity
        return self._descend(direction, 1, state, params, velocity)


def schedule(share: Array, cycles: int) -> Array:
    """Return the learning rate as a share of the largest one, given the share of the steps that are done.

    Without cycles it falls from 1 to 0 along half a cosine (Loshchilov and Hutter 2017, without restarts). Otherwise it
    rises from 0 to 1 and falls back in each cycle, and each cycle is twice as long as the one before: with 4 cycles,
    coslog4 of Holzmüller, Grinsztajn and Steinwart 2024.
    """
    if not cycles:
        return (1 + jnp.cos(math.pi * share)) / 2
    return (1 - jnp.cos(2 * math.pi * jnp.log2(1 + (2**cycles - 1) * share))) / 2


def adam(
    learning_rate: ArrayLike = 1e-3,
    *,
    weight_decay: ArrayLike = 0.0,
    decay_steps: ArrayLike = math.inf,
    cycles: int = 0,
) -> Adam:
    """Return Adam with decoupled weight decay: optax's adamw.

    Arguments:
        learning_rate: the largest size of a step, a scalar.
        weight_decay: share of each weight that a step takes away, times the learning rate; biases do not decay.
        decay_steps: number of steps in which the learning rate falls to zero along half a cosine (Loshchilov and Hutter
            2017, without restarts); infinity for a constant learning rate.
        cycles: number of times that the learning rate rises from zero and falls back instead, each twice as long as the
            one before; with 4, coslog4 of Holzmüller, Grinsztajn and Steinwart 2024. It needs `decay_steps`.

    Returns:
        An optimizer for `init_fit`, `fit_epochs` and `fit`.
    """
    return Adam(learning_rate, weight_decay, decay_steps, cycles=_validate_cycles(cycles, decay_steps))


def sgd(
    learning_rate: ArrayLike = 1e-2,
    *,
    momentum: ArrayLike = 0.9,
    weight_decay: ArrayLike = 0.0,
    decay_steps: ArrayLike = math.inf,
    cycles: int = 0,
) -> Sgd:
    """Return gradient descent with momentum (optax's sgd) and decoupled weight decay.

    Arguments:
        learning_rate: as for `adam`.
        momentum: share of the last step that is added to the next; 0 for none.
        weight_decay: as for `adam`.
        decay_steps: as for `adam`.
        cycles: as for `adam`.

    Returns:
        An optimizer for `init_fit`, `fit_epochs` and `fit`.
    """
    return Sgd(learning_rate, weight_decay, decay_steps, momentum, cycles=_validate_cycles(cycles, decay_steps))


def _validate_cycles(cycles: int, decay_steps: ArrayLike) -> int:
    cycles = validate_count("cycles", cycles, at_least=0)
    if cycles and not isinstance(decay_steps, Tracer) and np.all(np.isinf(decay_steps)):
        raise ValueError("decay_steps must be finite with cycles: they end with it")
    return cycles


OPTIMIZERS = {"adam": adam, "sgd": sgd}


def describe_optimizer(optimizer: Optimizer, state: OptState) -> dict[str, object]:
    """Return the name of an optimizer and, of `Adam` and `Sgd`, the hyperparameters that its state holds."""
    about: dict[str, object] = {"name": type(optimizer).__name__}
    if isinstance(optimizer, _Descent):
        about |= {f.name: getattr(optimizer, f.name) for f in fields(optimizer) if f.compare}
        # In the shortest digits of their dtype; all members of an ensemble have the same.
        about |= {name: float(str(np.ravel(value)[0])) for name, value in state.hyperparameters.items()}
    return about


def optimizer_step(optimizer: Optimizer, params: Params, grads: Params, state: OptState) -> tuple[Params, OptState]:
    """Return the parameters after one step of an optimizer, and its next state."""
    # optax relies on JAX's usual promotion, which a user (or our tests) may have made strict.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        steps, state = optimizer.update(grads, state, params)
        return jax.tree.map(lambda p, step: (p + step).astype(p.dtype), params, steps), state


def require_optimizer(optimizer: object, name: str = "optimizer") -> None:
    """Refuse what is not a pair of functions, or cannot be static under `jax.jit`."""
    is_pair = callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))
    if isinstance(optimizer, type) or not is_pair:
        hint = f"; call it, as in {describe(optimizer)}(1e-3)" if callable(optimizer) else ""
        if isinstance(optimizer, str) and optimizer in OPTIMIZERS:
            hint = f"; pass jaxmlp.{optimizer}()"
        raise TypeError(
            f"{name} must be a pair of functions init and update, as jaxmlp.adam() and optax's optimizers are; got "
            f"{describe(optimizer)}{hint}"
        )
    try:
        hash(optimizer)
    except TypeError:
        raise TypeError(f"{name} must be hashable, because it is static under jit: build it once") from None


def validate_opt_state(optimizer: Optimizer, params: Params, opt_state: object) -> None:
    """Refuse the state of another optimizer, or of another network."""
    # The hyperparameters of this instance may belong to another trace.
    init = type(optimizer)().init if isinstance(optimizer, _Descent) else optimizer.init

    def shapes(state: object) -> tuple[object, ...]:
        return jax.tree.structure(state), [np.shape(leaf) for leaf in jax.tree.leaves(state)]

    if shapes(opt_state) != shapes(jax.eval_shape(init, params)):
        raise ValueError(
            "state must be one that init_fit made with this optimizer for this network: its opt_state is that of "
            "another optimizer or network"
        )


def validate_optimizer(optimizer: Optimizer, params: Params) -> OptState:
    """Return the first state of an optimizer, if it can step with gradients, state and parameters alone."""
    require_optimizer(optimizer)
    if isinstance(optimizer, _Descent):  # These can step, and trying takes as long as a small fit.
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


def _validate_hyperparameter(name: str, value: object) -> None:
    """Refuse what is not one number in its range; of a traced number only the shape is known."""
    if callable(value):
        raise TypeError(
            f"{name} must be a number; got the function {describe(value)}: for a schedule use decay_steps, or an "
            "optimizer of optax"
        )
    array = value if isinstance(value, Tracer) else to_numpy(name, value)
    if not (jnp.isdtype(array.dtype, ("bool", "integral")) or jnp.issubdtype(array.dtype, jnp.floating)):
        raise TypeError(f"{name} must be a number; got {describe(value)}")
    if array.shape != ():
        raise ValueError(f"{name} must be a scalar, of shape (); got {array.shape}: jax.vmap tries several")
    if not isinstance(value, Tracer):
        validate_number(name, array, RANGES[name])
