"""Many problems in few programs: compiling is what costs, not running."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxmlp.verification.oracles import Problem

# What runs once is quicker when not optimised.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def run(function: Callable, problems: list[Problem], draws: Callable, compiler_options: Any) -> list[Any]:
    """`function(problem, *draws(problem))` of each, as one program, compiled anew; NumPy arrays."""
    groups: dict[Any, list[int]] = {}
    for place, problem in enumerate(problems):
        leaves, structure = jax.tree.flatten(problem[:4])
        groups.setdefault((structure, *((leaf.shape, leaf.dtype) for leaf in leaves)), []).append(place)
    members = [[problems[place] for place in places] for places in groups.values()]
    arguments = [(_stacked([problem[:4] for problem in group]), draws(group[0])) for group in members]

    def program(arguments):
        return [_of_group(function, *each) for each in zip(members, arguments, strict=True)]

    with jax.default_matmul_precision("highest"):
        compiled = jax.jit(program).lower(arguments).compile(compiler_options)
    results: list[Any] = [None] * len(problems)
    for places, result in zip(groups.values(), jax.device_get(compiled(arguments)), strict=True):
        for k, place in enumerate(places):
            results[place] = result if len(places) == 1 else jax.tree.map(lambda leaf, k=k: leaf[k], result)
    return results


def _stacked(trees: list[Any]) -> Any:
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _of_group(function: Callable, group: list[Problem], arguments: Any) -> Any:
    """`function` of problems of the same shapes, one after the other in a loop."""
    arrays, draws = arguments
    if len(group) == 1:
        return function(Problem._make([*arrays, *group[0][4:]]), *draws)
    columns = list(zip(*((*problem.activation, problem.criterion) for problem in group), strict=True))
    choices = [list(dict.fromkeys(column)) for column in columns]
    indices = [[c.index(each) for each in column] for c, column in zip(choices, columns, strict=True)]

    def one(argument):
        arrays, index = argument
        *activation, criterion = (_chosen(*each) for each in zip(choices, index, strict=True))
        return function(Problem._make([*arrays, tuple(activation), criterion]), *draws)

    return lax.map(one, (arrays, [jnp.asarray(index, jnp.int32) for index in indices]))


def _chosen(options: list[Any], index: Array) -> Any:
    """The activation or criterion of that index, known when the program runs."""
    if len(options) == 1:
        return options[0]

    def switch(name):
        return lambda *operands: lax.switch(index, [getattr(option, name) for option in options], *operands)

    return type(options[0])(switch("fn"), switch("derivative"))
