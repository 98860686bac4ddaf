"""The plan of a search: given options fix it, and time decides only how many candidates and epochs run."""

from dataclasses import replace

import numpy as np
import pytest

from jaxmlp.fitting.defaults import SINGLE, Candidate, default_candidates, default_epochs
from jaxmlp.pipeline.plan import Plan, fit_to_budget, full_plan, read_plan, require_agreement

pytestmark = pytest.mark.portable

FULL = full_plan(1000, {})
FAST = full_plan(1000, {"fast": True})


def test_the_full_plan_tries_four_candidates_in_five_folds():
    assert (FULL.folds, FULL.members, FULL.hidden, FULL.optimizer, FULL.activation) == (5, 2, (100,), "adam", "relu")
    assert FULL.candidates == default_candidates()
    assert len(FULL.candidates) == 4
    assert FULL.epochs == default_epochs(800, FULL.batch_size)


def test_a_fast_plan_differs_in_folds_candidates_and_members_only():
    assert (FAST.folds, FAST.members, FAST.candidates) == (1, 1, (SINGLE["adam"],))
    assert replace(FAST, folds=5, members=2, candidates=FULL.candidates) == FULL


@pytest.mark.parametrize("n", [6, 7, 14, 15, 10**7])
def test_few_rows_make_fewer_folds_of_three_rows_or_more(n):
    assert full_plan(n, {}).folds == min(5, n // 3)


GIVEN = {
    "hidden": (3, 2), "activation": "tanh", "optimizer": "sgd", "epochs": 7, "batch_size": 5, "patience": 6,
    "members": 4,
}  # fmt: skip


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", GIVEN)
def test_a_given_option_is_fixed_in_the_plan(name, fast):
    plan = full_plan(1000, {name: GIVEN[name], "fast": fast})
    assert getattr(plan, name) == GIVEN[name]
    follow = {"epochs": {"patience"}, "batch_size": {"epochs", "patience"}, "optimizer": {"candidates"}}
    default = FAST if fast else FULL
    changed = {field for field, value in vars(plan).items() if value != getattr(default, field)}
    assert changed <= {name} | follow.get(name, set())


@pytest.mark.parametrize("fast", [False, True])
def test_a_given_learning_rate_or_weight_decay_is_the_same_in_all_candidates(fast):
    for name in Candidate._fields:
        plan = full_plan(1000, {name: 1, "fast": fast})
        assert {getattr(candidate, name) for candidate in plan.candidates} == {1.0}
        assert len(plan.candidates) == (1 if fast else 2)
        assert read_plan(plan.to_json()).to_json() == plan.to_json()  # 1.0 too, as a checkpoint compares it
    both = full_plan(1000, {"learning_rate": 0.5, "weight_decay": 0.0, "fast": fast})
    assert both.candidates == (Candidate(0.5, 0.0),)


def cost(plan, seconds_per_epoch):
    return len(plan.candidates) * plan.epochs * seconds_per_epoch


def draws(count=300):
    rng = np.random.default_rng(0)
    for _ in range(count):
        options = {name: value for name, value in GIVEN.items() if rng.random() < 0.3}
        plan = full_plan(int(10 ** rng.uniform(0.8, 7)), options | {"fast": rng.random() < 0.3})
        yield plan, options, 10 ** rng.uniform(-6, 3), 10 ** rng.uniform(-2, 5)


def test_time_changes_only_the_numbers_of_candidates_and_epochs():
    for plan, options, seconds_per_epoch, seconds in draws():
        reduced = fit_to_budget(plan, seconds_per_epoch, seconds, options)
        count = len(reduced.candidates)
        assert reduced.candidates == plan.candidates[:count]
        assert replace(reduced, candidates=plan.candidates, epochs=plan.epochs, patience=plan.patience) == plan
        assert all(getattr(reduced, name) == value for name, value in options.items())
        assert reduced.epochs == plan.epochs or count == 1
        assert reduced.patience <= plan.patience


def test_a_reduced_plan_fits_into_the_time_and_no_larger_one_does():
    for plan, options, seconds_per_epoch, seconds in draws():
        reduced = fit_to_budget(plan, seconds_per_epoch, seconds, options)
        smallest = len(reduced.candidates) == 1 and (reduced.epochs == 1 or "epochs" in options)
        assert smallest or cost(reduced, seconds_per_epoch) <= seconds * (1 + 1e-9)
        if reduced.epochs < plan.epochs:
            larger = replace(reduced, epochs=reduced.epochs + 1)
        else:
            larger = replace(reduced, candidates=plan.candidates[: len(reduced.candidates) + 1])
        assert larger in (reduced, plan) or cost(larger, seconds_per_epoch) > seconds * (1 - 1e-9)


def test_more_time_never_makes_a_smaller_plan():
    for plan, options, seconds_per_epoch, seconds in draws():
        less = fit_to_budget(plan, seconds_per_epoch, seconds, options)
        more = fit_to_budget(plan, seconds_per_epoch, seconds * 3, options)
        assert len(more.candidates) >= len(less.candidates)
        assert more.epochs >= less.epochs
        assert fit_to_budget(plan, seconds_per_epoch, 1e12, options) == plan


@pytest.mark.parametrize("seconds", [0, -5.0])
def test_without_time_one_candidate_runs_for_one_epoch(seconds):
    reduced = fit_to_budget(FULL, 0.1, seconds)
    assert (len(reduced.candidates), reduced.epochs, reduced.patience) == (1, 1, 1)


def test_a_plan_is_read_back_from_json():
    for plan, *_ in draws(20):
        assert read_plan(plan.to_json()) == plan


def change(**fields):
    return FULL.to_json() | fields


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"folds": 5}, "plan must have the fields activation, batch_size"),
        (change(more=1), "plan must have the fields"),
        (change(folds=0), "plan: a plan must have at least one candidate, and no number below 1"),
        (change(hidden=[8, 0]), "no number below 1"),
        (change(epochs=2**40), "no number below 1 or above 10000000"),
        (change(candidates=[]), "at least one candidate"),
        (change(candidates=[{"learning_rate": -1.0, "weight_decay": 0.0}]), "must be finite and at least 0"),
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
    same = {"hidden": (100,), "optimizer": "adam", "epochs": FULL.epochs, "members": 2}
    for plan, options in (
        (FULL, {}), (FULL, same), (FAST, {"fast": True, "learning_rate": SINGLE["adam"].learning_rate}),
    ):  # fmt: skip
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
    values = (f"epochs {FULL.epochs}, not 9", "hidden 100, not 8, 4", "learning_rate 0.02, 0.003, not 0.5")
    assert all(text in str(refused.value) for text in (*values, "fast False, not True"))


def test_a_plan_is_data():
    assert Plan(**vars(FULL)) == FULL
    assert hash(FULL) == hash(full_plan(1000, {}))
