"""Estimators with the names and meanings of scikit-learn's, around `jaxmlp.fitting` and `jaxmlp.pipeline`."""

from jaxmlp._validation import require

require("sklearn", extra="sklearn")

from jaxmlp.sklearn.classifier import MLPClassifier as MLPClassifier  # noqa: E402
from jaxmlp.sklearn.encoder import PiecewiseLinearEncoder as PiecewiseLinearEncoder  # noqa: E402
from jaxmlp.sklearn.regressor import MLPRegressor as MLPRegressor  # noqa: E402
from jaxmlp.sklearn.tables import TableClassifier as TableClassifier  # noqa: E402
from jaxmlp.sklearn.tables import TableRegressor as TableRegressor  # noqa: E402
