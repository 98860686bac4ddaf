"""What to be careful about when a model of a table is used."""

import numpy as np

from jaxmlp._validation import count
from jaxmlp.models.interval import COVERAGE
from jaxmlp.models.report import Report
from jaxmlp.pipeline.rows import Rows
from jaxmlp.tables.columns import Number
from jaxmlp.tables.findings import format_number
from jaxmlp.tables.messages import join, quote_if_odd
from jaxmlp.tables.temporal import Date

_FEW_ROWS, _FEW_IN_CLASS = 200, 10
_PERFECT = 0.99  # The share of the variance that is explained, or the accuracy, from which a model is almost perfect.
_MAIN_CLASS = 0.8  # The share of a class from which the accuracy tells little.
_MOST_RANGES = 3
_LINEAR = {
    "a linear model is better": "A linear model is better than the networks; it is simpler to explain, too",
    "a linear model is as good": "A linear model is as good as the networks, and simpler to explain",
}


def list_cautions(report: Report, rows: Rows) -> list[str]:
    """Return what to be careful about, a sentence each, given a report without them and the rows with a target."""
    cautions = [*_compare(report), *_judge_errors(report, rows), *rows.remarks]
    if report["interrupted"]:
        cautions.append("The search was interrupted: what it would have tried later is missing")
    return [*cautions, _describe_range(report, rows)]


def _compare(report: Report) -> list[str]:
    """Return what the comparison with other models says against this one."""
    cautions, target = [], quote_if_odd(report["target"])
    if report["verdict"].startswith("no better"):
        known = f"the columns tell nothing certain of {target}"
        cautions.append(f"Neither the networks nor the linear model are better than the constant baseline: {known}")
    if report["verdict"] in _LINEAR:
        cautions.append(_LINEAR[report["verdict"]])
    if report["trees_are_better"]:
        cautions.append("Boosted trees are better by more than two standard errors")
    return cautions


def _judge_errors(report: Report, rows: Rows) -> list[str]:
    """Return why the errors of a report may mislead."""
    cautions, held_out = [], report["held_out"]
    if held_out < _FEW_ROWS:
        cautions.append(f"The errors were measured on {count(held_out, 'held-out row')} only")
    if report["folds"] == 1 and rows.times is None:
        cautions.append("The errors were measured on a single hold-out; five folds hold out each row once")
    top = quote_if_odd(report["columns"][0]["name"])
    if _is_almost_perfect(report):
        cautions.append(
            f"The predictions are almost perfect: check that no column, such as {top}, is known only after the target"
        )
    if report["interval"] is not None:
        coverage = report["interval"]["coverage"]
        if abs(coverage - COVERAGE) > max(0.02, 2 * np.sqrt(COVERAGE * (1 - COVERAGE) / held_out)):
            size = "narrow" if coverage < COVERAGE else "wide"
            cautions.append(f"The 90 % prediction intervals hold {coverage:.0%} of the held-out targets: too {size}")
    names, sizes = rows.recipe.class_names(), rows.y.sum(axis=0)
    rare = [quote_if_odd(name) for name, size in zip(names, sizes, strict=False) if size < _FEW_IN_CLASS]
    if rare:
        cautions.append(f"Classes with fewer than {_FEW_IN_CLASS} rows, which are hard to learn: {join(rare)}")
    if names and sizes.max() > _MAIN_CLASS * len(rows.y):
        name, share = quote_if_odd(names[int(sizes.argmax())]), sizes.max() / len(rows.y)
        cautions.append(f"{share:.0%} of the rows are of the class {name}: the accuracy alone tells little")
    return cautions


def _is_almost_perfect(report: Report) -> bool:
    score, constant = report["score"], report["constant"]["score"]
    if report["verdict"].startswith("no better") or score is None or constant is None:
        return False
    if "accuracy" in report:
        return report["accuracy"] >= _PERFECT > report["constant"]["accuracy"]
    return report["error"] == "RMSE" and score**2 < (1 - _PERFECT) * constant**2


def _describe_range(report: Report, rows: Rows) -> str:
    """Return where the model extrapolates: the training range of the columns that matter most."""
    columns = {column.name: column for column in rows.recipe.columns}
    ranges = []
    for entry in report["columns"]:
        column = columns[entry["name"]]
        if isinstance(column, Number):
            ranges.append(f"{quote_if_odd(column.name)} {format_number(column.low)} to {format_number(column.high)}")
        elif isinstance(column, Date):
            ranges.append(f"{quote_if_odd(column.name)} {column.start[:10]} to {column.end[:10]}")
    if not ranges:
        return "Levels that training did not see are predicted like rare ones, or like none"
    more = f" and {len(ranges) - _MOST_RANGES} more" if len(ranges) > _MOST_RANGES else ""
    return f"Outside the range of the training rows the model extrapolates: {', '.join(ranges[:_MOST_RANGES])}{more}"
