"""Helpers of the subcommands: argument types, errors, output, and quick compilation."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import jax

from jaxmlp._programs import QUICK
from jaxmlp._validation import escape, require
from jaxmlp.cli.process import defer_ctrl_c
from jaxmlp.storage.files import StorageError, require_writable
from jaxmlp.storage.json import JsonObject, make_finite

if TYPE_CHECKING:
    from _typeshed import SupportsWrite
    from matplotlib.figure import Figure

Result = TypeVar("Result")
Number = TypeVar("Number", int, float)
_THREADS = ThreadPoolExecutor()
# Options of XLA that halve the time to compile, and round as the default does; level 0 would not.
_QUICK = QUICK | {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}


class CommandError(Exception):
    """A mistake in the call or a failed run: `main` prints the message as one line and returns the exit code."""

    def __init__(self, message: str, code: int = 2):
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    """An argument parser with one-line errors and without abbreviated options."""

    def __init__(self, **options: Any):
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Print the error and the way to the help; exit with code 2."""
        self.exit(2, escape(f"{self.prog}: {message} (see {self.prog} --help)") + "\n")

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        if file is not None and file is sys.stdout:
            file.write(message)  # argparse would ignore that it cannot be written
        else:
            super()._print_message(message, file)


Commands = argparse._SubParsersAction  # What `add_subparsers` returns.


def note(message: str) -> None:
    """Print a line for the user on stderr; stdout is for results."""
    if sys.stderr is not None:
        with suppress(OSError):  # a full disk or a closed pipe: there is nobody to tell
            print(escape(message), file=sys.stderr)


def print_line(text: str) -> None:
    """Print a line of the result on stdout."""
    print(escape(text))


def print_json(result: JsonObject) -> None:
    """Print one JSON object on stdout; NaN and infinity become null."""
    print(json.dumps(make_finite(result)))


def validate_output(option: str, name: str, *, endings: Sequence[str] = (), inputs: Mapping[str, str]) -> Path:
    """Return the path of a file to write; raise before the work if that would fail after it, or overwrite an input.

    Arguments:
        option: that names the file.
        name: the file.
        endings: one of which the name must have; none for any.
        inputs: paths that are not to be overwritten, and what they are.
    """
    path = Path(name)
    if endings and path.suffix not in endings:
        raise CommandError(f"{option} {path}: the name must end in {', '.join(endings[:-1])} or {endings[-1]}")
    if os.path.isdir(path):
        raise CommandError(f"{option} {path}: that is a directory")
    if not os.path.isdir(path.absolute().parent):
        raise CommandError(f"{option} {path}: no such directory")
    for file, role in inputs.items():
        if file != "-" and os.path.realpath(path) == os.path.realpath(file):
            raise CommandError(f"{option} {path}: that is {role}")
    try:
        require_writable(path)
    except StorageError as error:
        raise CommandError(f"{option}: {error}") from None
    return path


def validate_plot(path: str | None, inputs: Mapping[str, str] | None = None) -> None:
    """Raise before training what would make `write_figure` fail after it."""
    if path is not None:
        validate_output("--plot", path, endings=(".png", ".svg", ".pdf"), inputs=inputs or {})
        require("matplotlib", extra="plot")


def write_figure(figure: "Figure", path: str) -> None:
    """Save a figure as `path`."""
    from jaxmlp.plots import save_figure

    save_figure(figure, path)
    note(f"Plot: {path}")


@contextmanager
def writing(problems: list[str]) -> Iterator[None]:
    """Write a file: if that fails, keep the message for `raise_problems`. Ctrl-C waits until the command ends."""
    defer_ctrl_c()
    try:
        yield
    except ValueError as error:  # a StorageError, or what cannot be stored or drawn
        problems.append(str(error))


def raise_problems(problems: Sequence[str]) -> None:
    """Raise what has failed, after everything else is done and printed."""
    if problems:
        raise CommandError("; ".join(problems), code=1)


def compile_ahead(
    function: Callable[..., object], *arguments: object, quick: bool = False
) -> tuple[Any, Future[jax.stages.Compiled]]:
    """Trace a function now, and compile it in another thread while Python traces the next one.

    Arguments:
        function: a function of arrays.
        arguments: arrays, or their shapes where another program has yet to compute them.
        quick: compile in half the time to slower code, for programs that run once.

    Returns:
        The shapes of its results, and a future of the compiled function.
    """
    traced = jax.jit(function).trace(*arguments)
    lowered = traced.lower()

    def compile() -> jax.stages.Compiled:
        if quick:
            with suppress(jax.errors.JaxRuntimeError):  # Another version of XLA may lack an option.
                return lowered.compile(_QUICK)
        return lowered.compile()

    return traced.out_info, _THREADS.submit(compile)


def run_once(function: Callable[..., Result], *arguments: object) -> Result:
    """Return `function(*arguments)`, compiled quickly."""
    return compile_ahead(function, *arguments, quick=True)[1].result()(*arguments)


def platform() -> str:
    """Return the kind of device and the versions of JAX and Python."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"{jax.devices()[0].device_kind}, jax {jax.__version__}, Python {python}"


def key_seed(text: str) -> int:
    """Parse a random seed."""
    return _number(text, int, 0, 2**32 - 1, "a whole number from 0 to 2**32 - 1")


def positive(text: str) -> int:
    """Parse a whole number from 1 to ten million."""
    return _number(text, int, 1, 10**7, "a whole number from 1 to 10000000")


def not_negative(text: str) -> int:
    """Parse a whole number from 0 to ten million."""
    return _number(text, int, 0, 10**7, "a whole number from 0 to 10000000")


def amount(text: str) -> float:
    """Parse a finite number of at least 0."""
    return _number(text, float, 0, sys.float_info.max, "a number of at least 0")


def widths(text: str) -> tuple[int, ...]:
    """Parse hidden layer widths such as `64,64`; `0` stands for no hidden layer."""
    try:
        return () if text == "0" else tuple(positive(part) for part in text.split(","))
    except argparse.ArgumentTypeError:
        message = f"{text!r} is not a list of widths such as 64,64 (0 for no hidden layer)"
        raise argparse.ArgumentTypeError(message) from None


def _number(text: str, kind: type[Number], least: float, most: float, expected: str) -> Number:
    with suppress(ValueError):
        value = kind(text)
        if least <= value <= most:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
