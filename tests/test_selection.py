"""Cross-validation: nothing leaks, scores are what their names say, and the verdict follows from them."""

import pickle
from collections import Counter
from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers import assert_equal

import jaxmlp
from jaxmlp.ensembles.members import is_ensemble
from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.targets import learn_target_scaling
from jaxmlp.fitting.tasks import task_of
from jaxmlp.selection import adjusted_score, cross_validate, partial_dependence, permutation_importance
from jaxmlp.selection.crossvalidation import prepare_search
from jaxmlp.selection.importance import error_of_growth
from jaxmlp.selection.linear import fit_linear
from jaxmlp.selection.scores import is_better, score_predictions
from jaxmlp.selection.search import Settings, measure_epoch

pytestmark = pytest.mark.portable
N, FOLDS, SEEDS = 90, 3, 2
# One set of shapes for all searches here, and so one program.
SMALL = {"hidden": (8,), "folds": FOLDS, "seeds": SEEDS, "epochs": 60, "batch_size": 16}
SETTINGS = Settings(FOLDS, SEEDS, 60, 16, 20, 1, "adam", jaxmlp.relu, jaxmlp.squared_error)
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
def result_of_curve():
    x, y = table(0, curved)
    return x, y, search(x, y)


def test_predictions_are_those_of_networks_that_were_not_trained_on_the_row(result_of_curve):
    x, y, result = result_of_curve
    assert is_ensemble(result.params)
    assert result.params[0].w.shape == (FOLDS * SEEDS, 4, 8)
    for fold in range(FOLDS):
        members = jax.tree.map(lambda leaf, fold=fold: leaf[fold * SEEDS : (fold + 1) * SEEDS], result.params)
        rows = result.fold == fold
        mean, _ = jaxmlp.predict_ensemble(members, x[rows])
        mean = learn_target_scaling(y[~rows], result.task).clip(np.asarray(mean))
        np.testing.assert_allclose(mean, result.scores[result.best].predictions[rows], rtol=1e-4)


def test_a_model_of_the_group_predicts_what_the_networks_predict(result_of_curve):
    x, _, result = result_of_curve
    model = jaxmlp.Model(result.groups)
    mean, std = jaxmlp.predict_with_std(model, x)
    expected_mean, expected_std = jaxmlp.predict_ensemble(result.params, x)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-4)
    np.testing.assert_allclose(std, expected_std, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("moved", ["x", "y"])
def test_a_large_constant_in_inputs_or_targets_changes_nothing(result_of_curve, moved):
    x, y, result = result_of_curve
    x, y = (x + 1.7e9, y) if moved == "x" else (x, y + 1.7e9)
    other = search(x, y)
    assert other.network.score == pytest.approx(result.network.score, rel=1e-4)
    model = jaxmlp.Model(other.groups)
    error = np.sqrt(np.mean((jaxmlp.predict(model, x) - y) ** 2))
    assert error < 1.1 * other.network.score
    with pytest.raises(ValueError, match=rf"^column 0 of {moved} has values near 1.7e\+09 .*; use jaxmlp.Model"):
        _ = other.params


def test_held_out_rows_change_no_network_of_their_fold(result_of_curve):
    x, y, result = result_of_curve
    rows = np.flatnonzero(result.fold == 1)
    x_other, y_other = x.copy(), y.copy()
    x_other[rows], y_other[rows] = 3 * x[rows][::-1] + 1, -5 * y[rows]
    twins = SMALL | {"candidates": ((0.03, 0.0), (0.03, 0.0))}  # the first of equal candidates is the best
    first = cross_validate(x, y, key=jax.random.key(0), **twins)
    second = cross_validate(x_other, y_other, key=jax.random.key(0), **twins)
    assert first.scores[0].score == first.scores[1].score  # candidates differ in their hyperparameters only

    def of(result, fold):
        return jax.tree.map(lambda leaf: np.asarray(leaf[fold * SEEDS : (fold + 1) * SEEDS]), result.params)

    # The scaling by all rows is absorbed into the weights, which rounds them.
    for leaf, other in zip(jax.tree.leaves(of(second, 1)), jax.tree.leaves(of(first, 1)), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-4)
    for fold in (0, 2):
        assert not np.allclose(of(second, fold)[0].w, of(first, fold)[0].w, rtol=0.01)


def test_the_same_key_gives_the_same_bits(result_of_curve):
    x, y, result = result_of_curve
    assert_equal(search(x, y).params, result.params)


def test_a_result_can_be_pickled(result_of_curve):
    *_, result = result_of_curve
    copy = pickle.loads(pickle.dumps(result))
    assert_equal(copy.params, result.params)
    assert copy.verdict == result.verdict


def test_a_far_row_costs_no_digits_of_the_fold_that_holds_it_out(result_of_curve):
    x, y, result = result_of_curve
    x, y, fold = x.copy(), y.copy(), result.fold[0]
    x[0, 1] = y[0] = 1e10
    far = search(x, y)
    rows = np.flatnonzero(far.fold == fold)[1:]
    predictions = jaxmlp.predict(jaxmlp.Model(tuple(far.networks_of(fold))), x[rows])
    np.testing.assert_allclose(predictions, far.scores[far.best].predictions[rows], rtol=1e-4)


def test_the_linear_baseline_is_solved_exactly():
    x, y = table(0, lambda z: 30 + z @ [[1.0], [0.0], [-2.0], [0.5]], noise=0.0)
    result = search(x, y)
    assert result.linear.score < result.network.score
    exact = np.isclose(result.linear.predictions, y, rtol=1e-4)
    assert exact.mean() > 0.95
    # The others are beyond the training range of their fold, and clipped.
    assert np.abs(y[~exact] - np.median(y)).min() > np.abs(y[exact] - np.median(y)).max() - 1


def test_a_penalty_helps_where_there_are_more_columns_than_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 80)) + rng.normal(size=(60, 1))
    y = x.mean(axis=1, keepdims=True) + 0.5 * rng.normal(size=(60, 1))
    linear = fit_linear(prepare_search(x, y, SETTINGS, jax.random.key(0)).prepared, jaxmlp.squared_error)
    errors = np.sqrt(np.mean((linear.predictions - y) ** 2, axis=(1, 2)))
    assert errors.min() < 1.02 * y.std()
    assert errors[0] > 1.2 * errors.min()  # hardly any penalty


