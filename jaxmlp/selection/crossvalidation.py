"""Cross-validation of candidates, compared with a constant and a linear baseline."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import count, refuse_tracing, require_known, to_numpy, validate_count, validate_criterion
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.fitting import defaults
from jaxmlp.fitting.checkpoints import describe_functions, describe_key
from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.groups import Group, make_group
from jaxmlp.fitting.optimizers import OPTIMIZERS
from jaxmlp.fitting.scaling import Scaling, absorb, require_precision
from jaxmlp.fitting.splitting import make_folds, rng_of
from jaxmlp.fitting.tasks import Task, task_of
from jaxmlp.fitting.values import validate_finite, validate_targets
from jaxmlp.network import Params
from jaxmlp.selection.linear import solve_linear
from jaxmlp.selection.preparation import prepare
from jaxmlp.selection.scores import Score, is_better, score_predictions
from jaxmlp.selection.search import (
    Search,
    Settings,
    Trained,
    checkpoint_of,
    scale_members,
    train_candidate,
    train_linear,
    validate_checkpoint,
)

Progress = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The networks of the best candidate, and the scores of all. Predictions are in the target's unit."""

    group: Group  # The networks of the best candidate, (folds * seeds, …), fold by fold.
    target: Scaling  # The scaling of the targets; predictions undo it.
    linear: Score  # The score of a linear model.
    constant: Score  # The score of the constant baseline: each fold predicts the mean or frequencies of its other rows.
    candidates: tuple[Candidate, ...]
    scores: tuple[Score, ...]  # The score of each candidate.
    best: int  # Index of the candidate with the lowest score.
    fold: np.ndarray  # (n,) the fold in which a row is held out; -1 for rows never held out
    seeds: int  # Number of networks of each candidate in each fold.
    criterion: Criterion
    task: Task
    interrupted: bool  # Whether Ctrl-C ended the search.
    unjudged: tuple[int, ...] = ()  # Classes with one row: no network that was tested on it has seen the class.

    def __repr__(self) -> str:
        return (
            f"CrossValidation({self.task.error}: network {self.network.score:.4g} ± {self.network.standard_error:.2g}, "
            f"linear {self.linear.score:.4g}, constant {self.constant.score:.4g}; {self.n_networks} networks)"
        )

    @property
    def network(self) -> Score:
        """The score of the best candidate."""
        return self.scores[self.best]

    @property
    def params(self) -> Params:
        """The networks of the best candidate for inputs and targets that are not scaled, in float32.

        Raises:
            ValueError: a column whose values float32 cannot tell apart, such as Unix times.
        """
        encoding = self.group.encoding
        assert encoding is not None
        remedy = "use jaxmlp.Model((result.group,), target=result.target), whose predictions scale in float64"
        for name, scaling in {"x": encoding, "y": self.target}.items():
            names = [f"column {k} of {name}" for k in range(len(scaling.center))]
            require_precision(names, scaling.center, scaling.unit, np.dtype(np.float32), remedy)
        members = self.group.members
        return absorb(self.group.params, [encoding] * members, [self.target] * members)

    @property
    def folds(self) -> int:
        """Number of folds; 1 is a single hold-out."""
        return int(self.fold.max()) + 1

    @property
    def n_networks(self) -> int:
        """Number of networks that were trained, linear models not included."""
        return self.folds * self.seeds * len(self.candidates)

    @property
    def verdict(self) -> str:
        """Whether the networks are worth it."""
        if not (is_better(self.network, self.constant) or is_better(self.linear, self.constant)):
            return "no better than the constant baseline"
        if is_better(self.linear, self.network):
            return "a linear model is better"
        if not is_better(self.network, self.linear):
            return "a linear model is as good"
        return "better than the constant and the linear baseline"

    @property
    def method(self) -> str:
        """How the scores were measured, in one line."""
        rows = f"{int((self.fold >= 0).sum())} held-out rows"
        how = f"{self.folds} folds" if self.folds > 1 else "a single hold-out"
        text = f"{self.task.error} on {rows}, {how}, {count(self.n_networks, 'network')}; ± is one standard error"
        if len(self.candidates) > 1:
            text += (
                f". The best of {len(self.candidates)} settings was chosen on the same rows, so this error is slightly "
                "optimistic"
            )
        if self.unjudged:
            classes = "1 class has" if len(self.unjudged) == 1 else f"{len(self.unjudged)} classes have"
            text += f". {classes} a single row and cannot be judged"
        return text


