"""The figures of a page as SVG, with their captions."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from warnings import catch_warnings, filterwarnings

import numpy as np

from jaxmlp._validation import require
from jaxmlp.pipeline import TableResult
from jaxmlp.pipeline.dependence import ColumnDependence
from jaxmlp.pipeline.worst import to_indices
from jaxmlp.plots.axes import COLORS, cut
from jaxmlp.plots.panels import (
    MOST_POINTS,
    draw_calibration,
    draw_confusion,
    draw_dependence,
    draw_importance,
    draw_residuals,
    draw_scatter,
    draw_scores,
    thin,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = 4.6, 3.5  # Inches: about half the width of the page.
_FEW_CLASSES = 6  # Up to which a cell of a confusion matrix has room for its share.


class Drawing(NamedTuple):
    """A figure of the page."""

    svg: str
    caption: str
    is_wide: bool = False  # Whether it takes the whole width.


def draw_models(result: TableResult) -> Drawing:
    """Return the errors of all models."""
    report = result.report
    caption = f"{report['error']} on held-out rows, ± one standard error. Lower is better."

    def draw(axes: "Axes") -> None:
        draw_scores(axes, report)
        axes.set_xlabel(f"{report['error']} ± standard error")

    return _draw(draw, caption[:1].upper() + caption[1:])


def draw_predictions(result: TableResult) -> list[Drawing]:
    """Return predictions of held-out rows against targets, by the task."""
    if result.model.recipe is not None and result.model.recipe.classes:
        return _draw_classes(result)
    name, table = result.report["target"], result.predictions
    target, low, high, prediction = table["target", "low", "high", "prediction"].to_numpy().T
    shown = f" {MOST_POINTS} of {len(target)} rows are drawn." if len(target) > MOST_POINTS else ""
    residuals = _draw(
        lambda axes: draw_residuals(axes, name, target, prediction, low, high),
        "What is left of each held-out row: target minus prediction. 90 % of the points should be in the band." + shown,
    )
    if result.report["task"] == "counts":
        labels = "mean prediction of a tenth of the rows", "mean count"
        calibration = _draw(
            lambda axes: draw_calibration(axes, prediction, target, labels=labels),
            "Calibration: held-out rows in ten parts by their prediction. On the line, mean counts are as predicted.",
        )
        return [calibration, residuals]
    scatter = _draw(
        lambda axes: draw_scatter(axes, name, *thin(target, prediction)),
        "Each point is a held-out row; on the line, the prediction is right." + shown,
    )
    return [scatter, residuals]


def _draw_classes(result: TableResult) -> list[Drawing]:
    recipe, table = result.model.recipe, result.predictions
    assert recipe is not None
    names = recipe.class_names()
    targets, predictions = (to_indices(recipe, table[name]) for name in ("target", "prediction"))
    has_shares, side = len(names) <= _FEW_CLASSES, max(_SIZE[1], 0.32 * len(names) + 1.2)
    share = " and its share of the line" if has_shares else ""

    def draw_matrix(axes: "Axes") -> None:
        draw_confusion(axes, recipe.target, targets, predictions, names, has_shares=has_shares)
        axes.set(xlabel="prediction", ylabel="target")

    confusion = _draw(
        draw_matrix,
        f"Confusion matrix: the number of held-out rows of each class (line) with each prediction (column){share}.",
        size=_SIZE if side == _SIZE[1] else (side + 0.8, side),
    )
    probabilities = table[recipe.output_columns()[:-1]].to_numpy()
    if len(names) == 2:
        of, x, y = names[1], probabilities[:, 1], (targets == 1).astype(float)
        labels = f"predicted probability of {cut(of, 16)}", f"share of {cut(of, 16)}"
    else:
        x, y = probabilities.max(axis=1), (targets == predictions).astype(float)
        labels = "probability of the predicted class", "share of right predictions"

    def draw_probabilities(axes: "Axes") -> None:
        draw_calibration(axes, x, y, labels=labels)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))

    calibration = _draw(
        draw_probabilities,
        "Calibration: held-out rows in ten parts by their probability; on the line, probabilities are as they say.",
    )
    return [confusion, calibration]


def draw_columns(result: TableResult) -> list[Drawing]:
    """Return the importance of the columns, and how the prediction moves with those that matter most."""

    def draw_bars(axes: "Axes") -> None:
        draw_importance(axes, result.report)
        # To the left, for names take much of the width.
        axes.set_xlabel(f"growth of the {result.report['error']}, ± standard error", loc="right")

    drawings = [
        _draw(
            draw_bars,
            f"How much the {result.report['error']} of held-out rows grows when the values of a column are shuffled.",
        )
    ]
    curves = [np.concatenate([own.values.low, own.values.high]).ravel() for own in result.dependence]
    if not curves:
        return drawings
    lowest, highest = np.min(np.concatenate(curves)), np.max(np.concatenate(curves))
    margin = 0.04 * (highest - lowest) or 1.0
    for own in result.dependence:
        label = f"mean prediction of {cut(result.report['target'], 24)}"
        if own.classes:
            label = "mean probability" + (f" of {cut(own.classes[0], 24)}" if len(own.classes) == 1 else "")

        def draw(axes: "Axes", own: ColumnDependence = own, label: str = label) -> None:
            draw_dependence(axes, own, label)
            axes.set_ylim(lowest - margin, highest + margin)

        drawings.append(_draw(draw, _describe_dependence(own)))
    return drawings


def _describe_dependence(own: ColumnDependence) -> str:
    text = f"Partial dependence on {own.name}: the mean prediction of held-out rows if all had this value."
    if len(own.classes) > 1:
        text += f" The {min(len(COLORS), len(own.classes))} most frequent classes."
    if own.scale == "level":
        return f"{text} 80 % of the rows, moved to the mean level, are on the bars."
    if len(own.classes) > 1:
        return f"{text} The curves of 80 % of the rows, moved to the mean level, are in the bands."
    folds = " Thin lines: the networks of each fold." if len(own.values.folds) > 1 else ""
    return f"{text} The curves of 80 % of the rows, moved to the mean level, are in the band.{folds}"


def _draw(draw: Callable[["Axes"], None], caption: str, size: tuple[float, float] = _SIZE) -> Drawing:
    """Return what `draw` draws, as SVG without names, sizes and styles that would meet those of other figures."""
    require("matplotlib", extra="plot")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    content = io.StringIO()
    # Text stays text, whose characters the browser must have; and the names of clip paths do not depend on chance.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": caption, "font.size": 9.5}), catch_warnings():
        filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        figure = Figure(figsize=size, layout="compressed")
        draw(figure.subplots())
        figure.savefig(content, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = content.getvalue()
    svg = re.sub(r"^.*?<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r"<svg \1>", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return Drawing(re.sub(r'<g id="[^"]*"', "<g", svg), caption, size[0] > _SIZE[0])
