"""`fit` and its training loop."""

import re
import time
from functools import partial

import jax
import numpy as np
import pytest
from helpers import assert_close, assert_equal

import jaxmlp
from jaxmlp.fitting import loop, training
from jaxmlp.fitting.checkpoints import CheckpointError
from jaxmlp.fitting.metrics import root_mean_squared_error
from jaxmlp.fitting.state import FitData, empty_history
from jaxmlp.storage.files import StorageError

pytestmark = pytest.mark.portable

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
Y = np.sin(X[:, :1]) + X[:, 1:2]
PARAMS = jaxmlp.init_params(jax.random.key(1), (3, 4, 1), w_init=jax.nn.initializers.he_normal())
OPTIMIZER = jaxmlp.adam(0.05)

# Most tests share this one program.
fit = partial(
    jaxmlp.fit,
    PARAMS,
    X[:15],
    Y[:15],
    validation=(X[15:], Y[15:]),
    key=jax.random.key(7),
    optimizer=OPTIMIZER,
    batch_size=8,
)


def interrupt_from(epoch):
    def callback(state, history):
        assert history.loss.shape[-1] == np.max(state.epoch)
        if np.max(state.epoch) >= epoch:
            raise KeyboardInterrupt

    return callback


def assert_same_run(result, other):
    assert (result.best_epoch, result.stopped) == (other.best_epoch, other.stopped)
    assert_equal(result.params, other.params)
    assert_equal(result.history, other.history)


def test_fit_equals_fit_epochs_and_returns_the_best_parameters():
    result = fit(epochs=30)
    rows = np.arange(20)
    state = jaxmlp.init_fit(PARAMS, key=jax.random.key(7), optimizer=OPTIMIZER)
    state, history = jaxmlp.fit_epochs(state, X, Y, rows < 15, rows >= 15, optimizer=OPTIMIZER, epochs=30, batch_size=8)
    assert_close((result.params, tuple(result.history)), (state.best_params, tuple(history)), 1e-4)
    assert result.stopped == "epochs"
    assert result.best_epoch == np.argmin(result.history.validation_loss) + 1
    assert all(isinstance(values, np.ndarray) and values.shape == (30,) for values in result.history)


def test_the_length_of_chunks_changes_no_bit(monkeypatch):
    whole = fit(epochs=30, patience=9)
    lengths = []
    monkeypatch.setattr(loop, "_SECONDS", 0)
    in_single_epochs = fit(epochs=30, patience=9, callback=lambda state, history: lengths.append(len(history.loss)))
    assert lengths == list(range(1, len(lengths) + 1))
    assert_same_run(in_single_epochs, whole)


def test_patience_ends_a_run():
    result = fit(epochs=10_000, patience=3)
    assert result.stopped == "patience"
    assert len(result.history.loss) == result.state.epoch == result.best_epoch + 3


def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path, monkeypatch):
    whole = fit(epochs=30)
    monkeypatch.setattr(loop, "_SECONDS", 0)
    path = tmp_path / "run.safetensors"
    part = fit(epochs=30, checkpoint=path, resume=True, callback=interrupt_from(7))
    assert part.stopped == "interrupted"
    assert 7 <= part.state.epoch < 30
    assert_same_run(fit(epochs=30, checkpoint=path, resume=True), whole)
    # Resuming a complete run does nothing.
    assert_same_run(fit(epochs=30, checkpoint=path, resume=True, callback=interrupt_from(0)), whole)


def test_a_saved_state_continues_to_the_same_bits_in_a_run_with_the_same_structure(tmp_path):
    path, params = tmp_path / "run.state", fit(epochs=0).params
    run = partial(jaxmlp.fit_epochs, optimizer=OPTIMIZER, batch_size=8)
    table = X, Y, np.arange(20) < 15, np.arange(20) >= 15

    def start(optimizer=OPTIMIZER, params=params):
        return jaxmlp.init_fit(params, key=jax.random.key(2), optimizer=optimizer)

    whole, _ = run(start(), *table, epochs=9)
    jaxmlp.save_state(run(start(), *table, epochs=4)[0], path)
    resumed, _ = run(jaxmlp.load_state(path, start()), *table, epochs=5)
    assert_equal(resumed._replace(key=None), whole._replace(key=None))
    assert_equal(jax.random.key_data(resumed.key), jax.random.key_data(whole.key))
    for other in (start(jaxmlp.sgd()), start(params=params[1:])):
        with pytest.raises(CheckpointError, match="the state of another run"):
            jaxmlp.load_state(path, other)
    path.unlink()
    fit(epochs=1, checkpoint=path)
    with pytest.raises(CheckpointError, match=r"run\.state: not a state of jaxmlp"):
        jaxmlp.load_state(path, start())


