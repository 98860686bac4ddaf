"""The text of a report: sections as data, which the terminal and the page show."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxmlp._validation import count
from jaxmlp.models.report import Figures, Report, find_figures
from jaxmlp.tables.findings import format_number
from jaxmlp.tables.messages import quote_if_odd

MAX_COLUMNS_SHOWN = 20
_LARGE = 1e9  # Numbers from here on have an exponent.
_MODELS = {"mean": "network and linear, mean", "network": "network", "trees": "boosted trees", "linear": "linear"}
# What may be saved, the simplest first.
_CHOICES = {"linear": "the linear model", "network": "the network", "mean": "the mean of network and linear model"}


class Table(NamedTuple):
    """Cells of text in lines."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    marked: int | None = None  # The line that is marked, as the saved model is.


class Section(NamedTuple):
    """A part of a report."""

    name: str
    heading: str
    text: tuple[str, ...] = ()  # Sentences, without a full stop.
    table: Table | None = None
    items: tuple[str, ...] = ()  # A list.


def describe_sections(report: Report) -> dict[str, Section]:
    """Return the sections of a report by name: models, measurement, intervals, cautions and columns.

    Arguments:
        report: of `make_report`.
    """
    sections = [
        Section("models", "Models", (_explain_choice(report), *_describe_average(report)), _compare_models(report)),
        Section("measurement", "How it was measured", (f"Measured: {report['method']}",)),
        Section("intervals", "Prediction intervals", _describe_interval(report)),
        Section("cautions", "What to be careful about", items=tuple(report["cautions"])),
        _describe_columns(report),
    ]
    return {section.name: section for section in sections}


def describe_report(report: Report) -> list[str]:
    """Return the report as lines of text.

    Arguments:
        report: of `make_report`.
    """
    models, measurement, intervals, cautions, columns = describe_sections(report).values()
    assert models.table is not None
    assert columns.table is not None
    lines = [f"{quote_if_odd(report['target'])}: {report['verdict']}", "", *_print_table(models.table), ""]
    lines += [*models.text, *measurement.text, *intervals.text]
    lines += ["", cautions.heading, *cautions.items]
    lines += ["", f"{columns.heading} ({columns.text[0]})"]
    lines += [f"  {line}" for line in _print_table(columns.table._replace(heads=()))]
    return [*lines, *(f"  {line}" for line in columns.text[1:])]


def _compare_models(report: Report) -> Table:
    """Return the errors of all models."""
    names = name_models(report)
    entries = {name: find_figures(report, name) for name in names}
    errors = format_pairs([(entry["score"], entry["standard_error"]) for entry in entries.values()])
    heads = ("model", report["error"], *(("accuracy",) if "accuracy" in report else ()))
    lines = [
        (label, error, *_format_accuracy(entry))
        for label, error, entry in zip(names.values(), errors, entries.values(), strict=True)
    ]
    return Table(heads, tuple(lines), list(names).index(report["saved"]))


def name_models(report: Report) -> dict[str, str]:
    """Return the labels of the models of a report, by their names in it."""
    kind = "class frequencies" if report["task"] == "classification" else "mean"
    labels = _MODELS | {"constant": f"constant ({kind})"}
    return {name: label for name, label in labels.items() if name in report}


def _explain_choice(report: Report) -> str:
    """Return which model was saved, and why."""
    if "mean" not in report:
        return f"Saved: the best setting, trained again on all rows ({count(report['members'], 'network')})"
    saved, order = report["saved"], list(_CHOICES)
    scores = {name: find_figures(report, name)["score"] for name in order}
    best = min(order, key=lambda name: math.inf if (score := scores[name]) is None else score)
    if best == saved:
        return f"Saved: {_CHOICES[saved]}, which has the lowest error of linear model, network and their mean"
    if order.index(saved) < order.index(best):
        within = "whose error is within one standard error of the lowest"
        return f"Saved: {_CHOICES[saved]}, the simplest of linear model, network and their mean {within}"
    fitted = "the errors above are cross-fitted, so another may be slightly better there"
    return f"Saved: {_CHOICES[saved]}, chosen by all held-out rows; {fitted}"


def _describe_average(report: Report) -> tuple[str, ...]:
    """Return the error that is expected of the saved model, if it averages the networks of all folds."""
    if (adjusted := report.get("adjusted_score")) is None:
        return ()
    average = f"Expected of the saved model, the mean of all {report['folds']} folds"
    return (f"{average}: {report['error']} {format_pairs([(adjusted, report['standard_error'])])[0]}",)


def _describe_interval(report: Report) -> tuple[str, ...]:
    if report["interval"] is None:
        return ()
    low, high, coverage = (report["interval"][name] for name in ("low", "high", "coverage"))
    below, above = format_number(abs(low)), format_number(abs(high))
    around = f"from prediction - {below} to prediction + {above} on average"
    return (f"90 % prediction intervals, {around}; they hold {coverage:.0%} of the held-out targets",)


def _describe_columns(report: Report) -> Section:
    columns = report["columns"][:MAX_COLUMNS_SHOWN]
    pairs = [(column["importance"], column["standard_error"]) for column in columns]
    labels = [quote_if_odd(column["name"]) for column in columns]
    meaning = f"permutation importance: growth of the {report['error']} when the column is shuffled, ± standard error"
    hidden = len(report["columns"]) - len(columns)
    table = Table(("column", f"growth of the {report['error']}"), tuple(zip(labels, format_pairs(pairs), strict=True)))
    return Section("columns", "Columns that matter", (meaning, *([f"and {hidden} more"] if hidden else [])), table)


def format_pairs(pairs: Sequence[tuple[float | None, float | None]]) -> list[str]:
    """Return values with their standard errors as text, with equal numbers of decimals where they are of like size."""
    known = [(value, error) for value, error in pairs if value is not None and error is not None]
    errors = [error for _, error in known if error > 0]
    decimals = 2 if not errors else 1 - math.floor(math.log10(sorted(errors)[len(errors) // 2]))
    largest = max((abs(value) for value, _ in known), default=0)
    decimals = max(0, min(decimals, 5 - math.floor(math.log10(largest)) if largest > 0 else decimals))

    def format_pair(value: float | None, error: float | None) -> str:
        if value is None or error is None:
            return "diverged"
        if 0 < abs(value) < 10**-decimals / 2 or abs(value) >= _LARGE:
            return f"{value:.{4 if abs(value) >= _LARGE else 2}g} ± {error:.2g}"
        return f"{value:.{decimals}f} ± {error:.{decimals}f}"

    return [format_pair(*pair) for pair in pairs]


def _format_accuracy(entry: Figures) -> tuple[str, ...]:
    return (f"{entry['accuracy']:.1%} ± {entry['accuracy_error']:.1%}",) if "accuracy" in entry else ()


def _print_table(table: Table) -> list[str]:
    """Return a table as lines: the first cells flush left, the others flush right."""
    rows = [table.heads, *table.lines] if table.heads else list(table.lines)
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = (f"{cell:{width}}" for cell, width in zip(row[:1], widths[:1], strict=True))
        others += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([first, *others]).rstrip())
    if table.marked is not None:
        lines[table.marked + bool(table.heads)] += "   <- saved"
    return lines
