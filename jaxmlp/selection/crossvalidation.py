"""Cross-validation of candidates, compared with a constant and a linear baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path

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
from jaxmlp.fitting.groups import Group
from jaxmlp.fitting.optimizers import OPTIMIZERS
from jaxmlp.fitting.scaling import Scaling, absorb, identity_scaling, require_precision
from jaxmlp.fitting.splitting import join_validation, make_folds, rng_of
from jaxmlp.fitting.tasks import Task, task_of
from jaxmlp.fitting.temperature import cross_fit_temperature, measure_temperature
from jaxmlp.fitting.values import validate_finite, validate_targets
from jaxmlp.network import Params
from jaxmlp.selection.assembly import make_groups
from jaxmlp.selection.ensemble import Library, choose_all, cross_fit, describe_choice, make_parts
from jaxmlp.selection.linear import fit_linear
from jaxmlp.selection.preparation import Prepared, learn_base_scaling
from jaxmlp.selection.rounds import Progress, Trained, train_candidates
from jaxmlp.selection.scores import Score, is_better, rank_score, score_predictions
from jaxmlp.selection.search import Search, Settings, validate_checkpoint


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What was chosen, and the scores of all. Predictions are in the target's unit."""

    groups: tuple[Group, ...]  # What was chosen: the networks of all folds.
    members: tuple[np.ndarray, ...]  # The fold of each network of each group.
    weights: np.ndarray  # (models,) of all networks and linear models in the choice
    saved: str  # What was chosen: "network", "linear", or "mean" of both.
    measured: dict[str, Score]  # The scores of what was chosen, "model", of each choice, and of the constant.
    candidates: tuple[Candidate, ...]
    scores: tuple[Score, ...]  # The score of each candidate, after its best cycle.
    fold: np.ndarray  # (n,) the fold in which a row is held out; -1 for rows never held out
    parts: np.ndarray  # (n,) what predicts the rows of a part was chosen by the rows of the others; -1 for none
    seeds: int  # Number of networks of each candidate in each fold.
    criterion: Criterion
    task: Task
    temperature: float | None  # Of the probabilities, if it was measured.
    interrupted: bool  # Whether Ctrl-C ended the search.
    unjudged: tuple[int, ...] = ()  # Classes with one row: no network that was tested on it has seen the class.

    def __repr__(self) -> str:
        return (
            f"CrossValidation({self.task.error}: network {self.network.score:.4g} ± {self.network.standard_error:.2g}, "
            f"linear {self.linear.score:.4g}, constant {self.constant.score:.4g}; {self.n_networks} networks)"
        )

    @property
    def model(self) -> Score:
        """The score of what was chosen; the choice for the rows of a fold was made by those of the others."""
        return self.measured["model"]

    @property
    def network(self) -> Score:
        """The score of the best networks."""
        return self.measured["network"]

    @property
    def linear(self) -> Score:
        """The score of the linear model, with the best penalty."""
        return self.measured["linear"]

    @property
    def constant(self) -> Score:
        """The score of the constant baseline: each fold predicts the mean or frequencies of its other rows."""
        return self.measured["constant"]

    @property
    def best(self) -> int:
        """Index of the candidate with the lowest score."""
        return min(range(len(self.scores)), key=lambda k: rank_score(self.scores[k].score))

    def networks_of(self, fold: int) -> list[Group]:
        """Return the groups of the networks that were tested on the rows of a fold."""
        parts = []
        for group, folds in zip(self.groups, self.members, strict=True):
            own = folds == fold
            params, encoding = jax.tree.map(lambda leaf, own=own: np.asarray(leaf)[own], (group.params, group.encoding))
            parts.append(replace(group, params=params, weights=group.weights[own], encoding=encoding))
        return parts

    @property
    def params(self) -> Params:
        """The networks of the best candidate for inputs and targets that are not scaled, in float32.

        Raises:
            ValueError: a column whose values float32 cannot tell apart, such as Unix times; networks of several groups,
                or of inputs that are encoded in another way than by scaling.
        """
        group = self.groups[0]
        scaling, encoding, target = group.scaling, group.encoding, group.target
        assert scaling is not None
        assert encoding is not None
        if len(self.groups) > 1 or encoding.softness.any() or (target is not None and target.is_log):
            raise ValueError("params cannot hold this model; use jaxmlp.Model(result.groups)")
        identity = identity_scaling(group.sizes[-1])
        target = identity if target is None else target.scaling
        remedy = "use jaxmlp.Model(result.groups), whose predictions scale in float64"
        for name, known in {"x": scaling, "y": target}.items():
            names = [f"column {k} of {name}" for k in range(len(known.center))]
            require_precision(names, known.center, known.unit, np.dtype(np.float32), remedy)
        encodings = [Scaling(*pair) for pair in zip(encoding.center, encoding.factor, strict=True)]
        members = group.members
        inner = absorb(group.params, encodings, [identity] * members)
        return absorb(inner, [scaling] * members, [target] * members)

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
        """Whether the networks, or at least the linear model, are worth it; boosted trees take no part."""
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
        text += ". What predicts the rows of a fold was chosen by the rows of the others"
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
        epochs: largest number of epochs; None for about 8,000 steps, and from 4 to 200 epochs.
        batch_size: rows in a step; None for 32, and more above 4,000 rows.
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
    networks = tuple(Candidate(float(rate), float(decay), tuple(hidden)) for rate, decay in candidates)
    if not networks:
        raise ValueError("candidates must hold at least one pair of learning rate and weight decay")
    require_known("optimizer", optimizer, OPTIMIZERS)
    for candidate in networks:
        OPTIMIZERS[optimizer](candidate.learning_rate, weight_decay=candidate.weight_decay)  # validates them
    given = {"epochs": epochs, "batch_size": batch_size, "patience": patience}
    limits = {name: 0 if value is None else validate_count(name, value, at_least=1) for name, value in given.items()}
    settings = Settings(
        validate_count("folds", folds, at_least=1), validate_count("seeds", seeds, at_least=1),
        limits["epochs"], limits["batch_size"], limits["patience"] or -1, 1, optimizer, activation, criterion,
    )  # fmt: skip
    search = prepare_search(x, y, settings, key, task)
    about = search.settings._asdict() | describe_functions(activation, criterion) | {"key": describe_key(key)}
    trained = train_candidates(search, networks, checkpoint=directory, about=about, resume=resume, progress=progress)
    return compare(search, trained, blends=False)


