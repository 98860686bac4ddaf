"""Dates and clock times as people write them, and what a network can learn from them.

Each date becomes year, month, day of the week, sine and cosine of the day of the year, hour (if the column has times),
and the days since the first training date. Times with a zone are converted to UTC.
"""

from typing import Literal, get_args

import numpy as np

from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError, quote

DateOrder = Literal["ymd", "dmy", "mdy"]
DATE_ORDERS: tuple[DateOrder, ...] = get_args(DateOrder)
_WORDS = {"ymd": "year, month, day", "dmy": "day, month, year", "mdy": "month, day, year"}

_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "mär": 3, "mrz": 3, "apr": 4, "may": 5, "mai": 5, "jun": 6, "jul": 7, "aug": 8,
    "sep": 9, "oct": 10, "okt": 10, "nov": 11, "dec": 12, "dez": 12,
}  # fmt: skip
_MONTH = r"\p{L}{3,9}\.?"
_CLOCK = r"(?<h>[0-9]{1,2}):(?<m>[0-9]{2})(?::(?<s>[0-9]{2}(?:[.,][0-9]+)?))?(?:\s?(?<half>[AaPp])\.?[Mm]\.?)?"
_ZONE = r"(?:\s?(?:(?<utc>Z|UTC|GMT)|(?<zone>[+-][0-9]{2}):?(?<zonem>[0-9]{2})?))?"
_TIME = rf"(?:(?:T|,?\s+){_CLOCK}{_ZONE})?$"
# Written dates: the first and last number, what is between them, and one that has no day.
_PATTERNS = (
    rf"^(?<a>[0-9]{{4}})(?<sep>[-/.])(?<b>[0-9]{{1,2}})(?:[-/.](?<c>[0-9]{{1,2}}))?{_TIME}",
    rf"^(?<a>[0-9]{{1,2}})(?<sep>[-/.])(?<b>[0-9]{{1,2}})[-/.](?<c>[0-9]{{4}}|[0-9]{{2}}){_TIME}",
    rf"^(?:\p{{L}}{{2,9}},?\s+)?(?<a>[0-9]{{1,2}})(?:st|nd|rd|th|\.)?[-/.\s]\s?(?<b>{_MONTH})[-/.,\s]\s?(?<c>[0-9]{{4}}|[0-9]{{2}}){_TIME}",
    rf"^(?:\p{{L}}{{2,9}},?\s+)?(?<b>{_MONTH})\s(?<a>[0-9]{{1,2}})(?:st|nd|rd|th)?,?\s(?<c>[0-9]{{4}}){_TIME}",
    rf"^(?<b>{_MONTH})[-/\s](?<c>[0-9]{{4}}){_TIME}",
)


def find_dates(text: "polars.Series") -> bool:
    """Return whether 9 of 10 texts of a column (n,) without missing values look like dates."""
    if not len(text):
        return False
    return sum(int(text.str.contains(pattern).sum()) for pattern in _PATTERNS) >= 0.9 * len(text)


def choose_order(name: str, text: "polars.Series", order: DateOrder | None) -> DateOrder:
    """Return the order of day, month and year in a column of dates (n,).

    Arguments:
        name: of the column.
        text: the training rows, without missing values.
        order: what the user has decided; None to decide by the column.

    Raises:
        TableError: two orders are possible; the message shows both readings, and the option that decides.
    """
    if order is not None:
        return order
    numeric = text.filter(text.str.contains(_PATTERNS[1]))
    if not len(numeric):
        return "ymd"
    dates = {choice: parse_dates(numeric, choice) for choice in DATE_ORDERS}
    fewest = min(column.null_count() for column in dates.values())
    fitting: list[DateOrder] = [choice for choice in DATE_ORDERS if dates[choice].null_count() == fewest]
    if "dmy" in fitting and numeric.str.contains(r"^[0-9]+\.").all():
        return "dmy"  # With points, the day comes first.
    likely: list[DateOrder] = [choice for choice in fitting if choice != "ymd"] or fitting  # 01-02-03 is no year 2001.
    differs = (dates[likely[0]] != dates[likely[-1]]).fill_null(False)
    if not differs.any():
        return likely[0]
    value = numeric[int(differs.arg_true()[0])]
    readings = [f"{parse_dates(polars.Series([value]), choice)[0]:%Y-%m-%d}" for choice in likely]
    options = " or ".join(f"--date-order {choice}" for choice in likely)
    raise TableError(
        f"column {quote(name)}: {quote(value)} can be read as {' or as '.join(readings)}, and no row decides; "
        f"use {options}"
    )


def describe_order(order: DateOrder) -> str:
    """Return an order in words."""
    return _WORDS[order]


def parse_dates(text: "polars.Series", order: DateOrder) -> "polars.Series":
    """Return a column of text (n,) as datetimes in UTC, null where it is not a date."""
    frames = [text.str.extract_groups(pattern).struct.unnest() for pattern in _PATTERNS]
    dates = [_to_datetime(_number_parts(frame, order if k == 1 else "")) for k, frame in enumerate(frames)]
    return polars.select(polars.coalesce(dates)).to_series().alias(text.name)


