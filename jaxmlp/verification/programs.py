"""One program for many problems, because compiling takes longer than running."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxmlp.activations import Activation
from jaxmlp.criteria import Criterion
from jaxmlp.verification.oracles import Problem

# Without optimizations: compiling and running a program once then takes less time.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

Result = TypeVar("Result")
Choice = TypeVar("Choice", Activation, Criterion)


def run(
    function: Callable[..., Result],
    problems: Sequence[Problem],
    compiler_options: dict[str, Any] | None,
) -> list[Result]:
    """Return `function(problem)` of each problem, in NumPy arrays; compiles one program."""
    groups: dict[Hashable, list[int]] = {}
    for place, problem in enumerate(problems):
        shapes = [[(leaf.shape, str(leaf.dtype)) for leaf in leaves] for leaves in problem[:2]]
        groups.setdefault((repr(shapes), *problem[3:]), []).append(place)
    members = [[problems[place] for place in places] for places in groups.values()]
    arguments = [_stack([problem[:2] for problem in group]) for group in members]

    def program(arguments):
        return [_map_group(function, *operands) for operands in zip(members, arguments, strict=True)]

    # What is compiled for its own sake is not what `jax.disable_jit` is for.
    with jax.default_matmul_precision("highest"), jax.disable_jit(False):
        compiled = jax.jit(program).lower(arguments).compile(compiler_options)
        by_group = jax.device_get(compiled(arguments))
    results = {}
    for places, result in zip(groups.values(), by_group, strict=True):
        for k, place in enumerate(places):
            results[place] = result if len(places) == 1 else jax.tree.map(lambda leaf, k=k: leaf[k], result)
    return [results[place] for place in range(len(problems))]


def _stack(trees: list[Any]) -> Any:
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _map_group(function: Callable[..., Result], group: list[Problem], arrays: Any) -> Result:
    """Return the stacked results of `function` for problems of the same shapes, computed in a loop."""
    if len(group) == 1:
        return function(group[0]._replace(theta=arrays[0], rest=arrays[1]))
    columns = list(zip(*(problem.choices for problem in group), strict=True))
    choices = [list(dict.fromkeys(column)) for column in columns]
    indices = [[options.index(choice) for choice in column] for options, column in zip(choices, columns, strict=True)]

    def apply(argument):
        arrays, index = argument
        chosen = tuple(map(_choose, choices, index))
        return function(group[0]._replace(theta=arrays[0], rest=arrays[1], choices=chosen))

    return lax.map(apply, (arrays, [jnp.asarray(index, jnp.int32) for index in indices]))


def _choose(options: list[Choice], index: Array) -> Choice:
    """Return the activation or criterion at an index that is known when the program runs."""
    if len(options) == 1:
        return options[0]

    def switch(name):
        return lambda *operands: lax.switch(index, [getattr(option, name) for option in options], *operands)

    return type(options[0])(switch("fn"), switch("derivative"))
