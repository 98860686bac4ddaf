"""Numbers as people write them: thousands separators, decimal commas, currencies, percent signs, one unit.

A style is learned from the training rows of a column, and read in the same way in every other table.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError, quote

Decimal = Literal[".", ","]
DECIMALS: tuple[Decimal, ...] = get_args(Decimal)

_SPACE = "\u0020\u00a0\u2007\u2009\u202f"
_CODES = "USD|EUR|GBP|JPY|CHF|CNY|CAD|AUD|NZD|INR|SEK|NOK|DKK|PLN|CZK|HUF|RON|BGN|BRL|MXN|ARS|CLP|COP|ZAR|RUB|UAH|TRY"
_CODES += "|ILS|AED|SAR|KRW|SGD|HKD|TWD|THB|IDR|MYR|PHP|VND|SFr\\.?|Fr\\.|Rs\\.?|kr\\.?"
_PREFIX = rf"[A-Za-z]{{0,3}}\p{{Sc}}|{_CODES}"
_DIGITS = rf"[0-9][0-9.,'’{_SPACE}]*|[.,][0-9]+"
_SUFFIX = r"[\p{L}\p{Sc}%‰°µ\x22′″][\p{L}\p{Sc}\p{No}%‰°µ/·.*^\x22′″ ]*[23]?"
_PARTS = (
    rf"^(?<open>\()?[{_SPACE}]*(?<sign>[+-]?)[{_SPACE}]*(?<prefix>{_PREFIX})?[{_SPACE}]*(?<inner>[+-]?)[{_SPACE}]*"
    rf"(?<digits>{_DIGITS})(?<exponent>[eE][+-]?[0-9]+)?[{_SPACE}]*(?<suffix>{_SUFFIX})?[{_SPACE}]*(?<close>\))?(?<trail>[+-]?)$"
)
# How digits may be grouped: by three, or as in India; a group separator is never the decimal mark.
_GROUPED = {
    mark: rf"^(?:[1-9][0-9]{{0,2}}(?:[{group}'’{_SPACE}][0-9]{{3}})+"
    rf"|[0-9]{{1,2}}(?:{group}[0-9]{{2}})+{group}[0-9]{{3}}|[0-9]+)?(?:{re.escape(mark)}[0-9]*)?$"
    for mark, group in ((".", ","), (",", r"\."))
}
_ONE_MARK = r"^[1-9][0-9]{{0,2}}{mark}[0-9]{{3}}$"  # 1,234: a thousands separator or a decimal mark


@dataclass(frozen=True)
class NumberStyle:
    """How the numbers of a column are written."""

    decimal: Decimal = "."
    unit: str = ""  # a currency, "%" or a unit; a number without it is read too, but not one with another unit

    @property
    def is_percent(self) -> bool:
        """Whether the numbers are percentages, which are read as fractions; each must have its sign."""
        return self.unit == "%"

    def describe(self) -> str:
        """Return what is unusual about the style, in a few words; "" for plain numbers."""
        words = ["decimal comma"] if self.decimal == "," else []
        if self.unit:
            words.append("percent, read as fractions" if self.is_percent else f"unit {quote(self.unit)}")
        return ", ".join(words)

    def explain(self, text: str) -> str:
        """Return what a text that is no number lacks to be one in this style, and what to do."""
        other: Decimal = "." if self.decimal == "," else ","
        if _read(text, replace(self, decimal=other)) is not None:
            marks = {".": "point", ",": "comma"}
            return (
                f" with a decimal {marks[self.decimal]}, as in training; if the table has a decimal {marks[other]}: "
                f"--decimal {other}"
            )
        unit = _split(polars.Series([text]))["unit"][0]
        styles = [NumberStyle(self.decimal, unit), NumberStyle(other, unit)]
        number = next((value for value in (_read(text, style) for style in styles) if value is not None), None)
        if number is None:
            wanted, fix = "", "correct it, or leave the field empty"
        elif self.is_percent:
            wanted, fix = " with a percent sign", "write it in percent"
        elif self.unit:
            wanted, fix = f" in {quote(self.unit)}", "convert it"
        else:
            numbers = [number, 100 * number] if unit == "%" else [number]
            written = " or ".join(f"{value:.15g}".replace(".", self.decimal) for value in numbers)
            wanted, fix = " without a unit", f"write {written}" + ", whichever training had" * (len(numbers) > 1)
        return wanted + ", as in training" * bool(wanted) + f"; {fix}"

    def parse(self, text: "polars.Series") -> "polars.Series":
        """Return a column of text (n,) as float64, null where it is not a number."""
        if self.decimal == "." and not self.is_percent:
            plain = text.cast(float, strict=False)
            odd = plain.is_null() & text.is_not_null()
            if not odd.any():
                return plain
            at = odd.arg_true()
            return plain.scatter(at, self._parse_parts(text.gather(at)))
        return self._parse_parts(text)

    def _parse_parts(self, text: "polars.Series") -> "polars.Series":
        parts = _split(text)
        col = polars.col
        is_number = col("digits").str.contains(_GROUPED[self.decimal]) & (col("signs") <= 1)
        is_number &= (col("unit") == self.unit) | ((col("unit") == "") & (not self.is_percent))
        others = f"['’{_SPACE}{'.' if self.decimal == ',' else ','}]"
        plain = col("digits").str.replace_all(others, "").str.replace(",", ".", literal=True)
        value = (plain + col("exponent")).cast(float, strict=False)
        value = polars.when("negative").then(-value).otherwise(value) / (100 if self.is_percent else 1)
        return parts.select(polars.when(is_number).then(value).alias(text.name)).to_series()


PLAIN = NumberStyle()


def _read(text: str, style: NumberStyle) -> float | None:
    return style.parse(polars.Series([text]))[0]


class Evidence(NamedTuple):
    """What a column of text says about its decimal mark."""

    unit: str
    comma: str | None  # an example of a number with a decimal comma
    point: str | None  # an example of a number with a decimal point
    either: str | None  # an example such as 1,234 or 1.234, which can be read in two ways


def find_evidence(text: "polars.Series") -> Evidence | None:
    """Return what a column of text (n,) without missing values says; None if over a tenth are no numbers."""
    if not len(text):
        return None
    digits_only = text.str.contains("^[0-9]+$").all()
    if digits_only and text.str.contains("^0[0-9]").any():  # 007 is a name, not a number
        return None
    if digits_only or np.isfinite(text.cast(float, strict=False).fill_null(np.nan).to_numpy()).all():
        parts = polars.DataFrame({"digits": text.str.strip_chars_start("+-"), "unit": ""})
    else:
        parts = _split(text)
        if parts["digits"].null_count() > len(text) / 10:
            return None
    units = parts["unit"].drop_nulls()
    named = units.filter(units != "")
    unit = named.value_counts(sort=True)[named.name][0] if len(named) else ""
    digits = parts["digits"]

    def example(*patterns: str) -> str | None:
        found = text.filter(digits.str.contains("|".join(f"(?:{pattern})" for pattern in patterns)))
        return found[0] if len(found) else None

    odd_group = r"^[0-9]*{mark}(?:[0-9]{{0,2}}|[0-9]{{4,}})$|^(?:0[0-9]*|[0-9]{{4,}})?{mark}[0-9]*$"
    comma = example(odd_group.format(mark=","), r"\.[0-9]+\.", r"\..*,", rf"['’{_SPACE}].*,")
    point = example(odd_group.format(mark=r"\."), ",[0-9]+,", r",.*\.", rf"['’{_SPACE}].*\.")
    return Evidence(unit, comma, point, example(_ONE_MARK.format(mark=r"[.,]")))


def choose_style(
    name: str, text: "polars.Series", evidence: Evidence, decimal: Decimal | None, others: Iterable[Evidence]
) -> NumberStyle | None:
    """Return the style of a column; None if fewer than 9 of 10 values fit it.

    Arguments:
        name: of the column.
        text: (n,) its training rows, without missing values.
        evidence: of the column.
        decimal: what the user has decided; None to decide by the column.
        others: the evidence of the other columns, for a column without a mark of its own.

    Raises:
        TableError: two readings are possible; the message shows both, and the option that decides.
    """
    others = list(others)
    comma_elsewhere = any(other.comma for other in others) and not any(other.point for other in others)
    if decimal is None and evidence.comma and evidence.point:
        styles = [NumberStyle(mark, evidence.unit) for mark in DECIMALS]
        shares = [1 - style.parse(text).null_count() / len(text) for style in styles]
        if max(shares) < 0.9:
            where = f"column {quote(name)} mixes decimal points and commas"
            raise TableError(f"{where}, as in {quote(evidence.point)} and {quote(evidence.comma)}; write it in one way")
        return styles[int(np.argmax(shares))]
    if decimal is None and evidence.either and not (evidence.comma or evidence.point):
        # Three digits after a point are mostly decimals; after a comma they are as often the end of thousands.
        is_point = "," not in evidence.either and not comma_elsewhere and not _is_currency(evidence.unit)
        if not is_point:
            raise _ambiguous(name, evidence.either, evidence.unit)
    mark = decimal or ("," if evidence.comma or (comma_elsewhere and not evidence.point) else ".")
    style = NumberStyle(mark, evidence.unit)
    if style.parse(text).null_count() <= len(text) / 10:
        return style
    bare = NumberStyle(mark, "")  # The unit of a few rows
    return bare if evidence.unit and bare.parse(text).null_count() <= len(text) / 10 else None


def _is_currency(unit: str) -> bool:
    return re.fullmatch(_CODES, unit) is not None or any(unicodedata.category(letter) == "Sc" for letter in unit)


def _ambiguous(name: str, value: str, unit: str) -> TableError:
    readings = [NumberStyle(mark, unit).parse(polars.Series([value]))[0] for mark in DECIMALS]
    options = " or ".join(f"--decimal {mark} for {number:g}" for mark, number in zip(DECIMALS, readings, strict=True))
    return TableError(
        f"column {quote(name)}: {quote(value)} can be read as {readings[0]:g} or as {readings[1]:g}, and no row "
        f"decides; use {options}"
    )


def _split(text: "polars.Series") -> "polars.DataFrame":
    """Return the parts of each number: digits, exponent, unit, number of signs, whether it is negative."""
    groups = polars.col("text").str.replace_all("[\u2212\u2013]", "-").str.extract_groups(_PARTS)
    parts = text.alias("text").to_frame().select(groups.struct.unnest()).with_columns(polars.all().fill_null(""))
    col = polars.col
    in_brackets = (col("open") == "(") & (col("close") == ")")
    signs = [col("sign"), col("inner"), col("trail")]
    n_signs = sum((sign != "").cast(int) for sign in signs) + (in_brackets).cast(int)
    n_signs += 2 * ((col("open") == "(") != (col("close") == ")")).cast(int)
    negative = in_brackets | polars.any_horizontal(sign == "-" for sign in signs)
    digits = col("digits").str.strip_chars(_SPACE)
    return parts.select(
        polars.when(digits != "").then(digits).alias("digits"), "exponent",
        (col("prefix") + col("suffix").str.strip_chars()).alias("unit"), n_signs.alias("signs"),
        negative.alias("negative"),
    )  # fmt: skip
