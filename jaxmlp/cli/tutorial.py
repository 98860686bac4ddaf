"""`jaxmlp tutorial`, and `jaxmlp` alone: watch the tutorial's network learn."""

import argparse
import secrets
import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp import plots
from jaxmlp.activations import ACTIVATIONS, Activation
from jaxmlp.cli.common import (
    CommandError,
    Compiling,
    key_seed,
    not_negative,
    note,
    platform,
    positive,
    print_json,
    rate,
    run_once,
    validate_plot,
    widths,
    write_figure,
)
from jaxmlp.ensembles import init_ensemble, train_ensemble
from jaxmlp.network import Layer, Params, forward, init_params
from jaxmlp.training import train
from jaxmlp.tutorial import EPOCHS, LEARNING_RATE, SIZES, Weights, init_weights, synthetic_regression

_TRUE_COEFFICIENTS = (0.2, -1.3, -0.5)
_HIDDEN = SIZES[1:-1]


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "tutorial",
        help="train the tutorial's network on fresh data and watch the loss fall",
        description="Train the tutorial's network: 100 rows, 3 features, a hidden layer of 32, sum of squared errors.",
    )
    parser.add_argument("--seed", type=key_seed, help="of data and weights; drawn afresh if not given")
    parser.add_argument("--epochs", type=not_negative, default=EPOCHS, help="gradient steps, each over all rows (200)")
    parser.add_argument(
        "--learning-rate", type=rate, default=LEARNING_RATE, metavar="RATE", help="size of a step (1e-4)"
    )
    parser.add_argument(
        "--hidden", type=widths, default=_HIDDEN, metavar="32,32", help="widths of the hidden layers; 0 for none (32)"
    )
    parser.add_argument(
        "--members", type=positive, metavar="K", help="train K networks at once, from other weights each"
    )
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="of the hidden layers (relu)")
    parser.add_argument("--every", type=positive, default=10, metavar="EPOCHS", help="between two lines of loss (10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--plot", metavar="FILE", help="draw loss and predictions to FILE (.png, .svg, .pdf)")
    parser.set_defaults(run=run)


class _Run(NamedTuple):
    """What was trained: one network, or many; then each has its spread, and losses a leading member axis."""

    targets: np.ndarray
    losses: np.ndarray
    response: np.ndarray
    predictions: np.ndarray
    response_spread: np.ndarray | None
    predictions_spread: np.ndarray | None
    compile_seconds: float
    run_seconds: float


def run(args: argparse.Namespace) -> int:
    """Train, print, draw."""
    validate_plot(args.plot)
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    sizes = (3, *args.hidden, 1)
    trained = (_train_one if args.members is None else _train_many)(args, sizes, seed)

    if args.json:
        result = {"seed": seed, "epochs": args.epochs, "learning_rate": args.learning_rate, "hidden": args.hidden}
        result |= {"activation": args.activation, "members": args.members, "losses": trained.losses.tolist()}
        result |= {"true_coefficients": _TRUE_COEFFICIENTS, "mean_response": trained.response.tolist()}
        if trained.response_spread is not None:
            result["response_spread"] = trained.response_spread.tolist()
        result |= {"platform": platform(), "compile_seconds": trained.compile_seconds}
        print_json(result | {"run_seconds": trained.run_seconds})
    else:
        _print_losses(trained.losses, args.every)
        _print_responses(trained.response, trained.response_spread)
    if args.plot:
        title = "-".join(str(size) for size in sizes) + f", {args.epochs} epochs, seed {seed}"
        title += "" if args.members is None else f", {args.members} networks"
        figure = plots.training_figure(
            trained.losses, trained.targets, trained.predictions, trained.predictions_spread, title=title
        )
        write_figure(figure, args.plot)

    if args.hidden != _HIDDEN:
        note("Weights: he_normal; the tutorial's standard normal weights fit its one layer of 32 only")
    note(f"Device: {platform()}")
    note(f"Seed: {seed}; compile {trained.compile_seconds:.2f} s, run {trained.run_seconds * 1e3:.2f} ms")
    finite = np.isfinite(np.atleast_2d(trained.losses)).all(axis=0)
    if not finite.all():
        epoch = int(np.argmin(finite)) + 1
        raise CommandError(f"the loss is not finite from epoch {epoch} on; try a smaller --learning-rate", code=1)
    note("Your own table: jaxmlp train FILE --target COLUMN")
    return 0


