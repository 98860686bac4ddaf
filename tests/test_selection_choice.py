"""What is chosen among trained models: greedy ensembles, the simpler of equals, cross-fitted; rounds; linear models."""

import jax
import numpy as np
import pytest

import jaxmlp
from jaxmlp.fitting.defaults import Candidate, default_candidates
from jaxmlp.fitting.tasks import task_of
from jaxmlp.selection.crossvalidation import compare, prepare_search
from jaxmlp.selection.ensemble import Library, choose_all, choose_ensemble, cross_fit, describe_choice, make_parts
from jaxmlp.selection.linear import PENALTIES, fit_linear
from jaxmlp.selection.preparation import learn_base_scaling
from jaxmlp.selection.rounds import count_survivors, train_candidates
from jaxmlp.selection.search import Settings, end_of_cycles

pytestmark = pytest.mark.portable
N = 200
RNG = np.random.default_rng(0)
TASK = task_of(jaxmlp.squared_error)
Y = RNG.normal(size=(N, 1))
ALL = np.ones(N, bool)


def noisy(*sizes):
    """Predictions of models whose errors are independent."""
    return np.stack([Y + size * RNG.normal(size=(N, 1)) for size in sizes])


def score(library, weights, rows=ALL):
    return float(TASK.score(library.errors(weights, rows)))


def test_an_ensemble_of_equally_good_networks_is_better_than_each_and_leaves_poor_ones_out():
    library = Library(noisy(1, 1, 1, 9), noisy(2), Y, TASK)
    weights = choose_ensemble(library, ALL)
    assert weights.sum() == pytest.approx(1)
    assert (weights[:3] > 0.2).all()
    assert weights[3:].tolist() == [0, 0]
    assert score(library, weights) < 0.7 * min(score(library, library.choose(range(k, k + 1), ALL)) for k in range(3))


