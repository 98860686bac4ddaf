"""The rows of a table as arrays, and predictions of rows as a table."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmlp._validation import count
from jaxmlp.fitting.grouping import join_groups
from jaxmlp.models.tables import arrange_predictions
from jaxmlp.selection import CrossValidation
from jaxmlp.tables import Recipe, TableError, as_frame, learn_recipe, load_table, polars
from jaxmlp.tables.columns import Number
from jaxmlp.tables.learning import HINTS
from jaxmlp.tables.messages import Note, format_option, join, quote, quote_if_odd, require_columns
from jaxmlp.tables.outliers import find_bounds
from jaxmlp.tables.temporal import Date, to_dates
from jaxmlp.tables.values import is_missing, prepare, to_numbers

MIN_ROWS = 6
MIN_GROUPS = 6  # 5 folds, and one group to train on.
# Rows with equal columns stay in one fold if there are at most this many of each on average. With more, they are cells
# of a small table, such as each sex in each class: a cell that no training row has cannot be learned. Then rows stay in
# one fold if targets are equal too, and few are: otherwise a cell would have other targets in training than held out.
MOST_COPIES = 10
MOST_EQUAL_TARGETS = 2


class Rows(NamedTuple):
    """The rows of a table that have a target."""

    recipe: Recipe
    x: np.ndarray  # (n, inputs), float64
    y: np.ndarray  # (n, outputs), float64
    number: np.ndarray  # (n,) row numbers in the table, from 1
    groups: np.ndarray | None = None  # (n,) rows of a group stay in one fold
    times: np.ndarray | None = None  # (n,) the latest rows are held out
    remarks: tuple[str, ...] = ()  # What to be careful about, a sentence each.


def read_frame(table: object, **options: Any) -> "polars.DataFrame":
    """Return a table from a file, for which `options` are those of `load_table`, or from memory."""
    if isinstance(table, str | PathLike):
        return load_table(Path(table), **options)
    return as_frame(table)


def read_rows(
    frame: "polars.DataFrame",
    target: str,
    note: Note,
    *,
    group: str | None = None,
    time: str | None = None,
    drop: Iterable[str] = (),
    keep: Iterable[str] = (),
    **options: Any,
) -> Rows:
    """Learn the recipe of a table, and note what was decided about its columns and rows.

    Arguments:
        frame: the table.
        target: the column to predict.
        note: called with each decision, a sentence.
        group: a column whose equal values stay in one fold.
        time: a column of which the latest rows are held out.
        drop: columns not to use.
        keep: columns to use, even if they look like identifiers.
        options: other arguments of `learn_recipe`.
    """
    drop, keep = ((names,) if isinstance(names, str) else tuple(names) for names in (drop, keep))
    require_columns(frame, [name for name in (group, time) if name is not None])
    if group is not None and time is not None:
        raise ValueError("group and time cannot be given both: the latest rows are held out, whatever their group is")
    if target in (group, time):
        raise TableError(f"{quote(target)} is the target; it is neither a group nor a time")
    left = drop if group is None or group in (*keep, *drop) else (*drop, group)
    recipe = learn_recipe(frame, target, drop=left, keep=keep, **options)
    x, found = recipe.inputs(frame)
    y, has_target = recipe.targets(frame)
    for line in [*recipe.describe(), *found]:
        note(line)
    remarks = [remark for remark in recipe.remarks if not any(hint in remark for hint in HINTS)]

    def warn(text: str) -> None:
        remarks.append(text)
        note(text)

    rows = np.flatnonzero(has_target)
    if recipe.task == "regression" and target not in keep:
        rows = _drop_far_targets(target, y[:, 0], rows, warn)
    n = len(rows)
    if has_target.sum() < frame.height:
        warn(f"Rows without a target, left out: {frame.height - has_target.sum()}")
    least, of = max(MIN_ROWS, 2 * len(recipe.classes)), f" of {len(recipe.classes)} classes" * bool(recipe.classes)
    if n < least:
        raise TableError(f"{n} rows with a target; at least {least} are needed to measure a model{of} on held-out rows")
    x, y = x[rows], y[rows]
    single = [quote(str(name)) for name, number in zip(recipe.classes, y.sum(axis=0), strict=False) if number == 1]
    if single:
        warn(f"Classes with a single row, which cannot be judged: {join(single)}")
    if time is not None:
        times = _learn_times(frame, target, time, rows, note, options)
        _note_equal_rows(x, y, times, warn)
        return Rows(recipe, x, y, rows + 1, times=times, remarks=tuple(remarks))
    dates = [column.name for column in recipe.columns if isinstance(column, Date)]
    if dates:
        warn(f"Rows are split at random; --time {quote_if_odd(dates[0])} tests on the latest rows")
    keys = _find_equal_rows(x, y, warn)
    groups = _find_groups(frame, group, keys, rows, note)
    return Rows(recipe, x, y, rows + 1, groups=groups, remarks=tuple(remarks))


def _drop_far_targets(target: str, y: np.ndarray, rows: np.ndarray, note: Note) -> np.ndarray:
    """Return the rows whose target is not so far from all others that it would decide the model and its score."""
    bounds = find_bounds(y[rows])
    if bounds is None:
        return rows
    far = (y[rows] < bounds[0]) | (y[rows] > bounds[1])
    first = rows[far][0]
    number = count(int(far.sum()), "row")
    option = format_option("--keep", target)
    note(
        f"{quote_if_odd(target)}, the target, is far from all others in {number}, left out, "
        f"the first {y[first]:.4g} in row {first + 1}; to use them: {option}"
    )
    return rows[~far]


def _find_groups(
    frame: "polars.DataFrame", group: str | None, keys: list[np.ndarray], rows: np.ndarray, note: Note
) -> np.ndarray | None:
    """Return the rows that must stay in one fold: those of a group, and equal rows; None if each is on its own.

    `keys` are those of equal rows.
    """
    if group is not None:
        column = prepare(frame, [group])[group][rows]
        names = column.cast(str).fill_null("").to_numpy()
        own = np.unique(names, return_inverse=True)[1]
        missing = is_missing(column)
        keys.append(np.where(missing, len(rows) + np.arange(len(rows)), own))  # Each missing value is a group.
        note(f"Groups: {len(np.unique(keys[-1]))} values of {quote_if_odd(group)}; each stays in one fold")
    if not keys:
        return None
    groups = join_groups(*keys)
    if len(np.unique(groups)) < MIN_GROUPS:
        raise TableError(f"column {quote(str(group))} has too few groups; at least {MIN_GROUPS} are needed for 5 folds")
    return groups


def _find_equal_rows(x: np.ndarray, y: np.ndarray, note: Note) -> list[np.ndarray]:
    """Return a number for each row (n,), the same for equal rows, which stay in one fold; nothing if none must."""
    columns, whole = _hash_rows(x), _hash_rows(np.concatenate([x, y], axis=1))
    key = columns if _can_stay(columns, MOST_COPIES) else whole if _can_stay(whole, MOST_EQUAL_TARGETS) else None
    if repeated := _count_repeated(whole):
        where = "; they stay in one fold" if key is not None else ", too many to stay in one fold: folds share them"
        note(f"{repeated} of {len(x)} rows equal an earlier one{where}")
    return [] if key is None or not _count_repeated(key) else [key]


def _note_equal_rows(x: np.ndarray, y: np.ndarray, times: np.ndarray, note: Note) -> None:
    """Note how many rows equal an earlier one, and whether a split by time keeps them together."""
    repeated = _count_repeated(_hash_rows(np.concatenate([x, y], axis=1)))
    later = repeated - _count_repeated(_hash_rows(np.concatenate([x, y, times[:, None]], axis=1)))
    if repeated:
        where = f", {later} of them at another time: held-out rows may equal training rows"
        note(f"{repeated} of {len(x)} rows equal an earlier one{where if later else '; they stay on one side'}")


def _count_repeated(key: np.ndarray) -> int:
    return len(key) - len(np.unique(key))


def _can_stay(key: np.ndarray, most: int) -> bool:
    """Return whether rows with the same key are few enough to stay in one fold: `most` on average, none over a fold."""
    sizes = np.unique(key, return_counts=True)[1]
    return len(sizes) >= MIN_GROUPS and sizes.mean() <= most and sizes.max() <= len(key) / 5


def _hash_rows(values: np.ndarray) -> np.ndarray:
    """Return a number for each row (n,), the same for equal rows."""
    return polars.DataFrame(values + 0.0).hash_rows().to_numpy()  # -0.0 is 0.0


def _learn_times(
    frame: "polars.DataFrame", target: str, time: str, rows: np.ndarray, note: Note, options: Mapping[str, Any]
) -> np.ndarray:
    """Return the times of the rows as numbers."""
    column = learn_recipe(frame[[time, target]], target, keep=(time,), **options).columns[0]
    values = prepare(frame, [time], tuple(options.get("missing", ())))[time]
    if isinstance(column, Date):
        values = to_dates(values, column.order).cast(polars.Int64)
    elif isinstance(column, Number):
        values = polars.Series(to_numbers(values, column.style)).fill_nan(None)
    else:
        raise TableError(f"column {quote(time)} holds no dates or numbers, so it cannot be the time")
    values = values[rows]
    if values.null_count():
        raise TableError(
            f"column {quote(time)}: {values.null_count()} rows have no time; drop them, or do not use --time"
        )
    note(f"The latest fifth of the rows by {quote_if_odd(time)} is held out; the networks train on earlier rows only")
    return values.cast(float).to_numpy()


def arrange_held_out(
    rows: Rows, result: CrossValidation, ends: tuple[np.ndarray, np.ndarray] | None
) -> "polars.DataFrame":
    """Return the predictions of held-out rows with row and fold (from 1), target, and the ends of intervals (n,)."""
    held_out = np.flatnonzero(result.fold >= 0)
    predictions = arrange_predictions(rows.recipe, result.model.predictions[held_out], None, ends)
    target = rows.recipe.decode(rows.y[held_out])["prediction"]
    about = {"row": rows.number[held_out], "fold": result.fold[held_out] + 1, "target": target}
    return polars.concat([polars.DataFrame(about), predictions], how="horizontal")
