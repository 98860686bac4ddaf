"""The encoding of numbers: scaled and clipped smoothly, and piecewise linearly in bins at their quantiles.

A network of encoded numbers is, in its first layer already, a piecewise-linear function of each of them, with as many
pieces as there are bins. Nothing is learned by gradients: an encoding is a pure function of the edges of the bins.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

REACH = 2.0  # A value beyond the first or last edge is encoded as if it were at most so many bins away.
_SOFT = 3.0  # A scaled value stays within this size.


class Encoding(NamedTuple):
    """What is learned about columns from training rows; for an ensemble, each leaf may have a leading axis."""

    center: Array | np.ndarray  # (columns,) medians of numbers, means of columns of zeros and ones
    factor: Array | np.ndarray  # (columns,) one over the interquartile range of numbers, else 1; 0 for a constant
    binned: Array | np.ndarray  # (binned,) int32, indices of the columns that are encoded piecewise linearly, too
    edges: Array | np.ndarray  # (binned, bins + 1) ascending; the last edge of a column may be repeated
    means: Array | np.ndarray  # (binned, bins) mean of each component, which is subtracted


def encode(encoding: Encoding, x: Array) -> Array:
    """Return rows (n, columns) encoded, (n, columns + binned * bins): the columns scaled, then the bins of each.

    The scaled value z becomes z / sqrt(1 + (z / 3)²), which is near z for small z and never beyond 3 (Holzmüller,
    Grinsztajn and Steinwart 2024, section 3).
    """
    center, factor, edges, means = (
        jnp.asarray(leaf, x.dtype) for leaf in (encoding.center, encoding.factor, encoding.edges, encoding.means)
    )
    z = (x - center[None]) * factor[None]
    z = z / jnp.sqrt(1 + (z / _SOFT) ** 2)
    if not means.size:
        return z
    binned = jnp.take(x, jnp.asarray(encoding.binned), axis=1, mode="clip")
    bins = piecewise_linear(edges, binned) - means[None]
    return jnp.concatenate([z, bins.reshape(x.shape[0], means.size)], axis=1)


def piecewise_linear(edges: Array, x: Array) -> Array:
    """Encode numbers piecewise linearly.

    With edges e[0] < … < e[T], component t of a number x is (x - e[t]) / (e[t+1] - e[t]) inside bin t, 0 before it and
    1 beyond it. The first and the last bin continue outside, by two widths at most.

    Arguments:
        edges: (columns, bins + 1) ascending; where an edge is repeated, the component is 0.
        x: (n, columns) numbers.

    Returns:
        (n, columns, bins).

    Source: Gorishniy, Rubachev and Babenko 2022, "On Embeddings for Numerical Features in Tabular Deep Learning",
    section 3.2.
    """
    start, width = edges[:, :-1], jnp.diff(edges, axis=1)
    is_bin = width > 0
    slope = jnp.where(is_bin, 1 / jnp.where(is_bin, width, 1), 0)
    is_last = is_bin & (edges[:, 1:] == edges[:, -1:])
    low = jnp.where(jnp.arange(width.shape[1]) == 0, -REACH, 0.0).astype(x.dtype)[None]
    high = jnp.where(is_last, 1 + REACH, 1.0).astype(x.dtype)
    return jnp.clip((x[:, :, None] - start[None]) * slope[None], low[None], high[None])


def learn_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Return edges (at most bins + 1,) at the quantiles of values (n,); at the values themselves if they are few."""
    different = np.unique(values)
    if len(different) <= bins + 1:
        return different
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))


def learn_encoding(x: np.ndarray, bins: int) -> Encoding:
    """Return the encoding of training rows.

    Arguments:
        x: (n, columns).
        bins: largest number of bins of a column; 0 for none.
    """
    x = np.asarray(x, np.float64)
    low, first, center, third, high = np.quantile(x, (0, 0.25, 0.5, 0.75, 1), axis=0)
    is_binary = ((x == low) | (x == high)).all(axis=0)
    center = np.where(is_binary, x.mean(axis=0), center)
    spread = np.where(third > first, third - first, (high - low) / 2)
    spread = np.where(is_binary, high - low, spread)
    factor = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0)
    binned = np.flatnonzero(~is_binary) if bins else np.empty(0, int)
    edges = [learn_edges(x[:, k], bins) for k in binned]
    longest = max(map(len, edges), default=1)
    table = np.array([np.pad(row, (0, longest - len(row)), mode="edge") for row in edges]).reshape(-1, longest)
    return Encoding(center, factor, binned.astype(np.int32), table, _means(table, x[:, binned]))


def stack_encodings(encodings: list[Encoding]) -> Encoding:
    """Return encodings with the same columns as one with a leading axis; edges are repeated to equal length."""
    longest = max(encoding.edges.shape[1] for encoding in encodings)
    padded = []
    for center, factor, binned, edges, means in encodings:
        missing = ((0, 0), (0, longest - edges.shape[1]))
        padded.append(Encoding(center, factor, binned, np.pad(edges, missing, mode="edge"), np.pad(means, missing)))
    return Encoding(*(np.stack(leaves) for leaves in zip(*padded, strict=True)))


def _means(edges: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the mean of each component of `piecewise_linear` over rows that no edge bounds, in blocks of columns."""
    start, width = edges[:, :-1], np.diff(edges, axis=1)
    means = np.empty(width.shape)
    for k in range(len(edges)):  # A column at a time: all components of all rows need too much memory.
        slope = np.where(width[k] > 0, 1 / np.where(width[k] > 0, width[k], 1), 0)
        means[k] = np.clip((x[:, k, None] - start[k]) * slope, 0, 1).mean(axis=0)
    return means
