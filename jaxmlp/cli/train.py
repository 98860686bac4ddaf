"""`jaxmlp train FILE --target COLUMN`: a model of a table, and how good it is on rows it was not trained on."""

import argparse
import csv
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from jaxmlp import __version__
from jaxmlp._validation import count, require
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.cli.common import (
    CommandError,
    Commands,
    key_seed,
    note,
    platform,
    positive,
    print_json,
    print_line,
    rate,
    validate_plot,
    widths,
    write_figure,
)
from jaxmlp.cli.errors import report_errors
from jaxmlp.tables.messages import quote_word

BUDGET = 60.0


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        description="Train networks that predict a column of a table from the others, choose the best of several "
        "settings by cross-validation, compare them with a constant and a linear baseline, and save them as a model. "
        "A hyperparameter that is given is fixed in the search.",
    )
    parser.add_argument("file", metavar="FILE", help="a CSV file with a header line, a Parquet file, or - for stdin")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    tasks = "what the target is (default: regression for numbers, classification for text and booleans)"
    parser.add_argument("--task", choices=("regression", "classification", "counts"), help=tasks)
    parser.add_argument("--drop", type=columns, action="extend", default=[], metavar="A,B", help="columns not to use")
    parser.add_argument("--out", metavar="MODEL", help="model to write (default: the table's name with .safetensors)")
    parser.add_argument("--predictions", metavar="FILE", help="write predictions of held-out rows (.csv, .parquet)")
    parser.add_argument("--plot", metavar="FILE", help="write a figure of the report (.png, .svg, .pdf)")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument("--seed", type=key_seed, default=0, help="random seed (default: 0)")
    add = parser.add_argument_group("search").add_argument
    limit = f"time limit in seconds, start-up included (default: {BUDGET:g})"
    add("--budget", type=rate, default=BUDGET, metavar="SECONDS", help=limit)
    add("--fast", action="store_true", help="train one setting, and measure it on a fifth of the rows")
    add("--plan", metavar="MODEL", help="repeat the search of a model: with the same seed, the same bits")
    add("--checkpoint", metavar="DIR", help="keep the search in this directory")
    add("--resume", action="store_true", help="continue the search that --checkpoint holds")
    add = parser.add_argument_group("hyperparameters (a given one is fixed in the search)").add_argument
    add("--hidden", type=widths, metavar="64,64", help="hidden layer widths; 0 for a linear model (default: 100)")
    add("--activation", choices=ACTIVATIONS, help="activation of the hidden layers (default: relu)")
    add("--optimizer", choices=("adam", "sgd"), help="optimizer (default: adam)")
    add("--learning-rate", type=rate, metavar="RATE", help="learning rate of the first step")
    decay = "share of a weight that a step removes, times the learning rate"
    add("--weight-decay", type=rate, metavar="SHARE", help=decay)
    add("--epochs", type=positive, help="largest number of passes over all rows")
    add("--batch-size", type=positive, metavar="ROWS", help="rows in a step")
    add("--patience", type=positive, metavar="EPOCHS", help="stop after this number of epochs without improvement")
    add("--members", type=positive, metavar="K", help="networks of a setting in a fold (default: 2; with --fast: 1)")
    parser.set_defaults(run=run)


def columns(text: str) -> list[str]:
    """Return names of columns that are separated by commas; a name with a comma is in double quotes."""
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        raise argparse.ArgumentTypeError(f"{text!r} does not name columns, as in A,B") from None


