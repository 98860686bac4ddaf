"""The figure of `jaxmlp train --fast`; it goes when that command has the same report as the search."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from jaxmlp.plots.figures import _BLUE, _GREY, _ORANGE, _confusion, _figure, _plain, _scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def fit_figure(
    losses: ArrayLike,
    validation_losses: ArrayLike,
    best_epochs: ArrayLike,
    targets: ArrayLike,
    predictions: ArrayLike,
    deviation: ArrayLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    title: str,
) -> "Figure":
    """Plot training and validation loss over the epochs, and the predictions for held-out rows.

    Arguments:
        losses: (epochs,), or (members, epochs), a line each; NaN after the last epoch of a member.
        validation_losses: of the same shape.
        best_epochs: the epoch whose parameters were kept, of each network.
        targets: (n,) numbers, or indices of classes.
        predictions: (n,) predictions for the same rows.
        deviation: (n,), the standard deviation over members, drawn as bars; or None.
        classes: names of the classes, for a confusion matrix; None for numbers.
        title: title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure, (curve, rows) = _figure(title, 2)
    values = {"training": (losses, _BLUE), "validation": (validation_losses, _ORANGE)}
    lowest = np.inf
    for name, (curves, color) in values.items():
        curves = np.atleast_2d(np.asarray(curves, np.float64))
        lowest = min(lowest, np.nanmin(curves))
        for k, line in enumerate(curves):
            label = None if k else name
            curve.plot(np.arange(1, len(line) + 1), line, color=color, linewidth=1, alpha=0.8, label=label)
    for k, epoch in enumerate(np.atleast_1d(best_epochs)):
        curve.axvline(epoch, color=_GREY, linewidth=1, linestyle=":", label=None if k else "best epoch")
    if lowest > 0:
        curve.set_yscale("log")
    curve.set(xlabel="epoch", ylabel="mean loss", title="Training and validation loss")
    curve.legend(frameon=False)
    _plain(curve)
    if classes is None:
        _scatter(rows, targets, predictions, deviation)
    else:
        _confusion(rows, targets, predictions, classes)
    rows.set_title("Held-out rows")
    return figure
