"""One training, judged by a tenth of the rows: what `jaxmlp train --fast` does."""

import argparse
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from jaxmlp import __version__, plots
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.cli.common import CommandError, finite, note, platform, print_json, run_once, write_figure
from jaxmlp.cli.tables import (
    CRITERIA,
    Prepared,
    arrays,
    better_than_guessing,
    predictions,
    refusing,
    score_lines,
    scores,
)
from jaxmlp.ensembles import init_ensemble
from jaxmlp.fitting import fit
from jaxmlp.fitting.checkpoints import CheckpointError
from jaxmlp.fitting.optimizers import OPTIMIZERS
from jaxmlp.models import Model, mean_and_std, save_model
from jaxmlp.network import Params, init_params
from jaxmlp.storage.files import StorageError
from jaxmlp.tables import Recipe

FRACTIONS = (0.1, 0.1)  # of the rows: for early stopping, and kept aside
LEARNING_RATES, WEIGHT_DECAY = {"adam": 5e-3, "sgd": 1e-2}, 0.03
# The options of a single training, and their defaults.
DEFAULTS = {"optimizer": "adam", "batch_size": None, "epochs": 1000, "patience": 50, "members": None}
DEFAULTS |= {"checkpoint": None, "resume": False}


class Trained(NamedTuple):
    """What was trained."""

    model: Model
    losses: np.ndarray  # (epochs,), or (members, epochs)
    validation_losses: np.ndarray  # the same
    best_epochs: list[int]
    stopped: list[str]  # why, as in `FitResult`
    seconds: float


def run(args: argparse.Namespace, table: Prepared, out: Path) -> int:
    """Train, report, save."""
    return _report(args, table, _fit(args, table), out)


def _fit(args: argparse.Namespace, table: Prepared) -> Trained:
    recipe, (rows, validation, aside) = table.recipe, table.parts
    sizes = (recipe.n_inputs, *args.hidden, recipe.n_outputs)
    learning_rate = LEARNING_RATES[args.optimizer] if args.learning_rate is None else args.learning_rate
    weight_decay = WEIGHT_DECAY if args.weight_decay is None else args.weight_decay
    n = int(rows.sum())
    batch_size = min(args.batch_size or default_batch_size(n), n)
    if table.untold:
        note(f"Rows without a target, left out: {table.untold}")
    note(f"Rows: {n} to train on, {validation.sum()} for early stopping, {aside.sum()} kept aside (seed {args.seed})")
    network = "-".join(map(str, sizes)) + f", {args.activation}" * bool(args.hidden)
    network = network if args.members is None else f"{args.members} networks {network}"
    note(f"Training {network} by {args.optimizer}, learning rate {learning_rate:g}, batches of {batch_size}")

    checkpoint = None if args.checkpoint is None else Path(args.checkpoint) / "checkpoint.safetensors"
    if args.resume and checkpoint is not None and not checkpoint.exists():
        note(f"{checkpoint}: nothing to go on from; starting anew")
    start = time.perf_counter()
    params, key = _draw(args, sizes, recipe, table.y[rows])
    options: dict[str, Any] = {
        "key": key,
        "optimizer": OPTIMIZERS[args.optimizer](learning_rate, weight_decay=weight_decay),
        "epochs": args.epochs,
        "batch_size": batch_size,
        "validation": (table.x[validation], table.y[validation]),
        "patience": args.patience,
        "activation": ACTIVATIONS[args.activation],
        "criterion": CRITERIA[recipe.task],
        "progress": True,
        "checkpoint": checkpoint,
        "resume": args.resume,
    }
    if args.resume and checkpoint is not None and checkpoint.exists():
        note(f"Going on from {checkpoint}")
    try:
        result = fit(params, table.x[rows], table.y[rows], **options)
    except StorageError as error:
        raise CommandError(str(error), code=2 if isinstance(error, CheckpointError) else 1) from None
    stopped = [result.stopped] if isinstance(result.stopped, str) else list(result.stopped)
    best = np.atleast_1d(result.best_epoch).tolist()
    losses, epochs = np.asarray(result.history.loss), result.history.loss.shape[-1]
    if "interrupted" in stopped and not all(best):
        raise KeyboardInterrupt  # nothing to keep yet
    params = result.params
    if "not finite" in stopped:
        sound = np.array([reason != "not finite" for reason in stopped])
        if not sound.any():
            raise CommandError(
                f"training diverged; the loss is not finite in epoch {epochs}: try a smaller --learning-rate", code=1
            )
        note(f"Diverged and left out: {(~sound).sum()} of {len(sound)} networks; try a smaller --learning-rate")
        params = jax.tree.map(lambda leaf: leaf[sound], params)
        best = [epoch for epoch, good in zip(best, sound, strict=True) if good]
    training = {
        "jaxmlp": __version__,
        "table": "-" if args.file == "-" else Path(args.file).name,
        "seed": args.seed,
        "rows": n,
        "rows_validation": int(validation.sum()),
        "rows_aside": int(aside.sum()),
        "optimizer": args.optimizer,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "epochs": epochs,
        "best_epoch": best if args.members else best[0],
    }
    model = Model(params, ACTIVATIONS[args.activation], CRITERIA[recipe.task], recipe, training)
    seconds = time.perf_counter() - start
    return Trained(model, losses, np.asarray(result.history.validation_loss), best, stopped, seconds)


