"""Claim: each form of `_cpu_products.py` and `_gpu_training.py` makes gradients or training at least 10 % faster.

    python bench/products.py                      (--form _dense_few_inputs for one; --device cuda for the GPU's)

Each form is switched off alone: its products are then computed in the textbook form, the others as ever. Both programs
run in this process and alternate. `train` is a run of 200 epochs, `ensemble` one of 1,000 networks, and `gradient` one
call of `manual_value_and_grads`.
`gain` is the time without the form divided by the time with it, from the medians and from the minima.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from common import alternate, arguments, closeness, configured, report

import jaxmlp
from jaxmlp import _dispatch


class Work(NamedTuple):
    """A gradient or a training run of a network, or of an ensemble."""

    name: str
    rows: int
    sizes: tuple[int, ...]


MEMBERS = 1000
TUTORIAL = Work("train", 100, (3, 32, 1))
LARGE = Work("gradient", 8192, (256, 1024, 1024, 10))
FORMS = {  # by the start of their names
    "_dense_few_inputs": [TUTORIAL, Work("gradient", 8192, (3, 1024, 1)), Work("gradient", 8192, (8, 32, 1))],
    "_dense_filled": [Work("gradient", 8192, (8, 64, 10)), Work("gradient", 8192, (8, 256, 10)), LARGE],
    "_weight_grad_few_rows": [TUTORIAL],
    "_weight_grad_turned": [Work("gradient", 8192, (8, 32, 1)), Work("gradient", 8192, (8, 64, 10))],
    "_column_sums": [TUTORIAL],  # both forms of the column sums
}
ONE_KERNEL = [
    Work(name, rows, (inputs, units, 1))
    for name in ("train", "ensemble")
    for rows, inputs, units in [
        (100, 3, 32), (16, 1, 4), (100, 8, 32), (500, 3, 32), (100, 3, 128), (200, 8, 64), (1000, 3, 16),
    ]
]  # fmt: skip
GPU_FORMS = {"one_kernel": ONE_KERNEL}


def main():
    parser = arguments(__doc__, rounds=60)
    parser.add_argument("--form", action="append", choices=(*FORMS, *GPU_FORMS), help="only this form; may be repeated")
    args = configured(parser)
    forms = GPU_FORMS if jax.default_backend() == "gpu" else FORMS
    rows = []
    for form in args.form or forms:
        for work in forms[form]:
            programs = {"with": program(work)}
            with switched_off(form):
                programs["without"] = program(work)
            expected, losses = (call() for call in programs.values())
            np.testing.assert_allclose(losses, expected, rtol=closeness())
            seconds = alternate(programs, args.rounds)
            row = {"form": form, "work": f"{work.name}, {work.rows} rows, {'-'.join(map(str, work.sizes))}"}
            for name, measure in {"median": statistics.median, "minimum": min}.items():
                row[f"gain_{name}"] = measure(seconds["without"]) / measure(seconds["with"])
                row |= {f"{name}_us": measure(seconds["with"]) * 1e6}
            rows.append(row | {"seconds": seconds})
    report("products", "time without a form, divided by the time with it", rows)


def program(work: Work) -> Callable[[], Any]:
    """Compile a piece of work; the result runs it and returns its losses."""
    rng = np.random.default_rng(0)
    params = jaxmlp.init_params(jax.random.key(0), work.sizes)
    if work.name == "ensemble":
        params = jaxmlp.init_ensemble(jax.random.key(0), work.sizes, MEMBERS)
    x, y = (jnp.asarray(rng.normal(size=(work.rows, k)), jnp.float32) for k in (work.sizes[0], work.sizes[-1]))
    functions = {
        "gradient": jaxmlp.manual_value_and_grads,
        "train": lambda params, x, y: jaxmlp.train(params, x, y, 1e-5)[::-1],
        "ensemble": lambda params, x, y: jaxmlp.train_ensemble(params, x, y, 1e-5)[::-1],
    }
    compiled = jax.jit(functions[work.name]).lower(params, x, y).compile()
    return lambda: np.asarray(jax.block_until_ready(compiled(params, x, y))[0])


@contextmanager
def switched_off(name: str) -> Iterator[None]:
    """Compute products in the textbook form instead of the forms whose names start with `name`."""
    by_platform = _dispatch.by_platform

    def without(platform: str, chosen: Any, textbook: Any, *operands: Any) -> Any:
        off = chosen.__name__.startswith(name)
        return textbook(*operands) if off else by_platform(platform, chosen, textbook, *operands)

    _dispatch.by_platform = without
    jax.clear_caches()  # the products are traced again
    yield
    _dispatch.by_platform = by_platform
    jax.clear_caches()


if __name__ == "__main__":
    main()
