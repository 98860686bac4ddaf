"""Cross-validation of candidates, beside guessing and a linear model."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._validation import validate_choice, validate_count, validate_key
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import CRITERIA, Criterion, softmax_cross_entropy, squared_error
from jaxmlp.network import Layer, Params
from jaxmlp.selection.folds import make_folds
from jaxmlp.selection.members import Members, Settings, train_members
from jaxmlp.selection.prepared import least_squares, prepare, starting_outputs
from jaxmlp.selection.scores import Scored, error_name, is_better, scored
from jaxmlp.selection.standard import taken_in


class Candidate(NamedTuple):
    """Numbers of the optimizer to choose among."""

    learning_rate: float  # of the first step; it falls to zero along half a cosine
    weight_decay: float  # the share of each weight that a step takes away, times the learning rate


CANDIDATES = (Candidate(0.02, 0.01), Candidate(0.003, 0.01), Candidate(0.02, 0.1), Candidate(0.003, 0.1))
LINEAR = (Candidate(0.02, 0.0),)
_MOST_SOLVED = 2000  # columns; the time grows with their cube


class CrossValidation(NamedTuple):
    """What `cross_validate` returns. Predictions and scores are out of fold, in the targets' own unit."""

    params: Params  # the networks of the chosen candidate, (folds * seeds, …), which act on x as it is
    network: Scored  # of the chosen candidate, the mean of its seeds
    linear: Scored  # of the best linear model: trained as the networks are or, for squared_error, solved exactly
    guess: Scored  # of the mean, or the class frequencies, of the rows that are not held out
    candidates: tuple[Candidate, ...]
    scores: np.ndarray  # (candidates,)
    standard_errors: np.ndarray  # (candidates,)
    chosen: int  # the candidate of the lowest score
    fold: np.ndarray  # (n,), the fold in which a row is held out
    networks: int  # how many were trained, beside the linear models
    activation: Activation | tuple[Activation, ...]
    criterion: Criterion

    @property
    def verdict(self) -> str:
        """Whether the networks are worth it, in a few words."""
        if not (is_better(self.network, self.guess) or is_better(self.linear, self.guess)):
            return "no better than guessing"
        if is_better(self.linear, self.network):
            return "a linear model is better"
        if not is_better(self.network, self.linear):
            return "a linear model is as good"
        return "better than guessing and than a linear model"

    @property
    def error(self) -> str:
        """What the scores measure: "RMSE", "log loss" or "deviance"."""
        return error_name(self.criterion)

    @property
    def how(self) -> str:
        """How the numbers were obtained, in one line."""
        folds, count = int(self.fold.max()) + 1, len(self.candidates)
        chosen = f"; the best of {count} candidates was chosen by the same rows, which flatters it slightly"
        return (
            f"{self.error} on rows not seen in training, each held out once in {folds} folds ({self.networks} networks "
            f"and {folds * len(LINEAR)} linear models, compared row by row){chosen if count > 1 else ''}"
        )


