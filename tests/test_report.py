"""The report as a page: the text of the terminal and the numbers of the result, escaped, without requests."""

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars
import pytest
from tables import FAST, N, houses

import jaxmlp
from jaxmlp._validation import MissingDependencyError
from jaxmlp.pipeline.sections import describe_sections
from jaxmlp.plots.panels import MOST_POINTS
from jaxmlp.report import build_report, write_report
from jaxmlp.storage.files import StorageError

ODD = '<script>alert(1)</script> & "$x^{$"\n\x1b[1m\''
RNG = np.random.default_rng(0)
SECTIONS = [
    "Models", "What to be careful about", "Predictions and truth", "Prediction intervals", "Columns that matter",
    "Rows that the model fits worst", "What was decided about each column", "How it was measured",
    "To repeat, and to predict",
]  # fmt: skip
TAGS = {"html", "head", "meta", "link", "title", "style", "body", "header", "section", "div", "h1", "h2", "h3", "p"}
TAGS |= {"ul", "li", "dl", "dt", "dd", "small", "b", "pre", "span", "table", "thead", "tbody", "tr", "th", "td"}
TAGS |= {"figure", "figcaption", "svg", "g", "path", "text", "tspan", "use", "defs", "clippath", "rect", "image"}


def odd_houses():
    """Houses with a date and a missing number, and with names and levels that are HTML."""
    days = polars.Series(np.datetime64("2024-01-01") + np.arange(N)).cast(polars.Date)
    frame = houses().with_columns(day=days, city=polars.col("city").replace("Oslo", ODD))
    return frame.rename({"rooms": ODD})


def fit(task):
    """The fast result of a task, whose target has an odd name."""
    frame, name, options = odd_houses(), f"the {ODD}", {}
    if task == "counts":
        frame, options = frame.with_columns(price=RNG.poisson(4, size=N)), {"task": "counts"}
    elif task in ("two", "four"):
        size = (frame["price"].rank("ordinal") - 1) * {"two": 2, "four": 4}[task] // N
        frame = frame.with_columns(price=size.cast(polars.Int64).cast(str) + f" of {ODD}")
    return jaxmlp.fit_table(frame.rename({"price": name}), name, **FAST, **options)


OTHERS = [pytest.param(task, marks=pytest.mark.extended) for task in ("counts", "two", "four")]


@pytest.fixture(scope="module", params=["regression", *OTHERS])
def result(request):
    return fit(request.param)


@pytest.fixture(scope="module")
def page(result):
    return Page(build_report(result, table=ODD, command="jaxmlp train <a>", predict="jaxmlp predict <b>"))


class Page(HTMLParser):
    """The tags, addresses, texts, headings and tables of a page."""

    def __init__(self, html):
        super().__init__()
        self.html, self.tags, self.links, self.texts, self.open = html, [], [], [], []
        self.headings, self.tables = [], []
        self.feed(html)
        self.text = " ".join("".join(self.texts).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href", "srcset")]
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.texts.append(data)
        if "h2" in self.open:
            self.headings.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data

    def table(self, first):
        """The lines of the table whose first head is given."""
        return next(table[1:] for table in self.tables if table[0][0] == first)


def shown(text):
    """Text as a page shows it."""
    return " ".join(text.replace("\n", "\\n").replace("\x1b", "\\x1b").split())


def test_every_section_is_there_in_order(result, page):
    expected = [name for name in SECTIONS if name != "Prediction intervals" or result.report["interval"] is not None]
    assert page.headings == expected
    assert page.tags.count("svg") == 4 + len(result.dependence)
    assert page.open == []


def test_a_page_is_one_small_file_without_scripts_and_requests(page):
    assert {*page.tags} <= TAGS
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"\w+://|@import|url\((?!#)", page.html)
    assert len(page.html.encode()) < 500_000
    assert page.html.isprintable() or set(re.sub(r"[^\x00-\x1f\x7f-\x9f]", "", page.html)) == {"\n"}


def test_names_and_values_are_shown_as_text(result, page):
    assert "<script" not in page.html
    name = shown('<script>alert(1)</script> & "$x^{$"\n\x1b[1m'[:20])
    assert page.text.count(name) > 10
    assert f"Predicting 'the {ODD[:20]}" in page.text
    columns = [line[0] for line in page.table("column")]
    assert len(columns) == len(result.report["columns"]) + 1  # and one that is left out
    assert any(column.startswith(("'<script>", "<script>")) for column in columns)
    assert shown(ODD) in page.text  # the file
    assert "jaxmlp train <a>" in page.text
    assert "jaxmlp predict <b>" in page.text


