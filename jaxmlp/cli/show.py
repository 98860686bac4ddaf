"""`jaxmlp show MODEL`: the networks of a model, the columns it needs, and how it was found."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax

from jaxmlp._validation import count
from jaxmlp.cli.common import Commands, print_json, print_line
from jaxmlp.cli.errors import report_errors

if TYPE_CHECKING:
    from jaxmlp.models import Model
    from jaxmlp.storage.json import JsonObject


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "show",
        description="Print the networks of a model, the columns that it needs, its report and its plan.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model that `jaxmlp train` wrote")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load and print."""
    from jaxmlp.models import load_model
    from jaxmlp.models.files import describe_model

    with jax.enable_x64(True), report_errors(args.model):  # a model of float64 needs it
        model = load_model(args.model)
        about = describe_model(model)
    if args.json:
        print_json({"model": args.model} | about)
        return 0
    for line in _describe(model, about):
        print_line(line)
    return 0


def _describe(model: "Model", about: "JsonObject") -> Iterator[str]:
    """Yield the lines about a model, given what its file holds besides its arrays."""
    from jaxmlp.tables.messages import quote_if_odd

    for k, group in enumerate(about["groups"]):
        parts = ("-".join(map(str, group["sizes"])), *group["activation"], group["dtype"])
        yield f"group {k}: {count(len(group['weights']), 'network')} {', '.join(parts)}"
    yield f"criterion: {about['criterion']}"
    if model.recipe is not None:
        yield from ("", f"{model.recipe.task} of {quote_if_odd(model.recipe.target)}")
        yield from (*model.recipe.describe(), "", "columns")
        for column in model.recipe.columns:
            yield f"  {quote_if_odd(column.name)}: {column.describe()}"
    for name in ("report", "plan"):
        if about[name]:
            yield from ("", name)
            for key, value in about[name].items():
                yield f"  {key}: {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
