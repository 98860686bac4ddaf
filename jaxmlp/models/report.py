"""What the report on a model of a table holds, by name; errors of a regression are in the target's unit."""

from typing import NotRequired, TypedDict


class Figures(TypedDict):
    """The error of a model on held-out rows; None where it is not finite."""

    score: float | None  # The error that the report names.
    standard_error: float | None
    accuracy: float  # Only of a classification: share of the rows whose class is the most probable one.
    accuracy_error: float  # Only of a classification: standard error of the accuracy.


class Setting(TypedDict):
    """The hyperparameters of networks; see `Candidate`."""

    learning_rate: float
    weight_decay: float
    hidden: list[int]
    bins: int | None
    is_log: bool


class SettingFigures(Setting, Figures):
    """A setting that was tried, and the error of its best networks."""


class ColumnFigures(TypedDict):
    """How much a column of the table matters."""

    name: str
    importance: float  # By how much the error grows when the column is shuffled.
    std: float  # Standard deviation over the shuffles.
    standard_error: float  # Of the importance, over the rows.


class Ends(TypedDict):
    """The 90 % prediction intervals of held-out rows, on average."""

    low: float  # Of the lower end, minus the prediction.
    high: float  # Of the upper end, minus the prediction.
    coverage: float  # Share of the targets that are inside.


class Report(Figures, Setting):
    """Everything that is told about a model; its own figures, and the hyperparameters of the best setting, first."""

    target: str  # The column that is predicted.
    task: str  # "regression", "classification" or "counts".
    error: str  # "RMSE", "log loss" or "deviance".
    verdict: str  # Whether the networks are worth it.
    method: str  # How the errors were measured.
    interrupted: bool  # Whether Ctrl-C ended the search.
    constant: Figures  # The mean, or the frequencies of the classes.
    linear: Figures
    network: Figures
    mean: NotRequired[Figures]  # Of network and linear model.
    trees: NotRequired[Figures]  # Boosted trees, if they were measured.
    saved: str  # "network", "linear" or "mean".
    trees_are_better: bool  # By more than two standard errors.
    # The score of the saved model, if it averages the networks of all folds; see `adjusted_score`.
    adjusted_score: NotRequired[float | None]
    interval: Ends | None  # None for classes.
    candidates: list[SettingFigures]
    folds: int  # 1 is a single hold-out.
    networks: int  # Number of networks that were trained.
    rows: int  # Rows with a target.
    held_out: int  # Rows that the errors were measured on.
    columns: list[ColumnFigures]  # The one that matters most first.
    cautions: list[str]  # What to be careful about.
    members: int  # Number of networks in the model.
    seed: int


def find_figures(report: Report, name: str) -> Figures:
    """Return the figures of a model that a report compares; those of the saved one are the report's own."""
    return report if name == report["saved"] else report[name]
