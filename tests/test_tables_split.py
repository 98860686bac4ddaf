"""Rows to train on and rows kept aside."""

import numpy as np
import polars
import pytest

from jaxmlp.tables import TableError, split_rows, split_table


def test_each_row_is_in_one_part():
    parts = split_rows(1000, (0.1, 0.2), seed=3)
    assert [part.sum() for part in parts] == [700, 100, 200]
    np.testing.assert_array_equal(np.sum(parts, axis=0), 1)


def test_the_seed_decides():
    same, other = split_rows(100, seed=0), split_rows(100, seed=1)
    np.testing.assert_array_equal(same, split_rows(100, seed=0))
    assert not np.array_equal(same, other)


@pytest.mark.parametrize("stratify", [None, np.zeros(40, int)])
def test_every_row_is_as_likely_to_be_kept_aside(stratify):
    aside = np.mean([split_rows(40, (0.1, 0.1), seed, stratify)[2] for seed in range(1000)], axis=0)
    assert np.abs(aside - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / 1000)


def test_classes_are_split_in_proportion():
    classes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [700, 250, 50]))
    training, stopping, aside = split_rows(1000, stratify=classes)
    for part in (stopping, aside):
        assert np.abs(np.bincount(classes[part]) - [70, 25, 5]).max() <= 1
    assert training.sum() == 800


def test_every_class_has_a_row_to_train_on():
    classes = np.array([*range(10), *range(10), 99])
    for seed in range(20):
        training = split_rows(21, (0.2, 0.2), seed, classes)[0]
        assert set(classes[training]) == set(classes)


@pytest.mark.parametrize(
    ("n", "fractions", "stratify", "least"),
    [(0, (0.1,), None, 2), (1, (0.1,), None, 2), (2, (0.1, 0.1), None, 3), (3, (0.1,), [0, 1, 2], 4)],
)
def test_too_few_rows(n, fractions, stratify, least):
    with pytest.raises(TableError, match=f"to split; at least {least} are needed"):
        split_rows(n, fractions, stratify=stratify)


def test_three_rows_are_enough():
    assert [part.sum() for part in split_rows(3)] == [1, 1, 1]


def test_rows_without_a_target_are_in_no_part():
    frame = polars.DataFrame({"x": range(40), "y": [*("ab" * 10), *[None] * 20]})
    parts = split_table(frame, "y", seed=0)
    np.testing.assert_array_equal(np.sum(parts, axis=0), [1] * 20 + [0] * 20)
    assert all({*frame.filter(part)["y"]} == {"a", "b"} for part in parts)
