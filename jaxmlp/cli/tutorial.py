"""`jaxmlp tutorial`, and `jaxmlp` alone: train the tutorial's network and print its loss."""

import argparse
import os
import secrets
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jaxmlp
from jaxmlp.activations import ACTIVATIONS, Activation
from jaxmlp.cli import common
from jaxmlp.cli.common import CommandError, compile_ahead, note
from jaxmlp.ensembles import init_ensemble, train_ensemble
from jaxmlp.network import Layer, Params, forward, init_params
from jaxmlp.storage.files import write_bytes
from jaxmlp.storage.json import JsonObject
from jaxmlp.training import train
from jaxmlp.tutorial import EPOCHS, LEARNING_RATE, SIZES, Scalar, Weights, init_weights, synthetic_regression, tutorial

_TRUE_COEFFICIENTS = (0.2, -1.3, -0.5)
_HIDDEN = SIZES[1:-1]


def add_parser(commands: common.Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "tutorial",
        description="Train the tutorial's network: 100 rows, 3 features, a hidden layer of 32, sum of squared errors.",
    )
    add = parser.add_argument
    add("--seed", type=common.key_seed, help="random seed of data and weights (default: a new one)")
    add("--epochs", type=common.not_negative, default=EPOCHS, help="gradient steps, each over all rows (default: 200)")
    add("--learning-rate", type=common.amount, default=LEARNING_RATE, help="learning rate (default: 1e-4)")
    hidden = "hidden layer widths, e.g. 64,64; 0 for a linear model (default: 32)"
    add("--hidden", type=common.widths, default=_HIDDEN, metavar="WIDTHS", help=hidden)
    add("--members", type=common.positive, metavar="K", help="train K networks, each from other initial weights")
    add("--activation", choices=ACTIVATIONS, default="relu", help="activation of hidden layers (default: relu)")
    add("--every", type=common.positive, default=10, metavar="K", help="print the loss every K epochs (default: 10)")
    add("--json", action="store_true", help="print one JSON object instead of text")
    add("--plot", metavar="FILE", help="plot the loss and the predictions to FILE (.png, .svg or .pdf)")
    add("--html", metavar="FILE", help="write a page that shows and explains every number to FILE, and open it")
    add("--no-open", action="store_true", help="do not open the page in a browser")
    parser.set_defaults(run=run)


class _Trained(NamedTuple):
    """The results for a network; with --members, all but `y` and the times have a leading member axis."""

    y: np.ndarray
    losses: np.ndarray  # (epochs,)
    slopes: np.ndarray  # (features,)
    predictions: np.ndarray  # (n, 1)
    compile_seconds: float
    run_seconds: float


def run(args: argparse.Namespace) -> int:
    """Train, print, plot."""
    common.validate_plot(args.plot)
    _validate_page(args)
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    sizes = (3, *args.hidden, 1)
    trained = (_train_network if args.members is None else _train_members)(args, sizes, seed)
    losses, slopes, predictions, slope_spread, prediction_spread = *trained[1:4], None, None
    if args.members is not None:
        slopes, slope_spread = slopes.mean(0), slopes.std(0)
        predictions, prediction_spread = predictions.mean(0), predictions.std(0)

    problems: list[str] = []
    if args.plot:  # before the loss is printed, because stdout may be closed
        from jaxmlp.plots import training_figure

        title = "-".join(map(str, sizes)) + f", {args.epochs} epochs, seed {seed}"
        title += "" if args.members is None else f", {args.members} networks"
        with common.writing(problems):
            figure = training_figure(losses, trained.y, predictions, prediction_spread, title=title)
            common.write_figure(figure, args.plot)
    if args.html:
        with common.writing(problems):
            _write_page(args, sizes, seed)
    if args.json:
        result = {"seed": seed, "epochs": args.epochs, "learning_rate": args.learning_rate, "hidden": args.hidden}
        result |= {"activation": args.activation, "members": args.members, "losses": losses.tolist()}
        result |= {"true_coefficients": _TRUE_COEFFICIENTS, "mean_slopes": slopes.tolist()}
        result |= {} if slope_spread is None else {"slope_spread": slope_spread.tolist()}
        result |= {"platform": common.platform(), "compile_seconds": trained.compile_seconds}
        common.print_json(result | {"run_seconds": trained.run_seconds})
    else:
        _print_losses(losses, args.every)
        _print_slopes(slopes, slope_spread)
    if args.hidden != _HIDDEN:
        note("Initial weights: he_normal (the tutorial's standard normal weights suit one hidden layer of 32 only)")
    note(f"Device: {common.platform()}")
    note(f"Seed: {seed}; compile {trained.compile_seconds:.2f} s, run {trained.run_seconds * 1e3:.2f} ms")
    finite = np.isfinite(np.atleast_2d(losses)).all(axis=0)
    if not finite.all():
        epoch = int(np.argmin(finite)) + 1
        problems.append(f"the loss is not finite from epoch {epoch} on; try a smaller --learning-rate")
    common.raise_problems(problems)
    note("To train on a table: jaxmlp train FILE --target COLUMN")
    return 0