def prepare_search(
    x: ArrayLike,
    y: ArrayLike,
    settings: Settings,
    key: Array,
    task: Task | None = None,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
) -> Search:
    """Validate, draw the folds and scale the rows; arguments are those of `cross_validate` and of `make_folds`.

    A patience of -1 stands for a third of the epochs.
    """
    x, y = _validate_finite("x", x), _validate_finite("y", y)
    validate_criterion(settings.criterion, y.shape[1])
    task = task_of(settings.criterion, task)
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"y must have a row for each of x; got {y.shape} and {x.shape}")
    validate_targets(y, settings.criterion)
    classes = y.argmax(axis=1) if task.stratifies else None
    folds = make_folds(len(x), settings.folds, rng_of(key), classes=classes, groups=groups, times=times)
    if not settings.patience:
        folds = join_validation(folds)
    batch_size = settings.batch_size or defaults.default_batch_size(folds.train.shape[1])
    epochs = settings.epochs or defaults.default_epochs(folds.train.shape[1], batch_size)
    patience = defaults.default_patience(epochs) if settings.patience < 0 else settings.patience
    settings = settings._replace(batch_size=batch_size, epochs=epochs, patience=patience)
    scaling = learn_base_scaling(x)
    return Search(Prepared(scaling.apply(x).astype(np.float32), y, scaling, folds, task), settings, key)


def compare(search: Search, trained: Trained, *, blends: bool) -> CrossValidation:
    """Choose what predicts, and compare it with the baselines.

    Arguments:
        search: of `prepare_search`.
        trained: of `train_candidates`.
        blends: whether to choose among an ensemble of the networks, a linear model and their mean; otherwise the best
            candidate after its best cycle is chosen.
    """
    prepared, settings, key = search
    task = prepared.task
    linear = fit_linear(prepared, settings.criterion)
    library = Library(trained.predictions(), linear.predictions, prepared.y, task)
    choose = partial(choose_all, blends=blends)
    parts = make_parts(prepared.folds.number, rng_of(key))
    measured = cross_fit(library, parts, choose)
    temperature = None
    if blends and task.stratifies and np.isfinite(measured["model"][parts >= 0]).all():
        temperature = measure_temperature(measured["model"][parts >= 0], prepared.y[parts >= 0])
        measured = {name: cross_fit_temperature(own, prepared.y, parts) for name, own in measured.items()}
    constant = np.repeat(prepared.constant()[:, None, :], prepared.folds.test.shape[1], axis=1)
    measured |= {"constant": prepared.collect(constant)}

    def score(predictions: np.ndarray) -> Score:
        return score_predictions(predictions, prepared.y, task, prepared.held_out)

    def best_of(snapshots: list[np.ndarray]) -> Score:
        return min(map(score, snapshots), key=lambda entry: rank_score(entry.score))

    weights = choose(library, prepared.held_out)["model"]
    groups, members = make_groups(search, trained, linear, weights)
    rows_of_class = np.bincount(prepared.y.argmax(axis=1), minlength=prepared.y.shape[1]) if task.stratifies else []
    return CrossValidation(
        groups, members, weights, describe_choice(library, weights),
        {name: score(predictions) for name, predictions in measured.items()}, trained.candidates,
        tuple(map(best_of, trained.by_candidate())), prepared.folds.number,
        parts, settings.seeds, settings.criterion, task, temperature, trained.interrupted,
        tuple(np.flatnonzero(np.asarray(rows_of_class) == 1).tolist()),
    )  # fmt: skip


def _validate_finite(name: str, values: object) -> np.ndarray:
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
