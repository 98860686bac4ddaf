"""Verification of the gradient of any function."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import SequenceKey, keystr, tree_flatten_with_path

from jaxmlp.verification.checking import check_problems
from jaxmlp.verification.judging import NAMES, Labels, level_of
from jaxmlp.verification.oracles import Functions, Leaves, Problem
from jaxmlp.verification.report import GradientReport

Function = Callable[..., Any]
_OVERHEAD = 1000.0  # Of an operation, in additions.


def check_gradients(
    fun: Function,
    *args: Any,
    gradient: Function | None = None,
    reference: Function | None = None,
    argnums: int | Sequence[int] = 0,
    order: int = 1,
) -> GradientReport:
    """Verify the gradient of a function of arrays, or of trees of them, at some arguments.

    Three methods check each leaf of the gradient: `jax.grad` of `reference`, or of `fun` if `gradient` is given;
    central differences; and the adjoint identity, with the slope along a direction by forward mode. They compute in
    float64 if `fun` works in it with the same result, and else in the dtypes of the arguments, with a tolerance for
    rounding; the report says so. At a kink each value between the one-sided slopes is right. Errors are relative to the
    largest entry of a leaf or, if that is larger, to the size of the terms that cancel in it.

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
        return _check(fun, args, gradient, reference, argnums, order)
    except jax.errors.JAXTypeError as error:
        raise TypeError(f"fun, gradient and reference must work under jax.jit. {error}") from error


def _check(fun, args, gradient, reference, argnums, order) -> GradientReport:
    theta, rest, names, rebuild = _split(args, argnums)
    rest, contract, cotangent = _draw_cotangent(fun, theta, rest, rebuild)
    value, other = contract(fun), reference and contract(reference)
    by_hand = _gradient_of(value) if gradient is None else _collect(gradient, names, rebuild, cotangent)
    autodiff = other or (value if gradient else None)
    functions = {"": Functions(value, by_hand, autodiff, other or value, other)}
    if order == 2:  # The gradient times a vector is a scalar function, too; its gradient is a product with the Hessian.
        weigh = _draw_weights(theta)
        first, second = weigh(by_hand), autodiff and weigh(_gradient_of(autodiff))
        functions["Hessian-vector product "] = Functions(first, _gradient_of(first), second, second or first)
    subject = getattr(fun, "__qualname__", type(fun).__name__)
    reports = []
    for prefix, f in functions.items():
        problem = _measure(Problem(theta, rest, (_keep_what_works(f, theta, rest),), _first, 0, 0, 0))
        leaves = [prefix + (name or "argument") for name in names]
        labels = Labels(
            leaves,
            subject,
            NAMES[level_of(problem.gradient_eps)],
            "jax.grad" if other is None else "jax.grad of reference",
        )
        reports += check_problems([problem], [labels], measure=_measure)
    findings = tuple(finding for report in reports for finding in report.findings)
    return dataclasses.replace(reports[0], findings=findings)


def _gradient_of(value: Function) -> Function:
    return lambda theta, rest: jax.grad(value)(theta, rest)


def _first(choices: tuple[Functions]) -> Functions:
    return choices[0]


def _keep_what_works(f: Functions, theta: Leaves, rest: Leaves) -> Functions:
    """Return the functions without the oracles that this function does not allow."""

    def keep(value, differentiate):
        try:  # Not only traced: what has no forward mode fails later.
            jax.jit(differentiate(value)).lower(theta, rest)
        except Exception:
            return None
        return value

    def push(value):
        return lambda theta, rest: jax.jvp(lambda theta: value(theta, rest), (theta,), (theta,))

    autodiff = f.autodiff if f.autodiff is None or f.reference else keep(f.autodiff, _gradient_of)
    return f._replace(autodiff=autodiff, forward=keep(f.forward, push))


def _measure(problem: Problem) -> Problem:
    """Return the problem with its number of operations and its precision."""
    f = problem.make(problem.choices)
    (work, eps), (_, gradient_eps) = (
        _walk(jax.make_jaxpr(function)(*problem[:2]).jaxpr) for function in (f.value, f.by_hand)
    )
    return problem._replace(work=work, eps=eps, gradient_eps=max(eps, gradient_eps))