def _validate_page(args: argparse.Namespace) -> None:
    if args.html is None:
        return
    common.validate_output("--html", args.html, endings=(".html", ".htm"), inputs={})
    if args.members is not None:
        raise CommandError("--html shows one network; leave out --members")


def _write_page(args: argparse.Namespace, sizes: tuple[int, ...], seed: int) -> None:
    """Write the page of the run, and open it in a browser unless there is no screen."""
    import webbrowser  # not needed to train, and slow to import

    from jaxmlp.page import build_page, record

    recording = record(*draw(seed, sizes), args.activation, args.learning_rate, args.epochs)
    path = Path(args.html).absolute()
    write_bytes(path, build_page(recording, page_options(args, seed), sizes).encode("utf-8"))
    note(f"Page: {args.html}")
    # A browser in the terminal would take the terminal away.
    has_screen = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not args.no_open and not (has_screen and webbrowser.open(path.as_uri())):
        note("No browser was found: open the page in one.")


def page_options(args: argparse.Namespace, seed: int) -> JsonObject:
    """Return what the page shows of the options, and the command that makes it again."""
    words = ["jaxmlp tutorial", f"--seed {seed}"]
    if args.hidden != _HIDDEN:
        words.append(f"--hidden {','.join(map(str, args.hidden)) or 0}")
    for name, default in (("activation", "relu"), ("learning_rate", LEARNING_RATE), ("epochs", EPOCHS)):
        if getattr(args, name) != default:
            words.append(f"--{name.replace('_', '-')} {getattr(args, name)}")
    options = {"seed": seed, "activation": args.activation, "learning_rate": args.learning_rate}
    return options | {"command": " ".join([*words, "--html run.html"]), "version": jaxmlp.__version__}


def _train_network(args: argparse.Namespace, sizes: tuple[int, ...], seed: int) -> _Trained:
    start, activation = time.perf_counter(), ACTIVATIONS[args.activation]
    (x, y, params), drawing = compile_ahead(partial(_draw, sizes=sizes), np.uint32(seed), quick=True)
    program = partial(train, epochs=args.epochs, activation=activation)
    if (sizes, args.activation) == (SIZES, "relu"):
        program = partial(_train_as_tutorial, epochs=args.epochs)
    _, training = compile_ahead(program, params, x, y, args.learning_rate)
    _, measuring = compile_ahead(partial(_slopes_and_predictions, activation=activation), params, x, quick=True)
    x, y, params = drawing.result()(np.uint32(seed))
    program, measure = training.result(), measuring.result()
    compiled = time.perf_counter()
    params, losses = program(params, x, y, args.learning_rate)
    losses = np.asarray(losses)
    done = time.perf_counter()
    slopes, predictions = map(np.asarray, measure(params, x))
    return _Trained(np.asarray(y), losses, slopes, predictions, compiled - start, done - compiled)