def cross_validate(
    x: ArrayLike,
    y: ArrayLike,
    *,
    key: Array,
    hidden: Sequence[int] = (50,),
    folds: int = 5,
    candidates: Sequence[tuple[float, float]] = CANDIDATES,
    seeds: int = 2,
    epochs: int | None = None,
    batch_size: int | None = None,
    patience: int | None = None,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    progress: Callable[[float], None] | None = None,
) -> CrossValidation:
    """Choose among candidates by cross-validation, and say how good the chosen one is on rows that it has not seen.

    All folds, candidates and seeds are trained as one compiled program on all devices. Inputs, and targets of
    regression, are standardised by the rows a fold does not hold out, a tenth of which does not train but stops the
    training. A row that is held out takes no part in its fold.

    Arguments:
        x: (n, fan_in).
        y: (n, outputs): numbers; with the cross-entropies probabilities, as of one-hot classes; or counts.
        key: a key of `jax.random.key`: of folds, weights and the order of rows.
        hidden: widths of the hidden layers.
        folds: how many; stratified with softmax_cross_entropy.
        candidates: pairs of learning rate and weight decay; two candidates differ in nothing else.
        seeds: networks of each candidate in each fold; their mean is judged.
        epochs: at most; None for about 10,000 steps, and from 20 to 400 epochs.
        batch_size: rows a step; None for 32, and more above 5,000 rows.
        patience: epochs without a lower validation loss after which a network stops; None for a third of `epochs`.
        activation: one for all hidden layers, or a tuple, one each.
        criterion: the loss of a row.
        progress: called now and then with the share of the training that is done.

    Returns:
        The networks of the chosen candidate, and scores of all, beside a linear model's and guessing's.

    Raises:
        ValueError: a shape that does not fit; numbers that are not finite; too few rows.
        TypeError: not a key; an activation or criterion that is a bare function.
    """
    validate_choice("criterion", criterion, Criterion, CRITERIA)
    x, y = _finite("x", x), _finite("y", y)
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"y must have a row for each of x; got {y.shape} and {x.shape}")
    candidates = tuple(Candidate(float(rate), float(decay)) for rate, decay in candidates)
    if not candidates:
        raise ValueError("candidates must hold at least one pair of learning rate and weight decay")
    seeds, hidden = validate_count("seeds", seeds, at_least=1), tuple(hidden)
    rng = np.random.default_rng(
        np.asarray(jax.random.key_data(validate_key(key))).ravel()
    )  # NumPy's: what runs once is not worth a compilation
    classes = y.argmax(axis=1) if criterion == softmax_cross_entropy else None
    parts = make_folds(len(x), validate_count("folds", folds, at_least=2), rng, classes=classes)

    batch_size = batch_size or default_batch_size(parts.train.shape[1])
    epochs = epochs or default_epochs(parts.train.shape[1], batch_size)
    settings = Settings(epochs, batch_size, patience or max(1, -(-epochs // 3)), activation, criterion)
    prepared = prepare(x, y, parts, criterion)

    networks = _search(prepared, (*hidden,), candidates, seeds, settings, rng, progress)
    settings = settings._replace(activation=relu)
    if criterion != squared_error:  # a baseline that is cut short would flatter the networks
        whole = default_epochs(parts.train.shape[1], batch_size)
        settings = settings._replace(epochs=whole, patience=max(1, whole // 3))
    linear = _search(prepared, (), LINEAR, 1, settings, rng, None).predictions
    if criterion == squared_error and x.shape[1] <= _MOST_SOLVED:
        linear = np.concatenate([linear, least_squares(prepared)[None]])
    results = [scored(each, y, criterion) for each in networks.predictions]
    scores = np.array([each.score for each in results])
    chosen = int(np.argmin(np.where(np.isfinite(scores), scores, np.inf)))
    return CrossValidation(
        params=networks.params(chosen),
        network=results[chosen],
        linear=min((scored(each, y, criterion) for each in linear), key=lambda each: each.score),
        guess=scored(prepared.guess[parts.number], y, criterion),
        candidates=candidates,
        scores=scores,
        standard_errors=np.array([each.standard_error for each in results]),
        chosen=chosen,
        fold=parts.number,
        networks=folds * len(candidates) * seeds,
        activation=activation,
        criterion=criterion,
    )


def default_batch_size(n: int) -> int:
    """Rows a step: 32, and above 5,000 rows as many as make 160 steps an epoch, in powers of two, up to 1,024."""
    return 2 ** int(np.clip(np.log2(max(n, 1) / 160), 5, 10))


def default_epochs(n: int, batch_size: int) -> int:
    """As many as make 10,000 steps, from 20 to 400."""
    return int(np.clip(10_000 / -(-n // batch_size), 20, 400))


class _Found(NamedTuple):
    predictions: np.ndarray  # (candidates, n, outputs)
    params: Callable[[int], Params]  # of a candidate


def _search(prepared, hidden, candidates, seeds, settings, rng, progress) -> _Found:
    """Train a network for each candidate, fold and seed."""
    data, folds = prepared.data, prepared.data.x.shape[0]
    sizes = (data.x.shape[2], *hidden, data.y.shape[2])
    drawn = folds * seeds  # candidates differ in their numbers only
    first = np.repeat(starting_outputs(prepared), seeds, axis=0)
    params, keys = _drawn(rng, sizes, first), rng.integers(2**32, size=(drawn, 2), dtype=np.uint32)
    params, keys = jax.tree.map(lambda leaf: np.concatenate([leaf] * len(candidates)), (params, keys))
    rates, decays = (np.repeat(np.array(values, np.float32), drawn) for values in zip(*candidates, strict=True))
    fold = np.tile(np.repeat(np.arange(folds, dtype=np.int32), seeds), len(candidates))
    members = Members(params, jax.random.wrap_key_data(keys, impl="threefry2x32"), rates, decays, fold)
    params, outputs = train_members(members, data, settings, progress)

    unit = [prepared.targets[k].undone(rows) for k, rows in zip(fold, outputs, strict=True)]
    mean = np.stack(unit).reshape(len(candidates), folds, seeds, *outputs.shape[1:]).mean(axis=2)
    predictions = np.empty((len(candidates), len(prepared.folds.number), sizes[-1]))
    real = prepared.folds.test_weights > 0
    predictions[:, prepared.folds.test[real]] = mean[:, real]

    def of(candidate: int) -> Params:
        some = slice(candidate * drawn, (candidate + 1) * drawn)
        members = jax.tree.map(lambda leaf: leaf[some], params)
        return taken_in(members, [prepared.inputs[k] for k in fold[some]], [prepared.targets[k] for k in fold[some]])

    return _Found(predictions, of)


def _drawn(rng: np.random.Generator, sizes: tuple[int, ...], start: np.ndarray) -> Any:
    """Networks (members, …), NumPy; their outputs begin near `start` (members, outputs), a linear model's at it."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        scale = np.sqrt(2 / fan_in) if len(sizes) > 2 else 0  # He et al. 2015
        w = (scale * rng.normal(size=(len(start), fan_in, fan_out))).astype(np.float32)
        layers.append((w, np.zeros((len(start), 1, fan_out), np.float32)))
    layers[-1] = (layers[-1][0], start[:, None, :].astype(np.float32))
    return tuple(Layer(*layer) for layer in layers)


def _finite(name: str, values: Any) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "biuf" and values.dtype != jax.numpy.bfloat16:
        raise TypeError(f"{name} must hold real numbers; got {values.dtype}")
    values = values.astype(np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name} must have shape (n, columns), both at least 1; got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must hold finite numbers only")
    return values
