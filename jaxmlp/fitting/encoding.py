"""The encoding of numbers: scaled and clipped smoothly, and piecewise linearly in bins at their quantiles.

A network of encoded numbers is, in its first layer already, a piecewise-linear function of each of them, with as many
pieces as there are bins. Nothing is learned by gradients: an encoding is a pure function of the edges of the bins.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxmlp.fitting.metrics import Values, numpy_of
from jaxmlp.fitting.scaling import inverse, learn_scaling

REACH = 2.0  # A value beyond the first or last edge is encoded as if it were at most two bins away.
SOFTNESS = 1 / 3  # Scaled values stay within its inverse.


class Encoding(NamedTuple):
    """What is learned about columns from training rows; for an ensemble, each leaf may have a leading axis."""

    center: np.ndarray  # (columns,) medians of numbers, means of columns of zeros and ones
    factor: np.ndarray  # (columns,) one over the interquartile range of numbers, else 1; 0 for a constant
    softness: np.ndarray  # () one over the largest size of a scaled value; 0 for no limit
    binned: np.ndarray  # (binned,) int32, indices of the columns that are encoded piecewise linearly, too
    edges: np.ndarray  # (binned, bins + 1) ascending; the last edge of a column may be repeated
    means: np.ndarray  # (binned, bins) mean of each component, which is subtracted


def encode(encoding: Encoding, x: Array) -> Array:
    """Return rows (n, columns) encoded, (n, columns + binned * bins): the columns scaled, then the bins of each.

    The scaled value z becomes z / sqrt(1 + (z / 3)²), which is near z for small z and never beyond 3 (Holzmüller,
    Grinsztajn and Steinwart 2024, section 3).
    """
    leaves = encoding._replace(binned=np.empty(0))
    center, factor, softness, _, edges, means = (jnp.asarray(leaf, x.dtype) for leaf in leaves)
    z = (x - center[None]) * factor[None]
    z = z / jnp.sqrt(1 + (z * softness) ** 2)
    if not means.size:
        return z
    binned = jnp.take(x, jnp.asarray(encoding.binned), axis=1, mode="clip")
    bins = piecewise_linear(edges, binned) - means[None]
    return jnp.concatenate([z, bins.reshape(x.shape[0], means.size)], axis=1)


def piecewise_linear(edges: Values, x: Values) -> Values:
    """Encode numbers piecewise linearly.

    With edges e[0] < … < e[T], component t of a number x is (x - e[t]) / (e[t+1] - e[t]) inside bin t, 0 before it and
    1 beyond it. The first and the last bin continue outside, by two widths at most.

    Arguments:
        edges: (columns, bins + 1) ascending; where an edge is repeated, the component is 0.
        x: (n, columns) numbers of the same dtype; arrays of JAX, or of NumPy, which compute in float64 too.

    Returns:
        (n, columns, bins).

    Source: Gorishniy, Rubachev and Babenko 2022, "On Embeddings for Numerical Features in Tabular Deep Learning",
    section 3.2.
    """
    xp = numpy_of(x)
    start, width = edges[:, :-1], xp.diff(edges, axis=1)
    is_bin = width > 0
    slope = xp.where(is_bin, 1 / xp.where(is_bin, width, 1), 0)
    is_last = is_bin & (edges[:, 1:] == edges[:, -1:])
    low = xp.where(xp.arange(width.shape[1]) == 0, -REACH, 0.0).astype(x.dtype)[None]
    high = xp.where(is_last, 1 + REACH, 1.0).astype(x.dtype)
    return xp.clip((x[:, :, None] - start[None]) * slope[None], low[None], high[None])


def learn_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Return edges (at most bins + 1,) at the quantiles of values (n,); at the values themselves if they are few."""
    different = np.unique(values)
    if len(different) <= bins + 1:
        return different
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))