def test_a_checkpoint_that_is_damaged_or_of_another_run_raises(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(epochs=1, checkpoint=path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]
    resumed = partial(fit, epochs=2, checkpoint=path, resume=True)
    others = {
        "key": {"key": jax.random.key(8)},
        "batch size": {"batch_size": 4},
        "data": {"validation": (X[15:], -Y[15:])},
        "optimizer": {"optimizer": jaxmlp.sgd()},
        "validation": {"validation": None},
    }
    for other in others.values():
        with pytest.raises(CheckpointError, match="the checkpoint of another run"):
            resumed(**other)
    content = path.read_bytes()
    for damaged in (b"", content[:9], content[:-1], b"x" * len(content)):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match=r"run\.safetensors is damaged"):
            resumed()
    with pytest.raises(StorageError, match=r"cannot write .*No such file or directory"):
        fit(epochs=1, checkpoint=tmp_path / "nowhere" / "run.safetensors")


@pytest.mark.extended
def test_each_member_of_an_ensemble_stops_by_itself(tmp_path, monkeypatch):
    ensemble = jaxmlp.init_ensemble(jax.random.key(3), (3, 4, 1), 3, w_init=jax.nn.initializers.he_normal())
    fits = partial(fit.func, ensemble, *fit.args[1:], **fit.keywords, epochs=60, patience=4)
    whole = fits()
    ran = [int(epoch) for epoch in whole.state.epoch]
    assert len(set(ran)) > 1
    assert whole.history.loss.shape == (3, max(ran))
    assert list(np.isfinite(whole.history.loss).sum(axis=1)) == ran
    assert [ran[k] == whole.best_epoch[k] + 4 for k in range(3)] == [reason == "patience" for reason in whole.stopped]
    keys = jax.random.split(jax.random.key(7), 3)
    for k in range(3):
        member = jax.tree.map(lambda leaf: leaf[k], ensemble)  # noqa: B023
        alone = fit.func(member, *fit.args[1:], **fit.keywords | {"key": keys[k]}, epochs=60, patience=4)
        assert_close(jax.tree.map(lambda leaf: leaf[k], whole.params), alone.params, 1e-4)  # noqa: B023
    path = tmp_path / "run.safetensors"
    monkeypatch.setattr(loop, "_SECONDS", 0)
    part = fits(checkpoint=path, callback=interrupt_from(3))
    assert "interrupted" in part.stopped
    assert_equal(fits(checkpoint=path, resume=True).params, whole.params)


def test_the_key_draws_the_validation_rows():
    def split(seed, fraction=0.25):
        numbers = np.arange(20.0)[:, None]
        rows = FitData(numbers, numbers, np.arange(20.0))
        return training._split_rows(PARAMS, jax.random.key(seed), rows, fraction)

    data = split(0)
    np.testing.assert_array_equal(data.x, data.y)
    np.testing.assert_array_equal(data.x[:, 0], data.sample_weight)
    np.testing.assert_array_equal(data.x_valid[:, 0], data.valid_weight)
    assert sorted([*data.sample_weight, *data.valid_weight]) == list(range(20))
    assert len(data.x_valid) == 5
    assert_equal(split(0), data)
    assert list(split(1).valid_weight) != list(data.valid_weight)
    for fraction in (0.99, 1.5, -1):
        with pytest.raises(
            ValueError, match=f"validation: fraction must leave rows on both sides; got {fraction} of 20 rows"
        ):
            split(0, fraction)


def test_a_run_that_diverges_keeps_the_last_finite_parameters():
    result = jaxmlp.fit(PARAMS, X, Y, key=jax.random.key(0), optimizer=jaxmlp.sgd(1e3), epochs=50, batch_size=8)
    assert result.stopped == "not finite"
    assert len(result.history.loss) == result.state.epoch + 1
    assert np.isinf(result.history.loss[-1])
    assert np.isfinite(result.history.loss[:-1]).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.params))


def test_a_custom_criterion_has_no_metric_unless_it_is_given():
    criterion = jaxmlp.Criterion(
        lambda outputs, y: jaxmlp.squared_error.fn(outputs, y), jaxmlp.squared_error.derivative
    )
    assert fit(epochs=2, criterion=criterion).history.metric is None
    history = fit(epochs=2, criterion=criterion, metric=root_mean_squared_error).history
    np.testing.assert_allclose(history.metric**2, history.validation_loss, rtol=1e-6)


