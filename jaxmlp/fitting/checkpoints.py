"""Checkpoints: a saved `FitState`, from which a run continues to the same bits as if nothing had stopped it."""

import json
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp._fork import validate_process
from jaxmlp._validation import find_name
from jaxmlp.activations import ACTIVATIONS, Activation
from jaxmlp.criteria import CRITERIA, Criterion
from jaxmlp.ensembles.processes import is_first
from jaxmlp.fitting.metrics import AnyArray
from jaxmlp.fitting.state import FitState, History
from jaxmlp.storage.files import StorageError, checksum, read_arrays, write_arrays
from jaxmlp.storage.json import JsonObject, parse_json

_CHECKPOINT, _STATE = "jaxmlp checkpoint", "jaxmlp state"
_VERSION = "3"
_MOST_DIFFERENCES = 8  # In a message.
_SECONDS = 1.0  # Time between two saves.


class CheckpointError(StorageError):
    """A checkpoint cannot be read, or belongs to another run; the message is one line."""


class CheckpointWarning(RuntimeWarning):
    """A checkpoint cannot be written; the run goes on."""


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
    validate_process()
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
    validate_process()
    arrays, _ = _read(path, _STATE)
    if _shapes(arrays) != _shapes(_name_leaves("state", like)):
        raise CheckpointError(f"{path}: the state of another run (another network or optimizer)")
    return _restore(arrays, like)


def read_about(path: str | PathLike[str]) -> JsonObject:
    """Return the `about` of a checkpoint.

    Raises:
        CheckpointError: the file is damaged, or no checkpoint.
        StorageError: it cannot be read.
    """
    metadata = _read(path, _CHECKPOINT)[1]
    try:
        return parse_json(metadata.get("about", ""), "about")
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None


def describe_functions(activation: Activation | tuple[Activation, ...], criterion: Criterion) -> dict[str, str]:
    """Return the names of activations and criterion, as a checkpoint keeps them."""
    activations = activation if isinstance(activation, tuple) else (activation,)
    names = [_name_of(function, ACTIVATIONS) for function in activations]
    return {"activation": ", ".join(names), "criterion": _name_of(criterion, CRITERIA)}


def describe_key(key: Array) -> list[int]:
    """Return the numbers of a key."""
    return np.asarray(jax.random.key_data(key)).tolist()