@pytest.mark.extended
def test_classes_that_a_fold_does_not_have_cost_the_constant_baseline_little():
    rng = np.random.default_rng(0)
    classes = np.r_[np.repeat([0, 1], 41), np.arange(2, 10)]  # eight of one row each
    result = cross_validate(
        rng.normal(size=(N, 4)), np.eye(10)[classes], key=jax.random.key(0), criterion=jaxmlp.softmax_cross_entropy,
        **SMALL | {"hidden": ()},
    )  # fmt: skip
    np.testing.assert_allclose(result.constant.predictions.sum(axis=1), 1)
    assert result.constant.row_errors.max() < np.log(4 * N)
    assert result.verdict == "no better than the constant baseline"
    assert result.unjudged == tuple(range(2, 10))
    assert result.method.endswith("8 classes have a single row and cannot be judged")


def test_scores_are_what_their_names_say(result_of_curve):
    _, y, result = result_of_curve
    errors = y - result.network.predictions
    np.testing.assert_allclose(result.network.score, np.sqrt(np.mean(errors**2)))
    scores = [score.score for score in result.scores]
    # The best candidate of each fold is chosen by the other folds, so the score is no lower than the lowest.
    assert scores[result.best] == min(scores) <= result.network.score
    means = [y[result.fold != fold].mean() for fold in range(FOLDS)]
    np.testing.assert_allclose(result.constant.predictions[:, 0], np.array(means)[result.fold], rtol=1e-6)
    assert result.n_networks == FOLDS * 2 * SEEDS
    assert result.method.startswith("RMSE on 90 held-out rows, 3 folds, 12 networks")
    assert "What predicts the rows of a fold was chosen by the rows of the others" in result.method
    assert repr(result).startswith("CrossValidation(RMSE: network ")


def test_the_adjusted_score_is_lower_by_what_averaging_the_folds_gains_on_all_rows(result_of_curve):
    x, y, result = result_of_curve
    folds = [jaxmlp.Model(tuple(result.networks_of(k)), criterion=result.criterion) for k in range(result.folds)]
    predictions = np.stack([np.asarray(jaxmlp.predict(model, x)) for model in folds])
    gain = np.var(predictions, axis=0).mean()  # of squared errors, whatever the targets
    expected = np.sqrt(result.model.score**2 - gain)
    assert 0 < expected < result.model.score
    adjusted = adjusted_score(result, x, y, key=jax.random.key(0))
    assert adjusted == pytest.approx(expected, rel=1e-5)