def cross_validate(
    x: ArrayLike,
    y: ArrayLike,
    *,
    key: Array,
    hidden: Sequence[int] = defaults.HIDDEN,
    folds: int = defaults.SEARCH_FOLDS,
    candidates: Sequence[tuple[float, float]] = defaults.CANDIDATES,
    seeds: int = defaults.SEARCH_SEEDS,
    epochs: int | None = None,
    batch_size: int | None = None,
    patience: int | None = None,
    optimizer: str = "adam",
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    task: Task | None = None,
    checkpoint: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> CrossValidation:
    """Choose among candidates by cross-validation, and measure the best one on rows that it was not trained on.

    The folds and seeds of a candidate are trained as one compiled program on all devices. Inputs, and targets of
    regression, are scaled by the rows that a fold does not hold out; a tenth of these is for early stopping. Held-out
    rows take no part in their fold.

    Arguments:
        x: (n, fan_in) inputs.
        y: (n, outputs) targets: numbers, probabilities such as one-hot classes, or counts.
        key: a key of `jax.random.key`, for folds, initial weights and the order of rows.
        hidden: hidden layer widths.
        folds: number of folds, stratified by class; 1 for a single hold-out of a fifth of the rows.
        candidates: pairs of learning rate and weight decay.
        seeds: number of networks of each candidate in each fold; their mean is scored.
        epochs: largest number of epochs; None for about 10,000 steps, and from 20 to 400 epochs.
        batch_size: rows in a step; None for 32, and more above 5,000 rows.
        patience: epochs without a lower validation loss after which a network stops; None for a third of `epochs`.
        optimizer: "adam" or "sgd"; the learning rate falls to zero along half a cosine.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.
        task: required with a custom criterion; None for the task of a built-in one.
        checkpoint: a directory that keeps the search; None for none. If it cannot be written during training, a
            `CheckpointWarning` says so once, and training goes on.
        resume: continue from the checkpoint if it exists. Without it, the directory may hold no search.
        progress: called now and then with the share of the training that is done, from 0 to 1.

    Returns:
        The networks of the best candidate, and the scores of all candidates and baselines.

    Raises:
        ValueError: a shape that does not fit; numbers that are not finite; targets outside the range of the criterion;
            too few rows; a custom criterion without a task.
        TypeError: not a key; an activation or criterion that is a bare function; a call that JAX traces.
        StorageError: a checkpoint that cannot be read, belongs to another search or is there without `resume`; a
            directory that cannot be written.
    """
    refuse_tracing("cross_validate", x, y, key, candidates)
    directory = None if checkpoint is None else Path(checkpoint)
    validate_checkpoint(directory, resume=resume)
    candidates = tuple(Candidate(float(rate), float(decay)) for rate, decay in candidates)
    if not candidates:
        raise ValueError("candidates must hold at least one pair of learning rate and weight decay")
    require_known("optimizer", optimizer, OPTIMIZERS)
    for rate, decay in candidates:
        OPTIMIZERS[optimizer](rate, weight_decay=decay)  # validates them
    given = {"epochs": epochs, "batch_size": batch_size, "patience": patience}
    limits = {name: 0 if value is None else validate_count(name, value, at_least=1) for name, value in given.items()}
    settings = Settings(
        tuple(hidden), validate_count("folds", folds, at_least=1), validate_count("seeds", seeds, at_least=1),
        limits["epochs"], limits["batch_size"], limits["patience"], optimizer, activation, criterion,
    )  # fmt: skip
    search = prepare_search(x, y, settings, key, task)
    about = search.settings._asdict() | describe_functions(activation, criterion) | {"key": describe_key(key)}
    return run_search(search, y, candidates, checkpoint=directory, about=about, resume=resume, progress=progress)


def prepare_search(
    x: ArrayLike,
    y: ArrayLike,
    settings: Settings,
    key: Array,
    task: Task | None = None,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
) -> Search:
    """Validate, draw the folds and scale the rows; arguments are those of `cross_validate` and of `make_folds`."""
    x, y = _validate_finite("x", x), _validate_finite("y", y)
    validate_criterion(settings.criterion, y.shape[1])
    task = task_of(settings.criterion, task)
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"y must have a row for each of x; got {y.shape} and {x.shape}")
    validate_targets(y, settings.criterion)
    classes = y.argmax(axis=1) if task.stratifies else None
    folds = make_folds(len(x), settings.folds, rng_of(key), classes=classes, groups=groups, times=times)
    batch_size = settings.batch_size or defaults.default_batch_size(folds.train.shape[1])
    epochs = settings.epochs or defaults.default_epochs(folds.train.shape[1], batch_size)
    patience = settings.patience or defaults.default_patience(epochs)
    settings = settings._replace(batch_size=batch_size, epochs=epochs, patience=patience)
    return Search(prepare(x, y, folds, task), settings, key)


