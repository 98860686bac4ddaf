"""`jaxmlp tutorial`, and `jaxmlp` alone: watch the tutorial's network learn."""

import argparse
import secrets
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp import plots
from jaxmlp.activations import ACTIVATIONS, Activation
from jaxmlp.cli.common import (
    CommandError,
    checked_plot,
    not_negative,
    note,
    platform,
    positive,
    print_json,
    rate,
    widths,
    write_figure,
)
from jaxmlp.network import Params, forward, init_params
from jaxmlp.training import train
from jaxmlp.tutorial import synthetic_regression

_TRUE_COEFFICIENTS = (0.2, -1.3, -0.5)
_HIDDEN = (32,)


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "tutorial",
        help="train the tutorial's network on fresh data and watch the loss fall",
        description="Train the tutorial's network: 100 rows, 3 features, a hidden layer of 32, sum of squared errors.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seed", type=not_negative, help="of data and weights; drawn afresh if not given")
    parser.add_argument("--epochs", type=not_negative, default=200, help="gradient steps, each over all rows")
    parser.add_argument("--learning-rate", type=rate, default=1e-4, metavar="RATE", help="size of a step")
    parser.add_argument(
        "--hidden", type=widths, default=_HIDDEN, metavar="32,32", help="widths of the hidden layers; 0 for none"
    )
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="of the hidden layers")
    parser.add_argument("--every", type=positive, default=10, metavar="EPOCHS", help="between two lines of loss")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--plot", metavar="FILE", help="draw loss and predictions to FILE (.png, .svg, .pdf)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, print, draw."""
    checked_plot(args.plot)
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    sizes, activation = (3, *args.hidden, 1), ACTIVATIONS[args.activation]

    start = time.perf_counter()
    x, y, params = draw(seed, sizes)
    program = jax.jit(partial(train, epochs=args.epochs, activation=activation))
    program = program.lower(params, x, y, args.learning_rate).compile()
    compiled = time.perf_counter()
    params, losses = program(params, x, y, args.learning_rate)
    losses = np.asarray(losses)
    seconds = time.perf_counter() - compiled

    response = np.asarray(_mean_response(params, x, activation=activation))
    if args.json:
        result = {"seed": seed, "epochs": args.epochs, "learning_rate": args.learning_rate, "hidden": args.hidden}
        result |= {"activation": args.activation, "losses": losses.tolist()}
        result |= {"true_coefficients": _TRUE_COEFFICIENTS, "mean_response": response.tolist()}
        result |= {"platform": platform(), "compile_seconds": compiled - start, "run_seconds": seconds}
        print_json(result)
    else:
        _print_losses(losses, args.every)
        print("\nFeature  True coefficient  Mean response of the network")
        for name, true, mean in zip(("x1", "x2", "x3"), _TRUE_COEFFICIENTS, response, strict=True):
            print(f"{name:7}  {true:16.1f}  {mean:28.2f}")

    if args.plot:
        predictions = forward(params, x, activation=activation)
        title = "-".join(str(size) for size in sizes) + f", {args.epochs} epochs, seed {seed}"
        write_figure(plots.training_figure(losses, y, predictions, title=title), args.plot)
    if args.hidden != _HIDDEN:
        note("Weights: he_normal; the tutorial's standard normal weights fit its one layer of 32 only")
    note(f"Device: {platform()}")
    note(f"Seed: {seed}; compile {compiled - start:.2f} s, run {seconds * 1e3:.2f} ms")
    if not np.isfinite(losses).all():
        epoch = int(np.argmin(np.isfinite(losses))) + 1
        raise CommandError(f"the loss is not finite from epoch {epoch} on; try a smaller --learning-rate", code=1)
    note("Your own table: jaxmlp train FILE --target COLUMN")
    return 0


def draw(seed: int, sizes: tuple[int, ...]) -> tuple[Array, Array, Params]:
    """The data and the network that belong to a seed."""
    if seed >= 2**32:
        raise CommandError("--seed must be below 2**32")
    return _draw(jax.random.key(seed), sizes)


@partial(jax.jit, static_argnums=1)
def _draw(key: Array, sizes: tuple[int, ...]) -> tuple[Array, Array, Params]:
    # One program for all draws: compiling them is most of what a short process does.
    data_key, params_key = jax.random.split(key)
    x, y = synthetic_regression(data_key)
    if sizes[1:-1] == _HIDDEN:
        return x, y, init_params(params_key, sizes)
    return x, y, init_params(params_key, sizes, w_init=jax.nn.initializers.he_normal())


@partial(jax.jit, static_argnames="activation")
def _mean_response(params: Params, x: Array, *, activation: Activation) -> Array:
    """How much the prediction rises, on average over the rows, when a feature rises by 1; (features,)."""

    def response(step: Array) -> Array:
        upper, lower = (forward(params, x + side * step[None, :], activation=activation) for side in (0.5, -0.5))
        return jnp.mean(upper - lower)

    return jax.vmap(response)(jnp.eye(x.shape[1], dtype=x.dtype))


def _print_losses(losses: np.ndarray, every: int) -> None:
    for epoch in range(1, len(losses) + 1):
        if epoch % every == 0 or epoch == len(losses):
            print(f"Epoch: {epoch} Loss: {losses[epoch - 1]!s}")
