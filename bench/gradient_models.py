"""Ten models with a right gradient, and faults to plant in it; for gradient_checks.py."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp

ROWS, PLACES = 12, 5
KINDS = ("times 1.01", "times 0.99", "sign", "missing term", "transposed", "wrong axis")


class Model(NamedTuple):
    """A loss, a sum over rows, and where to differentiate it."""

    loss: Callable[..., jax.Array]  # Of params, x and y.
    params: Any
    x: np.ndarray
    y: np.ndarray


def make_models() -> dict[str, Callable[[], Model]]:
    """Return the functions that make the ten models, by name."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)

    x, y = 2 * draw(ROWS, 4), 2 * draw(ROWS, 3)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, ROWS)]
    series, images = 2 * draw(ROWS, 6, 4), 2 * draw(ROWS, 6, 6, 1)
    words = rng.integers(0, 9, (ROWS, 5)).astype(np.int32)

    def squared(outputs, y):
        return jnp.sum((outputs - y) ** 2)

    def mlp():
        params = jaxmlp.init_params(jax.random.key(0), (4, 6, 6, 3))
        return Model(lambda p, x, y: jaxmlp.loss(p, x, y, activation=jaxmlp.tanh), params, x, y)

    def mlp_flax():
        from flax import linen  # pyright: ignore[reportMissingImports]

        net = linen.Sequential([linen.Dense(6), linen.gelu, linen.Dense(6), linen.gelu, linen.Dense(3)])
        return Model(lambda p, x, y: squared(net.apply(p, x), y), net.init(jax.random.key(0), x), x, y)

    def mlp_equinox():
        import equinox  # pyright: ignore[reportMissingImports]

        net = equinox.nn.MLP(4, 3, 6, 2, activation=jax.nn.silu, key=jax.random.key(0))
        return Model(lambda p, x, y: squared(jax.vmap(p)(x), y), net, x, y)

    def convolution():
        def loss(p, x, y):
            dimensions = ("NHWC", "HWIO", "NHWC")
            h = jax.lax.conv_general_dilated(x, p["kernel"], (1, 1), "SAME", dimension_numbers=dimensions) + p["bias"]
            return squared(jnp.mean(jnp.tanh(h), (1, 2)) @ p["out"], y)

        return Model(loss, {"kernel": 3 * draw(3, 3, 1, 5), "bias": draw(5), "out": draw(5, 3)}, images, y)

    def recurrent():
        def loss(p, x, y):
            def cell(h, x_t):
                h = jnp.tanh(x_t @ p["in"] + h @ p["hidden"] + p["bias"])
                return h, None

            h = jax.lax.scan(cell, jnp.zeros((len(x), 5), x.dtype), jnp.swapaxes(x, 0, 1))[0]
            return squared(h @ p["out"], y)

        return Model(loss, {"in": draw(4, 5), "hidden": draw(5, 5), "bias": draw(5), "out": draw(5, 3)}, series, y)

    def attention():
        def loss(p, x, y):
            q, k, v = x @ p["q"], x @ p["k"], x @ p["v"]
            weights = jax.nn.softmax(jnp.einsum("nsd,ntd->nst", q, k) / 2, axis=-1)
            return squared(jnp.mean(weights @ v, 1) @ p["out"], y)

        return Model(loss, {"q": draw(4, 4), "k": draw(4, 4), "v": draw(4, 4), "out": draw(4, 3)}, series, y)

    def layer_norm():
        def loss(p, x, y):
            h = x @ p["w"]
            centred = h - jnp.mean(h, 1, keepdims=True)
            scaled = centred / jnp.sqrt(jnp.mean(centred**2, 1, keepdims=True) + 1e-5)
            return squared((scaled * p["gain"] + p["shift"]) @ p["out"], y)

        return Model(loss, {"w": draw(4, 5), "gain": 1 + draw(5), "shift": draw(5), "out": draw(5, 3)}, x, y)

    def softmax():
        def loss(p, x, y):
            return -jnp.sum(y * jax.nn.log_softmax(x @ p["w"] + p["b"]))

        return Model(loss, {"w": draw(4, 3), "b": draw(3)}, x, labels)

    def embedding():
        def loss(p, x, y):
            return squared(jnp.mean(p["table"][x], 1) @ p["out"], y)

        return Model(loss, {"table": draw(9, 4), "out": draw(4, 3)}, words, y)

    def custom_vjp():
        @jax.custom_vjp
        def dense(x, w, b):
            return jax.nn.softplus(x @ w + b)

        def backward(saved, u):
            x, w, b = saved
            dz = u * jax.nn.sigmoid(x @ w + b)
            return dz @ w.T, x.T @ dz, dz.sum(0)

        dense.defvjp(lambda *args: (dense(*args), args), backward)
        params = {"w1": draw(4, 5), "b1": draw(5), "w2": draw(5, 3), "b2": draw(3)}
        return Model(lambda p, x, y: squared(dense(dense(x, p["w1"], p["b1"]), p["w2"], p["b2"]), y), params, x, y)

    models = (mlp, mlp_flax, mlp_equinox, convolution, recurrent, attention, layer_norm, softmax, embedding, custom_vjp)
    return {model.__name__.replace("_", " "): model for model in models}


def plant(grads: list, without_a_row: list, fault: jax.Array) -> list:
    """Return the gradient with fault number `fault`: a kind, and a place that says in which leaf."""

    def spoil(kind: int, leaf: int) -> list:
        g = grads[leaf]
        longest = int(np.argmax(g.shape))
        # A vector has no transpose; its entries in reverse order are as wrong.
        transposed = jnp.flip(g, longest) if max(g.shape) == g.size else g.T.reshape(g.shape)
        faults = [1.01 * g, 0.99 * g, -g, without_a_row[leaf], transposed, jnp.roll(g, 1, longest)]
        return [*grads[:leaf], faults[kind].astype(g.dtype), *grads[leaf + 1 :]]

    # Matrices first: a transposed matrix is the commonest fault.
    order = sorted(range(len(grads)), key=lambda k: -grads[k].ndim)
    choices = [spoil(kind, order[place % len(order)]) for kind in range(len(KINDS)) for place in range(PLACES)]
    return jax.lax.switch(jnp.round(fault).astype(jnp.int32), [lambda c=c: c for c in [*choices, grads]])


def with_faults(model: Model) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the loss and a gradient, both functions of (params, x, y, fault)."""

    def loss(params, x, y, fault):
        del fault
        return model.loss(params, x, y)

    def gradient(params, x, y, fault):
        leaves, structure = jax.tree.flatten(params)
        places = [k for k, leaf in enumerate(leaves) if hasattr(leaf, "dtype")]

        def of_rows(start):
            def value(arrays):
                new = dict(zip(places, arrays, strict=True))
                full = [new.get(k, leaf) for k, leaf in enumerate(leaves)]
                return model.loss(jax.tree.unflatten(structure, full), x[start:], y[start:])

            return jax.grad(value)([leaves[k] for k in places])

        planted = dict(zip(places, plant(of_rows(0), of_rows(1), fault), strict=True))
        return jax.tree.unflatten(structure, [planted.get(k) for k in range(len(leaves))])

    return loss, gradient