def test_data_of_another_shape_than_in_the_search_are_refused(result_of_curve):
    x, y, result = result_of_curve
    key, sources = jax.random.key(0), [np.arange(3)]
    for inspect in (adjusted_score, permutation_importance):
        with pytest.raises(ValueError, match=r"y must have shape \(90, 1\), as in the search; got \(90,\)"):
            inspect(result, x, y[:, 0], key=key)
        with pytest.raises(ValueError, match=r"x must have shape \(90, 4\), as in the search; got \(90, 3\)"):
            inspect(result, x[:, 1:], y, key=key)
    with pytest.raises(ValueError, match=r"x must have shape \(90, 4\), as in the search; got \(80, 4\)"):
        partial_dependence(result, x[10:], [[1]], sources, key=key)
    with pytest.raises(TypeError, match="permutation_importance is a Python loop"):
        jax.jit(lambda x: permutation_importance(result, x, y, key=key).mean)(x)


def test_the_adjusted_score_weights_folds_by_their_rows_and_allows_negative_errors(result_of_curve):
    x, y, result = result_of_curve
    fold = np.where(np.arange(N) < 80, 0, np.arange(N) % 2 + 1)
    errors = np.full(N, -1.0)
    task = replace(result.task, is_root=False, row_error=lambda p, y: ((p - y) ** 2).sum(axis=-1) - 1000)
    model = result.model._replace(row_errors=errors)
    other = replace(result, fold=fold, task=task, measured=result.measured | {"model": model})
    folds = [jaxmlp.Model(tuple(result.networks_of(k)), criterion=result.criterion) for k in range(FOLDS)]
    predictions = np.stack([np.asarray(jaxmlp.predict(network, x)) for network in folds])
    of_fold = ((predictions - y) ** 2).mean(axis=(1, 2))
    gain = of_fold @ np.bincount(fold) / N - ((predictions.mean(axis=0) - y) ** 2).mean()
    assert adjusted_score(other, x, y, key=jax.random.key(0)) == pytest.approx(-1 - gain, rel=1e-4)


@pytest.mark.extended
def test_a_single_fold_is_a_hold_out_of_a_fifth():
    x, y = table(0, curved)
    result = cross_validate(x, y, key=jax.random.key(0), **SMALL | {"folds": 1, "candidates": ((0.03, 0.0),)})
    held_out = result.fold == 0
    assert held_out.sum() == 18
    assert set(result.fold) == {-1, 0}
    assert np.isnan(result.network.predictions[~held_out]).all()
    assert np.isfinite(result.network.predictions[held_out]).all()
    assert len(result.network.row_errors) == 18
    assert result.network.score < result.constant.score
    assert "a single hold-out" in result.method
    assert adjusted_score(result, x, y, key=jax.random.key(0)) == result.model.score
    importance = permutation_importance(result, x, y, key=jax.random.key(0))
    assert set(importance.order[:2].tolist()) == {0, 1}


def test_a_search_that_is_interrupted_resumes_to_the_same_bits(tmp_path, result_of_curve):
    x, y, whole = result_of_curve

    def interrupt(share):
        if share > 0.6:  # in the second candidate
            raise KeyboardInterrupt

    options = SMALL | {"key": jax.random.key(0), "checkpoint": tmp_path}
    part = cross_validate(x, y, progress=interrupt, **options)
    assert part.interrupted
    resumed = cross_validate(x, y, resume=True, **options)
    assert not resumed.interrupted
    assert_equal(resumed.params, whole.params)
    assert [score.score for score in resumed.scores] == [score.score for score in whole.scores]


def test_a_custom_criterion_needs_a_task():
    x, y = table(0, curved)
    custom = jaxmlp.Criterion(lambda outputs, y: ((outputs - y) ** 2).sum(1), jaxmlp.squared_error.derivative)
    with pytest.raises(ValueError, match="task must be given with a custom criterion"):
        cross_validate(x, y, key=jax.random.key(0), criterion=custom, **SMALL)
    task = replace(task_of(jaxmlp.squared_error), error="my error", is_root=False)
    options = SMALL | {"candidates": ((0.03, 0.0),)}
    result = cross_validate(x, y, key=jax.random.key(0), criterion=custom, task=task, **options)
    assert result.method.startswith("my error on 90 held-out rows")
    np.testing.assert_allclose(result.network.score, np.mean((y - result.network.predictions) ** 2))