@pytest.mark.extended
def test_members_of_an_ensemble_are_split_over_the_devices():
    ensemble = jaxmlp.init_ensemble(jax.random.key(3), (3, 4, 1), 16)
    result = fit.func(ensemble, *fit.args[1:], **fit.keywords, epochs=2)
    for leaf in jax.tree.leaves(result.params):
        assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {2}


@pytest.mark.extended
def test_a_deadline_ends_a_run_between_two_epochs():
    state = jaxmlp.init_fit(PARAMS, key=jax.random.key(7), optimizer=OPTIMIZER)
    data = FitData(X.astype(np.float32), Y.astype(np.float32))
    options = {"batch_size": 8, "patience": None, "activation": jaxmlp.relu, "criterion": jaxmlp.squared_error}
    run = loop.prepare_run(state, data, optimizer=OPTIMIZER, metric=None, **options)

    def end_at(deadline):
        history = empty_history(state, data, None)
        return loop.run_chunks(run, state, history, epochs=10**9, patience=None, deadline=deadline)

    after, history, interrupted = end_at(time.monotonic() - 1)
    assert (after.epoch, history.loss.size, interrupted) == (0, 0, False)
    after, history, interrupted = end_at(time.monotonic() + 1)
    assert 0 < after.epoch == history.loss.size < 10**9
    assert not interrupted


@pytest.mark.extended
def test_a_result_prints_in_a_notebook_cell():
    text = repr(fit(epochs=3))
    assert re.fullmatch(
        r"FitResult\(network 3-4-1, 3 epochs, best_epoch=\d, stopped='epochs', last epoch: loss=\S+, "
        r"validation_loss=\S+, metric=\S+\)", text
    )  # fmt: skip
    ensemble = jaxmlp.init_ensemble(jax.random.key(3), (3, 4, 1), 16)
    text = repr(fit.func(ensemble, *fit.args[1:], **fit.keywords, epochs=2))
    assert text.startswith("FitResult(16 networks 3-4-1, 2 epochs, best_epoch=")
    assert "stopped={'epochs': 16}" in text


def test_progress_prints_nothing_without_a_terminal(capfd):
    fit(epochs=2, progress=True)
    assert capfd.readouterr() == ("", "")


def test_it_does_not_run_under_a_transformation():
    keys, refused = jax.random.split(jax.random.key(0), 2), partial(pytest.raises, TypeError)
    loop = "fit is a Python loop, which jit, vmap, grad and checkify cannot trace; use fit_epochs"
    with refused(match=loop):
        jax.jit(lambda x: fit.func(PARAMS, x, Y, **fit.keywords, epochs=1))(X)
    with refused(match=loop):
        jax.jit(lambda: fit(epochs=1))()
    with refused(match=loop):
        jax.vmap(lambda key: fit(key=key, validation=0.2, epochs=1))(keys)
    with refused(match=loop):
        jax.grad(lambda rate: fit(optimizer=jaxmlp.adam(rate), epochs=1).history.loss[0])(0.1)
    with refused(match="cross_validate is a Python loop"):
        jax.jit(lambda x: jaxmlp.cross_validate(x, Y, key=jax.random.key(0)))(X)
    with refused(match="cross_validate is a Python loop"):
        jax.vmap(lambda key: jaxmlp.cross_validate(X, Y, key=key))(keys)


def test_contradictory_arguments_raise():
    with pytest.raises(ValueError, match="patience must be None without validation"):
        fit(epochs=1, validation=None, patience=2)
    with pytest.raises(ValueError, match="resume must be False without a checkpoint"):
        fit(epochs=1, resume=True)
    with pytest.raises(ValueError, match=r"validation must hold x, y and perhaps sample_weight; got 1"):
        fit(epochs=1, validation=(X,))
    with pytest.raises(ValueError, match=r"validation: y must have shape \(n, outputs\) = \(20, 1\)"):
        fit(epochs=1, validation=(X, Y[:5]))
    for validation in ([X, Y], "0.2", X):
        with pytest.raises(TypeError, match="validation must be a fraction between 0 and 1, or a tuple"):
            fit(epochs=1, validation=validation)
    with pytest.raises(ValueError, match="validation: fraction must leave rows on both sides; got nan"):
        fit(epochs=1, validation=float("nan"))
