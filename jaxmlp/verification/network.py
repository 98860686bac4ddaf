"""Verification of the gradients of networks."""

import contextlib
from collections.abc import Sequence

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxmlp._validation import validate
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.network import Params
from jaxmlp.verification.oracles import Problem, draw_vectors, in_float64, in_own_dtype
from jaxmlp.verification.programs import QUICK, run
from jaxmlp.verification.report import GradientReport, judge


def check_network(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> GradientReport:
    """Verify the hand-derived gradient of a network on its data, and the derivatives of activations and criterion.

    Each call compiles, and computes at the highest precision of matrix products. JAX's configuration does not change.
    Errors are relative to the largest entry of the leaf, or, if that is larger, to the largest entry when the rows have
    random signs: at a minimum the rows cancel, and only rounding is left of the gradient.

    Arguments:
        params: the network, in bfloat16, float32 or float64.
        x: (n, fan_in) inputs.
        y: (n, outputs) targets.
        sample_weight: (n,) weights of the rows; None for all ones.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.

    Returns:
        A report, which prints as a table. In a test, call its `raise_if_wrong()`.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    return check_many([Problem(*validate(params, x, y, sample_weight, activation, criterion), criterion)])[0]


def check_many(problems: Sequence[Problem], *, quick: bool = False) -> tuple[GradientReport, ...]:
    """Verify many networks with two programs: one in their own dtypes and one in float64.

    Problems of the same shapes share their code; the programs choose activations and criteria while they run. Problems
    that are equal in float64 are computed there once.

    Arguments:
        problems: networks and data, as `validate` returns them.
        quick: compile the first program without optimizations, and take the gradients of float64 networks from the
            second. By default the first program is compiled as in training.

    Returns:
        A report for each problem.
    """
    arrays = [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), problem[:4]) for problem in problems]
    doubles = [Problem._make([*double, *problem[4:]]) for double, problem in zip(arrays, problems, strict=True)]
    keys = [(*(leaf.tobytes() for leaf in jax.tree.leaves(double[:4])), *double[4:]) for double in doubles]
    unique = dict(zip(keys, doubles, strict=True))
    # TPUs compute float64 as pairs of float32, with fewer digits than the bounds require.
    on_tpu = jax.default_backend() == "tpu"
    device = jax.default_device(jax.devices("cpu")[0]) if on_tpu else contextlib.nullcontext()
    with jax.enable_x64(True), device:
        results = dict(zip(unique, run(in_float64, list(unique.values()), draw_vectors, QUICK), strict=True))
    references = [results[key] for key in keys]
    gradients = [reference.gradients for reference in references]
    places = [k for k, problem in enumerate(problems) if not (quick and problem.params[0].w.dtype == np.float64)]
    own = run(in_own_dtype, [problems[k] for k in places], lambda _: (), QUICK if quick else None)
    for k, result in zip(places, own, strict=True):
        gradients[k] = result
    return tuple(map(judge, problems, gradients, references))