def run_search(
    search: Search,
    y: ArrayLike,
    candidates: tuple[Candidate, ...],
    *,
    checkpoint: Path | None = None,
    about: dict[str, Any] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> CrossValidation:
    """Train the candidates one after another, then the baselines, and compare them.

    Arguments:
        search: of `prepare_search`.
        y: (n, outputs) targets.
        candidates: to choose among.
        checkpoint: a directory that keeps the search, one file for each candidate.
        about: the settings of the search, stored in each checkpoint; what JSON can hold.
        resume: continue from the checkpoint if it exists; see `validate_checkpoint`.
        progress: called with the share of the training that is done, from 0 to 1.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first candidate is usable.
    """
    trained: list[Trained] = []
    failures: list[str] = []
    interrupted = False

    def report(state: Any, _: Any) -> None:
        if progress is not None:  # the last loop trains the linear baseline, with epochs of its own
            share = float(np.max(state.epoch)) / search.settings.epochs
            progress(min((len(trained) + share) / len(candidates), 1.0))

    try:
        for k, candidate in enumerate(candidates):
            networks = train_candidate(
                search, candidate, checkpoint=None if checkpoint is None else checkpoint_of(checkpoint, k),
                about=about, failures=failures, resume=resume, on_chunk=report,
            )  # fmt: skip
            if not networks.interrupted or networks.is_usable:
                trained.append(networks)
            if networks.interrupted:
                raise KeyboardInterrupt
    except KeyboardInterrupt:  # in the training loop, or between two loops
        if not trained:
            raise
        interrupted = True
    linear = partial(train_linear, search, report)
    y, candidates = np.asarray(y, np.float64), candidates[: len(trained)]
    return _compare(search, y, candidates, trained, linear, interrupted=interrupted)


def _compare(
    search: Search,
    y: np.ndarray,
    candidates: tuple[Candidate, ...],
    trained: list[Trained],
    train_linear: Callable[[], Trained],
    *,
    interrupted: bool,
) -> CrossValidation:
    prepared, settings, _ = search
    task = prepared.task

    def score(predictions: np.ndarray) -> Score:
        return score_predictions(predictions, y, task, prepared.held_out)

    if task.is_least_squares and prepared.data.x.shape[2] <= defaults.MAX_COLUMNS_SOLVED:
        linear = prepared.collect(solve_linear(prepared))
    else:
        baseline = train_linear()
        linear, interrupted = baseline.predictions, interrupted or baseline.interrupted
    constant = prepared.collect(np.repeat(prepared.constant[:, None, :], prepared.x_test.shape[1], axis=1))
    scores = tuple(score(networks.predictions) for networks in trained)
    best = int(np.argmin([entry.score if np.isfinite(entry.score) else np.inf for entry in scores]))
    rows_of_class = np.bincount(y.argmax(axis=1), minlength=y.shape[1]) if task.stratifies else np.empty(0)
    group = make_group(scale_members(search, trained[best].params), settings.activation)
    return CrossValidation(
        replace(group, encoding=prepared.encoding), prepared.target, score(linear), score(constant),
        candidates, scores, best, prepared.folds.number, settings.seeds, settings.criterion, task,
        interrupted, tuple(np.flatnonzero(rows_of_class == 1).tolist()),
    )  # fmt: skip


def _validate_finite(name: str, values: Any) -> np.ndarray:
    values = to_numpy(name, values)
    if values.dtype.kind not in "biuf" and values.dtype != jax.numpy.bfloat16:
        raise TypeError(f"{name} must hold real numbers; got {values.dtype}")
    values = values.astype(np.float64)
    if values.ndim != 2 or 0 in values.shape:
        hint = f"; for one column, pass {name}[:, None]" if values.ndim == 1 else ""
        hint += ", and for class labels jax.nn.one_hot(y, classes)" if hint and name == "y" else ""
        raise ValueError(f"{name} must have shape (n, columns), both at least 1; got {values.shape}{hint}")
    validate_finite(name, values)
    return values
