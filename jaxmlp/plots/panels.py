"""Plots of a report, each on its axes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from jaxmlp.plots.axes import BLUE, COLORS, GREY, ORANGE, cut, plain, plain_log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from jaxmlp.models.report import Report
    from jaxmlp.pipeline.dependence import ColumnDependence

MOST_POINTS = 1500  # Of a plot of rows.
_MOST_COLUMNS, _MOST_BINS = 15, 20
_SKEWED = 8  # How far the largest value is above the smallest on a logarithmic axis.
# The models of a report, with their labels and colors.
_MODELS = {
    "mean": ("network and\nlinear, mean", BLUE), "network": ("network", BLUE), "trees": ("boosted trees", ORANGE),
    "linear": ("linear", ORANGE), "constant": ("constant", GREY),
}  # fmt: skip


def draw_scores(axes: "Axes", report: "Report") -> None:
    """Plot the score and standard error of each model that has not diverged."""
    from jaxmlp.models.report import find_figures  # With all of `models`, which plots of losses do not need.

    figures = {name: find_figures(report, name) for name in _MODELS if name in report}
    scores = {name: score for name, entry in figures.items() if (score := entry["score"]) is not None}
    for place, (name, score) in enumerate(scores.items()):
        error = figures[name]["standard_error"]
        axes.errorbar(score, place, xerr=error, fmt="o", color=_MODELS[name][1], capsize=4)
    axes.set_yticks(range(len(scores)), [_MODELS[name][0] + "  (saved)" * (name == report["saved"]) for name in scores])
    axes.invert_yaxis()
    least, largest = min(scores.values()), max(scores.values())
    if least > 0 and largest > 10 * least:
        axes.set_xscale("log")
        # An error bar down to 0 would take all the room.
        axes.set_xlim(left=max(axes.get_xlim()[0], least / 3))
        plain_log_ticks(axes.xaxis, least, largest)
    axes.set_xlabel(f"{report['error']} of {cut(report['target'], 32)} ± standard error")
    plain(axes, grid="x")


def draw_importance(axes: "Axes", report: "Report") -> None:
    """Plot the permutation importance of the most important columns, with standard errors."""
    columns = report["columns"][:_MOST_COLUMNS]
    axes.barh(
        range(len(columns)), [column["importance"] for column in columns],
        xerr=[column["standard_error"] for column in columns], color=BLUE, ecolor=GREY, capsize=3,
        height=min(0.65, 0.16 * len(columns)),
    )  # fmt: skip
    axes.set_yticks(range(len(columns)), [cut(column["name"], 32) for column in columns])
    axes.set_ylim(len(columns) - 0.5, -0.5)  # Top to bottom.
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(
        f"permutation importance: increase of the {report['error']}\nwhen the column is shuffled, ± standard error"
    )
    plain(axes, grid="x")


def draw_scatter(
    axes: "Axes", name: str, targets: ArrayLike, predictions: ArrayLike, spread: ArrayLike | None = None
) -> None:
    """Plot predictions (n,) against targets (n,), and their spread over the networks (n,)."""
    targets, predictions = (np.asarray(values, np.float64).ravel() for values in (targets, predictions))
    axes.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle="--", label="prediction = target")
    if spread is not None:
        bars = np.asarray(spread, np.float64).ravel()
        label = "± 1 standard deviation over the networks"
        axes.errorbar(targets, predictions, bars, fmt="none", ecolor=BLUE, alpha=0.35, linewidth=1, label=label)
    axes.scatter(targets, predictions, s=18, color=BLUE, alpha=0.7, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.locator_params(nbins=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:.10g}")
    axes.legend(frameon=False)
    _name_target(axes.set_xlabel, axes.set_ylabel, name)
    plain(axes)


def draw_confusion(
    axes: "Axes",
    name: str,
    targets: ArrayLike,
    predictions: ArrayLike,
    classes: Sequence[str],
    *,
    has_shares: bool = False,
) -> None:
    """Plot the number of rows of each target (line) and prediction (column), coloured by its share of the line.

    Arguments:
        axes: to draw on.
        name: of the target.
        targets: (n,) indices of classes.
        predictions: (n,) indices of classes.
        classes: their names.
        has_shares: whether to write the share of the line below the number.
    """
    size = len(classes)
    counts = np.zeros((size, size), int)
    np.add.at(counts, (np.asarray(targets, int), np.asarray(predictions, int)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [cut(name, 16) for name in classes]
    fontsize = 7 if size > 12 else 9
    is_crowded = size > 4 or sum(map(len, names)) > 30
    axes.set_xticks(range(size), names, rotation=90 if is_crowded else 0, fontsize=fontsize)
    axes.set_yticks(range(size), names, fontsize=fontsize)
    _name_target(axes.set_ylabel, axes.set_xlabel, name)
    for line, column in np.ndindex(size, size) if size <= 20 else ():
        style = {"color": "white" if shares[line, column] > 0.65 else "#0b2239", "fontsize": fontsize}
        share = f"\n{shares[line, column]:.0%}" if has_shares and counts[line, column] else ""
        axes.text(column, line, f"{counts[line, column] or '·'}{share}", ha="center", va="center", **style)


def draw_residuals(
    axes: "Axes", name: str, targets: np.ndarray, predictions: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    """Plot target minus prediction against the prediction, with the ends of prediction intervals, all (n,)."""
    order = np.argsort(predictions, kind="stable")
    bins = np.array_split(order, min(_MOST_BINS, max(1, len(order) // 10)))
    center = [predictions[rows].mean() for rows in bins]
    below, above = ([(end - predictions)[rows].mean() for rows in bins] for end in (low, high))
    axes.fill_between(
        [predictions[order[0]], *center, predictions[order[-1]]],
        [below[0], *below, below[-1]], [above[0], *above, above[-1]],
        color=ORANGE, alpha=0.2, linewidth=0, label="90 % prediction interval, mean",
    )  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=1, linestyle="--")
    axes.scatter(*thin(predictions, targets - predictions), s=14, color=BLUE, alpha=0.6, linewidths=0)
    axes.locator_params(nbins=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:.10g}")
    axes.legend(frameon=False, loc="best")
    axes.set(xlabel=f"{cut(name, 32)} (prediction)", ylabel="target - prediction")
    plain(axes)


def draw_calibration(
    axes: "Axes", predictions: np.ndarray, targets: np.ndarray, *, labels: tuple[str, str], bins: int = 10
) -> None:
    """Plot the mean target of rows with like predictions against their mean prediction, with standard errors.

    Arguments:
        axes: to draw on.
        predictions: (n,) mean counts, or probabilities of a class.
        targets: (n,) counts, or 1 for the class and else 0.
        labels: of the axes.
        bins: of equal numbers of rows; fewer if there are few rows.
    """
    order = np.argsort(predictions, kind="stable")
    parts = [rows for rows in np.array_split(order, min(bins, max(1, len(order) // 10))) if len(rows) > 1]
    x = np.array([predictions[rows].mean() for rows in parts])
    y = np.array([targets[rows].mean() for rows in parts])
    error = np.array([targets[rows].std(ddof=1) / np.sqrt(len(rows)) for rows in parts])
    axes.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle="--", label="as predicted")
    axes.errorbar(x, y, yerr=error, fmt="o-", color=BLUE, capsize=3, label="held-out rows, ± standard error")
    axes.locator_params(nbins=6)
    axes.legend(frameon=False, loc="upper left")
    axes.set(xlabel=labels[0], ylabel=labels[1])
    plain(axes)


def draw_dependence(axes: "Axes", dependence: "ColumnDependence", label: str) -> None:
    """Plot the mean prediction for each value of a column, the spread over rows, and the means of the folds."""
    places, values = np.asarray(dependence.places), dependence.values
    is_level, several = dependence.scale == "level", len(dependence.classes) > 1
    for k, (color, mean) in enumerate(zip(COLORS, values.mean.T, strict=False)):
        name = cut(dependence.classes[k], 16) if several else "mean"
        low, high = values.low[:, k], values.high[:, k]
        if is_level:
            moved = places + (k - (values.mean.shape[1] - 1) / 2) * 0.15
            axes.vlines(moved, low, high, color=color, alpha=0.35, linewidth=2 if several else 6)
            axes.plot(moved, mean, "o", color=color, label=name)
        else:
            axes.fill_between(places, low, high, color=color, alpha=0.1 if several else 0.18, linewidth=0)
            for fold in values.folds[:, :, k] if len(values.folds) > 1 and not several else ():
                axes.plot(places, fold, color=color, alpha=0.35, linewidth=0.8)
            axes.plot(places, mean, color=color, linewidth=2, label=name)
    if is_level:
        names = [cut(name, 14) for name in dependence.labels]
        has_room = sum(map(len, names)) + 2 * len(names) <= 40
        axes.set_xticks(places, names, rotation=0 if has_room else 60, ha="center" if has_room else "right")
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif dependence.scale == "date":
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        axes.xaxis.set_major_locator(locator := AutoDateLocator(minticks=3, maxticks=6))
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        middle = float(np.median(places))
        if places[-1] > _SKEWED * places[0] > 0 and places[-1] - middle > 3 * (middle - places[0]):
            axes.set_xscale("log")
            plain_log_ticks(axes.xaxis, places[0], places[-1])
        else:
            axes.locator_params(axis="x", nbins=6)
            axes.xaxis.set_major_formatter("{x:.10g}")
        # Where the rows are: the values are quantiles.
        axes.plot(places, np.zeros(len(places)), "|", color=GREY, transform=axes.get_xaxis_transform(), clip_on=False)
    if several:
        axes.legend(frameon=False, fontsize=8)
    axes.set(xlabel=cut(dependence.name, 32), ylabel=label)
    plain(axes)


def thin(*columns: np.ndarray) -> list[np.ndarray]:
    """Return columns (n,) with at most 1,500 of their rows, drawn at random, so that a figure stays small."""
    n = len(columns[0])
    rows = np.arange(n) if n <= MOST_POINTS else np.random.default_rng(0).choice(n, MOST_POINTS, replace=False)
    return [column[rows] for column in columns]


def _name_target(target: Callable[[str], object], prediction: Callable[[str], object], name: str) -> None:
    target(f"{cut(name, 32)} (target)")
    prediction(f"{cut(name, 32)} (prediction)")
