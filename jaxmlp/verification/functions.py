"""Verification of the gradient of any function."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from jaxmlp.verification.differences import largest
from jaxmlp.verification.judging import check
from jaxmlp.verification.oracles import Functions, Values
from jaxmlp.verification.report import GradientReport

Function = Callable[..., Any]


def check_gradients(
    fun: Function,
    *args: object,
    gradient: Function | None = None,
    reference: Function | None = None,
    argnums: int | Sequence[int] = 0,
    order: int = 1,
) -> GradientReport:
    """Verify the gradient of a function of arrays, or of trees of them, at some arguments.

    Up to three methods check each leaf of the gradient: central differences; the adjoint identity, with the slope along
    a direction by forward mode, which a `custom_vjp` does not allow; and `jax.grad`, of `reference`, or of `fun` if
    `gradient` is given. They compute in float64 if `fun` works in it with the same result, and else in the dtypes of
    the arguments, with a tolerance for rounding; the report says so. At a kink each value between the one-sided slopes
    is right. Errors are relative to the largest entry of a leaf or, if that is larger, to the size of the terms that
    cancel in it.

    Arguments:
        fun: returns a float scalar, or a tree of arrays. Of a tree, the vector-Jacobian product with a random cotangent
            is checked.
        *args: trees of any kind. Integers, booleans, keys, and leaves that are not arrays are held fixed.
        gradient: the hand-derived gradient, a function of the same arguments, and of a cotangent if `fun` returns a
            tree; returns what `jax.grad(fun, argnums)` does. None checks `jax.grad` of `fun` itself: the `custom_vjp`,
            `custom_jvp` and kernels inside.
        reference: another form of `fun`, for instance the textbook form of a fused kernel.
        argnums: position of the argument to differentiate, or positions.
        order: 1; or 2 to check Hessian-vector products, too, of `jax.grad(fun)` or of `gradient`.

    Returns:
        A report, which prints as a table. In a test, call its `raise_if_wrong()`.

    Raises:
        ValueError: a position or order that does not exist; nothing to differentiate; a gradient that lacks a leaf or
            has another shape; a value that is not finite; a function that reverse mode cannot differentiate.
        TypeError: an argument that is not a function; complex numbers; a function that does not work under `jax.jit`.
    """
    for name, value in {"fun": fun, "gradient": gradient, "reference": reference}.items():
        if not (callable(value) or (value is None and name != "fun")):
            raise TypeError(f"{name} must be a function, got {type(value).__name__}")
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    try:
        theta, rest, names, rebuild = _split(args, argnums)

        def at(function):
            return lambda *arrays: function(*rebuild(*arrays))

        def with_cotangent(*arguments):
            return (*arguments, jax.grad(weigh, allow_int=True)(fun(*arguments))) if is_tree else arguments

        weigh, is_tree = _make_scalar(at(fun), theta, rest)
        value = _compose(weigh, at(fun))
        autodiff = _compose(weigh, at(reference)) if reference else value if gradient else None
        by_hand = jax.grad(value)
        if gradient:
            by_hand = at(lambda *arguments: _collect(gradient(*with_cotangent(*arguments)), names, theta))
        subject, titles = getattr(fun, "__qualname__", type(fun).__name__), [name or "argument" for name in names]
        f = Functions(value, by_hand, autodiff, bool(reference))
        (report,) = check(f, [(theta, rest)], titles, subject=subject)
        if order == 1:
            return report
        # The gradient times a vector is a scalar function, too; its gradient is a Hessian-vector product.
        times_vector = _random_sum(theta, 1)
        first = _compose(times_vector, by_hand)
        second = _compose(times_vector, jax.grad(autodiff)) if autodiff else None
        titles = [f"Hessian-vector product {title}" for title in titles]
        (more,) = check(Functions(first, jax.grad(first), second), [(theta, rest)], titles, subject=subject)
        return dataclasses.replace(report, findings=report.findings + more.findings)
    except jax.errors.JAXTypeError as error:
        raise TypeError(f"fun, gradient and reference must work under jax.jit. {error}") from error


def _compose(outer: Function, inner: Function) -> Function:
    return lambda *arrays: outer(inner(*arrays))


def _split(args: tuple[object, ...], argnums: int | Sequence[int]) -> tuple[Values, Values, list[str], Function]:
    """Return the arrays to differentiate; other arrays of numbers; the names of the former; and the way back."""
    try:
        numbers = [range(len(args))[n] for n in (argnums if isinstance(argnums, Sequence) else [argnums])]
    except IndexError:
        raise ValueError(f"argnums must be positions of the {len(args)} arguments, got {argnums!r}") from None
    except TypeError:
        raise TypeError(f"argnums must be an int or a tuple of ints, got {argnums!r}") from None
    paths, structure = tree_flatten_with_path(args)
    theta, rest, fixed, names = {}, {}, {}, []
    for k, (path, leaf) in enumerate(paths):
        place = path[0].idx
        dtype = getattr(leaf, "dtype", float if isinstance(leaf, float) and place in numbers else None)
        if dtype is None or not jnp.issubdtype(dtype, np.inexact):
            # An array of NumPy gets the dtype that it has for `fun` by default, in float64 mode, too.
            is_numpy = isinstance(leaf, np.ndarray | np.generic)
            fixed[k] = leaf.astype(jax.dtypes.canonicalize_dtype(dtype)) if is_numpy else leaf
        elif place not in numbers:
            rest[k] = jnp.asarray(leaf)
        elif jnp.issubdtype(dtype, np.floating):
            theta[k] = jnp.asarray(leaf)
            start = "" if isinstance(argnums, int) else f"[{numbers.index(place)}]"
            names.append(start + keystr(path[1:]))
        else:
            raise TypeError(f"complex numbers cannot be checked: argument {place}{keystr(path[1:])} is {dtype}")
    if not theta:
        raise ValueError(f"no leaf of a floating dtype to differentiate: argnums={argnums!r}")

    def rebuild(theta: Values, rest: Values) -> tuple[object, ...]:
        leaves = fixed | theta | rest
        return jax.tree.unflatten(structure, [leaves[k] for k in range(len(leaves))])

    return theta, rest, names, rebuild


def _make_scalar(fun: Function, theta: Values, rest: Values) -> tuple[Function, bool]:
    """Return a function that makes a scalar of what `fun` returns, and whether that is a tree."""
    shapes = jax.eval_shape(fun, theta, rest)
    if not _leaves(shapes, np.floating) or _leaves(shapes, np.complexfloating):
        raise TypeError(f"fun must return a float scalar or a tree with float arrays, not complex; got {shapes}")
    if isinstance(shapes, jax.ShapeDtypeStruct) and shapes.shape == ():
        return lambda result: result.astype(float), False
    return _random_sum(jax.jit(fun)(theta, rest), -1), True


def _leaves(tree: Values, kind: type[np.inexact]) -> list[Values]:
    """Return the leaves of a tree whose dtype is of a kind."""
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(leaf), kind)]


def _random_sum(tree: Values, power: int) -> Function:
    """Return a random sum of the floats of a tree, with weights that scale as a power of the largest of each leaf."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=leaf.shape) * (largest(leaf) or 1.0) ** power for leaf in _leaves(tree, np.floating)]

    def weigh(tree):
        pairs = zip(_leaves(tree, np.floating), weights, strict=True)
        return sum(jnp.sum(leaf * jnp.asarray(w, leaf.dtype)).astype(float) for leaf, w in pairs)

    return weigh


def _collect(result: object, names: list[str], theta: Values) -> list[Values]:
    """Return the leaves of what a gradient by hand returned, those of the arrays to differentiate."""
    given = {keystr(path): leaf for path, leaf in tree_flatten_with_path(result)[0]}
    for name, leaf in zip(names, theta.values(), strict=True):
        if name not in given:
            raise ValueError(f"gradient returns no leaf {name or 'like the argument'}, but {', '.join(given)}")
        shape, dtype = jnp.shape(given[name]), jnp.result_type(given[name])
        if shape != leaf.shape or not jnp.issubdtype(dtype, np.floating):
            raise ValueError(f"gradient{name} must have shape {leaf.shape} and a floating dtype: {shape}, {dtype}")
    return [jnp.asarray(given[name]) for name in names]
