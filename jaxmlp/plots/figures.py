"""Figures of training and of a report, drawn with matplotlib but without `pyplot` and its global state."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from jaxmlp._validation import escape, require
from jaxmlp.storage.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_MOST_COLUMNS = 15
_BLUE, _ORANGE, _GREY = "#1f4e79", "#c8642b", "#8a8a8a"
# The models of a report, with their labels and colors.
_MODELS = {
    "mean": ("network and\nlinear, mean", _BLUE), "network": ("network", _BLUE), "trees": ("boosted trees", _ORANGE),
    "linear": ("linear", _ORANGE), "constant": ("constant", _GREY),
}  # fmt: skip


def training_figure(
    losses: ArrayLike, targets: ArrayLike, predictions: ArrayLike, spread: ArrayLike | None = None, *, title: str
) -> "Figure":
    """Plot the loss over the epochs, and the predictions against the targets, of a network or an ensemble.

    Arguments:
        losses: (epochs,), or (members, epochs), of which the median and the central 90 % are drawn.
        targets: (n, 1) or (n,).
        predictions: (n, 1) or (n,), the mean over members.
        spread: (n, 1) or (n,), the standard deviation over members, drawn as lines; or None.
        title: title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    losses = np.atleast_2d(np.asarray(losses, np.float64))
    figure, (curve, scatter) = _figure(title, 2)
    epochs = np.arange(1, losses.shape[1] + 1)
    low, median, high = np.quantile(losses, (0.05, 0.5, 0.95), axis=0)
    curve.plot(epochs, median, color=_BLUE, linewidth=2, label="median")
    if len(losses) > 1:
        curve.fill_between(epochs, low, high, color=_BLUE, alpha=0.2, linewidth=0, label="90 % of the networks")
        curve.legend(frameon=False)
    if np.all(losses > 0):
        curve.set_yscale("log")
        _plain_log_ticks(curve.yaxis, low.min(), high.max())
    curve.set(xlabel="epoch", ylabel="loss (sum of squared errors)", title="Training loss")
    _plain(curve)
    _scatter(scatter, "y", targets, predictions, spread)
    scatter.set_title("Predictions of the rows it was trained on")
    return figure


def report_figure(
    report: Mapping[str, Any],
    targets: ArrayLike,
    predictions: ArrayLike,
    classes: Sequence[str] | None = None,
    *,
    title: str,
) -> "Figure":
    """Plot the errors of the models, the predictions for held-out rows, and the importance of the columns.

    Arguments:
        report: `target` (the name of the target), `error` (the name of the error); `mean`, `network`, `trees`, `linear`
            and `constant`, or some of them, each with `score` and `standard_error`; `saved` (one of these names); and
            `columns`, each with `name`, `importance` and `std`.
        targets: (n,) numbers, or indices of classes.
        predictions: (n,) predictions for the same rows, made by networks that were not trained on them.
        classes: names of the classes, for a confusion matrix; None for numbers.
        title: title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure, (scores, rows, importance) = _figure(title, 3)
    _scores(scores, report)
    if classes is None:
        _scatter(rows, report["target"], targets, predictions)
    else:
        _confusion(rows, report["target"], targets, predictions, classes)
    rows.set_title("Predictions of held-out rows")

    columns = report["columns"][:_MOST_COLUMNS]
    importance.barh(
        [_cut(column["name"], 32) for column in columns], [column["importance"] for column in columns],
        xerr=[column["std"] for column in columns], color=_BLUE, ecolor=_GREY, capsize=3,
        height=min(0.8, 0.16 * len(columns)),
    )  # fmt: skip
    importance.set_ylim(len(columns) - 0.5, -0.5)  # Top to bottom.
    importance.locator_params(axis="x", nbins=5)
    meaning = (
        f"permutation importance: increase of the {report['error']}\nwhen the column is shuffled, ± standard deviation"
    )
    importance.set(xlabel=meaning, title="Columns that matter")
    _plain(importance, grid="x")
    return figure


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure in the format that the suffix of `path` names (.png, .svg, .pdf), completely or not at all.

    Raises:
        StorageError: the disk is full, the directory is missing or may not be written.
    """
    content = io.BytesIO()
    figure.savefig(content, dpi=150, format=Path(path).suffix[1:])
    write_bytes(Path(path), content.getvalue())


