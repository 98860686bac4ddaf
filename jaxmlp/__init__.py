"""Multilayer perceptrons in JAX from first principles: every gradient derived by hand and verified."""

from importlib import import_module as _import_module

TYPE_CHECKING = False  # As `typing` has it, which takes long to import.
if TYPE_CHECKING:
    # The core: a network, its gradient, its training.
    from jaxmlp import dense as dense
    from jaxmlp.activations import Activation as Activation
    from jaxmlp.activations import gelu as gelu
    from jaxmlp.activations import identity as identity
    from jaxmlp.activations import relu as relu
    from jaxmlp.activations import sigmoid as sigmoid
    from jaxmlp.activations import silu as silu
    from jaxmlp.activations import tanh as tanh
    from jaxmlp.backprop import manual_grads as manual_grads
    from jaxmlp.backprop import manual_value_and_grads as manual_value_and_grads
    from jaxmlp.backprop import row_gradient_norms as row_gradient_norms
    from jaxmlp.criteria import Criterion as Criterion
    from jaxmlp.criteria import huber_loss as huber_loss
    from jaxmlp.criteria import poisson_nll_loss as poisson_nll_loss
    from jaxmlp.criteria import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
    from jaxmlp.criteria import softmax_cross_entropy as softmax_cross_entropy
    from jaxmlp.criteria import squared_error as squared_error
    from jaxmlp.network import Layer as Layer
    from jaxmlp.network import Params as Params
    from jaxmlp.network import forward as forward
    from jaxmlp.network import init_params as init_params
    from jaxmlp.network import loss as loss
    from jaxmlp.training import train as train
    from jaxmlp.training import train_step as train_step
    from jaxmlp.training import update as update
    from jaxmlp.tutorial import synthetic_regression as synthetic_regression

if TYPE_CHECKING:
    # Many networks at once.
    # Modules that are reached by name.
    from jaxmlp import export as export
    from jaxmlp import report as report
    from jaxmlp import sharding as sharding
    from jaxmlp import tables as tables
    from jaxmlp.ensembles import init_ensemble as init_ensemble
    from jaxmlp.ensembles import predict_ensemble as predict_ensemble
    from jaxmlp.ensembles import train_ensemble as train_ensemble

    # Mini-batches, optimizers, early stopping, checkpoints.
    from jaxmlp.fitting import FitResult as FitResult
    from jaxmlp.fitting import FitState as FitState
    from jaxmlp.fitting import History as History
    from jaxmlp.fitting import adam as adam
    from jaxmlp.fitting import fit as fit
    from jaxmlp.fitting import fit_epochs as fit_epochs
    from jaxmlp.fitting import init_fit as init_fit
    from jaxmlp.fitting import load_state as load_state
    from jaxmlp.fitting import save_state as save_state
    from jaxmlp.fitting import sgd as sgd

    # Models of arrays and of tables, and the choice among networks.
    from jaxmlp.models import Model as Model
    from jaxmlp.models import load_model as load_model
    from jaxmlp.models import predict as predict
    from jaxmlp.models import predict_with_std as predict_with_std
    from jaxmlp.models import save_model as save_model
    from jaxmlp.pipeline import fit_table as fit_table
    from jaxmlp.selection import CrossValidation as CrossValidation
    from jaxmlp.selection import cross_validate as cross_validate

    # Verification of gradients.
    from jaxmlp.verification import GradientError as GradientError
    from jaxmlp.verification import GradientReport as GradientReport
    from jaxmlp.verification import check_gradients as check_gradients
    from jaxmlp.verification import check_network as check_network

# All modules are imported when one of their names is first used. JAX takes half a second to import: the command answers
# Ctrl-C before that.
_CORE = {
    "activations": ("Activation", "gelu", "identity", "relu", "sigmoid", "silu", "tanh"),
    "criteria": (
        *("Criterion", "huber_loss", "poisson_nll_loss", "sigmoid_binary_cross_entropy", "softmax_cross_entropy"),
        "squared_error",
    ),
    "dense": (),
    "network": ("Layer", "Params", "forward", "init_params", "loss"),
    "backprop": ("manual_grads", "manual_value_and_grads", "row_gradient_norms"),
    "training": ("train", "train_step", "update"),
    "tutorial": ("synthetic_regression",),
}
_FOLDERS = {
    "ensembles": ("init_ensemble", "predict_ensemble", "train_ensemble"),
    "fitting": (
        *("FitResult", "FitState", "History", "adam", "fit", "fit_epochs", "init_fit"),
        *("load_state", "save_state", "sgd"),
    ),
    "models": ("Model", "load_model", "predict", "predict_with_std", "save_model"),
    "pipeline": ("fit_table",),
    "selection": ("CrossValidation", "cross_validate"),
    "verification": ("GradientError", "GradientReport", "check_gradients", "check_network"),
    "export": (),
    "report": (),
    "sharding": (),
    "tables": (),
}

# What `from jaxmlp import *` imports.
__all__ = [name for names in _CORE.values() for name in names]  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    for module, names in (_CORE | _FOLDERS).items():
        if name == module:
            return _import_module(f"jaxmlp.{module}")
        if name in names:
            globals()[name] = value = getattr(_import_module(f"jaxmlp.{module}"), name)
            return value
    raise AttributeError(f"module 'jaxmlp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_CORE, *(name for names in (_CORE | _FOLDERS).values() for name in names)})
