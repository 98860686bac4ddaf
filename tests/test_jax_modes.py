"""JAX's modes, those for debugging and those of numbers and keys: every function gives the same result in each."""

import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from helpers import assert_close
from jax.experimental import checkify

import jaxmlp
from jaxmlp.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.portable,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(14, 2)).astype(np.float32)
Y = X[:, :1] + X[:, 1:] ** 2
TRAINS = np.arange(14) < 9
PARAMS = jaxmlp.init_params(jax.random.key(1), (2, 3, 1))
MEMBERS = jaxmlp.init_ensemble(jax.random.key(2), (2, 3, 1), 2)
OPTIMIZER = jaxmlp.adam(0.05)
NETWORK = {"hidden_layer_sizes": (3,), "batch_size": 8, "max_iter": 2, "random_state": 0}


def fit(key, params=PARAMS):
    result = jaxmlp.fit(
        params, X, Y, key=key, optimizer=OPTIMIZER, epochs=2, batch_size=8, validation=(X[:5], Y[:5]), patience=1
    )
    return result.params, tuple(result.history), result.best_epoch


def fit_epochs(key, rate=0.05):
    """Three epochs, or with a rate that is far too high, one less: without a lower loss, the run stops."""
    state = jaxmlp.init_fit(PARAMS, key=key, optimizer=jaxmlp.adam(rate))
    options = {"optimizer": OPTIMIZER, "epochs": 3, "patience": 1, "batch_size": 8}
    state, history = jaxmlp.fit_epochs(state, X, Y, TRAINS, ~TRAINS, **options)
    return state.params, state.best_loss, tuple(history)


def cross_validate(key):
    result = jaxmlp.cross_validate(
        X, Y, key=key, hidden=(3,), folds=2, candidates=[(0.01, 0), (0.02, 0)], seeds=1, epochs=2, batch_size=8
    )
    return result.params, tuple(score.score for score in result.scores), result.linear.score


def classify(key, **options):
    model = MLPClassifier(**NETWORK, **options).fit(X, Y[:, 0] > 1)
    return model.coefs_, model.predict_proba(X)


# Functions of a key, which some of them do not need.
FUNCTIONS = {
    "train": lambda key: jaxmlp.train(PARAMS, X, Y, 0.01, epochs=2),
    "train_ensemble": lambda key: jaxmlp.train_ensemble(MEMBERS, X, Y, 0.01, epochs=2),
    "init_ensemble": lambda key: jaxmlp.init_ensemble(key, (2, 3, 1), 2),
    "fit": fit,
    "fit, ensemble": functools.partial(fit, params=MEMBERS),
    "fit_epochs": fit_epochs,
    "fit_epochs, stopped": functools.partial(fit_epochs, rate=1e3),
    "cross_validate": cross_validate,
    "predict": lambda key: jaxmlp.predict(jaxmlp.Model(PARAMS), X),
    "check_network": lambda key: jaxmlp.check_network(PARAMS, X, Y).raise_if_wrong(),
    "MLPRegressor": lambda key: MLPRegressor(**NETWORK, early_stopping=True).fit(X, Y[:, 0]).coefs_,
    "MLPRegressor, partial_fit": lambda key: (
        MLPRegressor(**NETWORK).partial_fit(X, Y[:, 0]).partial_fit(X, Y[:, 0]).coefs_
    ),
    "MLPClassifier": classify,
}


@contextlib.contextmanager
def update(name, value):
    """A mode as most users set it: for the whole process."""
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    try:
        yield
    finally:
        jax.config.update(name, before)


