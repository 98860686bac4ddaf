"""The kinds of columns that hold dates and clock times."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import numpy as np

from jaxmlp._validation import count
from jaxmlp.tables import polars
from jaxmlp.tables.dates import DateOrder, clock_features, date_features, describe_order, parse_clock, parse_dates
from jaxmlp.tables.findings import Finding, find
from jaxmlp.tables.messages import TableError, cell_error, quote
from jaxmlp.tables.values import is_text
from jaxmlp.tables.words import remove_placeholders

_PARTS = ("year", "month", "day of the week", "sine of the day", "cosine of the day", "hour", "days since the start")
_CLOCK_PARTS = ("hour", "sine of the hour", "cosine of the hour")


@dataclass(frozen=True)
class Date:
    """A column of dates: year, month, day of the week, sine and cosine of the day of the year, hour, and days."""

    kind: ClassVar[str] = "date"
    name: str
    order: DateOrder  # of day, month and year in texts
    has_hours: bool  # whether the hour is an input
    start: str  # the first training date, from which days are counted
    end: str  # the last training date
    fills: tuple[float, ...]  # means of the training rows, which replace missing values
    missing: int  # number of missing values in the training rows

    def __post_init__(self) -> None:
        if len(self.fills) != 6 + self.has_hours or datetime.fromisoformat(self.start).tzinfo is not None:
            raise ValueError(f"fills must hold {6 + self.has_hours} numbers, and start be a time without a zone")
        datetime.fromisoformat(self.end)

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        parts = [part for part in _PARTS if self.has_hours or part != "hour"]
        return [f"{self.name}: {part}" for part in parts] + [f"{self.name} is missing"] * bool(self.missing)

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        missing = f", {count(self.missing, 'missing value')}" if self.missing else ""
        times = ", with times" if self.has_hours else ""
        order = f", read as {describe_order(self.order)}"
        return f"date, {self.start[:10]} to {self.end[:10]}{order}{times}{missing}"

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[Finding]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return what to tell the user."""
        dates = to_dates(column, self.order)
        start, end = (polars.Series([datetime.fromisoformat(text)]) for text in (self.start, self.end))
        findings = _encode(self, date_features(dates, start, has_hours=self.has_hours), out)
        for rows, text in (
            (dates > end[0], f" after the last training date, {self.end[:10]}"),
            (dates < start[0], f" before the first training date, {self.start[:10]}"),
        ):
            rows = rows.fill_null(False).to_numpy()
            findings += find(self.name, "row", text, rows, is_outside=True, is_warning=False)
        return findings


@dataclass(frozen=True)
class Clock:
    """A column of clock times: the hour, and its sine and cosine."""

    kind: ClassVar[str] = "time"
    name: str
    fills: tuple[float, float, float]  # means of the training rows, which replace missing values
    missing: int  # number of missing values in the training rows

    def input_names(self) -> list[str]:
        """Return a name for each input that the column becomes."""
        return [f"{self.name}: {part}" for part in _CLOCK_PARTS] + [f"{self.name} is missing"] * bool(self.missing)

    def describe(self) -> str:
        """Return what was learned about the column, in a few words."""
        return "clock time" + (f", {count(self.missing, 'missing value')}" if self.missing else "")

    def encode(self, column: "polars.Series", out: np.ndarray) -> list[Finding]:
        """Write a column (n,) into `out` (n, inputs), which holds zeros; return what to tell the user."""
        return _encode(self, clock_features(to_hours(column)), out)


def to_dates(column: "polars.Series", order: DateOrder) -> "polars.Series":
    """Return a column (n,) as datetimes in UTC, null where a value is missing.

    Raises:
        TableError: a value is not a date; its row is named.
    """
    if column.dtype in (polars.Date, polars.Datetime):
        if getattr(column.dtype, "time_zone", None) is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return column.cast(polars.Datetime("us"))
    text = _require_text(column, "dates")
    dates = parse_dates(text, order)
    problem = f"is not a date (read as {describe_order(order)}); if the table has another order: --date-order"
    return _require_all(text, dates, problem)


def to_hours(column: "polars.Series") -> np.ndarray:
    """Return a column of clock times as hours, float64 (n,), NaN where a value is missing.

    Raises:
        TableError: a value is not a clock time; its row is named.
    """
    if column.dtype == polars.Time:
        at = column.dt
        hours = at.hour() + at.minute() / 60 + (at.second() + at.nanosecond() / 1e9) / 3600  # in the order of texts
    else:
        text = _require_text(column, "clock times")
        hours = _require_all(text, parse_clock(text), "is not a clock time such as 13:30")
    return hours.fill_null(np.nan).to_numpy()


def _require_text(column: "polars.Series", expected: str) -> "polars.Series":
    if not is_text(column):
        raise TableError(f"column {quote(column.name)} holds {column.dtype}, not {expected}")
    return remove_placeholders(column.cast(str))


def _require_all(text: "polars.Series", values: "polars.Series", problem: str) -> "polars.Series":
    invalid = (values.is_null() & text.is_not_null()).arg_true()
    if len(invalid):
        raise cell_error(text, int(invalid[0]), problem)
    return values


def _encode(column: Date | Clock, features: np.ndarray, out: np.ndarray) -> list[Finding]:
    missing = np.isnan(features[:, 0])
    out[:, : features.shape[1]] = np.where(missing[:, None], column.fills, features)
    out[:, features.shape[1] :] = missing[:, None]
    filled = ", none in training; filled with the means"
    return [] if column.missing else find(column.name, "missing value", filled, missing)
