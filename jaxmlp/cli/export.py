"""`jaxmlp export MODEL -o FILE`: the prediction as one file that JAX alone can run, here or on another machine."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmlp._validation import require
from jaxmlp.cli.common import CommandError, note, print_json
from jaxmlp.cli.tables import refusing
from jaxmlp.export import PLATFORMS, export_predict
from jaxmlp.models import Model, load_model
from jaxmlp.storage.files import write_bytes
from jaxmlp.tables.columns import Number, OneHot


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        help="a model's prediction as one file for CPU, CUDA and TPU",
        description="Write the prediction of a model as StableHLO that JAX runs without this package, for any number "
        "of rows. Its inputs are printed, in order: numbers in their own unit, levels and gaps as 0 or 1.",
    )
    parser.add_argument("model", metavar="MODEL", help="what `jaxmlp train` wrote")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help="the file to write")
    parser.add_argument(
        "--platforms", type=_platforms, default=("cpu", "cuda", "tpu"), help="of cpu, cuda, rocm and tpu (cpu,cuda,tpu)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load, export, write."""
    require("flatbuffers", extra="export")
    out = Path(args.out)
    if not out.absolute().parent.is_dir():
        raise CommandError(f"-o {out}: no such directory")
    if out.resolve() == Path(args.model).resolve():
        raise CommandError(f"-o {out}: that is the model to read")
    with jax.enable_x64(True):  # a model of float64 needs it; the others stay as they are
        model = refusing(load_model, args.model)
        names: list[str] = [f"x{k + 1}" for k in range(model.sizes[0])]
        scaling: dict[str, Any] = {}
        if model.recipe is not None:
            names, means, scales = map(list, zip(*_inputs(model), strict=True))
            scaling = {"x_mean": np.array(means), "x_scale": np.array(scales)}
            scaling |= {"y_mean": model.recipe.center, "y_scale": model.recipe.scale}
        exported = export_predict(
            model.params, activation=model.activation, criterion=model.criterion, platforms=args.platforms, **scaling
        )
        refusing(write_bytes, out, exported.serialize(), code=1)
    classes = [] if model.recipe is None else [str(each) for each in model.recipe.classes or ()]
    if args.json:
        print_json({"file": args.out, "platforms": list(args.platforms), "inputs": names, "classes": classes})
        return 0
    for name in names:
        print(name)
    if classes:
        note(f"Outputs: the probabilities of {', '.join(classes)}")
    note(f"Exported: {out}, {out.stat().st_size} bytes, for {', '.join(args.platforms)}. To run it, with JAX alone:")
    note(f"  jax.export.deserialize(open({str(out)!r}, 'rb').read()).call(x)  # x (n, {len(names)}), {_dtype(model)}")
    return 0


def _inputs(model: Model) -> Iterator[tuple[str, float, float]]:
    """The name of each of the network's inputs, and what it is centred and divided by."""
    assert model.recipe is not None
    for column in model.recipe.columns:
        if isinstance(column, Number):
            yield column.name, column.center, column.scale
            if column.gaps:
                yield f"{column.name} is missing", 0.0, 1.0
        elif isinstance(column, OneHot):
            for level in column.levels:
                yield f"{column.name} is {'missing' if level is None else level}", 0.0, 1.0
        else:
            yield f"{column.name} is missing", 0.0, 1.0


def _dtype(model: Model) -> str:
    return str(model.params[0].w.dtype)


def _platforms(text: str) -> tuple[str, ...]:
    platforms = tuple(text.split(","))
    if not set(platforms) <= set(PLATFORMS):
        raise argparse.ArgumentTypeError(f"{text!r} does not name platforms, some of {', '.join(PLATFORMS)}")
    return platforms
