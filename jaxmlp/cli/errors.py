"""Errors of the library as errors of the command: one line and an exit code."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from jaxmlp.cli.common import CommandError, note
from jaxmlp.fitting.checkpoints import CheckpointError, CheckpointWarning
from jaxmlp.storage.files import StorageError
from jaxmlp.tables import TableError


@contextmanager
def report_errors(file: str, code: int = 2) -> Iterator[None]:
    """Raise errors of a table, a stored file or an option as a `CommandError`.

    Arguments:
        file: the table, named in errors about it.
        code: exit code for files that cannot be read or written.
    """
    source = "standard input" if file == "-" else file
    try:
        yield
    except TableError as error:
        text = str(error)
        raise CommandError(text if text.startswith(f"{source}: ") else f"{source}: {text}") from None
    except CheckpointError as error:
        raise CommandError(str(error)) from None
    except StorageError as error:
        raise CommandError(str(error), code) from None
    except FloatingPointError as error:
        raise CommandError(str(error), 1) from None
    except ValueError as error:
        raise CommandError(str(error)) from None


@contextmanager
def note_warnings() -> Iterator[None]:
    """Print each warning on one line, and those about checkpoints whatever the filters are."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CheckpointWarning)
        warnings.showwarning = lambda message, *_, **__: note(f"Warning: {message}")
        yield
