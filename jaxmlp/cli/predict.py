"""`jaxmlp predict MODEL FILE`: a prediction for each row of a table."""

import argparse

import jax

from jaxmlp.cli.common import CommandError, Commands, note, validate_output
from jaxmlp.cli.errors import report_errors
from jaxmlp.cli.process import defer_ctrl_c
from jaxmlp.cli.train import TABLE_ENDINGS, write_table


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "predict",
        description="Print a header and a line for each row of a table, in order: the probabilities of the classes, "
        "the standard deviation over the networks, the ends of the 90 % prediction interval, and last the prediction.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model that `jaxmlp train` wrote")
    parser.add_argument("file", metavar="FILE", help="a CSV or Parquet file, or - for stdin; columns are found by name")
    parser.add_argument("-o", "--out", metavar="OUT", help="a CSV or Parquet file to write instead of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load, predict, write."""
    inputs = {args.file: "an input file", args.model: "an input file"}
    out = None if args.out is None else validate_output("-o", args.out, endings=TABLE_ENDINGS, inputs=inputs)
    from jaxmlp.models import load_model
    from jaxmlp.models.tables import predict_table
    from jaxmlp.tables import load_table

    with jax.enable_x64(True), report_errors(args.file):  # a model of float64 needs it; the others stay float32
        model = load_model(args.model)
        if model.recipe is None:
            raise CommandError(f"{args.model}: the model has no recipe for tables; use jaxmlp.predict with arrays")
        table, notes = predict_table(model, load_table(args.file))
    for line in notes:
        note(line)
    if out is None:
        print(table.write_csv(), end="")
        return 0
    defer_ctrl_c()
    with report_errors(args.file, code=1):
        write_table(table, out)
    return 0
