"""A model on disk: one safetensors file.

Its arrays are named `layers.0.w`, `layers.0.b`, `layers.1.w`, …; all else is one JSON object in its metadata. (One,
because safetensors writes several in an order of its own: equal models are equal files.) Reading it runs nothing of
what it holds.
"""

import itertools
import json
from os import PathLike
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxmlp._validation import validate_dtype
from jaxmlp.activations import ACTIVATIONS, Activation
from jaxmlp.criteria import CRITERIA, Criterion
from jaxmlp.models.model import Model
from jaxmlp.network import Layer, Params
from jaxmlp.storage.files import StorageError, read_arrays, write_arrays
from jaxmlp.tables import Recipe

_NAME, _VERSION = "jaxmlp_model", 1


def save_model(model: Model, path: str | PathLike[str]) -> None:
    """Write a model to one safetensors file, complete or not at all.

    Of an activation or criterion of your own only the name is kept: `load_model` asks for it.

    Arguments:
        model: a model.
        path: the file; its directory must exist.

    Raises:
        StorageError: the disk is full, the directory missing, …
        ValueError: `training` holds what JSON cannot.
        MissingDependencyError: safetensors is not installed.
    """
    leaves = [np.asarray(leaf) for layer in model.params for leaf in layer]
    activation = model.activation
    about = {
        "version": _VERSION,
        "sizes": model.sizes,
        "members": model.members,
        "dtype": str(model.params[0].w.dtype),
        "activation": [_name_of(each, ACTIVATIONS) for each in activation]
        if isinstance(activation, tuple)
        else _name_of(activation, ACTIVATIONS),
        "criterion": _name_of(model.criterion, CRITERIA),
        "recipe": None if model.recipe is None else json.loads(model.recipe.to_json()),
        "training": dict(model.training),
    }
    try:
        metadata = {_NAME: json.dumps(about, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise ValueError(f"training must hold what JSON can: {error}") from None
    arrays = dict(zip(_names(model.sizes), leaves, strict=True))
    write_arrays(Path(path), arrays, metadata)


def load_model(
    path: str | PathLike[str],
    *,
    activation: Activation | tuple[Activation, ...] | None = None,
    criterion: Criterion | None = None,
) -> Model:
    """Read what `save_model` wrote; nothing in the file is run.

    Arguments:
        path: the file.
        activation: that of the model, where it is your own: a file cannot hold a function.
        criterion: the same.

    Returns:
        The model, its parameters to the bit.

    Raises:
        StorageError: a file that is missing, damaged, cut short, of another format or of a newer jaxmlp; a function of
            your own that was not passed, or another than the file names.
        TypeError: float64 parameters while x64 is off.
        MissingDependencyError: safetensors is not installed.
    """
    path = Path(path)
    arrays, metadata = read_arrays(path)
    if _NAME not in metadata:
        raise StorageError(f"{path}: not a model of jaxmlp")
    about = _parsed(path, metadata[_NAME])
    params = _params(path, about, arrays)
    found = {
        "activation": _chosen(path, "activation", about["activation"], activation, ACTIVATIONS),
        "criterion": _chosen(path, "criterion", about["criterion"], criterion, CRITERIA),
    }
    try:
        recipe = None if about["recipe"] is None else Recipe.from_json(json.dumps(about["recipe"]))
        return Model(params, **found, recipe=recipe, training=about["training"])
    except ValueError as error:
        raise StorageError(f"{path}: {error}") from None


def _names(sizes: tuple[int, ...]) -> list[str]:
    return [f"layers.{k}.{leaf}" for k in range(len(sizes) - 1) for leaf in ("w", "b")]


def _name_of(value: Any, ours: dict[str, Any]) -> dict[str, str] | str:
    """The name of one of ours; of a user's own only a hint at what it was."""
    for name, each in ours.items():
        if each == value:
            return name
    return {"own": getattr(value.fn, "__qualname__", type(value.fn).__name__)}


def _parsed(path: Path, text: str) -> dict[str, Any]:
    """What `save_model` wrote beside the arrays, each what it must be."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise StorageError(f"{path} is damaged: its metadata cannot be parsed")
    if about.get("version") != _VERSION:
        version = f"{about.get('version')!r:.40}"
        raise StorageError(f"{path}: version {version} of the format, written by another jaxmlp; this one: {_VERSION}")
    for name, valid in _VALID.items():
        if name not in about or not valid(about[name]):
            raise StorageError(f"{path} is damaged: {name!r} is missing from its metadata, or cannot be")
    return about


def _params(path: Path, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Params:
    lead, sizes = () if about["members"] is None else (about["members"],), about["sizes"]
    shapes = [shape for i, o in itertools.pairwise(sizes) for shape in ((*lead, i, o), (*lead, 1, o))]
    expected = dict(zip(_names(sizes), shapes, strict=True))
    for name in expected.keys() | arrays.keys():
        found = (arrays[name].shape, str(arrays[name].dtype)) if name in arrays else None
        if found is None or found != (expected.get(name), about["dtype"]):
            raise StorageError(f"{path} is damaged: its array {name!r:.80} is not what its metadata say")
    validate_dtype("params", about["dtype"])
    leaves = [jnp.asarray(arrays[name]) for name in expected]
    return tuple(Layer(w, b) for w, b in zip(leaves[::2], leaves[1::2], strict=True))


def _chosen(path: Path, argument: str, stored: Any, given: Any, ours: dict[str, Any]) -> Any:
    """One of ours by the name that the file holds; a user's own is what was passed."""
    names = stored if isinstance(stored, list) else [stored]
    if all(isinstance(name, str) for name in names):
        found = tuple(ours[name] for name in names) if isinstance(stored, list) else ours[stored]
        if given is not None and given != found:
            raise StorageError(f"{path}: {argument} must be {stored}, with which it was saved, or not be passed")
        return found
    if given is None:
        own = " and ".join(repr(name["own"]) for name in names if isinstance(name, dict))
        raise StorageError(f"{path}: {argument} {own} is your own, which no file holds; pass {argument}=")
    return given


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_choice(value: Any, ours: dict[str, Any]) -> bool:
    if isinstance(value, dict):
        return isinstance(value.get("own"), str)
    return isinstance(value, str) and value in ours


def _are_activations(value: Any) -> bool:
    each = value if isinstance(value, list) else [value]
    return all(_is_choice(one, ACTIVATIONS) for one in each)


_VALID = {
    "sizes": lambda value: isinstance(value, list) and len(value) > 1 and all(map(_is_count, value)),
    "members": lambda value: value is None or _is_count(value),
    "dtype": lambda value: value in ("bfloat16", "float32", "float64"),
    "activation": _are_activations,
    "criterion": lambda value: _is_choice(value, CRITERIA),
    "recipe": lambda value: value is None or isinstance(value, dict),
    "training": lambda value: isinstance(value, dict),
}
