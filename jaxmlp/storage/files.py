"""Files written completely or not at all; arrays as safetensors, which run no code when they are read."""

import contextlib
import json
import os
import secrets
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxmlp._validation import require


class StorageError(ValueError):
    """A file cannot be written or read; the message is one line that names it."""


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays and text to a file, completely or not at all.

    Arguments:
        path: the file; its directory must exist.
        arrays: by name, of any dtype of the format (bfloat16 too).
        metadata: text by name.

    Raises:
        StorageError: the disk is full, the directory is missing or may not be written.
        MissingDependencyError: safetensors is not installed.
    """
    content = require("safetensors.numpy", extra="fit").save(
        {name: np.asarray(array, order="C") for name, array in arrays.items()}, dict(metadata)
    )
    write_bytes(path, content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to a file, completely or not at all; until then the old file stays.

    Arguments:
        path: the file; its directory must exist.
        content: the whole content.

    Raises:
        StorageError: the disk is full, the directory is missing or may not be written; the path is no regular file.
    """
    _write(path, content, keep=True)


def require_writable(path: Path) -> None:
    """Raise before the work if a file could not be written after it, by writing a temporary file in its directory.

    Raises:
        StorageError: as `write_bytes`.
    """
    _write(path, b"\0", keep=False)


def _write(path: Path, content: bytes, *, keep: bool) -> None:
    # In the same directory, so that the last step is a rename; under a random name, so that no two writers share it.
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):  # a rename would replace a device such as /dev/null
                raise OSError(f"{'a directory' if path.is_dir() else 'a device'}, not a file")
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep:
            os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays and the text of a file.

    Arguments:
        path: the file.

    Returns:
        Arrays by name, and metadata by name.

    Raises:
        StorageError: there is no such file, or it is damaged, cut short, or of another format.
        MissingDependencyError: safetensors is not installed.
    """
    safetensors = require("safetensors", extra="fit")
    try:
        with open(path, "rb"):  # for the system's message if the file is missing or forbidden
            pass
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # the library's errors have no common class
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise StorageError(f"{path} is damaged, or no safetensors file: {reason}") from None


def checksum(arrays: Mapping[str, np.ndarray], content: Mapping[str, object]) -> int:
    """Return the CRC-32 of arrays and of what JSON can hold, apart from an entry "checksum", where it may be stored."""
    text = json.dumps({name: value for name, value in content.items() if name != "checksum"}, sort_keys=True)
    crc = zlib.crc32(text.encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, crc)
    return crc