def _walk(jaxpr: Any) -> tuple[float, float]:
    """Return the number of operations of a program, roughly, and the precision of its coarsest dtype."""
    variables = [*jaxpr.invars, *(variable for equation in jaxpr.eqns for variable in equation.outvars)]
    dtypes = {variable.aval.dtype for variable in variables if hasattr(variable.aval, "dtype")}
    eps = [float(jnp.finfo(dtype).eps) for dtype in dtypes if jnp.issubdtype(dtype, np.inexact)]
    work = 0.0
    for equation in jaxpr.eqns:
        sizes = [float(getattr(variable.aval, "size", 1)) for variable in (*equation.invars, *equation.outvars)]
        # The number of products of a matrix product is the root of the product of the three sizes.
        is_product = equation.primitive.name in ("dot_general", "conv_general_dilated")
        work += _OVERHEAD + (math.sqrt(math.prod(sizes)) if is_product else sum(sizes))
        for inner in jax.tree.leaves([*equation.params.values()], is_leaf=lambda value: hasattr(value, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                more, inner_eps = _walk(inner)
                work, eps = work + more * equation.params.get("length", 1), [*eps, inner_eps]
    return work, max(eps, default=0.0)


def _split(args: tuple[Any, ...], argnums: int | Sequence[int]) -> tuple[Leaves, Leaves, list[str], Function]:
    """Return the arrays to differentiate; other arrays of numbers; the names of the former; and the way back."""
    try:
        numbers = [range(len(args))[n] for n in (argnums if isinstance(argnums, Sequence) else [argnums])]
    except IndexError:
        raise ValueError(f"argnums must be positions of the {len(args)} arguments, got {argnums!r}") from None
    except TypeError:
        raise TypeError(f"argnums must be an int or a tuple of ints, got {argnums!r}") from None
    paths, structure = tree_flatten_with_path(args)
    theta, rest, names, leaves = {}, {}, [], [leaf for _, leaf in paths]
    for k, (path, leaf) in enumerate(paths):
        place = path[0].idx
        dtype = getattr(leaf, "dtype", float if isinstance(leaf, float) and place in numbers else None)
        if isinstance(leaf, np.ndarray | np.generic):  # The dtype that `fun` gets by default, in float64 mode, too.
            leaves[k] = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))
        if dtype is None or not jnp.issubdtype(dtype, np.inexact):
            continue
        if place not in numbers:
            rest[k] = jnp.asarray(leaf)
        elif not jnp.issubdtype(dtype, np.floating):
            raise TypeError(f"complex numbers cannot be checked: argument {place}{keystr(path[1:])} is {dtype}")
        else:
            theta[k] = jnp.asarray(leaf)
            names.append(
                keystr(path[1:] if isinstance(argnums, int) else (SequenceKey(numbers.index(place)), *path[1:]))
            )
    if not theta:
        raise ValueError(f"no leaf of a floating dtype to differentiate: argnums={argnums!r}")

    def rebuild(new_theta: Leaves, new_rest: Leaves) -> tuple[Any, ...]:
        new = dict(zip([*theta, *rest], [*new_theta, *new_rest[: len(rest)]], strict=True))
        return jax.tree.unflatten(structure, [new.get(k, leaf) for k, leaf in enumerate(leaves)])

    return [*theta.values()], [*rest.values()], names, rebuild


def _draw_cotangent(fun: Function, theta: Leaves, rest: Leaves, rebuild: Function) -> tuple[Leaves, Function, Function]:
    """Return `rest` with a random cotangent of `fun`; what makes functions scalar; and the cotangent as an argument."""
    shapes = jax.eval_shape(lambda *leaves: fun(*rebuild(*leaves)), theta, rest)
    leaves, structure = jax.tree.flatten(shapes)
    places = [k for k, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, np.inexact)]
    if not places or any(jnp.issubdtype(leaf.dtype, np.complexfloating) for leaf in leaves):
        raise TypeError(f"fun must return a float scalar or a tree with float arrays, not complex; got {shapes}")
    if isinstance(shapes, jax.ShapeDtypeStruct) and shapes.shape == ():
        return rest, lambda function: lambda theta, rest: function(*rebuild(theta, rest)), lambda theta, rest: ()
    outputs, rng = (
        jax.tree.leaves(jax.jit(lambda *leaves: fun(*rebuild(*leaves)))(theta, rest)),
        np.random.default_rng(0),
    )
    drawn = []
    for k in places:  # All leaves of the result get the same weight.
        largest = float(jnp.max(jnp.abs(outputs[k]), initial=0)) or 1.0
        drawn.append(jnp.asarray(rng.normal(size=outputs[k].shape) / largest, outputs[k].dtype))

    def contract(function):
        def value(theta, rest):
            results = jax.tree.leaves(function(*rebuild(theta, rest)))
            pairs = zip([results[k] for k in places], rest[-len(places) :], strict=True)
            return sum(jnp.sum(result * u.astype(result.dtype)).astype(float) for result, u in pairs)

        return value

    def cotangent(theta, rest):
        now = jax.tree.leaves(jax.eval_shape(fun, *rebuild(theta, rest)))
        full = [np.zeros(leaf.shape, jax.dtypes.float0) for leaf in now]
        for k, u in zip(places, rest[-len(places) :], strict=True):
            full[k] = u.astype(now[k].dtype)
        return (jax.tree.unflatten(structure, full),)

    return [*rest, *drawn], contract, cotangent


def _collect(gradient: Function, names: list[str], rebuild: Function, cotangent: Function) -> Function:
    """Return `gradient` as a function that returns the leaves."""

    def by_hand(theta, rest):
        paths, _ = tree_flatten_with_path(gradient(*rebuild(theta, rest), *cotangent(theta, rest)))
        given = {keystr(path): leaf for path, leaf in paths}
        leaves = []
        for name, leaf in zip(names, theta, strict=True):
            if name not in given:
                raise ValueError(f"gradient returns no leaf {name or 'like the argument'}, but {', '.join(given)}")
            if jnp.shape(given[name]) != leaf.shape:
                raise ValueError(f"gradient{name} must have shape {leaf.shape}, got {jnp.shape(given[name])}")
            if not jnp.issubdtype(jnp.result_type(given[name]), np.floating):
                raise TypeError(f"gradient{name} must be floating-point, got {jnp.result_type(given[name])}")
            leaves.append(jnp.asarray(given[name]))
        return leaves

    return by_hand


def _draw_weights(theta: Leaves) -> Function:
    rng = np.random.default_rng(1)
    vectors = [rng.normal(size=leaf.shape) * float(jnp.max(jnp.abs(leaf), initial=0) or 1) for leaf in theta]

    def weigh(by_hand):
        def value(theta, rest):
            pairs = zip(by_hand(theta, rest), vectors, strict=True)
            return sum(jnp.sum(leaf * jnp.asarray(vector, leaf.dtype)).astype(float) for leaf, vector in pairs)

        return value

    return weigh
