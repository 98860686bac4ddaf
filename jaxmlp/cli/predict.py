"""`jaxmlp predict MODEL FILE`: a prediction for each row of a table."""

import argparse
from dataclasses import replace

import jax

from jaxmlp.cli.common import CommandError, Commands, note, validate_output
from jaxmlp.cli.errors import report_errors
from jaxmlp.cli.process import defer_ctrl_c
from jaxmlp.cli.train import TABLE_ENDINGS, add_reading_options, columns, reading_progress, write_table

_LINES = 2**16  # Lines that are written at a time.


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "predict",
        description="Print a header and a line for each row of a table, in order: the probabilities of the classes, "
        "the standard deviation over the networks, the ends of the 90 % prediction interval, the columns outside their "
        "training range if there are any, and last the prediction.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model that `jaxmlp train` wrote")
    table = "a table in any format that jaxmlp train reads, or - for stdin; columns are found by name"
    parser.add_argument("file", metavar="FILE", help=table)
    copies = "columns of the table to copy to the output, before the predictions"
    parser.add_argument("--id", type=columns, action="extend", default=[], metavar="A,B", help=copies)
    add_reading_options(parser, "as in training")
    parser.add_argument("-o", "--out", metavar="OUT", help="a CSV or Parquet file to write instead of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load, predict, write."""
    inputs = {args.file: "an input file", args.model: "an input file"}
    out = None if args.out is None else validate_output("-o", args.out, endings=TABLE_ENDINGS, inputs=inputs)
    from jaxmlp.models import load_model
    from jaxmlp.models.tables import OUTSIDE, predict_table, round_predictions
    from jaxmlp.tables import polars
    from jaxmlp.tables.findings import Notes
    from jaxmlp.tables.reading import read_blocks

    with jax.enable_x64(True), report_errors(args.file):  # a model of float64 needs it; the others stay float32
        model = load_model(args.model)
        if model.recipe is None:
            raise CommandError(f"{args.model}: the model has no recipe for tables; use jaxmlp.predict with arrays")
        recipe = model.recipe.read_as(args.decimal, args.date_order)
        model = replace(model, networks=model.groups, recipe=recipe)
        notes, tables, rows = Notes(), [], 0
        with reading_progress(args.file) as progress:
            options = {"separator": args.separator, "sheet": args.sheet, "exact": args.id}
            for frame in read_blocks(args.file, on_note=note, on_progress=progress, **options):
                table, findings = predict_table(model, frame, ids=args.id, offset=rows)
                notes.add(findings, rows)
                tables.append(round_predictions(recipe, table))
                rows += table.height
    table = polars.concat(tables, how="vertical_relaxed") if len(tables) > 1 else tables[0]
    if table[OUTSIDE].null_count() == rows:
        table = table.drop(OUTSIDE)
    for line in notes.lines():
        note(line)
    if out is None:
        for start in range(0, rows, _LINES):
            print(table[start : start + _LINES].write_csv(include_header=start == 0), end="")
        return 0
    defer_ctrl_c()
    with report_errors(args.file, code=1):
        write_table(table, out)
    return 0
