"""The sections that the page has and the terminal does not, as data."""

from importlib.metadata import PackageNotFoundError, version
from platform import python_version

import jax
import numpy as np

from jaxmlp import __version__
from jaxmlp._validation import count
from jaxmlp.models.report import Setting
from jaxmlp.pipeline import TableResult
from jaxmlp.pipeline.sections import Section, Table, format_pairs, name_models
from jaxmlp.pipeline.worst import to_indices
from jaxmlp.tables.columns import Boolean, Column
from jaxmlp.tables.findings import format_number
from jaxmlp.tables.messages import quote_if_odd

_MOST_SHOWN = 4  # Columns of the rows that the model fits worst.
_BINS = 5  # Parts of the rows in which the coverage of intervals is measured.
_MOST_CHARACTERS, _MOST_IN_CELL, _MOST_COLUMNS = 160, 24, 200
_PACKAGES = ("jax", "jaxlib", "numpy", "polars", "scikit-learn")
_KINDS = {"regression": "a number", "classification": "one of {} classes", "counts": "a count"}


def describe_task(result: TableResult, table: str | None) -> str:
    """Return what was predicted from what."""
    report, recipe = result.report, result.model.recipe
    assert recipe is not None
    kind = _KINDS[report["task"]].format(len(recipe.classes))
    source = "" if table is None else f" of {table}"
    columns = count(len(recipe.columns), "column")
    return f"{quote_if_odd(report['target'])}, {kind}, predicted from {columns}, {count(report['rows'], 'row')}{source}"


def list_numbers(result: TableResult) -> list[tuple[str, str]]:
    """Return the most important numbers, each with what it is."""
    report = result.report
    baseline = name_models(report)["constant"]
    errors = [(entry["score"], entry["standard_error"]) for entry in (report, report["constant"])]
    model, constant = format_pairs(errors)
    numbers = [(f"{report['error']} on held-out rows", model), (f"{report['error']}, {baseline}", constant)]
    if "accuracy" in report:
        numbers.append(("accuracy", f"{report['accuracy']:.1%} ± {report['accuracy_error']:.1%}"))
        numbers.append(("accuracy of the most frequent class", f"{report['constant']['accuracy']:.1%}"))
    elif report["score"] is not None and report["constant"]["score"]:
        ratio = report["score"] / report["constant"]["score"]
        share, of = (1 - ratio**2, "variance") if report["error"] == "RMSE" else (1 - ratio, "deviance")
        numbers.append((f"of the {of} explained", f"{max(share, 0):.0%}"))
    if report["interval"] is not None:
        numbers.append(("of the held-out targets in the 90 % intervals", f"{report['interval']['coverage']:.0%}"))
    numbers.append((f"held-out rows, {report['folds']} folds" if report["folds"] > 1 else "held-out rows, one hold-out",
                    str(report["held_out"])))  # fmt: skip
    return numbers


def describe_classes(result: TableResult) -> Table | None:
    """Return how well each class is predicted; None without classes."""
    recipe = result.model.recipe
    assert recipe is not None
    if not recipe.classes:
        return None
    targets, predictions = (to_indices(recipe, result.predictions[name]) for name in ("target", "prediction"))

    def share(rows: np.ndarray, right: np.ndarray) -> str:
        return f"{right[rows].mean():.0%}" if rows.any() else "-"

    right = targets == predictions
    lines = [
        (quote_if_odd(name), str(np.sum(targets == k)), str(np.sum(predictions == k)),
         share(targets == k, right), share(predictions == k, right))
        for k, name in enumerate(recipe.class_names())
    ]  # fmt: skip
    heads = ("class", "held-out rows", "predicted", "found (recall)", "right if predicted (precision)")
    return Table(heads, tuple(lines))


