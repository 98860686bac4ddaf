"""Estimators for those who come from scikit-learn: its names and meanings, around `jaxmlp.fitting`."""

from jaxmlp.sklearn.classifier import MLPClassifier as MLPClassifier
from jaxmlp.sklearn.regressor import MLPRegressor as MLPRegressor