def test_an_epoch_is_measured_in_seconds():
    x, y = table(0, curved)
    search = prepare_search(x, y, SETTINGS, jax.random.key(0))
    assert 0 < measure_epoch(search, Candidate(0.03, 0.0, (8,)), seconds=0.01) < 1


def test_the_standard_error_is_the_spread_of_the_score_over_tables():
    rng = np.random.default_rng(0)
    task = task_of(jaxmlp.squared_error)
    scores = [score_predictions(np.zeros((200, 1)), rng.normal(size=(200, 1)), task) for _ in range(2000)]
    np.testing.assert_allclose(
        np.mean([score.standard_error for score in scores]), np.std([score.score for score in scores]), rtol=0.1
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
    task = task_of(getattr(jaxmlp, criterion))
    assert score_predictions(predictions, y, task).score == pytest.approx(expected, rel=1e-5)


def test_better_is_more_than_chance():
    y = np.random.default_rng(0).normal(size=(100, 1))
    task = task_of(jaxmlp.squared_error)
    good, same, bad = (score_predictions(share * y, y, task) for share in (0.9, 0.9, 0.0))
    assert is_better(good, bad)
    assert not is_better(bad, good)
    assert not is_better(good, same)


@pytest.mark.parametrize("n", [30, 1500])
def test_a_heavy_tail_does_not_decide_which_score_is_better(n):
    task, rng = task_of(jaxmlp.squared_error), np.random.default_rng(0)
    x = np.append(rng.normal(size=n - 1), 60.0)[:, None]
    far = 3 * x + 0.1 * rng.normal(size=(n, 1))
    skewed = rng.lognormal(0, 3, (n, 1))
    for y, predictions in ((far, 3 * x), (skewed, skewed * (1 + 0.1 * rng.normal(size=(n, 1))))):
        good, bad = (score_predictions(p, y, task) for p in (predictions, np.full_like(y, y.mean())))
        assert is_better(good, bad)
        assert not is_better(bad, good)


@pytest.mark.parametrize("n", [8, 200])
def test_a_heavy_tail_of_noise_is_better_once_in_100_tables(n):
    task, rng = task_of(jaxmlp.squared_error), np.random.default_rng(0)

    def passes():
        y = rng.lognormal(0, 3, (n, 1))
        noise = y.mean() + 0.1 * y.std() * rng.normal(size=(n, 1))
        return is_better(*(score_predictions(p, y, task) for p in (noise, np.full_like(y, y.mean()))))

    assert sum(passes() for _ in range(100)) <= 2


def test_the_verdict_says_which_model_is_better(result_of_curve):
    assert result_of_curve[2].verdict == "better than the constant and the linear baseline"
    line = search(*table(1, lambda z: z[:, :1] - 2 * z[:, 3:], noise=0.5))
    assert line.verdict in ("a linear model is as good", "a linear model is better")
    assert line.linear.score < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_better_than_the_constant_baseline(seed):
    assert search(*table(seed), seed).verdict == "no better than the constant baseline"


def test_the_columns_that_matter_come_first_and_a_group_is_one(result_of_curve):
    x, y, result = result_of_curve
    importance = permutation_importance(result, x, y, key=jax.random.key(0))
    assert importance.order[:2].tolist() == [0, 1]
    assert importance.mean[0] > 10 * abs(importance.mean[2])
    assert (importance.std > 0).all()
    grouped = permutation_importance(result, x, y, [[2, 3], [0, 1]], key=jax.random.key(0))
    assert grouped.order.tolist() == [1, 0]
    assert grouped.mean[1] > importance.mean[0]


def test_the_standard_error_of_an_importance_is_its_standard_deviation_over_tables():
    """Of errors of shuffled and of other rows that are correlated, as those of the same rows are."""
    rng = np.random.default_rng(0)
    for criterion in (jaxmlp.squared_error, jaxmlp.poisson_nll_loss):
        task = task_of(criterion)
        base = rng.exponential(size=(2000, 200))
        errors = base + rng.exponential(2, size=(2000, 200))
        told = [error_of_growth(task, one[None], other)[0] for one, other in zip(errors, base, strict=True)]
        np.testing.assert_allclose(np.mean(told), np.std(task.score(errors) - task.score(base)), rtol=0.1)


def test_a_column_that_matters_does_so_by_many_standard_errors(result_of_curve):
    x, y, result = result_of_curve
    importance = permutation_importance(result, x, y, key=jax.random.key(0))
    assert (importance.mean[:2] > 4 * importance.standard_error[:2]).all()
    assert (np.abs(importance.mean[2:]) < 3 * importance.standard_error[2:]).all()


def test_partial_dependence_is_the_mean_prediction_of_held_out_rows_with_other_values(result_of_curve):
    x, y, result = result_of_curve
    sources = np.argsort(x[:, 1])[::20]
    (own,) = partial_dependence(result, x, [[1]], [sources], key=jax.random.key(0))
    by_fold = np.empty((FOLDS, len(sources)))
    curves = []
    for fold in range(FOLDS):
        members = jax.tree.map(lambda leaf, fold=fold: leaf[fold * SEEDS : (fold + 1) * SEEDS], result.params)
        rows, clip = result.fold == fold, learn_target_scaling(y, result.task).clip
        for k, source in enumerate(sources):
            changed = x[rows].copy()
            changed[:, 1] = x[source, 1]
            curves.append(clip(np.asarray(jaxmlp.predict_ensemble(members, changed)[0]))[:, 0])
            by_fold[fold, k] = curves[-1].mean()
    np.testing.assert_allclose(own.folds[:, :, 0], by_fold, rtol=1e-3)
    np.testing.assert_allclose(own.mean[:, 0], by_fold.mean(axis=0), rtol=1e-3)
    curves = np.reshape(curves, (FOLDS, len(sources), -1)).swapaxes(1, 2).reshape(-1, len(sources))
    moved = curves - curves.mean(axis=1, keepdims=True) + by_fold.mean()
    np.testing.assert_allclose([own.low[:, 0], own.high[:, 0]], np.quantile(moved, (0.1, 0.9), axis=0), rtol=1e-3)


def test_arguments_that_cannot_be_used_are_refused():
    x, y, key = np.ones((9, 2)), np.ones((9, 1)), jax.random.key(0)
    for arguments, options, message in [
        ((x, y[:5]), {}, "y must have a row for each of x"),
        ((x[:, 0], y), {}, r"x must have shape \(n, columns\)"),
        ((x * np.nan, y), {}, "x must hold finite numbers only"),
        ((x, y), {}, "at least 3 rows each; got 5 folds of 9 rows"),
        ((x, y), {"candidates": ()}, "candidates must hold at least one"),
        ((x, y), {"candidates": [(np.nan, 0)]}, r"learning_rate must be a number in the range \[0, inf\); got nan"),
        ((x, y[:, 0]), {}, r"y must have shape \(n, columns\).*pass y\[:, None\], and for class labels jax.nn.one_hot"),
        ((np.ma.array(x, mask=True), y), {}, "x must not be a masked array"),
        ((x, y), {"criterion": jaxmlp.softmax_cross_entropy}, "softmax_cross_entropy with one output"),
        ((x, y), {"epochs": 0}, "epochs must be a whole number of at least 1; got 0"),
        ((x, y), {"batch_size": -1}, "batch_size must be a whole number of at least 1; got -1"),
        ((x, y), {"optimizer": "lbfgs"}, "optimizer must be one of adam, sgd; got 'lbfgs'"),
        (
            (x, np.eye(9)), {"criterion": jaxmlp.softmax_cross_entropy, "folds": 1},
            "too few rows for a single hold-out .* of 9 rows of 9 classes, each of which keeps a row to train on",
        ),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            cross_validate(*arguments, key=key, **options)
    with pytest.raises(TypeError, match=r"criterion must be a jaxmlp\.Criterion"):
        cross_validate(x, y, key=key, criterion=abs)


@pytest.mark.slow
def test_at_least_45_of_50_tables_of_noise_are_recognized(optimised):
    """`python -m pytest -m slow tests/test_selection.py` takes a few minutes."""

    def verdict(seed):
        rng = np.random.default_rng(seed)
        return cross_validate(rng.normal(size=(200, 5)), rng.normal(size=(200, 1)), key=jax.random.key(seed)).verdict

    verdicts = [verdict(seed) for seed in range(50)]
    assert verdicts.count("no better than the constant baseline") >= 45, Counter(verdicts)


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
