"""optax's optimizers with their numbers in the state, so that another learning rate compiles nothing anew.

An optimizer is static under jit. Ours are equal when they are of one kind, whatever their numbers: those are arrays in
the state that `init` makes (`optax.inject_hyperparams`), there to be swept by a `vmap`, or changed on the way.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import require


@dataclass(frozen=True)
class Optimizer:
    """A pair of functions, as optax's `GradientTransformation`; equal to another that updates alike.

    Arguments:
        init: parameters to the optimizer's first state.
        update: (gradients, state, parameters) to what is added to the parameters, and the next state.
        numbers: of ours the kind and the numbers, from which a pickle makes it again.
    """

    init: Callable[[Any], Any] = field(compare=False)
    update: Callable[..., tuple[Any, Any]]
    numbers: tuple[str, dict[str, Any]] | None = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> Any:
        """Ours are pickled by their kind and numbers: optax's functions cannot be."""
        return super().__reduce__() if self.numbers is None else (_remade, self.numbers)


def adam(
    learning_rate: ArrayLike = 1e-3, *, weight_decay: ArrayLike = 0.0, decay_steps: ArrayLike = math.inf
) -> Optimizer:
    """Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019): optax's adamw.

    Arguments:
        learning_rate: the first step, a scalar.
        weight_decay: the share of each weight that a step takes away, times the learning rate; biases are left alone.
        decay_steps: how many steps the learning rate takes to fall to zero, along half a cosine (Loshchilov and Hutter
            2017, without restarts); infinity for a rate that stays.

    Returns:
        An optimizer for `init_fit`, `fit_epochs` and `fit`.

    Raises:
        MissingDependencyError: optax is not installed.
    """
    return _optimizer("adam", learning_rate=learning_rate, weight_decay=weight_decay, decay_steps=decay_steps)


def sgd(learning_rate: ArrayLike = 1e-2, *, momentum: ArrayLike = 0.9, weight_decay: ArrayLike = 0.0) -> Optimizer:
    """Gradient descent with momentum and decoupled weight decay: optax's sgd.

    Arguments:
        learning_rate: the step, a scalar.
        momentum: the share of the last step that is taken again; 0 for none.
        weight_decay: the share of each weight that a step takes away, times the learning rate; biases are left alone.

    Returns:
        An optimizer for `init_fit`, `fit_epochs` and `fit`.

    Raises:
        MissingDependencyError: optax is not installed.
    """
    return _optimizer("sgd", learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay)


OPTIMIZERS = {"adam": adam, "sgd": sgd}


def optimizer_step(optimizer: Any, params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
    """The parameters after one step of an optimizer, and its next state."""
    # optax leans on JAX's usual promotion, which users (and our tests) may have made strict.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        updates, state = optimizer.update(grads, state, params)
    return jax.tree.map(lambda p, u: p + u.astype(p.dtype), params, updates), state


def validate_optimizer(optimizer: Any, params: Any) -> Any:
    """The first state of an optimizer, if it can step with gradients, state and parameters alone."""
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise TypeError(
            "optimizer must be a pair of functions init and update, as jaxmlp.adam() and optax's optimizers are; "
            f"got {type(optimizer).__name__}"
        )
    try:
        hash(optimizer)
    except TypeError:
        raise TypeError("optimizer must be hashable, because it is static under jit: build it once") from None
    if isinstance(optimizer, Optimizer):  # ours can step, and looking takes as long as a small fit
        return optimizer.init(params)
    try:
        state = optimizer.init(params)
        jax.eval_shape(partial(optimizer_step, optimizer), params, params, state)
    except (TypeError, AttributeError) as error:
        raise TypeError(
            "optimizer must step with gradients, state and parameters alone; those that search along a line ask for "
            f"more and are not supported: {error}"
        ) from None
    return state


def _optimizer(kind: str, **numbers: Any) -> Optimizer:
    numbers = {name: _float(value) for name, value in numbers.items()}
    # Only the numbers in the state count for an update: those it was built with are never looked at.
    return Optimizer(
        init=lambda params: _injected(kind)(**numbers).init(params),
        update=_update(kind, tuple(sorted(numbers))),
        numbers=(kind, numbers),
    )


def _remade(kind: str, numbers: dict[str, Any]) -> Optimizer:
    return _optimizer(kind, **numbers)


def _float(value: Any) -> Any:
    if not isinstance(value, Array):
        return float(value)
    return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(jnp.float32)


@cache
def _update(kind: str, numbers: tuple[str, ...]) -> Callable[..., tuple[Any, Any]]:
    return _injected(kind)(**dict.fromkeys(numbers, 0.0)).update


@cache
def _injected(kind: str) -> Callable[..., Any]:
    optax = require("optax", extra="tables")

    def adam(learning_rate, weight_decay, decay_steps):
        def rate(step):
            return learning_rate * (1 + jnp.cos(jnp.pi * jnp.minimum(step / decay_steps, 1))) / 2

        return optax.adamw(rate, weight_decay=weight_decay, mask=_weights_only)

    def sgd(learning_rate, momentum, weight_decay):
        return optax.chain(
            optax.trace(momentum),
            optax.add_decayed_weights(weight_decay, mask=_weights_only),
            optax.scale_by_learning_rate(learning_rate),
        )

    return optax.inject_hyperparams({"adam": adam, "sgd": sgd}[kind])


def _weights_only(params: Any) -> Any:
    return jax.tree.map(lambda layer: layer._replace(w=True, b=False), params, is_leaf=lambda leaf: hasattr(leaf, "w"))
