"""What several test modules need: closeness leaf by leaf, and data that suits a criterion."""

import contextlib
import itertools
import math
import resource

import jax
import numpy as np

import jaxmlp
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.criteria import CRITERIA

# Relative to the largest entry of a leaf. bfloat16: the 16 roundings of 2^-8 that a chain of four layers takes,
# relative to the largest entry of all leaves, because a sum over rows that cancels may lose all its 8 bits.
TOLERANCE = {"bfloat16": 16 * 2**-8, "float32": 1e-5, "float64": 1e-12}


def relative_error(actual, expected, largest=None) -> float:
    """The worst absolute error of an array, in units of the largest expected entry (or of `largest`)."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    if actual.size == 0:
        return 0.0
    assert np.isfinite(actual).all()
    assert np.isfinite(expected).all()
    worst, largest = np.max(np.abs(actual - expected)), np.max(np.abs(expected)) if largest is None else largest
    return 0.0 if worst == 0 else float(worst / largest) if largest > 0 else float("inf")


def assert_close(actual, expected, tolerance=None):
    """Every leaf of two trees agrees, relative to its own largest entry."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    pairs = zip(jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True)
    largest = max((float(np.max(np.abs(leaf), initial=0)) for leaf in jax.tree.leaves(expected)), default=0.0)
    for (path, leaf), other in pairs:
        dtype = str(np.asarray(leaf).dtype)
        allowed = TOLERANCE[dtype] if tolerance is None else tolerance
        error = relative_error(leaf, other, largest if dtype == "bfloat16" else None)
        assert error <= allowed, f"leaf {jax.tree_util.keystr(path)} is off by {error:.3g}, allowed {allowed}"


def assert_equal(actual, expected):
    """Every leaf of two trees agrees to the last bit."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for leaf, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(leaf), np.asarray(other))


def run(function, *args):
    """`function(*args)` compiled as a whole and without optimising: compiling is what costs, not running.

    For tests of the mathematics. What users run is optimised; tests of exactness and of speed call that.
    """
    return program(function, *args)(*args)


def program(function, *args):
    """What `run` runs, for any arguments like these."""
    return jax.jit(function).lower(*args).compile({"xla_backend_optimization_level": 0})


@contextlib.contextmanager
def files_no_longer_than(size):
    """A disk that is full after `size` bytes of a file: of any file, pytest's own output too, so leave it soon."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    seconds = jax.config.jax_persistent_cache_min_compile_time_secs
    # What is compiled meanwhile is not kept: half of a program would be found by other tests.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", math.inf)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)


def targets(criterion_name: str, shape, seed: int = 0) -> np.ndarray:
    """Targets such as the criterion is made for, float64."""
    rng = np.random.default_rng(seed)
    if criterion_name == "sigmoid_binary_cross_entropy":
        return rng.uniform(size=shape)
    if criterion_name == "softmax_cross_entropy":
        return rng.uniform(0, 2, size=shape)  # non-negative, and no row sums to 1
    if criterion_name == "poisson_nll_loss":
        return rng.poisson(2.0, size=shape).astype(float)
    return rng.normal(size=shape)


def problem(sizes=(3, 5, 4, 2), n=7, criterion="squared_error", dtype="float32", seed=0):
    """A small network with non-zero biases, and data for it, NumPy arrays: (params, x, y, weights)."""
    rng = np.random.default_rng(seed)
    dtype = jax.numpy.dtype(dtype)  # which knows bfloat16
    params = tuple(
        jaxmlp.Layer(
            np.asarray(rng.normal(size=(i, o)) / np.sqrt(i), dtype),
            np.asarray(rng.normal(size=(1, o)) / 2, dtype),
        )
        for i, o in itertools.pairwise(sizes)
    )
    x = np.asarray(rng.normal(size=(n, sizes[0])), dtype)
    y = np.asarray(targets(criterion, (n, sizes[-1]), seed), dtype)
    weights = np.asarray(rng.uniform(0.5, 2, size=n), dtype)
    return params, x, y, weights


ALL_ACTIVATIONS = tuple(ACTIVATIONS)
ALL_CRITERIA = tuple(CRITERIA)
