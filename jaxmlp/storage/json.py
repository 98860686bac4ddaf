"""Dataclasses as JSON: written from their fields, and built from JSON with checks by their type annotations.

Reading runs nothing but `__post_init__` of the classes that the caller names. In a union of dataclasses, each has a
class attribute `kind: ClassVar[str]`, which stands in the JSON too and tells them apart.
"""

import dataclasses
import json
import math
import re
import sys
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

T = TypeVar("T")
Json = Any  # What JSON can hold: null, a bool, a number, a text, or a list or an object of these.
JsonObject = Mapping[str, Json]
_DEEPEST = 100  # Levels of nested lists and objects; Python's recursion ends at about 1000.
_SURROGATE = re.compile("[\ud800-\udfff]")
_SCALARS = (types.NoneType, bool, int, float, str)


def to_json(value: object) -> dict[str, Json]:
    """Return what `json.dumps` writes and `from_json` reads back, for a dataclass or NamedTuple.

    Raises:
        ValueError: a value that JSON cannot hold; its field is named.
    """
    try:
        return _require_shallow(_write(value, type(value).__name__), type(value).__name__)
    except RecursionError:
        raise ValueError(f"{type(value).__name__} is nested too deeply") from None


def from_json(cls: type[T], content: object, where: str = "recipe") -> T:
    """Return an instance of a dataclass or NamedTuple from what `json.loads` returns.

    Arguments:
        cls: the class. Its fields may be annotated as bool, int, float, str, None, Literal, Any, tuples, lists, dicts,
            np.ndarray, dataclasses, NamedTuples, and unions of these.
        content: a dict with exactly the fields of the class.
        where: the name of the whole in messages.

    Raises:
        ValueError: content that does not fit the annotations, or that `__post_init__` refuses; its field is named.
    """
    try:
        return _read(cls, content, where)
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply") from None


def parse_json(text: str, where: str = "recipe") -> dict[str, Json]:
    """Return the JSON object that is written in a text.

    Raises:
        ValueError: the text is something else.
    """
    try:
        content = json.loads(text, object_pairs_hook=_read_pairs)
    except (ValueError, RecursionError):
        raise ValueError(f"{where} must be JSON; it cannot be parsed") from None
    return _require(isinstance(_require_shallow(content, where), dict), content, where, "a JSON object")


