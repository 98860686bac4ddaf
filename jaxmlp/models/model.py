"""A model: networks, the meaning of their outputs, and the recipe of their table."""

import warnings
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from jax import Array

from jaxmlp._fork import validate_process
from jaxmlp._validation import validate_criterion
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import CRITERIA, Criterion, squared_error
from jaxmlp.fitting.groups import Group, make_group, predict_groups
from jaxmlp.fitting.scaling import Scaling, validate_scaling
from jaxmlp.fitting.tasks import TASKS
from jaxmlp.models.interval import Interval
from jaxmlp.network import Params
from jaxmlp.tables import Recipe, TableWarning, as_frame, is_table
from jaxmlp.tables.findings import Finding, Notes, merge_findings
from jaxmlp.tables.messages import CellError, join, quote

if TYPE_CHECKING:
    from polars import DataFrame

_ROWS = 2**14  # Rows of a table that are encoded at a time: the inputs of all rows need more memory than the table.


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that a prediction needs; `save_model` writes it, `load_model` reads it.

    Arguments:
        networks: one network or ensemble, or groups of networks of equal shape; kept as `groups`.
        activation: of one network or ensemble: one for all hidden layers, or a tuple with one for each.
        criterion: maps outputs to predictions.
        recipe: how a table becomes inputs; None for a model of arrays.
        target: the scaling of the targets in training, which predictions undo; None for targets as they are.
        interval: the 90 % prediction interval; None if it was not measured.
        report: how the model was found and how good it is; what JSON can hold.
        plan: what repeats the training; what JSON can hold.

    Raises:
        ValueError: parts that do not fit each other.
        TypeError: an activation or criterion that is a bare function; params of mixed dtypes.
    """

    networks: InitVar[Params | tuple[Group, ...]]
    activation: InitVar[Activation | tuple[Activation, ...]] = relu
    criterion: Criterion = squared_error
    recipe: Recipe | None = None
    target: Scaling | None = None
    interval: Interval | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[Group, ...] = field(init=False)

    def __post_init__(
        self, networks: Params | tuple[Group, ...], activation: Activation | tuple[Activation, ...]
    ) -> None:
        groups: Any = networks
        if not (isinstance(networks, tuple) and networks and isinstance(networks[0], Group)):
            groups = (make_group(groups, activation),)
        object.__setattr__(self, "groups", groups)
        validate_criterion(self.criterion, self.groups[0].sizes[-1])
        sizes = {(group.sizes[0], group.sizes[-1]) for group in self.groups}
        if len(sizes) > 1:
            raise ValueError(f"groups must have the same numbers of inputs and outputs; got {sorted(sizes)}")
        if self.target is not None:
            validate_scaling("target", self.target, groups[0].sizes[-1])
        if self.recipe is not None:
            self._validate_recipe(self.recipe)

    def _validate_recipe(self, recipe: Recipe) -> None:
        expected, sizes = (recipe.n_inputs, recipe.n_outputs), self.groups[0].sizes
        if (sizes[0], sizes[-1]) != expected:
            raise ValueError(
                f"params must have inputs and outputs {expected}, as the recipe has; got {(sizes[0], sizes[-1])}"
            )
        criterion = TASKS[recipe.task]
        if self.criterion in CRITERIA.values() and self.criterion.predict != criterion.predict:
            raise ValueError(f"criterion must be one for {recipe.task}, as the recipe's task is")
        if recipe.task != "regression" and self.target is not None:
            raise ValueError(f"target must be None for {recipe.task}")
        if recipe.classes and self.interval is not None:
            raise ValueError("interval must be None for classification")

    def __repr__(self) -> str:
        networks = ", ".join(f"{group.members} x {'-'.join(map(str, group.sizes))}" for group in self.groups)
        task = "" if self.recipe is None else f", {self.recipe.task} of {self.recipe.target!r}"
        return f"Model({networks}{task})"

    @property
    def members(self) -> int:
        """Number of networks in all groups."""
        return sum(group.members for group in self.groups)


def predict(model: Model, data: Any) -> Array | np.ndarray:
    """Predict the mean, class probabilities or mean count of each row.

    Arguments:
        model: a model.
        data: for a model with a recipe, a table: a DataFrame of polars or pandas, or a dict of columns, which are
            found by name; others are ignored. For a model without a recipe, inputs (n, fan_in).

    Returns:
        (n, outputs), the weighted mean of the networks. With a recipe, a regression is in the target's unit, and
        the classes are `recipe.classes`, in order. For a table NumPy's float64; for an array JAX's, of the networks'
        dtype, unless the model scales its targets.

    Raises:
        ValueError: a shape that does not fit, or a table that does not fit the recipe (a TableError).
        TypeError: a table for a model without a recipe, or anything else for a model with one.

    Warns:
        TableWarning: values unlike those in training: unknown levels, missing values, numbers far outside the range.
    """
    return _predict(model, data)[0]


def predict_with_std(model: Model, data: Any) -> tuple[Array | np.ndarray, Array | np.ndarray]:
    """Predict the mean of the networks, and how much they differ.

    Arguments:
        model: a model of at least two networks.
        data: as in `predict`.

    Returns:
        The mean and the standard deviation over the networks, both (n, outputs), in the same unit.

    Raises:
        ValueError: one network only, and everything that `predict` raises.
        TypeError: as for `predict`.

    Warns:
        TableWarning: as for `predict`.
    """
    if model.members == 1:
        raise ValueError("model must be an ensemble; it holds one network, which has no standard deviation")
    return _predict(model, data)


def predict_frame(
    model: Model, data: Any, *, offset: int = 0, only_warnings: bool = False
) -> tuple[np.ndarray, np.ndarray, list[Finding]]:
    """Return the mean and the standard deviation of a table's predictions, and what was found about its values.

    Arguments:
        model: a model with a recipe.
        data: a table.
        offset: rows of the whole table that come before; errors count from there.
        only_warnings: whether to return only what Python warns about.
    """
    validate_process()
    if model.recipe is None:
        raise TypeError("data must be an array (n, fan_in): the model has no recipe for tables")
    if not is_table(data):
        names = join(quote(column.name) for column in model.recipe.columns)
        raise TypeError(
            f"data must be a table with the columns {names}: a dict of columns, or a DataFrame of polars or pandas; "
            f"got {type(data).__name__}"
        )
    frame = as_frame(data)
    mean, std = np.empty((2, frame.height, model.recipe.n_outputs))
    findings: list[Finding] = []
    for start in range(0, max(1, frame.height), _ROWS):
        rows = slice(start, min(start + _ROWS, frame.height))
        try:
            mean[rows], std[rows], found = _predict_rows(model, model.recipe, frame[rows])
        except CellError as error:
            raise error.shift(offset + start) from None
        found = [finding for finding in found if finding.is_warning or not only_warnings]
        findings = merge_findings(findings, found, start, frame.height)
    return mean, std, findings


def _predict_rows(model: Model, recipe: Recipe, frame: "DataFrame") -> tuple[np.ndarray, np.ndarray, list[Finding]]:
    """Return the same as `predict_frame`, for rows that are predicted at once."""
    x, findings = recipe.encode(frame)
    with np.errstate(over="ignore", invalid="ignore"):  # What is not finite is refused.
        inputs = [group.encode(x) for group in model.groups]
        _require_finite(recipe, inputs)
        mean, std = (np.asarray(values, np.float64) for values in _predict_inputs(model, inputs))
    for row in np.flatnonzero(~np.isfinite(mean).all(axis=1))[:1]:
        raise CellError("", int(row), "the prediction is not finite; numbers are too far from those in training")
    return mean, std, findings


def _predict(model: Model, data: Any) -> tuple[Array | np.ndarray, Array | np.ndarray]:
    """Return mean and standard deviation; called by public functions, whose callers see the notes as warnings."""
    if isinstance(data, str | bytes | PathLike):
        raise TypeError("data must be an array or a table; read a file with jaxmlp.tables.load_table first")
    validate_process()
    if model.recipe is None and not is_table(data):
        return _predict_inputs(model, [group.encode(data) for group in model.groups])
    mean, std, findings = predict_frame(model, data, only_warnings=True)
    for note in Notes().add(findings).lines():
        warnings.warn(note, TableWarning, stacklevel=3)
    return mean, std


def _predict_inputs(model: Model, inputs: list[Any]) -> tuple[Array | np.ndarray, Array | np.ndarray]:
    """Return mean and standard deviation in the target's unit, given the encoded inputs of each group."""
    mean, std = predict_groups(model.groups, inputs, model.criterion)
    if model.target is not None:
        return model.target.invert(np.asarray(mean)), np.asarray(std, np.float64) * model.target.unit
    return mean, std


def _require_finite(recipe: Recipe, inputs: list[Any]) -> None:
    """Refuse numbers of a table that are too far from those of the training rows for the networks' dtype."""
    for rows in map(np.asarray, inputs):
        for row, column in np.argwhere(~np.isfinite(rows))[:1]:
            name = recipe.input_names()[column]
            raise CellError(f"column {name!r}, ", int(row), "the number is too far from those of the training rows")
