"""Pictures of a training run, drawn with matplotlib and without its global state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp._validation import require

_MOST_COLUMNS = 15
_INK, _WARM, _QUIET = "#1f4e79", "#c8642b", "#8a8a8a"


def training_figure(losses: Any, targets: Any, predictions: Any, deviation: Any = None, *, title: str) -> Any:
    """The loss over the epochs beside the predictions against the targets, of one network or of many.

    Arguments:
        losses: (epochs,), or (members, epochs), drawn as their median and the band that holds nine tenths of them.
        targets: (n, 1) or (n,), in any unit.
        predictions: as many, in the same unit.
        deviation: as many, the standard deviation of the members' predictions, drawn as bars; or None.
        title: what was trained.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require("matplotlib", extra="tables")
    from matplotlib.figure import Figure

    losses = np.atleast_2d(np.asarray(losses, np.float64))
    targets, predictions = (np.asarray(v, np.float64).ravel() for v in (targets, predictions))
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    curve, scatter = figure.subplots(1, 2)

    epochs = np.arange(1, losses.shape[1] + 1)
    low, middle, high = np.quantile(losses, (0.05, 0.5, 0.95), axis=0)
    curve.plot(epochs, middle, color=_INK, linewidth=2, label="median")
    if len(losses) > 1:
        curve.fill_between(epochs, low, high, color=_INK, alpha=0.2, linewidth=0, label="9 of 10 networks")
        curve.legend(frameon=False)
    if np.all(losses > 0):
        curve.set_yscale("log")
    curve.set(xlabel="epoch", ylabel="loss", title="How the network learns")

    _scatter(scatter, targets, predictions, deviation, label="spread")
    scatter.set(xlabel="target", ylabel="prediction", title="What it predicts")
    _plain(curve, scatter)
    return figure


