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

from jaxmlp.storage.files import StorageError, read_arrays, write_arrays

_FORMAT, _VERSION = "jaxmlp checkpoint", "1"
_STATE = "jaxmlp state"
_SECONDS = 1.0  # between two saves


class CheckpointError(StorageError):
    """A checkpoint that cannot be read, or that belongs to another run; the message is one line."""


def save_state(state: Any, path: str | PathLike[str]) -> None:
    """Write a `FitState` to one safetensors file, complete or not at all.

    For runs of your own around `fit_epochs`, over several processes too, of which one writes; `fit` writes its own.

    Arguments:
        state: of `init_fit` or `fit_epochs`; on several devices, whole on each of them.
        path: the file; its directory must exist.

    Raises:
        StorageError: the disk is full, the directory missing, …
        MissingDependencyError: safetensors is not installed.
    """
    write_arrays(Path(path), _on_host(_named("state", state)), {"format": _STATE, "version": _VERSION})


def load_state(path: str | PathLike[str], like: Any) -> Any:
    """Read what `save_state` wrote, to the bit; on any number of devices and processes, whatever it was saved on.

    Arguments:
        path: the file.
        like: a state of the same structure, as `init_fit` returns; its numbers are not looked at.

    Returns:
        The state, for `fit_epochs`; with several devices, for `replicate`.

    Raises:
        CheckpointError: the file is damaged, no saved state, or that of another network or optimizer.
        StorageError: it cannot be read.
        MissingDependencyError: safetensors is not installed.
    """
    arrays, metadata = read_arrays(Path(path))
    _check_format(path, metadata, _STATE)
    names = _named("state", like)
    if _shapes(arrays) != _shapes(names):
        raise CheckpointError(f"{path}: the state of another run (another network or optimizer)")
    return _restored(arrays, names, like)


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
        arrays = _on_host(_named("state", state) | _named("history", history))
        write_arrays(self._path, arrays, {"format": _FORMAT, "version": _VERSION, "run": self._run})
        self._saved = time.monotonic()

    def load(self, state: Any, history: Any) -> tuple[Any, Any]:
        """What was saved, in the structure of `state` and `history`.

        Raises:
            CheckpointError: the file is damaged, no checkpoint, or one of another run.
        """
        arrays, metadata = read_arrays(self._path)
        _check_format(self._path, metadata, _FORMAT)
        like, measured = _named("state", state), _named("history", history)
        found = {name: array for name, array in arrays.items() if name in like}
        if (
            metadata.get("run") != self._run
            or _shapes(found) != _shapes(like)
            or arrays.keys() != like.keys() | measured.keys()
        ):
            raise CheckpointError(
                f"{self._path}: the checkpoint of another run (other data, network, optimizer, key or batch size)"
            )
        history = jax.tree.unflatten(jax.tree.structure(history), [arrays[name] for name in measured])
        return _restored(arrays, like, state), history


def _check_format(path: Any, metadata: dict[str, str], expected: str) -> None:
    if metadata.get("format") != expected:
        raise CheckpointError(f"{path}: not a {expected.removeprefix('jaxmlp ')} of jaxmlp")
    if metadata.get("version") != _VERSION:
        raise CheckpointError(f"{path}: version {metadata.get('version')} of the format; this jaxmlp reads {_VERSION}")


def _shapes(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: (_bare(leaf).shape, _bare(leaf).dtype) for name, leaf in arrays.items()}


def _on_host(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(_bare(leaf)) for name, leaf in arrays.items()}


def _restored(arrays: dict[str, np.ndarray], names: dict[str, Any], like: Any) -> Any:
    return jax.tree.unflatten(jax.tree.structure(like), [_dressed(arrays[name], leaf) for name, leaf in names.items()])


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
