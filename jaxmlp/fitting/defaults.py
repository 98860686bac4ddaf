"""Default hyperparameters of the search and of a single training."""

from typing import NamedTuple

import numpy as np


class Candidate(NamedTuple):
    """Hyperparameters, among which a search chooses."""

    learning_rate: float  # the largest one, see `schedule`
    weight_decay: float  # share of each weight that a step takes away, times the learning rate
    hidden: tuple[int, ...]  # hidden layer widths; empty for a linear model
    bins: int | None = None  # of the encoding of numbers, see `learn_encoding`
    is_log: bool = False  # whether the logarithm of the target is learned


# Candidates of `cross_validate`, which standardizes columns: pairs of learning rate and weight decay.
CANDIDATES = tuple((rate, decay) for decay in (0.01, 0.1) for rate in (0.02, 0.003))
SEARCH_FOLDS, SEARCH_SEEDS = 5, 2
HIDDEN = (100,)

# Candidates of a table's search, the most useful first: bins, weight decay, and whether the target's logarithm is
# learned. `python bench/tables.py` measures what they are good for.
TABLE_CANDIDATES = (
    (16, 0.1, False),
    (0, 0.1, False),
    (16, 1.0, False),
    (48, 0.1, False),
    (16, 0.1, True),
    (16, 3.0, False),
    (48, 1.0, False),
    (0, 1.0, False),
)
TABLE_HIDDEN = (128, 128)
LEARNING_RATES = {"adam": 0.003, "sgd": 0.01}
CYCLES = 4


def default_candidates(
    optimizer: str = "adam",
    *,
    single: bool = False,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    hidden: tuple[int, ...] | None = None,
    has_log: bool = False,
) -> tuple[Candidate, ...]:
    """Return the candidates of a table's search; a given hyperparameter is the same in all of them.

    Arguments:
        optimizer: "adam" or "sgd".
        single: whether to return the first one only.
        learning_rate: None for the default of the optimizer.
        weight_decay: None to try several.
        hidden: hidden layer widths; None for (128, 128).
        has_log: whether to try the logarithm of the target, too.
    """
    rate = LEARNING_RATES[optimizer] if learning_rate is None else float(learning_rate)
    candidates = []
    for bins, decay, is_log in TABLE_CANDIDATES:
        decay = decay if weight_decay is None else float(weight_decay)
        candidate = Candidate(rate, decay, TABLE_HIDDEN if hidden is None else hidden, bins, is_log)
        if candidate not in candidates and (has_log or not is_log):
            candidates.append(candidate)
    return tuple(candidates[:1] if single else candidates)


def default_batch_size(n: int) -> int:
    """Return the power of two that makes from 64 to 128 steps an epoch, but at least 32 and at most 512."""
    return 2 ** int(np.clip(np.log2(max(n, 1) / 64), 5, 9))


def default_epochs(n: int, batch_size: int) -> int:
    """Return the number of epochs that make 8,000 steps, from 4 to 200."""
    return int(np.clip(8_000 / -(-n // batch_size), 4, 200))


def default_patience(epochs: int) -> int:
    """Return the number of epochs without a lower validation loss after which to stop: a third of `epochs`."""
    return max(1, -(-epochs // 3))
