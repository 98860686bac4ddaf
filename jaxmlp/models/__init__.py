"""Models: what predicts, in memory (`model.py`) and on disk (`files.py`), and its prediction interval."""

from jaxmlp.models.files import load_model as load_model
from jaxmlp.models.files import save_model as save_model
from jaxmlp.models.interval import Interval as Interval
from jaxmlp.models.interval import measure_interval as measure_interval
from jaxmlp.models.model import Model as Model
from jaxmlp.models.model import predict as predict
from jaxmlp.models.model import predict_with_std as predict_with_std