def describe_coverage(result: TableResult) -> Table | None:
    """Return how many targets the intervals hold, by the size of the prediction; None without intervals."""
    if result.report["interval"] is None:
        return None
    target, low, high, prediction = result.predictions["target", "low", "high", "prediction"].to_numpy().T
    order = np.argsort(prediction, kind="stable")
    bins = np.array_split(order, min(_BINS, max(1, len(order) // 10)))
    lines = [
        (f"{format_number(prediction[rows].min())} to {format_number(prediction[rows].max())}", str(len(rows)),
         format_number((high - low)[rows].mean()), f"{np.mean((low <= target)[rows] & (target <= high)[rows]):.0%}")
        for rows in bins
    ]  # fmt: skip
    return Table(("prediction", "held-out rows", "mean width", "targets inside"), tuple(lines))


def describe_worst(result: TableResult) -> Section:
    """Return the held-out rows with the largest misfit."""
    recipe, report = result.model.recipe, result.report
    assert recipe is not None
    misfits, predictions, values = result.worst
    shown = [column["name"] for column in report["columns"]][:_MOST_SHOWN]
    if recipe.classes:
        heads = ("row", f"{quote_if_odd(report['target'])}", "prediction", "probability of the target")
        name = dict(zip(recipe.classes, recipe.class_names(), strict=True))
        cells = [
            (str(row), *(_shorten(name[own], _MOST_IN_CELL) for own in (target, prediction)), f"{1 - misfit:.2g}")
            for misfit, row, target, prediction in zip(
                misfits, *(predictions[name] for name in ("row", "target", "prediction")), strict=True
            )
        ]
        meaning = "held-out rows whose class has the lowest predicted probability"
    else:
        heads = ("row", f"{quote_if_odd(report['target'])}", "prediction", "90 % interval", "misfit")
        cells = [
            (str(int(row)), *map(format_number, (target, prediction)),
             f"{format_number(low)} to {format_number(high)}", f"{misfit:.1f}")
            for misfit, (row, target, low, high, prediction) in zip(
                misfits, predictions["row", "target", "low", "high", "prediction"].iter_rows(), strict=True
            )
        ]  # fmt: skip
        meaning = "held-out rows whose target is furthest from the prediction; the misfit is the distance divided by "
        meaning += "that of the end of the 90 % interval"
    lines = [(*own, *map(_show_value, row)) for own, row in zip(cells, values[shown].iter_rows(), strict=True)]
    text = (f"Possible errors in the data: {meaning}", "Rows count from 1, below the header")
    return Section(
        "worst", "Rows that the model fits worst", text, Table((*heads, *map(quote_if_odd, shown)), tuple(lines))
    )


def describe_decisions(result: TableResult) -> Section:
    """Return how each column was used, and what else was decided about the table."""
    recipe, report = result.model.recipe, result.report
    assert recipe is not None
    columns = {column.name: column for column in recipe.columns}
    shown = report["columns"][:_MOST_COLUMNS]
    pairs = format_pairs([(entry["importance"], entry["standard_error"]) for entry in shown])
    lines = [
        (quote_if_odd(entry["name"]), _describe_column(columns[entry["name"]]), pair)
        for entry, pair in zip(shown, pairs, strict=True)
    ]
    lines += [(quote_if_odd(name), f"left out: {reason}", "") for name, reason in recipe.left_out[:_MOST_COLUMNS]]
    heads = ("column", "used as", "importance")
    # What the table above tells, and other sections, stands there.
    told = {*recipe.describe(), *report["cautions"], *find_plan(result)}
    hidden = max(0, len(columns) - _MOST_COLUMNS) + max(0, len(recipe.left_out) - _MOST_COLUMNS)
    notes = [f"{count(hidden, 'more column')} of less importance"] if hidden else []
    if any(getattr(column, "missing", 0) for column in columns.values()):
        notes.append("Missing numbers and dates are replaced by the mean, and marked in an input of their own")
    notes += [note for note in result.notes if note not in told]
    return Section(
        "decisions", "What was decided about each column", table=Table(heads, tuple(lines)), items=tuple(notes)
    )


def _describe_column(column: Column) -> str:
    if not isinstance(column, Boolean):
        return _shorten(column.describe(), _MOST_CHARACTERS)
    return "yes and no, and missing values" if None in column.levels else "yes and no"


def find_plan(result: TableResult) -> list[str]:
    """Return the notes on the plan."""
    return [note for note in result.notes if note.startswith(("Plan: ", "Search reduced "))]


def describe_plan(result: TableResult) -> Table:
    """Return everything that decides the search, but the table."""
    plan = result.plan.to_json()
    candidates = plan.pop("candidates")
    settings = plan | {"seed": result.report["seed"]}
    texts = {True: "yes", False: "no"}
    lines = [
        (name.replace("_", " "), texts[value] if isinstance(value, bool) else str(value))
        for name, value in settings.items()
        if value is not None
    ]
    measured = [(entry["score"], entry["standard_error"]) for entry in result.report["candidates"]]
    lines += [
        (f"setting {k}", f"{_describe_setting(candidate)}: {result.report['error']} {pair}")
        for k, (candidate, pair) in enumerate(zip(candidates, format_pairs(measured), strict=True), 1)
    ]
    return Table(("plan", "value"), tuple(lines))


def describe_versions() -> str:
    """Return the versions of all packages that decide the result, and the device."""
    parts = [f"jaxmlp {__version__}", f"Python {python_version()}"]
    for name in _PACKAGES:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join([*parts, f"on {jax.devices()[0].device_kind}"])


def _describe_setting(candidate: Setting) -> str:
    """Return the hyperparameters of a candidate, as `Plan.to_json` has them."""
    hidden = ", ".join(map(str, candidate["hidden"])) or "none"
    parts = [f"hidden layers {hidden}", f"learning rate {candidate['learning_rate']:g}"]
    parts += [f"weight decay {candidate['weight_decay']:g}"]
    parts += [f"{candidate['bins']} bins"] if candidate["bins"] else ["no bins"]
    return ", ".join(parts) + (", logarithm of the target" if candidate["is_log"] else "")


def _show_value(value: object) -> str:
    """Return a value of the table."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return "" if value is None else _shorten(text, _MOST_IN_CELL)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