def _train_members(args: argparse.Namespace, sizes: tuple[int, ...], seed: int) -> _Trained:
    start, activation = time.perf_counter(), ACTIVATIONS[args.activation]
    x, y, params = draw(seed, sizes, args.members)
    program = partial(train_ensemble, epochs=args.epochs, activation=activation)
    jax.block_until_ready(program(params, x, y, args.learning_rate))  # The first call compiles.
    compiled = time.perf_counter()
    params, losses = program(params, x, y, args.learning_rate)
    losses = np.asarray(losses)
    done = time.perf_counter()
    measure = jax.vmap(partial(_slopes_and_predictions, activation=activation), (0, None))
    slopes, predictions = map(np.asarray, common.run_once(measure, jax.tree.map(np.asarray, params), x))
    return _Trained(np.asarray(y), losses, slopes, predictions, compiled - start, done - compiled)


def draw(seed: int, sizes: tuple[int, ...] = SIZES, members: int | None = None) -> tuple[Array, Array, Params]:
    """Return the data x and y, and the initial network or ensemble, of a seed."""
    return common.run_once(partial(_draw, sizes=sizes, members=members), np.uint32(seed))


def _draw(seed: Array, *, sizes: tuple[int, ...], members: int | None = None) -> tuple[Array, Array, Params]:
    data_key, weights_key = jax.random.split(jax.random.key(seed))
    x, y = synthetic_regression(data_key)
    if sizes != SIZES:
        init = init_params(weights_key, sizes) if members is None else init_ensemble(weights_key, sizes, members)
        return x, y, init
    if members is None:
        return x, y, _layers(init_weights(weights_key))
    return x, y, _layers(jax.vmap(init_weights)(jax.random.split(weights_key, members)))


def _layers(weights: Weights) -> Params:
    w1, b1, w2, b2 = weights
    return Layer(w1, b1), Layer(w2, b2)


def _train_as_tutorial(
    params: Params, x: Array, y: Array, learning_rate: Scalar, *, epochs: int
) -> tuple[Params, Array]:
    (w1, b1), (w2, b2) = params
    weights, losses = tutorial((w1, b1, w2, b2), x, y, learning_rate, epochs)
    return _layers(weights), losses


def _slopes_and_predictions(params: Params, x: Array, *, activation: Activation) -> tuple[Array, Array]:
    """Return the mean change of the prediction when a feature increases by 1, (features,), and predictions (n, 1)."""

    def slope(step: Array) -> Array:
        upper, lower = (forward(params, x + side * step[None, :], activation=activation) for side in (0.5, -0.5))
        return jnp.mean(upper - lower)

    return jax.vmap(slope)(jnp.eye(x.shape[1], dtype=x.dtype)), forward(params, x, activation=activation)


def _print_losses(losses: np.ndarray, every: int) -> None:
    epochs = losses.shape[-1]
    for epoch in range(1, epochs + 1):
        if epoch % every == 0 or epoch == epochs:
            loss, band = losses[..., epoch - 1], ""
            if losses.ndim > 1:
                low, loss, high = np.quantile(loss, (0.05, 0.5, 0.95))
                band = f" (90 % of the networks: {low:.7g} to {high:.7g})"
            print(f"Epoch: {epoch} Loss: {loss:.7g}{band}")


def _print_slopes(slopes: np.ndarray, spread: np.ndarray | None) -> None:
    several = "" if spread is None else "s ± standard deviation"
    print(f"\nFeature  True coefficient  Mean slope of the network{several}")
    for k, (name, true) in enumerate(zip(("x1", "x2", "x3"), _TRUE_COEFFICIENTS, strict=True)):
        print(f"{name:7}  {true:16.1f}  {slopes[k]:25.2f}" + ("" if spread is None else f" ± {spread[k]:.2f}"))
