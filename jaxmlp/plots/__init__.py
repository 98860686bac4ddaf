"""Figures of a training run, drawn with matplotlib."""

from jaxmlp.plots.figures import fit_figure as fit_figure
from jaxmlp.plots.figures import save_figure as save_figure
from jaxmlp.plots.figures import training_figure as training_figure
from jaxmlp.plots.figures import verdict_figure as verdict_figure
