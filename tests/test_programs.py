"""Compiled programs: those used last are kept, and no others."""

import gc
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp
from jaxmlp import _programs
from jaxmlp._programs import KEPT, bounded_jit
from jaxmlp.fitting import epochs
from jaxmlp.fitting.state import FitData, init_fit

pytestmark = pytest.mark.portable


@pytest.fixture
def traced():
    """A function with bounded programs, and the shapes for which it has been traced."""
    shapes = []

    @bounded_jit(1)
    def double(x, factor):
        shapes.append(x.shape)
        return x * factor

    return double, shapes


def test_a_shape_is_compiled_once_and_again_after_it_was_dropped(traced):
    double, shapes = traced
    for n in [*range(KEPT), 0, KEPT, 0, 2, 1]:  # KEPT takes the place of 1, and then 1 that of 3
        np.testing.assert_array_equal(double(np.ones(n, np.float32), 2.0), np.full(n, 2, np.float32))
    assert shapes == [(n,) for n in [*range(KEPT + 1), 1]]
    assert double.programs.count() == KEPT


def test_dtypes_trees_and_static_arguments_are_told_apart(traced):
    double, shapes = traced
    for x in (np.ones(2, np.float32), np.ones(2, np.int32)):
        for factor in (2.0, 3.0, 2.0):
            double(x, np.asarray(factor, x.dtype).item())
    assert len(shapes) == 4


def test_inside_other_programs_a_function_is_part_of_them(traced):
    double, _ = traced
    x = jnp.arange(3.0)
    np.testing.assert_array_equal(jax.jit(lambda x: double(x, 2.0))(x), 2 * x)
    np.testing.assert_array_equal(jax.grad(lambda x: double(x, 2.0).sum())(x), [2, 2, 2])
    np.testing.assert_array_equal(jax.vmap(lambda x: double(x, 2.0))(x), 2 * x)


def test_a_dropped_program_gives_the_same_bits_when_it_is_compiled_again(monkeypatch):
    monkeypatch.setattr(_programs, "KEPT", 1)
    first, other, again = (fit_rows(n) for n in (24, 25, 24))
    assert len(epochs._run.programs._programs) == 1
    assert len(other.history.loss) == len(first.history.loss)
    for before, after in zip(jax.tree.leaves(first.params), jax.tree.leaves(again.params), strict=True):
        np.testing.assert_array_equal(before, after)


def fit_rows(n, hidden=4):
    """Fit n random rows."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 3), np.float32), rng.standard_normal((n, 1), np.float32)
    params = jaxmlp.init_params(jax.random.key(0), (3, hidden, 1))
    return jaxmlp.fit(params, x, y, key=jax.random.key(1), optimizer=jaxmlp.adam(), epochs=2, batch_size=8)


def count_maps():
    gc.collect()
    return len(Path("/proc/self/maps").read_text().splitlines())


@pytest.mark.extended
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="counts the memory maps of Linux")
def test_the_memory_of_dropped_programs_is_freed(monkeypatch):
    monkeypatch.setattr(_programs, "KEPT", 2)
    for n in range(30, 34):
        fit_rows(n)
    before = count_maps()
    for n in range(34, 38):
        fit_rows(n)
    assert count_maps() < before + 150  # a program takes about as many


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="counts the memory maps of Linux")
def test_two_thousand_fits_of_a_thousand_shapes_stay_within_bounds():
    """`python -m pytest -n 0 -m slow tests/test_programs.py`; half an hour."""
    for k in range(2000):
        fit_rows(20 + k % 1000, hidden=2 + k % 7)
        if k % 100 == 99:
            memory = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line)
            assert int(memory.split()[1]) < 1.5 * 2**20, k
            assert count_maps() < 20_000, k


@pytest.mark.parametrize(
    ("rows", "sizes", "activation", "is_short"),
    [
        (150, (4, 100, 3), jaxmlp.relu, True),
        (150, (4, 100, 50, 3), (jaxmlp.relu, jaxmlp.identity), True),
        (150, (4, 100, 3), jaxmlp.tanh, False),
        (50_000, (4, 100, 3), jaxmlp.relu, False),
        (150, (4, 1000, 1000, 3), jaxmlp.relu, False),
    ],
)
def test_short_runs_are_compiled_with_fewer_optimizations(rows, sizes, activation, is_short):
    params = tuple(jaxmlp.Layer(np.zeros((m, n), np.float32), np.zeros((1, n), np.float32)) for m, n in pairwise(sizes))
    state = init_fit(params, key=jax.random.key(0), optimizer=jaxmlp.adam())
    data = FitData(np.zeros((rows, sizes[0]), np.float32), np.zeros((rows, sizes[-1]), np.float32))
    assert epochs._is_short(state, data, activation) == is_short
