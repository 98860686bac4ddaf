"""Learning a recipe: what each column of a table is taken for.

The rules, in order. A column is of numbers if its type is, or if at least nine in ten of its texts are numbers: the
tenth is then a slip, and refused by name when it is read, not made a level. A column of text with at most 50 levels is
one-hot. With more, the table decides:

* Over half the rows have no value (a cabin): that there is a value is worth more than which; only this is used.
* A text occurs fewer than twice on average (a name, a ticket): one-hot columns that are 1 in a single row teach
  nothing about the next table. Such a column is like an identifier and is left out, also below 50 levels (above ten).
* Else (a city, a product) the levels repeat, and to leave them out would lose what they tell. That is the user's to
  decide: refused, with the `--drop` that would help.

A column of whole numbers, all different, whose name is that of an index (none, `id`, `PassengerId`, `Unnamed: 0`) is
left out: a table sorted by its target would otherwise give away the answer by the row's number. Where the name is
another, it is used and pointed out. Dates are left out with a hint, so are columns that are constant or empty.
"""

import csv
import io
import re
import shlex
from collections.abc import Iterable
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
    as_floats,
    counted,
    holds_numbers,
    holds_text,
    listed,
    missing,
    named,
    numbers,
    short,
    texts,
)
from jaxmlp.tables.recipe import TASKS, Recipe, target_column

if TYPE_CHECKING:
    from polars import DataFrame, Series

MOST_LEVELS = 50
_INDEX_NAME = re.compile(r"|index|unnamed: ?\d+|row_?(id|number)?|.*[ _.-]id|id|.*[a-z]I[Dd]")
_DATE = r"^(\d{4}-\d{2}(-\d{2})?|\d{4}/\d{2}/\d{2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4})([T ]\d{1,2}:\d{2}.*)?$"


def learn_recipe(
    frame: "DataFrame",
    target: str,
    *,
    task: str | None = None,
    drop: Iterable[str] = (),
    rows: np.ndarray | None = None,
) -> Recipe:
    """Decide how a table becomes numbers, by its training rows.

    Arguments:
        frame: n rows, as `load_table` returns or any other polars table.
        target: the column to predict; those rows teach that have one.
        task: "regression", "classification" or "counts"; None for regression of numbers and classification of text
            and booleans.
        drop: columns not to use.
        rows: (n,) bool, the training rows: means and levels are theirs alone. None for all.

    Returns:
        The recipe.

    Raises:
        TableError: a column cannot be used as it is; the message says what to do.
        ValueError: `task` is none of the three, or `rows` has another shape.
    """
    column = target_column(frame, target)
    rows = np.ones(frame.height, bool) if rows is None else np.asarray(rows)
    if rows.dtype != bool or rows.shape != (frame.height,):
        raise ValueError(f"rows must be bool of shape (n,) = {(frame.height,)}; got {rows.dtype} of {rows.shape}")
    rows = rows & ~missing(column)
    goal = learn_target(column, task, rows)
    drop = tuple(drop)
    for name in drop:
        if name not in frame.columns or name == target:
            what = "is the target" if name == target else f"is no column; they are {listed(map(short, frame.columns))}"
            raise TableError(f"{_drop(name)}: {short(name)} {what}")

    columns, left_out, remarks, refused = [], [(name, "dropped") for name in drop], [], []
    for name in frame.columns:
        if name == target or name in drop:
            continue
        if frame[name].dtype == column.dtype and frame[name].eq_missing(column).all():
            remarks.append(f"{short(name)} holds the same as the target; if it gives the answer away: {_drop(name)}")
        found, reason = _learn_column(frame[name], rows)
        if found:
            columns.append(found)
        if reason == _TOO_MANY:
            refused.append(name)
        elif reason.startswith("left out: "):
            left_out.append((name, reason.removeprefix("left out: ")))
        elif reason:
            remarks.append(reason)
    if refused:
        first = frame[refused[0]].filter(rows)
        example = f"{texts(first).n_unique()} texts such as {short(texts(first).drop_nulls()[0])}"
        raise TableError(
            f"column {short(refused[0])} holds {example}"
            + (f", and {counted(len(refused) - 1, 'other')} too" if len(refused) > 1 else "")
            + f"; at most {MOST_LEVELS} become columns: {_drop(*drop, *refused)}"
        )
    if not columns:
        if not left_out:
            raise TableError(f"{short(target)} is the only column; there is nothing to predict it from")
        why = listed(f"{named(name)} ({reason})" for name, reason in left_out)
        raise TableError(f"no column is left to predict {short(target)} from; left out: {why}")
    return Recipe(**goal, target=target, columns=tuple(columns), left_out=tuple(left_out), remarks=tuple(remarks))


