"""Groups: networks of one shape that predict together, with the encoding of their inputs and the scaling of targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike

from jaxmlp._dispatch import as_array
from jaxmlp._validation import to_numpy, validate_activations, validate_members, validate_params
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion
from jaxmlp.ensembles.members import is_ensemble
from jaxmlp.ensembles.prediction import predict_mean_and_std
from jaxmlp.fitting.encoding import Encoding, count_inputs, encode, validate_encoding
from jaxmlp.fitting.metrics import AnyArray
from jaxmlp.fitting.scaling import Scaling, validate_scaling
from jaxmlp.fitting.targets import TargetScaling, validate_target_scaling
from jaxmlp.network import Params


@dataclass(frozen=True, eq=False)
class Group:
    """Networks of one shape. A linear model is a group whose networks have no hidden layer.

    Arguments:
        params: the networks, leaves with a leading member axis.
        weights: (members,) the share of each network in a prediction; over all groups of a model they sum to 1.
        activation: one for each hidden layer.
        scaling: applied to the inputs first, in float64; None for inputs as they are.
        encoding: applied to the scaled inputs in the networks' dtype, leaves with a leading member axis; None for none.
        target: the scaling of the targets in training, which predictions undo; None for targets as they are.

    Raises:
        ValueError: parts that do not fit each other.
        TypeError: an activation that is a bare function; params of mixed dtypes.
    """

    params: Params
    weights: np.ndarray
    activation: tuple[Activation, ...]
    scaling: Scaling | None = None
    encoding: Encoding | None = None
    target: TargetScaling | None = None

    def __post_init__(self) -> None:
        _, members = validate_members(self.params)
        validate_activations(self.activation, len(self.params) - 1)
        if np.shape(self.weights) != (members,):
            raise ValueError(f"weights must have shape (members,) = {(members,)}; got {np.shape(self.weights)}")
        if not (np.min(self.weights) >= 0 and 0 < np.sum(self.weights) < np.inf):
            raise ValueError(f"weights must be finite, at least 0 and not all 0; got {self.weights}")
        if self.encoding is not None:
            validate_encoding("encoding", self.encoding, members)
            if count_inputs(self.encoding) != self.sizes[0]:
                raise ValueError(f"encoding must have {self.sizes[0]} inputs; got {count_inputs(self.encoding)}")
        if self.scaling is not None:
            validate_scaling("scaling", self.scaling, self.columns)
        if self.target is not None:
            validate_target_scaling("target", self.target, self.sizes[-1])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Layer widths from inputs to outputs."""
        return (self.params[0].w.shape[-2], *(layer.w.shape[-1] for layer in self.params))

    @property
    def columns(self) -> int:
        """Number of columns of x, which may be encoded as more inputs."""
        return self.sizes[0] if self.encoding is None else np.shape(self.encoding.center)[-1]

    @property
    def members(self) -> int:
        """Number of networks."""
        return self.params[0].w.shape[0]

    def scale(self, x: object) -> AnyArray:
        """Return x (n, columns) scaled in float64, then rounded to the networks' dtype."""
        dtype = self.params[0].w.dtype
        return as_array("x", x if self.scaling is None else self.scaling.apply(to_numpy("x", x)), dtype)

    def predict(self, x: ArrayLike, criterion: Criterion) -> tuple[Array, Array]:
        """Return the weighted mean and standard deviation of the networks' predictions of scaled rows (n, columns).

        Targets stay scaled; of a logarithm too, the mean is that of the logarithms.
        """
        encoding = None if self.encoding is None else Partial(encode, self.encoding)
        return predict_mean_and_std(
            self.params, x, activation=self.activation, criterion=criterion, member_weights=self.weights,
            encode=encoding,
        )  # fmt: skip


def make_group(params: Params, activation: Activation | tuple[Activation, ...] = relu) -> Group:
    """Return a group of one network or of an ensemble, whose members have equal weights."""
    if not is_ensemble(params):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], validate_params(params))
    members = params[0].w.shape[0]
    return Group(params, np.full(members, 1 / members), validate_activations(activation, len(params) - 1))


def predict_groups(
    groups: Sequence[Group], inputs: Sequence[ArrayLike], criterion: Criterion
) -> tuple[AnyArray, AnyArray, np.ndarray | None]:
    """Return the predictions of all members of all groups.

    Arguments:
        groups: the networks.
        inputs: (n, columns) scaled inputs of each group.
        criterion: its `predict` maps outputs to predictions, before they are averaged.

    Returns:
        Weighted mean and standard deviation, both (n, outputs), in the target's unit: JAX's arrays, or NumPy's in
        float64 if a group scales its targets. And which rows (n,) were clipped, None if there are no bounds.
    """
    parts = [_invert(group.target, *group.predict(x, criterion)) for group, x in zip(groups, inputs, strict=True)]
    means, stds, clipped = zip(*parts, strict=True)
    masks = [mask for mask in clipped if mask is not None]
    shares = np.array([group.weights.sum() for group in groups])
    mean, std = (means[0], stds[0]) if len(parts) == 1 else combine(shares, means, stds)
    return mean, std, np.any(np.stack(masks), axis=0) if masks else None


def combine(shares: np.ndarray, means: Sequence[AnyArray], stds: Sequence[AnyArray]) -> tuple[AnyArray, AnyArray]:
    """Return mean and standard deviation (n, outputs) of a mixture, given those of its parts and their shares."""
    xp: ModuleType = np if any(isinstance(mean, np.ndarray) for mean in means) else jnp
    all_means, all_stds = xp.stack(means), xp.stack(stds)
    share = xp.asarray(shares / shares.sum(), all_means.dtype)[:, None, None]
    mean = xp.sum(share * all_means, axis=0)
    return mean, xp.sqrt(xp.sum(share * (all_stds**2 + (all_means - mean[None]) ** 2), axis=0))


def _invert(target: TargetScaling | None, mean: Array, std: Array) -> tuple[AnyArray, AnyArray, np.ndarray | None]:
    if target is None:
        return mean, std, None
    unscaled = target.unscale(np.asarray(mean))
    inverted = target.clip(unscaled)
    has_bounds = target.low is not None or target.high is not None
    clipped = np.any(inverted != unscaled, axis=-1) if has_bounds else None
    return inverted, target.invert_std(np.asarray(std), inverted), clipped
