"""`jaxmlp train FILE --target COLUMN`: a model of a table, and how good it is on rows it was not trained on."""

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import jax

from jaxmlp import __version__
from jaxmlp._validation import count, escape, require
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.cli import distributed
from jaxmlp.cli.common import (
    CommandError,
    Commands,
    amount,
    key_seed,
    note,
    platform,
    positive,
    print_json,
    print_line,
    raise_problems,
    validate_output,
    validate_plot,
    widths,
    write_figure,
    writing,
)
from jaxmlp.cli.errors import note_warnings, report_errors
from jaxmlp.cli.process import INTERRUPTED, defer_ctrl_c, is_interrupted
from jaxmlp.storage.files import StorageError
from jaxmlp.tables.messages import quote_word

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure
    from tqdm import tqdm

    from jaxmlp.pipeline import TableResult

BUDGET = 60.0
PAGE_SECONDS = 2.0  # Of the budget, for the page of the report.
LARGE_FILE = 10**8  # Bytes of a file whose reading shows a progress bar.
TABLE_ENDINGS = (".csv", ".parquet")


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        description="Train networks that predict a column of a table from the others, cross-validate several settings, "
        "compare them with a linear model, boosted trees and a constant, and save the best as a model. "
        "A hyperparameter that is given is fixed in the search.",
    )
    formats = "a text file with a header line (CSV), JSON lines, Parquet, Arrow or Feather, Excel, or - for stdin"
    parser.add_argument("file", metavar="FILE", help=formats)
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    tasks = "what the target is (default: classification of text and of two values, regression of other numbers)"
    parser.add_argument("--task", choices=("regression", "classification", "counts"), help=tasks)
    parser.add_argument("--drop", type=columns, action="extend", default=[], metavar="A,B", help="columns not to use")
    parser.add_argument("--out", metavar="MODEL", help="model to write (default: the table's name with .safetensors)")
    parser.add_argument("--predictions", metavar="FILE", help="write predictions of held-out rows (.csv, .parquet)")
    parser.add_argument("--plot", metavar="FILE", help="write a figure of the report (.png, .svg, .pdf)")
    parser.add_argument("--report", metavar="FILE", help="write the report as one page to send (.html)")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument("--seed", type=key_seed, default=0, help="random seed (default: 0)")
    add_reading_options(parser, "decided for each column")
    add = parser.add_argument_group("columns and rows").add_argument
    add("--keep", type=columns, action="extend", default=[], metavar="A,B", help="columns to use like all others")
    words = "more words or numbers that are missing values"
    add("--missing", type=columns, action="extend", default=[], metavar="X,Y", help=words)
    levels = "largest number of levels of a column with an input each (default: 50)"
    add("--max-levels", type=positive, default=50, metavar="N", help=levels)
    add("--group", metavar="COLUMN", help="rows with the same value stay in one fold")
    add("--time", metavar="COLUMN", help="test on the fifth of the rows that are the latest")
    add = parser.add_argument_group("search").add_argument
    limit = f"time limit in seconds, start-up included (default: {BUDGET:g})"
    add("--budget", type=amount, default=BUDGET, metavar="SECONDS", help=limit)
    add("--fast", action="store_true", help="train one setting, and measure it on a fifth of the rows")
    add("--plan", metavar="MODEL", help="repeat the search of a model: with the same seed, the same bits")
    add("--checkpoint", metavar="DIR", help="keep the search in this directory")
    add("--resume", action="store_true", help="continue the search that --checkpoint holds")
    add = parser.add_argument_group("hyperparameters (a given one is fixed in the search)").add_argument
    add(
        "--hidden",
        type=widths,
        metavar="64,64",
        help="hidden layer widths; 0 for a linear model (default: 128,128 and 256 are tried)",
    )
    add("--activation", choices=ACTIVATIONS, help="activation of the hidden layers (default: gelu)")
    add("--optimizer", choices=("adam", "sgd"), help="optimizer (default: adam)")
    add("--learning-rate", type=amount, metavar="RATE", help="largest learning rate")
    decay = "share of a weight that a step removes, times the learning rate"
    add("--weight-decay", type=amount, metavar="SHARE", help=decay)
    add("--epochs", type=positive, help="largest number of passes over all rows")
    add("--batch-size", type=positive, metavar="ROWS", help="rows in a step")
    add(
        "--patience",
        type=positive,
        metavar="EPOCHS",
        help="epochs without improvement after which training stops (default: never)",
    )
    add("--members", type=positive, metavar="K", help="save K networks, trained on all rows (default: an ensemble)")
    distributed.add_options(parser)
    parser.set_defaults(run=run)


