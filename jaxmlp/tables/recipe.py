"""The recipe: how a table becomes the inputs and targets of a network, and its outputs a table of predictions."""

import json
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from jaxmlp._validation import count
from jaxmlp.storage.json import from_json, parse_json, to_json
from jaxmlp.tables import polars
from jaxmlp.tables.columns import Boolean, Column, Constant, Levels, MissingIndicator, Number
from jaxmlp.tables.dates import DateOrder
from jaxmlp.tables.findings import Finding, Notes
from jaxmlp.tables.messages import join, quote_if_odd, require_columns
from jaxmlp.tables.numbers import PLAIN, Decimal, NumberStyle
from jaxmlp.tables.targets import TableTask, class_names, encode_target
from jaxmlp.tables.temporal import Clock, Date
from jaxmlp.tables.values import Class, prepare

_FORMAT = {"format": "jaxmlp recipe", "version": 2}


@dataclass(frozen=True)
class Recipe:
    """What was learned about a table from its training rows. `learn_recipe` makes it; a model stores it."""

    task: TableTask
    target: str
    columns: tuple[Column, ...]
    classes: tuple[Class, ...] = ()  # of a classification: in order, of the target's type
    left_out: tuple[tuple[str, str], ...] = ()  # (column, reason)
    remarks: tuple[str, ...] = ()  # warnings about columns that are used, a sentence each
    constants: tuple[Constant, ...] = ()  # columns that are left out because their values are equal or missing
    style: NumberStyle = PLAIN  # how the numbers of the target are written
    digits: int | None = None  # decimals of predictions in a table; None for all
    missing: tuple[str, ...] = ()  # what the user has named as missing values

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("columns must not be empty")
        names = [self.target, *(column.name for column in (*self.columns, *self.constants))]
        if len({*names}) < len(names):
            raise ValueError("columns must have different names, none that of the target")
        classes = list(self.classes)
        if len({type(name) for name in classes}) > 1 or sorted({*classes}) != classes:
            raise ValueError(f"classes must be different, in order and of the same type; got {classes!r:.80}")
        if (self.task == "classification") != (len(classes) > 1):
            raise ValueError(f"classes must have at least 2 values for classification, else none; got {len(classes)}")

    @property
    def n_inputs(self) -> int:
        """Number of inputs of the network."""
        return len(self.input_names())

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the network."""
        return len(self.classes) or 1

    def input_names(self) -> list[str]:
        """Return a name for each input of the network, such as "rooms", "rooms is missing" or "city is Oslo"."""
        return [name for column in self.columns for name in column.input_names()]

    def class_names(self) -> list[str]:
        """Return the classes as text; an empty list for regression and counts."""
        return class_names(self.classes)

    def output_columns(self) -> list[str]:
        """Return the names of the columns that `decode` returns; the prediction is the last."""
        return [*(f"probability_{name}" for name in self.class_names()), "prediction"]

    def groups(self) -> list[range]:
        """Return the indices of the inputs that each of `columns` becomes."""
        ends = np.cumsum([len(column.input_names()) for column in self.columns]).tolist()
        return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def inputs(self, frame: "polars.DataFrame") -> tuple[np.ndarray, list[str]]:
        """Return a table as inputs of the network, and notes for the user.

        Arguments:
            frame: n rows. Columns are found by name; those that the recipe does not use are ignored.

        Returns:
            x, (n, n_inputs) float64: numbers in their own unit, missing ones replaced by the training mean; levels and
            missing-value indicators as 0 or 1. Then notes on values that were not seen in training, a sentence each.

        Raises:
            TableError: a column is missing, or holds a value that is not a number below 1e30 where numbers are needed.
        """
        x, findings = self.encode(frame)
        return x, Notes().add(finding for finding in findings if finding.is_warning).lines()

    def encode(self, frame: "polars.DataFrame") -> tuple[np.ndarray, list[Finding]]:
        """Return the same as `inputs`, but what was found about the values as data."""
        names = [column.name for column in self.columns]
        require_columns(frame, names)
        constants = [constant for constant in self.constants if constant.name in frame.columns]
        frame = prepare(frame, [*names, *(constant.name for constant in constants)], self.missing)
        x, findings = np.zeros((frame.height, self.n_inputs)), []
        for column, group in zip(self.columns, self.groups(), strict=True):
            findings += column.encode(frame[column.name], x[:, group.start : group.stop])
        for constant in constants:
            findings += constant.encode(frame[constant.name])
        return x, findings

    def targets(self, frame: "polars.DataFrame") -> tuple[np.ndarray, np.ndarray]:
        """Return the target of a table, and which rows have one.

        Arguments:
            frame: n rows.

        Returns:
            y, (n, n_outputs) float64: numbers in the target's own unit, one-hot classes, or counts; 0 in rows without a
            target. Then has_target, (n,) bool.

        Raises:
            TableError: the column is missing, or holds an unknown class, a negative count or no number.
        """
        require_columns(frame, [self.target])
        return encode_target(
            prepare(frame, [self.target], self.missing)[self.target], self.task, self.classes, self.style
        )

    def decode(self, mean: ArrayLike) -> "polars.DataFrame":
        """Return predictions as a table.

        Arguments:
            mean: (n, n_outputs), in the target's own unit: numbers, class probabilities, or mean counts.

        Returns:
            A table with the columns `output_columns()`, n rows: the probabilities of a classification, float64, and the
            prediction, which is a number or the most probable class.

        Raises:
            ValueError: `mean` has another shape.
        """
        mean = np.asarray(mean, np.float64)
        if mean.ndim != 2 or mean.shape[1] != self.n_outputs:
            raise ValueError(f"mean must have shape (n, n_outputs) = (n, {self.n_outputs}); got {mean.shape}")
        if not self.classes:
            return polars.DataFrame({"prediction": mean[:, 0]})
        prediction = polars.Series(self.classes).gather(mean.argmax(axis=1))
        return polars.DataFrame(dict(zip(self.output_columns(), [*mean.T, prediction], strict=True)))

    def describe(self) -> list[str]:
        """Return what was decided about the table, in a few lines."""
        lines = [f"{count(len(self.columns), 'column')}: {', '.join(self._count_kinds())}"]
        numbers = [column for column in self.columns if isinstance(column, Number)]
        filled = [f"{quote_if_odd(c.name)} ({c.missing} missing, mean {c.fill:.4g})" for c in numbers if c.missing]
        if filled:
            lines.append(f"Missing values replaced by the mean, plus an indicator column: {join(filled)}")
        decided = [c for c in self.columns if isinstance(c, Date | Clock | Boolean) or getattr(c, "rare", ())]
        decided += [c for c in numbers if c.style != PLAIN]
        lines += [f"{quote_if_odd(column.name)}: {_shorten(column)}" for column in decided]
        if self.style != PLAIN:
            lines.append(f"{quote_if_odd(self.target)}, the target: {self.style.describe()}")
        if self.missing:
            lines.append(f"Missing values, as given: {join(map(quote_if_odd, self.missing))}")
        left_out = [f"{quote_if_odd(name)} ({reason})" for name, reason in self.left_out]
        lines += [f"Left out: {', '.join(left_out[k : k + 12])}" for k in range(0, len(left_out), 12)]
        if self.classes:
            lines.append(f"Classes of {quote_if_odd(self.target)}: {join(map(quote_if_odd, self.class_names()))}")
        return [*lines, *self.remarks]

    def _count_kinds(self) -> list[str]:
        """Return how many columns there are of each kind."""

        def of(*kinds: type) -> list[Column]:
            return [column for column in self.columns if isinstance(column, kinds)]

        parts = [count(len(of(Number)), "number")] if of(Number) else []
        if of(Levels, Boolean):
            levels = sum(len(column.input_names()) for column in of(Levels, Boolean))
            parts.append(f"{len(of(Levels, Boolean))} one-hot ({count(levels, 'level')})")
        parts += [count(len(of(kind)), noun) for kind, noun in ((Date, "date"), (Clock, "clock time")) if of(kind)]
        if of(MissingIndicator):
            names = join(quote_if_odd(column.name) for column in of(MissingIndicator))
            parts.append(f"{count(len(of(MissingIndicator)), 'missing-value indicator')} ({names})")
        return parts

    def read_as(self, decimal: Decimal | None, date_order: DateOrder | None) -> "Recipe":
        """Return the recipe for tables that have another decimal mark, or another order of dates; None for the same."""

        def change(column: Column | Constant) -> Column | Constant:
            if decimal is not None and isinstance(column, Number | MissingIndicator | Constant):
                return replace(column, style=replace(column.style, decimal=decimal))
            if date_order is not None and isinstance(column, Date):
                return replace(column, order=date_order)
            return column

        columns, constants = (tuple(map(change, columns)) for columns in (self.columns, self.constants))
        return replace(self, columns=columns, constants=constants)

    def to_json(self) -> str:
        """Return the recipe as JSON, which `from_json` reads back exactly."""
        return json.dumps(_FORMAT | to_json(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Return the recipe that `to_json` wrote.

        Raises:
            ValueError: the text is not a recipe, or one of another version; the field is named.
        """
        content = parse_json(text, "recipe")
        for name, expected in _FORMAT.items():
            value = content.pop(name, None)
            if value != expected:
                raise ValueError(f"recipe.{name} must be {expected!r}; got {value!r:.80}")
        return from_json(cls, content, "recipe")


def _shorten(column: Column) -> str:
    """Return what was decided about a column, without the names of many levels."""
    if isinstance(column, Levels):
        n = len(column.levels) - (None in column.levels)
        return f"the {n} most frequent of {n + len(column.rare)} levels; the rest share one input"
    return "yes and no" if isinstance(column, Boolean) else column.describe()
