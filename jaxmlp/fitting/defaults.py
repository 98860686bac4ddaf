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

# Candidates of a table's search, the most useful first. `python bench/tables.py` measures what they are good for; wide
# networks with much decay suit tables of few rows.
DEEP, WIDE = (128, 128), (256,)
FINE = 48  # Bins of a number.
# In tables of few rows an edge at each value costs little, and tells as much as the splits of a tree.
FEW_ROWS, FINEST = 500, 128
TABLE_CANDIDATES = (
    Candidate(0.003, 0.1, DEEP, bins=16),
    Candidate(0.003, 0.1, DEEP, bins=0),
    Candidate(0.003, 1.0, DEEP, bins=16),
    Candidate(0.03, 3.0, WIDE, bins=16),
    Candidate(0.003, 0.1, DEEP, bins=FINE),
    Candidate(0.003, 0.1, DEEP, bins=16, is_log=True),
    Candidate(0.03, 3.0, WIDE, bins=0),
)
SGD_RATE = 0.01
CYCLES = 4


def default_candidates(
    optimizer: str = "adam",
    *,
    n: int = FEW_ROWS,
    single: bool = False,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    hidden: tuple[int, ...] | None = None,
    has_log: bool = False,
) -> tuple[Candidate, ...]:
    """Return the candidates of a table's search; a given hyperparameter is the same in all of them.

    Arguments:
        optimizer: "adam" or "sgd".
        n: number of rows; below 500, the finest bins are finer.
        single: whether to return the first one only.
        learning_rate: None for those that suit the optimizer.
        weight_decay: None to try several.
        hidden: hidden layer widths; None to try (128, 128) and (256,).
        has_log: whether to try the logarithm of the target, too.
    """
    rate = SGD_RATE if learning_rate is None and optimizer == "sgd" else learning_rate
    given = {"learning_rate": rate, "weight_decay": weight_decay, "hidden": hidden}
    fixed = {name: value for name, value in given.items() if value is not None}
    fixed |= {name: float(fixed[name]) for name in ("learning_rate", "weight_decay") if name in fixed}
    candidates = [candidate._replace(**fixed) for candidate in TABLE_CANDIDATES if has_log or not candidate.is_log]
    if n < FEW_ROWS:
        candidates = [each._replace(bins=FINEST) if each.bins == FINE else each for each in candidates]
    candidates = list(dict.fromkeys(candidates))
    return tuple(candidates[:1] if single else candidates)


def default_batch_size(n: int) -> int:
    """Return the power of two from 32 to 512 that makes from 64 to 128 steps an epoch, or comes nearest to that."""
    return 2 ** int(np.clip(np.log2(max(n, 1) / 64), 5, 9))


def default_epochs(n: int, batch_size: int) -> int:
    """Return the number of epochs that make 8,000 steps, from 4 to 200."""
    return int(np.clip(8_000 / -(-n // batch_size), 4, 200))


def default_patience(epochs: int) -> int:
    """Return the number of epochs without a lower validation loss after which to stop: a third of `epochs`."""
    return max(1, -(-epochs // 3))
