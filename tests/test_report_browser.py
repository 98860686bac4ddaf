"""The page of a report in a browser: no request, no error, readable on a phone and on paper. Needs Chromium."""

import pytest
from tables import FAST, houses
from test_report import SECTIONS, fit

import jaxmlp
from jaxmlp.report import write_report

pytestmark = [pytest.mark.browser, pytest.mark.extended]


@pytest.fixture(scope="module", params=["plain", "counts", "four"])
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    result = jaxmlp.fit_table(houses(), "price", **FAST) if request.param == "plain" else fit(request.param)
    write_report(result, path, table="houses.csv", command="jaxmlp train " + "houses.csv " * 30)
    return path


@pytest.fixture(params=[1280, 390])
def opened(request, browser, path):
    """(the page, what its console said, the addresses that it asked for)."""
    page, said, asked = browser.new_page(viewport={"width": request.param, "height": 844}), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    yield page, said, asked
    page.close()


def test_the_page_has_all_sections_and_asks_no_network(opened, path):
    page, said, asked = opened
    assert {*page.locator("h2").all_inner_texts()} >= {*SECTIONS} - {"Prediction intervals"}
    assert (said, asked) == ([], [path.as_uri()])


def test_nothing_is_wider_than_the_screen_and_figures_are_readable(opened):
    page, *_ = opened
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        "[...document.querySelectorAll('svg')].every((svg) => svg.getBoundingClientRect().height > 200)"
    )
    smallest = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll("svg text")].map((text) =>
          parseFloat(getComputedStyle(text).fontSize) * Math.hypot(text.getScreenCTM().a, text.getScreenCTM().b)))"""
    )
    assert smallest >= (10 if width == 1280 else 8)


def test_the_text_of_a_figure_stays_inside_of_it(opened):
    page, *_ = opened
    outside = page.evaluate(
        """() => [...document.querySelectorAll("svg text")].filter((text) => {
          const own = text.getBoundingClientRect(), all = text.ownerSVGElement.getBoundingClientRect();
          return own.left < all.left - 3 || own.right > all.right + 3 || own.bottom > all.bottom + 3 ||
            own.top < all.top - 3;
        }).map((text) => text.textContent)"""
    )
    assert outside == []


def test_it_prints_on_a_few_pages_of_a4(opened):
    page, *_ = opened
    content = page.pdf(prefer_css_page_size=True)
    assert 2 <= content.count(b"/Type /Page\n") <= 7
    assert b"/MediaBox [0 0 594.95996 841.91998]" in content or b"/MediaBox [0 0 595" in content
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 without margins.
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    page.emulate_media(media="screen")
