"""JSON: dataclasses are written and read back, and what does not fit is named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pytest

from jaxmlp.storage.json import from_json, parse_json, to_json

pytestmark = pytest.mark.portable


@dataclass(frozen=True)
class Point:
    kind: ClassVar[str] = "point"
    x: float

    def __post_init__(self):
        if self.x < 0:
            raise ValueError(f"x must not be negative; got {self.x}")


@dataclass(frozen=True)
class Levels:
    kind: ClassVar[str] = "levels"
    names: tuple[str | None, ...]


class Line(NamedTuple):
    center: np.ndarray
    closed: bool


@dataclass(frozen=True)
class Shape:
    parts: tuple[Point | Levels, ...]
    line: Line | None
    classes: tuple[str | bool | int | float, ...]
    pair: tuple[str, int]
    task: Literal["round", "square"]
    sizes: list[int]
    scores: dict[str, float]
    notes: Mapping[str, Any]
    factor: float = 1.0


LINE = Line(np.array([1.5, 2.0]), True)
SHAPE = Shape(
    (Point(0.5), Levels(("a", None))), LINE, ("1", True, 1, 1.0), ("a", 3), "round", [4], {"r2": 0.5}, {"a": [None, {}]}
)


def content(**changes):
    return json.loads(json.dumps(to_json(SHAPE))) | changes


def test_what_is_written_is_read_back():
    again = from_json(Shape, content())
    assert again.line is not None
    np.testing.assert_array_equal(again.line.center, LINE.center)
    assert again.line.closed is True
    assert replace(again, line=None) == replace(SHAPE, line=None)
    assert list(map(type, again.classes)) == [str, bool, int, float]
    assert to_json(again) == to_json(SHAPE)
    assert content()["parts"][1] == {"kind": "levels", "names": ["a", None]}
    empty = replace(SHAPE, line=None, parts=())
    assert from_json(Shape, to_json(empty)) == empty


@pytest.mark.parametrize("shape", [(0,), (2, 1), (2, 0), (2, 0, 0), (2, 1, 3)])
def test_an_array_of_any_rank_is_read_back(shape):
    center = np.arange(float(np.prod(shape))).reshape(shape)
    again = from_json(Shape, to_json(replace(SHAPE, line=Line(center, False)))).line
    assert again is not None
    expected = (2, 0) if shape == (2, 0, 0) else shape  # A list without items does not tell how many axes follow.
    assert again.center.shape == expected
    np.testing.assert_array_equal(again.center, center.reshape(expected))


def test_numpys_numbers_are_written_as_pythons():
    assert to_json(replace(SHAPE, factor=np.float64(2), sizes=[np.int64(3)])) == content(factor=2.0, sizes=[3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factor": "1"}, "shape.factor must be a finite number; got '1'"),
        ({"factor": True}, "shape.factor must be a finite number; got True"),
        ({"factor": float("nan")}, "shape.factor must be a finite number; got nan"),
        ({"factor": 10**400}, "shape.factor must be a finite number; got 1000"),
        ({"sizes": [1, 2.0]}, r"shape.sizes\[1\] must be a whole number; got 2.0"),
        ({"sizes": [True]}, r"shape.sizes\[0\] must be a whole number; got True"),
        ({"sizes": [10**400]}, r"shape.sizes\[0\] must be a whole number; got 1000"),
        ({"sizes": [2**63]}, r"shape.sizes\[0\] must be a whole number; got 9223"),
        ({"pair": ["\ud800", 1]}, r"shape.pair\[0\] must be a string; got '.ud800'"),
        ({"notes": {"\udfff": 1}}, "shape.notes must be an object; got"),
        ({"notes": {"a": {"\udfff": 1}}}, "shape.notes.a must hold what JSON can"),
        ({"sizes": 3}, "shape.sizes must be a list; got 3"),
        ({"pair": ["a"]}, "shape.pair must be a list of 2"),
        ({"task": "oval"}, "shape.task must be one of round, square; got 'oval'"),
        ({"scores": {"r2": None}}, "shape.scores.r2 must be a finite number; got None"),
        ({"scores": []}, "shape.scores must be an object"),
        ({"notes": {"a": [float("inf")]}}, r"shape.notes.a\[0\] must hold what JSON can; got inf"),
        ({"classes": [[]]}, r"shape.classes\[0\] must be a string or true or false or a whole number or a finite"),
        ({"line": 3}, "shape.line must be null or an object; got 3"),
        ({"line": {"center": [1.0]}}, "shape.line must have the fields center, closed; got .'center'"),
        ({"line": {"center": 1.0, "closed": True}}, "shape.line.center must be a list of numbers; got 1.0"),
        ({"line": {"center": [[1.0], ["a"]], "closed": True}}, "shape.line.center must be a list of numbers"),
        ({"line": {"center": [[1.0], 2.0], "closed": True}}, "shape.line.center must be a list of numbers"),
        ({"line": {"center": [[1.0], [2.0, 3.0]], "closed": True}}, "shape.line.center must be a list of numbers"),
        ({"line": {"center": [[[1], [2]], [[1, 2], [3, 4]]], "closed": True}}, "shape.line.center must be a list of"),
        ({"line": {"center": [1.0], "closed": 1}}, "shape.line.closed must be true or false; got 1"),
        ({"parts": [{"x": 1.0}]}, r"shape.parts\[0\].kind must be one of point, levels; got None"),
        ({"parts": [{"kind": [], "x": 1.0}]}, r"shape.parts\[0\].kind must be one of point, levels"),
        ({"parts": [{"kind": "point", "x": -1}]}, r"shape.parts\[0\]: x must not be negative; got -1"),
        ({"parts": [{"kind": "point", "y": 1}]}, r"shape.parts\[0\] must have the fields kind, x; got"),
        ({"parts": [None]}, r"shape.parts\[0\] must be an object; got None"),
        ({"other": 1}, "shape must have the fields classes, .*; got"),
        ({"task": "x" * 500}, "got 'x{79}…$"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        from_json(Shape, content(**changes), "shape")


def test_what_json_cannot_hold_is_named():
    for value in (np.inf, object(), {1: 2}, {"a": {1, 2}}, "\ud800", 10**400):
        with pytest.raises(ValueError, match=r"Shape.notes.* must hold what JSON can"):
            to_json(replace(SHAPE, notes={"a": value}))


def test_a_text_must_be_a_json_object():
    assert parse_json('{"a": 1}') == {"a": 1}
    for text in ("", "[1]", "{", "[" * 100_000, '{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 1}}'):
        with pytest.raises(ValueError, match="plan must be"):
            parse_json(text, "plan")
    deep: Any = []
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(ValueError, match="plan is nested too deeply"):
        from_json(Shape, content(notes={"a": deep}), "plan")
    with pytest.raises(ValueError, match="Shape is nested too deeply"):
        to_json(replace(SHAPE, notes={"a": deep}))
    for depth, is_valid in ((50, True), (150, False), (900, False)):
        text = '{"a": ' + "[" * depth + "]" * depth + "}"
        if is_valid:
            assert to_json(replace(SHAPE, notes=parse_json(text)))["notes"] == json.loads(text)
        else:
            with pytest.raises(ValueError, match="plan is nested too deeply"):
                parse_json(text, "plan")