def _report(args: argparse.Namespace, table: Prepared, trained: Trained, out: Path) -> int:
    """Save the model, print how good it is and how to use it, draw it; return the exit code."""
    rows, _, aside = table.parts
    model, y = trained.model, table.y[aside]
    mean, std = arrays(mean_and_std(model, table.x[aside]))
    found = scores(table.recipe, mean, y, table.y[rows])
    model = replace(model, training={**model.training, "scores": finite(found)})
    refusing(save_model, model, out, code=1)
    command = shlex.join(["jaxmlp", "predict", str(out), args.file])
    interrupted = "interrupted" in trained.stopped
    if args.json:
        result = {"file": args.file, "target": args.target, "task": table.recipe.task}
        result |= {"features": len(table.recipe.columns), "left_out": dict(table.recipe.left_out)}
        result |= {**trained.model.training, **found} | {"stopped": trained.stopped, "losses": trained.losses.tolist()}
        result |= {"validation_losses": trained.validation_losses.tolist(), "platform": platform()}
        print_json(result | {"seconds": trained.seconds, "model": str(out), "predict": command})
    note(_ending(args, trained))
    if args.plot:
        title = f"{args.target}: {trained.losses.shape[-1]} epochs, {aside.sum()} rows kept aside, seed {args.seed}"
        curves = (trained.losses, trained.validation_losses, trained.best_epochs)
        write_figure(plots.fit_figure(*curves, **_shown(table.recipe, y, mean, std), title=title), args.plot)
    if not better_than_guessing(table.recipe, found):
        note("That is no better than guessing: these columns may not tell the target")
    if not args.json:
        for line in score_lines(table.recipe, found, int(aside.sum())):
            print(line)
        print(f"Model: {out}. To predict:\n{command}")
    return 130 if interrupted else 0


def _shown(recipe: Recipe, y: np.ndarray, mean: np.ndarray, std: np.ndarray | None) -> dict[str, Any]:
    """Targets and predictions as `fit_figure` draws them."""
    if recipe.classes:
        names = [name.removeprefix("probability_") for name in recipe.output_columns()[:-1]]
        return {"targets": y.argmax(axis=1), "predictions": mean.argmax(axis=1), "classes": names}
    targets, table = recipe.decode(y)["prediction"], predictions(recipe, mean, std)
    return {
        "targets": targets,
        "predictions": table["prediction"],
        "deviation": None if std is None else table["std"],
    }


def _ending(args: argparse.Namespace, trained: Trained) -> str:
    epochs, best = trained.losses.shape[-1], trained.best_epochs
    of = f"epoch {best[0]}" if len(best) == 1 else f"epochs {min(best)} to {max(best)}"
    words = f"Best on the rows for early stopping in {of} of {epochs}; {trained.seconds:.1f} s"
    if "interrupted" in trained.stopped:
        resume = "; --resume goes on" if args.checkpoint else ""
        return f"{words}. Interrupted: the best model so far is kept{resume}"
    still = "epochs" in trained.stopped and max(best) > 0.9 * args.epochs
    return words + ("; it was still improving: more --epochs may help" if still else "")


def default_batch_size(rows: int) -> int:
    """Rows a step: 32, and of many rows a 256th, as a power of two up to 4096."""
    return min(max(32, 1 << max(rows // 256 - 1, 0).bit_length()), 4096)


def _draw(args: argparse.Namespace, sizes: tuple[int, ...], recipe: Recipe, y: np.ndarray) -> tuple[Params, Array]:
    """The first weights, and the key of the batches, that belong to a seed."""

    def draw(seed: Array, mean: Array) -> tuple[Params, Array]:
        params_key, key = jax.random.split(jax.random.key(seed))
        w_init = jax.nn.initializers.he_normal()
        if args.members is None:
            params = init_params(params_key, sizes, w_init=w_init)
        else:
            params = init_ensemble(params_key, sizes, args.members, w_init=w_init)
        # Rates start at the mean, not at 1: a thousand visits a day would take long to reach.
        return (*params[:-1], params[-1]._replace(b=params[-1].b + mean)), key

    mean = np.log(np.maximum(y.mean(), 1e-3)) if recipe.task == "counts" else 0.0
    return run_once(draw, np.uint32(args.seed), np.float32(mean))
