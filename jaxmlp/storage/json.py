"""Dataclasses as JSON: written from their fields, and built from JSON with checks by their type annotations.

Reading runs nothing but `__post_init__` of the classes that the caller names. In a union of dataclasses, each has a
class attribute `kind: ClassVar[str]`, which stands in the JSON too and tells them apart.
"""

import dataclasses
import json
import math
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

T = TypeVar("T")


def to_json(value: Any) -> dict[str, Any]:
    """Return what `json.dumps` writes and `from_json` reads back, for a dataclass or NamedTuple.

    Raises:
        ValueError: a value that JSON cannot hold; its field is named.
    """
    return _write(value, type(value).__name__)


def from_json(cls: type[T], content: Any, where: str = "recipe") -> T:
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


def parse_json(text: str, where: str = "recipe") -> dict[str, Any]:
    """Return the JSON object that is written in a text.

    Raises:
        ValueError: the text is something else.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{where} must be JSON; it cannot be parsed") from None
    _require(isinstance(content, dict), content, where, "a JSON object")
    return content


def make_finite(value: Any) -> Any:
    """Return the value as JSON can hold it: numbers of NumPy as Python's, None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: make_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [make_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shorten(value: Any, length: int = 80) -> str:
    """Return the `repr` of a value, cut to a length."""
    text = repr(value)
    return text if len(text) <= length else text[:length] + "…"


def _write(value: Any, where: str) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    fields = _fields(type(value))
    if fields is not None:
        kind = _kind(type(value))
        content = {} if kind is None else {"kind": kind}
        return content | {name: _write(getattr(value, name), f"{where}.{name}") for name in fields}
    if isinstance(value, list | tuple):
        return [_write(item, f"{where}[{k}]") for k, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _write(item, f"{where}.{name}") for name, item in value.items()}
    raise ValueError(f"{where} must hold what JSON can; got {shorten(value)}")


def _read(annotation: Any, content: Any, where: str) -> Any:
    """Return `content` as a value of the annotated type."""
    if annotation is Any:
        return _write(content, where)
    if annotation in _PLAIN:
        is_valid, convert, name = _PLAIN[annotation]
        _require(is_valid(content), content, where, name)
        return convert(content)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _read_union(args, content, where)
    if origin is Literal:
        is_valid = any(type(option) is type(content) and option == content for option in args)
        _require(is_valid, content, where, f"one of {', '.join(map(str, args))}")
        return content
    if origin is tuple and args[-1] is not Ellipsis:
        _require(isinstance(content, list) and len(content) == len(args), content, where, f"a list of {len(args)}")
        return tuple(_read(*pair, f"{where}[{k}]") for k, pair in enumerate(zip(args, content, strict=True)))
    if origin in (tuple, list):
        _require(isinstance(content, list), content, where, "a list")
        return origin(_read(args[0], item, f"{where}[{k}]") for k, item in enumerate(content))
    if origin in (dict, Mapping):
        _require(isinstance(content, dict), content, where, "an object")
        return {name: _read(args[1], item, f"{where}.{name}") for name, item in content.items()}
    return _read_fields(annotation, content, where)


def _read_union(options: tuple[Any, ...], content: Any, where: str) -> Any:
    kinds = {_kind(option): option for option in options if _kind(option) is not None}
    if kinds and isinstance(content, dict):
        kind = content.get("kind")
        _require(isinstance(kind, str) and kind in kinds, kind, f"{where}.kind", f"one of {', '.join(map(str, kinds))}")
        return _read_fields(kinds[kind], content, where)
    plain = [option for option in options if option in _PLAIN]
    for option in plain:
        if _PLAIN[option][0](content):
            return _read(option, content, where)
    others = [option for option in options if option not in _PLAIN]
    if isinstance(content, dict | list) and len(others) == 1:
        return _read(others[0], content, where)
    names = [_PLAIN[option][2] for option in plain] + ["an object"] * bool(others)
    raise ValueError(f"{where} must be {' or '.join(names)}; got {shorten(content)}")


def _read_fields(cls: Any, content: Any, where: str) -> Any:
    fields, kind = _fields(cls), _kind(cls)
    if fields is None:
        raise TypeError(f"{where} has the annotation {cls}, which cannot be read from JSON")
    _require(isinstance(content, dict), content, where, "an object")
    expected = {*fields} if kind is None else {*fields, "kind"}
    if content.keys() != expected:
        raise ValueError(f"{where} must have the fields {', '.join(sorted(expected))}; got {shorten(sorted(content))}")
    if kind is not None:
        _require(content["kind"] == kind, content["kind"], f"{where}.kind", kind)
    annotations = get_type_hints(cls)
    values = {name: _read(annotations[name], content[name], f"{where}.{name}") for name in fields}
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:  # of __post_init__
        raise ValueError(f"{where}: {error}") from None


def _fields(cls: Any) -> tuple[str, ...] | None:
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls) if field.init)
    return getattr(cls, "_fields", None)


def _kind(cls: Any) -> str | None:
    """Return the class attribute that tells the dataclasses of a union apart."""
    return getattr(cls, "kind", None) if dataclasses.is_dataclass(cls) and "kind" not in (_fields(cls) or ()) else None


def _require(is_valid: bool, content: Any, where: str, expected: str) -> None:
    if not is_valid:
        raise ValueError(f"{where} must be {expected}; got {shorten(content)}")


def _is_number(content: Any) -> bool:
    if type(content) is int:
        return abs(content) < 10**300
    return type(content) is float and math.isfinite(content)


def _to_array(content: list[float]) -> np.ndarray:
    return np.asarray(content, np.float64)


# Types without parts: (is valid, convert, name in messages). A bool is no number, though Python takes it for one.
_PLAIN: dict[Any, tuple[Callable[[Any], bool], Callable[[Any], Any], str]] = {
    type(None): (lambda content: content is None, lambda content: None, "null"),
    bool: (lambda content: type(content) is bool, bool, "true or false"),
    int: (lambda content: type(content) is int, int, "a whole number"),
    float: (_is_number, float, "a finite number"),
    str: (lambda content: type(content) is str, str, "a string"),
    np.ndarray: (
        lambda content: isinstance(content, list) and all(map(_is_number, content)), _to_array, "a list of numbers",
    ),
}  # fmt: skip
