"""The report on a model of a table, as data that JSON can hold."""

import numpy as np

from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.tasks import difference_of
from jaxmlp.models.report import Report
from jaxmlp.pipeline.cautions import list_cautions
from jaxmlp.pipeline.rows import Rows
from jaxmlp.selection import CrossValidation, Importance, Score
from jaxmlp.storage.json import make_finite


def make_report(
    rows: Rows,
    result: CrossValidation,
    importance: Importance,
    ends: tuple[np.ndarray, np.ndarray] | None,
    trees: Score | None,
    adjusted: float | None,
) -> Report:
    """Return everything that is told about a model, by name; errors of a regression are in the target's unit.

    Arguments:
        rows: of the table.
        result: of the search.
        importance: of the columns of the table.
        ends: of the 90 % prediction intervals of held-out rows (n,); None for classes.
        trees: the score of boosted trees; None if they were left out.
        adjusted: the adjusted score of the model; None if it does not average the networks of all folds.

    Returns:
        What JSON can hold; numbers that are not finite are None. `fit_table` adds `members` and `seed`.
    """
    recipe, y = rows.recipe, rows.y
    content: dict[str, object] = {"target": recipe.target, "task": recipe.task, "error": result.task.error}
    content |= {"verdict": result.verdict, "method": result.method, "interrupted": result.interrupted}
    held_out = result.fold >= 0
    measured = result.measured | ({} if trees is None else {"trees": trees})
    for name, score in measured.items():
        figures = _figures(score)
        if recipe.classes:
            right = score.predictions[held_out].argmax(axis=1) == y[held_out].argmax(axis=1)
            figures |= {"accuracy": right.mean(), "accuracy_error": right.std() / np.sqrt(len(right))}
        content |= figures if name == "model" else {name: figures}
    content |= {"adjusted_score": adjusted, "saved": result.saved}
    content["trees_are_better"] = _are_better(trees, result.model)
    content["interval"] = (
        None if ends is None else _describe_ends(ends, result.model.predictions[held_out], y[held_out])
    )
    content["candidates"] = [
        _describe_candidate(candidate) | _figures(score)
        for candidate, score in zip(result.candidates, result.scores, strict=True)
    ]
    content |= _describe_candidate(result.candidates[result.best])
    content |= {"folds": result.folds, "networks": result.n_networks}
    content |= {"rows": len(y), "held_out": int(held_out.sum())}
    content["columns"] = [
        {"name": recipe.columns[k].name, "importance": importance.mean[k], "std": importance.std[k]}
        | {"standard_error": importance.standard_error[k]}
        for k in importance.order
    ]
    report: Report = make_finite(content)
    report["cautions"] = list_cautions(report, rows)
    return report


def _are_better(trees: Score | None, model: Score) -> bool:
    """Return whether boosted trees have a lower error than the model by two standard errors, on the same rows."""
    if trees is None:
        return False
    mean, standard_error = difference_of(model.row_errors, trees.row_errors)
    return mean > 2 * standard_error


def _describe_ends(ends: tuple[np.ndarray, np.ndarray], predictions: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return how wide the intervals of held-out rows are on average, and how many targets are inside."""
    low, high = ends
    inside = (low <= y[:, 0]) & (y[:, 0] <= high)
    mean = predictions[:, 0].mean()
    return {"low": low.mean() - mean, "high": high.mean() - mean, "coverage": inside.mean()}


def _describe_candidate(candidate: Candidate) -> dict[str, object]:
    return {**candidate._asdict(), "hidden": list(candidate.hidden)}


def _figures(score: Score) -> dict[str, object]:
    return {"score": score.score, "standard_error": score.standard_error}
