"""Cross-validation: nothing leaks, the numbers are what they are called, and the verdict is honest."""

import itertools
from collections import Counter

import jax
import numpy as np
import pytest
from helpers import assert_equal

import jaxmlp
from jaxmlp.selection import cross_validate, permutation_importance
from jaxmlp.selection.folds import make_folds
from jaxmlp.selection.scores import is_better, scored
from jaxmlp.selection.standard import standard, taken_in

pytestmark = pytest.mark.portable
N, FOLDS, SEEDS = 90, 3, 2
# One set of shapes for all searches here: two programs, the networks' and the linear model's.
SMALL = {"hidden": (8,), "folds": FOLDS, "seeds": SEEDS, "epochs": 60, "batch_size": 16}
SMALL |= {"candidates": ((0.03, 0.0), (0.003, 0.1))}


def table(seed, function=lambda x: 0 * x[:, :1], noise=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 4)) * [1, 10, 0.1, 1] + [0, 5, 0, -3]
    return x, function((x - [0, 5, 0, -3]) / [1, 10, 0.1, 1]) + noise * rng.normal(size=(N, 1))


def curved(z):
    return 30 + 10 * np.abs(z[:, :1]) + 5 * np.abs(z[:, 1:2])


def search(x, y, seed=0):
    return cross_validate(x, y, key=jax.random.key(seed), **SMALL)


@pytest.fixture(scope="module")
def found():
    x, y = table(0, curved)
    return x, y, search(x, y)


@pytest.mark.parametrize(("n", "folds"), [(6, 2), (90, 3), (101, 5)])
def test_a_row_is_held_out_once_and_else_trains_or_stops_a_network(n, folds):
    parts = make_folds(n, folds, np.random.default_rng(0))
    held_out = parts.test[parts.test_weights > 0]
    assert sorted(held_out) == list(range(n))
    for k in range(folds):
        train, valid = parts.train[k], parts.valid[k][parts.valid_weights[k] > 0]
        test = parts.test[k][parts.test_weights[k] > 0]
        assert sorted([*train, *valid, *test]) == list(range(n))
        assert len(valid) >= 1
        assert (parts.number[test] == k).all()


def test_classes_have_their_share_of_each_fold():
    classes = np.array([0] * 60 + [1] * 30 + [2] * 9)
    parts = make_folds(99, 3, np.random.default_rng(0), classes=classes)
    for k in range(3):
        assert np.bincount(classes[parts.number == k]).tolist() == [20, 10, 3]
        assert set(classes[parts.train[k]]) == {0, 1, 2}


