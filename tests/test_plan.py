"""The plan of a search: given options fix it, and time decides only how many candidates and epochs run."""

from dataclasses import replace

import numpy as np
import pytest

from jaxmlp.fitting.defaults import CYCLES, Candidate, default_candidates, default_epochs
from jaxmlp.pipeline.plan import Plan, estimate, fit_to_budget, full_plan, read_plan, require_agreement

pytestmark = pytest.mark.portable

FULL = full_plan(1000, {})
FAST = full_plan(1000, {"fast": True})


def test_the_full_plan_tries_six_candidates_in_five_folds_and_four_cycles():
    assert (FULL.folds, FULL.members, FULL.optimizer, FULL.activation) == (5, None, "adam", "gelu")
    assert (FULL.cycles, FULL.patience) == (CYCLES, None) == (4, None)
    assert FULL.candidates == default_candidates()
    assert len(set(FULL.candidates)) == 6
    assert {candidate.hidden for candidate in FULL.candidates} == {(128, 128), (256,)}
    assert FULL.epochs == default_epochs(800, FULL.batch_size)


def test_a_fast_plan_differs_in_folds_and_candidates_only():
    assert (FAST.folds, FAST.candidates) == (1, FULL.candidates[:1])
    assert replace(FAST, folds=5, candidates=FULL.candidates) == FULL


def test_the_logarithm_of_the_target_is_tried_by_one_more_candidate_if_it_may_be_learned():
    plan = full_plan(1000, {}, has_log=True)
    assert tuple(candidate for candidate in plan.candidates if not candidate.is_log) == FULL.candidates
    assert len(plan.candidates) == len(FULL.candidates) + 1
    assert full_plan(1000, {"fast": True}, has_log=True) == FAST


