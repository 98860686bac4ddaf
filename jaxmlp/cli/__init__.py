"""The command `jaxmlp`: dispatch to the subcommands, one file each, and the exit codes."""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import jax

import jaxmlp
from jaxmlp._validation import MissingDependencyError
from jaxmlp.cli.common import CommandError, Parser, note

_INTERRUPTED = 130
_COMMANDS = {
    "tutorial": "train the tutorial's network on new data and print the loss",
    "explain": "show every number in an epoch of the tutorial's network",
    "train": "train a model on a table",
    "predict": "predict the rows of a table with a trained model",
    "show": "describe a trained model",
    "export": "export a trained model for CPU, GPU and TPU",
    "check": "verify the hand-derived gradients on this machine",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; without a subcommand, the tutorial.

    Arguments:
        argv: the words after `jaxmlp`; None for those of this process.

    Returns:
        0 for success, 1 for a failed run, 2 for a mistake in the call, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words = ["tutorial", *words]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # The terminal may lack characters of a column's name.
    try:
        args = _parser(words[0]).parse_args(words)
        code = args.run(args)
        sys.stdout.flush()  # Inside the try, so that a closed pipe or a full disk is handled below.
        return code
    except (CommandError, MissingDependencyError) as error:
        note(f"jaxmlp {words[0]}: {error}")
        return error.code if isinstance(error, CommandError) else 1
    except KeyboardInterrupt:
        note("interrupted")
        return _INTERRUPTED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes stdout again at exit.
        if not isinstance(error, BrokenPipeError):  # The reader of a pipe, such as `head`, may stop early.
            note(f"jaxmlp {words[0]}: cannot write the output: {error.strerror}")
        return 1
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        note(f"jaxmlp {words[0]}: failed: {(str(error) or 'out of memory').splitlines()[0]}")
        return 1


def command() -> NoReturn:
    """Run `main` as a process, with one JAX device for each CPU core, and exit."""
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        jax.config.update("jax_num_cpu_devices", cores or 1)
    code = main()
    if code == _INTERRUPTED:
        sys.stderr.flush()
        os._exit(code)  # If XLA was compiling, Python's normal exit crashes.
    sys.exit(code)


def _parser(command: str) -> Parser:
    """Return the parser; only the module of `command` is imported."""
    parser = Parser(prog="jaxmlp", description=jaxmlp.__doc__)
    parser.add_argument("--version", action="version", version=f"jaxmlp {jaxmlp.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, summary in _COMMANDS.items():
        if name == command:
            import_module(f"jaxmlp.cli.{name}").add_parser(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser
