"""The command `jaxmlp`: one file for each subcommand, and here the door to them all."""

import os
import sys
from collections.abc import Sequence

import jaxmlp
from jaxmlp.checks import MissingDependencyError
from jaxmlp.cli import explain, train, tutorial
from jaxmlp.cli.common import CommandError, Parser

_COMMANDS = (tutorial, explain, train)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; without arguments, the tutorial.

    Arguments:
        argv: the words after `jaxmlp`; by default those of this process.

    Returns:
        0 when all went well, 1 for a failed run, 2 for a mistake in the call, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv) or ["tutorial"]
    try:
        args = _parser().parse_args(words)
        return args.run(args)
    except CommandError as error:
        print(f"jaxmlp {words[0]}: {error}", file=sys.stderr)
        return error.code
    except MissingDependencyError as error:
        print(f"jaxmlp {words[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) is gone; nothing is left to say, also not at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> Parser:
    parser = Parser(prog="jaxmlp", description=jaxmlp.__doc__)
    parser.add_argument("--version", action="version", version=f"jaxmlp {jaxmlp.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