def make_finite(value: object) -> Json:
    """Return the value as JSON can hold it: numbers of NumPy as Python's, None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: make_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [make_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name stands twice")
    return content


def _require_shallow(content: T, where: str) -> T:
    """Return the content if functions that call themselves for its parts can use it."""
    parts = [content]
    for _ in range(_DEEPEST):
        nested = [part.values() if isinstance(part, dict) else part for part in parts if isinstance(part, dict | list)]
        parts = [item for items in nested for item in items]
    if parts:
        raise ValueError(f"{where} is nested too deeply")
    return content


def _write(value: object, where: str) -> Json:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if any(_is_plain(annotation, value) for annotation in _SCALARS):
        return value
    fields, kind = _fields(type(value)), _kind(type(value))
    if fields is not None:
        content = {} if kind is None else {"kind": kind}
        return content | {name: _write(getattr(value, name), f"{where}.{name}") for name in fields}
    if isinstance(value, list | tuple):
        return [_write(item, f"{where}[{k}]") for k, item in enumerate(value)]
    if isinstance(value, Mapping) and all(_is_plain(str, name) for name in value):
        return {name: _write(item, f"{where}.{name}") for name, item in value.items()}
    raise ValueError(f"{where} must hold what JSON can; got {_shorten(value)}")


def _read(annotation: Any, content: Json, where: str) -> Any:
    """Return `content` as a value of the annotated type."""
    if annotation is Any:
        return _write(content, where)
    if annotation in _PLAIN:
        _require(_is_plain(annotation, content), content, where, _PLAIN[annotation])
        if annotation is np.ndarray:
            return np.asarray(content, np.float64)
        return float(content) if annotation is float else content
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _read_union(args, content, where)
    if origin is Literal:
        is_valid = any(type(option) is type(content) and option == content for option in args)
        return _require(is_valid, content, where, f"one of {', '.join(map(str, args))}")
    if origin is tuple and args[-1] is not Ellipsis:
        _require(isinstance(content, list) and len(content) == len(args), content, where, f"a list of {len(args)}")
        return tuple(_read(*pair, f"{where}[{k}]") for k, pair in enumerate(zip(args, content, strict=True)))
    if origin in (tuple, list):
        items = enumerate(_require(isinstance(content, list), content, where, "a list"))
        return origin(_read(args[0], item, f"{where}[{k}]") for k, item in items)
    if origin in (dict, Mapping):
        is_object = isinstance(content, dict) and all(_is_plain(str, name) for name in content)
        items = _require(is_object, content, where, "an object").items()
        return {name: _read(args[1], item, f"{where}.{name}") for name, item in items}
    return _read_fields(annotation, content, where)


def _read_union(options: tuple[object, ...], content: Json, where: str) -> Any:
    kinds = {_kind(option): option for option in options if _kind(option) is not None}
    if kinds and isinstance(content, dict):
        kind = content.get("kind")
        _require(isinstance(kind, str) and kind in kinds, kind, f"{where}.kind", f"one of {', '.join(map(str, kinds))}")
        return _read_fields(kinds[kind], content, where)
    others = [option for option in options if option not in _PLAIN]
    fitting = [option for option in options if option in _PLAIN and _is_plain(option, content)]
    if not fitting and isinstance(content, dict | list) and len(others) == 1:
        fitting = others
    names = [_PLAIN[option] for option in options if option in _PLAIN] + ["an object"] * bool(others)
    _require(bool(fitting), content, where, " or ".join(names))
    return _read(fitting[0], content, where)


def _read_fields(cls: Any, content: Json, where: str) -> Any:
    fields = _fields(cls)
    if fields is None:
        raise TypeError(f"{where} has the annotation {cls}, which cannot be read from JSON")
    _require(isinstance(content, dict), content, where, "an object")
    expected = sorted({*fields} if _kind(cls) is None else {*fields, "kind"})
    if sorted(content) != expected:
        raise ValueError(f"{where} must have the fields {', '.join(expected)}; got {_shorten(sorted(content))}")
    annotations = get_type_hints(cls)
    values = {name: _read(annotations[name], content[name], f"{where}.{name}") for name in fields}
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:  # of __post_init__
        raise ValueError(f"{where}: {error}") from None


def _fields(cls: object) -> tuple[str, ...] | None:
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls) if field.init)
    return getattr(cls, "_fields", None)


def _kind(cls: object) -> str | None:
    """Return the class attribute that tells the dataclasses of a union apart."""
    return getattr(cls, "kind", None) if dataclasses.is_dataclass(cls) and "kind" not in (_fields(cls) or ()) else None


def _is_plain(annotation: object, content: object) -> bool:
    if annotation is np.ndarray:
        return isinstance(content, list) and _shape(content) is not None
    if annotation is float:
        return (type(content) is int or type(content) is float) and abs(content) <= sys.float_info.max
    if annotation is int:
        return type(content) is int and abs(content) < 2**63
    if annotation is str:
        return type(content) is str and not _SURROGATE.search(content)  # which are not Unicode
    return type(content) is annotation


def _shape(content: object) -> tuple[int, ...] | None:
    """Return the shape of a number, or of a list of items of equal shape; None for anything else."""
    if not isinstance(content, list):
        return () if _is_plain(float, content) else None
    shapes = {_shape(item) for item in content}
    first = next(iter(shapes), ())
    return None if first is None or len(shapes) > 1 else (len(content), *first)


def _require(is_valid: bool, content: T, where: str, expected: str) -> T:
    """Return the content if it is valid."""
    if not is_valid:
        raise ValueError(f"{where} must be {expected}; got {_shorten(content)}")
    return content


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"


# Types without parts, and their names in messages. A bool is no number, though Python takes it for one.
_PLAIN: dict[object, str] = {
    types.NoneType: "null", bool: "true or false", int: "a whole number", float: "a finite number", str: "a string",
    np.ndarray: "a list of numbers",
}  # fmt: skip
