"""update, train_step and train."""

import inspect
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_equal, problem, relative_error, run
from reference import numpy_tutorial, tutorial_problem

import jaxmlp
from jaxmlp import _dispatch, train, train_step, update
from jaxmlp.tutorial import LEARNING_RATE

pytestmark = pytest.mark.core

# The one call that most tests make: its program is compiled once.
PARAMS, X, Y, WEIGHTS = problem()
EPOCHS = 20


@pytest.fixture(scope="module")
def tutorial_data():
    weights, x, y = tutorial_problem()
    w1, b1, w2, b2 = weights
    to_jax = lambda tree: jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), tree)  # noqa: E731
    return to_jax(((jaxmlp.Layer(w1, b1), jaxmlp.Layer(w2, b2)), x, y))


def test_update_moves_against_the_gradient(x64):
    params, *_ = problem(dtype="float64")
    moved = update(params, params, 0.25)
    assert_equal(moved, jax.tree.map(lambda leaf: leaf - 0.25 * leaf, params))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_train_equals_the_numpy_transcription_over_200_epochs(dtype, tolerance, optimised):
    weights, x, y = tutorial_problem()
    expected_losses, expected = numpy_tutorial(*weights, x, y)
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        w1, b1, w2, b2, x, y = (jnp.asarray(v, dtype) for v in (*weights, x, y))
        params, losses = train((jaxmlp.Layer(w1, b1), jaxmlp.Layer(w2, b2)), x, y, LEARNING_RATE)
    np.testing.assert_allclose(losses, expected_losses, rtol=tolerance)
    assert_close(params, (jaxmlp.Layer(*expected[:2]), jaxmlp.Layer(*expected[2:])), tolerance)
    assert losses.shape == (200,)
    assert str(losses.dtype) == dtype


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-13)])
def test_a_scan_equals_a_python_loop_of_steps(dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        params, x, y, weights = problem(dtype=dtype)
        scanned, losses = train(params, x, y, 1e-2, weights, epochs=EPOCHS)
        looped, each = params, []
        for _ in range(EPOCHS):
            looped, value = train_step(looped, x, y, 1e-2, weights)
            each.append(value)
    assert_close(scanned, looped, tolerance)
    np.testing.assert_allclose(losses, np.array(each), rtol=tolerance)


def test_a_learning_rate_is_put_on_the_device_once_and_256_are_kept(monkeypatch):
    monkeypatch.setattr(_dispatch, "_scalars", {})
    float32 = np.dtype("float32")
    first, second = _dispatch._scalar(0.1, float32), _dispatch._scalar(0.2, float32)
    assert isinstance(first, jax.Array)
    assert _dispatch._scalar(0.1, float32) is first
    assert _dispatch._scalar(0.2, float32) is second
    for k in range(254):
        _dispatch._scalar(1.0 + k, float32)
    assert len(_dispatch._scalars) == 256
    assert _dispatch._scalar(0.1, float32) is first
    _dispatch._scalar(0.3, float32)
    assert len(_dispatch._scalars) == 1


def test_a_learning_rate_belongs_to_no_trace_mesh_or_mode_that_it_was_first_seen_in(x64):
    params, x, y, _ = problem((3, 4, 1), n=8)
    rates = iter((1e-4 / 7, 1e-4 / 11, 1e-4 / 13))
    mesh = jax.sharding.Mesh(np.array(jax.devices("cpu")[:2]), ("rows",))

    def once(rate, params=params, x=x, y=y):
        return train(params, x, y, rate, epochs=1)[1]

    rate = next(rates)
    spec = jax.sharding.PartitionSpec("rows")
    jax.shard_map(lambda x, y: once(rate, x=x, y=y), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)(x, y)
    assert np.isfinite(once(rate))
    rate = next(rates)
    with jax.set_mesh(mesh):
        once(rate)
    assert len(once(rate, jax.device_put(params, jax.devices("cpu")[3])).devices()) == 1
    rate, wide = next(rates), jax.tree.map(np.float64, params)
    with jax.enable_x64(False), pytest.raises(TypeError, match="float64"):
        once(rate, wide)
    assert_equal(once(rate, wide), once(np.float64(rate), wide))


def test_120_epochs_then_80_equal_200_exactly(tutorial_data, optimised):
    # Programs of its own: what another test has compiled may not be optimised.
    trained = jax.jit(lambda *arguments, epochs: train(*arguments, epochs=epochs), static_argnames="epochs")
    params, x, y = tutorial_data
    whole, losses = trained(params, x, y, LEARNING_RATE, epochs=200)
    half, first = trained(params, x, y, LEARNING_RATE, epochs=120)
    halves, second = trained(half, x, y, LEARNING_RATE, epochs=80)
    assert_equal(halves, whole)
    assert_equal(np.concatenate([first, second]), losses)


def test_the_first_loss_is_taken_before_any_update(tutorial_data):
    params, x, y = tutorial_data
    with jax.default_matmul_precision("highest"):
        first = train(params, x, y, LEARNING_RATE)[1][0]
        assert relative_error(first, run(jaxmlp.loss, params, x, y)) < 1e-6


def test_no_epochs_return_the_parameters_and_an_empty_history():
    same, losses = train(PARAMS, X, Y, LEARNING_RATE, epochs=0)
    assert_equal(same, PARAMS)
    assert (losses.shape, losses.dtype) == ((0,), jnp.float32)


@pytest.mark.parametrize(("function", "epochs"), [(train, {"epochs": 200}), (train_step, {})])
def test_the_learning_rate_is_required_and_the_defaults_are(function, epochs):
    parameters = inspect.signature(function).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    assert defaults == {
        "sample_weight": None,
        "activation": jaxmlp.relu,
        "criterion": jaxmlp.squared_error,
        **epochs,
    }


def counted(criterion=jaxmlp.squared_error):
    """A criterion of its own that counts how often it is traced."""
    traces = []

    def fn(outputs, y):
        traces.append(1)
        return criterion.fn(outputs, y)

    return jaxmlp.Criterion(fn, criterion.derivative), traces


@pytest.mark.parametrize("function", [train, train_step])
def test_a_second_call_traces_nothing_whatever_the_learning_rate_is(function):
    criterion, traces = counted()
    rates = [1e-3, np.float64(2e-3), np.float32(3e-3), jnp.float32(4e-3), jnp.asarray(5e-3), 1, np.array(0.5)]
    function(PARAMS, X, Y, rates[0], WEIGHTS, criterion=criterion)
    once = len(traces)
    for rate in rates:
        function(PARAMS, X, Y, rate, WEIGHTS, criterion=criterion)
        function(PARAMS, np.asarray(X, np.float64), jnp.asarray(Y), rate, jnp.asarray(WEIGHTS), criterion=criterion)
    assert len(traces) == once > 0


def test_static_arguments_share_a_program_in_any_order_and_where_they_are_the_default():
    criterion, traces = counted()
    train(PARAMS, X, Y, 1e-3, criterion=criterion)
    once = len(traces)
    train(PARAMS, X, Y, 1e-3, criterion=criterion, activation=jaxmlp.relu, epochs=200)
    train(PARAMS, X, Y, 1e-3, epochs=np.int64(200), activation=jaxmlp.relu, criterion=criterion)
    assert len(traces) == once > 0


@pytest.mark.parametrize("function", [train, train_step])
def test_missing_and_unknown_arguments_are_pythons_type_errors(function):
    name = function.__name__
    with pytest.raises(TypeError, match=re.escape(f"{name}() missing 1 required positional argument: 'learning_rate'")):
        function(PARAMS, X, Y)
    with pytest.raises(TypeError, match=re.escape(f"{name}() got an unexpected keyword argument 'rate'")):
        function(PARAMS, X, Y, 1e-3, rate="fast")


def test_a_step_has_no_epochs():
    with pytest.raises(TypeError, match=re.escape("train_step() got an unexpected keyword argument 'epochs'")):
        train_step(PARAMS, X, Y, 1e-3, epochs=1)


@pytest.mark.parametrize("function", [train, train_step])
def test_a_compiled_function_can_be_pickled_and_keeps_its_name_and_docstring(function):
    assert pickle.loads(pickle.dumps(function)) is function
    assert function.__doc__.startswith("Train for ")
    assert function.__module__ == "jaxmlp.training"


@pytest.mark.parametrize("function", [train, train_step])
def test_compiled_programs_have_the_name_of_the_function(function):
    jaxpr = jax.make_jaxpr(lambda: function(PARAMS, X, Y, 1e-3))()
    assert function.__name__ in [equation.params.get("name") for equation in jaxpr.eqns]


def test_a_learning_rate_means_the_same_in_every_type():
    expected = train(PARAMS, X, Y, 0.125, WEIGHTS, epochs=EPOCHS)
    for rate in (np.float64(0.125), np.float32(0.125), jnp.float32(0.125), jnp.asarray(0.125)):
        assert_equal(train(PARAMS, X, Y, rate, WEIGHTS, epochs=EPOCHS), expected)


def test_one_layer_of_numpy_arrays_trains_like_one_of_jax_arrays():
    params, x, y, _ = problem((3, 2))
    assert_equal(train(params, x, y, 1e-2, epochs=3), train(jax.tree.map(jnp.asarray, params), x, y, 1e-2, epochs=3))


@pytest.mark.parametrize("module", [(np, jnp), (jnp, np)], ids=["weights", "biases"])
def test_float64_of_numpy_beside_jax_arrays_is_not_silently_rounded(module):
    w, b = (numpy.ones(shape) for numpy, shape in zip(module, ((2, 1), (1, 1)), strict=True))
    with pytest.raises(TypeError, match="params must not be float64 while JAX's x64 mode is off"):
        train((jaxmlp.Layer(w, b),), np.ones((3, 2)), np.ones((3, 1)), 0.1, epochs=1)


def test_a_process_in_which_jax_cannot_compute_gets_an_error_even_if_the_program_is_compiled(monkeypatch):
    params, x, y = jax.tree.map(jnp.asarray, (PARAMS, X, Y))
    train(params, x, y, 1e-2, epochs=EPOCHS)
    monkeypatch.setattr("jaxmlp._fork._is_unusable", True)
    with pytest.raises(RuntimeError, match="forked after JAX had started"):
        train(params, x, y, 1e-2, epochs=EPOCHS)


def test_large_integers_are_numbers_like_any_other():
    params = (jaxmlp.Layer(jnp.full((2, 1), 1e-9), jnp.zeros((1, 1))),)
    x = np.array([[3_000_000_000, 1]] * 4)
    for data in (x, x.tolist(), x.astype(np.float64)):
        assert train(params, data, np.zeros((4, 1), int), 0.0, epochs=1)[1][0] == pytest.approx(36)


def test_a_float64_learning_rate_does_not_pass_through_float32(x64):
    params = (jaxmlp.Layer(jnp.ones((1, 1), jnp.float64), jnp.zeros((1, 1), jnp.float64)),)
    assert update(params, params, 0.1)[0].w[0, 0] == 1 - np.float64(0.1)


def test_train_composes_with_a_users_own_jit():
    expected = train(PARAMS, X, Y, 1e-2, WEIGHTS, epochs=EPOCHS)
    within = jax.jit(lambda *arguments: train(*arguments, epochs=EPOCHS))
    assert_close(within(PARAMS, X, Y, 1e-2, WEIGHTS), expected, 1e-6)


# Another program refuses the options of those inside it, so that they are compiled without.
INSIDE = {
    "jit": lambda rate: jax.jit(lambda rate: train(PARAMS, X, Y, rate, epochs=EPOCHS)[1])(rate),
    "closed-over": lambda rate: jax.jit(lambda: train(PARAMS, X, Y, rate, epochs=EPOCHS)[1])(),
    "grad": lambda rate: jax.value_and_grad(lambda rate: train(PARAMS, X, Y, rate, epochs=EPOCHS)[1][-1])(rate)[0],
    "scan": lambda rate: jax.lax.scan(lambda p, _: train_step(p, X, Y, rate), PARAMS, length=EPOCHS)[1],
    "map": lambda rate: jax.lax.map(lambda rate: train(PARAMS, X, Y, rate, epochs=EPOCHS)[1], rate[None])[0],
    "vmap": lambda rate: jax.vmap(lambda rate: train(PARAMS, X, Y, rate, epochs=EPOCHS)[1])(rate[None])[0],
    "jit of vmap": lambda rate: jax.jit(jax.vmap(lambda r: train(PARAMS, X, Y, r, epochs=EPOCHS)[1]))(rate[None])[0],
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("inside", INSIDE)
def test_inside_other_programs_the_numbers_are_the_same(inside):
    expected = train(PARAMS, X, Y, 1e-2, epochs=EPOCHS)[1]
    losses = INSIDE[inside](jnp.float32(1e-2))
    assert_close(losses, expected if losses.ndim else expected[-1], 1e-5)


def test_vmap_over_learning_rates_trains_one_network_each():
    rates = np.asarray([1e-3, 1e-2], np.float32)
    many = run(jax.vmap(lambda rate: train(PARAMS, X, Y, rate, WEIGHTS, epochs=EPOCHS)), rates)
    for k, rate in enumerate(rates):
        alone = train(PARAMS, X, Y, rate, WEIGHTS, epochs=EPOCHS)
        assert_close(jax.tree.map(lambda leaf, k=k: leaf[k], many), alone, 1e-5)


def test_vmap_over_seeds_trains_one_network_each():
    def trained(key):
        return train(jaxmlp.init_params(key, (3, 2)), X, Y, 1e-3, epochs=10)

    def both(key):
        keys = jax.random.split(key, 3)
        return jax.vmap(trained)(keys), trained(keys[1])

    many, one = run(both, jax.random.key(0))
    assert_close(jax.tree.map(lambda leaf: leaf[1], many), one, 1e-5)


@pytest.mark.extended
def test_vmap_over_weights_is_cross_validation():
    folds = np.asarray([[1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1]], np.float32)
    of_fold = lambda *data: train(PARAMS, *data, epochs=10)[1]  # noqa: E731
    losses = run(jax.vmap(lambda w: of_fold(X, Y, 1e-2, w)), folds)
    assert_close(losses[0], of_fold(X[:4], Y[:4], 1e-2), 1e-5)
    assert_close(losses[1], of_fold(X[3:], Y[3:], 1e-2), 1e-5)


def test_no_argument_is_donated():
    params, x, y, weights = jax.tree.map(jnp.asarray, (PARAMS, X, Y, WEIGHTS))
    train(params, x, y, 1e-2, weights, epochs=EPOCHS)
    train_step(params, x, y, 1e-2, weights)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((params, x, y, weights)))


def test_infinities_flow_into_the_losses():
    assert not np.isfinite(train(PARAMS, X, Y, 1e6, WEIGHTS, epochs=EPOCHS)[1]).all()


def test_low_precision_trains_too():
    params, x, y, _ = problem(dtype="bfloat16")
    trained, losses = train(params, x, y, 1e-2, epochs=EPOCHS)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves((trained, losses))} == {"bfloat16"}
    assert losses[-1] < losses[0]
