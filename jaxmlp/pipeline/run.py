"""`fit_table`: the whole path from a table to a model and its report."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

import jax
import numpy as np

from jaxmlp._fork import validate_process
from jaxmlp._validation import count
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.ensembles.processes import share_text
from jaxmlp.fitting.checkpoints import CheckpointError, read_about
from jaxmlp.fitting.encoding import count_inputs
from jaxmlp.fitting.tasks import TABLE_CRITERIA
from jaxmlp.models import Model, measure_interval
from jaxmlp.models.interval import cross_fit_interval
from jaxmlp.models.report import Report
from jaxmlp.pipeline.dependence import MOST_COLUMNS, ColumnDependence, measure_dependence
from jaxmlp.pipeline.large import read_sample, write_rows
from jaxmlp.pipeline.plan import Options, Plan, find_conflicts, fit_to_budget, full_plan, read_plan, require_agreement
from jaxmlp.pipeline.report import make_report
from jaxmlp.pipeline.rows import Rows, arrange_held_out, read_frame, read_rows
from jaxmlp.pipeline.sections import describe_report
from jaxmlp.pipeline.worst import WorstRows, find_worst
from jaxmlp.selection import adjusted_score, permutation_importance
from jaxmlp.selection.assembly import MoreRows, refit_best
from jaxmlp.selection.crossvalidation import compare, prepare_search
from jaxmlp.selection.rounds import Progress, Trained, train_candidates
from jaxmlp.selection.scores import Score, score_predictions
from jaxmlp.selection.search import Search, Settings, count_work, find_first, measure_epoch, validate_checkpoint
from jaxmlp.selection.trees import estimate_trees, measure_trees
from jaxmlp.storage.files import StorageError
from jaxmlp.storage.json import JsonObject
from jaxmlp.tables.learning import MOST_LEVELS
from jaxmlp.tables.messages import Note

if TYPE_CHECKING:
    from polars import DataFrame

TRAINING_SHARE = 0.75  # The share of the remaining time that is for training; the rest is for the report.
TREES_SHARE = 0.15  # The share of the budget that boosted trees may take.


@dataclass(frozen=True, eq=False)
class TableResult:
    """A model of a table, and everything that is known about it."""

    model: Model
    report: Report  # What was measured; what JSON can hold.
    # Predictions of held-out rows: row (from 1), fold, target, then as `jaxmlp predict` writes.
    predictions: "DataFrame"
    dependence: tuple[ColumnDependence, ...]  # How predictions move with the columns that matter most.
    worst: WorstRows  # The held-out rows that the model fits worst.
    plan: Plan  # What repeats the search, with the same seed.
    notes: tuple[str, ...]  # What was decided about the table and the search, a sentence each.
    seconds: float  # Time of the whole call.

    def __repr__(self) -> str:
        return "\n".join(describe_report(self.report))


def fit_table(
    table: object,
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
    plan: Plan | JsonObject | None = None,
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
    reading_progress: Progress = lambda share: None,
    on_note: Note = lambda text: None,
) -> TableResult:
    """Find a model that predicts a column of a table from the others, and measure it on rows it was not trained on.

    Networks are cross-validated for several hyperparameters and compared with a constant and a linear baseline. The
    model is an ensemble of networks, a linear model or the mean of both, whichever is best on held-out rows. A given
    hyperparameter is fixed in the search. Time decides only how many candidates and epochs run; the plan that ran is
    in the result, and repeats it.

    Arguments:
        table: a path to a file that `load_table` reads, a DataFrame of polars or pandas, or a dict of columns. If a
            file does not fit in memory, the search uses a sample of its rows, and `members` networks (1 if None) are
            then trained on all rows, read in blocks from a temporary file.
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
        max_levels: the largest number of levels of a column that have an input each; the rest share one. Where levels
            are many, so do those of a single row.
        group: a column, such as a customer, whose equal values stay in one fold; it is no input unless it is kept.
        time: a column of dates or numbers; the model is tested on the fifth of the rows that are the latest.
        budget: time limit in seconds.
        seed: of folds, initial weights and the order of rows, from 0 to 2**32 - 1.
        fast: train one candidate, and measure it on a single hold-out of a fifth of the rows.
        plan: of an earlier result or model, to repeat it; None to find one within the budget.
        hidden: hidden layer widths; None to try (128, 128) and (256,).
        activation: name of the activation of the hidden layers; None for "gelu".
        optimizer: "adam" or "sgd"; None for "adam".
        learning_rate: the largest one; in each cycle it rises from zero and falls back.
        weight_decay: share of each weight that a step takes away, times the learning rate.
        epochs: largest number of passes over all rows.
        batch_size: rows in a step.
        patience: epochs without a lower validation loss after which a network stops, in a single cycle; a tenth of the
            training rows is then for validation.
        members: number of networks in the model, of the best candidate, trained on all rows; None for an ensemble of
            the networks of all folds and several candidates.
        checkpoint: a directory that keeps the search. If it cannot be written during training, a `CheckpointWarning`
            says so once, and training goes on.
        resume: continue from the checkpoint, by the plan that it holds. Without it, the directory may hold no search.
        progress: called with the share of the training that is done, from 0 to 1.
        reading_progress: called with the share of the file that is read, from 0 to 1.
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
    validate_checkpoint(directory := None if checkpoint is None else Path(checkpoint), resume=resume)
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        on_note(text)

    options = {"hidden": None if hidden is None else tuple(hidden), "activation": activation, "optimizer": optimizer}
    options |= {"epochs": epochs, "batch_size": batch_size, "patience": patience, "members": members}
    options |= {"learning_rate": learning_rate, "weight_decay": weight_decay}
    options |= {"fast": fast or None, "folds": None if time is None else 1}
    options = {name: value for name, value in options.items() if value is not None}
    reading = {"separator": separator, "sheet": sheet, "on_note": note, "on_progress": reading_progress}
    frame, large = read_sample(table, seed, **reading) or (read_frame(table, **reading), None)
    rows = read_rows(
        frame, target, note, group=group, time=time, task=task, drop=drop, keep=keep, missing=missing, decimal=decimal,
        date_order=date_order, max_levels=max_levels,
    )  # fmt: skip
    fixed = _read_stored_plan(directory if resume else None, plan, note)
    used, search = _choose_plan(rows, options, fixed, seed, start, budget, note)
    about = {"plan": used.to_json(), "seed": int(seed), "target": target, "task": rows.recipe.task}
    stored = {"checkpoint": directory, "about": about, "resume": resume}
    with TemporaryDirectory() as written:
        more = None if large is None else write_rows(large, rows.recipe, search, Path(written))
        trained = train_candidates(search, used.candidates, progress=progress, **stored)
        return _conclude(frame, rows, search, trained, used, seed, notes, note, start, more)


