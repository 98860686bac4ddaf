"""Standardisation by the training rows of a fold, and how a trained network takes it in."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxmlp.network import Layer, Params


class Affine(NamedTuple):
    """What is subtracted from each column, and what it is then multiplied with; float64."""

    center: np.ndarray  # (columns,)
    factor: np.ndarray  # (columns,)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Standardise (n, columns); a row of its own decides nothing."""
        return ((values - self.center) * self.factor).astype(np.float32)

    def undone(self, values: np.ndarray) -> np.ndarray:
        """The values (n, columns) of standardised ones, float64."""
        return values / np.where(self.factor == 0, 1, self.factor) + self.center


def standard(rows: np.ndarray) -> Affine:
    """The standardisation of columns to mean 0 and deviation 1, learnt on rows (n, columns).

    A column of zeros and ones is only centred: a rare level would stand out by its rarity. A constant one becomes 0,
    so that a value which was never seen in training says nothing.
    """
    center, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[((rows == 0) | (rows == 1)).all(axis=0)] = 1
    varies = (np.ptp(rows, axis=0) > 0) & (scale > 0)
    return Affine(center, np.where(varies, 1 / np.where(varies, scale, 1), 0))


def identity(columns: int) -> Affine:
    """The one that changes nothing."""
    return Affine(np.zeros(columns), np.ones(columns))


def taken_in(params: Params, inputs: list[Affine], targets: list[Affine]) -> Params:
    """Networks of standardised rows as networks of the rows themselves, which are members of one ensemble.

    Arguments:
        params: an ensemble.
        inputs: the standardisation of each member's inputs.
        targets: that of its targets.

    Returns:
        An ensemble of the same dtype, whose outputs are in the targets' own unit.
    """
    center, factor = (np.stack(values) for values in zip(*inputs, strict=True))
    y_center, y_factor = (np.stack(values) for values in zip(*targets, strict=True))
    layers = [[np.asarray(leaf, np.float64) for leaf in layer] for layer in params]
    first, last = layers[0], layers[-1]
    # ((x - c) f) w + b = x (f w) + (b - c f w)
    first[0] = first[0] * factor[:, :, None]
    first[1] = first[1] - center[:, None, :] @ first[0]
    # z = (y - c) f, so y = z / f + c
    scale = 1 / np.where(y_factor == 0, 1, y_factor)[:, None, :]
    last[0], last[1] = last[0] * scale, last[1] * scale + y_center[:, None, :]
    dtype = params[0].w.dtype
    return tuple(Layer(jnp.asarray(w, dtype), jnp.asarray(b, dtype)) for w, b in layers)
