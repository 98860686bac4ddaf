"""`jaxmlp export MODEL -o FILE`: the prediction of a model as one file that JAX alone can run."""

import argparse
import re

import jax

from jaxmlp._validation import require
from jaxmlp.cli.common import CommandError, Commands, note, print_json, print_line, validate_output
from jaxmlp.cli.errors import report_errors
from jaxmlp.cli.process import defer_ctrl_c
from jaxmlp.export import PLATFORMS
from jaxmlp.storage.files import write_bytes

_PROGRAM = re.compile(rb"ML\xefR.StableHLO", re.DOTALL)  # How the program inside an exported file begins.


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        description="Write the prediction of a model as StableHLO that JAX runs without this package, for any number "
        "of rows. Its inputs are printed, in order: numbers in their unit, levels and missing values as 0 or 1.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model that `jaxmlp train` wrote")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help="the file to write")
    parser.add_argument(
        "--platforms",
        type=_platforms,
        default=("cpu", "cuda", "tpu"),
        help="platforms to run on, of cpu, cuda, rocm, tpu",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load, export, write."""
    require("flatbuffers", extra="export")
    out = validate_output("-o", args.out, inputs={args.model: "the model to read"})
    if out.exists() and not _PROGRAM.search(out.read_bytes()):
        raise CommandError(f"-o {out}: the file exists and is no exported model; choose another name, or delete it")
    from jaxmlp.models import load_model
    from jaxmlp.models.export import export_model

    with jax.enable_x64(True), report_errors(args.model):  # a model of float64 needs it; the others stay float32
        model = load_model(args.model)
        exported = export_model(model, platforms=args.platforms)
    defer_ctrl_c()
    with report_errors(args.model, code=1):
        write_bytes(out, bytes(exported.serialize()))
    group, recipe = model.groups[0], model.recipe
    names = [f"x{k + 1}" for k in range(group.columns)] if recipe is None else recipe.input_names()
    classes = [] if recipe is None else recipe.class_names()
    if args.json:
        print_json({"file": args.out, "platforms": list(args.platforms), "inputs": names, "classes": classes})
        return 0
    for name in names:
        print_line(name)
    if classes:
        note(f"Outputs: the probabilities of {', '.join(classes)}")
    note(f"Exported: {out}, {out.stat().st_size} bytes, for {', '.join(args.platforms)}. To run it, with JAX alone:")
    dtype = group.params[0].w.dtype
    note(f"  jax.export.deserialize(open({str(out)!r}, 'rb').read()).call(x)  # x (n, {len(names)}), {dtype}")
    return 0


def _platforms(text: str) -> tuple[str, ...]:
    platforms = tuple(text.split(","))
    if not set(platforms) <= set(PLATFORMS):
        raise argparse.ArgumentTypeError(f"{text!r} does not name platforms; they are {', '.join(PLATFORMS)}")
    return platforms
