"""The report as one HTML file: no script, no request to any network."""

import re
from collections.abc import Iterable, Sequence
from html import escape as escape_html
from importlib.resources import files
from os import PathLike
from pathlib import Path

from jaxmlp._validation import count, escape, require
from jaxmlp.pipeline import TableResult
from jaxmlp.pipeline.sections import Table, describe_sections
from jaxmlp.report.figures import Drawing, draw_columns, draw_models, draw_predictions
from jaxmlp.report.sections import (
    describe_classes,
    describe_coverage,
    describe_decisions,
    describe_plan,
    describe_task,
    describe_versions,
    describe_worst,
    find_plan,
    list_numbers,
)
from jaxmlp.storage.files import write_bytes
from jaxmlp.tables.messages import quote_if_odd

_NUMBER = re.compile(r"[-+.\deE%± ]*( to [-+.\deE]+)?")  # A cell that is not folded.
_CAUSES = "Importance and curves tell what the model uses, not what causes the target. "
_CAUSES += "Columns that hold the same information share their importance."


def write_report(
    result: TableResult,
    path: str | PathLike[str],
    *,
    table: str | None = None,
    command: str | None = None,
    predict: str | None = None,
) -> None:
    """Write the report on a model of a table as one HTML file, completely or not at all.

    Arguments:
        result: of `fit_table`.
        path: the file, such as "report.html".
        table: the name of the table; None to leave it out.
        command: what repeats the search, a line for a shell; None for lines of Python.
        predict: what predicts, a line for a shell; None for lines of Python.

    Raises:
        StorageError: the disk is full, the directory is missing or may not be written.
        MissingDependencyError: matplotlib is not installed.
    """
    page = build_report(result, table=table, command=command, predict=predict)
    write_bytes(Path(path), page.encode("utf-8"))


def build_report(
    result: TableResult, *, table: str | None = None, command: str | None = None, predict: str | None = None
) -> str:
    """Return the page that `write_report` writes; arguments and errors are the same."""
    require("matplotlib", extra="plot")
    shared, report = describe_sections(result.report), result.report
    task, target = describe_task(result, table), quote_if_odd(report["target"])
    models, columns, intervals = shared["models"], shared["columns"], shared["intervals"]
    worst, decisions = describe_worst(result), describe_decisions(result)
    parts = [
        f"<header><h1>Predicting {_escape(target)}</h1>",
        f"<p class=verdict>{_escape(report['verdict'])}</p><p>{_escape(task)}.</p></header>",
        _facts(list_numbers(result)),
        _section(
            models.heading,
            f"<div class=figures>{_draw(draw_models(result))}",
            f"<div>{_table(models.table)}{_sentences(models.text)}</div></div>",
        ),
        _section(shared["cautions"].heading, _list(shared["cautions"].items), name="cautions"),
        _section("Predictions and truth", _figures(draw_predictions(result)), _table(describe_classes(result))),
    ]
    if intervals.text:
        parts.append(_section(intervals.heading, _sentences(intervals.text), _table(describe_coverage(result))))
    parts += [
        _section(
            columns.heading, f"<p>{_CAUSES}</p>", _figures(draw_columns(result)),
        ),
        _section(worst.heading, _sentences(worst.text), _table(worst.table)),
        _section(decisions.heading, _table(decisions.table, is_text=True), _list(decisions.items)),
        _section(shared["measurement"].heading, _sentences(shared["measurement"].text)),
        _section("To repeat, and to predict", *_describe_use(result, command, predict)),
    ]  # fmt: skip
    style = (files("jaxmlp.report") / "report.css").read_text(encoding="utf-8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f'<link rel="icon" href="data:,"><title>{_escape(target)}: report</title><style>\n{style}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _describe_use(result: TableResult, command: str | None, predict: str | None) -> list[str]:
    """Return how to repeat the search and how to predict."""
    report = result.report
    search = f"jaxmlp.fit_table(table, {report['target']!r}, seed={report['seed']}, plan=result.plan)"
    python = "jaxmlp.save_model(result.model, path)\njaxmlp.predict(jaxmlp.load_model(path), table)"
    same = (
        "With the plan below and the seed, the search gives the same bits on the same machine, whatever time it takes"
    )
    time = f"{count(report['networks'], 'network')} trained, {report['members']} saved, {result.seconds:.1f} s"
    return [
        "<h3>To predict</h3>", _code(python if predict is None else predict),
        "<h3>To repeat the search</h3>", _code(search if command is None else command),
        _sentences([same if command is None else f"{same}: add --plan and the model", *find_plan(result)]),
        _table(describe_plan(result), is_text=True), _sentences([time, describe_versions()]),
    ]  # fmt: skip


def _escape(text: str) -> str:
    """Return text from a table or a user for HTML, on one line, without control characters."""
    return escape_html(escape(text))


def _section(heading: str, *parts: str, name: str = "") -> str:
    return f"<section{f' class={name}' if name else ''}><h2>{_escape(heading)}</h2>\n" + "\n".join(parts) + "</section>"


def _sentences(texts: Iterable[str]) -> str:
    return "".join(f"<p>{_escape(text)}.</p>" for text in texts)


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_escape(item)}.</li>" for item in items) + "</ul>" if items else ""


def _code(text: str) -> str:
    """Return lines of code; a line breaks between words."""
    lines = [" ".join(f"<span>{_escape(word)}</span>" for word in line.split(" ")) for line in text.split("\n")]
    return "<pre>" + "\n".join(lines) + "</pre>"


def _facts(numbers: Iterable[tuple[str, str]]) -> str:
    """Return numbers as tiles, the standard error smaller."""
    tiles = []
    for name, text in numbers:
        number, mark, error = _escape(text).partition(" ± ")
        small = f" <small>± {error}</small>" if mark else ""
        tiles.append(f"<div><dt>{_escape(name)}</dt><dd>{number}{small}</dd></div>")
    return f"<dl>{''.join(tiles)}</dl>"


def _table(table: Table | None, *, is_text: bool = False) -> str:
    """Return a table; the cells after the first are numbers, or text."""
    if table is None:
        return ""
    head = "".join(f"<th scope=col>{_escape(cell)}</th>" for cell in table.heads)
    lines = []
    for k, line in enumerate(table.lines):
        mark = " <b>saved</b>" if k == table.marked else ""
        cells = "".join(
            f"<td{' class=number' * bool(_NUMBER.fullmatch(cell))}>{_escape(cell)}</td>" for cell in line[1:]
        )
        lines.append(f"<tr{' class=saved' * bool(mark)}><th scope=row>{_escape(line[0])}{mark}</th>{cells}</tr>")
    kind = " class=text" if is_text else ""
    return f"<div class=scroll><table{kind}><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _figures(drawings: Iterable[Drawing]) -> str:
    return f"<div class=figures>{''.join(map(_draw, drawings))}</div>"


def _draw(drawing: Drawing) -> str:
    svg = drawing.svg.replace("<svg ", f'<svg role="img" aria-label="{_escape(drawing.caption)}" ', 1)
    wide = " class=wide" if drawing.is_wide else ""
    return f"<figure{wide}>{svg}<figcaption>{_escape(drawing.caption)}</figcaption></figure>"
