"""`jaxmlp show MODEL`: the networks of a model, the columns it needs, and how it was found."""

import argparse
from typing import Any

import jax

from jaxmlp._validation import count
from jaxmlp.cli.common import Commands, print_json
from jaxmlp.cli.errors import report_errors


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
    from jaxmlp.tables.messages import quote_if_odd

    with jax.enable_x64(True), report_errors(args.model):  # a model of float64 needs it
        model = load_model(args.model)
        about = describe_model(model)
    if args.json:
        print_json({"model": args.model} | about)
        return 0
    for k, group in enumerate(about["groups"]):
        parts = ("-".join(map(str, group["sizes"])), *group["activation"], group["dtype"])
        print(f"group {k}: {count(len(group['weights']), 'network')} {', '.join(parts)}")
    print(f"criterion: {about['criterion']}")
    if model.recipe is not None:
        print(f"\n{model.recipe.task} of {quote_if_odd(model.recipe.target)}")
        print("\n".join([*model.recipe.describe(), "", "columns"]))
        for column in model.recipe.columns:
            print(f"  {quote_if_odd(column.name)}: {column.describe()}")
    for name in ("report", "plan"):
        if about[name]:
            print(f"\n{name}")
            for key, value in about[name].items():
                print(f"  {key}: {_text(value)}")
    return 0


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if text.isprintable() else repr(text)
