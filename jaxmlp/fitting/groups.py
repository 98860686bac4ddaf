"""Groups: networks of one shape that predict together, with the encoding of their inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxmlp._dispatch import as_array
from jaxmlp._validation import to_numpy, validate_activations, validate_members, validate_params
from jaxmlp.activations import Activation, relu
from jaxmlp.criteria import Criterion
from jaxmlp.ensembles.members import is_ensemble
from jaxmlp.ensembles.prediction import predict_mean_and_std
from jaxmlp.fitting.scaling import Scaling, validate_scaling
from jaxmlp.network import Params


@dataclass(frozen=True, eq=False)
class Group:
    """Networks of one shape. A linear model is a group whose networks have no hidden layer.

    Arguments:
        params: the networks, leaves with a leading member axis.
        weights: (members,) the share of each network in a prediction; over all groups of a model they sum to 1.
        activation: one for each hidden layer.
        encoding: the scaling that is applied to the inputs, in float64; None for inputs as they are.

    Raises:
        ValueError: parts that do not fit each other.
        TypeError: an activation that is a bare function; params of mixed dtypes.
    """

    params: Params
    weights: np.ndarray
    activation: tuple[Activation, ...]
    encoding: Scaling | None = None

    def __post_init__(self) -> None:
        _, members = validate_members(self.params)
        validate_activations(self.activation, len(self.params) - 1)
        if np.shape(self.weights) != (members,):
            raise ValueError(f"weights must have shape (members,) = {(members,)}; got {np.shape(self.weights)}")
        if not (np.min(self.weights) >= 0 and 0 < np.sum(self.weights) < np.inf):
            raise ValueError(f"weights must be finite, at least 0 and not all 0; got {self.weights}")
        if self.encoding is not None:
            validate_scaling("encoding", self.encoding, self.sizes[0])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Layer widths from inputs to outputs."""
        return (self.params[0].w.shape[-2], *(layer.w.shape[-1] for layer in self.params))

    @property
    def members(self) -> int:
        """Number of networks."""
        return self.params[0].w.shape[0]

    def encode(self, x: Any) -> Array | np.ndarray:
        """Return the networks' inputs: x (n, fan_in) encoded in float64, then rounded to the networks' dtype."""
        dtype = self.params[0].w.dtype
        return as_array("x", x if self.encoding is None else self.encoding.apply(to_numpy("x", x)), dtype)


def make_group(params: Params, activation: Activation | tuple[Activation, ...] = relu) -> Group:
    """Return a group of one network or of an ensemble, whose members have equal weights."""
    if not is_ensemble(params):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], validate_params(params))
    members = params[0].w.shape[0]
    return Group(params, np.full(members, 1 / members), validate_activations(activation, len(params) - 1))


def predict_groups(groups: Sequence[Group], inputs: Sequence[ArrayLike], criterion: Criterion) -> tuple[Array, Array]:
    """Return the weighted mean and standard deviation of the predictions of all members of all groups.

    Arguments:
        groups: the networks.
        inputs: (n, fan_in) encoded inputs of each group.
        criterion: its `predict` maps outputs to predictions, before they are averaged.

    Returns:
        Mean and standard deviation, both (n, outputs).
    """
    shares, means, variances = [], [], []
    for group, x in zip(groups, inputs, strict=True):
        mean, std = predict_mean_and_std(
            group.params, x, activation=group.activation, criterion=criterion, member_weights=group.weights
        )
        if len(groups) == 1:
            return mean, std
        shares.append(group.weights.sum())
        means.append(mean)
        variances.append(std**2)
    share = jnp.asarray(np.array(shares) / np.sum(shares), means[0].dtype)[:, None, None]
    mean = jnp.sum(share * jnp.stack(means), axis=0)
    between = (jnp.stack(means) - mean[None]) ** 2
    return mean, jnp.sqrt(jnp.sum(share * (jnp.stack(variances) + between), axis=0))
