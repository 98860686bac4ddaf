"""The plan of a search: everything that decides its result, given table and seed."""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jaxmlp._validation import require_known
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.fitting.defaults import (
    HIDDEN,
    SEARCH_FOLDS,
    SEARCH_SEEDS,
    Candidate,
    default_batch_size,
    default_candidates,
    default_epochs,
    default_patience,
)
from jaxmlp.fitting.optimizers import OPTIMIZERS
from jaxmlp.storage.json import from_json, to_json

_MOST = 10**7  # As the command's options: more fit no table, and no int32.


@dataclass(frozen=True)
class Plan:
    """Everything that decides a search, given table and seed. The same plan gives the same bits.

    Raises:
        ValueError: an unknown activation or optimizer; a number below 1; a learning rate or weight decay below 0.
    """

    folds: int  # Number of folds; 1 is a single hold-out.
    members: int  # Number of networks of each candidate in each fold.
    candidates: tuple[Candidate, ...]
    epochs: int  # Largest number of epochs.
    batch_size: int  # Rows in a step.
    patience: int  # Epochs without a lower validation loss after which a network stops.
    hidden: tuple[int, ...]  # Hidden layer widths; empty for a linear model.
    activation: str
    optimizer: str

    def __post_init__(self) -> None:
        require_known("activation", self.activation, ACTIVATIONS)
        require_known("optimizer", self.optimizer, OPTIMIZERS)
        numbers = (self.folds, self.members, self.epochs, self.batch_size, self.patience, *self.hidden)
        if min(numbers) < 1 or max(numbers) > _MOST or not self.candidates:
            raise ValueError(f"a plan must have at least one candidate, and no number below 1 or above {_MOST}")
        if not all(0 <= value < math.inf for candidate in self.candidates for value in candidate):
            raise ValueError("learning rates and weight decays must be finite and at least 0")

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold and `read_plan` reads."""
        return to_json(self)


def read_plan(content: Mapping[str, Any]) -> Plan:
    """Return the plan that `Plan.to_json` wrote.

    Raises:
        ValueError: it is not one.
    """
    return from_json(Plan, dict(content), "plan")


def full_plan(n: int, options: Mapping[str, Any]) -> Plan:
    """Return the plan for a table of n rows, without regard to time.

    Arguments:
        n: rows with a target.
        options: what is fixed: fields of the plan, "learning_rate" and "weight_decay" of all candidates, and
            "fast" for one candidate and a single hold-out.
    """
    fields = dict(options)
    fast, optimizer = fields.pop("fast", False), fields.get("optimizer", "adam")
    learning_rate, weight_decay = fields.pop("learning_rate", None), fields.pop("weight_decay", None)
    require_known("optimizer", optimizer, OPTIMIZERS)
    candidates = default_candidates(optimizer, single=fast, learning_rate=learning_rate, weight_decay=weight_decay)
    folds = fields.get("folds") or (1 if fast else min(SEARCH_FOLDS, n // 3))
    n_train = n * (folds - 1) // folds if folds > 1 else n * 4 // 5
    batch_size = fields.get("batch_size") or default_batch_size(n_train)
    epochs = fields.get("epochs") or default_epochs(n_train, batch_size)
    default = {
        "folds": folds, "members": 1 if fast else SEARCH_SEEDS, "candidates": candidates, "epochs": epochs,
        "batch_size": batch_size, "patience": default_patience(epochs), "hidden": HIDDEN, "activation": "relu",
        "optimizer": optimizer,
    }  # fmt: skip
    return read_plan(Plan(**default | fields).to_json())  # NumPy's numbers become Python's


def fit_to_budget(plan: Plan, seconds_per_epoch: float, seconds: float, fixed: Container[str] = ()) -> Plan:
    """Return the plan with as many candidates as fit into the time; if only one is left, with fewer epochs too.

    Arguments:
        plan: without regard to time.
        seconds_per_epoch: measured time of an epoch of all networks of a candidate.
        seconds: time for training.
        fixed: fields that the user has fixed, of which "epochs" and "patience" matter.
    """
    affordable = int(seconds / seconds_per_epoch)
    count = min(len(plan.candidates), max(1, affordable // plan.epochs))
    if "epochs" in fixed or affordable >= plan.epochs:
        return replace(plan, candidates=plan.candidates[:count])
    epochs = max(1, affordable)
    patience = plan.patience if "patience" in fixed else min(plan.patience, default_patience(epochs))
    return replace(plan, candidates=plan.candidates[:1], epochs=epochs, patience=patience)


def require_agreement(plan: Plan, options: Mapping[str, Any]) -> Plan:
    """Return the plan if it agrees with the options that the user has given, as in `full_plan`.

    Raises:
        ValueError: options that the plan contradicts.
    """
    conflicts = find_conflicts(plan, options)
    if conflicts:
        values = "; ".join(conflicts.values())
        raise ValueError(f"{', '.join(conflicts)} cannot be given: the plan has other values ({values})")
    return plan


def find_conflicts(plan: Plan, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that a plan contradicts, each with a text that has both values."""

    def value_of(name: str) -> Any:
        if name == "fast":
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


def _text(value: Any) -> str:
    """Return a value of a plan as a user writes it."""
    if isinstance(value, Candidate):
        return f"learning rate {value.learning_rate:g} with weight decay {value.weight_decay:g}"
    return ", ".join(map(_text, value)) if isinstance(value, tuple) else str(value)
