"""The command `jaxmlp`: one file for each subcommand, and here the door to them all."""

import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import jax

import jaxmlp
from jaxmlp._validation import MissingDependencyError
from jaxmlp.cli import check, explain, export, predict, show, train, tutorial
from jaxmlp.cli.common import CommandError, Parser

_INTERRUPTED = 130
_COMMANDS = (tutorial, explain, train, predict, show, export, check)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; without a subcommand, the tutorial.

    Arguments:
        argv: the words after `jaxmlp`; by default those of this process.

    Returns:
        0 when all went well, 1 for a failed run, 2 for a mistake in the call, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words = ["tutorial", *words]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that this terminal cannot show is no failure
    try:
        args = _parser().parse_args(words)
        code = args.run(args)
        sys.stdout.flush()  # here, where a reader that is gone or a full disk can still be answered
        return code
    except CommandError as error:
        print(f"jaxmlp {words[0]}: {error}", file=sys.stderr)
        return error.code
    except MissingDependencyError as error:
        print(f"jaxmlp {words[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) is gone; nothing is left to say, also not at interpreter exit.
        _discard_stdout()
        return 1
    except OSError as error:
        _discard_stdout()
        print(f"jaxmlp {words[0]}: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        print(f"jaxmlp {words[0]}: failed: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1


def command() -> NoReturn:
    """The process `jaxmlp`: `main`, and then the end."""
    if "JAX_NUM_CPU_DEVICES" not in os.environ:  # networks are split over devices; all cores would be a single one
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        jax.config.update("jax_num_cpu_devices", cores or 1)
    code = main()
    if code == _INTERRUPTED:
        # XLA crashes in Python's own way out, if Ctrl-C came while it compiled; all is said and written by now.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _discard_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> Parser:
    parser = Parser(prog="jaxmlp", description=jaxmlp.__doc__)
    parser.add_argument("--version", action="version", version=f"jaxmlp {jaxmlp.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