def _choose_plan(
    rows: Rows, options: Options, fixed: Plan | None, seed: int, start: float, budget: float, note: Note
) -> tuple[Plan, Search]:
    """Return the plan that is fixed, or else the one that ends in time; and the search of its candidates."""
    if fixed is None:
        full = full_plan(len(rows.x), options, has_log=_is_skewed(rows))
        search = _prepare(rows, full, seed)
        seconds = estimate_trees(search.prepared)
        has_trees = seconds is not None and seconds <= TREES_SHARE * budget
        used = replace(_reduce(full, search, start + budget, note, options), trees=has_trees)
        used = read_plan(json.loads(share_text(json.dumps(used.to_json()))))  # Processes have their own clocks.
        search = search._replace(settings=search.settings._replace(epochs=used.epochs))
    else:
        used = require_agreement(fixed, options)
        search = _prepare(rows, used, seed)
    note(_describe_plan(used, search))
    return used, search


def _is_skewed(rows: Rows) -> bool:
    """Return whether the target is positive and skewed, so that its logarithm may be learned better."""
    y = rows.y[:, 0]
    if rows.recipe.task != "regression" or y.min() <= 0:
        return False
    return bool(np.mean(((y - y.mean()) / y.std()) ** 3) > 1)


def _reduce(plan: Plan, search: Search, end: float, note: Note, options: Options) -> Plan:
    """Return the plan that fits into the time, by the measured time of an epoch."""
    if len(plan.candidates) == 1 and "epochs" in options:
        return plan
    first = plan.candidates[0]
    seconds_per_epoch = measure_epoch(search, first) / count_work(search, first)
    left = TRAINING_SHARE * (end - perf_counter())
    reduced = fit_to_budget(plan, lambda candidate: seconds_per_epoch * count_work(search, candidate), left, options)
    if reduced != plan:
        tried = f"{len(reduced.candidates)} of {len(plan.candidates)} settings, at most {reduced.epochs} epochs"
        note(f"Search reduced to fit the budget: {tried}")
    return reduced