MODES = {
    "debug_nans": lambda: jax.debug_nans(True),
    "debug_infs": lambda: jax.debug_infs(True),
    "debug_nans, everywhere": lambda: update("jax_debug_nans", True),
    "disable_jit": jax.disable_jit,
    "enable_custom_prng": lambda: jax.enable_custom_prng(True),
    "rbg": lambda: jax.default_prng_impl("rbg"),
    "enable_x64": lambda: jax.enable_x64(True),
    "debug_key_reuse": lambda: jax.debug_key_reuse(True),
    "default_device": lambda: jax.default_device(jax.devices("cpu")[-1]),
    "checking_leaks": jax.checking_leaks,
    "log_compiles": lambda: jax.log_compiles(True),
    "matmul_precision": lambda: jax.default_matmul_precision("highest"),
    "standard promotion": lambda: jax.numpy_dtype_promotion("standard"),
}
# The keys of a mode; without it, the same keys give the same result.
KEYS = {
    "enable_custom_prng": jax.random.PRNGKey,
    "rbg": functools.partial(jax.random.key, impl="rbg"),
}


@functools.cache
def expected(function, make_key):
    return FUNCTIONS[function](make_key(7))


def assert_same(actual, wanted):
    actual, wanted = ([np.asarray(leaf) for leaf in jax.tree.leaves(tree)] for tree in (actual, wanted))
    for array, other in zip(actual, wanted, strict=True):
        np.testing.assert_array_equal(np.isnan(array), np.isnan(other))
    assert_close([np.nan_to_num(v) for v in actual], [np.nan_to_num(v) for v in wanted], 1e-5)


QUICK = {("debug_nans", name) for name in ("fit_epochs", "fit_epochs, stopped", "fit, ensemble")}
QUICK |= {
    ("debug_infs", "fit_epochs"),
    ("debug_infs", "fit, ensemble"),
    ("disable_jit", "predict"),
    ("rbg", "MLPRegressor"),
}
CASES = [
    pytest.param(mode, function, marks=[] if (mode, function) in QUICK else pytest.mark.slow, id=f"{mode}-{function}")
    for mode in MODES
    for function in FUNCTIONS
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("mode", "function"), CASES)
def test_a_mode_does_not_change_a_result(mode, function):
    make_key = KEYS.get(mode, jax.random.key)
    with MODES[mode]():  # First, because JAX would use a program that it compiled without the mode.
        actual = FUNCTIONS[function](make_key(7))
    assert_same(actual, expected(function, jax.random.key if mode == "enable_custom_prng" else make_key))


def test_a_mode_of_the_whole_process_still_finds_the_errors_of_others():
    divide = jax.jit(lambda x: x / x)

    def use():
        fit_epochs(jax.random.key(7))
        for _ in range(2):
            with pytest.raises(FloatingPointError):
                divide(jax.numpy.zeros(2))

    # In a thread: in one that has left a block of `jax.debug_nans`, JAX itself finds nothing more.
    with update("jax_debug_nans", True), ThreadPoolExecutor() as threads:
        threads.submit(use).result()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("function", ["train", "fit_epochs", "predict"])
def test_index_checks_find_no_error(function):
    error, result = checkify.checkify(FUNCTIONS[function], errors=checkify.index_checks)(jax.random.key(7))
    error.throw()
    assert_same(result, expected(function, jax.random.key))


@pytest.mark.parametrize("trace", ["checkify", "jit", "vmap"])
@pytest.mark.parametrize("function", ["fit", "cross_validate", "MLPRegressor", "MLPRegressor, partial_fit"])
def test_a_python_loop_refuses_to_be_traced(function, trace):
    if trace == "vmap" and "MLP" in function:
        pytest.skip("does not depend on the key")
    traced = {
        "checkify": functools.partial(checkify.checkify, errors=checkify.index_checks), "jit": jax.jit, "vmap": jax.vmap
    }[trace](FUNCTIONS[function])  # fmt: skip
    key = jax.random.key(7)
    with pytest.raises(TypeError, match=r"^(fit|cross_validate|MLPRegressor.fit) is a Python loop, .*; use fit_epochs"):
        traced(jax.random.split(key, 2) if trace == "vmap" else key)
