"""`fit_table`: the whole path from a table to a model and its report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxmlp._fork import validate_process
from jaxmlp._validation import count
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.fitting.checkpoints import CheckpointError, read_about
from jaxmlp.fitting.tasks import TASKS
from jaxmlp.models import Model, measure_interval
from jaxmlp.pipeline.plan import Plan, find_conflicts, fit_to_budget, full_plan, read_plan, require_agreement
from jaxmlp.pipeline.report import describe_report, make_report
from jaxmlp.pipeline.rows import Rows, arrange_held_out, read_frame, read_rows
from jaxmlp.selection import CrossValidation, permutation_importance
from jaxmlp.selection.crossvalidation import Progress, prepare_search, run_search
from jaxmlp.selection.search import Search, Settings, checkpoint_of, measure_epoch, validate_checkpoint
from jaxmlp.storage.files import StorageError
from jaxmlp.tables import Recipe
from jaxmlp.tables.learning import MOST_LEVELS
from jaxmlp.tables.messages import Note

if TYPE_CHECKING:
    from polars import DataFrame

TRAINING_SHARE = 0.85  # The share of the remaining time that is for training; the rest is for the report.


@dataclass(frozen=True, eq=False)
class TableResult:
    """A model of a table, and everything that is known about it."""

    model: Model
    report: Mapping[str, Any]  # What was measured; what JSON can hold.
    # Predictions of held-out rows: row (from 1), fold, target, then as `jaxmlp predict` writes.
    predictions: "DataFrame"
    plan: Plan  # What repeats the search, with the same seed.
    notes: tuple[str, ...]  # What was decided about the table and the search, a sentence each.
    seconds: float  # Time of the whole call.

    def __repr__(self) -> str:
        return "\n".join(describe_report(self.report))


def fit_table(
    table: Any,
    target: str,
    *,
    task: str | None = None,
    drop: Iterable[str] = (),
    keep: Iterable[str] = (),
    missing: Iterable[str] = (),
    separator: str | None = None,
    sheet: str | None = None,
    decimal: str | None = None,
    date_order: str | None = None,
    max_levels: int = MOST_LEVELS,
    group: str | None = None,
    time: str | None = None,
    budget: float = 60.0,
    seed: int = 0,
    fast: bool = False,
    plan: Plan | Mapping[str, Any] | None = None,
    hidden: Sequence[int] | None = None,
    activation: str | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    patience: int | None = None,
    members: int | None = None,
    checkpoint: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    on_note: Note = lambda text: None,
) -> TableResult:
    """Find a model that predicts a column of a table from the others, and measure it on rows it was not trained on.

    Networks are cross-validated for several hyperparameters and compared with a constant and a linear baseline. A given
    hyperparameter is fixed in the search. Time decides only how many candidates and epochs run; the plan that ran is
    in the result, and repeats it.

    Arguments:
        table: a path to a file that `load_table` reads, a DataFrame of polars or pandas, or a dict of columns.
        target: the column to predict.
        task: "regression", "classification" or "counts"; None for classification of text, booleans and two values, and
            regression of other numbers.
        drop: columns not to use.
        keep: columns to use, even if they look like identifiers.
        missing: more words, or numbers, that are missing values.
        separator: the character between two fields of a text file; None for the one that fits.
        sheet: the sheet of a spreadsheet; None for the first.
        decimal: the decimal mark, "." or ","; None to decide for each column.
        date_order: the order of day, month and year in dates, "dmy", "mdy" or "ymd"; None to decide for each column.
        max_levels: the largest number of levels of a column that have an input each; the rest share one.
        group: a column, such as a customer, whose equal values stay in one fold; it is no input unless it is kept.
        time: a column of dates or numbers; the model is tested on the fifth of the rows that are the latest.
        budget: time limit in seconds.
        seed: of folds, initial weights and the order of rows, from 0 to 2**32 - 1.
        fast: train one candidate, and measure it on a single hold-out of a fifth of the rows.
        plan: of an earlier result or model, to repeat it; None to find one within the budget.
        hidden: hidden layer widths; None for (100,).
        activation: name of the activation of the hidden layers; None for "relu".
        optimizer: "adam" or "sgd"; None for "adam".
        learning_rate: of the first step; it falls to zero along half a cosine.
        weight_decay: share of each weight that a step takes away, times the learning rate.
        epochs: largest number of passes over all rows.
        batch_size: rows in a step.
        patience: epochs without a lower validation loss after which a network stops.
        members: networks of each candidate in each fold, whose mean predicts.
        checkpoint: a directory that keeps the search. If it cannot be written during training, a `CheckpointWarning`
            says so once, and training goes on.
        resume: continue from the checkpoint, by the plan that it holds. Without it, the directory may hold no search.
        progress: called with the share of the training that is done, from 0 to 1.
        on_note: called with each note as soon as it is known.

    Returns:
        The model, its report, and the predictions of held-out rows.

    Raises:
        TableError: a table that cannot be used; the message names file, column and row where it can.
        ValueError: an option that cannot be used, or that contradicts the plan.
        StorageError: a checkpoint that cannot be read, belongs to another search or is there without `resume`; a
            directory that cannot be written.
        FloatingPointError: training diverged for all candidates.
        KeyboardInterrupt: Ctrl-C before there is a model.
        MissingDependencyError: polars or safetensors is not installed.
    """
    start = perf_counter()
    validate_process()
    directory = None if checkpoint is None else Path(checkpoint)
    validate_checkpoint(directory, resume=resume)
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        on_note(text)

    options = {"hidden": None if hidden is None else tuple(hidden), "activation": activation, "optimizer": optimizer}
    options |= {"epochs": epochs, "batch_size": batch_size, "patience": patience, "members": members}
    options |= {"learning_rate": learning_rate, "weight_decay": weight_decay, "fast": fast or None}
    options |= {"folds": None if time is None else 1}
    options = {name: value for name, value in options.items() if value is not None}
    rows = read_rows(
        read_frame(table, separator, sheet, note), target, note, group=group, time=time, task=task, drop=drop,
        keep=keep, missing=missing, decimal=decimal, date_order=date_order, max_levels=max_levels,
    )  # fmt: skip
    fixed = read_plan(plan) if isinstance(plan, Mapping) else plan
    if directory is not None and resume:
        fixed = _read_stored_plan(directory, fixed, note)
    used, search = _choose_plan(rows, options, fixed, seed, start + budget, note)
    about = {"plan": used.to_json(), "seed": int(seed), "target": target, "task": rows.recipe.task}
    result = run_search(
        search, rows.y, used.candidates, checkpoint=directory, about=about, resume=resume, progress=progress
    )
    return _conclude(rows, result, used, seed, tuple(notes), start)


def _choose_plan(
    rows: Rows, options: Mapping[str, Any], fixed: Plan | None, seed: int, end: float, note: Note
) -> tuple[Plan, Search]:
    """Return the plan that is fixed, or else the one that ends in time; and the search of its candidates."""
    if fixed is None:
        full = full_plan(len(rows.x), options)
        search = _prepare(rows, full, seed)
        used = _reduce(full, search, end - perf_counter(), note, options)
        search = search._replace(settings=search.settings._replace(epochs=used.epochs, patience=used.patience))
    else:
        used = require_agreement(fixed, options)
        search = _prepare(rows, used, seed)
    note(_describe_plan(used, rows.recipe))
    return used, search


def _reduce(plan: Plan, search: Search, seconds: float, note: Note, options: Mapping[str, Any]) -> Plan:
    """Return the plan that fits into the time, by the measured time of an epoch."""
    if len(plan.candidates) == 1 and "epochs" in options:
        return plan
    start = perf_counter()
    seconds_per_epoch = measure_epoch(search, plan.candidates[0])
    left = TRAINING_SHARE * (seconds - (perf_counter() - start))
    reduced = fit_to_budget(plan, seconds_per_epoch, left, options)
    if reduced != plan:
        tried = f"{len(reduced.candidates)} of {len(plan.candidates)} settings, at most {reduced.epochs} epochs"
        note(f"Search reduced to fit the budget: {tried}")
    return reduced


def _read_stored_plan(directory: Path, given: Plan | None, note: Note) -> Plan | None:
    """Return the plan of a checkpoint, if there is one, and otherwise the one that is given."""
    path = checkpoint_of(directory, 0)
    if not path.exists():
        note(f"{directory}: no checkpoint; starting a new search")
        return given
    try:
        plan = read_plan(read_about(path)["plan"])
    except StorageError:
        raise
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: not the checkpoint of a table's search: {error}") from None
    conflicts = {} if given is None else find_conflicts(plan, vars(given))
    if conflicts:
        values = "; ".join(conflicts.values())
        raise ValueError(f"the plan cannot be given: the checkpoint has another plan ({values})")
    note(f"Resuming from {directory}")
    return plan


def _prepare(rows: Rows, plan: Plan, seed: int) -> Search:
    settings = Settings(
        plan.hidden, plan.folds, plan.members, plan.epochs, plan.batch_size, plan.patience, plan.optimizer,
        ACTIVATIONS[plan.activation], TASKS[rows.recipe.task],
    )  # fmt: skip
    return prepare_search(rows.x, rows.y, settings, jax.random.key(seed), None, rows.groups, rows.times)


def _describe_plan(plan: Plan, recipe: Recipe) -> str:
    sizes = "-".join(map(str, (recipe.n_inputs, *plan.hidden, recipe.n_outputs)))
    folds = f"{plan.folds} folds" if plan.folds > 1 else "one hold-out"
    settings, networks = count(len(plan.candidates), "setting"), count(plan.members, "network")
    return (
        f"Plan: networks {sizes}, {plan.activation}, {plan.optimizer}; {folds}, {settings}, "
        f"{networks} each; at most {plan.epochs} epochs, batches of {plan.batch_size}"
    )


def _conclude(
    rows: Rows, result: CrossValidation, plan: Plan, seed: int, notes: tuple[str, ...], start: float
) -> TableResult:
    """Measure what the report tells, and put model, report and predictions together."""
    if not np.isfinite(result.network.score):
        cause = "weight decay" if all(decay >= 1 > rate for rate, decay in plan.candidates) else "learning rate"
        raise FloatingPointError(f"training diverged: try a smaller {cause}")
    recipe, x, y, *_ = rows
    importance = permutation_importance(result, x, y, recipe.groups(), key=jax.random.key(seed))
    interval = None
    if not recipe.classes:
        held_out, counts = result.fold >= 0, recipe.task == "counts"
        interval = measure_interval(result.network.predictions[held_out, 0], y[held_out, 0], grows_with_root=counts)
    report = make_report(recipe, result, importance, y, interval) | {"seed": seed}
    model = Model(
        (result.group,), criterion=result.criterion, recipe=recipe, interval=interval,
        target=result.target if result.task.standardizes_target else None,
        report=report, plan=plan.to_json(),
    )  # fmt: skip
    return TableResult(model, report, arrange_held_out(rows, result, interval), plan, notes, perf_counter() - start)
