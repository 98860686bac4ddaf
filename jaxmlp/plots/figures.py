"""Figures of training and of a report, drawn with matplotlib but without `pyplot` and its global state."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxmlp._validation import escape, require
from jaxmlp.storage.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 15
_BLUE, _ORANGE, _GREY = "#1f4e79", "#c8642b", "#8a8a8a"


def training_figure(
    losses: ArrayLike, targets: ArrayLike, predictions: ArrayLike, spread: ArrayLike | None = None, *, title: str
) -> "Figure":
    """Plot the loss over the epochs, and the predictions against the targets, of a network or an ensemble.

    Arguments:
        losses: (epochs,), or (members, epochs), of which the median and the central 90 % are drawn.
        targets: (n, 1) or (n,).
        predictions: (n, 1) or (n,), the mean over members.
        spread: (n, 1) or (n,), the standard deviation over members, drawn as bars; or None.
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
    curve.set(xlabel="epoch", ylabel="loss", title="Training loss")
    _plain(curve)
    _scatter(scatter, targets, predictions, spread)
    scatter.set_title("Predictions")
    return figure


def report_figure(
    report: Mapping[str, Any],
    targets: ArrayLike,
    predictions: ArrayLike,
    classes: Sequence[str] | None = None,
    *,
    title: str,
) -> "Figure":
    """Plot the candidates and baselines, the predictions for held-out rows, and the importance of the columns.

    Arguments:
        report: `error` (the name of the error), `candidates`, `linear` and `constant` (the baselines), each with
            `score` and `standard_error`, and `columns`, each with `name`, `importance` and `spread`.
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
        _scatter(rows, targets, predictions)
    else:
        _confusion(rows, targets, predictions, classes)
    rows.set_title("Held-out rows")

    columns = report["columns"][:_MOST_COLUMNS]
    importance.barh(
        [_cut(column["name"], 32) for column in columns], [column["importance"] for column in columns],
        xerr=[column["std"] for column in columns], color=_BLUE, ecolor=_GREY, capsize=3,
    )  # fmt: skip
    importance.set_ylim(max(len(columns), 5) - 0.5, -0.5)  # Top to bottom; a few bars do not fill the height.
    importance.locator_params(axis="x", nbins=5)
    meaning = f"permutation importance: increase of the\n{report['error']} when the column is shuffled"
    importance.set(xlabel=meaning, title="Columns that matter")
    _plain(importance)
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
    """Plot the score and standard error of each candidate and baseline; the markers of other candidates are hollow."""
    candidates = [candidate for candidate in report["candidates"] if candidate["score"] is not None]  # None: diverged
    best = min(candidate["score"] for candidate in candidates)
    entries = []
    for candidate in candidates:
        name = f"learning rate {candidate['learning_rate']:g},\nweight decay {candidate['weight_decay']:g}"
        chosen = candidate["score"] == best
        entries.append((name + "  (chosen)" * chosen, candidate, _BLUE, _BLUE if chosen else "white"))
    if report["linear"]["score"] is not None:
        entries.append(("linear baseline", report["linear"], _ORANGE, _ORANGE))
    entries.append(("constant baseline", report["constant"], _GREY, _GREY))
    for place, (_, entry, color, filling) in enumerate(entries):
        error = entry["standard_error"]
        axes.errorbar(entry["score"], place, xerr=error, fmt="o", color=color, mfc=filling, capsize=4)
    axes.set_yticks(range(len(entries)), [name for name, *_ in entries])
    axes.invert_yaxis()
    scores = [entry["score"] for _, entry, *_ in entries]
    if min(scores) > 0 and max(scores) > 10 * min(scores):
        from matplotlib.ticker import LogLocator

        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    axes.set(xlabel=f"{report['error']} ± standard error", title="Candidates and baselines")
    _plain(axes)


def _scatter(axes: "Axes", targets: ArrayLike, predictions: ArrayLike, spread: ArrayLike | None = None) -> None:
    targets, predictions = (np.asarray(values, np.float64).ravel() for values in (targets, predictions))
    axes.axline((0, 0), slope=1, color=_GREY, linewidth=1, linestyle="--", label="prediction = target")
    if spread is not None:
        bars = np.asarray(spread, np.float64).ravel()
        label = "spread of the networks (± std)"
        axes.errorbar(targets, predictions, bars, fmt="none", ecolor=_BLUE, alpha=0.35, linewidth=1, label=label)
    axes.scatter(targets, predictions, s=18, color=_BLUE, alpha=0.7, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.locator_params(nbins=6)
    axes.legend(frameon=False)
    axes.set(xlabel="target", ylabel="prediction")
    _plain(axes)


def _confusion(axes: "Axes", targets: ArrayLike, predictions: ArrayLike, classes: Sequence[str]) -> None:
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
    axes.set(xlabel="prediction", ylabel="target")
    for line, column in np.ndindex(size, size) if size <= 20 else ():
        style = {"color": "white" if shares[line, column] > 0.5 else _BLUE, "fontsize": fontsize}
        axes.text(column, line, str(counts[line, column] or "·"), ha="center", va="center", **style)


def _cut(name: str, length: int) -> str:
    """Return a name of at most `length` characters, on one line, in which "$" starts no formula."""
    name = escape(name)
    return (name if len(name) <= length else name[: length - 1] + "…").replace("$", r"\$")


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
