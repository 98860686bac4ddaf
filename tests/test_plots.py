"""Figures hold the data that they were given, and touch no global state."""

import pathlib
import re
import runpy
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxmlp.pipeline.dependence import ColumnDependence
from jaxmlp.plots import report_figure, save_figure, training_figure
from jaxmlp.plots.panels import MOST_POINTS, draw_calibration, draw_dependence, draw_residuals, thin
from jaxmlp.selection import Dependence

LOSSES, TARGETS = np.geomspace(100, 1, 20), np.arange(5.0)
POINTS = np.column_stack([TARGETS, TARGETS + 1])
REPORT = {
    "target": "price",
    "error": "RMSE",
    "saved": "mean",
    "score": 1.5,
    "standard_error": 0.2,
    "mean": {"score": 1.6, "standard_error": 0.2},  # In some folds, another was chosen.
    "network": {"score": 2.0, "standard_error": 0.1},
    "linear": {"score": 3.0, "standard_error": 0.3},
    "constant": {"score": 40.0, "standard_error": 0.4},
    "columns": [{"name": f"x{k} " + "long" * k, "importance": 20.0 - k, "standard_error": 1.0} for k in range(20)],
}


def labels_of(axis):
    """The labels of the major and minor ticks that are inside the axis."""
    axis.figure.draw_without_rendering()
    low, high = axis.get_view_interval()
    ticks = zip([*axis.get_majorticklocs(), *axis.get_minorticklocs()], axis.get_ticklabels(which="both"), strict=True)
    return [label.get_text() for place, label in ticks if low <= place <= high and label.get_text()]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("losses", [(4500, 70), (300, 90), (95, 70), (1e6, 3), (0.02, 0.001)])
def test_losses_have_plain_tick_labels(losses):
    figure = training_figure(np.geomspace(*losses, 20), TARGETS, TARGETS, title="")
    labels = labels_of(figure.axes[0].yaxis)
    assert len(labels) >= 2
    assert all(re.fullmatch(r"\d+(\.\d+)?", label) for label in labels), labels


def test_large_targets_have_plain_tick_labels():
    figure = training_figure(LOSSES, 1e5 * TARGETS, 1e5 * TARGETS, title="")
    figure.draw_without_rendering()
    assert figure.axes[1].xaxis.get_offset_text().get_text() == ""
    assert "200000" in labels_of(figure.axes[1].xaxis)


def test_a_few_bars_are_thin_and_fill_the_height():
    report = REPORT | {"columns": REPORT["columns"][:2]}
    importance = report_figure(report, TARGETS, TARGETS, title="").axes[2]
    assert importance.get_ylim() == (1.5, -0.5)
    assert all(bar.get_height() < 0.5 for bar in importance.patches)


def test_benchmarks_are_dots_in_the_unit_of_their_labels(tmp_path, monkeypatch):
    report = runpy.run_path(str(pathlib.Path(__file__).parent.parent / "bench" / "report.py"))
    row = {"processor": "AMD EPYC", "cores": 1, "device": "cpu cpu", "jax": "0.10", "python": "3.11", "commit": "abc"}
    rows = [row | {"system": name, "median_us": time} for name, time in (("jaxmlp.train", 1320.0), ("NumPy", 23400.0))]
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure.axes[0]))
    report["draw"](rows, tmp_path / "peers.png")
    (axes,) = drawn
    assert axes.get_title() == "AMD EPYC, 1 core, cpu, jax 0.10, Python 3.11, abc"
    assert (len(axes.patches), axes.get_xscale()) == (0, "log")
    np.testing.assert_allclose(axes.collections[0].get_offsets()[:, 0], [23.4, 1.32])
    assert [text.get_text() for text in axes.texts] == ["23.4 ms", "1.32 ms"]
    assert axes.get_xlabel().startswith("milliseconds")


def test_the_figure_of_a_run_holds_the_losses_and_the_predictions():
    figure = training_figure(LOSSES, TARGETS[:, None], TARGETS[:, None] + 1, title="a run")
    curve, scatter = figure.axes
    np.testing.assert_array_equal(curve.lines[0].get_ydata(), LOSSES)
    np.testing.assert_array_equal(scatter.collections[0].get_offsets(), POINTS)
    assert figure.get_suptitle() == "a run"
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss (sum of squared errors)", "y (prediction)"]
    assert scatter.get_title() == "Predictions of the rows it was trained on"
    assert curve.get_yscale() == "log"