def learn_encoding(x: np.ndarray, bins: int | None, binned: np.ndarray | None = None) -> Encoding:
    """Return the encoding of training rows.

    Arguments:
        x: (n, columns).
        bins: largest number of bins of a column; 0 for numbers that are scaled and clipped only; None for columns that
            are standardized only.
        binned: indices of the columns that have bins; None for those with more than two different values.
    """
    x = np.asarray(x, np.float64)
    if bins is None:
        center, factor = learn_scaling(x)
        return Encoding(center, factor, np.zeros(()), np.empty(0, np.int32), np.empty((0, 1)), np.empty((0, 0)))
    low, first, center, third, high = np.quantile(x, (0, 0.25, 0.5, 0.75, 1), axis=0)
    is_binary = ((x == low) | (x == high)).all(axis=0)
    center = np.where(is_binary, x.mean(axis=0), center)
    spread = np.where(third > first, third - first, (high - low) / 2)
    spread = np.where(is_binary, high - low, spread)
    factor = inverse(spread)
    binned = np.flatnonzero(~is_binary) if binned is None else binned
    binned = binned if bins else np.empty(0, int)
    edges = [learn_edges(x[:, k], bins) for k in binned]
    longest = max(map(len, edges), default=1)
    table = np.array([np.pad(row, (0, longest - len(row)), mode="edge") for row in edges]).reshape(-1, longest)
    return Encoding(center, factor, np.array(SOFTNESS), binned.astype(np.int32), table, _means(table, x[:, binned]))


def count_inputs(encoding: Encoding) -> int:
    """Return the number of inputs that an encoding makes of a row."""
    bins = np.shape(encoding.means)[-2:]
    return np.shape(encoding.center)[-1] + bins[0] * bins[1]


def validate_encoding(name: str, encoding: Encoding, members: int) -> None:
    """Raise ValueError unless the leaves of an encoding of all members are finite and fit each other."""
    # The last axes of leaves with fewer axes count as 0.
    columns, (binned, edges) = (0, *np.shape(encoding.center))[-1], (0, 0, *np.shape(encoding.edges))[-2:]
    shapes = [(columns,), (columns,), (), (binned,), (binned, edges), (binned, edges - 1)]
    if [np.shape(leaf) for leaf in encoding] != [(members, *shape) for shape in shapes]:
        raise ValueError(f"{name} must have leaves that fit each other, for {members} members")
    if not all(np.isfinite(leaf).all() for leaf in encoding) or (np.diff(encoding.edges) < 0).any():
        raise ValueError(f"{name} must have finite numbers, and edges in ascending order")
    if np.size(encoding.binned) and not (np.min(encoding.binned) >= 0 and np.max(encoding.binned) < columns):
        raise ValueError(f"{name} must have bins of columns from 0 to {columns - 1}")


def restore_encoding(encoding: Encoding, members: int) -> Encoding:
    """Return an encoding of JSON, which keeps neither integers nor the shapes of empty arrays."""
    binned = encoding.binned
    if not (np.abs(binned) < 2**31).all() or (binned % 1 != 0).any():
        raise ValueError("encoding must have bins of columns that are whole numbers")
    if binned.size or encoding.edges.size or encoding.means.size:
        return encoding._replace(binned=binned.astype(np.int32))
    empty = np.empty((members, 0), np.int32), np.empty((members, 0, 1)), np.empty((members, 0, 0))
    return Encoding(encoding.center, encoding.factor, encoding.softness, *empty)


def stack_encodings(encodings: list[Encoding]) -> Encoding:
    """Return encodings with the same columns as one with a leading axis; edges are repeated to equal length."""
    longest = max(encoding.edges.shape[1] for encoding in encodings)
    padded = []
    for encoding in encodings:
        missing = ((0, 0), (0, longest - encoding.edges.shape[1]))
        edges, means = np.pad(encoding.edges, missing, mode="edge"), np.pad(encoding.means, missing)
        padded.append(encoding._replace(edges=edges, means=means))
    return Encoding(*(np.stack(leaves) for leaves in zip(*padded, strict=True)))


def _means(edges: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the mean of each component of `piecewise_linear` over rows (n, binned)."""
    # A column at a time: all components of all rows need too much memory.
    means = [piecewise_linear(edges[k : k + 1], x[:, k : k + 1]).mean(axis=0) for k in range(len(edges))]
    return np.concatenate(means) if means else np.empty((0, 0))
