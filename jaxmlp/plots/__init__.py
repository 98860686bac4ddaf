"""Figures of training and of a report, drawn with matplotlib."""

from jaxmlp.plots.figures import report_figure as report_figure
from jaxmlp.plots.figures import save_figure as save_figure
from jaxmlp.plots.figures import training_figure as training_figure
