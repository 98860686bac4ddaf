"""`jaxmlp predict MODEL FILE`: a prediction for each row of a table."""

import argparse
import sys

import jax

from jaxmlp.cli.common import CommandError, Commands, note
from jaxmlp.cli.errors import report_errors
from jaxmlp.cli.train import validate_table_path, write_table


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
    out = None if args.out is None else validate_table_path("-o", args.out, [args.file, args.model])
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
        sys.stdout.write(table.write_csv())
        return 0
    with report_errors(args.file, code=1):
        write_table(table, out)
    return 0