def run(args: argparse.Namespace) -> int:
    """Fit the table, print the report, save the model."""
    out = _validate_paths(args)
    from jaxmlp.models import load_model, save_model
    from jaxmlp.pipeline import describe_report, fit_table

    names = ("task", "drop", "seed", "fast", "hidden", "activation", "optimizer", "learning_rate", "weight_decay")
    names += ("epochs", "batch_size", "patience", "members", "checkpoint", "resume")
    options = {name: getattr(args, name) for name in names}
    with report_errors(args.file), _progress() as progress:
        with jax.enable_x64(True):  # a model of float64 needs it
            plan = None if args.plan is None else load_model(args.plan).plan
        if plan == {}:
            raise CommandError(f"--plan {args.plan}: the model has no plan; it was not made by jaxmlp train")
        result = fit_table(
            args.file, args.target, budget=max(args.budget - time.process_time(), 1.0), plan=plan, progress=progress,
            on_note=note, **options,
        )  # fmt: skip
    with report_errors(args.file, code=1):
        save_model(result.model, out)
        if args.predictions is not None:
            write_table(result.predictions, Path(args.predictions))
    command = " ".join(["jaxmlp predict", *map(_quote_file, (str(out), args.file))])
    if args.json:
        about = {"jaxmlp": __version__, "file": args.file, "model": str(out), "predict": command}
        about |= {"left_out": dict(result.model.recipe.left_out) if result.model.recipe else {}}
        about |= {"notes": list(result.notes), "plan": result.plan.to_json()}
        print_json(about | dict(result.report) | {"platform": platform(), "seconds": result.seconds})
    else:
        for line in (*describe_report(result.report), "", f"Model: {out}. To predict:", command):
            print_line(line)
    note(f"{count(result.report['networks'], 'network')}, {result.seconds:.1f} s")
    if args.plot:
        write_figure(_figure(result), args.plot)
    if result.report["interrupted"]:
        note("Interrupted: the best model so far is saved" + ("; --resume continues" if args.checkpoint else ""))
        return 130
    return 0


def _quote_file(name: str) -> str:
    """Return the name of a file as a word of a command: not as an option, but `-` is standard input."""
    return quote_word(f"./{name}" if name.startswith("-") and name != "-" else name)


def write_table(table: Any, path: Path) -> None:
    """Write a table as the ending of the path says."""
    import io

    from jaxmlp.storage.files import write_bytes

    content = io.BytesIO()
    if path.suffix == ".parquet":
        table.write_parquet(content)
    else:
        table.write_csv(content)
    write_bytes(path, content.getvalue())
    note(f"Predictions: {path}, {table.height} rows")


def validate_table_path(option: str, name: str, inputs: list[str]) -> Path:
    """Refuse, before the work, a table that could not be written after it, or would overwrite an input."""
    path = Path(name)
    if path.suffix not in (".csv", ".parquet"):
        raise CommandError(f"{option} {path}: the name must end in .csv or .parquet")
    if not path.absolute().parent.is_dir():
        raise CommandError(f"{option} {path}: no such directory")
    if any(path.resolve() == Path(file).resolve() for file in inputs if file != "-"):
        raise CommandError(f"{option} {path}: that is an input file")
    return path


def _validate_paths(args: argparse.Namespace) -> Path:
    """Refuse, before training, what would fail after it; return the path of the model."""
    validate_plot(args.plot)
    require("safetensors.numpy", extra="tables")
    if args.budget == 0:
        raise CommandError("--budget 0 leaves no time to train")
    if args.resume and args.checkpoint is None:
        raise CommandError("--resume needs --checkpoint DIR, the directory that holds the search")
    if not Path(args.file).name:
        raise CommandError(f"{args.file!r} is not a file")
    out = Path("model.safetensors" if args.file == "-" else Path(args.file).with_suffix(".safetensors").name)
    out = out if args.out is None else Path(args.out)
    if os.path.isdir(out) or not os.path.isdir(out.absolute().parent):
        raise CommandError(f"--out {out}: " + ("that is a directory" if os.path.isdir(out) else "no such directory"))
    if args.file != "-" and out.resolve() == Path(args.file).resolve():
        raise CommandError(f"--out {out}: that is the table")
    if args.predictions is not None:
        validate_table_path("--predictions", args.predictions, [args.file, str(out)])
    if args.checkpoint is not None:
        try:
            Path(args.checkpoint).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"--checkpoint {args.checkpoint}: {error.strerror}") from None
    return out


def _figure(result: Any) -> Any:
    """Return the figure of a report: targets and predictions of held-out rows are classes by index, or numbers."""
    from jaxmlp.plots import report_figure

    recipe, table = result.model.recipe, result.predictions
    columns = [table[name].to_list() for name in ("target", "prediction")]
    if recipe.classes:
        columns = [[recipe.classes.index(value) for value in column] for column in columns]
    title = f"{recipe.target}: {result.report['verdict']}"
    return report_figure(result.report, *columns, classes=recipe.class_names() or None, title=title)


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr, if that is a terminal."""
    with require("tqdm", extra="tables").tqdm(total=100, unit="%", disable=None) as bar:
        yield lambda share: bar.update(round(100 * share) - bar.n)
