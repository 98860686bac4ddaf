"""Scaling of columns, in float64: learn it, apply it, invert it, and absorb it into a network's weights."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp.network import Layer, Params


class Scaling(NamedTuple):
    """A scaling of columns: `(values - center) * factor`."""

    center: np.ndarray  # (columns,), float64
    factor: np.ndarray  # (columns,), float64; 0 for a constant column

    @property
    def unit(self) -> np.ndarray:
        """The size of a step of 1 after scaling, in the columns' units; 0 for a constant column."""
        return inverse(self.factor)

    @property
    def is_identity(self) -> bool:
        """Whether the scaling changes nothing."""
        return bool((self.center == 0).all() and (self.factor == 1).all())

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return (n, columns) scaled, in float64."""
        return (np.asarray(values, np.float64) - self.center) * self.factor

    def invert(self, values: np.ndarray) -> np.ndarray:
        """Return the values (n, columns) of scaled ones, in float64; `center` for a constant column."""
        return np.asarray(values, np.float64) * self.unit + self.center

    def relative_to(self, reference: "Scaling") -> "Scaling":
        """Return the scaling that does the same to values which `reference` has already scaled."""
        return Scaling((self.center - reference.center) * reference.factor, self.factor * reference.unit)


def learn_scaling(rows: np.ndarray) -> Scaling:
    """Return the scaling of rows (n, columns) to mean 0 and standard deviation 1.

    A column of zeros and ones is only centred: otherwise a rare level would become a large input. A constant column
    becomes 0, so that a value that was never seen in training has no effect.
    """
    center, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[((rows == 0) | (rows == 1)).all(axis=0)] = 1
    return Scaling(center, inverse(np.where(np.ptp(rows, axis=0) > 0, scale, 0)))


def validate_scaling(name: str, scaling: Scaling, columns: int) -> None:
    """Raise ValueError unless a scaling has finite numbers for `columns` columns, of which none overflows."""
    if scaling.center.shape != (columns,) or scaling.factor.shape != (columns,):
        raise ValueError(f"{name} must have {columns} columns; got {scaling.center.shape} and {scaling.factor.shape}")
    size = np.abs(scaling.factor)
    if not (np.isfinite(scaling.center).all() and ((size == 0) | ((size > 1e-300) & (size < 1e300))).all()):
        raise ValueError(f"{name} must have finite centers, and factors that are 0 or between 1e-300 and 1e300")


def require_precision(names: list[str], center: np.ndarray, unit: np.ndarray, dtype: np.dtype, remedy: str) -> None:
    """Raise ValueError for columns whose values a dtype cannot tell apart, such as Unix times in float32.

    A value near the center is rounded by up to `center * eps / 2`. That must be at most 0.001 of the unit; in
    bfloat16, 16 times its `eps`, because a scaled value itself is rounded by about one.

    Arguments:
        names: of the columns, for the message.
        center: (columns,) the center of a scaling.
        unit: (columns,) the size of a step of 1 after scaling; 0 for a constant column, which is not looked at.
        dtype: in which the unscaled values are to be held.
        remedy: what to do instead, for the message.
    """
    eps = float(jnp.finfo(dtype).eps)
    rounding = np.abs(center) * eps / 2
    wrong = np.flatnonzero((unit != 0) & (rounding > max(1e-3, 16 * eps) * np.abs(unit))).tolist()
    if wrong:
        k, *others = wrong
        more = f", and so for {', '.join([names[other] for other in others[:5]])}" if others else ""
        more += f" and {len(others) - 5} more" if len(others) > 5 else ""
        raise ValueError(
            f"{names[k]} has values near {center[k]:.6g} that differ by about {unit[k]:.3g}, and {dtype} rounds them "
            f"by up to {rounding[k]:.2g}{more}; {remedy}"
        )


def identity_scaling(columns: int) -> Scaling:
    """Return the scaling that changes nothing."""
    return Scaling(np.zeros(columns), np.ones(columns))


def finest_scaling(scalings: Sequence[Scaling]) -> Scaling:
    """Return the scaling that has the smallest unit in each column.

    Values that it has scaled can be rounded to float32 and still be scaled like any of the others, `relative_to` it: a
    larger unit needs fewer digits. The reverse is false: one far row makes a unit so large that other rows look equal.
    """
    centers, factors = (np.stack(values) for values in zip(*scalings, strict=True))
    finest, columns = factors.argmax(axis=0), np.arange(factors.shape[1])
    return Scaling(centers[finest, columns], factors[finest, columns])


def absorb(params: Params, inputs: list[Scaling], targets: list[Scaling]) -> Params:
    """Return networks of unscaled rows, given networks of scaled ones.

    Arguments:
        params: an ensemble.
        inputs: the scaling of each member's inputs.
        targets: the scaling of each member's targets.

    Returns:
        An ensemble of the same dtype, whose inputs and outputs are in the units of the data.
    """
    center, factor = (np.stack(values)[:, None, :] for values in zip(*inputs, strict=True))
    y_center, y_factor = (np.stack(values)[:, None, :] for values in zip(*targets, strict=True))
    layers = [[np.asarray(leaf, np.float64) for leaf in layer] for layer in params]
    first, last = layers[0], layers[-1]
    # ((x - c) f) w + b = x (f w) + (b - c f w)
    first[0] = first[0] * factor.swapaxes(1, 2)
    first[1] = first[1] - center @ first[0]
    # z = (y - c) f, so y = z / f + c
    last[0], last[1] = last[0] * inverse(y_factor), last[1] * inverse(y_factor) + y_center
    dtype = params[0].w.dtype
    return tuple(Layer(*jax.device_put((w.astype(dtype), b.astype(dtype)))) for w, b in layers)


def inverse(factor: np.ndarray) -> np.ndarray:
    """Return 1 / factor, and 0 where factor is 0."""
    return np.where(factor == 0, 0, 1 / np.where(factor == 0, 1, factor))
