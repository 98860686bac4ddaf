"""`jaxmlp show MODEL`: what a model is, what it needs, and how it was trained."""

import argparse
import json
from typing import Any

import jax

from jaxmlp.activations import ACTIVATIONS
from jaxmlp.cli.common import print_json
from jaxmlp.cli.tables import refusing
from jaxmlp.criteria import CRITERIA
from jaxmlp.models import Model, load_model
from jaxmlp.tables import Recipe
from jaxmlp.tables.columns import Column, Number, OneHot, counted


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "show",
        help="what a model is, and how it was trained",
        description="Print what a model file says of itself: the network, the columns it needs, how it was trained.",
    )
    parser.add_argument("model", metavar="MODEL", help="what `jaxmlp train` wrote")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load and print."""
    with jax.enable_x64(True):  # a model of float64 needs it
        model = refusing(load_model, args.model)
    network = _network(model)
    recipe = model.recipe
    if args.json:
        content = None if recipe is None else json.loads(recipe.to_json())
        print_json({"model": args.model, **network, "recipe": content, "training": dict(model.training)})
        return 0
    for name, value in network.items():
        print(f"{name}: {'-'.join(map(str, value)) if name == 'sizes' else _text(value)}")
    if recipe is not None:
        print(f"\n{recipe.task} of {recipe.target}")
        for line in [*recipe.describe(), "", *_columns(recipe)]:
            print(line)
    if model.training:
        print("\ntrained")
        for name, value in model.training.items():
            print(f"  {name}: {_text(value)}")
    return 0


def _network(model: Model) -> dict[str, Any]:
    each = model.activation if isinstance(model.activation, tuple) else (model.activation,)
    names = {value: name for name, value in (ACTIVATIONS | CRITERIA).items()}
    return {
        "sizes": model.sizes,
        "members": model.members or 1,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(model.params)),
        "dtype": str(model.params[0].w.dtype),
        "activation": ", ".join(names[one] for one in each),
        "criterion": names[model.criterion],
    }


def _columns(recipe: Recipe) -> list[str]:
    width = max(len(column.name) for column in recipe.columns)
    return [f"  {column.name:{width}}  {_column(column)}" for column in recipe.columns]


def _column(column: Column) -> str:
    if isinstance(column, Number):
        gaps = f", {counted(column.gaps, 'gap')}" if column.gaps else ""
        return f"number, mean {column.center:.4g}, standard deviation {column.scale:.4g}{gaps}"
    if isinstance(column, OneHot):
        return "one of " + ", ".join("(gap)" if level is None else repr(level) for level in column.levels)
    return "whether there is a value"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
