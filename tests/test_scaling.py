"""Scaling: applied, inverted, and absorbed into weights."""

import itertools

import numpy as np
import pytest

import jaxmlp
from jaxmlp.fitting.scaling import absorb, finest_scaling, identity_scaling, learn_scaling

pytestmark = pytest.mark.portable
RNG = np.random.default_rng(0)


def test_columns_are_scaled_to_mean_0_and_standard_deviation_1():
    rows = np.column_stack([np.arange(6.0), np.full(6, 7.0), [0, 0, 0, 0, 0, 1]])
    scaling = learn_scaling(rows)
    z = scaling.apply(rows)
    assert z.dtype == np.float64
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z[:, 0].std(), 1)
    assert (scaling.apply(rows + 5)[:, 1] == 0).all()  # a constant column, whatever value comes later
    np.testing.assert_allclose(np.ptp(z[:, 2]), 1)  # zeros and ones are only centred
    np.testing.assert_allclose(scaling.invert(z), rows, atol=1e-12)
    assert (identity_scaling(3).apply(rows) == rows).all()


def test_a_large_offset_loses_no_digits():
    rows = 1e9 + np.arange(6.0)[:, None]
    np.testing.assert_allclose(learn_scaling(rows).apply(rows), learn_scaling(rows - 1e9).apply(rows - 1e9))


def test_a_scaling_relative_to_another_is_the_same_after_it():
    rows = np.column_stack([50 + 3 * RNG.normal(size=(20, 2)), np.full(20, 7.0), np.r_[np.zeros(10), np.arange(10)]])
    reference, scaling = learn_scaling(rows), learn_scaling(rows[:10])  # of which the last column is constant
    np.testing.assert_allclose(scaling.relative_to(reference).apply(reference.apply(rows)), scaling.apply(rows))


def test_the_finest_scaling_loses_nothing_for_the_others_when_it_is_rounded():
    rows = RNG.normal(size=(50, 2))
    rows[7, 0], rows[:10, 1] = 1e9, 3  # a far row; a column that is constant in some rows
    scalings = [learn_scaling(rows), learn_scaling(rows[:10]), learn_scaling(rows[10:])]
    finest = finest_scaling(scalings)
    assert (finest.factor == [scalings[2].factor[0], max(s.factor[1] for s in scalings)]).all()
    rounded = finest.apply(rows).astype(np.float32)
    for scaling in scalings:
        expected = scaling.apply(rows)
        np.testing.assert_allclose(scaling.relative_to(finest).apply(rounded), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("sizes", [(4, 5, 2), (4, 2)])
def test_absorbed_scalings_leave_predictions_the_same(sizes):
    x, y = 50 + 3 * RNG.normal(size=(20, 4)), np.column_stack([7 - 2 * RNG.normal(size=20), np.full(20, 3.0)])
    inputs, targets = learn_scaling(x), learn_scaling(y)

    def outputs(params, a, member):
        for k, (w, b) in enumerate(params):
            a = (np.maximum(a, 0) if k else a) @ np.asarray(w[member]) + np.asarray(b[member])
        return a

    shapes = list(itertools.pairwise(sizes))
    params = tuple(jaxmlp.Layer(*(np.float32(RNG.normal(size=(2, k, o))) for k in (i, 1))) for i, o in shapes)
    absorbed = absorb(params, [inputs, identity_scaling(4)], [targets, identity_scaling(2)])
    assert absorbed[0].w.dtype == np.float32
    scaled = targets.invert(outputs(params, inputs.apply(x), 0))
    np.testing.assert_allclose(outputs(absorbed, x, 0), scaled, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(outputs(absorbed, x, 0)[:, 1], 3)
    np.testing.assert_allclose(outputs(absorbed, x, 1), outputs(params, x, 1), rtol=1e-5)
