"""Checks with two programs: one in the dtype of the arguments, and one in float64 where that is possible."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp.verification.judging import Case, judge, same_value
from jaxmlp.verification.oracles import Functions, Leaves, Problem, consult, take_gradients, vary_entries
from jaxmlp.verification.report import GradientReport

# Without optimizations: compiling and running a program once then takes less time.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_OVERHEAD = 1000.0  # Of an operation, in additions.


def check(
    f: Functions, variants: Sequence[tuple[Leaves, Leaves]], names: list[str], *, quick: bool = False, **about: Any
) -> list[GradientReport]:
    """Verify a gradient.

    Arguments:
        f: the functions. If they are those of an earlier call, with the same shapes, nothing is compiled.
        variants: one or more lists of arrays, with the same values in different dtypes.
        names: of the leaves.
        quick: compile the program in the dtype of the arguments without optimizations, too.
        **about: fields of the reports.

    Returns:
        A report for each of the variants.
    """
    # What is compiled for its own sake is not what `jax.disable_jit` is for.
    with jax.default_matmul_precision("highest"), jax.disable_jit(False):
        problems = [measure(f, *arrays) for arrays in variants]
        own = [_run_without("autodiff", take_gradients, problem, quick=quick) for problem in problems]
        if not all(np.isfinite(gradients.value) for gradients in own):
            raise ValueError(f"{about['subject']} is {own[0].value} at these arguments: it must be finite")
        f = f if own[0].by_grad else f._replace(autodiff=None)
        mode = _float64
        try:
            with mode():
                double = measure(f, *([_promote(leaf) for leaf in leaves] for leaves in variants[0]))
                references = _run_without("forward", consult, double)
            if not same_value(own[0], references, problems[0].eps):
                raise ValueError("its value is another one there")
        except Exception as error:
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"
            about["remarks"] = (f"Not possible in float64: the differences have a tolerance for rounding. {reason}",)
            mode, double = contextlib.nullcontext, problems[0]._replace(f=f)
            references = _run_without("forward", consult, double)

        def vary(entries):
            with mode():
                return _run_without("forward", vary_entries, double, entries)

        return [judge(Case(*pair, double, references, names, vary), about) for pair in zip(problems, own, strict=True)]


@contextlib.contextmanager
def _float64() -> Iterator[None]:
    """Let JAX compute in float64. TPUs do so with fewer digits than the bounds require: there, use the CPU."""
    on_tpu = jax.default_backend() == "tpu"
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]) if on_tpu else contextlib.nullcontext():
        yield


def _promote(leaf: Any) -> Any:
    leaf = leaf if isinstance(leaf, jax.Array) and len(leaf.devices()) > 1 else np.asarray(leaf)
    return leaf.astype(np.complex128 if jnp.iscomplexobj(leaf) else np.float64)


def _run_without(oracle: str, function: Callable[..., Any], problem: Problem, *more: Any, **options: Any) -> Any:
    """Return `function(problem)`, without an oracle if the function that is checked does not allow it."""
    try:
        return _run(function, problem, *more, **options)
    except Exception:
        if problem.f.reference and oracle == "autodiff":
            raise
        return _run(function, problem._replace(f=problem.f._replace(**{oracle: None})), *more, **options)


def _run(function: Callable[..., Any], problem: Problem, *more: Any, quick: bool = True) -> Any:
    program = make_program(function, problem.f, problem[3:], quick)
    return jax.device_get(program(problem.theta, problem.rest, *more))


@functools.lru_cache(maxsize=32)
def make_program(function: Callable[..., Any], f: Functions, measured: tuple[float, ...], quick: bool) -> Any:
    """Return a function of a problem as a compiled function of its arrays."""

    def program(theta, rest, *more):
        return function(Problem(f, theta, rest, *measured), *more)

    return jax.jit(program, compiler_options=QUICK if quick else None)


def measure(f: Functions, theta: Leaves, rest: Leaves) -> Problem:
    """Return a problem with its number of operations and its precision."""
    shapes = (tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves) for leaves in (theta, rest))
    return Problem(f, theta, rest, *_measure_shapes(f, *shapes))


@functools.lru_cache(maxsize=32)
def _measure_shapes(f: Functions, *shapes: tuple[jax.ShapeDtypeStruct, ...]) -> tuple[float, float, float]:
    """Return the number of operations of a function, its precision and that of its gradient."""
    (work, eps), (_, gradient_eps) = (
        _walk(jax.make_jaxpr(function)(*map(list, shapes)).jaxpr) for function in (f.value, f.by_hand)
    )
    return work, eps, max(eps, gradient_eps)


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
            if hasattr(inner := getattr(inner, "jaxpr", inner), "eqns"):
                more, inner_eps = _walk(inner)
                work, eps = work + more * equation.params.get("length", 1), [*eps, inner_eps]
    return work, max(eps, default=0.0)