def _figure(title: str, columns: int) -> "tuple[Figure, Sequence[Axes]]":
    require("matplotlib", extra="plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * columns, 4.4), layout="constrained")
    figure.suptitle(escape(title), parse_math=False)
    return figure, figure.subplots(1, columns)


def _scores(axes: "Axes", report: Mapping[str, Any]) -> None:
    """Plot the score and standard error of each model that has not diverged."""
    models = {name: report[name] for name in _MODELS if name in report and report[name]["score"] is not None}
    for place, (name, entry) in enumerate(models.items()):
        axes.errorbar(entry["score"], place, xerr=entry["standard_error"], fmt="o", color=_MODELS[name][1], capsize=4)
    labels = [_MODELS[name][0] + "  (saved)" * (name == report["saved"]) for name in models]
    axes.set_yticks(range(len(models)), labels)
    axes.invert_yaxis()
    scores = [entry["score"] for entry in models.values()]
    if min(scores) > 0 and max(scores) > 10 * min(scores):
        axes.set_xscale("log")
        _plain_log_ticks(axes.xaxis, min(scores), max(scores))
    error = f"{report['error']} of {_cut(report['target'], 32)} ± standard error"
    axes.set(xlabel=error, title="Models")
    _plain(axes, grid="x")


def _scatter(
    axes: "Axes", name: str, targets: ArrayLike, predictions: ArrayLike, spread: ArrayLike | None = None
) -> None:
    targets, predictions = (np.asarray(values, np.float64).ravel() for values in (targets, predictions))
    axes.axline((0, 0), slope=1, color=_GREY, linewidth=1, linestyle="--", label="prediction = target")
    if spread is not None:
        bars = np.asarray(spread, np.float64).ravel()
        label = "± 1 standard deviation over the networks"
        axes.errorbar(targets, predictions, bars, fmt="none", ecolor=_BLUE, alpha=0.35, linewidth=1, label=label)
    axes.scatter(targets, predictions, s=18, color=_BLUE, alpha=0.7, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.locator_params(nbins=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:.10g}")
    axes.legend(frameon=False)
    _name_target(axes.set_xlabel, axes.set_ylabel, name)
    _plain(axes)


def _confusion(axes: "Axes", name: str, targets: ArrayLike, predictions: ArrayLike, classes: Sequence[str]) -> None:
    """Plot the number of rows of each target (line) and prediction (column), coloured by its share of the line."""
    size = len(classes)
    counts = np.zeros((size, size), int)
    np.add.at(counts, (np.asarray(targets, int), np.asarray(predictions, int)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_cut(name, 16) for name in classes]
    fontsize = 7 if size > 12 else 9
    axes.set_xticks(range(size), names, rotation=90 if size > 4 else 0, fontsize=fontsize)
    axes.set_yticks(range(size), names, fontsize=fontsize)
    _name_target(axes.set_ylabel, axes.set_xlabel, name)
    for line, column in np.ndindex(size, size) if size <= 20 else ():
        style = {"color": "white" if shares[line, column] > 0.5 else _BLUE, "fontsize": fontsize}
        axes.text(column, line, str(counts[line, column] or "·"), ha="center", va="center", **style)


def _name_target(target: Callable[[str], object], prediction: Callable[[str], object], name: str) -> None:
    target(f"{_cut(name, 32)} (target)")
    prediction(f"{_cut(name, 32)} (prediction)")


def _plain_log_ticks(axis: "Axis", low: float, high: float) -> None:
    """Write the ticks of a logarithmic axis as plain numbers, 300 and not 3×10², and have some on a short axis too."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 10 * low else MaxNLocator(5))
    axis.set_major_formatter("{x:.10g}")
    axis.set_minor_formatter("")


def _cut(name: str, length: int) -> str:
    """Return a name of at most `length` characters, on one line, in which "$" starts no formula."""
    name = escape(name)
    return (name if len(name) <= length else name[: length - 1] + "…").replace("$", r"\$")


def _plain(axes: "Axes", grid: Literal["both", "x"] = "both") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)  # No grid over bars.
    axes.grid(axis=grid, alpha=0.2)
