"""A model: networks, the meaning of their outputs, and the recipe of their table."""

import warnings
from dataclasses import InitVar, dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from jax.typing import ArrayLike

from jaxmlp._fork import validate_process
from jaxmlp._validation import validate_criterion
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import CRITERIA, Criterion, softmax_cross_entropy, squared_error
from jaxmlp.fitting.groups import Group, make_group, predict_groups
from jaxmlp.fitting.metrics import AnyArray
from jaxmlp.fitting.scaling import Scaling
from jaxmlp.fitting.targets import TargetScaling
from jaxmlp.fitting.tasks import TABLE_CRITERIA
from jaxmlp.fitting.temperature import apply_temperature
from jaxmlp.models.interval import Interval
from jaxmlp.network import Params
from jaxmlp.storage.json import JsonObject
from jaxmlp.tables import Recipe, TableWarning, as_frame, is_table
from jaxmlp.tables.findings import Finding, Notes, find, merge_findings
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
        target: the scaling of the targets in training, which predictions of groups without one undo; None for targets
            as they are.
        interval: the prediction interval; None if it was not measured.
        temperature: of the probabilities, see `apply_temperature`; None for probabilities as they are.
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
    target: InitVar[Scaling | None] = None
    interval: Interval | None = None
    temperature: float | None = None
    report: JsonObject = field(default_factory=dict)
    plan: JsonObject = field(default_factory=dict)
    groups: tuple[Group, ...] = field(init=False)

    def __post_init__(
        self,
        networks: Params | tuple[Group, ...],
        activation: Activation | tuple[Activation, ...],
        target: Scaling | None,
    ) -> None:
        groups: Any = networks
        if not (isinstance(networks, tuple) and networks and isinstance(networks[0], Group)):
            groups = (make_group(groups, activation),)
        if target is not None:
            groups = tuple(replace(group, target=group.target or TargetScaling(target)) for group in groups)
        object.__setattr__(self, "groups", groups)
        validate_criterion(self.criterion, self.groups[0].sizes[-1])
        sizes = {(group.columns, group.sizes[-1]) for group in self.groups}
        if len(sizes) > 1:
            raise ValueError(f"groups must have the same numbers of inputs and outputs; got {sorted(sizes)}")
        is_other = self.criterion in CRITERIA.values() and self.criterion != softmax_cross_entropy
        is_other |= self.recipe is not None and not self.recipe.classes
        if self.temperature is not None and (is_other or not 0 < self.temperature < np.inf):
            raise ValueError(f"temperature must be positive, and None unless for classes; got {self.temperature}")
        if self.recipe is not None:
            self._validate_recipe(self.recipe)

    def _validate_recipe(self, recipe: Recipe) -> None:
        expected, sizes = (recipe.n_inputs, recipe.n_outputs), (self.groups[0].columns, self.groups[0].sizes[-1])
        if sizes != expected:
            raise ValueError(f"params must have inputs and outputs {expected}, as the recipe has; got {sizes}")
        criterion = TABLE_CRITERIA[recipe.task]
        if self.criterion in CRITERIA.values() and self.criterion.predict != criterion.predict:
            raise ValueError(f"criterion must be one for {recipe.task}, as the recipe's task is")
        scaled = [group.target for group in self.groups if group.target is not None]
        if recipe.task != "regression" and any(target.is_log or not target.scaling.is_identity for target in scaled):
            raise ValueError(f"target must not scale for {recipe.task}")
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


