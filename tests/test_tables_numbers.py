"""Numbers as people write them: each style is read, and what can be read in two ways is refused."""

import re

import polars
import pytest

from jaxmlp.tables import TableError
from jaxmlp.tables.numbers import NumberStyle, choose_style, find_evidence

pytestmark = pytest.mark.portable


def read(values, decimal=None, others=()):
    text = polars.Series("c", values)
    evidence = find_evidence(text)
    if evidence is None:
        return None, None
    style = choose_style("c", text, evidence, decimal, [find_evidence(polars.Series(other)) for other in others])
    return style, None if style is None else style.parse(text).to_list()


@pytest.mark.parametrize(
    ("values", "decimal", "unit", "numbers"),
    [
        (["1", "-2.5", "+3e2", ".5", "5."], ".", "", [1, -2.5, 300, 0.5, 5]),
        (["53,7", "5", "0,123"], ",", "", [53.7, 5, 0.123]),
        (["83.397,99", "1.234,5", "2.000"], ",", "", [83397.99, 1234.5, 2000]),
        (["83,397.99", "1,234", "12"], ".", "", [83397.99, 1234, 12]),
        (["1,234,567", "1,234"], ".", "", [1234567, 1234]),
        (["1.234.567", "1.234"], ",", "", [1234567, 1234]),
        (["1 234,5", "12 345 678,25"], ",", "", [1234.5, 12345678.25]),
        (["1\u202f234,5", "2\u00a0345,6"], ",", "", [1234.5, 2345.6]),
        (["1'234.50", "1’000’000.00"], ".", "", [1234.5, 1e6]),
        (["1,23,456.5", "12,34,567.00"], ".", "", [123456.5, 1234567]),
        (["$83,397.99", "$ 12.5", "-$6.25", "$-7.00", "($8.00)"], ".", "$", [83397.99, 12.5, -6.25, -7, -8]),
        (["€1.234,50", "€3,5"], ",", "€", [1234.5, 3.5]),
        (["1.234,50 €", "3,5 €"], ",", "€", [1234.5, 3.5]),
        (["USD 1,234.5", "3.5 USD"], ".", "USD", [1234.5, 3.5]),
        (["kr 5", "kr 6,5"], ",", "kr", [5, 6.5]),
        (["16.0%", "0.1 %", "-5%"], ".", "%", [0.16, 0.001, -0.05]),
        (["(1,231.23)", "615.68", "(80.34)"], ".", "", [-1231.23, 615.68, -80.34]),
        (["12-", "5", "−6"], ".", "", [-12, 5, -6]),
        (["89 kg", "40kg", "1.5 kg"], ".", "kg", [89, 40, 1.5]),
        (["53,7 m²", "5 m²"], ",", "m²", [53.7, 5]),
        (["12 m2", "5.5 m2"], ".", "m2", [12, 5.5]),
        (["5 km/h", "6"], ".", "km/h", [5, 6]),
    ],
)
def test_a_style_is_found_and_read(values, decimal, unit, numbers):
    style, parsed = read(values)
    assert style == NumberStyle(decimal, unit)
    assert parsed == pytest.approx(numbers, rel=1e-12)


@pytest.mark.parametrize(
    "values",
    [
        ["007", "010"], ["A1", "A2"], ["town 02"], ["1st", "2nd", "3rd"], ["12:30"], ["2024-01-31"], ["31.12.2024"],
        ["5 kg", "3 lb"], ["192.168.1.1"], ["1/2"], ["3-4"], ["12.345.6"], ["0x1F"], ["1_000"], ["१२"], ["--5"],
    ],
)  # fmt: skip
def test_what_is_no_number_stays_text(values):
    assert read(values)[0] is None


@pytest.mark.parametrize(
    ("values", "readings"),
    [
        (["1,234", "2,345", "999"], "'1,234' can be read as 1234 or as 1.234"),
        (["12,500 kg", "3,250 kg"], "'12,500 kg' can be read as 12500 or as 12.5"),
        (["1.234 €", "999 €"], "'1.234 €' can be read as 1.234 or as 1234"),
    ],
)
def test_two_readings_are_refused_and_the_option_decides(values, readings):
    message = f"column 'c': {readings}, and no row decides; use --decimal . for "
    with pytest.raises(TableError, match=re.escape(message)):
        read(values)
    point, comma = (read(values, decimal)[1][0] for decimal in ".,")
    assert f"{point:g} or as {comma:g}" in readings


def test_three_digits_after_a_point_are_decimals_unless_other_columns_have_decimal_commas():
    assert read(["1.234", "2.345"])[1] == [1.234, 2.345]
    with pytest.raises(TableError, match="and no row decides"):
        read(["1.234", "2.345"], others=[["5,5", "6,25"]])
    assert read(["12", "13"], others=[["5,5", "6,25"]])[0] == NumberStyle(",")  # of whole numbers, as the others


def test_a_column_that_mixes_decimal_marks_is_refused():
    with pytest.raises(TableError, match=r"mixes decimal points and commas, as in '2\.5' and '1,5'"):
        read(["1,5", "2.5"] * 5)


def test_a_unit_is_the_same_for_ever():
    style = NumberStyle(".", "kg")
    assert style.parse(polars.Series(["5 kg", "5", "5 lb", "$5", "5%"])).to_list() == [5, 5, None, None, None]
    assert NumberStyle(".").parse(polars.Series(["0,126", "1,126"])).to_list() == [None, 1126]
    assert NumberStyle(".", "%").parse(polars.Series(["5%", "5"])).to_list() == [0.05, None]
