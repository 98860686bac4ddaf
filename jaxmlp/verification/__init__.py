"""The proof of a network's gradients, against oracles that share no code with their derivation by hand.

Three oracles judge each leaf of the gradient:

* `jax.grad` of our `loss`, in the network's own dtype and in float64 on the same values;
* central differences of the loss, in float64: for each entry of a small network, along random directions of a
  larger one;
* the adjoint identity: the hand-derived backward pass is J^T u, `jax.jvp` of the forward pass is J v, and
  <J v, u> = <v, J^T u> for any u and v, in float64.

The first two also judge the derivative of each activation and of the criterion by itself, entry by entry, at the
pre-activations that occur: when a gradient is wrong, the report says whether it is they that are wrong.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxmlp._validation import validate
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.network import Params
from jaxmlp.verification.oracles import Problem as Problem
from jaxmlp.verification.oracles import draws, in_float64, in_own_dtype
from jaxmlp.verification.programs import QUICK, run
from jaxmlp.verification.report import BOUNDS as BOUNDS
from jaxmlp.verification.report import CENTRAL_BOUND as CENTRAL_BOUND
from jaxmlp.verification.report import Finding as Finding
from jaxmlp.verification.report import GradientError as GradientError
from jaxmlp.verification.report import GradientReport as GradientReport
from jaxmlp.verification.report import judge


def check_network(
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
) -> GradientReport:
    """Prove the hand-derived gradient on a network and its data, and the derivatives it is made of.

    Runs at the highest precision of matrix products; compiles anew at each call. Configuration is left as it is.
    Errors are relative to the largest entry of the leaf, or of the leaf's gradient when the rows' signs are drawn at
    random if that is larger: at a minimum the rows cancel, and of the gradient only rounding is left.

    Arguments:
        params: the network, in any of the three dtypes.
        x: (n, fan_in).
        y: (n, outputs).
        sample_weight: (n,), or None for all ones.
        activation: one for all hidden layers, or a tuple, one each; your own are checked by themselves too.
        criterion: the loss of a row; likewise.

    Returns:
        A report, which prints as a table; its `raise_if_wrong()` is the one line of a test.

    Raises:
        ValueError: a shape that does not fit.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """
    return check_many([Problem(params, x, y, sample_weight, activation, criterion)])[0]


def check_many(problems: Sequence[Problem], *, quick: bool = False) -> tuple[GradientReport, ...]:
    """`check_network` of many problems, as one program in their own dtypes and one in float64.

    Problems of the same shapes share their code, and choose among their activations and criteria while it runs.
    Those that are the same in float64 are proven there once.

    Arguments:
        problems: what to check.
        quick: compile the first program without optimising, and take float64 from the second. By default the first
            is optimised, as users run it.

    Returns:
        A report for each.

    Raises:
        ValueError, TypeError: as `check_network`.
    """
    problems = [_checked(problem) for problem in problems]
    doubles = [_promoted(problem) for problem in problems]
    keys = [(*(leaf.tobytes() for leaf in jax.tree.leaves(double[:4])), *double[4:]) for double in doubles]
    unique = dict(zip(keys, doubles, strict=True))
    with jax.enable_x64(True), _off_emulated_float64():
        proofs = dict(zip(unique, run(in_float64, list(unique.values()), draws, QUICK), strict=True))
    own = [proofs[key] for key in keys]
    places = [k for k, problem in enumerate(problems) if not (quick and problem.params[0].w.dtype == np.float64)]
    results = run(in_own_dtype, [problems[k] for k in places], lambda _: (), QUICK if quick else None)
    for k, result in zip(places, results, strict=True):
        own[k] = result
    return tuple(judge(problem, mine, proofs[key]) for problem, mine, key in zip(problems, own, keys, strict=True))


def _checked(problem: Problem) -> Problem:
    params, x, y, sample_weight, activation = validate(*problem)
    return Problem(params, x, y, sample_weight, activation, problem.criterion)


def _promoted(problem: Problem) -> Problem:
    arrays = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), problem[:4])
    return Problem._make([*arrays, *problem[4:]])


def _off_emulated_float64() -> Any:
    # TPUs compute float64 in pairs of float32, with fewer digits than the bounds ask for.
    if jax.default_backend() == "tpu":
        return jax.default_device(jax.devices("cpu")[0])
    return contextlib.nullcontext()