@overload
def predict(model: Model, data: object, *, interval: None = None) -> AnyArray: ...
@overload
def predict(model: Model, data: object, *, interval: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
def predict(model: Model, data: object, *, interval: float | None = None) -> AnyArray | tuple[np.ndarray, ...]:
    """Predict the mean, class probabilities or mean count of each row.

    Arguments:
        model: a model.
        data: for a model with a recipe, a table: a DataFrame of polars or pandas, or a dict of columns, which are
            found by name; others are ignored. For a model without a recipe, inputs (n, fan_in).
        interval: the share of targets that a prediction interval should hold, such as 0.9; None for no interval.

    Returns:
        (n, outputs), the weighted mean of the networks. With a recipe, a regression is in the target's unit, and
        the classes are `recipe.classes`, in order. For a table NumPy's float64; for an array JAX's, of the networks'
        dtype, unless the model scales its targets or has a temperature. With `interval`, a tuple of the prediction and
        of the lower and the upper end, each (n, 1).

    Raises:
        ValueError: a shape that does not fit, or a table that does not fit the recipe (a TableError); an interval that
            is not between 0 and 1, or of a model whose interval was not measured.
        TypeError: a table for a model without a recipe, or anything else for a model with one.

    Warns:
        TableWarning: values unlike those in training: unknown levels, missing values, numbers far outside the range.
    """
    if interval is None:
        return _predict(model, data)[0]
    if model.interval is None:
        raise ValueError("interval must be None: the model has no prediction interval, which is measured for numbers")
    mean = np.asarray(_predict(model, data)[0], np.float64)
    low, high = model.interval.ends(mean[:, 0], interval)
    return mean, low[:, None], high[:, None]


def predict_with_std(model: Model, data: object) -> tuple[AnyArray, AnyArray]:
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
    model: Model, data: object, *, offset: int = 0, only_warnings: bool = False
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
        inputs = _scale(model, x)
        _require_finite(recipe, inputs)
        mean, std, clipped = _predict_inputs(model, inputs)
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    for row in np.flatnonzero(~np.isfinite(mean).all(axis=1))[:1]:
        raise CellError("", int(row), "the prediction is not finite; numbers are too far from those in training")
    if clipped is not None:
        text = " of a network clipped to the range of the training targets, widened by a tenth"
        findings += find(recipe.target, "prediction", text, clipped, is_warning=False)
    return mean, std, findings


def _predict(model: Model, data: object) -> tuple[AnyArray, AnyArray]:
    """Return mean and standard deviation; called by public functions, whose callers see the notes as warnings."""
    if isinstance(data, str | bytes | PathLike):
        raise TypeError("data must be an array or a table; read a file with jaxmlp.tables.load_table first")
    validate_process()
    if model.recipe is None and not is_table(data):
        return _predict_inputs(model, _scale(model, data))[:2]
    mean, std, findings = predict_frame(model, data, only_warnings=True)
    for note in Notes().add(findings).lines():
        warnings.warn(note, TableWarning, stacklevel=3)
    return mean, std


def _predict_inputs(model: Model, inputs: list[ArrayLike]) -> tuple[AnyArray, AnyArray, np.ndarray | None]:
    """Return mean and standard deviation in the target's unit, and which rows were clipped."""
    mean, std, clipped = predict_groups(model.groups, inputs, model.criterion)
    if model.temperature is not None:
        mean = apply_temperature(np.asarray(mean, np.float64), model.temperature)
    return mean, std, clipped


def _scale(model: Model, x: object) -> list[ArrayLike]:
    """Return the scaled inputs of each group; groups with equal scalings share the array."""
    scaled: dict[object, ArrayLike] = {}

    def scale(group: Group) -> ArrayLike:
        scaling = () if group.scaling is None else tuple(values.tobytes() for values in group.scaling)
        key = scaling, group.params[0].w.dtype
        if key not in scaled:
            scaled[key] = group.scale(x)
        return scaled[key]

    return [scale(group) for group in model.groups]


def _require_finite(recipe: Recipe, inputs: list[ArrayLike]) -> None:
    """Refuse numbers of a table that are too far from those of the training rows for the networks' dtype."""
    for rows in {id(rows): np.asarray(rows) for rows in inputs}.values():
        for row, column in np.argwhere(~np.isfinite(rows))[:1]:
            name = recipe.input_names()[column]
            raise CellError(f"column {name!r}, ", int(row), "the number is too far from those of the training rows")