class Checkpoint:
    """The file in which a run keeps its state and its history.

    Arguments:
        path: the file; its directory must exist.
        about: the settings of the run by name, of types that JSON has; a run resumes only from a checkpoint with equal
            ones.
        data: trees of arrays by name, which must be equal too.
        failures: messages of saves that failed, of this file and others of the run: the first one is a warning.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        about: JsonObject,
        data: Mapping[str, object],
        failures: list[str] | None = None,
    ):
        self._path, self._saved = Path(path), -_SECONDS
        leaves = {name: leaf for tree in data for name, leaf in _name_leaves(tree, data[tree]).items()}
        self._run = {"about": dict(about), "data": {name: _describe(leaf) for name, leaf in leaves.items()}}
        self._failures = [] if failures is None else failures

    def start(self, state: FitState, history: History, *, resume: bool) -> tuple[FitState, History]:
        """Return what was saved if there is a file to resume from, else `state` and `history`.

        Raises:
            CheckpointError: a file that is there without `resume`, or that `load` refuses.
            StorageError: the file cannot be read.
        """
        if self._path.exists() and not resume:
            raise CheckpointError(f"{self._path} exists already: pass resume=True to continue its run, or delete it")
        return self.load(state, history) if self._path.exists() else (state, history)

    def save(self, state: FitState, history: History, *, now: bool = False) -> None:
        """Replace the file, completely or not at all; at most once a second unless `now`.

        If it cannot be written, warn once in a run, and go on: what was trained is worth more than its checkpoint. Of
        several processes, the first one writes.
        """
        if not is_first():
            return
        if not now and time.monotonic() - self._saved < _SECONDS:
            return
        arrays = _to_arrays(_name_leaves("state", state) | _name_leaves("history", history))
        run = {name: json.dumps(value, sort_keys=True) for name, value in self._run.items()}
        try:
            _write(self._path, _CHECKPOINT, arrays, run)
        except StorageError as error:
            self._failures.append(str(error))
            if len(self._failures) == 1:
                warnings.warn(f"{error}; training goes on without the checkpoint", CheckpointWarning, stacklevel=2)
        self._saved = time.monotonic()

    def load(self, state: FitState, history: History) -> tuple[FitState, History]:
        """Return what was saved, in the structure of `state` and `history`.

        Raises:
            CheckpointError: the file is damaged, no checkpoint, or one of another run; the message names what differs.
        """
        arrays, metadata = _read(self._path, _CHECKPOINT)
        like, measured = _name_leaves("state", state), _name_leaves("history", history)
        for name, value in self._run.items():  # settings before data: where they differ, data do too
            try:
                stored = parse_json(metadata.get(name, ""), name)
            except ValueError as error:
                raise CheckpointError(f"{self._path} is damaged: {error}") from None
            differences = list(_compare(stored, json.loads(json.dumps(value))))
            if differences:
                more = len(differences) - _MOST_DIFFERENCES
                text = "; ".join(differences[:_MOST_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
                raise CheckpointError(f"{self._path}: the checkpoint of another run: {text}")
        saved = {name: array for name, array in arrays.items() if name in like}
        if _shapes(saved) != _shapes(like) or arrays.keys() != like.keys() | measured.keys():
            raise CheckpointError(f"{self._path}: the checkpoint of another run: its arrays have other shapes")
        history = jax.tree.unflatten(jax.tree.structure(history), [arrays[name] for name in measured])
        return _restore(arrays, state), history


def _write(path: Path, kind: str, arrays: Mapping[str, np.ndarray], run: Mapping[str, str] | None = None) -> None:
    metadata = {"format": kind, "version": _VERSION} | dict(run or {})
    write_arrays(path, arrays, metadata | {"checksum": str(checksum(arrays, metadata))})


def _read(path: str | PathLike[str], expected: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    arrays, metadata = read_arrays(Path(path))
    if metadata.get("format") != expected:
        raise CheckpointError(f"{path}: not a {expected.removeprefix('jaxmlp ')} of jaxmlp")
    if metadata.get("version") != _VERSION:
        version = f"version {metadata.get('version')} of the format; this jaxmlp reads {_VERSION}; delete it"
        raise CheckpointError(f"{path}: {version}")
    if metadata.get("checksum") != str(checksum(arrays, metadata)):
        raise CheckpointError(f"{path} is damaged: its checksum does not fit its content")
    return arrays, metadata


def _name_leaves(prefix: str, tree: object) -> dict[str, AnyArray]:
    return {prefix + jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _shapes(leaves: Mapping[str, AnyArray]) -> dict[str, object]:
    return {name: (_data(leaf).shape, _data(leaf).dtype) for name, leaf in leaves.items()}


def _to_arrays(leaves: Mapping[str, AnyArray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(_data(leaf)) for name, leaf in leaves.items()}


def _restore(arrays: Mapping[str, np.ndarray], like: FitState) -> FitState:
    """Return the arrays in the structure of `like`, keys as keys."""

    def restore(name: str, leaf: AnyArray) -> Array:
        array = jax.device_put(arrays[name])
        return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array

    leaves = [restore(name, leaf) for name, leaf in _name_leaves("state", like).items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _data(leaf: AnyArray) -> AnyArray:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: AnyArray) -> TypeGuard[Array]:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _name_of(function: Activation | Criterion, built_in: Mapping[str, object]) -> str:
    return find_name(function, built_in) or describe_callable(function.fn)


def describe_callable(function: Callable[..., object]) -> str:
    """Return the name of a function, or of the type of an object that is called."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _describe(leaf: AnyArray) -> dict[str, object]:
    """Return what tells an array from others."""
    array = np.ascontiguousarray(_data(leaf))
    checksum = zlib.crc32(array.view(np.uint8).data)
    return {"shape": list(np.shape(_data(leaf))), "dtype": str(array.dtype), "checksum": checksum}


def _compare(saved: JsonObject, given: JsonObject, prefix: str = "") -> Iterator[str]:
    """Yield each entry of two nested dicts that differs, with both values."""
    for name in {**given, **saved}:
        old, new = saved.get(name), given.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _compare(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name} was {_text(old)} and is now {_text(new)}"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else text[:80] + "…"
