"""Programs for other machines: a prediction or a training run as StableHLO."""

from jaxmlp.export.programs import PLATFORMS as PLATFORMS
from jaxmlp.export.programs import export_predict as export_predict
from jaxmlp.export.programs import export_train as export_train