def test_a_loss_of_zero_is_drawn_on_a_linear_scale():
    figure = training_figure([1.0, 0.0], TARGETS, TARGETS, title="")
    assert figure.axes[0].get_yscale() == "linear"


def test_many_networks_are_a_median_with_a_band_and_bars():
    losses = np.stack([LOSSES, 2 * LOSSES, 4 * LOSSES])
    figure = training_figure(losses, TARGETS, TARGETS, np.full(5, 0.5), title="")
    curve, scatter = figure.axes
    np.testing.assert_allclose(curve.lines[0].get_ydata(), 2 * LOSSES)
    low, high = np.quantile(losses[:, 0], (0.05, 0.95))
    band = curve.collections[0].get_paths()[0].vertices
    assert low <= band[band[:, 0] == 1][:, 1].min() * (1 + 1e-9)
    assert np.isclose(band[:, 1].max(), high)
    assert scatter.get_legend().get_texts()[1].get_text() == "± 1 standard deviation over the networks"
    segments = scatter.collections[0].get_segments()
    np.testing.assert_allclose([segment[1, 1] - segment[0, 1] for segment in segments], 1)


def test_names_with_control_characters_stay_on_one_line():
    columns = [{"name": "a\n\x1b[1m", "importance": 1.0, "standard_error": 0.1}]
    figure = report_figure(REPORT | {"columns": columns}, [0, 1], [0, 1], ["\t", "b\u202e"], title="of\na")
    assert figure.get_suptitle() == "of\\na"
    labels = [text.get_text() for axes in figure.axes[1:] for text in axes.get_yticklabels()]
    assert labels == ["\\t", "b\\u202e", "a\\n\\x1b[1m"]


def test_a_report_compares_the_models_by_the_numbers_of_its_table():
    scores = report_figure(REPORT, TARGETS, TARGETS + 1, title="a report").axes[0]
    names = [text.get_text() for text in scores.get_yticklabels()]
    assert names == ["network and\nlinear, mean  (saved)", "network", "linear", "constant"]
    markers = [container.lines[0] for container in scores.containers]
    assert [float(marker.get_xdata()[0]) for marker in markers] == [1.5, 2.0, 3.0, 40.0]
    assert [marker.get_marker() for marker in markers] == ["o"] * 4
    np.testing.assert_allclose(scores.containers[0].lines[2][0].get_segments()[0][:, 0], [1.3, 1.7])
    assert (scores.get_xlabel(), scores.get_xscale()) == ("RMSE of price ± standard error", "log")
    assert labels_of(scores.xaxis) == ["2", "5", "10", "20"]


def test_boosted_trees_are_drawn_and_models_that_diverged_are_not():
    entries = {"trees": {"score": 1.0, "standard_error": 0.1}, "linear": {"score": None, "standard_error": None}}
    scores = report_figure(REPORT | entries, TARGETS, TARGETS, title="").axes[0]
    names = [text.get_text() for text in scores.get_yticklabels()]
    assert names == ["network and\nlinear, mean  (saved)", "network", "boosted trees", "constant"]
    assert [float(container.lines[0].get_xdata()[0]) for container in scores.containers] == [1.5, 2.0, 1.0, 40.0]


def test_a_report_shows_the_held_out_rows_and_the_most_important_columns():
    figure = report_figure(REPORT, TARGETS, TARGETS + 1, title="a report")
    _, rows, importance = figure.axes
    np.testing.assert_array_equal(rows.collections[0].get_offsets(), POINTS)
    assert (rows.get_xlabel(), rows.get_ylabel()) == ("price (target)", "price (prediction)")
    assert importance.get_axisbelow() is True
    assert [bar.get_width() for bar in importance.patches] == [20.0 - k for k in range(15)]
    names = [text.get_text() for text in importance.get_yticklabels()]
    assert names[0] == "x0 "
    assert max(map(len, names)) == 32
    assert names[-1].endswith("…")
    assert figure.get_suptitle() == "a report"


def test_classes_are_a_confusion_matrix_with_a_line_for_each_target():
    matrix = report_figure(REPORT, [0, 0, 0, 1], [0, 0, 1, 1], ["no", "yes"], title="").axes[1]
    np.testing.assert_allclose(matrix.images[0].get_array(), [[2 / 3, 1 / 3], [0, 1]])
    assert [text.get_text() for text in matrix.texts] == ["2", "1", "·", "1"]
    assert [text.get_text() for text in matrix.get_yticklabels()] == ["no", "yes"]
    assert (matrix.get_xlabel(), matrix.get_ylabel()) == ("price (prediction)", "price (target)")


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_suffix_names_the_format(tmp_path, suffix, magic):
    path = tmp_path / f"run.{suffix}"
    save_figure(training_figure(LOSSES, TARGETS, TARGETS, title=""), path)
    assert path.read_bytes().startswith(magic)


def test_pyplot_is_never_imported():
    training_figure(LOSSES, TARGETS, TARGETS, title="")
    assert "matplotlib.pyplot" not in sys.modules


def axes():
    return Figure(figsize=(4, 3)).subplots()


def test_calibration_is_the_mean_target_of_rows_with_like_predictions():
    rng = np.random.default_rng(0)
    predictions = rng.uniform(size=200)
    targets = (rng.uniform(size=200) < predictions).astype(float)
    drawn = axes()
    draw_calibration(drawn, predictions, targets, labels=("probability", "share"))
    (container,) = drawn.containers
    order = np.argsort(predictions).reshape(10, 20)
    np.testing.assert_allclose(container.lines[0].get_xdata(), predictions[order].mean(axis=1))
    np.testing.assert_allclose(container.lines[0].get_ydata(), targets[order].mean(axis=1))
    bars = np.array([segment[1, 1] - segment[0, 1] for segment in container.lines[2][0].get_segments()])
    np.testing.assert_allclose(bars, 2 * targets[order].std(axis=1, ddof=1) / np.sqrt(20), atol=1e-12)


def test_residuals_are_drawn_with_the_mean_ends_of_their_intervals():
    rng = np.random.default_rng(0)
    predictions, targets = rng.uniform(size=40), rng.uniform(size=40)
    drawn = axes()
    draw_residuals(drawn, "y", targets, predictions, predictions - 0.25, predictions + 0.5)
    band, points = drawn.collections
    np.testing.assert_allclose(points.get_offsets(), np.column_stack([predictions, targets - predictions]))
    np.testing.assert_allclose(np.unique(band.get_paths()[0].vertices[:, 1].round(9)), [-0.25, 0.5])


def test_many_points_are_thinned_row_by_row():
    columns = thin(np.arange(5000), np.arange(5000) + 1)
    assert [len(column) for column in columns] == [MOST_POINTS] * 2
    assert (columns[1] == columns[0] + 1).all()
    assert [column.tolist() for column in thin(TARGETS)] == [TARGETS.tolist()]


@pytest.mark.parametrize(
    ("scale", "places", "expected"),
    [("number", (1.0, 2.0, 3.0), "linear"), ("number", (1.0, 2.0, 90.0), "log"), ("level", (0.0, 1.0, 2.0), "linear")],
)
def test_dependence_is_a_curve_with_a_band_or_a_point_for_each_level(scale, places, expected):
    mean, half = np.array([[1.0], [3.0], [2.0]]), np.array([[0.5], [0.25], [1.0]])
    values = Dependence(mean, mean - half, mean + half, np.stack([mean - 0.1, mean + 0.1]))
    labels = ("a", "b", "$c") if scale == "level" else ()
    drawn = axes()
    draw_dependence(drawn, ColumnDependence("x", scale, places, labels, (), values), "prediction")
    assert (drawn.get_xscale(), drawn.get_xlabel(), drawn.get_ylabel()) == (expected, "x", "prediction")
    curve = next(line for line in drawn.lines if np.array_equal(line.get_ydata(), mean[:, 0]))
    np.testing.assert_array_equal(curve.get_xdata(), places)
    if scale == "level":
        ends = [segment[:, 1].tolist() for segment in drawn.collections[0].get_segments()]
        assert ends == [[0.5, 1.5], [2.75, 3.25], [1.0, 3.0]]
        assert [text.get_text() for text in drawn.get_xticklabels()] == ["a", "b", r"\$c"]
    else:
        vertices = drawn.collections[0].get_paths()[0].vertices
        assert {*vertices[vertices[:, 0] == 2, 1]} == {2.75, 3.25}
        folds = [line.get_ydata()[0] for line in drawn.lines if line.get_linewidth() == 0.8]
        assert folds == pytest.approx([0.9, 1.1])
