"""Claim: each form of `jaxmlp/_cpu_products.py` makes whole gradients or training runs at least 10 % faster.

    python bench/products.py                      (--form _dense_few_inputs for one)

Each form is switched off alone: its products are then computed in the textbook form, the others as ever. Both programs
run in this process and alternate. `train` is a run of 200 epochs, `gradient` one call of `manual_value_and_grads`.
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
from jaxmlp import _cpu_products


class Work(NamedTuple):
    """A gradient, or a training run, of a network."""

    name: str
    rows: int
    sizes: tuple[int, ...]


TUTORIAL = Work("train", 100, (3, 32, 1))
LARGE = Work("gradient", 8192, (256, 1024, 1024, 10))
FORMS = {  # by the start of their names
    "_dense_few_inputs": [TUTORIAL, Work("gradient", 8192, (3, 1024, 1)), Work("gradient", 8192, (8, 32, 1))],
    "_dense_filled": [Work("gradient", 8192, (8, 64, 10)), Work("gradient", 8192, (8, 256, 10)), LARGE],
    "_weight_grad_few_rows": [TUTORIAL],
    "_weight_grad_turned": [Work("gradient", 8192, (8, 32, 1)), Work("gradient", 8192, (8, 64, 10))],
    "_column_sums": [TUTORIAL],  # both forms of the column sums
}


def main():
    parser = arguments(__doc__, rounds=60)
    parser.add_argument("--form", action="append", choices=FORMS, help="only this form; may be repeated")
    args = configured(parser)
    rows = []
    for form in args.form or FORMS:
        for work in FORMS[form]:
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
    x, y = (jnp.asarray(rng.normal(size=(work.rows, k)), jnp.float32) for k in (work.sizes[0], work.sizes[-1]))
    functions = {
        "gradient": jaxmlp.manual_value_and_grads,
        "train": lambda params, x, y: jaxmlp.train(params, x, y, 1e-4)[::-1],
    }
    compiled = jax.jit(functions[work.name]).lower(params, x, y).compile()
    return lambda: np.asarray(jax.block_until_ready(compiled(params, x, y))[0])


@contextmanager
def switched_off(name: str) -> Iterator[None]:
    """Compute products in the textbook form instead of the forms whose names start with `name`."""
    by_platform = _cpu_products._by_platform

    def without(chosen: Any, textbook: Any, *operands: Any) -> Any:
        return textbook(*operands) if chosen.__name__.startswith(name) else by_platform(chosen, textbook, *operands)

    _cpu_products._by_platform = without
    jax.clear_caches()  # the products are traced again
    yield
    _cpu_products._by_platform = by_platform
    jax.clear_caches()


if __name__ == "__main__":
    main()
