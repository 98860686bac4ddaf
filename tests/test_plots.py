"""Pictures hold what they were given, and touch no global state."""

import sys

import numpy as np
import pytest

from jaxmlp.plots import save_figure, training_figure

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


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_ending_names_the_format(tmp_path, ending, magic):
    path = tmp_path / f"run.{ending}"
    save_figure(training_figure(LOSSES, TARGETS, TARGETS, title=""), path)
    assert path.read_bytes().startswith(magic)


def test_pyplot_is_never_imported():
    training_figure(LOSSES, TARGETS, TARGETS, title="")
    assert "matplotlib.pyplot" not in sys.modules
