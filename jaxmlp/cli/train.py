"""`jaxmlp train FILE --target COLUMN`: a model of a table on disk, and how good it is on rows it has not seen."""

import argparse
import os
from pathlib import Path
from typing import Any

from jaxmlp.activations import ACTIVATIONS
from jaxmlp.cli import fast, verdict
from jaxmlp.cli.common import CommandError, key_seed, positive, rate, validate_plot, widths
from jaxmlp.cli.tables import CRITERIA, columns, prepared
from jaxmlp.fitting.optimizers import OPTIMIZERS

_BUDGET = 60.0  # seconds of a search


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train a model of a table of your own",
        description="Train networks that predict a column of a table from the others, choose among candidates by "
        "rows not seen in training, say how good they are beside guessing and beside a linear model, and which columns "
        "matter; keep them on disk. With --fast, train one network, stop it when it is best on 10 % of the rows, and "
        "measure it on another 10 %.",
    )
    parser.add_argument("file", metavar="FILE", help="a CSV file with a header line, a Parquet file, or - for stdin")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument(
        "--task",
        choices=CRITERIA,
        help="what the target is (regression of numbers, classification of text and booleans)",
    )
    parser.add_argument("--drop", type=columns, action="extend", default=[], metavar="A,B", help="columns not to use")
    parser.add_argument(
        "--out", metavar="MODEL", help='the model (the table\'s name, or "model" for stdin, with .safetensors)'
    )
    parser.add_argument(
        "--hidden", type=widths, default=(100,), metavar="32,32", help="widths of the hidden layers; 0 for none (100)"
    )
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="of the hidden layers (relu)")
    parser.add_argument("--learning-rate", type=rate, metavar="RATE", help="of the first step (chosen; --fast: 0.005)")
    parser.add_argument("--weight-decay", type=rate, metavar="SHARE", help="of a weight a step (chosen; --fast: 0.03)")
    parser.add_argument("--seed", type=key_seed, default=0, help="of folds, weights and batches (0)")
    parser.add_argument(
        "--budget",
        type=rate,
        metavar="SECONDS",
        help="try as much as fits in about so long, some 15 of which are a start (60)",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the run to FILE (.png, .svg, .pdf)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--fast", action="store_true", help="train once, and judge by a tenth of the rows")
    once = parser.add_argument_group("with --fast")
    once.add_argument("--optimizer", choices=OPTIMIZERS, help="(adam)")
    once.add_argument("--batch-size", type=positive, metavar="ROWS", help="rows a step (32; of many rows 1/256)")
    once.add_argument("--epochs", type=positive, help="at most so many passes over all rows (1000)")
    once.add_argument("--patience", type=positive, metavar="EPOCHS", help="stop after so many without improvement (50)")
    once.add_argument("--members", type=positive, metavar="K", help="train K networks at once, and average them")
    once.add_argument("--checkpoint", metavar="DIR", help="keep the run in DIR, where --resume finds it")
    once.add_argument("--resume", action="store_true", help="go on from what --checkpoint kept")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, train, report, save."""
    out = _checked_call(args)
    fractions = fast.FRACTIONS if args.fast else ()
    table = prepared(args.file, args.target, task=args.task, drop=args.drop, fractions=fractions, seed=args.seed)
    return (fast if args.fast else verdict).run(args, table, out)


def _checked_call(args: argparse.Namespace) -> Path:
    """Refuse before training what would fail after it; return the model's path."""
    validate_plot(args.plot)
    for name, default in fast.DEFAULTS.items():
        if not args.fast and getattr(args, name) not in (None, False):
            raise CommandError(f"--{name.replace('_', '-')} needs --fast, which trains once")
        if getattr(args, name) is None:
            setattr(args, name, default)
    if args.fast and args.budget is not None:
        raise CommandError("--budget is for the search; --epochs and --patience end one training")
    if args.budget == 0:
        raise CommandError("--budget 0 leaves no time to train")
    args.budget = args.budget or _BUDGET
    if args.resume and args.checkpoint is None:
        raise CommandError("--resume needs --checkpoint DIR, the directory to go on from")
    if not Path(args.file).name:
        raise CommandError(f"{args.file!r} is no file")
    out = Path("model.safetensors" if args.file == "-" else Path(args.file).with_suffix(".safetensors").name)
    out = out if args.out is None else Path(args.out)
    if os.path.isdir(out) or not os.path.isdir(out.absolute().parent):
        raise CommandError(f"--out {out}: " + ("a directory" if os.path.isdir(out) else "no such directory"))
    if args.file != "-" and out.resolve() == Path(args.file).resolve():
        raise CommandError(f"--out {out}: that is the table")
    if args.checkpoint is not None:
        try:
            Path(args.checkpoint).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"--checkpoint {args.checkpoint}: {error.strerror}") from None
    return out
