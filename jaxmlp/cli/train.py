"""`jaxmlp train FILE --target COLUMN`: a model of a table, and how good it is on rows it has not seen."""

import argparse
import functools
from typing import Any

import jax
import numpy as np

from jaxmlp.cli.common import CommandError, key_seed, note, print_json
from jaxmlp.network import forward, init_params
from jaxmlp.tables import TableError, learn_recipe, load_table, split_table
from jaxmlp.training import train

_HIDDEN, _EPOCHS, _LEARNING_RATE = 32, 5000, 0.02


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train on a table of your own",
        description="Train a network that predicts a column of numbers from the others, and measure it on 10 % of the "
        "rows, kept aside.",
    )
    parser.add_argument("file", metavar="FILE", help="a CSV file with a header line, or a Parquet file")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument("--seed", type=key_seed, default=0, help="of the split and the weights (0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, split, train, report."""
    frame = _checked(load_table, args.file)
    named = functools.partial(_checked, prefix=f"{args.file}: ")
    rows, aside = named(split_table, frame, args.target, fractions=(0.1,), seed=args.seed, task="regression")
    recipe = named(learn_recipe, frame, args.target, task="regression", rows=rows)
    x, notes = named(recipe.inputs, frame)
    y, _ = named(recipe.targets, frame)
    x, y, x_test, y_test = x[rows], y[rows], x[aside], recipe.decode(y[aside])["prediction"].to_numpy()
    constant = [name for name, reason in recipe.left_out if reason == "constant"]
    for line in recipe.describe() + notes:
        note(line)
    n, features = x.shape
    columns = "1 feature" if features == 1 else f"{features} features"
    note(f"{args.file}: {n} rows to train on, {len(y_test)} kept aside (seed {args.seed}), {columns}")

    params = init_params(jax.random.key(args.seed), (features, _HIDDEN, 1), w_init=jax.nn.initializers.he_normal())
    weights = np.full(n, 1 / n)
    params, losses = train(params, x, y, _LEARNING_RATE, weights, epochs=_EPOCHS)
    losses = np.asarray(losses)
    predictions = recipe.decode(forward(params, x_test))["prediction"].to_numpy()
    rmse, rmse_of_mean = _rmse(predictions, y_test), _rmse(recipe.center, y_test)
    if args.json:
        result = {"file": args.file, "target": args.target, "seed": args.seed}
        result |= {"rows": n, "rows_aside": len(y_test), "features": features}
        result |= {"constant": constant, "losses": losses.tolist(), "rmse": rmse, "rmse_of_mean": rmse_of_mean}
        print_json(result)
    if not np.isfinite(losses).all():
        epoch = int(np.argmin(np.isfinite(losses))) + 1
        raise CommandError(f"{args.file}: training diverged; the loss is not finite from epoch {epoch} on", code=1)
    if args.json:
        return 0
    for epoch in range(_EPOCHS // 10, _EPOCHS + 1, _EPOCHS // 10):
        print(f"Epoch: {epoch} Loss: {losses[epoch - 1]:.6f}")
    print(f"\nRMSE of {args.target} on the rows kept aside: {rmse:.4g}; of guessing the mean: {rmse_of_mean:.4g}")
    if not rmse < rmse_of_mean:
        note("That is no better than guessing: these columns may not tell the target")
    return 0


def _checked(function: Any, *args: Any, prefix: str = "", **options: Any) -> Any:
    try:
        return function(*args, **options)
    except TableError as error:
        raise CommandError(f"{prefix}{error}") from None


def _rmse(predictions: Any, targets: np.ndarray) -> float:
    return float(np.sqrt(np.mean((predictions - targets) ** 2)))