def test_the_text_is_that_of_the_terminal(result, page):
    terminal = repr(result)
    for section in describe_sections(result.report).values():
        if section.name != "columns":  # It is a figure.
            assert all(shown(sentence) in page.text for sentence in (*section.text, *section.items))
        assert all(sentence in terminal for sentence in (*section.text, *section.items))
    models = describe_sections(result.report)["models"].table
    lines = page.table("model")
    assert [[cell.removesuffix(" saved") for cell in line] for line in lines] == [[*line] for line in models.lines]
    assert [k for k, line in enumerate(lines) if line[0].endswith(" saved")] == [models.marked]
    assert result.report["verdict"] in page.text


def test_the_numbers_of_the_predictions_are_those_of_the_rows(result, page):
    table = result.predictions
    if result.report["interval"] is None:
        classes = result.model.recipe.class_names()
        lines = page.table("class")
        assert [int(line[1]) for line in lines] == [int((table["target"] == name).sum()) for name in classes]
        assert [int(line[2]) for line in lines] == [int((table["prediction"] == name).sum()) for name in classes]
        for line, name in zip(lines, classes, strict=True):
            right = table.filter(polars.col("target") == name)["prediction"] == name
            assert line[3] == f"{right.mean():.0%}"
    else:
        inside = table["target"].is_between(table["low"], table["high"])
        lines = page.table("prediction")
        counted = sum(int(rows) * float(share.removesuffix("%")) / 100 for _, rows, _, share in lines)
        assert sum(int(line[1]) for line in lines) == table.height
        np.testing.assert_allclose(counted, inside.sum(), atol=0.1)


def test_the_worst_rows_are_those_with_the_largest_misfit(result, page):
    worst, table = result.worst, result.predictions
    assert 3 <= len(worst.misfit) <= 10
    assert (np.diff(worst.misfit) <= 0).all()
    lines = page.table("row")
    assert [int(line[0]) for line in lines] == worst.predictions["row"].to_list()
    if result.report["interval"] is None:
        classes = result.model.recipe.class_names()
        own = [row[f"probability_{row['target']}"] for row in table.iter_rows(named=True)]
        assert classes
        np.testing.assert_allclose(worst.misfit, 1 - np.sort(own)[: len(worst.misfit)])
    else:
        target, low, high = table["target", "low", "high"].to_numpy().T
        outside = (target < low) | (target > high)
        assert sum(worst.misfit > 1) == min(10, outside.sum())
    frame = odd_houses()
    assert worst.values["zone"].to_list() == frame["zone"].gather(worst.predictions["row"] - 1).to_list()


@pytest.fixture(scope="module")
def fast():
    return jaxmlp.fit_table(houses(), "price", **FAST)


@pytest.mark.extended
def test_many_rows_make_no_large_page(fast):
    table = polars.concat([fast.predictions] * 2000)
    page = Page(build_report(replace(fast, predictions=table)))
    assert len(page.html.encode()) < 1_000_000
    assert page.text.count(f"{MOST_POINTS} of {table.height} rows are drawn.") == 2


@pytest.mark.extended
def test_many_classes_and_columns_make_no_large_page():
    rng = np.random.default_rng(0)
    frame = polars.DataFrame({f"x{k}": rng.normal(size=150) for k in range(210)})
    frame = frame.with_columns(kind=polars.Series([f"class {k % 30}" for k in range(150)]))
    page = Page(build_report(jaxmlp.fit_table(frame, "kind", **FAST | {"epochs": 1})))
    assert len(page.html.encode()) < 2_000_000
    assert len(page.table("class")) == 30
    assert len(page.table("column")) == 200
    assert "10 more columns of less importance." in page.text


@pytest.mark.extended
def test_a_report_is_written_completely_or_not_at_all(fast, tmp_path):
    path = tmp_path / "report.html"
    write_report(fast, str(path))
    html = path.read_text(encoding="utf-8")
    assert html == build_report(fast)  # The same result gives the same page.
    text = Page(html).text
    assert "jaxmlp.fit_table(table, 'price', seed=0, plan=result.plan)" in text
    assert "jaxmlp.save_model(result.model, path)" in text
    with pytest.raises(StorageError, match="No such file or directory"):
        write_report(fast, tmp_path / "none" / "report.html")


def test_without_matplotlib_the_error_has_the_line_to_run(fast, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=re.escape("pip install 'jaxmlp[plot]'")):
        build_report(fast)
