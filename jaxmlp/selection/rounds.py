"""All candidates of a search, trained cycle by cycle of the learning rate; after the second, the poor ones are dropped.

Each cycle is twice as long as the one before. All candidates run the first two; in each later one, half as many go on:
successive halving (Jamieson and Talwalkar 2016).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.state import FitState, History
from jaxmlp.selection.scores import rank_score, score_predictions
from jaxmlp.selection.search import (
    Search,
    Snapshot,
    Training,
    checkpoint_of,
    end_of_cycles,
    start_training,
    train_until,
)
from jaxmlp.storage.json import JsonObject

Progress = Callable[[float], None]
FULL_CYCLES = 2  # Number of cycles that all candidates run; then half of them go on.


@dataclass(frozen=True, eq=False)
class Trained:
    """What was kept of each candidate that has networks to choose."""

    trainings: tuple[Training, ...]
    interrupted: bool  # Whether Ctrl-C ended the training.

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The candidates."""
        return tuple(training.candidate for training in self.trainings)

    def snapshots(self) -> list[tuple[Candidate, Snapshot]]:
        """Return the networks that can be chosen, each with its candidate."""
        return [(training.candidate, snapshot) for training in self.trainings for snapshot in training.snapshots]

    def by_candidate(self) -> list[list[np.ndarray]]:
        """Return the predictions (n, outputs) of the snapshots of each candidate."""
        return [[snapshot.predictions for snapshot in training.snapshots] for training in self.trainings]

    def predictions(self) -> np.ndarray:
        """Return the predictions (snapshots, n, outputs) of all snapshots."""
        return np.stack([snapshot.predictions for _, snapshot in self.snapshots()])


def count_survivors(candidates: int, cycle: int) -> int:
    """Return how many candidates run a cycle, counted from 0: all in the first ones, then half as many."""
    return max(1, -(-candidates // 2 ** max(0, cycle - FULL_CYCLES + 1)))


def train_candidates(
    search: Search,
    candidates: Sequence[Candidate],
    *,
    checkpoint: Path | None = None,
    about: JsonObject | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Train candidates, cycle by cycle.

    A candidate goes on if it is among the best half, and if its last cycle has lowered its error.

    Arguments:
        search: of `prepare_search`.
        candidates: to choose among.
        checkpoint: a directory that keeps the search, a file for each candidate and cycle.
        about: the settings of the search, stored in each checkpoint; what JSON can hold.
        resume: continue from the checkpoint if it exists; see `validate_checkpoint`.
        progress: called with the share of the training that is done, from 0 to 1.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first candidate is usable.
    """
    ends, failures, done = end_of_cycles(search.settings.epochs, search.settings.cycles), [], 0
    lengths = np.diff([0, *ends])
    planned = sum(count_survivors(len(candidates), k) * length for k, length in enumerate(lengths))
    trainings: list[Training] = []
    going: list[int] = []
    try:
        for cycle, end in enumerate(ends):
            going = list(range(len(candidates))) if cycle < FULL_CYCLES else _select(search, trainings, going, cycle)
            for k in going:
                if cycle == 0:
                    trainings.append(start_training(search, candidates[k]))
                first = done

                def show(state: FitState, _: History, first: int = first, end: int = end, cycle: int = cycle) -> None:
                    if progress is not None:
                        epochs = float(np.max(state.epoch)) - (end - lengths[cycle])
                        progress(min((first + epochs) / planned, 1.0))

                path = None if checkpoint is None else checkpoint_of(checkpoint, k, cycle)
                interrupted = train_until(
                    search, trainings[k], end, checkpoint=path, about=about, failures=failures, resume=resume,
                    on_chunk=show,
                )  # fmt: skip
                if interrupted:
                    raise KeyboardInterrupt
                done += lengths[cycle]
    except KeyboardInterrupt:  # in the training loop, or between two loops
        usable = tuple(training for training in trainings if training.snapshots)
        if not usable:
            raise
        return Trained(usable, True)
    return Trained(tuple(trainings), False)


def _select(search: Search, trainings: list[Training], going: list[int], cycle: int) -> list[int]:
    """Return the candidates that run a cycle, the best first."""
    prepared = search.prepared

    def score(snapshot: Snapshot) -> float:
        return rank_score(score_predictions(snapshot.predictions, prepared.y, prepared.task, prepared.held_out).score)

    scores = {k: [score(snapshot) for snapshot in trainings[k].snapshots] for k in going}
    improved = [k for k in going if scores[k][-1] < min(scores[k][:-1], default=np.inf)]
    ordered = sorted(improved, key=lambda k: scores[k][-1])
    return ordered[: count_survivors(len(trainings), cycle)]