def test_a_network_that_diverged_is_never_chosen():
    networks = noisy(1, 1)
    networks[0, 5] = np.nan
    library = Library(networks, noisy(2), Y, TASK)
    for blends in (True, False):
        assert choose_all(library, ALL, blends=blends)["model"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(("networks", "linear", "chosen"), [(1, 5, "network"), (5, 1, "linear"), (1, 1, "mean")])
def test_the_best_of_network_linear_and_mean_is_chosen(networks, linear, chosen):
    library = Library(noisy(networks), noisy(9, linear), Y, TASK)
    choices = choose_all(library, ALL, blends=True)
    assert describe_choice(library, choices["model"]) == chosen
    assert choices["linear"].tolist() == [0, 0, 1]
    assert score(library, choices["model"]) == min(score(library, weights) for weights in choices.values())


def test_of_models_within_one_standard_error_the_simpler_is_chosen():
    network, signs = noisy(1), np.tile([[1.0], [-1.0]], (N // 2, 1))
    library = Library(network, Y + (network - Y) * (1 + 0.1 * signs), Y, TASK)
    assert describe_choice(library, choose_all(library, ALL, blends=True)["model"]) == "linear"


def test_a_single_row_chooses_the_simplest_model():
    library = Library(noisy(1), noisy(5), Y, TASK)
    assert describe_choice(library, choose_all(library, np.arange(N) == 0, blends=True)["model"]) == "linear"


def test_the_choice_for_a_part_does_not_depend_on_its_targets():
    parts = np.arange(N) % 5
    networks = noisy(1, 1.2, 3)
    other = np.where((parts == 2)[:, None], 50 * Y, Y)
    first, second = (cross_fit(Library(networks, noisy(9), y, TASK), parts, _networks) for y in (Y, other))
    np.testing.assert_array_equal(first["network"][parts == 2], second["network"][parts == 2])
    assert not np.array_equal(first["network"], second["network"])


def _networks(library, rows):
    return {"network": choose_ensemble(library, rows)}


def test_the_rows_of_a_single_hold_out_are_chosen_in_five_parts():
    fold = np.where(np.arange(N) < 50, 0, -1)
    parts = make_parts(fold, RNG)
    assert ((parts == -1) == (fold == -1)).all()
    assert np.bincount(parts[:50]).tolist() == [10] * 5
    folds = np.arange(N) % 3
    assert make_parts(folds, RNG) is folds


def test_each_cycle_is_twice_as_long_and_half_as_many_candidates_run_it():
    assert end_of_cycles(150, 4) == [10, 30, 70, 150]
    assert end_of_cycles(2, 4) == [1, 2]
    assert end_of_cycles(9, 1) == [9]
    assert [count_survivors(8, cycle) for cycle in range(4)] == [8, 8, 4, 2]
    assert [count_survivors(1, cycle) for cycle in range(4)] == [1] * 4


def test_settings_of_a_table_differ_in_bins_decay_layers_and_the_logarithm():
    candidates = default_candidates(has_log=True)
    assert {candidate.bins for candidate in candidates} == {0, 16, 48}
    assert {candidate.bins for candidate in default_candidates(n=500)} == {0, 16, 48}
    assert {candidate.bins for candidate in default_candidates(n=499)} == {0, 16, 128}
    assert {candidate.is_log for candidate in candidates} == {False, True}
    assert {candidate.hidden for candidate in candidates} == {(128, 128), (256,)}
    assert len(set(candidates)) == len(candidates)
    fixed = default_candidates(weight_decay=0.5, hidden=(7,))
    assert {candidate.weight_decay for candidate in fixed} == {0.5}
    assert {candidate.hidden for candidate in fixed} == {(7,)}
    assert len(fixed) == 5  # by bins and learning rate


@pytest.fixture(scope="module")
def classes():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 3))
    codes = (x[:, 0] + 0.5 * rng.normal(size=N) > 0).astype(int) + (x[:, 1] > 1)
    settings = Settings(3, 1, 8, 16, 0, 4, "adam", jaxmlp.relu, jaxmlp.softmax_cross_entropy)
    search = prepare_search(x, np.eye(3)[codes], settings, jax.random.key(0))
    candidates = [Candidate(0.01, 0.1, (8,), 4), Candidate(0.003, 0.1, (8,), 4)]
    return x, codes, search, train_candidates(search, candidates)


@pytest.mark.extended
def test_logistic_regression_is_scikit_learns(classes):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, codes, search, _ = classes
    prepared = search.prepared
    linear = fit_linear(prepared, jaxmlp.softmax_cross_entropy)
    assert linear.predictions.shape == (len(PENALTIES), N, 3)
    np.testing.assert_allclose(linear.predictions.sum(axis=2), 1, rtol=1e-6)
    k, rows, held_out = PENALTIES.index(1e-2), prepared.used[0], prepared.folds.number == 0
    z = (x - x[rows].mean(axis=0)) / x[rows].std(axis=0)
    expected = linear_model.LogisticRegression(C=1 / (1e-2 * len(rows)), tol=1e-8, max_iter=1000)
    expected.fit(z[rows], codes[rows])
    np.testing.assert_allclose(linear.predictions[k][held_out], expected.predict_proba(z[held_out]), atol=2e-3)


def test_ridge_regression_of_very_many_columns_is_minimized_to_the_same_predictions(monkeypatch):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 3))
    y = x[:, :1] - 2 * x[:, 1:2] + 0.1 * rng.normal(size=(60, 1))
    settings = Settings(2, 1, 8, 16, 0, 4, "adam", jaxmlp.relu, jaxmlp.squared_error)
    prepared = prepare_search(x, y, settings, jax.random.key(0)).prepared
    solved = fit_linear(prepared, jaxmlp.squared_error)
    monkeypatch.setattr("jaxmlp.selection.linear._MOST_COLUMNS", 2)
    minimized = fit_linear(prepared, jaxmlp.squared_error)
    np.testing.assert_allclose(minimized.predictions[:4], solved.predictions[:4], rtol=0.05, atol=0.05)


def test_a_search_keeps_networks_after_each_cycle_and_measures_what_it_chooses(classes):
    _, _, search, trained = classes
    epochs = [snapshot.epoch for snapshot in trained.trainings[0].snapshots]
    assert epochs[:2] == end_of_cycles(8, 4)[:2]
    result = compare(search, trained, blends=True)
    assert set(result.measured) == {"model", "network", "linear", "mean", "constant"}
    assert result.temperature is not None
    np.testing.assert_allclose(result.model.predictions.sum(axis=1), 1, rtol=1e-6)
    assert sum(group.weights.sum() for group in result.groups) == pytest.approx(1)
    assert result.model.score < result.constant.score


def test_the_mean_of_what_a_fold_chose_is_the_prediction_of_its_networks(classes):
    _, _, search, trained = classes
    result = compare(search, trained, blends=False)
    for fold in range(3):
        rows = result.fold == fold
        model = jaxmlp.Model(tuple(result.networks_of(fold)), criterion=jaxmlp.softmax_cross_entropy)
        expected = [
            own for own in trained.predictions() if _is_close(jaxmlp.predict(model, classes[0][rows]), own[rows])
        ]
        assert len(expected) == 1


def _is_close(predictions, others):
    return np.allclose(predictions, others, atol=1e-5)


def test_far_values_do_not_make_others_equal_in_float32():
    x = np.r_[np.linspace(0, 1, 50), 1e12][:, None]
    scaled = learn_base_scaling(x).apply(x).astype(np.float32)
    assert len(np.unique(scaled)) == 51
    binary = np.r_[np.zeros(5), np.ones(5)][:, None]
    np.testing.assert_array_equal(learn_base_scaling(binary).apply(binary), binary)
