"""The rows of each fold, their encodings and target scalings, and the baseline that needs no training."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jaxmlp.fitting.encoding import Encoding, learn_encoding, stack_encodings
from jaxmlp.fitting.scaling import Scaling, inverse
from jaxmlp.fitting.splitting import Folds
from jaxmlp.fitting.state import FitData
from jaxmlp.fitting.targets import TargetScaling, learn_target_scaling
from jaxmlp.fitting.tasks import Task


@dataclass(frozen=True, eq=False)
class Prepared:
    """All rows, and what each fold learns from the rows that it does not hold out."""

    x: np.ndarray  # (n, columns) float32, scaled
    y: np.ndarray  # (n, outputs) float64
    scaling: Scaling  # Of x: so that float32 holds it; folds learn their encodings from the scaled rows.
    folds: Folds
    task: Task
    _learned: dict[object, object] = field(default_factory=dict)

    @property
    def held_out(self) -> np.ndarray:
        """Whether a row is held out in some fold, (n,) bool."""
        return self.folds.number >= 0

    @cached_property
    def used(self) -> list[np.ndarray]:
        """The rows that each fold does not hold out, as indices."""
        parts = []
        for name in ("train", "valid"):
            rows, weights = getattr(self.folds, name), getattr(self.folds, f"{name}_weights")
            parts.append([own if weights is None else own[weights[k] > 0] for k, own in enumerate(rows)])
        return [np.unique(np.concatenate(both)) for both in zip(*parts, strict=True)]

    def encoding(self, bins: int | None) -> Encoding:
        """Return the encodings of all folds, leaves with a leading axis of folds; see `learn_encoding`."""
        if ("encoding", bins) not in self._learned:
            is_number = ((self.x != 0) & (self.x != 1)).any(axis=0) & (np.ptp(self.x, axis=0) > 0)
            binned = np.flatnonzero(is_number)
            encodings = [learn_encoding(self.x[rows], bins, binned) for rows in self.used]
            self._learned["encoding", bins] = stack_encodings(encodings)
        return self._learned["encoding", bins]  # type: ignore[return-value]

    def targets(self, *, is_log: bool) -> list[TargetScaling]:
        """Return the target scaling of each fold."""
        return [learn_target_scaling(self.y[rows], self.task, is_log=is_log) for rows in self.used]

    def data(self, *, is_log: bool) -> FitData:
        """Return the rows to train and to validate on, leaves with a leading axis of folds."""
        folds, targets = self.folds, self.targets(is_log=is_log)

        def scaled(rows: np.ndarray) -> np.ndarray:
            return np.stack([target.apply(self.y[own]) for own, target in zip(rows, targets, strict=True)])

        weights = None if folds.train_weights is None else folds.train_weights.astype(np.float32)
        data = FitData(self.x[folds.train], scaled(folds.train).astype(np.float32), weights)
        if not folds.valid.size:
            return data
        y_valid = scaled(folds.valid).astype(np.float32)
        return data._replace(x_valid=self.x[folds.valid], y_valid=y_valid, valid_weight=folds.valid_weights)

    def constant(self) -> np.ndarray:
        """Return the predictions of the constant baseline, (folds, outputs)."""
        return np.stack([self.task.constant(self.y[rows].mean(axis=0), len(self.y)) for rows in self.used])

    def collect(self, predictions: np.ndarray) -> np.ndarray:
        """Return (n, outputs) predictions of held-out rows, given those of each fold (folds, n_test, outputs)."""
        collected = np.full((len(self.y), predictions.shape[-1]), np.nan)
        real = self.folds.test_weights > 0
        collected[self.folds.test[real]] = predictions[real]
        return collected


def learn_base_scaling(x: np.ndarray) -> Scaling:
    """Return a scaling of columns (n, columns) after which float32 holds their differences.

    By median and interquartile range, so that far values do not make the others look equal. Columns of zeros and ones
    stay as they are.
    """
    low, first, center, third, high = np.quantile(x, (0, 0.25, 0.5, 0.75, 1), axis=0)
    spread = np.where(third > first, third - first, high - low)
    is_binary = ((x == 0) | (x == 1)).all(axis=0) & (high > low)
    return Scaling(np.where(is_binary, 0, center), np.where(is_binary, 1, inverse(spread)))
