"""Epochs of mini-batches: steps, order of rows, sample weights, early stopping."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_close
from helpers import run as jitted

import jaxmlp
from jaxmlp.ensembles import prediction
from jaxmlp.fitting import batches, epochs, metrics
from jaxmlp.fitting.loop import prepare_run
from jaxmlp.fitting.optimizers import OPTIMIZERS, adam, optimizer_step, sgd
from jaxmlp.fitting.state import FitData

pytestmark = pytest.mark.portable

KEY = jax.random.key(7)
SIZES, N, BATCH = (3, 4, 1), 20, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).astype(np.float32)
Y = (np.sin(X[:, :1]) + X[:, 1:2] + 0.3 * RNG.normal(size=(N, 1))).astype(np.float32)
PARAMS = jaxmlp.init_params(jax.random.key(1), SIZES, w_init=jax.nn.initializers.he_normal())
ENSEMBLE = jaxmlp.init_ensemble(jax.random.key(1), SIZES, 2)
# The last five rows validate.
TRAIN, VALID = (np.arange(N) < 15).astype(np.float32), (np.arange(N) >= 15).astype(np.float32)

# Most tests share this program: Adam, batches of 8, validation by weights.
run = partial(jaxmlp.fit_epochs, optimizer=adam(), batch_size=BATCH)


def start(optimizer=None, params=PARAMS, key=KEY):
    return jaxmlp.init_fit(params, key=key, optimizer=optimizer or adam(0.01))


def bits(tree):
    def plain(leaf):
        return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return [np.asarray(plain(leaf)).tobytes() for leaf in jax.tree.leaves(tree)]


def test_parameters_of_numpy_are_copied_without_a_program(caplog):
    given = tuple((np.ones((64, 64), np.float32), np.ones((1, 64), np.float32)) for _ in range(2))
    params = tuple(jaxmlp.Layer(*layer) for layer in given)
    with jax.log_compiles():
        state = start(params=params)
    assert not [record for record in caplog.records if "Compiling" in record.getMessage()]
    for w, _ in given:
        w[:] = 5
    assert all((np.asarray(leaf) == 1).all() for leaf in jax.tree.leaves(state.params))


def test_an_ensemble_of_numpy_is_copied():
    given = jax.tree.map(np.array, ENSEMBLE)
    state = start(params=given)
    given[0].w[:] = 5
    np.testing.assert_array_equal(state.params[0].w, ENSEMBLE[0].w)


@jax.jit
def gradients(params, x, y, c):
    return jax.grad(lambda params: jaxmlp.loss(params, x, y, c / c.sum()))(params)


def descend(order_of, epochs, weights, rate):
    """Return the network after plain mini-batch gradient descent with jax.grad, rows in the given order."""
    params = PARAMS
    for epoch in range(epochs):
        order = order_of(epoch)
        for first in range(0, len(order), BATCH):
            rows = np.asarray(order[first : first + BATCH])
            padded = np.pad(rows, (0, BATCH - len(rows)))
            grads = gradients(params, X[padded], Y[padded], np.pad(weights[rows], (0, BATCH - len(rows))))
            params = jax.tree.map(lambda p, dp: p - rate * dp, params, grads)
    return params


def drawn_order(epoch, rows=N):
    return np.argsort(np.asarray(jax.random.bits(jax.random.fold_in(KEY, epoch), (rows,))) >> 1, kind="stable")


def test_an_epoch_uses_every_row_once_in_a_new_order():
    assert sorted(drawn_order(0)) == list(range(N))
    assert list(drawn_order(0)) != list(drawn_order(1))
    state, _ = jaxmlp.fit_epochs(start(sgd(0.1, momentum=0)), X, Y, optimizer=sgd(), epochs=2, batch_size=BATCH)
    assert_close(state.params, descend(drawn_order, 2, np.ones(N, np.float32), 0.1))


def test_rows_are_sorted_by_their_numbers_and_equal_numbers_by_row():
    numbers = np.array([3, 2**32 - 1, 0, 3, 2**31, 0, 2**32 - 1, 2**31 - 1], np.uint32)
    for form in (batches._sort_rows, batches._sort_rows_as_pairs):
        rows = jax.vmap(form)(np.stack([numbers, np.zeros_like(numbers)]))
        assert rows.dtype == np.int32
        np.testing.assert_array_equal(rows, [[2, 5, 0, 3, 7, 4, 1, 6], range(8)])


def test_rows_of_weight_0_may_hold_anything():
    weights, x, y = np.ones(N, np.float32), X.copy(), Y.copy()
    weights[2], x[2], y[2] = 0, np.nan, np.inf
    state, history = run(start(), x, y, weights, weights, epochs=2)
    other, expected = run(start(), X, Y, weights, weights, epochs=2)
    assert not state.diverged
    assert bits((state.params, history)) == bits((other.params, expected))


def test_rows_of_weight_0_come_last_and_make_no_step():
    weights = np.where(np.arange(N) % 3 == 0, 0, np.linspace(0.5, 2, N)).astype(np.float32)
    train = partial(jaxmlp.fit_epochs, optimizer=sgd(), epochs=2, batch_size=BATCH)
    state, history = train(start(sgd(0.1, momentum=0)), X, Y, weights)
    expected = descend(lambda epoch: [row for row in drawn_order(epoch) if weights[row] > 0], 2, weights, 0.1)
    assert_close(state.params, expected)

    # The values in these rows do not matter.
    other = np.where(weights[:, None] > 0, X, 1e3)
    assert bits(train(start(sgd(0.1, momentum=0)), other, Y, weights)) == bits((state, history))

    # Nor does their number: 5 of them make a third batch, in which the optimizer does nothing.
    few = (np.arange(N) < 15).astype(np.float32)
    state, _ = train(start(sgd(0.1)), X, Y, few)
    same, _ = train(start(sgd(0.1, momentum=0)), X, Y, few)
    assert_close(same.params, descend(partial(drawn_order, rows=15), 2, few, 0.1))
    assert state.opt_state.step == 2 * 2


def test_the_full_batch_equals_train_with_a_mean_loss_and_weight_2_a_repeated_row():
    rows, once = np.r_[np.arange(N), np.arange(5)], np.ones(N + 5, np.float32)
    twice = np.r_[np.full(5, 2), np.ones(15), np.zeros(5)].astype(np.float32)
    full = partial(jaxmlp.fit_epochs, x=X[rows], y=Y[rows], optimizer=sgd(), epochs=5)
    state, history = full(start(sgd(0.1, momentum=0)), sample_weight=once)
    params, losses = jaxmlp.train(PARAMS, X[rows], Y[rows], 0.1, once / 25, epochs=5)
    assert_close(state.params, params)
    assert_close(history.loss, losses)
    assert history.validation_loss is None
    assert history.metric is None
    assert_close(full(start(sgd(0.1, momentum=0)), sample_weight=twice)[0].params, params)


@pytest.mark.parametrize("length", [1, 7])
def test_chunks_of_any_length_give_the_same_bits(length):
    whole, history = run(start(), X, Y, TRAIN, VALID, epochs=20)
    state, parts = start(), []
    for first in range(0, 20, length):
        state, part = run(state, X, Y, TRAIN, VALID, epochs=min(length, 20 - first))
        parts.append(part)
    assert bits(state) == bits(whole)
    assert bits(jax.tree.map(lambda *parts: np.concatenate(parts), *parts)) == bits(history)


def test_early_stopping_keeps_the_best_parameters_and_then_changes_nothing():
    patient = partial(run, x=X, y=Y, sample_weight=TRAIN, validation_sample_weight=VALID, patience=5)
    state, history = patient(start(adam(0.1)), epochs=100)
    losses = np.asarray(history.validation_loss)
    ran = int(state.epoch)
    assert ran < 100
    assert np.isnan(losses[ran:]).all()
    assert np.isfinite(losses[:ran]).all()
    assert state.best_epoch == np.argmin(losses[:ran]) + 1 == ran - 5
    assert state.best_loss == losses[:ran].min()
    best, _ = patient(start(adam(0.1)), epochs=int(state.best_epoch))
    assert bits(best.params) == bits(state.best_params)
    assert bits(patient(state, epochs=3)[0]) == bits(state)
    outputs = jaxmlp.forward(state.best_params, X[15:])
    np.testing.assert_allclose(state.best_loss, np.mean((outputs - Y[15:]) ** 2), rtol=1e-5)
    np.testing.assert_allclose(history.metric[state.best_epoch - 1], np.sqrt(state.best_loss), rtol=1e-5)


@pytest.mark.extended
def test_an_ensemble_of_fits_is_a_vmap():
    rates = jnp.asarray([0.1, 0.003, 1e30])
    keys = jax.random.split(KEY, 3)
    starts = jax.vmap(lambda key, rate: start(adam(rate), key=key))(keys, rates)
    fits = jax.vmap(partial(run, epochs=40, patience=5), (0, None, None, None, None))
    states, histories = fits(starts, X, Y, TRAIN, VALID)
    assert list(np.asarray(states.diverged)) == [False, False, True]
    assert states.epoch[0] < 40
    for k in (0, 1):
        alone, history = run(start(adam(rates[k]), key=keys[k]), X, Y, TRAIN, VALID, epochs=40, patience=5)
        assert states.epoch[k] == alone.epoch
        assert_close(jax.tree.map(lambda leaf: leaf[k], states.best_params), alone.best_params, 1e-4)  # noqa: B023
        np.testing.assert_allclose(histories.loss[k], history.loss, rtol=1e-4)
    members, measured = run(starts, X, Y, TRAIN, VALID, epochs=40, patience=5)  # in turn, without vmap
    assert_close(members.best_params, states.best_params, 1e-4)
    assert measured.loss.shape == (3, 40)


def test_a_loss_that_is_not_finite_ends_the_run():
    state, history = run(start(sgd(1e3)), X, Y, epochs=50, optimizer=sgd())
    assert state.diverged
    failed = int(state.epoch)
    assert np.isinf(history.loss[failed])
    assert np.isnan(history.loss[failed + 1 :]).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert bits(run(start(sgd(1e3)), X, Y, epochs=failed, optimizer=sgd())[0].params) == bits(state.params)
    assert bits(run(state, X, Y, epochs=50, optimizer=sgd())[0]) == bits(state)


def test_one_value_that_is_not_finite_is_found_among_thousands():
    is_finite = jax.jit(epochs._all_finite)
    largest = np.finfo(np.float32).max
    for place in (0, 1, 100, 7499, 7500):
        for value in (np.nan, np.inf, -np.inf, largest):
            layer = jaxmlp.Layer(np.full((75, 100), -largest), np.zeros((1, 1), np.float32))
            layer[place // 7500].flat[place % 7500] = value
            assert is_finite((layer,)) == (value == largest), (place, value)


def test_other_hyperparameters_do_not_recompile():
    run(start(), X, Y, TRAIN, VALID, epochs=20, patience=5)
    before = epochs._run.programs.count()
    run(start(adam(0.5, weight_decay=0.1)), X, Y, VALID, TRAIN, epochs=20, patience=3)
    run(start(adam(jnp.float32(0.5))), X, Y, TRAIN, VALID, epochs=20, optimizer=adam(0.2), patience=9)
    assert epochs._run.programs.count() == before
    assert adam(1.0) == adam(2.0) != sgd(1.0)
    assert len({adam(1.0), adam(2.0), sgd(1.0)}) == 2


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_our_optimizers_are_optaxs(kind):
    def mask(params):
        return tuple(jaxmlp.Layer(True, False) for _ in params)

    theirs = {
        "adam": optax.adamw(0.02, weight_decay=0.1, mask=mask),
        "sgd": optax.chain(optax.trace(0.9), optax.add_decayed_weights(0.1, mask), optax.scale_by_learning_rate(0.02)),
    }[kind]

    def two_steps(optimizer, params):
        state = optimizer.init(params)
        for grads in (params, jax.tree.map(jnp.sin, params)):
            params, state = optimizer_step(optimizer, params, grads, state)
        return params

    ours = OPTIMIZERS[kind](0.02, weight_decay=0.1)
    assert_close(jitted(partial(two_steps, ours), PARAMS), jitted(partial(two_steps, theirs), PARAMS))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_a_run_keeps_the_dtype_of_its_network(dtype, x64):
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), PARAMS)
    state, history = jax.eval_shape(partial(run, epochs=2), start(params=params), X, Y, TRAIN, VALID)
    kept = (state.params, state.best_params, state.best_loss, history)
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {np.dtype(dtype)}


def test_a_state_belongs_to_its_optimizer_and_its_network():
    other = jaxmlp.init_params(KEY, (3, 7, 1))
    for state in (start(sgd()), start(optax.adam(1e-3)), start()._replace(params=other), start(sgd(), ENSEMBLE)):
        with pytest.raises(ValueError, match="state must be one that init_fit made with this optimizer"):
            run(state, X, Y, epochs=1)
    with pytest.raises(ValueError, match="state must be one that init_fit made with this optimizer"):
        jaxmlp.fit_epochs(start(optax.sgd(0.1)), X, Y, optimizer=optax.adam(1e-3), epochs=1)
    with pytest.raises(TypeError, match=r"state must be a FitState, as init_fit .*; got tuple"):
        run(PARAMS, X, Y, epochs=1)
    with pytest.raises(TypeError, match=r"optimizer must be a pair of functions .*; got str; pass jaxmlp\.adam\(\)"):
        run(start(), X, Y, epochs=1, optimizer="adam")


@pytest.mark.extended
def test_reverse_mode_is_refused_and_forward_mode_works():
    def last_loss(rate):
        return run(start(adam(rate)), X, Y, epochs=3)[1].loss[-1]

    for gradient in (jax.grad(last_loss), jax.jit(jax.grad(last_loss)), lambda rate: jax.vjp(last_loss, rate)):
        with pytest.raises(TypeError, match=r"fit_epochs cannot run under jax\.grad .*jax\.jvp .*train"):
            gradient(0.01)
    slope = jax.jacfwd(last_loss)(0.01)
    steps = [float(last_loss(rate)) for rate in (0.011, 0.009)]
    np.testing.assert_allclose(slope, (steps[0] - steps[1]) / 0.002, rtol=0.02)


def test_wrong_arguments_raise():
    with pytest.raises(TypeError, match=r"search along a line.*value_fn"):
        start(optax.lbfgs())
    with pytest.raises(TypeError, match="optimizer must be a pair of functions"):
        start("adam")
    with pytest.raises(ValueError, match="patience must be None without validation_sample_weight"):
        run(start(), X, Y, epochs=1, patience=2)
    with pytest.raises(ValueError, match=r"batch_size.*at least 1"):
        run(start(), X, Y, epochs=1, batch_size=0)
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(n,\) = \(20,\)"):
        run(start(), X, Y, TRAIN, VALID[:3], epochs=1)
    with pytest.raises(ValueError, match=r"y must have shape"):
        run(start(), X, Y[:, 0], epochs=1)
    with pytest.raises(TypeError, match=r"criterion must be a jaxmlp\.Criterion"):
        run(start(), X, Y, epochs=1, criterion=optax.squared_error)


@pytest.mark.extended
def test_many_rows_are_evaluated_in_blocks(monkeypatch):
    arguments = PARAMS, jnp.asarray(X), jnp.asarray(Y), jnp.asarray(VALID), (jaxmlp.relu,)
    evaluate = partial(batches.evaluate, criterion=jaxmlp.squared_error, metric=metrics.root_mean_squared_error)
    whole = evaluate(*arguments)
    monkeypatch.setattr(prediction, "BLOCK", 8)
    np.testing.assert_allclose(evaluate(*arguments), whole, rtol=1e-6)


@pytest.mark.extended
@pytest.mark.parametrize("members", [2, 11])
def test_each_member_trains_on_its_fold(members):
    fold = np.arange(members, dtype=np.int32) % 2
    rows = np.stack([np.roll(np.arange(N), k) for k in range(2)])
    data = FitData(X[rows[:, :15]], Y[rows[:, :15]], None, X[rows[:, 15:]], Y[rows[:, 15:]])
    options = {"optimizer": adam(), "batch_size": BATCH, "patience": 5}
    options |= {"activation": jaxmlp.relu, "criterion": jaxmlp.squared_error, "metric": None}
    state = start(params=jaxmlp.init_ensemble(jax.random.key(1), SIZES, members))
    run_folds = prepare_run(state, data, fold=fold, **options)
    after, history = run_folds(state, epochs=6)
    assert history.metric is None
    for k in (0, members - 1):
        own = jax.tree.map(lambda leaf: leaf[k], state)  # noqa: B023
        alone, expected = epochs.run_epochs(own, jax.tree.map(lambda rows: rows[fold[k]], data), 6, **options)  # noqa: B023
        assert_close(jax.tree.map(lambda leaf: leaf[k], after.best_params), alone.best_params, 1e-4)  # noqa: B023
        np.testing.assert_allclose(history.validation_loss[k], expected.validation_loss, rtol=1e-4)
    half, _ = run_folds(run_folds(state, epochs=2)[0], epochs=4)
    assert bits(half) == bits(after)