def _read_stored_plan(directory: Path | None, plan: Plan | JsonObject | None, note: Note) -> Plan | None:
    """Return the plan of a checkpoint, if there is one, and otherwise the one that is given."""
    given = read_plan(plan) if isinstance(plan, Mapping) else plan
    if directory is None:
        return given
    path = find_first(directory)
    if path is None:
        note(f"{directory}: no checkpoint; starting a new search")
        return given
    try:
        stored = read_plan(read_about(path)["plan"])
    except StorageError:
        raise
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: not the checkpoint of a table's search: {error}") from None
    conflicts = {} if given is None else find_conflicts(stored, vars(given))
    if conflicts:
        values = "; ".join(conflicts.values())
        raise ValueError(f"the plan cannot be given: the checkpoint has another plan ({values})")
    note(f"Resuming from {directory}")
    return stored


def _prepare(rows: Rows, plan: Plan, seed: int) -> Search:
    settings = Settings(
        plan.folds, plan.members or 1, plan.epochs, plan.batch_size, plan.patience or 0, plan.cycles, plan.optimizer,
        ACTIVATIONS[plan.activation], TABLE_CRITERIA[rows.recipe.task],
    )  # fmt: skip
    return prepare_search(rows.x, rows.y, settings, jax.random.key(seed), None, rows.groups, rows.times)


def _describe_plan(plan: Plan, search: Search) -> str:
    shapes = [(count_inputs(search.prepared.encoding(each.bins)), *each.hidden) for each in plan.candidates]
    outputs = search.prepared.y.shape[1]
    sizes = " or ".join(dict.fromkeys("-".join(map(str, (*shape, outputs))) for shape in shapes))
    folds = f"{plan.folds} folds" if plan.folds > 1 else "one hold-out"
    settings, networks = count(len(plan.candidates), "setting"), count(plan.members or 1, "network")
    return (
        f"Plan: networks {sizes}, {plan.activation}, {plan.optimizer}; {folds}, {settings}, "
        f"{networks} each; at most {plan.epochs} epochs, batches of {plan.batch_size}"
    )


def _conclude(
    frame: "DataFrame",
    rows: Rows,
    search: Search,
    trained: Trained,
    plan: Plan,
    seed: int,
    notes: list[str],
    note: Note,
    start: float,
    more: MoreRows | None,
) -> TableResult:
    """Choose what predicts, measure what the report tells, and put model, report and predictions together."""
    result = compare(search, trained, blends=plan.members is None)
    if not np.isfinite(result.network.score):
        decays = all(candidate.weight_decay >= 1 > candidate.learning_rate for candidate in plan.candidates)
        raise FloatingPointError(f"training diverged: try a smaller {'weight decay' if decays else 'learning rate'}")
    recipe, x, y, *_ = rows
    key = jax.random.key(seed)
    importance = permutation_importance(result, x, y, recipe.groups(), key=key)
    dependence = measure_dependence(rows, result, importance.order[:MOST_COLUMNS].tolist(), key)
    trees = _measure_trees(rows, search, plan, note)
    interval, ends = None, None
    if not recipe.classes:
        held_out = result.fold >= 0
        predictions, targets = result.model.predictions[held_out, 0], y[held_out, 0]
        interval = measure_interval(predictions, targets)
        ends = cross_fit_interval(predictions, targets, result.parts[held_out])
    refitted, members = [], plan.members or (None if more is None else 1)
    if members is not None:
        refitted = [refit_best(search, trained, result.weights, members, more)]
    groups = tuple(refitted) or result.groups
    averages = result.folds > 1 and not refitted
    adjusted = adjusted_score(result, x, y, key=key) if averages else None
    report = make_report(rows, result, importance, ends, trees, adjusted)
    report["members"], report["seed"] = sum(group.members for group in groups), seed
    model = Model(
        groups, criterion=result.criterion, recipe=recipe,
        interval=interval, temperature=result.temperature, report=report, plan=plan.to_json(),
    )  # fmt: skip
    held = arrange_held_out(rows, result, ends)
    worst = find_worst(frame, recipe, held)
    return TableResult(model, report, held, dependence, worst, plan, tuple(notes), perf_counter() - start)


def _measure_trees(rows: Rows, search: Search, plan: Plan, note: Note) -> Score | None:
    """Return the score of boosted trees, if the plan has them and they are installed."""
    prepared, predictions = search.prepared, None
    if plan.trees:
        predictions = measure_trees(prepared, is_count=rows.recipe.task == "counts")
    if predictions is None:
        reason = "pip install 'jaxmlp[sklearn]' for them"
        if not plan.trees and estimate_trees(prepared) is not None:
            reason = "the plan has none: when it is made, they must be installed"
            reason += f" and take at most {TREES_SHARE:.0%} of the budget"
        note(f"Boosted trees (HistGradientBoosting of scikit-learn) were left out: {reason}")
        return None
    return score_predictions(predictions, prepared.y, prepared.task, prepared.held_out)