def add_reading_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options that say how a file is read; by default, numbers and dates are read as `default` says."""
    add = parser.add_argument_group("file").add_argument
    add("--separator", metavar="CHARACTER", help="character between two fields, or tab (default: the one that fits)")
    add("--sheet", metavar="NAME", help="sheet of a spreadsheet (default: the first)")
    add("--decimal", choices=(".", ","), metavar="MARK", help=f"decimal mark, . or , (default: {default})")
    orders = f"order of day, month and year in dates (default: {default})"
    add("--date-order", choices=("dmy", "mdy", "ymd"), help=orders)


def columns(text: str) -> list[str]:
    """Return names of columns that are separated by commas; a name with a comma is in double quotes."""
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        raise argparse.ArgumentTypeError(f"{text!r} does not name columns, as in A,B") from None


def run(args: argparse.Namespace) -> int:
    """Fit the table, print the report, save the model."""
    out = _validate_paths(args)
    distributed.start(args)
    from jaxmlp.models import load_model, save_model
    from jaxmlp.models.tables import round_predictions
    from jaxmlp.pipeline import fit_table

    names = ("task", "drop", "seed", "fast", "hidden", "activation", "optimizer", "learning_rate", "weight_decay")
    names += ("epochs", "batch_size", "patience", "members", "checkpoint", "resume", "separator", "sheet", "keep")
    names += ("missing", "decimal", "date_order", "max_levels", "group", "time")
    options = {name: getattr(args, name) for name in names}
    bars = reading_progress(args.file), _progress()
    with (
        report_errors(args.file), distributed.waiting_for_others(), note_warnings(), bars[0] as reading,
        bars[1] as progress,
    ):  # fmt: skip
        with jax.enable_x64(True):  # a model of float64 needs it
            plan = None if args.plan is None else load_model(args.plan).plan
        if plan == {}:
            raise CommandError(f"--plan {args.plan}: the model has no plan; it was not made by jaxmlp train")
        budget = args.budget - time.process_time() - (PAGE_SECONDS if args.report else 0)
        result = fit_table(
            args.file, args.target, budget=max(budget, 1.0), plan=plan, progress=progress, reading_progress=reading,
            on_note=note if distributed.is_first() else lambda text: None, **options,
        )  # fmt: skip
    if not distributed.is_first():
        return 0
    # The files first: stdout may be closed. And the report whatever happens to the files.
    problems: list[str] = []
    with writing(problems):
        save_model(result.model, out)
    is_saved = not problems
    if args.predictions is not None:
        with writing(problems):
            recipe = result.model.recipe
            assert recipe is not None
            write_table(round_predictions(recipe, result.predictions), Path(args.predictions))
    note(f"{count(result.report['networks'], 'network')}, {result.seconds:.1f} s")
    if args.plot:
        with writing(problems):
            write_figure(_figure(result), args.plot)
    predict = " ".join(["jaxmlp predict", *map(_quote_file, (str(out), args.file))]) if is_saved else None
    if args.report:
        with writing(problems):
            _write_page(args, result, predict)
    _print_report(args, result, out, predict)
    raise_problems(problems)
    if result.report["interrupted"] or is_interrupted():
        note("Interrupted: the best model so far is saved" + ("; --resume continues" if args.checkpoint else ""))
        return INTERRUPTED
    return 0


def _write_page(args: argparse.Namespace, result: "TableResult", predict: str | None) -> None:
    """Write the report as a page."""
    from jaxmlp.report import write_report

    command = " ".join(["jaxmlp", *map(quote_word, args.words)])
    write_report(result, args.report, table=args.file, command=command, predict=predict)
    note(f"Report: {args.report}")


def _print_report(args: argparse.Namespace, result: "TableResult", out: Path, predict: str | None) -> None:
    """Print the report, and the command to predict if the model is saved."""
    from jaxmlp.pipeline import describe_report

    if args.json:
        about = {"jaxmlp": __version__, "file": args.file, "model": predict and str(out), "predict": predict}
        about |= {"left_out": dict(result.model.recipe.left_out) if result.model.recipe else {}}
        about |= {"notes": list(result.notes), "plan": result.plan.to_json()}
        print_json(about | dict(result.report) | {"platform": platform(), "seconds": result.seconds})
    else:
        for line in describe_report(result.report):
            print_line(line)
        if predict is not None:
            for line in ("", f"Model: {out}. To predict:", predict):
                print_line(line)


def _quote_file(name: str) -> str:
    """Return the name of a file as a word of a command: not as an option, but `-` is standard input."""
    return quote_word(f"./{name}" if name.startswith("-") and name != "-" else name)


def write_table(table: "polars.DataFrame", path: Path) -> None:
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


def _validate_paths(args: argparse.Namespace) -> Path:
    """Refuse, before training, what would fail after it; return the path of the model."""
    from jaxmlp.models.files import is_model

    require("safetensors.numpy", extra="tables")
    if args.budget == 0:
        raise CommandError("--budget 0 leaves no time to train")
    if args.resume and args.checkpoint is None:
        raise CommandError("--resume needs --checkpoint DIR, the directory that holds the search")
    if not Path(args.file).name:
        raise CommandError(f"{args.file!r} is not a file")
    out = Path("model.safetensors" if args.file == "-" else Path(args.file).with_suffix(".safetensors").name)
    if args.out is None and args.file != "-" and not os.path.exists(args.file):
        return out  # Reading the table says what is wrong.
    out = validate_output("--out", str(out) if args.out is None else args.out, inputs={args.file: "the table"})
    if out.exists() and not is_model(out):
        raise CommandError(f"--out {out}: the file exists and is no jaxmlp model; choose another name, or delete it")
    inputs = {args.file: "an input file", str(out): "the model to write"}
    inputs |= {} if args.plan is None else {args.plan: "an input file"}
    if args.predictions is not None:
        validate_output("--predictions", args.predictions, endings=TABLE_ENDINGS, inputs=inputs)
    validate_plot(args.plot, inputs)
    if args.report is not None:
        validate_output("--report", args.report, endings=(".html", ".htm"), inputs=inputs)
        require("matplotlib", extra="plot")
    if args.checkpoint is not None:
        _prepare_checkpoint(Path(args.checkpoint), args.resume)
    return out


def _prepare_checkpoint(directory: Path, resume: bool) -> None:
    """Make the directory of the search, which may hold one only if that is resumed."""
    from jaxmlp.selection.search import holds_search, validate_checkpoint

    if not resume and holds_search(directory):
        raise CommandError(
            f"--checkpoint {directory} holds a search already; add --resume to continue it, or delete it"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--checkpoint {directory}: {error.strerror}") from None
    try:
        validate_checkpoint(directory, resume=resume)
    except StorageError as error:
        raise CommandError(f"--checkpoint: {error}") from None


def _figure(result: "TableResult") -> "Figure":
    """Return the figure of a report: targets and predictions of held-out rows are classes by index, or numbers."""
    from jaxmlp.plots import report_figure

    recipe, table = result.model.recipe, result.predictions
    assert recipe is not None
    columns = [table[name].to_list() for name in ("target", "prediction")]
    if recipe.classes:
        columns = [[recipe.classes.index(value) for value in column] for column in columns]
    title = f"{recipe.target}: {result.report['verdict']}"
    return report_figure(result.report, *columns, classes=recipe.class_names() or None, title=title)


@contextmanager
def reading_progress(file: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr for a large file, if that is a terminal."""
    size = os.path.getsize(file) if os.path.isfile(file) else 0
    if size < LARGE_FILE:
        yield lambda share: None
        return
    with _bar(f"Reading {escape(file)}") as bar:

        def show(share: float) -> None:
            bar.update(round(100 * share) - bar.n)
            if share >= 1:
                bar.close()

        yield show


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr, if that is a terminal; from its first update on, Ctrl-C ends the search and no more."""
    with _bar("Training") as bar:
        stops = []

        def show(share: float) -> None:
            defer_ctrl_c()  # what follows the search must not be cut short
            bar.update(round(100 * share) - bar.n)
            if is_interrupted() and not stops:  # once: networks that are trained again afterwards go on
                stops.append(share)
                raise KeyboardInterrupt

        yield show


def _bar(description: str) -> "tqdm":
    """Return a bar for percent that appears on stderr with its first update, if that is a terminal."""
    disable = None if sys.stderr and distributed.is_first() else True
    return require("tqdm", extra="tables").tqdm(total=100, unit="%", disable=disable, delay=1e-9, desc=description)
