"""Many networks of the same shape: trained as one compiled program, their predictions averaged."""

from jaxmlp.ensembles.prediction import predict_ensemble as predict_ensemble
from jaxmlp.ensembles.training import init_ensemble as init_ensemble
from jaxmlp.ensembles.training import train_ensemble as train_ensemble
