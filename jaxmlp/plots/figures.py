"""Figures of training and of a report, drawn with matplotlib but without `pyplot` and its global state."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from jaxmlp._validation import escape, require
from jaxmlp.plots.axes import BLUE, plain, plain_log_ticks
from jaxmlp.plots.panels import draw_confusion, draw_importance, draw_scatter, draw_scores
from jaxmlp.storage.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from jaxmlp.models.report import Report


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
    curve.plot(epochs, median, color=BLUE, linewidth=2, label="median")
    if len(losses) > 1:
        curve.fill_between(epochs, low, high, color=BLUE, alpha=0.2, linewidth=0, label="90 % of the networks")
        curve.legend(frameon=False)
    if np.all(losses > 0):
        curve.set_yscale("log")
        plain_log_ticks(curve.yaxis, low.min(), high.max())
    curve.set(xlabel="epoch", ylabel="loss (sum of squared errors)", title="Training loss")
    plain(curve)
    draw_scatter(scatter, "y", targets, predictions, spread)
    scatter.set_title("Predictions of the rows it was trained on")
    return figure


def report_figure(
    report: "Report",
    targets: ArrayLike,
    predictions: ArrayLike,
    classes: Sequence[str] | None = None,
    *,
    title: str,
) -> "Figure":
    """Plot the errors of the models, the predictions for held-out rows, and the importance of the columns.

    Arguments:
        report: of a `TableResult`.
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
    draw_scores(scores, report)
    if classes is None:
        draw_scatter(rows, report["target"], targets, predictions)
    else:
        draw_confusion(rows, report["target"], targets, predictions, classes)
    draw_importance(importance, report)
    headings = ("Models", "Predictions of held-out rows", "Columns that matter")
    for axes, heading in zip(figure.axes, headings, strict=True):
        axes.set_title(heading)
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
