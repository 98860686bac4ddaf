"""The command `jaxmlp`: dispatch to the subcommands, one file each, and the exit codes.

JAX is imported inside the functions, because Ctrl-C is answered before that.
"""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module

from jaxmlp.cli.process import INTERRUPTED, answer_ctrl_c, count_cores, discard_stdout, leave, open_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from jaxmlp.cli.common import Parser

_COMMANDS = {
    "tutorial": "train the tutorial's network on new data and print the loss",
    "explain": "show every number in an epoch of the tutorial's network",
    "train": "train a model on a table",
    "predict": "predict the rows of a table with a trained model",
    "show": "describe a trained model",
    "export": "export a trained model for CPU, GPU and TPU",
    "check": "verify the hand-derived gradients on this machine",
}


def command() -> NoReturn:
    """Run `main` as a process, with one JAX device for each CPU core, and exit."""
    open_streams()
    answer_ctrl_c()
    import jax

    from jaxmlp.cli.cache import use_cache

    use_cache()
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", count_cores())
    leave(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; without a subcommand, the tutorial.

    Arguments:
        argv: the words after `jaxmlp`; None for those of this process.

    Returns:
        0 for success, 1 for a failed run, 2 for a mistake in the call, 130 after Ctrl-C.
    """
    import jax

    from jaxmlp._validation import MissingDependencyError
    from jaxmlp.cli.common import CommandError, note

    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words = ["tutorial", *words]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # The terminal may lack characters of a column's name.
    try:
        return _run(words)
    except (CommandError, MissingDependencyError) as error:
        note(f"jaxmlp {words[0]}: {error}")
        return error.code if isinstance(error, CommandError) else 1
    except KeyboardInterrupt:
        note("interrupted")
        return INTERRUPTED
    except OSError as error:
        discard_stdout()  # Python flushes it again at exit.
        if not isinstance(error, BrokenPipeError):  # The reader of a pipe, such as `head`, may stop early.
            problem = "cannot write the output" if error.filename is None else error.filename
            note(f"jaxmlp {words[0]}: {problem}: {error.strerror}")
        return 1
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        note(f"jaxmlp {words[0]}: failed: {(str(error) or type(error).__name__).splitlines()[0]}")
        return 1


def _run(words: list[str]) -> int:
    """Run a subcommand and flush stdout, so that a closed stream, a closed pipe or a full disk is noticed."""
    try:
        args = _parser(words[0]).parse_args(words)
    except SystemExit as stopped:  # --help, --version, or a mistake in the call, which argparse has printed
        code = int(stopped.code or 0)
    else:
        args.words = words
        code = args.run(args)
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _parser(command: str) -> Parser:
    """Return the parser; only the module of `command` is imported."""
    import jaxmlp
    from jaxmlp.cli.common import Parser

    parser = Parser(prog="jaxmlp", description=jaxmlp.__doc__)
    parser.add_argument("--version", action="version", version=f"jaxmlp {jaxmlp.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, summary in _COMMANDS.items():
        if name == command:
            import_module(f"jaxmlp.cli.{name}").add_parser(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser
