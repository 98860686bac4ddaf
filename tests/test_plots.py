"""Pictures hold what they were given, and touch no global state."""

import sys

import numpy as np
import pytest

from jaxmlp.plots import fit_figure, save_figure, training_figure

LOSSES, TARGETS = np.geomspace(100, 1, 20), np.arange(5.0)


def test_the_picture_holds_the_curve_and_the_points():
    figure = training_figure(LOSSES, TARGETS[:, None], TARGETS[:, None] + 1, title="a run")
    curve, scatter = figure.axes
    np.testing.assert_array_equal(curve.lines[0].get_ydata(), LOSSES)
    np.testing.assert_array_equal(scatter.collections[0].get_offsets(), np.column_stack([TARGETS, TARGETS + 1]))
    assert figure.get_suptitle() == "a run"
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "prediction"]
    assert curve.get_yscale() == "log"


def test_a_loss_that_touches_zero_is_drawn_on_a_plain_scale():
    figure = training_figure([1.0, 0.0], TARGETS, TARGETS, title="")
    assert figure.axes[0].get_yscale() == "linear"


def test_many_networks_are_a_median_in_a_band_and_bars():
    losses = np.stack([LOSSES, 2 * LOSSES, 4 * LOSSES])
    figure = training_figure(losses, TARGETS, TARGETS, np.full(5, 0.5), title="")
    curve, scatter = figure.axes
    np.testing.assert_allclose(curve.lines[0].get_ydata(), 2 * LOSSES)
    low, high = np.quantile(losses[:, 0], (0.05, 0.95))
    band = curve.collections[0].get_paths()[0].vertices
    assert low <= band[band[:, 0] == 1][:, 1].min() * (1 + 1e-9)
    assert np.isclose(band[:, 1].max(), high)
    segments = scatter.collections[0].get_segments()
    np.testing.assert_allclose([segment[1, 1] - segment[0, 1] for segment in segments], 1)


def test_a_fit_is_its_two_losses_its_best_epoch_and_the_rows_kept_aside():
    figure = fit_figure(LOSSES, 2 * LOSSES, 7, TARGETS, TARGETS + 1, title="a fit")
    curve, scatter = figure.axes
    np.testing.assert_array_equal(curve.lines[0].get_ydata(), LOSSES)
    np.testing.assert_array_equal(curve.lines[1].get_ydata(), 2 * LOSSES)
    assert list(curve.lines[2].get_xdata()) == [7, 7]
    assert [text.get_text() for text in curve.get_legend().get_texts()] == ["training", "validation", "best epoch"]
    np.testing.assert_array_equal(scatter.collections[0].get_offsets(), np.column_stack([TARGETS, TARGETS + 1]))


def test_of_many_fits_each_has_its_lines_up_to_its_end():
    losses = np.stack([LOSSES, 2 * LOSSES])
    losses[1, 10:] = np.nan
    figure = fit_figure(losses, losses, [20, 9], TARGETS, TARGETS, np.full(5, 0.5), title="")
    curve, scatter = figure.axes
    assert len(curve.lines) == 2 + 2 + 2
    assert len(curve.get_legend().get_texts()) == 3
    assert len(scatter.collections[0].get_segments()) == 5


def test_classes_are_a_confusion_matrix_with_a_line_for_each_target():
    figure = fit_figure(LOSSES, LOSSES, 1, [0, 0, 0, 1], [0, 0, 1, 1], classes=["no", "yes"], title="")
    _, matrix = figure.axes
    np.testing.assert_allclose(matrix.images[0].get_array(), [[2 / 3, 1 / 3], [0, 1]])
    assert [text.get_text() for text in matrix.texts] == ["2", "1", "·", "1"]
    assert [text.get_text() for text in matrix.get_yticklabels()] == ["no", "yes"]


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_ending_names_the_format(tmp_path, ending, magic):
    path = tmp_path / f"run.{ending}"
    save_figure(training_figure(LOSSES, TARGETS, TARGETS, title=""), path)
    assert path.read_bytes().startswith(magic)


def test_pyplot_is_never_imported():
    training_figure(LOSSES, TARGETS, TARGETS, title="")
    assert "matplotlib.pyplot" not in sys.modules
