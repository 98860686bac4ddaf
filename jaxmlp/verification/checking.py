"""Checks of many problems, with two programs: because compiling takes longer than running."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp.verification.judging import Labels, judge, same_value
from jaxmlp.verification.oracles import PRECISIONS, Problem, consult, take_gradients, vary_entries
from jaxmlp.verification.programs import QUICK, run
from jaxmlp.verification.report import GradientReport


def check_problems(
    problems: Sequence[Problem],
    labels: Sequence[Labels],
    *,
    quick: bool = False,
    measure: Callable[[Problem], Problem] | None = None,
) -> tuple[GradientReport, ...]:
    """Verify problems with two programs: one in their own dtypes and one in float64.

    Problems of the same shapes share their code; the programs choose activations and criteria while they run. Problems
    that are equal in float64 are computed there once.

    Arguments:
        problems: what is checked.
        labels: the names in the reports.
        quick: compile the first program without optimizations, and take the gradients of float64 networks from the
            second. By default the first program is compiled as in training.
        measure: sets what depends on the dtype of a problem; given if it may be impossible in float64.

    Returns:
        A report for each problem.
    """
    places = [k for k, problem in enumerate(problems) if not (quick and problem.eps < 2**-40)]
    own = dict(zip(places, run(take_gradients, [problems[k] for k in places], QUICK if quick else None), strict=True))
    for result, label in zip(own.values(), labels, strict=False):
        if measure and not np.isfinite(result.value):
            raise ValueError(f"{label.subject} is {result.value} at these arguments: it must be finite")
    mode, remark = _float64, ()
    try:
        with _float64():
            doubles = [measure(_promote(problem)) if measure else _promote(problem) for problem in problems]
            references = _consult(doubles)
        if measure and not same_value(own[0], references[0], problems[0].eps):
            raise ValueError("its value is another one there")
    except Exception as error:
        if measure is None:
            raise
        reason = (str(error).splitlines() or [""])[0][:100]
        remark = (
            f"Not possible in float64: the differences have a tolerance for rounding. {type(error).__name__}: {reason}",
        )
        mode, doubles, references = contextlib.nullcontext, problems, _consult(problems)

    def vary(double, entries):
        with mode():
            return run(partial(vary_entries, entries=entries), [double], QUICK)[0]

    gradients = [own.get(k, reference.gradients) for k, reference in enumerate(references)]
    labels = [label._replace(remarks=remark) for label in labels]
    return tuple(map(judge, problems, gradients, doubles, references, labels, [partial(vary, d) for d in doubles]))


@contextlib.contextmanager
def _float64() -> Iterator[None]:
    """Let JAX compute in float64. TPUs do so with fewer digits than the bounds require: there, use the CPU."""
    on_tpu = jax.default_backend() == "tpu"
    device = jax.default_device(jax.devices("cpu")[0]) if on_tpu else contextlib.nullcontext()
    with jax.enable_x64(True), device:
        yield


def _promote(problem: Problem) -> Problem:
    def cast(leaf):
        leaf = leaf if isinstance(leaf, jax.Array) and len(leaf.devices()) > 1 else np.asarray(leaf)
        return leaf.astype(np.complex128 if jnp.iscomplexobj(leaf) else np.float64)

    theta, rest = ([cast(leaf) for leaf in leaves] for leaves in problem[:2])
    return problem._replace(theta=theta, rest=rest, eps=PRECISIONS[0], gradient_eps=PRECISIONS[0])


def _consult(problems: Sequence[Problem]) -> list[Any]:
    """Return what the oracles compute of each problem; of equal ones, once."""
    keys = [(*(np.asarray(a).tobytes() for a in jax.tree.leaves(problem[:2])), *problem[2:]) for problem in problems]
    unique = dict(zip(keys, problems, strict=True))
    results = dict(zip(unique, run(consult, [*unique.values()], QUICK), strict=True))
    return [results[key] for key in keys]
