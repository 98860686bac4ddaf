"""Learn a recipe: decide what each column of a table is used as.

A column holds numbers if its type is numeric, or if at least 9 of 10 of its texts are numbers. The others are then
typing errors: reading them fails with the row, so that they do not become levels. A column of text with at most 50
levels is one-hot. With more levels:

* If over half the rows are missing (a cabin on a ship), whether the value is missing predicts better than the value.
  Only that is used.
* If a level occurs fewer than twice on average (a name, a ticket number), the column is like an identifier: one-hot
  inputs that are 1 in a single row do not help to predict other rows. It is left out, above 10 levels already.
* Otherwise (a city, a product) the levels repeat, and leaving the column out would lose information. The user decides:
  the error shows the `--drop` option to add.

A column of different whole numbers with the name of an index (empty, `id`, `PassengerId`, `Unnamed: 0`) is left out: in
a table that is sorted by the target, the row number would give the target away. With another name it is used, with a
remark. Columns of dates, constant columns and empty ones are left out.
"""

import csv
import io
import re
from collections.abc import Iterable

import numpy as np

from jaxmlp._validation import count
from jaxmlp.tables import polars
from jaxmlp.tables.columns import Column, Constant, MissingIndicator, Number, OneHot
from jaxmlp.tables.messages import TableError, join, quote, quote_if_odd, quote_word, require_columns
from jaxmlp.tables.recipe import TASKS, Recipe, TableTask
from jaxmlp.tables.values import BOOLEANS, Class, infer_type, is_missing, to_numbers, to_text

MOST_LEVELS = 50
_CONSTANT = "is the same in all training rows; there is nothing to learn"
_INDEX_NAME = re.compile(r"|index|unnamed: ?\d+|row_?(id|number)?|.*[ _.-]id|id|.*[a-z]I[Dd]")


def learn_recipe(
    frame: "polars.DataFrame",
    target: str,
    *,
    task: str | None = None,
    drop: Iterable[str] = (),
    rows: np.ndarray | None = None,
) -> Recipe:
    """Decide from the training rows how a table becomes numbers.

    Arguments:
        frame: n rows, as `load_table` returns, or any other polars DataFrame.
        target: the column to predict. Rows without a target are ignored.
        task: "regression", "classification" or "counts". None: regression for numbers, classification for text and
            booleans.
        drop: columns not to use.
        rows: (n,) bool, the training rows, from which means and levels are learned; None for all rows.

    Returns:
        The recipe.

    Raises:
        TableError: a column cannot be used as it is; the message says what to do.
        ValueError: an unknown `task`, or `rows` of another shape.
    """
    drop = tuple(drop)
    require_columns(frame, [target, *drop])
    if target in drop:
        raise TableError(f"{_format_drop(target)}: {quote(target)} is the target")
    rows = np.ones(frame.height, bool) if rows is None else np.asarray(rows)
    if rows.dtype != bool or rows.shape != (frame.height,):
        raise ValueError(f"rows must be bool of shape (n,) = {(frame.height,)}; got {rows.dtype} of {rows.shape}")
    goal = frame[target]
    rows = rows & ~is_missing(goal)
    task, classes = _learn_target(goal, task, rows)
    columns, constants, left_out, remarks = [], [], [(name, "dropped") for name in drop], []
    for values in frame:
        if values.name in (target, *drop):
            continue
        if values.dtype == goal.dtype and values.eq_missing(goal).all():
            option = _format_drop(values.name)
            remarks.append(f"{quote(values.name)} equals the target; if it would not be known in advance: {option}")
        column, note = _learn_column(values, rows)
        if isinstance(column, Constant):
            constants.append(column)
        if column is None or isinstance(column, Constant):
            left_out.append((values.name, note))
        else:
            columns.append(column)
            remarks += [note] if note else []
    _require_usable(columns, left_out, target, drop)
    return Recipe(task, target, tuple(columns), classes, tuple(left_out), tuple(remarks), tuple(constants))


def _require_usable(columns: list[Column], left_out: list[tuple[str, str]], target: str, drop: tuple[str, ...]) -> None:
    """Raise TableError if a column has too many levels, or no column is left."""
    one_hot = [column for column in columns if isinstance(column, OneHot)]
    texts = {column.name: [level for level in column.levels if level is not None] for column in one_hot}
    many = [name for name, levels in texts.items() if len(levels) > MOST_LEVELS]
    if many:
        example = f"{len(texts[many[0]])} texts such as {quote(texts[many[0]][0])}"
        others = f", and {count(len(many) - 1, 'other')} too" if len(many) > 1 else ""
        raise TableError(
            f"column {quote(many[0])} holds {example}{others}; at most {MOST_LEVELS} become inputs: "
            f"{_format_drop(*drop, *many)}"
        )
    if not columns:
        reasons = join(f"{quote_if_odd(name)} ({reason})" for name, reason in left_out)
        because = f"left out: {reasons}" if left_out else "it is the only column"
        raise TableError(f"no column is left to predict {quote(target)} from; {because}")


