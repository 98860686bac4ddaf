"""Multilayer perceptrons in JAX from first principles: every gradient by hand and proven."""

from jaxmlp.activations import Activation as Activation
from jaxmlp.activations import gelu as gelu
from jaxmlp.activations import identity as identity
from jaxmlp.activations import relu as relu
from jaxmlp.activations import sigmoid as sigmoid
from jaxmlp.activations import silu as silu
from jaxmlp.activations import tanh as tanh
from jaxmlp.backprop import manual_grads as manual_grads
from jaxmlp.backprop import manual_value_and_grads as manual_value_and_grads
from jaxmlp.criteria import Criterion as Criterion
from jaxmlp.criteria import huber_loss as huber_loss
from jaxmlp.criteria import poisson as poisson
from jaxmlp.criteria import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from jaxmlp.criteria import softmax_cross_entropy as softmax_cross_entropy
from jaxmlp.criteria import squared_error as squared_error
from jaxmlp.ensembles import init_ensemble as init_ensemble
from jaxmlp.ensembles import predict_ensemble as predict_ensemble
from jaxmlp.ensembles import train_ensemble as train_ensemble
from jaxmlp.export import export_forward as export_forward
from jaxmlp.export import export_train as export_train
from jaxmlp.fitting import FitResult as FitResult
from jaxmlp.fitting import FitState as FitState
from jaxmlp.fitting import History as History
from jaxmlp.fitting import adam as adam
from jaxmlp.fitting import fit as fit
from jaxmlp.fitting import fit_epochs as fit_epochs
from jaxmlp.fitting import init_fit as init_fit
from jaxmlp.fitting import sgd as sgd
from jaxmlp.network import Layer as Layer
from jaxmlp.network import Params as Params
from jaxmlp.network import forward as forward
from jaxmlp.network import init_params as init_params
from jaxmlp.network import loss as loss
from jaxmlp.sharding import data_mesh as data_mesh
from jaxmlp.sharding import replicate as replicate
from jaxmlp.sharding import shard_batch as shard_batch
from jaxmlp.training import train as train
from jaxmlp.training import train_step as train_step
from jaxmlp.training import update as update
from jaxmlp.tutorial import synthetic_regression as synthetic_regression
from jaxmlp.verification import GradientError as GradientError
from jaxmlp.verification import GradientReport as GradientReport
from jaxmlp.verification import check_gradients as check_gradients

__version__ = "0.1.0"
