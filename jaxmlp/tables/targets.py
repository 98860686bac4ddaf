"""Learn the target: the task, the classes, and how its numbers are written."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from jaxmlp._validation import require_known
from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError, cell_error, quote
from jaxmlp.tables.numbers import PLAIN, Decimal, Evidence, NumberStyle, choose_style
from jaxmlp.tables.values import EXACT, Class, is_missing, is_text, to_boolean_text, to_codes, to_numbers
from jaxmlp.tables.words import BOOLEANS, holds_booleans, is_boolean, remove_placeholders, to_booleans

TableTask = Literal["regression", "classification", "counts"]
TASKS: tuple[TableTask, ...] = get_args(TableTask)
MOST_CLASSES = 50
_CONSTANT = "is the same in all training rows; there is nothing to learn"
_PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"


@dataclass(frozen=True)
class Target:
    """What is learned about the target."""

    task: TableTask
    classes: tuple[Class, ...]
    style: NumberStyle
    digits: int | None  # decimals of predictions; None for all
    is_default: bool  # whether the two values of a column of numbers made it a classification


def learn_target(
    column: "polars.Series", task: str | None, rows: np.ndarray, decimal: Decimal | None, evidence: dict[str, Evidence]
) -> Target:
    """Return what the training rows tell about the target.

    Arguments:
        column: (n,), as `prepare` returns it.
        task: what the user has decided.
        rows: (n,) bool, the training rows that have a target.
        decimal: the decimal mark that the user has decided.
        evidence: about the decimal marks of all columns of text.
    """
    require_known("task", task, TASKS, optional=True)
    name = f"the target {quote(column.name)}"
    if not rows.any():
        raise TableError(f"{name} is empty: no training row has a value")
    values = column.filter(rows)
    if column.dtype == polars.Boolean:
        return _classes(name, task, values.cast(str), [bool(value) for value in values.unique().sort()])
    if is_text(column):
        texts = remove_placeholders(values).drop_nulls()
        if task in (None, "classification") and holds_booleans(texts):
            return _classes(name, task, texts, _boolean_classes(texts))
        found = evidence.get(column.name)
        others = [other for key, other in evidence.items() if key != column.name]
        style = None if found is None else choose_style(column.name, texts, found, decimal, others)
        if style is None or (_is_beyond(texts) and task != "regression"):
            classes = values.unique().sort().to_list()
            return _classes(name, task, values, classes)
    elif column.dtype.is_numeric():
        style = PLAIN
    else:
        kind = "dates" if column.dtype.is_temporal() else str(column.dtype)
        raise TableError(f"{name} holds {kind}; only numbers, text and booleans can be predicted")
    return _learn_numbers(name, column, task, rows, style)


def _learn_numbers(
    name: str, column: "polars.Series", task: str | None, rows: np.ndarray, style: NumberStyle
) -> Target:
    numbers = to_numbers(column, style)[rows & ~is_missing(remove_placeholders(column) if is_text(column) else column)]
    low, high = numbers.min(), numbers.max()
    if task == "counts" and low < 0:
        raise TableError(f"{name} holds {low:.4g}; counts are 0 or more")
    if low == high or numbers.std() == 0:
        raise TableError(f"{name} {_CONSTANT}")
    is_default = task is None and len(np.unique(numbers)) == 2
    if task == "classification" or is_default:
        values = column.filter(rows)
        target = _classes(name, "classification", values, _number_classes(values, numbers, style))
        return Target("classification", target.classes, style, None, is_default)
    decimals = int(np.floor(-np.log10(1e-4 * numbers.std()))) + 1
    return Target("counts" if task == "counts" else "regression", (), style, max(0, decimals), False)


def _number_classes(column: "polars.Series", numbers: np.ndarray, style: NumberStyle) -> list[Class]:
    """Return different numbers in order, written as in the table."""
    if is_text(column):
        texts = remove_placeholders(column).drop_nulls()
        if not texts.str.contains(_PLAIN).all() or style.decimal == ",":  # $5, 5 %
            pairs = sorted(dict(zip(numbers.tolist(), texts.to_list(), strict=True)).items())
            if len({text for _, text in pairs}) == texts.n_unique():
                return sorted(text for _, text in pairs)
        has_point = texts.str.contains(".", literal=True).all()
    else:
        has_point = column.dtype.is_float()
    different = np.unique(numbers)
    is_whole = not has_point and (different == np.floor(different)).all() and np.abs(different).max() < EXACT
    return [int(value) if is_whole else value for value in different.tolist()]


def _boolean_classes(texts: "polars.Series") -> list[Class]:
    """Return the most frequent spelling of no and of yes, in this order; booleans for false and true."""
    counts = texts.value_counts(sort=True)[texts.name]
    sides = to_booleans(counts)
    no, yes = (counts.filter(sides == word) for word in BOOLEANS)
    spelled = [str(no[0]), str(yes[0])]
    if [word.lower() for word in spelled] == list(BOOLEANS) and (len(no) + len(yes) > 2 or spelled == list(BOOLEANS)):
        return [False, True]
    return [0, 1] if spelled == ["0", "1"] else sorted(spelled)


def _classes(name: str, task: str | None, texts: "polars.Series", values: list[Class]) -> Target:
    """Return a classification, given the different values of a target in order."""
    if task in ("regression", "counts"):
        raise TableError(f"{name} holds text such as {quote(str(texts[0]))}; --task {task} needs numbers")
    if len(values) > MOST_CLASSES:
        what = "texts" if isinstance(values[0], str) else "numbers, which --task regression predicts"
        raise TableError(f"{name} holds {len(values)} different {what}; at most {MOST_CLASSES} can be classes")
    if len(values) < 2:
        raise TableError(f"{name} {_CONSTANT}")
    return Target("classification", tuple(values), PLAIN, None, False)


def _is_beyond(texts: "polars.Series") -> bool:
    """Return whether a column holds whole numbers that are not exact in float64."""
    whole = texts.str.contains("^[+-]?[0-9]{16,}$")
    return bool((whole & (texts.cast(float, strict=False).abs() > EXACT).fill_null(False)).any())


def encode_target(
    column: "polars.Series", task: TableTask, classes: tuple[Class, ...], style: NumberStyle
) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of a column (n,), as `prepare` returns it, and which rows have one; see `Recipe.targets`."""
    if is_text(column):
        column = remove_placeholders(column.cast(str), set(class_names(classes)))
    has_target = ~is_missing(column)
    y = np.zeros((len(column), len(classes) or 1))
    if classes:
        codes = _to_codes(column, classes, style)
        invalid, problem = has_target & (codes < 0), "is not a class of the training rows"
        y[has_target, codes[has_target]] = 1
    else:
        y[has_target, 0] = to_numbers(column, style)[has_target]
        invalid, problem = (y[:, 0] < 0) & (task == "counts"), "is not a count; counts are 0 or more"
    if invalid.any():
        raise cell_error(column, int(invalid.argmax()), problem)
    return y, has_target


def class_names(classes: tuple[Class, ...]) -> list[str]:
    """Return classes as text."""
    return [BOOLEANS[name] if isinstance(name, bool) else str(name) for name in classes]


def _to_codes(column: "polars.Series", classes: tuple[Class, ...], style: NumberStyle) -> np.ndarray:
    """Return the index of the class of each value (n,); -1 for none, or for an unknown one."""
    names = class_names(classes)
    if is_boolean(names) and not column.dtype.is_float():
        labels = dict(zip(to_booleans(polars.Series(names)), names, strict=True))
        return to_codes(to_boolean_text(column).replace(labels), tuple(names))
    if type(classes[0]) in (int, float):
        column = polars.Series(column.name, to_numbers(column, style))
    return to_codes(column, classes)
