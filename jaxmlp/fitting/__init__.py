"""Real training: mini-batches, any optimizer, validation, early stopping, checkpoints.

`epochs.py` is the pure part, one compiled program; `loop.py` is the Python around it; `optimizers.py`, `metrics.py` and
`checkpoints.py` are what they use.
"""

from jaxmlp.fitting.checkpoints import load_state as load_state
from jaxmlp.fitting.checkpoints import save_state as save_state
from jaxmlp.fitting.epochs import FitState as FitState
from jaxmlp.fitting.epochs import History as History
from jaxmlp.fitting.epochs import fit_epochs as fit_epochs
from jaxmlp.fitting.epochs import init_fit as init_fit
from jaxmlp.fitting.loop import FitResult as FitResult
from jaxmlp.fitting.loop import fit as fit
from jaxmlp.fitting.optimizers import adam as adam
from jaxmlp.fitting.optimizers import sgd as sgd
