"""Epochs of mini-batches as one pure, compiled function, which composes with jit, vmap and sharding.

`fit_epochs(state, …)` continues a run from `state`; stopping and resuming does not change the result.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.core import Tracer
from jax.sharding import Mesh
from jax.tree_util import Partial
from jax.typing import ArrayLike

from jaxmlp._dispatch import as_array, params_dtype
from jaxmlp._programs import SHORT, bounded_jit
from jaxmlp._validation import cast, describe, validate, validate_count, validate_data, validate_functions
from jaxmlp.activations import Activation, identity, relu
from jaxmlp.criteria import Criterion, squared_error
from jaxmlp.ensembles.members import map_members
from jaxmlp.fitting.batches import Encode, choose, evaluate, on_each_device, train_epoch
from jaxmlp.fitting.metrics import Metric
from jaxmlp.fitting.optimizers import Optimizer, require_optimizer, validate_opt_state
from jaxmlp.fitting.state import (
    FitData,
    FitState,
    History,
    advance_best_loss,
    empty_history,
    is_running,
    mark_history,
)
from jaxmlp.fitting.tasks import CRITERION_TASKS
from jaxmlp.network import Params

# One compiled program runs any number of epochs up to this; its history has as many entries.
CAPACITY = 128
# A run of a network is short up to this number of rows times weights.
SHORT_WORK = 2e7


class Statics(NamedTuple):
    """What `jax.jit` compiles a program for."""

    capacity: int
    optimizer: Optimizer
    batch_size: int | None
    activation: Activation | tuple[Activation, ...]
    criterion: Criterion
    metric: Metric | None
    shuffle: bool = True


def fit_epochs(
    state: FitState,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    validation_sample_weight: ArrayLike | None = None,
    *,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None = None,
    patience: int | None = None,
    activation: Activation | tuple[Activation, ...] = relu,
    criterion: Criterion = squared_error,
    metric: Metric | None = None,
    encode: Encode | None = None,
) -> tuple[FitState, History]:
    """Run epochs of mini-batches; each epoch uses every row once and, with a batch size, in a new order.

    The loss of a batch is the weighted mean over its rows. Rows of weight 0 do not train: they come after all others,
    and a batch that holds nothing else is left out. Tables can therefore be padded with such rows. A run stops, and its
    state stays as it is, once the validation loss has not improved for `patience` epochs, or before an epoch whose loss
    or parameters are not finite.

    Arguments:
        state: of `init_fit`, or of earlier epochs; of an ensemble, each member trains on all rows.
        x: (n, fan_in) inputs.
        y: (n, outputs) targets.
        sample_weight: (n,) weights of the rows in training; None for all ones.
        validation_sample_weight: (n,) weights of the same rows in validation; None for no validation.
        optimizer: the one that `state` was made with; static under jit, so build it once.
        epochs: number of epochs to run, at most.
        batch_size: rows a step; None for all rows, in their own order.
        patience: number of epochs without a lower validation loss after which to stop; None for never.
        activation: one for all hidden layers, or a tuple with one for each.
        criterion: the loss of a row.
        metric: maps predictions, targets (both (n, outputs)) and weights (n,) to a scalar; None for the metric of the
            criterion, which a custom criterion does not have.
        encode: a pure function that maps rows (batch, columns) of x to inputs (batch, fan_in) of the network. It is
            applied to each batch, so that only the rows themselves are kept in memory. A `jax.tree_util.Partial` may
            hold arrays, which are traced; any other function is static. None for rows as they are.

    Returns:
        The state after the last epoch, and the `History` of these epochs; of an ensemble, both have a member axis.

    Raises:
        ValueError: a shape that does not fit; patience without validation_sample_weight; a state of another optimizer.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes; reverse-mode autodiff.
    """
    if not isinstance(state, FitState):
        raise TypeError(f"state must be a FitState, as init_fit and load_state return; got {describe(state)}")
    _refuse_reverse_mode((state, x, y, sample_weight, validation_sample_weight))
    epochs = validate_count("epochs", epochs, at_least=0)
    if patience is not None and validation_sample_weight is None:
        raise ValueError("patience must be None without validation_sample_weight: it waits for the validation loss")
    patience = None if patience is None else validate_count("patience", patience, at_least=1)
    dtype = params_dtype(state.params)
    x, y = as_array("x", x, dtype), as_array("y", y, dtype)
    data = FitData(x, y, None if sample_weight is None else as_array("sample_weight", sample_weight, dtype))
    if validation_sample_weight is not None:
        weight = as_array("validation_sample_weight", validation_sample_weight, dtype)
        data = data._replace(x_valid=x, y_valid=y, valid_weight=weight)
    after, history = run_epochs(
        state, data, epochs, optimizer=optimizer, batch_size=batch_size, patience=patience, activation=activation,
        criterion=criterion, metric=metric or default_metric(criterion), encode=encode,
    )  # fmt: skip
    before, end = (s._replace(params=(), opt_state=(), key=None, best_params=()) for s in (state, after))
    finds_nan: bool = jax.config.jax_debug_nans  # type: ignore[attr-defined]
    if finds_nan and not isinstance(after.epoch, Tracer):  # It does not look at what NumPy computes.
        return after, jax.device_put(mark_history(history, before, end, epochs))
    return after, _mark_history(history, before, end, epochs)


def run_epochs(
    state: FitState,
    data: FitData,
    epochs: int | Array,
    *,
    fold: ArrayLike | None = None,
    optimizer: Optimizer,
    batch_size: int | None,
    patience: ArrayLike | None,
    activation: Activation | tuple[Activation, ...],
    criterion: Criterion,
    metric: Metric | None,
    shuffle: bool = True,
    l2: ArrayLike | None = None,
    advance: Callable[..., FitState] | None = None,
    encode: Encode | None = None,
    mesh: Mesh | None = None,
) -> tuple[FitState, History]:
    """Run `fit_epochs` for one network or an ensemble; the history has at least `CAPACITY` entries.

    One program runs any number of epochs up to `CAPACITY`; for more, there is one for each power of two. A traced
    number of epochs must not exceed `CAPACITY`. `epochs`, `patience`, `l2` and the arrays of `encode` and
    `advance` are traced: other values do not recompile.

    Arguments:
        state: of a network or, with a leading member axis, an ensemble.
        data: the rows; their dtype is that of the network.
        epochs: number of epochs to run, at most.
        fold: (members,) int32: member k uses `data` at `fold[k]`; None for data without an axis of folds.
        optimizer: as in `fit_epochs`.
        batch_size: as in `fit_epochs`.
        patience: as in `fit_epochs`.
        activation: as in `fit_epochs`.
        criterion: as in `fit_epochs`.
        metric: None for none.
        shuffle: as in `train_epoch`.
        l2: the penalty of `train_epoch`.
        advance: maps the state before an epoch, the parameters and the state of the optimizer after it, and the
            `History` of this epoch to the next state; a `Partial` may hold arrays. None for `advance_best_loss`.
        encode: as in `fit_epochs`; if `fold` is given, its arrays have an axis of folds too.
        mesh: the mesh of `split_members`, if it has split state and fold, and copied data; for a single network, the
            mesh over which to split the rows of each step.

    Returns:
        The state, and the history, for `mark_history`: 0 where no epoch was run.
    """
    capacity = CAPACITY if isinstance(epochs, Array) else max(CAPACITY, 1 << (epochs - 1).bit_length())
    validate_functions(activation, criterion)
    require_optimizer(optimizer)
    batch_size = None if batch_size is None else validate_count("batch_size", batch_size, at_least=1)
    statics = Statics(capacity, optimizer, batch_size, activation, criterion, metric, shuffle)
    if encode is not None and not isinstance(encode, Partial):
        encode = Partial(encode)
    if not isinstance(advance, Partial):
        advance = Partial(advance or advance_best_loss)
    run = partial(_run, compiler_options=SHORT) if mesh is None and _is_short(state, data, activation) else _run
    return run(state, fold, data, epochs, patience, l2, advance, encode, statics, mesh)


def default_metric(criterion: Criterion) -> Metric | None:
    """Return the metric of a built-in criterion, None for a custom one."""
    return CRITERION_TASKS[criterion].metric if criterion in CRITERION_TASKS else None


def _is_short(state: FitState, data: FitData, activation: Activation | tuple[Activation, ...]) -> bool:
    """Return whether a single network is so small that some hundred epochs take less time than compiling them.

    Not by the number of epochs: a run that is stopped and resumed keeps its program, and so its rounding.
    """
    functions = set(activation) if isinstance(activation, tuple) else {activation}
    is_cheap = functions <= {identity, relu}  # Others, with exponentials, take twice as long with `SHORT`.
    if state.epoch.ndim or data.x.ndim != 2 or not is_cheap:
        return False
    return data.x.shape[0] * sum(w.size for w, _ in state.params) <= SHORT_WORK


@bounded_jit(3)
def _mark_history(history, before, after, epochs):
    return mark_history(history, before, after, epochs, jnp)


@bounded_jit(8, 9)
def _run(state, fold, data, epochs, patience, l2, advance, encode, statics, mesh):
    is_single = state.epoch.ndim == 0

    def run_member(own, shared):
        state, fold = own
        (data, encode), numbers = shared
        if fold is not None:
            data, encode = jax.tree.map(lambda leaf: leaf[fold], (data, encode))
        return _run_member(state, data, encode, numbers, statics, mesh if is_single else None)

    own, shared = (state, fold), ((data, encode), (epochs, patience, l2, advance))
    if not is_single:
        return map_members(run_member, own, shared, mesh)
    return (run_member if mesh is None else on_each_device(run_member, mesh))(own, shared)


def _run_member(state, data, encode, numbers, statics, mesh):
    epochs, patience, l2, advance = numbers
    if encode is None:
        encode = Partial(lambda rows: rows)
    (x, y, c, f), valid = validate_member(state, data, encode, statics)
    first = state.epoch

    def epoch(carry):
        state, history = carry
        key = jax.random.fold_in(state.key, state.epoch)
        *trained, losses, totals = train_epoch(
            state.params, state.opt_state, key, x, y, c, f, statics.criterion,
            optimizer=statics.optimizer, batch_size=statics.batch_size, l2=l2, shuffle=statics.shuffle, encode=encode,
            mesh=mesh,
        )  # fmt: skip
        loss = (losses / totals).astype(x.dtype)
        after, measured = end_epoch(state, trained, loss, valid, f, statics, encode, advance)
        history = jax.tree.map(lambda values, new: values.at[state.epoch - first].set(new), history, measured)
        return after, history

    history = jax.tree.map(jnp.asarray, empty_history(state, data, statics.metric, statics.capacity))
    # Not a scan, which for one epoch compiles to other code: epochs run one by one would be rounded differently. Under
    # vmap it ends with the last member that runs, while those that stopped stay as they are.
    last = first + epochs
    return lax.while_loop(lambda carry: is_running(carry[0], last, patience), epoch, (state, history))


def validate_member(state, data, encode, statics):
    """Return the validated rows and activations, and the validation rows or None, of one network."""
    criterion, dtype = statics.criterion, state.params[0].w.dtype
    # Only the shapes of these inputs are used, so they are never computed.
    x = cast("x", data.x, dtype)
    _, _, y, c, f = validate(state.params, encode(x), data.y, data.sample_weight, statics.activation, criterion)
    validate_opt_state(statics.optimizer, state.params, state.opt_state)
    if data.x_valid is None:
        return (x, y, c, f), None
    x_valid = cast("x", data.x_valid, dtype)
    return (x, y, c, f), (x_valid, *validate_data(state.params, encode(x_valid), data.y_valid, data.valid_weight)[1:])


def end_epoch(state, trained, loss, valid, f, statics, encode, advance):
    """Return the state after an epoch, and its `History`.

    The epoch began with `state`, and ended with these parameters and this state of the optimizer.
    """
    params, opt_state = trained
    finite = jnp.isfinite(loss) & _all_finite(params)
    validation_loss, value = None, None
    if valid is not None:
        x, y, c = valid
        validation_loss, value = evaluate(params, x, y, c, f, statics.criterion, statics.metric, encode)
    after = advance(state, params, opt_state, History(loss, validation_loss, value))
    after = choose(finite, after._replace(key=None), state._replace(key=None, diverged=~state.diverged))
    return after._replace(key=state.key), History(jnp.where(finite, loss, jnp.inf), validation_loss, value)


def _all_finite(params: Params) -> Array:
    # 0 times a number that is not finite is NaN. One sum takes less time to compile than `isfinite` of all. The largest
    # value would not do: XLA on a CPU takes it from a library that ignores NaN.
    values = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])
    return jnp.sum(0 * values) == 0


def _refuse_reverse_mode(arguments: object) -> None:
    """Refuse `jax.grad` here, because JAX would only say that a while loop has no reverse mode."""
    if any(type(leaf).__name__ == "LinearizeTracer" for leaf in jax.tree.leaves(arguments)):
        raise TypeError(
            "fit_epochs cannot run under jax.grad or jax.vjp, because the number of its epochs is not known in "
            "advance: use jax.jvp or jax.jacfwd, or differentiate train"
        )
