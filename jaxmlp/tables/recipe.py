"""The recipe: how a table becomes the inputs and targets of a network, and its outputs predictions."""

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxmlp._validation import require
from jaxmlp.tables.columns import (
    BOOLEANS,
    Column,
    Number,
    OneHot,
    Presence,
    TableError,
    codes,
    counted,
    listed,
    missing,
    named,
    numbers,
    short,
    where,
)

if TYPE_CHECKING:
    from polars import DataFrame

TASKS = ("regression", "classification", "counts")
_KINDS = {"number": Number, "one-hot": OneHot, "presence": Presence}
_FORMAT, _VERSION = "jaxmlp recipe", 2

Class = str | bool | int | float


@dataclass(frozen=True)
class Recipe:
    """What was learnt of a table on its training rows; `learn_recipe` makes it, a model is stored with it."""

    task: str  # one of TASKS
    target: str
    columns: tuple[Column, ...]
    classes: tuple[Class, ...] = ()  # of a classification, in order; all of one type, the target's own
    left_out: tuple[tuple[str, str], ...] = ()  # (column, reason)
    remarks: tuple[str, ...] = ()  # what is doubtful, a sentence each

    @property
    def n_inputs(self) -> int:
        """Columns of the network's input."""
        return len(self.input_names())

    @property
    def n_outputs(self) -> int:
        """Columns of the network's output."""
        return len(self.classes) or 1

    def input_names(self) -> list[str]:
        """Return a name for each column of the network's input: "rooms", "rooms is missing", "city is Oslo"."""
        return [name for column in self.columns for name in column.input_names()]

    def groups(self) -> list[range]:
        """Return the input columns that each column of the table becomes."""
        ends = np.cumsum([len(column.input_names()) for column in self.columns]).tolist()
        return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def inputs(self, frame: "DataFrame") -> tuple[np.ndarray, list[str]]:
        """A table as inputs.

        Arguments:
            frame: n rows; columns are found by name, those that the recipe does not know are ignored.

        Returns:
            x (n, n_inputs) float64: numbers in their own unit, levels and missing values as 0 or 1; and notes for the
            user, a sentence each.

        Raises:
            TableError: a column is missing, or a value is not a number where there must be one.
        """
        absent = [column.name for column in self.columns if column.name not in frame.columns]
        if absent:
            names = listed(map(short, absent))
            raise TableError(f"no column {names}; the columns are {listed(map(short, frame.columns))}")
        x, notes = np.zeros((frame.height, self.n_inputs)), []
        for column, group in zip(self.columns, self.groups(), strict=True):
            notes += column.encode(frame[column.name], x[:, group.start : group.stop])
        return x, notes

    def targets(self, frame: "DataFrame") -> tuple[np.ndarray, np.ndarray]:
        """The target of a table, in the network's terms.

        Arguments:
            frame: n rows.

        Returns:
            y (n, n_outputs) float64: numbers in the target's unit, one-hot classes, or counts; and has_target, (n,)
            bool: y is 0 in rows without a target.

        Raises:
            TableError: the target is missing, or holds a value that it cannot.
        """
        column = target_column(frame, self.target)
        has_target = ~missing(column)
        y = np.zeros((frame.height, self.n_outputs))
        if self.task == "classification":
            code = class_codes(column, self.classes)
            strange = np.flatnonzero(has_target & (code < 0))
            if len(strange):
                value = str(column[int(strange[0])])
                raise TableError(f"{where(column, strange[0])}: no class {short(value)} among the training rows")
            y[has_target, code[has_target]] = 1
            return y, has_target
        y[:, 0] = np.where(has_target, numbers(column), 0)
        if self.task == "counts" and y.min(initial=0) < 0:
            row = np.argmax(y[:, 0] < 0)
            raise TableError(f"{where(column, row)}: {column[int(row)]} is not a count; counts are 0 or more")
        return y, has_target

    def output_columns(self) -> list[str]:
        """The names of the columns that `decode` returns; the prediction is the last."""
        return [f"probability_{_word(name)}" for name in self.classes] + ["prediction"]

    def decode(self, mean: Any) -> "DataFrame":
        """What a network predicts, in the terms of the table.

        Arguments:
            mean: (n, n_outputs): predicted numbers, class probabilities, or mean counts.

        Returns:
            A table of `output_columns()`, n rows: the prediction, float64; or the probabilities and the most probable
            class, of the target's type.

        Raises:
            ValueError: `mean` has another shape.
        """
        polars = require("polars", extra="tables")
        mean = np.asarray(mean, np.float64)
        if mean.ndim != 2 or mean.shape[1] != self.n_outputs:
            raise ValueError(f"mean must have shape (n, n_outputs) = (n, {self.n_outputs}); got {mean.shape}")
        if self.task != "classification":
            return polars.DataFrame({"prediction": mean[:, 0]})
        names = self.output_columns()
        columns = {name: mean[:, k] for k, name in enumerate(names[:-1])}
        return polars.DataFrame(columns | {names[-1]: polars.Series(self.classes).gather(mean.argmax(axis=1))})

    def describe(self) -> list[str]:
        """What was decided, in a few lines."""
        number = [column for column in self.columns if isinstance(column, Number)]
        one_hot = [column for column in self.columns if isinstance(column, OneHot)]
        presence = [column.name for column in self.columns if isinstance(column, Presence)]
        parts = [counted(len(number), "number")] if number else []
        if one_hot:
            parts.append(f"{len(one_hot)} one-hot ({counted(sum(len(column.levels) for column in one_hot), 'level')})")
        if presence:
            parts.append(f"{len(presence)} used only as to whether there is a value ({listed(map(named, presence))})")
        lines = [f"{counted(len(self.columns), 'column')}: {', '.join(parts)}"]
        filled = [f"{named(c.name)} ({c.missing} missing, mean {c.fill:.4g})" for c in number if c.missing]
        if filled:
            lines.append(f"Missing values are filled with the mean and get an indicator column: {listed(filled)}")
        if self.left_out:
            lines.append(f"Left out: {listed(f'{named(name)} ({reason})' for name, reason in self.left_out)}")
        if self.classes:
            lines.append(f"Classes of {named(self.target)}: {listed(named(_word(name)) for name in self.classes)}")
        return lines + list(self.remarks)

    def to_json(self) -> str:
        """All of it as JSON, which `from_json` reads back exactly."""
        kinds = {kind: name for name, kind in _KINDS.items()}
        columns = [{"kind": kinds[type(column)]} | asdict(column) for column in self.columns]
        content = {field.name: getattr(self, field.name) for field in fields(self)} | {"columns": columns}
        return json.dumps({"format": _FORMAT, "version": _VERSION} | content, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe that `to_json` wrote.

        Raises:
            ValueError: it is not one, or of a newer version.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("recipe must be JSON, as Recipe.to_json writes; it cannot be parsed") from None
        if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
            raise ValueError("recipe must be what Recipe.to_json writes; got other JSON")
        version = content.pop("version", None)
        if version != _VERSION:
            raise ValueError(f"recipe must be of version {_VERSION}; got {version!r}: written by another jaxmlp")
        recipe = _built(cls, content | {"columns": _columns(content.get("columns"))})
        if (recipe.task == "classification") != (len(recipe.classes) > 1):
            raise ValueError(f"recipe: {recipe.task} cannot have {len(recipe.classes)} classes")
        return recipe


def target_column(frame: "DataFrame", target: str) -> Any:
    """The column to predict."""
    if target not in frame.columns:
        raise TableError(f"no column {short(target)}; the columns are {listed(map(short, frame.columns))}")
    return frame[target]


def class_codes(column: Any, classes: tuple[Class, ...]) -> np.ndarray:
    """The index among `classes` of each value, (n,); -1 where there is none."""
    if isinstance(classes[0], bool):
        return codes(column, BOOLEANS)
    if isinstance(classes[0], str):
        return codes(column, classes)  # type: ignore[arg-type]
    values = numbers(column)
    code = np.minimum(np.searchsorted(np.asarray(classes, np.float64), values), len(classes) - 1)
    return np.where(np.asarray(classes, np.float64)[code] == values, code, -1)


def _columns(content: Any) -> tuple[Column, ...]:
    if not isinstance(content, list) or not all(isinstance(column, dict) for column in content):
        raise ValueError("recipe.columns must be a list of objects")
    kinds = [column.pop("kind", None) for column in content]
    if not all(isinstance(kind, str) and kind in _KINDS for kind in kinds):
        raise ValueError(f"recipe.columns must be of kinds {', '.join(_KINDS)}; got {kinds}")
    return tuple(_built(_KINDS[kind], column) for kind, column in zip(kinds, content, strict=True))


def _built(kind: type, content: dict[str, Any]) -> Any:
    """An instance of a dataclass from what JSON held; each field must be there and what it must be, and no other."""
    names = {field.name for field in fields(kind)}
    if content.keys() != names:
        raise ValueError(f"recipe: {kind.__name__} must have the fields {sorted(names)}; got {sorted(content)}")
    for name, value in content.items():
        if not _VALID[name](value):
            raise ValueError(f"recipe: {kind.__name__}.{name} cannot be {repr(value)[:80]}")
    lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
    if "left_out" in lists:
        lists["left_out"] = tuple(tuple(pair) for pair in lists["left_out"])
    return kind(**content | lists)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_classes(value: Any) -> bool:
    """Distinct, in order, all of one type."""
    if not isinstance(value, list) or len({type(item) for item in value}) > 1:
        return False
    return all(isinstance(item, str | bool) or _is_number(item) for item in value) and sorted(set(value)) == value


def _are_levels(value: Any) -> bool:
    """Distinct texts in order, at least one; a gap may follow them."""
    texts = value[:-1] if isinstance(value, list) and value[-1:] == [None] else value
    return bool(texts) and _are_texts(texts) and sorted(set(texts)) == texts


_VALID = {
    "task": TASKS.__contains__,
    "target": lambda value: isinstance(value, str),
    "name": lambda value: isinstance(value, str),
    "columns": lambda value: len(value) > 0,
    "classes": _are_classes,
    "levels": _are_levels,
    "fill": _is_number,
    "missing": lambda value: type(value) is int and value >= 0,
    "left_out": lambda value: isinstance(value, list) and all(_are_texts(pair) and len(pair) == 2 for pair in value),
    "remarks": _are_texts,
}


def _word(name: Class) -> str:
    return BOOLEANS[name] if isinstance(name, bool) else str(name)