def _train_one(args: argparse.Namespace, sizes: tuple[int, ...], seed: int) -> _Run:
    activation = ACTIVATIONS[args.activation]
    start = time.perf_counter()
    drawing = Compiling(partial(_draw, sizes=sizes, members=None), np.uint32(seed), hurried=True)
    x, y, params = drawing.shapes
    program = partial(train, epochs=args.epochs, activation=activation)
    training = Compiling(program, params, x, y, args.learning_rate, hurried=False)
    answering = Compiling(partial(_response_and_predictions, activation=activation), params, x, hurried=True)
    x, y, params = drawing.result()(np.uint32(seed))
    program, answer = training.result(), answering.result()
    compiled = time.perf_counter()
    params, losses = program(params, x, y, args.learning_rate)
    losses = np.asarray(losses)
    done = time.perf_counter()

    response, predictions = (np.asarray(v) for v in answer(params, x))
    return _Run(np.asarray(y), losses, response, predictions, None, None, compiled - start, done - compiled)


def _train_many(args: argparse.Namespace, sizes: tuple[int, ...], seed: int) -> _Run:
    activation = ACTIVATIONS[args.activation]
    start = time.perf_counter()
    x, y, params = draw(seed, sizes, args.members)
    program = partial(train_ensemble, epochs=args.epochs, activation=activation)
    jax.block_until_ready(program(params, x, y, args.learning_rate))  # it finds its devices, and compiles, by a call
    compiled = time.perf_counter()
    params, losses = program(params, x, y, args.learning_rate)
    losses = np.asarray(losses)
    done = time.perf_counter()

    each = jax.vmap(partial(_response_and_predictions, activation=activation), (0, None))
    responses, predictions = (np.asarray(v) for v in run_once(each, jax.tree.map(np.asarray, params), x))
    response, prediction = responses.mean(0), predictions.mean(0)
    spreads = (responses.std(0), predictions.std(0))
    return _Run(np.asarray(y), losses, response, prediction, *spreads, compiled - start, done - compiled)


def draw(seed: int, sizes: tuple[int, ...], members: int | None = None) -> tuple[Array, Array, Params]:
    """The data, and the network or the ensemble, that belong to a seed."""
    return run_once(partial(_draw, sizes=sizes, members=members), np.uint32(seed))


def _draw(seed: Array, *, sizes: tuple[int, ...], members: int | None) -> tuple[Array, Array, Params]:
    data_key, key = jax.random.split(jax.random.key(seed))
    x, y = synthetic_regression(data_key)
    if sizes != SIZES:
        return x, y, init_params(key, sizes) if members is None else init_ensemble(key, sizes, members)
    if members is None:
        return x, y, _layers(init_weights(key))
    return x, y, _layers(jax.vmap(init_weights)(jax.random.split(key, members)))


def _layers(weights: Weights) -> Params:
    w1, b1, w2, b2 = weights
    return Layer(w1, b1), Layer(w2, b2)


def _response_and_predictions(params: Params, x: Array, *, activation: Activation) -> tuple[Array, Array]:
    """How much the prediction rises, on average over the rows, when a feature rises by 1, (features,); and (n, 1)."""

    def response(step: Array) -> Array:
        upper, lower = (forward(params, x + side * step[None, :], activation=activation) for side in (0.5, -0.5))
        return jnp.mean(upper - lower)

    return jax.vmap(response)(jnp.eye(x.shape[1], dtype=x.dtype)), forward(params, x, activation=activation)


def _print_losses(losses: np.ndarray, every: int) -> None:
    epochs = losses.shape[-1]
    for epoch in range(1, epochs + 1):
        if epoch % every == 0 or epoch == epochs:
            now = losses[..., epoch - 1]
            if now.ndim == 0:
                print(f"Epoch: {epoch} Loss: {now!s}")
            else:
                low, middle, high = np.quantile(now, (0.05, 0.5, 0.95))
                print(f"Epoch: {epoch} Loss: {middle:.4f} (9 of 10 networks: {low:.4f} to {high:.4f})")


def _print_responses(response: np.ndarray, spread: np.ndarray | None) -> None:
    print(
        "\nFeature  True coefficient  Mean response of the network"
        + ("s, ± their spread" if spread is not None else "")
    )
    for k, (name, true) in enumerate(zip(("x1", "x2", "x3"), _TRUE_COEFFICIENTS, strict=True)):
        print(f"{name:7}  {true:16.1f}  {response[k]:28.2f}" + (f" ± {spread[k]:.2f}" if spread is not None else ""))
