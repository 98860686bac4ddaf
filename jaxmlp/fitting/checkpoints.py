"""Checkpoints: a saved `FitState`, from which a run continues to the same bits as if nothing had stopped it."""

import json
import time
import zlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp.fitting.state import FitState, History
from jaxmlp.storage.files import StorageError, checksum, read_arrays, write_arrays
from jaxmlp.storage.json import parse_json

_FORMAT, _VERSION = "jaxmlp checkpoint", "2"
_STATE = "jaxmlp state"
_SECONDS = 1.0  # Time between two saves.


class CheckpointError(StorageError):
    """A checkpoint cannot be read, or belongs to another run; the message is one line."""


def save_state(state: FitState, path: str | PathLike[str]) -> None:
    """Write a `FitState` to one safetensors file, complete or not at all.

    It serves custom loops around `fit_epochs`, also over several processes, of which one writes; `fit` writes its
    checkpoints itself.

    Arguments:
        state: of `init_fit` or `fit_epochs`; on several devices, a whole copy on each.
        path: the file; its directory must exist.

    Raises:
        StorageError: the disk is full, the directory missing, …
        MissingDependencyError: safetensors is not installed.
    """
    _write(Path(path), _STATE, _to_arrays(_name_leaves("state", state)))


def load_state(path: str | PathLike[str], like: FitState) -> FitState:
    """Read what `save_state` wrote, to the bit, on any number of devices and processes.

    Arguments:
        path: the file.
        like: a state of the same structure, as `init_fit` returns; its values are not used.

    Returns:
        The state, for `fit_epochs`; with several devices, for `replicate`.

    Raises:
        CheckpointError: the file is damaged, no saved state, or that of another network or optimizer.
        StorageError: it cannot be read.
        MissingDependencyError: safetensors is not installed.
    """
    arrays, _ = _read(path, _STATE)
    if _shapes(arrays) != _shapes(_name_leaves("state", like)):
        raise CheckpointError(f"{path}: the state of another run (another network or optimizer)")
    return _restore(arrays, like)


def read_about(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the `about` of a checkpoint.

    Raises:
        CheckpointError: the file is damaged, or no checkpoint.
        StorageError: it cannot be read.
    """
    metadata = _read(path, _FORMAT)[1]
    try:
        return parse_json(metadata.get("about", ""), "about")
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None


class Checkpoint:
    """The file in which a run keeps its state and its history.

    Arguments:
        path: the file; its directory must exist.
        about: what describes the run, of types that JSON has; a run resumes only from a checkpoint with an equal one.
        data: arrays that must be equal too.
    """

    def __init__(self, path: str | PathLike[str], *, about: Mapping[str, Any], data: Any):
        self._path, self._saved = Path(path), -_SECONDS
        self._run = {"about": json.dumps(dict(about), sort_keys=True), "data": json.dumps(_digest(data))}

    def exists(self) -> bool:
        """Return whether there is a file to resume from."""
        return self._path.exists()

    def save(self, state: FitState, history: History, *, now: bool = False) -> None:
        """Replace the file, completely or not at all; at most once a second unless `now`.

        Raises:
            StorageError: the disk is full, the directory gone, …
        """
        if not now and time.monotonic() - self._saved < _SECONDS:
            return
        arrays = _to_arrays(_name_leaves("state", state) | _name_leaves("history", history))
        _write(self._path, _FORMAT, arrays, self._run)
        self._saved = time.monotonic()

    def load(self, state: FitState, history: History) -> tuple[FitState, History]:
        """Return what was saved, in the structure of `state` and `history`.

        Raises:
            CheckpointError: the file is damaged, no checkpoint, or one of another run.
        """
        arrays, metadata = _read(self._path, _FORMAT)
        like, measured = _name_leaves("state", state), _name_leaves("history", history)
        saved = {name: array for name, array in arrays.items() if name in like}
        is_same = all(metadata.get(name) == value for name, value in self._run.items())
        if not is_same or _shapes(saved) != _shapes(like) or arrays.keys() != like.keys() | measured.keys():
            raise CheckpointError(
                f"{self._path}: the checkpoint of another run (other data, network, optimizer, key or batch size)"
            )
        history = jax.tree.unflatten(jax.tree.structure(history), [arrays[name] for name in measured])
        return _restore(arrays, state), history


def _write(path: Path, kind: str, arrays: Mapping[str, np.ndarray], about: Mapping[str, str] | None = None) -> None:
    metadata = {"format": kind, "version": _VERSION} | dict(about or {})
    write_arrays(path, arrays, metadata | {"checksum": str(checksum(arrays, metadata))})


def _read(path: str | PathLike[str], expected: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    arrays, metadata = read_arrays(Path(path))
    if metadata.get("format") != expected:
        raise CheckpointError(f"{path}: not a {expected.removeprefix('jaxmlp ')} of jaxmlp")
    if metadata.get("version") != _VERSION:
        raise CheckpointError(f"{path}: version {metadata.get('version')} of the format; this jaxmlp reads {_VERSION}")
    if metadata.get("checksum") != str(checksum(arrays, metadata)):
        raise CheckpointError(f"{path} is damaged: its checksum does not fit its content")
    return arrays, metadata


def _name_leaves(prefix: str, tree: Any) -> dict[str, Any]:
    return {prefix + jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _shapes(leaves: Mapping[str, Any]) -> dict[str, Any]:
    return {name: (_data(leaf).shape, _data(leaf).dtype) for name, leaf in leaves.items()}


def _to_arrays(leaves: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(_data(leaf)) for name, leaf in leaves.items()}


def _restore(arrays: Mapping[str, np.ndarray], like: FitState) -> FitState:
    """Return the arrays in the structure of `like`, keys as keys."""

    def restore(name: str, leaf: Any) -> Any:
        array = jnp.asarray(arrays[name])
        return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array

    leaves = [restore(name, leaf) for name, leaf in _name_leaves("state", like).items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _digest(tree: Any) -> list[int]:
    return [zlib.crc32(np.ascontiguousarray(_data(leaf)).view(np.uint8).data) for leaf in jax.tree.leaves(tree)]
