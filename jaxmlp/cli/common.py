"""What the subcommands share: how they parse, fail, and print."""

import argparse
import json
import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import jax

from jaxmlp._validation import require
from jaxmlp.plots import save_figure


class CommandError(Exception):
    """A user's mistake or a failed run: one line on stderr, and the exit code."""

    def __init__(self, message: str, code: int = 2):
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which does not guess at options cut short."""

    def __init__(self, **options: Any):
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to look, exit with 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def note(message: str) -> None:
    """A remark for the person at the terminal, on stderr: results alone go to stdout."""
    print(message, file=sys.stderr)


def print_json(result: dict[str, Any]) -> None:
    """One JSON object on stdout; numbers that JSON cannot hold become null."""
    print(json.dumps(finite(result)))


def write_figure(figure: Any, path: str) -> None:
    """Save a figure, or say why not."""
    try:
        save_figure(figure, path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error}") from None
    note(f"Picture: {path}")


def validate_plot(path: str | None) -> None:
    """Refuse before training what could not be drawn after it."""
    if path is None:
        return
    if Path(path).suffix not in (".png", ".svg", ".pdf"):
        raise CommandError(f"--plot {path}: the name must end in .png, .svg or .pdf")
    if not Path(path).absolute().parent.is_dir():
        raise CommandError(f"--plot {path}: no such directory")
    require("matplotlib", extra="tables")


_THREADS = ThreadPoolExecutor()


class Compiling:
    """A function of arrays, traced now and compiled in another thread while Python traces the next one.

    Arguments:
        function: what to compile.
        arguments: arrays, or the `shapes` of those that another program still has to make.
        hurried: whether to leave out XLA's optimisations, which in a short process what runs once does not repay.

    `shapes` are those of what it returns.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, hurried: bool):
        traced = jax.jit(function).trace(*arguments)
        self.shapes: Any = traced.out_info
        options: Any = {"xla_backend_optimization_level": 0} if hurried else None
        self._compiled = _THREADS.submit(traced.lower().compile, options)

    def result(self) -> Callable[..., Any]:
        """The compiled function, as soon as it is there."""
        return self._compiled.result()


def run_once(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, compiled in a hurry."""
    return Compiling(function, *arguments, hurried=True).result()(*arguments)


def platform() -> str:
    """The device and the versions that a figure belongs to."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"{jax.devices()[0].device_kind}, jax {jax.__version__}, Python {python}"


def key_seed(text: str) -> int:
    """A whole number from 0 to 2**32 - 1."""
    return _number(text, int, 0, "a whole number from 0 to 2**32 - 1", most=2**32 - 1)


def positive(text: str) -> int:
    """A whole number of at least 1; beyond ten million no one waits for the end."""
    return _number(text, int, 1, "a whole number from 1 to 10000000", most=10**7)


def not_negative(text: str) -> int:
    """A whole number of at least 0, and no more than ten million."""
    return _number(text, int, 0, "a whole number from 0 to 10000000", most=10**7)


def rate(text: str) -> float:
    """A finite number of at least 0."""
    return _number(text, float, 0, "a number of at least 0")


def widths(text: str) -> tuple[int, ...]:
    """Hidden layers as in `32,32`; `0` for none."""
    if text == "0":
        return ()
    try:
        return tuple(positive(part) for part in text.split(","))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} does not name widths, as in 32,32 (0 for no hidden layer)"
        ) from None


def _number(text: str, kind: type, least: float, wanted: str, most: float = math.inf) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not least <= value <= most or value == math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
