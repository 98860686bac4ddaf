"""Pictures of a training run, drawn with matplotlib and without its global state."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp.checks import required

_INK, _QUIET = "#1f4e79", "#8a8a8a"


def training_figure(losses: Any, targets: Any, predictions: Any, *, title: str) -> Any:
    """The loss over the epochs beside the predictions against the targets.

    Arguments:
        losses: (epochs,).
        targets: (n, 1) or (n,), in any unit.
        predictions: as many, in the same unit.
        title: what was trained.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    required("matplotlib", extra="tables")
    from matplotlib.figure import Figure

    losses, targets, predictions = (np.asarray(v, np.float64).ravel() for v in (losses, targets, predictions))
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    curve, scatter = figure.subplots(1, 2)

    curve.plot(np.arange(1, len(losses) + 1), losses, color=_INK, linewidth=2)
    if np.all(losses > 0):
        curve.set_yscale("log")
    curve.set(xlabel="epoch", ylabel="loss", title="How the network learns")

    scatter.axline((0, 0), slope=1, color=_QUIET, linewidth=1, linestyle="--", label="perfect")
    scatter.scatter(targets, predictions, s=18, color=_INK, alpha=0.7, linewidths=0)
    scatter.set(xlabel="target", ylabel="prediction", title="What it predicts")
    scatter.legend(frameon=False)

    for axes in (curve, scatter):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    return figure


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure in the format that the ending of `path` names (.png, .svg, .pdf)."""
    figure.savefig(path, dpi=150)