def parse_clock(text: "polars.Series") -> "polars.Series":
    """Return a column of clock times (n,) such as 13:30 as hours, float64, null where it is not one."""
    parts = text.str.extract_groups(f"^{_CLOCK}$").struct.unnest()
    return parts.select(_hours(parts)).to_series().alias(text.name)


def has_times(text: "polars.Series") -> bool:
    """Return whether a column of dates has times."""
    return bool(text.str.contains(":").any())


def date_features(dates: "polars.Series", start: "polars.Series", *, has_hours: bool) -> np.ndarray:
    """Return what a network learns from: (n, 6 or 7), NaN in rows without a date.

    Arguments:
        dates: (n,) datetimes.
        start: one datetime, the first training date.
        has_hours: whether the hour is one of the inputs.
    """
    frame = polars.DataFrame({"date": dates})
    at = polars.col("date")
    days = (at - start[0]).dt.total_milliseconds() / 86_400_000
    angle = 2 * np.pi * (at.dt.ordinal_day() - 1) / 365.25
    columns = [at.dt.year(), at.dt.month(), at.dt.weekday(), angle.sin(), angle.cos()]
    columns += [_hour_of(at)] if has_hours else []
    columns = [column.cast(float).alias(str(k)) for k, column in enumerate([*columns, days])]
    return frame.select(columns).fill_null(np.nan).to_numpy()


def clock_features(hours: np.ndarray) -> np.ndarray:
    """Return the hour of a clock time, and its sine and cosine: (n, 3)."""
    angle = 2 * np.pi * hours / 24
    return np.stack([hours, np.sin(angle), np.cos(angle)], axis=1)


def _hour_of(at):
    return at.dt.hour().cast(float) + at.dt.minute().cast(float) / 60 + at.dt.second().cast(float) / 3600


def _number_parts(parts: "polars.DataFrame", order: str) -> "polars.DataFrame":
    """Return the parts of a date with year, month and day as numbers, in columns of these names."""
    names = {"dmy": "abc", "mdy": "bac", "ymd": "cba"}.get(order)
    if "sep" in parts.columns and names is None:
        names = "cba"  # The year stands first.
    day, month, year = ((names or "abc")[k] for k in range(3))
    for name in "abc":
        if name not in parts.columns:
            parts = parts.with_columns(polars.lit("1").alias(name))
    number = {name: polars.col(name).cast(int, strict=False) for name in "abc"}
    if order == "" and "sep" not in parts.columns:
        letters = polars.col("b").str.to_lowercase().str.slice(0, 3)
        number["b"] = letters.replace_strict(_MONTHS, default=None, return_dtype=polars.Int64)
    if "sep" in parts.columns and order == "":  # 2024-05 is the first day of the month.
        number["c"] = polars.when(polars.col("a").is_not_null()).then(number["c"].fill_null(1))
    years = number[year]
    short = polars.col(year).str.len_chars() <= 2
    years = polars.when(short).then(years + polars.when(years < 69).then(2000).otherwise(1900)).otherwise(years)
    return parts.with_columns(year=years, month=number[month], day=number[day])


def _to_datetime(parts: "polars.DataFrame") -> "polars.Series":
    col = polars.col
    seconds = _hours(parts).fill_null(0) * 3600
    zone = col("zone").cast(float, strict=False).fill_null(0) * 3600
    minutes = col("zonem").cast(float, strict=False).fill_null(0) * 60
    zone += polars.when(col("zone").str.starts_with("-")).then(-minutes).otherwise(minutes)
    text = polars.format("{}-{}-{}", col("year"), col("month"), col("day"))
    is_day = col("month").is_between(1, 12) & col("day").is_between(1, 31) & col("year").is_between(1, 9999)
    date = polars.when(is_day).then(text).str.to_datetime("%Y-%m-%d", strict=False, time_unit="us")
    shift = ((seconds - zone) * 1_000_000).round().cast(polars.Int64).cast(polars.Duration("us"))
    is_clock = col("h").is_null() | _hours(parts).is_not_null()
    return parts.select(polars.when(is_clock).then(date + shift).alias("date")).to_series()


def _hours(parts: "polars.DataFrame"):
    """Return an expression for the hours of a clock time, null where there is none."""
    col = polars.col
    h, m = col("h").cast(float, strict=False), col("m").cast(float)
    s = col("s").str.replace(",", ".").cast(float, strict=False).fill_null(0)
    half = col("half").str.to_lowercase()
    twelve = (h % 12) + polars.when(half == "p").then(12).otherwise(0)
    hours = polars.when(half.is_null()).then(h).when((h >= 1) & (h <= 12)).then(twelve)
    return polars.when((hours < 24) & (m < 60) & (s < 60)).then(hours + m / 60 + s / 3600)
