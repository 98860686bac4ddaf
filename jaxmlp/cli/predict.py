"""`jaxmlp predict MODEL FILE`: what a model says of each row of a table."""

import argparse
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jaxmlp.cli.common import CommandError, note
from jaxmlp.cli.tables import arrays, predictions, refusing
from jaxmlp.models import load_model, mean_and_std
from jaxmlp.storage.files import write_bytes
from jaxmlp.tables import load_table


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "predict",
        help="predict with a model, a line for each row of a table",
        description="Print a header and a line for each row of a table, in order: of a classification the "
        "probabilities of the classes, of an ensemble the standard deviation of its members and, where it was judged, "
        "the ends of a band that holds nine in ten targets, and last the prediction.",
    )
    parser.add_argument("model", metavar="MODEL", help="what `jaxmlp train` wrote")
    parser.add_argument("file", metavar="FILE", help="a CSV or Parquet file, or - for stdin; columns go by their names")
    parser.add_argument("-o", "--out", metavar="OUT", help="a CSV or Parquet file to write instead of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load, predict, write."""
    out = None if args.out is None else _checked_out(args.out, args.file, args.model)
    with jax.enable_x64(True):  # a model of float64 needs it; the others stay as they are
        model = refusing(load_model, args.model)
        if model.recipe is None:
            raise CommandError(f"{args.model}: the model has no recipe for tables; use jaxmlp.predict with arrays")
        frame = refusing(load_table, args.file)
        name = "standard input" if args.file == "-" else args.file
        x, notes = refusing(model.recipe.inputs, frame, prefix=f"{name}: ")
        table = predictions(model.recipe, *arrays(mean_and_std(model, x)), band=_band(args.model, model.training))
    for line in notes:
        note(line)
    if out is None:
        sys.stdout.write(table.write_csv())
        return 0
    content = io.BytesIO()
    if out.suffix == ".parquet":
        table.write_parquet(content)
    else:
        table.write_csv(content)
    refusing(write_bytes, out, content.getvalue(), code=1)
    note(f"Predictions: {out}, {table.height} rows")
    return 0


def _band(name: str, training: Mapping[str, Any]) -> list[float] | None:
    """The ends of the band that holds nine in ten targets, if the model knows them."""
    band = training.get("band")
    if band is None or (isinstance(band, list) and len(band) == 2 and all(type(end) in (int, float) for end in band)):
        return band
    raise CommandError(f"{name} is damaged: 'band' in its metadata is not two numbers")


def _checked_out(name: str, *inputs: str) -> Path:
    """Refuse before predicting what could not be written after it, or would destroy what is read."""
    out = Path(name)
    if out.suffix not in (".csv", ".parquet"):
        raise CommandError(f"-o {out}: the name must end in .csv or .parquet")
    if not out.absolute().parent.is_dir():
        raise CommandError(f"-o {out}: no such directory")
    if any(out.resolve() == Path(each).resolve() for each in inputs if each != "-"):
        raise CommandError(f"-o {out}: that is a file to read")
    return out
