"""The plan of a search: everything that decides its result, given table and seed."""

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxmlp._validation import require_known
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.fitting.defaults import (
    CYCLES,
    SEARCH_FOLDS,
    Candidate,
    default_batch_size,
    default_candidates,
    default_epochs,
)
from jaxmlp.fitting.optimizers import OPTIMIZERS
from jaxmlp.selection.rounds import count_survivors
from jaxmlp.selection.search import end_of_cycles
from jaxmlp.storage.json import JsonObject, from_json, to_json

Options = Mapping[str, Any]  # What the user has fixed, by name; see `full_plan`.
_MOST = 10**7  # As the command's options: more fit no table, and no int32.


@dataclass(frozen=True)
class Plan:
    """Everything that decides a search, given table and seed. The same plan gives the same bits.

    Raises:
        ValueError: an unknown activation or optimizer; a number below 1; a learning rate or weight decay below 0.
    """

    folds: int  # Number of folds; 1 is a single hold-out.
    members: int | None  # Number of networks to train again on all rows; None for an ensemble of those of the folds.
    candidates: tuple[Candidate, ...]
    epochs: int  # Largest number of epochs.
    batch_size: int  # Rows in a step.
    patience: int | None  # Epochs without a lower validation loss after which a network stops; None for no validation.
    cycles: int  # Of the learning rate; networks are kept after each.
    activation: str
    optimizer: str
    trees: bool = False  # Whether boosted trees are measured, too; no choice depends on them.

    def __post_init__(self) -> None:
        require_known("activation", self.activation, ACTIVATIONS)
        require_known("optimizer", self.optimizer, OPTIMIZERS)
        numbers = [self.folds, self.members, self.epochs, self.batch_size, self.patience, self.cycles]
        numbers += [number for candidate in self.candidates for number in (*candidate.hidden, candidate.bins or 1)]
        numbers = [1 if number is None else number for number in numbers]
        if min(numbers) < 1 or max(numbers) > _MOST or not self.candidates:
            raise ValueError(f"a plan must have at least one candidate, and no number below 1 or above {_MOST}")
        rates = [rate for candidate in self.candidates for rate in (candidate.learning_rate, candidate.weight_decay)]
        if not all(0 <= rate < math.inf for rate in rates):
            raise ValueError("learning rates and weight decays must be finite and at least 0")

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold and `read_plan` reads."""
        return to_json(self)


def read_plan(content: JsonObject) -> Plan:
    """Return the plan that `Plan.to_json` wrote.

    Raises:
        ValueError: it is not one.
    """
    return from_json(Plan, dict(content), "plan")


def full_plan(n: int, options: Options, *, has_log: bool = False) -> Plan:
    """Return the plan for a table of n rows, without regard to time.

    Arguments:
        n: rows with a target.
        options: what is fixed: fields of the plan, "hidden", "learning_rate" and "weight_decay" of all candidates, and
            "fast" for one candidate and a single hold-out.
        has_log: whether the logarithm of the target may be learned.
    """
    fields = dict(options)
    fast = fields.pop("fast", False)
    optimizer = fields.setdefault("optimizer", "adam")
    require_known("optimizer", optimizer, OPTIMIZERS)
    given = {name: fields.pop(name, None) for name in ("learning_rate", "weight_decay", "hidden")}
    folds = fields.setdefault("folds", 1 if fast else min(SEARCH_FOLDS, n // 3))
    n_train = n * (folds - 1) // folds if folds > 1 else n * 4 // 5
    batch_size = fields.get("batch_size") or default_batch_size(n_train)
    default = {
        "folds": folds, "members": None,
        "candidates": default_candidates(optimizer, n=n, single=fast, has_log=has_log, **given),
        "epochs": default_epochs(n_train, batch_size), "batch_size": batch_size, "patience": None,
        "cycles": 1 if fields.get("patience") else CYCLES, "activation": "gelu",
    }  # fmt: skip
    return read_plan(Plan(**default | fields).to_json())  # NumPy's numbers become Python's


def fit_to_budget(plan: Plan, cost: Callable[[Candidate], float], seconds: float, fixed: Container[str] = ()) -> Plan:
    """Return the plan with as many candidates as fit into the time; if only one is left, with fewer epochs too.

    Arguments:
        plan: without regard to time.
        cost: seconds for an epoch of all networks of a candidate.
        seconds: time for training.
        fixed: fields that the user has fixed, of which "epochs" matters.
    """
    while len(plan.candidates) > 1 and estimate(plan, cost) > seconds:
        plan = replace(plan, candidates=plan.candidates[:-1])
    if "epochs" in fixed or estimate(plan, cost) <= seconds:
        return plan
    affordable = int(plan.epochs * seconds / estimate(plan, cost))
    return replace(plan, epochs=max(1, affordable))


def estimate(plan: Plan, cost: Callable[[Candidate], float]) -> float:
    """Return the seconds that a plan takes at most: the costliest candidates go on."""
    costs = sorted(map(cost, plan.candidates), reverse=True)
    lengths = np.diff([0, *end_of_cycles(plan.epochs, plan.cycles)])
    epochs = [length * sum(costs[: count_survivors(len(costs), k)]) for k, length in enumerate(lengths)]
    again = 0.0 if plan.members is None else plan.epochs * costs[0] * max(1.0, 1 / plan.folds)
    return float(sum(epochs) + again)


def require_agreement(plan: Plan, options: Options) -> Plan:
    """Return the plan if it agrees with the options of `full_plan` that the user has given; None is not one of them.

    Raises:
        ValueError: options that the plan contradicts.
    """
    conflicts = find_conflicts(plan, options)
    if conflicts:
        values = "; ".join(conflicts.values())
        raise ValueError(f"{', '.join(conflicts)} cannot be given: the plan has other values ({values})")
    return plan


def find_conflicts(plan: Plan, options: Options) -> dict[str, str]:
    """Return the options that a plan contradicts, each with a text that has both values."""

    def value_of(name: str) -> object:
        if name == "fast":  # A plan does not say why it has one fold; `time` gives it one, too.
            return plan.folds == 1
        if name in Candidate._fields:
            values = tuple(dict.fromkeys(getattr(candidate, name) for candidate in plan.candidates))
            return values[0] if len(values) == 1 else values
        return getattr(plan, name)

    return {
        name: f"{name} {_text(value_of(name))}, not {_text(value)}"
        for name, value in options.items()
        if value_of(name) != value
    }


def _text(value: object) -> str:
    """Return a value of a plan as a user writes it."""
    if isinstance(value, Candidate):
        return f"learning rate {value.learning_rate:g} with weight decay {value.weight_decay:g}"
    return ", ".join(map(_text, value)) if isinstance(value, tuple) else str(value)
