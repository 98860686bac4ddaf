"""Default hyperparameters of the search and of a single training."""

from typing import NamedTuple

import numpy as np


class Candidate(NamedTuple):
    """Hyperparameters of the optimizer, among which a search chooses."""

    learning_rate: float  # of the first step
    weight_decay: float  # share of each weight that a step takes away, times the learning rate


# What a search tries, by optimizer.
LEARNING_RATES = {"adam": (0.02, 0.003), "sgd": (0.03, 0.01)}
WEIGHT_DECAYS = (0.01, 0.1)
# What a single training takes, by optimizer.
SINGLE = {"adam": Candidate(0.005, 0.03), "sgd": Candidate(0.01, 0.03)}
# The linear baseline, where it is trained.
LINEAR = Candidate(0.02, 0.0)

SEARCH_FOLDS, SEARCH_SEEDS = 5, 2
HIDDEN = (100,)
MAX_COLUMNS_SOLVED = 2000  # The linear baseline is solved up to this number of columns: time grows with their cube.


def default_candidates(
    optimizer: str = "adam",
    *,
    single: bool = False,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
) -> tuple[Candidate, ...]:
    """Return the candidates of a search or of a single training; a given hyperparameter is the same in all of them."""
    rates, decays = LEARNING_RATES[optimizer], WEIGHT_DECAYS
    if single:
        rates, decays = ((value,) for value in SINGLE[optimizer])
    rates = rates if learning_rate is None else (float(learning_rate),)
    decays = decays if weight_decay is None else (float(weight_decay),)
    return tuple(Candidate(rate, decay) for decay in decays for rate in rates)


CANDIDATES = default_candidates()


def default_batch_size(n: int) -> int:
    """Return 32; above 5,000 rows, the power of two that makes about 160 steps an epoch, at most 1,024."""
    return 2 ** int(np.clip(np.log2(max(n, 1) / 160), 5, 10))


def default_epochs(n: int, batch_size: int) -> int:
    """Return the number of epochs that make 10,000 steps, from 20 to 400."""
    return int(np.clip(10_000 / -(-n // batch_size), 20, 400))


def default_patience(epochs: int) -> int:
    """Return the number of epochs without a lower validation loss after which to stop: a third of `epochs`."""
    return max(1, -(-epochs // 3))
