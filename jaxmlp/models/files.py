"""A model on disk: one safetensors file, format 3.

Its arrays are named `groups.0.layers.0.w`, `groups.0.layers.0.b`, …; everything else is one JSON object in its
metadata, `About`. (One object, because safetensors would write several in any order, and equal models are to be equal
files.)
Reading a model runs nothing that the file holds.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from jaxmlp._fork import validate_process
from jaxmlp._validation import find_name, validate_dtype
from jaxmlp.activations import ACTIVATIONS, Activation
from jaxmlp.criteria import CRITERIA, Criterion
from jaxmlp.fitting.encoding import Encoding, restore_encoding
from jaxmlp.fitting.groups import Group
from jaxmlp.fitting.scaling import Scaling
from jaxmlp.fitting.targets import TargetScaling
from jaxmlp.models.interval import Interval
from jaxmlp.models.model import Model
from jaxmlp.network import Layer
from jaxmlp.storage.files import StorageError, checksum, read_arrays, write_arrays
from jaxmlp.storage.json import Json, JsonObject, from_json, parse_json, to_json
from jaxmlp.tables import Recipe

_NAME, _VERSION = "jaxmlp_model", 3


@dataclass(frozen=True)
class AboutGroup:
    """What a file holds about a group besides its arrays."""

    sizes: tuple[int, ...]  # Layer widths from inputs to outputs.
    weights: tuple[float, ...]  # The share of each member in a prediction.
    dtype: Literal["bfloat16", "float32", "float64"]
    activation: tuple[str, ...]  # Names, one for each hidden layer.
    scaling: Scaling | None
    encoding: Encoding | None
    target: TargetScaling | None

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1 or not self.weights:
            raise ValueError("sizes must hold at least two positive widths, and weights one number for each member")


@dataclass(frozen=True)
class About:
    """What a file holds besides its arrays."""

    version: int
    groups: tuple[AboutGroup, ...]
    criterion: str
    recipe: Recipe | None
    interval: Interval | None
    temperature: float | None
    report: JsonObject
    plan: JsonObject
    checksum: int  # CRC-32 of the arrays and of everything else in this object.

    def __post_init__(self) -> None:
        if not self.groups:
            raise ValueError("groups must hold at least one group")


def save_model(model: Model, path: str | PathLike[str]) -> None:
    """Write a model to one safetensors file, complete or not at all.

    Only the name of a custom activation or criterion is stored: pass the function to `load_model`.

    Arguments:
        model: a model.
        path: the file; its directory must exist.

    Raises:
        StorageError: the disk is full, the directory is missing, …
        ValueError: the report or plan holds something that JSON cannot.
        MissingDependencyError: safetensors is not installed.
    """
    arrays = {
        f"groups.{k}.layers.{layer}.{leaf}": np.asarray(value)
        for k, group in enumerate(model.groups)
        for layer, leaves in enumerate(group.params)
        for leaf, value in zip("wb", leaves, strict=True)
    }
    content = describe_model(model)
    content["checksum"] = checksum(arrays, content)
    write_arrays(Path(path), arrays, {_NAME: json.dumps(content, allow_nan=False)})


def is_model(path: str | PathLike[str]) -> bool:
    """Return whether a file holds a model of jaxmlp, of any version of the format."""
    try:
        return _NAME in read_arrays(Path(path))[1]
    except StorageError:
        return False


def describe_model(model: Model) -> dict[str, Json]:
    """Return everything that a file holds about a model besides its arrays and their checksum, as JSON can hold it.

    Raises:
        ValueError: the report or plan holds something that JSON cannot.
    """
    groups = []
    for group in model.groups:
        names = tuple(_name_of(function, ACTIVATIONS) for function in group.activation)
        weights = tuple(np.asarray(group.weights, np.float64).tolist())
        dtype: Any = str(group.params[0].w.dtype)
        encoding = None if group.encoding is None else Encoding(*map(np.asarray, group.encoding))
        groups.append(AboutGroup(group.sizes, weights, dtype, names, group.scaling, encoding, group.target))
    about = About(
        _VERSION, tuple(groups), _name_of(model.criterion, CRITERIA), model.recipe, model.interval,
        model.temperature,
        dict(model.report), dict(model.plan), 0,
    )  # fmt: skip
    return to_json(about)


def load_model(
    path: str | PathLike[str],
    *,
    activation: Activation | tuple[Activation, ...] | None = None,
    criterion: Criterion | None = None,
) -> Model:
    """Read what `save_model` wrote; nothing in the file is run.

    Arguments:
        path: the file.
        activation: the model's activation if it is custom: a file cannot hold a function.
        criterion: the model's criterion if it is custom.

    Returns:
        The model, its parameters to the bit.

    Raises:
        StorageError: a file that is missing, damaged, truncated, of another format or version; a custom function that
            was not passed, or another one than the file names.
        TypeError: float64 parameters while x64 is off.
        MissingDependencyError: safetensors is not installed.
    """
    validate_process()
    path = Path(path)
    arrays, metadata = read_arrays(path)
    if _NAME not in metadata:
        raise StorageError(f"{path}: not a model of jaxmlp")
    try:
        content = parse_json(metadata[_NAME], "model")
        if content.get("version") != _VERSION:
            version = f"version {content.get('version')!r:.40} of the format"
            raise StorageError(f"{path}: {version}; this jaxmlp reads version {_VERSION}, so train again")
        about = from_json(About, content, "model")
        if about.checksum != checksum(arrays, content):
            raise StorageError(f"{path} is damaged: its checksum does not fit its content")
        groups = tuple(_read_group(path, k, group, arrays, activation) for k, group in enumerate(about.groups))
        function = _function_of(path, "criterion", (about.criterion,), criterion, CRITERIA)[0]
        parts = {"recipe": about.recipe, "interval": about.interval, "temperature": about.temperature}
        return Model(groups, criterion=function, **parts, report=about.report, plan=about.plan)
    except StorageError:
        raise
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from None


def _name_of(function: Activation | Criterion, built_in: Mapping[str, object]) -> str:
    """Return the name of a built-in function; of a custom one, its name after "custom:"."""
    name = find_name(function, built_in)
    return name or f"custom:{getattr(function.fn, '__qualname__', type(function.fn).__name__)}"


def _read_group(path: Path, k: int, about: AboutGroup, arrays: dict[str, np.ndarray], activation: object) -> Group:
    validate_dtype("params", about.dtype)
    layers, members = [], len(about.weights)
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(about.sizes)):
        leaves = []
        for leaf, shape in (("w", (members, fan_in, fan_out)), ("b", (members, 1, fan_out))):
            name = f"groups.{k}.layers.{layer}.{leaf}"
            array = arrays.get(name)
            if array is None or (array.shape, str(array.dtype)) != (shape, about.dtype):
                raise StorageError(f"{path} is damaged: its array {name!r} does not fit its metadata")
            leaves.append(jax.device_put(array))
        layers.append(Layer(*leaves))
    functions = _function_of(path, "activation", about.activation, activation, ACTIVATIONS)
    encoding = None if about.encoding is None else restore_encoding(about.encoding, members)
    return Group(tuple(layers), np.array(about.weights), functions, about.scaling, encoding, about.target)


def _function_of(
    path: Path, argument: str, names: tuple[str, ...], given: object, built_in: Mapping[str, object]
) -> tuple[Any, ...]:
    """Return the functions that a file names; custom ones are passed by the caller."""
    functions = given if isinstance(given, tuple) else (given,) * len(names)
    custom = [name.removeprefix("custom:") for name in names if name.startswith("custom:")]
    if custom:
        if given is None:
            raise StorageError(
                f"{path}: {argument} {' and '.join(map(repr, custom))} is custom, and a file cannot hold a function; "
                f"pass {argument}="
            )
        return functions
    unknown = [name for name in names if name not in built_in]
    if unknown:
        raise ValueError(f"{argument} must be one of {', '.join(built_in)}; got {unknown[0]!r:.40}")
    stored = tuple(built_in[name] for name in names)
    if given is not None and functions != stored:
        raise StorageError(f"{path}: {argument} must be {', '.join(names)}, as saved, or not be passed")
    return stored