@pytest.mark.parametrize("n", [6, 7, 14, 15, 10**7])
def test_few_rows_make_fewer_folds_of_three_rows_or_more(n):
    assert full_plan(n, {}).folds == min(5, n // 3)


GIVEN = {
    "hidden": (3, 2), "activation": "tanh", "optimizer": "sgd", "epochs": 7, "batch_size": 5, "patience": 6,
    "members": 4,
}  # fmt: skip


def value_of(plan, name):
    """The value of an option: of the plan, or of all its candidates."""
    if name != "hidden":
        return getattr(plan, name)
    (hidden,) = {candidate.hidden for candidate in plan.candidates}
    return hidden


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", GIVEN)
def test_a_given_option_is_fixed_in_the_plan(name, fast):
    plan, default = (full_plan(1000, options | {"fast": fast}) for options in ({name: GIVEN[name]}, {}))
    assert value_of(plan, name) == GIVEN[name]
    follow = {"batch_size": {"epochs"}, "patience": {"cycles"}, "optimizer": {"candidates"}, "hidden": {"candidates"}}
    changed = {field for field, value in vars(plan).items() if value != getattr(default, field)}
    assert changed <= {name} | follow.get(name, set())


def test_with_patience_there_is_one_cycle():
    assert (full_plan(1000, {"patience": 6}).cycles, full_plan(1000, {}).cycles) == (1, 4)


@pytest.mark.parametrize("fast", [False, True])
def test_a_given_learning_rate_or_weight_decay_is_the_same_in_all_candidates(fast):
    for name, different in {"learning_rate": 6, "weight_decay": 5}.items():
        plan = full_plan(1000, {name: 1, "fast": fast})
        assert {getattr(candidate, name) for candidate in plan.candidates} == {1.0}
        assert len(set(plan.candidates)) == len(plan.candidates) == (1 if fast else different)
        assert read_plan(plan.to_json()).to_json() == plan.to_json()  # 1.0 too, as a checkpoint compares it
    both = full_plan(1000, {"learning_rate": 0.5, "weight_decay": 0.0, "fast": fast})
    shapes = [((128, 128), 16), ((128, 128), 0), ((256,), 16), ((128, 128), 48), ((256,), 0)][: 1 if fast else 5]
    assert both.candidates == tuple(Candidate(0.5, 0.0, hidden, bins) for hidden, bins in shapes)


def draws(count=300):
    rng = np.random.default_rng(0)
    for _ in range(count):
        options = {name: value for name, value in GIVEN.items() if rng.random() < 0.3}
        about = options | {"fast": rng.random() < 0.3}
        plan = full_plan(int(10 ** rng.uniform(0.8, 7)), about, has_log=rng.random() < 0.5)
        scale = 10 ** rng.uniform(-6, 3)
        yield plan, options, lambda each, scale=scale: scale * (10 + each.bins), 10 ** rng.uniform(-2, 5)


def test_time_changes_only_the_numbers_of_candidates_and_epochs():
    for plan, options, cost, seconds in draws():
        reduced = fit_to_budget(plan, cost, seconds, options)
        count = len(reduced.candidates)
        assert reduced.candidates == plan.candidates[:count]
        assert replace(reduced, candidates=plan.candidates, epochs=plan.epochs) == plan
        assert all(value_of(reduced, name) == value for name, value in options.items())
        assert reduced.epochs == plan.epochs or count == 1


def test_a_reduced_plan_fits_into_the_time_and_no_larger_one_does():
    for plan, options, cost, seconds in draws():
        reduced = fit_to_budget(plan, cost, seconds, options)
        smallest = len(reduced.candidates) == 1 and (reduced.epochs == 1 or "epochs" in options)
        assert smallest or estimate(reduced, cost) <= seconds * (1 + 1e-9)
        if reduced.epochs < plan.epochs:
            larger = replace(reduced, epochs=reduced.epochs + 1)
        else:
            larger = replace(reduced, candidates=plan.candidates[: len(reduced.candidates) + 1])
        assert larger in (reduced, plan) or estimate(larger, cost) > seconds * (1 - 1e-9)


def test_more_time_never_makes_a_smaller_plan():
    for plan, options, cost, seconds in draws():
        less = fit_to_budget(plan, cost, seconds, options)
        more = fit_to_budget(plan, cost, seconds * 3, options)
        assert len(more.candidates) >= len(less.candidates)
        assert more.epochs >= less.epochs
        assert fit_to_budget(plan, cost, 1e12, options) == plan


@pytest.mark.parametrize("seconds", [0, -5.0])
def test_without_time_one_candidate_runs_for_one_epoch(seconds):
    reduced = fit_to_budget(FULL, lambda candidate: 0.1, seconds)
    assert (len(reduced.candidates), reduced.epochs) == (1, 1)


def test_a_plan_is_read_back_from_json():
    for plan, *_ in draws(20):
        assert read_plan(plan.to_json()) == plan


def change(**fields):
    return FULL.to_json() | fields


CANDIDATE = FULL.to_json()["candidates"][0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"folds": 5}, "plan must have the fields activation, batch_size"),
        (change(more=1), "plan must have the fields"),
        (change(folds=0), "plan: a plan must have at least one candidate, and no number below 1"),
        (change(candidates=[CANDIDATE | {"hidden": [8, 0]}]), "no number below 1"),
        (change(candidates=[CANDIDATE | {"bins": -1}]), "no number below 1"),
        (change(cycles=0), "no number below 1"),
        (change(hidden=[8]), "plan must have the fields"),
        (change(epochs=2**40), "no number below 1 or above 10000000"),
        (change(candidates=[]), "at least one candidate"),
        (change(candidates=[CANDIDATE | {"learning_rate": -1.0}]), "must be finite and at least 0"),
        (change(candidates=[{"learning_rate": 0.1}]), r"plan.candidates\[0\] must have the fields"),
        (change(epochs="9"), "plan.epochs must be a whole number; got '9'"),
        (change(epochs=1.5), "plan.epochs must be a whole number"),
        (change(activation="swish"), "activation must be one of identity, relu"),
        (change(optimizer="lbfgs"), "optimizer must be one of adam, sgd; got 'lbfgs'"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read_plan(content)


@pytest.mark.parametrize("options", [{"learning_rate": float("nan")}, {"weight_decay": -0.1}, {"epochs": -3}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="at least"):
        full_plan(100, options)


def test_options_that_agree_with_the_plan_are_accepted():
    same = {"optimizer": "adam", "epochs": FULL.epochs}
    one = {"fast": True, "weight_decay": 0.1, "hidden": (128, 128), "learning_rate": 0.003}
    for plan, options in ((FULL, {}), (FULL, same), (FAST, one)):
        assert require_agreement(plan, options) is plan


@pytest.mark.parametrize("options", [GIVEN, {"learning_rate": 0.02}, {"fast": True}, {"weight_decay": 0.5}])
def test_options_that_contradict_the_plan_are_named(options):
    """A learning rate must be that of all candidates."""
    with pytest.raises(ValueError, match=f"^{', '.join(options)} cannot be given: the plan has other values "):
        require_agreement(FULL, options)


def test_a_contradiction_names_both_values():
    options = {"epochs": 9, "hidden": (8, 4), "learning_rate": 0.5, "fast": True}
    with pytest.raises(ValueError) as refused:
        require_agreement(FULL, options)
    values = (f"epochs {FULL.epochs}, not 9", "hidden 128, 128, 256, not 8, 4", "learning_rate 0.003, 0.03, not 0.5")
    assert all(text in str(refused.value) for text in (*values, "fast False, not True"))


def test_a_plan_is_data():
    assert Plan(**vars(FULL)) == FULL
    assert hash(FULL) == hash(full_plan(1000, {}))