def test_columns_are_standardised_by_the_rows_that_teach():
    rows = np.column_stack([np.arange(6.0), np.full(6, 7.0), [0, 0, 0, 0, 0, 1]])
    affine = standard(rows)
    z = affine(rows)
    np.testing.assert_allclose(z[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(z[:, 0].std(), 1, rtol=1e-6)
    assert (affine(rows + 5)[:, 1] == 0).all()  # a value that was never seen says nothing
    np.testing.assert_allclose(np.ptp(z[:, 2]), 1, rtol=1e-6)  # zeros and ones keep their scale
    np.testing.assert_allclose(affine.undone(z)[:, 0], rows[:, 0], atol=1e-6)


@pytest.mark.parametrize("sizes", [(4, 5, 1), (4, 1)])
def test_a_network_takes_its_standardisation_in(sizes):
    rng = np.random.default_rng(0)
    x, y = 50 + 3 * rng.normal(size=(20, 4)), 7 - 2 * rng.normal(size=(20, 1))
    inputs, targets = standard(x), standard(y)

    def outputs(params, a):
        for k, (w, b) in enumerate(params):
            a = (np.maximum(a, 0) if k else a) @ np.asarray(w[0]) + np.asarray(b[0])
        return a

    shapes = list(itertools.pairwise(sizes))
    params = tuple(jaxmlp.Layer(*(np.float32(rng.normal(size=(1, k, o))) for k in (i, 1))) for i, o in shapes)
    expected = targets.undone(outputs(params, inputs(x)))
    np.testing.assert_allclose(outputs(taken_in(params, [inputs], [targets]), x), expected, rtol=1e-4, atol=1e-3)


def test_predictions_are_those_of_networks_that_have_not_seen_the_row(found):
    x, _, result = found
    assert result.params[0].w.shape == (FOLDS * SEEDS, 4, 8)
    for fold in range(FOLDS):
        own = jax.tree.map(lambda leaf, fold=fold: leaf[fold * SEEDS : (fold + 1) * SEEDS], result.params)
        rows = result.fold == fold
        mean, _ = jaxmlp.predict_ensemble(own, x[rows])
        np.testing.assert_allclose(mean, result.network.predictions[rows], rtol=1e-4)


def test_rows_that_are_held_out_change_no_network_of_their_fold(found):
    x, y, result = found
    rows = np.flatnonzero(result.fold == 1)
    x_other, y_other = x.copy(), y.copy()
    x_other[rows], y_other[rows] = 3 * x[rows][::-1] + 1, -5 * y[rows]
    twins = SMALL | {"candidates": ((0.03, 0.0), (0.03, 0.0))}  # the first is chosen, whatever comes
    one = cross_validate(x, y, key=jax.random.key(0), **twins)
    other = cross_validate(x_other, y_other, key=jax.random.key(0), **twins)
    assert one.scores[0] == one.scores[1]  # candidates differ in their numbers only

    def of(result, fold):
        return jax.tree.map(lambda leaf: leaf[fold * SEEDS : (fold + 1) * SEEDS], result.params)

    assert_equal(of(other, 1), of(one, 1))
    for fold in (0, 2):
        assert not np.array_equal(of(other, fold)[0].w, of(one, fold)[0].w)


def test_the_same_key_gives_the_same_bits(found):
    x, y, result = found
    assert_equal(search(x, y).params, result.params)


def test_the_linear_model_is_the_best_that_there_is():
    x, y = table(0, lambda z: 30 + z @ [[1.0], [0.0], [-2.0], [0.5]], noise=0.0)
    result = search(x, y)
    assert result.linear.score < 1e-4 * result.network.score
    assert result.verdict == "a linear model is better"
    np.testing.assert_allclose(result.linear.predictions, y, rtol=1e-4)


def test_a_class_that_a_fold_has_not_seen_is_no_certain_miss_of_guessing():
    rng = np.random.default_rng(0)
    classes = np.r_[np.repeat([0, 1], 41), np.arange(2, 10)]  # eight of one row each
    result = cross_validate(
        rng.normal(size=(N, 4)), np.eye(10)[classes], key=jax.random.key(0), criterion=jaxmlp.softmax_cross_entropy,
        **SMALL | {"hidden": ()},
    )  # fmt: skip
    np.testing.assert_allclose(result.guess.predictions.sum(axis=1), 1)
    assert result.guess.row_errors.max() < np.log(4 * N)
    assert result.verdict == "no better than guessing"


def test_scores_are_what_they_are_called(found):
    _, y, result = found
    errors = y - result.network.predictions
    np.testing.assert_allclose(result.network.score, np.sqrt(np.mean(errors**2)))
    assert result.scores[result.chosen] == result.scores.min() == result.network.score
    means = [y[result.fold != fold].mean() for fold in range(FOLDS)]
    np.testing.assert_allclose(result.guess.predictions[:, 0], np.array(means)[result.fold], rtol=1e-6)
    assert result.networks == FOLDS * 2 * SEEDS
    assert "RMSE" in result.how
    assert "2 candidates" in result.how


def test_the_standard_error_is_the_spread_of_the_score_over_tables():
    rng = np.random.default_rng(0)
    each = [scored(np.zeros((200, 1)), rng.normal(size=(200, 1)), jaxmlp.squared_error) for _ in range(2000)]
    np.testing.assert_allclose(
        np.mean([one.standard_error for one in each]), np.std([one.score for one in each]), rtol=0.1
    )


@pytest.mark.parametrize("criterion", ["softmax_cross_entropy", "sigmoid_binary_cross_entropy", "poisson_nll_loss"])
def test_scores_of_classes_and_counts_are_scikit_learns(criterion):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p, codes = rng.dirichlet([1, 1, 1], 50), rng.integers(3, size=50)
    predictions, y, expected = p, np.eye(3)[codes], metrics.log_loss(codes, p)
    if criterion == "sigmoid_binary_cross_entropy":
        predictions, y = p[:, :1], (codes == 0)[:, None].astype(float)
        expected = metrics.log_loss(codes == 0, p[:, 0])
    if criterion == "poisson_nll_loss":
        predictions, y = 5 * p[:, :1] + 0.1, codes[:, None].astype(float)
        expected = metrics.mean_poisson_deviance(y, predictions)
    assert scored(predictions, y, getattr(jaxmlp, criterion)).score == pytest.approx(expected, rel=1e-5)


def test_better_is_more_than_chance():
    y = np.random.default_rng(0).normal(size=(100, 1))
    good, same, bad = (scored(share * y, y, jaxmlp.squared_error) for share in (0.9, 0.9, 0.0))
    assert is_better(good, bad)
    assert not is_better(bad, good)
    assert not is_better(good, same)


def test_where_there_is_something_to_learn_the_verdict_says_who_learns_it(found):
    assert found[2].verdict == "better than guessing and than a linear model"
    line = search(*table(1, lambda z: z[:, :1] - 2 * z[:, 3:], noise=0.5))
    assert line.verdict in ("a linear model is as good", "a linear model is better")
    assert line.linear.score < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_better_than_guessing(seed):
    assert search(*table(seed), seed).verdict == "no better than guessing"


def test_the_columns_that_matter_come_first_and_a_group_is_one(found):
    x, y, result = found
    importance = permutation_importance(result, x, y, key=jax.random.key(0))
    assert importance.order[:2].tolist() == [0, 1]
    assert importance.mean[0] > 10 * abs(importance.mean[2])
    assert (importance.spread > 0).all()
    grouped = permutation_importance(result, x, y, [[2, 3], [0, 1]], key=jax.random.key(0))
    assert grouped.order.tolist() == [1, 0]
    assert grouped.mean[1] > importance.mean[0]


def test_it_refuses_what_cannot_be():
    x, y, key = np.ones((9, 2)), np.ones((9, 1)), jax.random.key(0)
    for arguments, options, message in [
        ((x, y[:5]), {}, "y must have a row for each of x"),
        ((x[:, 0], y), {}, r"x must have shape \(n, columns\)"),
        ((x * np.nan, y), {}, "x must hold finite numbers only"),
        ((x, y), {}, "at least 3 rows each; got 5 folds of 9 rows"),
        ((x, y), {"candidates": ()}, "candidates must hold at least one"),
    ]:
        with pytest.raises(ValueError, match=message):
            cross_validate(*arguments, key=key, **options)
    with pytest.raises(TypeError, match=r"criterion must be a jaxmlp\.Criterion"):
        cross_validate(x, y, key=key, criterion=abs)


@pytest.mark.slow
def test_of_50_tables_of_noise_at_least_45_are_called_so(optimised):
    """python -m pytest -m slow tests/test_selection.py, which takes a few minutes"""

    def verdict(seed):
        rng = np.random.default_rng(seed)
        return cross_validate(rng.normal(size=(200, 5)), rng.normal(size=(200, 1)), key=jax.random.key(seed)).verdict

    verdicts = [verdict(seed) for seed in range(50)]
    assert verdicts.count("no better than guessing") >= 45, Counter(verdicts)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_the_3_columns_of_20_that_matter_are_ranked_first(seed, optimised):
    rng = np.random.default_rng(seed)
    x, planted = rng.normal(size=(400, 20)), rng.choice(20, 3, replace=False)
    a, b, c = x[:, planted].T
    y = (a + np.abs(b) + np.sin(2 * c) + 0.3 * rng.normal(size=400))[:, None]
    result = cross_validate(x, y, key=jax.random.key(seed))
    order = permutation_importance(result, x, y, key=jax.random.key(seed)).order
    assert set(order[:3]) == set(planted)
