"""Learn a recipe: decide from the training rows what each column of a table is used as."""

from collections.abc import Iterable

import numpy as np

from jaxmlp._validation import require_known, validate_count
from jaxmlp.tables import polars
from jaxmlp.tables.choosing import IDENTIFIER, Context, gather_evidence, learn_column
from jaxmlp.tables.columns import Constant
from jaxmlp.tables.dates import DATE_ORDERS, DateOrder
from jaxmlp.tables.messages import TableError, format_option, join, quote, quote_if_odd, require_columns
from jaxmlp.tables.numbers import DECIMALS, Decimal
from jaxmlp.tables.ranks import rank
from jaxmlp.tables.recipe import Recipe
from jaxmlp.tables.targets import encode_target, learn_target
from jaxmlp.tables.values import is_missing, prepare

MOST_LEVELS = 50
# Remarks that tell of an option, and of no problem.
HINTS = KEEP_HINT, TASK_HINT = "To use a column that is left out", "has two values, so it is classified"


def learn_recipe(
    frame: "polars.DataFrame",
    target: str,
    *,
    task: str | None = None,
    drop: Iterable[str] = (),
    keep: Iterable[str] = (),
    missing: Iterable[str] = (),
    decimal: Decimal | None = None,
    date_order: DateOrder | None = None,
    max_levels: int = MOST_LEVELS,
    rows: np.ndarray | None = None,
) -> Recipe:
    """Decide from the training rows how a table becomes numbers.

    Arguments:
        frame: n rows, as `load_table` returns, or any other polars DataFrame.
        target: the column to predict. Rows without a target are ignored.
        task: "regression", "classification" or "counts". None: classification of text, booleans and two values, else
            regression.
        drop: columns not to use.
        keep: columns to use, even if they look like identifiers.
        missing: more words, or numbers, that are missing values.
        decimal: the decimal mark, "." or ","; None to decide for each column.
        date_order: the order of day, month and year in dates, "dmy", "mdy" or "ymd"; None to decide for each column.
        max_levels: the largest number of levels of a column that have an input each.
        rows: (n,) bool, the training rows, from which means and levels are learned; None for all rows.

    Returns:
        The recipe.

    Raises:
        TableError: a column cannot be used as it is; the message says what to do.
        ValueError: an unknown `task`, `decimal` or `date_order`, or `rows` of another shape.
    """
    drop, keep, missing = _names(drop), _names(keep), _names(missing)
    require_columns(frame, [target, *drop, *keep])
    if target in drop:
        raise TableError(f"{format_option('--drop', target)}: {quote(target)} is the target")
    require_known("decimal", decimal, DECIMALS, optional=True)
    require_known("date_order", date_order, DATE_ORDERS, optional=True)
    rows = np.ones(frame.height, bool) if rows is None else np.asarray(rows)
    if rows.dtype != bool or rows.shape != (frame.height,):
        raise ValueError(f"rows must be bool of shape (n,) = {(frame.height,)}; got {rows.dtype} of {rows.shape}")
    others = [name for name in frame.columns if name not in (target, *drop)]
    original, frame = frame, prepare(frame, [target, *others], missing)
    goal = frame[target]
    rows = rows & ~is_missing(goal)
    evidence = gather_evidence(frame, rows)
    about = learn_target(goal, task, rows, decimal, evidence)
    y, has_target = encode_target(goal, about.task, about.classes, about.style)
    rows = rows & has_target
    ranks = y[rows].argmax(axis=1) if about.classes else rank(polars.Series(y[rows, 0]))
    max_levels = validate_count("max_levels", max_levels, at_least=1)
    context = Context(rows, ranks, bool(about.classes), frozenset(keep), decimal, date_order, max_levels, evidence)
    columns, constants, left_out, remarks = [], [], [(name, "dropped") for name in drop], []
    if about.is_default:
        remarks.append(f"{quote(target)} {TASK_HINT}; to predict a number: --task regression")
    for name in others:
        values = frame[name]
        if original[name].dtype == original[target].dtype and values.eq_missing(goal).all():
            option = format_option("--drop", name)
            remarks.append(f"{quote(name)} equals the target; if it would not be known in advance: {option}")
        column, note = learn_column(values, context)
        if isinstance(column, Constant):
            constants.append(column)
        if column is None or isinstance(column, Constant):
            left_out.append((name, note))
        else:
            columns.append(column)
            remarks += [note] if note else []
    if not columns:
        reasons = join(f"{quote_if_odd(name)} ({reason})" for name, reason in left_out)
        because = f"left out: {reasons}" if left_out else "it is the only column"
        raise TableError(f"no column is left to predict {quote(target)} from; {because}")
    identifiers = [name for name, reason in left_out if reason.endswith(IDENTIFIER)]
    if identifiers:
        remarks.append(f"{KEEP_HINT}: {format_option('--keep', identifiers[0])}")
    return Recipe(
        about.task, target, tuple(columns), about.classes, tuple(left_out), tuple(remarks), tuple(constants),
        about.style, about.digits, missing,
    )  # fmt: skip


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
