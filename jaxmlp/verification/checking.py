"""Checks of a gradient in the dtype of the arguments, and in float64 where that is possible."""

import contextlib
import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp.verification.judging import judge
from jaxmlp.verification.oracles import EPS, Arguments, Functions, Values
from jaxmlp.verification.points import Evidence, Point
from jaxmlp.verification.report import GradientReport


def check(
    f: Functions, variants: Sequence[Arguments], names: list[str], *, quick: bool = False, **about: object
) -> list[GradientReport]:
    """Verify a gradient.

    Arguments:
        f: the functions. If they are those of an earlier call, with the same shapes, nothing is compiled.
        variants: one or more lists of arrays, with the same values in different dtypes.
        names: of the leaves.
        quick: compile the programs in the dtype of the arguments without optimizations, too.
        **about: fields of the reports.

    Returns:
        A report for each of the variants.
    """
    # What is compiled for its own sake is not what `jax.disable_jit` is for.
    with jax.default_matmul_precision("highest"), jax.disable_jit(False):
        own = [Point(f, *arrays, quick=quick) for arrays in variants]
        if not all(np.isfinite(point.value) for point in own):
            raise ValueError(f"{about['subject']} is {own[0].value} at these arguments: it must be finite")
        mode = _float64
        try:
            with mode():
                evidence = Evidence(f, *([_promote(leaf) for leaf in leaves] for leaves in variants[0]))
            eps, jitter = EPS[own[0].level], evidence.jitter[own[0].level, 0]
            change = abs(float(own[0].value) - float(evidence.value))
            if change > math.sqrt(eps) * (abs(evidence.value) + jitter / eps):
                raise ValueError("its value is another one there")
        except Exception as error:
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"
            about["remarks"] = (f"Not possible in float64: the differences have a tolerance for rounding. {reason}",)
            mode, evidence = contextlib.nullcontext, Evidence(f, *variants[0])
        with mode():
            return [judge(point, evidence, names, about) for point in own]


@contextlib.contextmanager
def _float64() -> Iterator[None]:
    """Let JAX compute in float64. TPUs do so with fewer digits than the bounds require: there, use the CPU."""
    on_tpu = jax.default_backend() == "tpu"
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]) if on_tpu else contextlib.nullcontext():
        yield


def _promote(leaf: Values) -> Values:
    leaf = leaf if isinstance(leaf, jax.Array) and len(leaf.devices()) > 1 else np.asarray(leaf)
    return leaf.astype(np.complex128 if jnp.iscomplexobj(leaf) else np.float64)