def fit_figure(
    losses: Any,
    validation_losses: Any,
    best_epochs: Any,
    targets: Any,
    predictions: Any,
    deviation: Any = None,
    *,
    classes: Sequence[str] | None = None,
    title: str,
) -> Any:
    """Training and validation loss over the epochs, beside predictions against targets or a confusion matrix.

    Arguments:
        losses: (epochs,), or (members, epochs), a thin line each; NaN after the end of a member.
        validation_losses: the same.
        best_epochs: the epoch whose parameters were kept, of each network.
        targets: (n,), in their own unit; or indices of classes.
        predictions: (n,), of the same kind.
        deviation: (n,), the standard deviation of the members' predictions, drawn as bars; or None.
        classes: their names, for a confusion matrix; None for numbers.
        title: what was trained.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require("matplotlib", extra="tables")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    curve, right = figure.subplots(1, 2)
    curves = {"training": (losses, _INK), "validation": (validation_losses, _WARM)}
    lowest = np.inf
    for name, (values, colour) in curves.items():
        values = np.atleast_2d(np.asarray(values, np.float64))
        lowest = min(lowest, np.nanmin(values))
        epochs = np.arange(1, values.shape[1] + 1)
        for k, line in enumerate(values):
            width, alpha = (1.5, 1.0) if len(values) == 1 else (0.8, 0.6)
            curve.plot(epochs, line, color=colour, linewidth=width, alpha=alpha, label=None if k else name)
    for k, epoch in enumerate(np.atleast_1d(best_epochs)):
        curve.axvline(epoch, color=_QUIET, linewidth=1, linestyle=":", label=None if k else "best epoch")
    if lowest > 0:
        curve.set_yscale("log")
    curve.set(xlabel="epoch", ylabel="mean loss", title="How the network learns")
    curve.legend(frameon=False)

    if classes is None:
        targets, predictions = (np.asarray(v, np.float64).ravel() for v in (targets, predictions))
        _scatter(right, targets, predictions, deviation, label="spread of the networks")
        right.set(xlabel="target", ylabel="prediction", title="Rows kept aside")
        _plain(curve, right)
    else:
        _confusion(right, targets, predictions, classes)
        right.set(xlabel="prediction", ylabel="target", title="Rows kept aside")
        _plain(curve)
    return figure


def verdict_figure(
    found: dict[str, Any], targets: Any, predictions: Any, classes: Sequence[str] | None = None, *, title: str
) -> Any:
    """Candidates beside guessing and a linear model, out-of-fold predictions against targets, columns that matter.

    Arguments:
        found: what the command's `--json` prints: `error`, `candidates`, `linear`, `guess` and `columns`.
        targets: (n,) numbers, or classes by their index.
        predictions: as many.
        classes: their names; None for numbers.
        title: what was found.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    require("matplotlib", extra="tables")
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(15, 5), layout=ConstrainedLayoutEngine(h_pad=0.1))
    figure.suptitle(title, fontsize="x-large")
    contest, seen, matter = figure.subplots(1, 3)

    chosen = min(candidate["score"] for candidate in found["candidates"])
    entries = []
    for c in found["candidates"]:
        name = f"networks, rate {c['learning_rate']:g},\nweight decay {c['weight_decay']:g}"
        entries.append((name + ("  (chosen)" if c["score"] == chosen else ""), c, _INK))
    entries += [("linear model", found["linear"], _WARM), ("guessing", found["guess"], _QUIET)]
    for place, (_, entry, color) in enumerate(entries):
        filling = color if color != _INK or entry["score"] == chosen else "white"
        contest.errorbar(
            entry["score"], place, xerr=entry["standard_error"], fmt="o", color=color, mfc=filling, capsize=4
        )
    contest.set_yticks(range(len(entries)), [name for name, _, _ in entries])
    contest.invert_yaxis()
    scores = [entry["score"] for _, entry, _ in entries]
    if min(scores) > 0 and max(scores) > 10 * min(scores):
        contest.set_xscale("log")
    contest.set(xlabel=f"{found['error']} ± standard error", title="Who predicts best")

    if classes is None:
        _scatter(seen, np.asarray(targets, np.float64), np.asarray(predictions, np.float64), None, label="rows")
    else:
        _confusion(seen, targets, predictions, classes)
    across, up = ("target", "prediction") if classes is None else ("prediction", "target")
    seen.set(xlabel=across, ylabel=up, title="Rows not seen in training")

    columns = found["columns"][:_MOST_COLUMNS]
    matter.barh(
        [_short(column["name"], 32) for column in columns], [column["importance"] for column in columns],
        xerr=[column["spread"] for column in columns], color=_INK, ecolor=_QUIET, capsize=3,
    )  # fmt: skip
    matter.set_ylim(max(len(columns), 5) - 0.5, -0.5)  # from the top, and no column a giant
    matter.locator_params(axis="x", nbins=5)
    matter.set(xlabel=f"{found['error']} grows by, when shuffled", title="Columns that matter")
    _plain(contest, matter, *((seen,) if classes is None else ()))
    return figure


def _scatter(axes: Any, targets: np.ndarray, predictions: np.ndarray, deviation: Any, *, label: str) -> None:
    axes.axline((0, 0), slope=1, color=_QUIET, linewidth=1, linestyle="--", label="perfect")
    if deviation is not None:
        bars = np.asarray(deviation, np.float64).ravel()
        axes.errorbar(targets, predictions, bars, fmt="none", ecolor=_INK, alpha=0.35, linewidth=1, label=label)
    axes.scatter(targets, predictions, s=18, color=_INK, alpha=0.7, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.locator_params(nbins=6)
    axes.legend(frameon=False)


def _confusion(axes: Any, targets: Any, predictions: Any, classes: Sequence[str]) -> None:
    """How many rows of each class (a line) were taken for each (a column); coloured by the share of the line."""
    size = len(classes)
    counts = np.zeros((size, size), int)
    np.add.at(counts, (np.asarray(targets, int), np.asarray(predictions, int)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_short(name, 16) for name in classes]
    small = 7 if size > 12 else 9
    axes.set_xticks(range(size), names, rotation=90 if size > 4 else 0, fontsize=small)
    axes.set_yticks(range(size), names, fontsize=small)
    if size <= 20:
        for row, column in np.ndindex(size, size):
            colour = "white" if shares[row, column] > 0.5 else _INK
            text = str(counts[row, column]) if counts[row, column] else "·"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=small)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _plain(*all_axes: Any) -> None:
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure in the format that the ending of `path` names (.png, .svg, .pdf)."""
    figure.savefig(path, dpi=150)
