"""What a column is used as: it is decided by the training rows.

* A column holds numbers if its type is numeric, or if at least 9 of 10 of its texts are numbers; likewise dates and
  clock times. The other texts are then typing errors: reading them fails with the row, so that they become no levels.
* Yes and no, in any spelling, are booleans.
* Other text is one-hot. Of many levels, the most frequent have an input each, and the others share one.
* Different whole numbers or texts whose rank does not predict the target are identifiers (a row number, a name). They
  are left out: inputs that are 1 in a single row do not help to predict other rows.
* Constant columns and empty ones are left out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from jaxmlp._validation import count
from jaxmlp.tables import polars
from jaxmlp.tables.columns import Boolean, Column, Constant, Levels, MissingIndicator, Number
from jaxmlp.tables.dates import (
    DateOrder,
    choose_order,
    clock_features,
    date_features,
    find_dates,
    has_times,
    parse_clock,
)
from jaxmlp.tables.messages import format_option, quote
from jaxmlp.tables.numbers import DECIMALS, PLAIN, Decimal, Evidence, NumberStyle, choose_style, find_evidence
from jaxmlp.tables.outliers import describe_sentinel, find_bounds
from jaxmlp.tables.ranks import is_predictive, rank
from jaxmlp.tables.temporal import Clock, Date, to_dates, to_hours
from jaxmlp.tables.values import EXACT, is_missing, is_text, to_boolean_text, to_numbers
from jaxmlp.tables.words import BOOLEANS, find_placeholder_levels, holds_booleans, remove_placeholders

IDENTIFIER = "like an identifier"
_INDEX_NAME = re.compile(r"|index|unnamed: ?\d+|row_?(id|number)?|.*[ _.-]id|id|.*[a-z]I[Dd]")
_WHOLE = r"^[+-]?[0-9]+(\.0*)?$"  # a whole number without anything else
# What a column is used as and a remark; or the reason why it is left out.
Learned = tuple[Column | Constant | None, str]


@dataclass(frozen=True, eq=False)
class Context:
    """What decides about a column besides its values."""

    rows: np.ndarray  # (n,) bool, the training rows
    target: np.ndarray  # (training rows,) ranks of numbers, or codes of classes
    is_classes: bool
    keep: frozenset[str]
    decimal: Decimal | None
    date_order: DateOrder | None
    max_levels: int
    evidence: dict[str, Evidence] = field(default_factory=dict)

    def is_identifier(self, name: str, ranks: np.ndarray, present: np.ndarray) -> bool:
        """Return whether different values, by their ranks among the `present` training rows, are an identifier."""
        if name in self.keep or len(ranks) <= 10:
            return False
        return not is_predictive(ranks, self.target[present], is_classes=self.is_classes)


def gather_evidence(columns: "Iterable[polars.Series]", rows: np.ndarray) -> dict[str, Evidence]:
    """Return what each column of numbers that are written as text says about its decimal mark."""
    found = {}
    for column in columns:
        if is_text(column):
            text = remove_placeholders(column.filter(rows)).drop_nulls()
            evidence = None if holds_booleans(text) else find_evidence(text)
            if evidence is not None:
                found[column.name] = evidence
    return found


def learn_column(column: "polars.Series", context: Context) -> Learned:
    """Return what a column, as `prepare` of `tables/values.py` returns it, is used as."""
    training = column.filter(context.rows)
    if is_text(column):
        present = remove_placeholders(training).drop_nulls()
        if not len(present) and not training.n_unique() > 2:
            return Constant(column.name, None), "empty"
        if holds_booleans(present):
            return _learn_boolean(column, context)
        evidence = context.evidence.get(column.name)
        if evidence is not None:
            others = [other for name, other in context.evidence.items() if name != column.name]
            style = choose_style(column.name, present, evidence, context.decimal, others)
            if style is not None:
                return _learn_number(column, style, context)
        if find_dates(present):
            return _learn_date(column, choose_order(column.name, present, context.date_order), context)
        if len(present) and parse_clock(present).null_count() <= len(present) / 10:
            return _learn_clock(column, context)
        return _learn_levels(column, context)
    if is_missing(training).all():
        return Constant(column.name, None), "empty"
    if column.dtype == polars.Boolean:
        return _learn_boolean(column, context)
    if column.dtype in (polars.Date, polars.Datetime):
        return _learn_date(column, "ymd", context)
    if column.dtype == polars.Time:
        return _learn_clock(column, context)
    if not column.dtype.is_numeric():
        return None, f"{column.dtype}; to use it, convert it to numbers"
    return _learn_number(column, PLAIN, context)


def _learn_boolean(column: "polars.Series", context: Context) -> Learned:
    training = column.filter(context.rows)
    if is_text(column):
        training = remove_placeholders(training)
    values = to_boolean_text(training)
    if values.drop_nulls().n_unique() == 1 and not training.null_count():
        return Constant(column.name, values[0]), "constant"
    return Boolean(column.name, (*BOOLEANS, None) if training.null_count() else BOOLEANS), ""


def _learn_number(column: "polars.Series", style: NumberStyle, context: Context) -> Learned:
    name, rows, values = column.name, context.rows, to_numbers(column, style)
    missing = np.isnan(values)
    training = values[rows & ~missing]
    n_missing = int((rows & missing).sum())
    low, high = float(training.min()), float(training.max())
    exact, ranks = column.filter(rows & ~missing), rank(polars.Series(training))
    is_plain = not style.unit and (not is_text(column) or exact.str.contains(_WHOLE).all())
    is_beyond = is_plain and not column.dtype.is_float() and max(-low, high) > EXACT and exact.n_unique() > 1
    # float64 would take different ones for equal, so they are names, unless their order says something.
    if is_beyond and not is_predictive(ranks, context.target[~missing[rows]], is_classes=context.is_classes):
        return _learn_levels(column.cast(str), context)
    if low == high or training.std() == 0:
        return (MissingIndicator(name, low, style), "") if n_missing else (Constant(name, low, style), "constant")
    if (low, high) == (0, 1) and style == PLAIN and ((training == 0) | (training == 1)).all():
        return _learn_boolean(column, context)
    remark = ""
    if is_plain and (training == np.floor(training)).all() and exact.n_unique() == len(exact):
        if context.is_identifier(name, ranks, ~missing[rows]):
            return None, f"whole numbers, all different, {IDENTIFIER}"
        counts_rows = low in (0, 1) and high - low == len(training) - 1 and len(training) > 10
        if counts_rows and name not in context.keep:
            if _INDEX_NAME.fullmatch(name.lower()) or _INDEX_NAME.fullmatch(name):
                return None, f"whole numbers, all different, {IDENTIFIER}"
            option = format_option("--drop", name)
            remark = f"{quote(name)} counts the rows, like an identifier; if it is one: {option}"
    sentinel = describe_sentinel(training)
    if sentinel:
        option = format_option("--missing", sentinel[0])
        remark = f"{quote(name)}: {sentinel[1]}; if it means a missing value: {option}"
    bounds = None if name in context.keep else find_bounds(training)
    if bounds is not None:
        outliers = training[(training < bounds[0]) | (training > bounds[1])]
        training = training[(training >= bounds[0]) & (training <= bounds[1])]
        n_missing += len(outliers)
        option = format_option("--keep", name)
        row = np.flatnonzero((values < bounds[0]) | (values > bounds[1]))[0] + 1
        far = f"{count(len(outliers), 'value')} far from all others, the first {outliers[0]:.4g} in row {row}"
        remark = f"{quote(name)}: {far}, counted as missing; to use them as they are: {option}"
    low, high = float(training.min()), float(training.max())
    return Number(name, float(training.mean()), n_missing, low, high, style, bounds), remark


def _learn_date(column: "polars.Series", order: DateOrder, context: Context) -> Learned:
    dates = to_dates(column, order).filter(context.rows)
    present = dates.drop_nulls()
    if present.n_unique() == 1:
        return (MissingIndicator(column.name), "") if dates.null_count() else (None, "constant")
    if is_text(column):
        has_hours = has_times(column.filter(context.rows).drop_nulls())
    else:
        has_hours = bool((present.dt.truncate("1d") != present).any())
    start, end = present.min(), present.max()
    features = date_features(present, polars.Series([start]), has_hours=has_hours)
    fills = tuple(features.mean(axis=0).tolist())
    return Date(column.name, order, has_hours, str(start), str(end), fills, dates.null_count()), ""


def _learn_clock(column: "polars.Series", context: Context) -> Learned:
    hours = to_hours(column)[context.rows]
    missing = np.isnan(hours)
    if np.ptp(hours[~missing]) == 0:
        return (MissingIndicator(column.name), "") if missing.any() else (None, "constant")
    fills = clock_features(hours[~missing]).mean(axis=0).tolist()
    return Clock(column.name, (fills[0], fills[1], fills[2]), int(missing.sum())), ""


def _learn_levels(column: "polars.Series", context: Context) -> Learned:
    training = column.filter(context.rows)
    training = remove_placeholders(training, find_placeholder_levels(training.unique().drop_nulls()))
    present = training.drop_nulls()
    counts = present.alias("level").value_counts(name="count").sort(["count", "level"], descending=[True, False])
    has_missing = bool(training.null_count())
    if counts.height == 1 and not has_missing:
        return Constant(column.name, present[0]), "constant"
    if not counts.height:
        return Constant(column.name, None), "empty"
    if counts.height == len(present) and context.is_identifier(
        column.name, rank(present), training.is_not_null().to_numpy()
    ):
        return None, f"{counts.height} texts in {len(present)} rows, {IDENTIFIER}"
    frequent = counts.head(context.max_levels)
    is_sparse = counts.height > 10 and counts.height > len(present) / 2
    if (is_sparse or counts.height > context.max_levels) and frequent["count"][0] > 1:
        frequent = frequent.filter(polars.col("count") > 1)  # An input that is 1 in a single row predicts no other.
    levels = sorted(frequent["level"].to_list())
    rare = tuple(sorted(counts["level"][frequent.height :].to_list()))
    return Levels(column.name, (*levels, None) if has_missing else tuple(levels), rare), _note_numbers(present)


def _note_numbers(text: "polars.Series") -> str:
    """Return a sentence if most values (n,) of a column of levels are numbers and the others a word or two, else ""."""
    numbers = min((NumberStyle(mark).parse(text) for mark in DECIMALS), key=polars.Series.null_count)
    others = text.filter(numbers.is_null())
    if not 0 < len(others) < len(text) / 2 or others.n_unique() > 2:
        return ""
    missing = format_option("--missing", others[0])
    return (
        f"{quote(text.name)}: {len(text) - len(others)} of {len(text)} values are numbers, but used as levels, because "
        f"the others are text such as {quote(others[0])}; if that means a missing value: {missing}"
    )
