"""A checkpoint: a saved `FitState`, from which a run goes on to the same bits as if nothing had stopped it."""

import json
import time
import zlib
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp.storage import StorageError, read_arrays, write_arrays

_FORMAT, _VERSION = "jaxmlp checkpoint", "1"
_SECONDS = 1.0  # between two saves


class CheckpointError(StorageError):
    """A checkpoint that cannot be read, or that belongs to another run; the message is one line."""


class Checkpoint:
    """The file in which a run keeps its state and its history.

    Arguments:
        path: the file; its directory must exist.
        about: settings that must be equal for a run to go on to the same bits; what JSON can hold.
        data: arrays of which the same holds.
    """

    def __init__(self, path: str | PathLike[str], *, about: dict[str, Any], data: Any):
        self._path, self._saved = Path(path), -_SECONDS
        self._run = json.dumps(about | {"data": _digest(data)}, sort_keys=True)

    def exists(self) -> bool:
        """Whether there is anything to go on from."""
        return self._path.exists()

    def save(self, state: Any, history: Any, *, now: bool = False) -> None:
        """Write in place of what was there, at once or not at all, and at most once a second unless `now`.

        Raises:
            StorageError: the disk is full, the directory gone, …
        """
        if not now and time.monotonic() - self._saved < _SECONDS:
            return
        arrays = _named("state", state) | _named("history", history)
        metadata = {"format": _FORMAT, "version": _VERSION, "run": self._run}
        write_arrays(self._path, {name: np.asarray(_bare(leaf)) for name, leaf in arrays.items()}, metadata)
        self._saved = time.monotonic()

    def load(self, state: Any, history: Any) -> tuple[Any, Any]:
        """What was saved, in the structure of `state` and `history`.

        Raises:
            CheckpointError: the file is damaged, no checkpoint, or one of another run.
        """
        arrays, metadata = read_arrays(self._path)
        if metadata.get("format") != _FORMAT:
            raise CheckpointError(f"{self._path}: not a checkpoint of jaxmlp")
        if metadata.get("version") != _VERSION:
            raise CheckpointError(
                f"{self._path}: version {metadata.get('version')} of the format; this jaxmlp reads {_VERSION}"
            )
        like = _named("state", state)
        expected = {name: (_bare(leaf).shape, _bare(leaf).dtype) for name, leaf in like.items()}
        found = {name: (array.shape, array.dtype) for name, array in arrays.items() if name in expected}
        names = like.keys() | _named("history", history).keys()
        if metadata.get("run") != self._run or found != expected or arrays.keys() != names:
            raise CheckpointError(
                f"{self._path}: the checkpoint of another run (other data, network, optimizer, key or batch size)"
            )
        restored = [_dressed(arrays[name], leaf) for name, leaf in like.items()]
        measured = [arrays[name] for name in _named("history", history)]
        state = jax.tree.unflatten(jax.tree.structure(state), restored)
        return state, jax.tree.unflatten(jax.tree.structure(history), measured)


def _named(prefix: str, tree: Any) -> dict[str, Any]:
    return {prefix + jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _bare(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _dressed(array: np.ndarray, like: Any) -> Array:
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    return jnp.asarray(array)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _digest(tree: Any) -> list[int]:
    return [zlib.crc32(np.ascontiguousarray(_bare(leaf)).view(np.uint8).data) for leaf in jax.tree.leaves(tree)]
