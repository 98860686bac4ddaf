"""Training on real data: mini-batches, any optimizer, validation, early stopping, checkpoints.

`epochs.py` is the compiled program, `loop.py` the loop around it, and `training.py` holds `fit`.
"""

from jaxmlp.fitting.checkpoints import load_state as load_state
from jaxmlp.fitting.checkpoints import save_state as save_state
from jaxmlp.fitting.epochs import fit_epochs as fit_epochs
from jaxmlp.fitting.optimizers import adam as adam
from jaxmlp.fitting.optimizers import sgd as sgd
from jaxmlp.fitting.state import FitState as FitState
from jaxmlp.fitting.state import History as History
from jaxmlp.fitting.state import init_fit as init_fit
from jaxmlp.fitting.tasks import Task as Task
from jaxmlp.fitting.training import FitResult as FitResult
from jaxmlp.fitting.training import fit as fit
