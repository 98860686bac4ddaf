"""Words with a meaning in every table: missing values, and yes and no."""

import math
from collections.abc import Iterable

from jaxmlp.tables import polars

# A missing value in any column of text.
_MISSING = ["", "?", "NA", "na", "N/A", "n/a", "#N/A", "<NA>", "N.A.", "n.a.", "NaN", "nan", "NAN", "NaT"]
_MISSING += ["NULL", "Null", "null", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!"]
# A missing value among numbers, dates, times, yes and no; but among other texts a level.
_SYMBOLS = ["-", "--", "---", "–", "—", ".", "..", "..."]
_PERHAPS = [*_SYMBOLS, "none", "None", "NONE", "nil", "Nil", "NIL"]

_TRUE = ("true", "t", "yes", "y", "1", "on", "ja", "j", "oui", "si", "sí", "sim", "tak", "да", "wahr", "vrai")
_FALSE = ("false", "f", "no", "n", "0", "off", "nein", "n", "non", "no", "no", "não", "nie", "нет", "falsch", "faux")
_BOTH = {*_FALSE, *_TRUE}
BOOLEANS = ("false", "true")


def as_text(frame: "polars.DataFrame", names: Iterable[str]) -> "polars.DataFrame":
    """Return a table with some of its columns as text without white space at both ends, null for missing values."""
    text = polars.selectors.by_name(*names).cast(polars.String).str.strip_chars()  # Not polars.col: "^a$" is a name.
    return frame.with_columns(text.replace(_MISSING, None))


def remove_missing(column: "polars.Series", words: Iterable[str]) -> "polars.Series":
    """Return a column with null in place of the words, or numbers, that the user has named."""
    words = list(words)
    if not words:
        return column
    if column.dtype == polars.String:
        column = column.replace(words, None)
    numbers = [number for number in map(_to_number, words) if not math.isnan(number)]
    if numbers and (column.dtype == polars.String or column.dtype.is_numeric()):
        return column.set(column.cast(float, strict=False).is_in(numbers).fill_null(False), None)
    return column


def remove_placeholders(text: "polars.Series", levels: Iterable[str | None] = ()) -> "polars.Series":
    """Return a column of text with null in place of words such as - and none, unless they are among the levels."""
    return text.replace([word for word in _PERHAPS if word not in levels], None)


def find_placeholder_levels(values: Iterable[str]) -> list[str]:
    """Return the placeholders that are levels among the values of a column of text: none is one, - beside +."""
    present = {*values}
    return [word for word in _PERHAPS if word in present and (word not in _SYMBOLS or (word == "-" and "+" in present))]


def holds_booleans(text: "polars.Series") -> bool:
    """Return whether a column of text without missing values holds yes and no only, in any spelling, and both."""
    return is_boolean(text.unique()) if {word.casefold() for word in text.head(100)} <= _BOTH else False


def is_boolean(values: Iterable[str]) -> bool:
    """Return whether texts are yes and no, in any spelling, and both occur."""
    lower = {value.casefold() for value in values}
    pairs = zip(_FALSE, _TRUE, strict=True)
    return lower <= _BOTH and any({no, yes} <= lower for no, yes in pairs)


def to_booleans(text: "polars.Series") -> "polars.Series":
    """Return a column of text as "false" and "true", null where it is neither."""
    words = {**dict.fromkeys(_FALSE, "false"), **dict.fromkeys(_TRUE, "true")}
    return text.str.to_lowercase().replace_strict(words, default=None, return_dtype=polars.String)


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