def learn_target(column: "Series", task: str | None, rows: np.ndarray) -> dict[str, Any]:
    """What a recipe says of its target: task and classes, by those of `rows` (n,) that have one."""
    if task not in (None, *TASKS):
        raise ValueError(f"task must be one of {', '.join(TASKS)}, or None; got {task!r}")
    kind, name = _kind(column), column.name
    column = column.filter(rows & ~missing(column))
    if kind == "empty" or not len(column):
        raise TableError(f"the target {short(name)} is empty: no row to train on has a value there")
    if kind not in ("number", "text"):
        raise TableError(f"the target {short(name)} holds {kind}; numbers, text or booleans can be predicted")
    if kind == "text" and task in ("regression", "counts"):
        raise TableError(
            f"the target {short(name)} holds text such as {short(texts(column)[0])}; --task {task} needs numbers"
        )
    if kind == "text" or task == "classification":
        return {"task": "classification", "classes": _classes(column, kind)}
    values = numbers(column)
    if task == "counts" and values.min() < 0:
        raise TableError(f"the target {short(name)} holds {values.min():.4g}; counts are 0 or more")
    if np.ptp(values) == 0 or values.std() == 0:
        raise TableError(f"the target {short(name)} is the same in all training rows; there is nothing to learn")
    return {"task": task or "regression", "classes": ()}


def _classes(column: "Series", kind: str) -> tuple[Any, ...]:
    """The distinct values of a target, in order, of one Python type."""
    if kind == "text":
        found = texts(column).unique().sort().to_list()
    else:
        found = np.unique(numbers(column)).tolist()
        if all(value.is_integer() for value in found):
            found = [int(value) for value in found]
    if len(found) > MOST_LEVELS:
        what = f"{len(found)} different " + ("texts" if kind == "text" else "numbers, which --task regression predicts")
        raise TableError(f"the target {short(column.name)} holds {what}; at most {MOST_LEVELS} can be classes")
    if len(found) < 2:
        raise TableError(f"the target {short(column.name)} is the same in all training rows; there is nothing to learn")
    if kind == "text" and tuple(found) == BOOLEANS:
        return (False, True)
    return tuple(found)


_TOO_MANY = "too many"


def _learn_column(column: "Series", rows: np.ndarray) -> tuple[Column | None, str]:
    """What a column is taken for, if it is used; and what is worth saying, if anything."""
    kind, name = _kind(column), column.name
    whole, column = column, column.filter(rows)
    if kind == "empty" or missing(column).all():
        return None, "left out: empty"
    if kind == "number":
        return _learn_numbers(whole, rows)
    if kind != "text":
        return None, f"left out: {kind}; to use it, make numbers of it"
    text = texts(column)
    there = len(text) - text.null_count()
    levels = text.drop_nulls().unique().sort().to_list()
    if len(levels) > MOST_LEVELS and there < len(text) / 2:
        return Presence(name), ""
    if len(levels) > 10 and len(levels) > there / 2:
        return None, f"left out: {len(levels)} texts in {there} rows, like an identifier"
    if len(levels) > MOST_LEVELS:
        return None, _TOO_MANY
    if len(levels) == 1 and there == len(text):
        return None, "left out: constant"
    return OneHot(name, (*levels, None) if there < len(text) else tuple(levels)), ""


def _learn_numbers(whole: "Series", rows: np.ndarray) -> tuple[Column | None, str]:
    name, every = whole.name, numbers(whole)
    gaps = int(np.isnan(every[rows]).sum())
    values = every[rows & ~np.isnan(every)]
    if np.ptp(values) == 0 or values.std() == 0:
        return (Presence(name), "") if gaps else (None, "left out: constant")
    every = every[~np.isnan(every)]
    remark = ""
    if len(every) == len(whole) > 10 and (every == np.floor(every)).all() and len(np.unique(every)) == len(every):
        if _INDEX_NAME.fullmatch(name.lower()) or _INDEX_NAME.fullmatch(name):
            return None, "left out: whole numbers, all different, like an identifier"
        if every.min() in (0, 1) and np.ptp(every) == len(every) - 1:
            remark = f"{short(name)} counts the rows, like an identifier; if it is one: {_drop(name)}"
    return Number(name, float(values.mean()), gaps), remark


def _kind(column: "Series") -> str:
    """`number`, `text`, `empty`, `dates`, or the name of a type that cannot be used."""
    polars = require("polars", extra="tables")
    if missing(column).all():
        return "empty"
    if column.dtype.is_temporal():
        return "dates"
    if column.dtype == polars.Boolean:
        return "text"
    if holds_numbers(column):
        return "number"
    if not holds_text(column):
        return str(column.dtype)
    values = column.cast(polars.String).drop_nulls().str.strip_chars()
    if np.isnan(as_floats(values)).sum() <= len(values) / 10:
        return "number"
    return "dates" if values.str.contains(_DATE).sum() >= 0.9 * len(values) else "text"


def _drop(*names: str) -> str:
    """The option, as one types it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)  # which is how the option is read
    text = line.getvalue()
    option = "--drop=" if text.startswith("-") else "--drop "
    return option + (shlex.quote(text) if text.isprintable() else repr(text))
