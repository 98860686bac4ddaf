"""Rows are held out at random, class by class, each once."""

import jax
import numpy as np
import pytest

from jaxmlp.fitting.grouping import join_groups
from jaxmlp.fitting.splitting import hold_out, make_folds, other_parts, rng_of

pytestmark = pytest.mark.portable


def draw(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("n", "folds"), [(6, 2), (90, 3), (101, 5)])
def test_a_row_is_held_out_once_and_else_trains_or_validates(n, folds):
    parts = make_folds(n, folds, draw())
    assert sorted(parts.test[parts.test_weights > 0]) == list(range(n))
    for k in range(folds):
        valid, test = parts.valid[k][parts.valid_weights[k] > 0], parts.test[k][parts.test_weights[k] > 0]
        assert sorted([*parts.train[k], *valid, *test]) == list(range(n))
        assert len(valid) >= 1
        assert (parts.number[test] == k).all()


@pytest.mark.parametrize("classes", [None, np.arange(50) % 4])
def test_one_fold_is_a_hold_out(classes):
    parts = make_folds(50, 1, draw(), classes=classes, held_out=0.3, validation=0.2)
    assert (parts.train.shape, parts.valid.shape, parts.test.shape) == ((1, 28), (1, 7), (1, 15))
    assert sorted(np.concatenate([parts.train[0], parts.valid[0], parts.test[0]])) == list(range(50))
    assert (parts.number[parts.test[0]] == 0).all()
    assert (parts.number == -1).sum() == 35
    assert (parts.valid_weights == 1).all()
    assert (parts.test_weights == 1).all()


def test_each_fold_has_its_share_of_each_class():
    classes = np.array([0] * 60 + [1] * 30 + [2] * 9)
    parts = make_folds(99, 3, draw(), classes=classes)
    for k in range(3):
        assert np.bincount(classes[parts.number == k]).tolist() == [20, 10, 3]
        assert set(classes[parts.train[k]]) == {0, 1, 2}


def test_the_generator_decides_and_comes_from_the_key():
    train, held_out = hold_out(100, 0.1, rng_of(jax.random.key(0)))
    assert [*train] == sorted(train)
    assert [*held_out] == sorted(held_out)
    assert sorted([*train, *held_out]) == list(range(100))
    np.testing.assert_array_equal(hold_out(100, 0.1, rng_of(jax.random.key(0)))[1], held_out)
    assert list(hold_out(100, 0.1, rng_of(jax.random.key(1)))[1]) != list(held_out)


@pytest.mark.parametrize("classes", [None, np.zeros(40, int)])
def test_every_row_is_as_likely_to_be_held_out(classes):
    rows = np.concatenate([hold_out(40, 0.1, draw(seed), classes)[1] for seed in range(1000)])
    share = np.bincount(rows, minlength=40) / 1000
    assert np.abs(share - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / 1000)


def test_each_class_gives_its_share_and_keeps_a_row_to_train_on():
    classes = draw().permutation(np.repeat([0, 1, 2], [700, 250, 50]))
    held_out = hold_out(1000, 0.1, draw(), classes)[1]
    assert np.abs(np.bincount(classes[held_out]) - [70, 25, 5]).max() <= 1
    classes = np.array([*range(10), *range(10), 99])
    for seed in range(20):
        assert set(classes[hold_out(21, 0.4, draw(seed), classes)[0]]) == set(classes)


@pytest.mark.parametrize(
    ("n", "fraction", "classes"),
    [(0, 0.1, None), (1, 0.1, None), (20, 0.99, None), (20, 1.5, None), (20, -1, None), (3, 0.1, np.arange(3))],
)
def test_rows_must_be_left_on_both_sides(n, fraction, classes):
    with pytest.raises(ValueError, match=f"fraction must leave rows on both sides; got {fraction} of {n} rows"):
        hold_out(n, fraction, draw(), classes)


def test_three_rows_are_enough():
    assert [len(part) for part in hold_out(3, 0.01, draw())] == [2, 1]
    assert [part.shape for part in make_folds(3, 1, draw())[1::2]] == [(1, 1), (1, 1), (1, 1)]
    with pytest.raises(ValueError, match="at least 3 rows each; got 5 folds of 9 rows"):
        make_folds(9, 5, draw())


@pytest.mark.parametrize("folds", [1, 2, 5])
@pytest.mark.parametrize("classes", [None, np.arange(200) % 3])
def test_groups_stay_in_one_fold_and_folds_are_about_equal(folds, classes):
    groups = np.concatenate([np.repeat(np.arange(20), 4), 100 + np.arange(120)])
    parts = make_folds(200, folds, draw(), classes=classes, groups=groups)
    assert all(len(set(parts.number[groups == group])) == 1 for group in range(20))
    held_out = np.bincount(parts.number[parts.number >= 0])
    assert len(held_out) == folds
    assert held_out.max() - held_out.min() <= 4
    assert abs(held_out.mean() - 200 / max(folds, 5 if folds == 1 else folds)) <= 4
    for fold in range(folds):
        test = np.flatnonzero(parts.number == fold)
        rows = [parts.train[fold], np.unique(parts.valid[fold]), test]
        np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(200))
        if classes is not None:
            assert np.bincount(classes[test]).min() >= len(test) / 3 - 4


def test_too_few_groups_are_an_error():
    with pytest.raises(ValueError, match="groups must be at least 6, for training, validation and 5 folds; got 3"):
        make_folds(60, 5, draw(), groups=np.arange(60) % 3)


def test_the_latest_rows_are_held_out_and_rows_of_one_time_stay_together():
    times = np.repeat(np.arange(40), 3)[draw().permutation(120)]
    parts = make_folds(120, 1, draw(), times=times)
    test, valid, train = times[parts.test[0]], times[parts.valid[0]], times[parts.train[0]]
    assert train.max() < valid.min() <= valid.max() < test.min()
    assert (len(train), len(valid), len(test)) == (84, 12, 24)
    np.testing.assert_array_equal(parts.number, np.where(times >= 32, 0, -1))
    with pytest.raises(ValueError, match="folds must be 1 if times are given"):
        make_folds(120, 5, draw(), times=times)
    with pytest.raises(ValueError, match="times must differ"):
        make_folds(120, 1, draw(), times=np.zeros(120))


def test_rows_that_agree_in_any_key_are_one_group():
    groups = join_groups(np.array([0, 0, 1, 2, 3]), np.array([5, 6, 6, 7, 7]))
    assert [list(groups).index(group) for group in groups] == [0, 0, 0, 3, 3]


def test_a_single_hold_out_of_groups_has_two_rows():
    for seed in range(30):
        groups = np.array([0, 0, 0, 1, 2, 3, 4, 5, 6, 7])
        folds = make_folds(10, 1, np.random.default_rng(seed), groups=groups, classes=np.arange(10) % 2)
        assert (folds.number == 0).sum() >= 2


def test_rows_choose_for_those_of_other_parts_and_a_single_row_for_itself():
    np.testing.assert_array_equal(other_parts(np.array([0, -1, 1, 0]), 0), [False, False, True, False])
    np.testing.assert_array_equal(other_parts(np.array([-1, 0, -1]), 0), [False, True, False])
