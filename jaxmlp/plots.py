"""Pictures of a training run, drawn with matplotlib and without its global state."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp.checks import required

_INK, _QUIET = "#1f4e79", "#8a8a8a"


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
    required("matplotlib", extra="tables")
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

    scatter.axline((0, 0), slope=1, color=_QUIET, linewidth=1, linestyle="--", label="perfect")
    if deviation is not None:
        bars = np.asarray(deviation, np.float64).ravel()
        scatter.errorbar(targets, predictions, bars, fmt="none", ecolor=_INK, alpha=0.35, linewidth=1, label="spread")
    scatter.scatter(targets, predictions, s=18, color=_INK, alpha=0.7, linewidths=0)
    scatter.set_aspect("equal", adjustable="datalim")
    scatter.set(xlabel="target", ylabel="prediction", title="What it predicts")
    scatter.legend(frameon=False)

    for axes in (curve, scatter):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    return figure


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure in the format that the ending of `path` names (.png, .svg, .pdf)."""
    figure.savefig(path, dpi=150)