def _learn_target(column: "polars.Series", task: str | None, rows: np.ndarray) -> tuple[TableTask, tuple[Class, ...]]:
    """Return the task and the classes, by the training rows that have a target."""
    if task not in (None, *TASKS):
        raise ValueError(f"task must be one of {', '.join(TASKS)}, or None; got {task!r}")
    name, type_name = f"the target {quote(column.name)}", infer_type(column)
    if not rows.any():
        raise TableError(f"{name} is empty: no training row has a value")
    if type_name not in ("numbers", "text"):
        raise TableError(f"{name} holds {type_name}; only numbers, text and booleans can be predicted")
    if type_name == "text":
        text = to_text(column.filter(rows))
        if task in ("regression", "counts"):
            raise TableError(f"{name} holds text such as {quote(text[0])}; --task {task} needs numbers")
        return "classification", _learn_classes(name, text.unique().sort().to_list())
    numbers = to_numbers(column)[rows]
    if task == "classification":
        return "classification", _learn_classes(name, np.unique(numbers).tolist())
    if task == "counts" and numbers.min() < 0:
        raise TableError(f"{name} holds {numbers.min():.4g}; counts are 0 or more")
    if np.ptp(numbers) == 0 or numbers.std() == 0:
        raise TableError(f"{name} {_CONSTANT}")
    return "counts" if task == "counts" else "regression", ()


def _learn_classes(name: str, values: list[str] | list[float]) -> tuple[Class, ...]:
    """Return the classes, given the different values of a target in order."""
    if len(values) > MOST_LEVELS:
        what = "texts" if isinstance(values[0], str) else "numbers, which --task regression predicts"
        raise TableError(f"{name} holds {len(values)} different {what}; at most {MOST_LEVELS} can be classes")
    if len(values) < 2:
        raise TableError(f"{name} {_CONSTANT}")
    if tuple(values) == BOOLEANS:
        return (False, True)
    is_whole = all(isinstance(value, float) and value.is_integer() and abs(value) < 2**53 for value in values)
    return tuple(int(value) if is_whole else value for value in values)


def _learn_column(column: "polars.Series", rows: np.ndarray) -> tuple[Column | Constant | None, str]:
    """Return what a column is used as and a remark; or a Constant or None, and the reason why it is left out."""
    if is_missing(column)[rows].all():
        return Constant(column.name, None), "empty"
    type_name = infer_type(column)
    if type_name == "numbers":
        return _learn_number(column, rows)
    if type_name != "text":
        return None, f"{type_name}; to use it, convert it to numbers"
    text = to_text(column.filter(rows))
    present = len(text) - text.null_count()
    levels = text.drop_nulls().unique().sort().to_list()
    if len(levels) > MOST_LEVELS and present < len(text) / 2:
        return MissingIndicator(column.name), ""
    if len(levels) > 10 and len(levels) > present / 2:
        return None, f"{len(levels)} texts in {present} rows, like an identifier"
    if len(levels) == 1 and present == len(text):
        return Constant(column.name, levels[0]), "constant"
    return OneHot(column.name, (*levels, None) if present < len(text) else tuple(levels)), ""


def _learn_number(column: "polars.Series", rows: np.ndarray) -> tuple[Column | Constant | None, str]:
    """Return the same as `_learn_column`, for a column of numbers."""
    name, values = column.name, to_numbers(column)
    missing = np.isnan(values)
    training = values[rows & ~missing]
    n_missing = int((rows & missing).sum())
    low, high = float(training.min()), float(training.max())
    if low == high or training.std() == 0:
        return (MissingIndicator(name, low), "") if n_missing else (Constant(name, low), "constant")
    remark = ""
    if len(values) > 10 and (values == np.floor(values)).all() and len(np.unique(values)) == len(values):
        if _INDEX_NAME.fullmatch(name.lower()) or _INDEX_NAME.fullmatch(name):
            return None, "whole numbers, all different, like an identifier"
        if values.min() in (0, 1) and np.ptp(values) == len(values) - 1:
            remark = f"{quote(name)} counts the rows, like an identifier; if it is one: {_format_drop(name)}"
    return Number(name, float(training.mean()), n_missing, low, high), remark


def _format_drop(*names: str) -> str:
    """Return the command's option that drops columns, quoted for a shell."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(names)  # With these line ends, it quotes names that hold them.
    text = line.getvalue().removesuffix("\r\n")
    return ("--drop=" if text.startswith("-") else "--drop ") + quote_word(text)
