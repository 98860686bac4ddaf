"""Splitting rows in groups that stay together, and in time."""

import numpy as np


def join_groups(*keys: np.ndarray) -> np.ndarray:
    """Return group numbers (n,) such that rows which agree in any of the keys (n,) are in one group."""
    group = np.arange(len(keys[0]))
    codes = [np.unique(key, return_inverse=True)[1] for key in keys]
    while True:
        before = group
        for code in codes:
            lowest = np.full(code.max(initial=0) + 1, len(group))
            np.minimum.at(lowest, code, group)
            group = lowest[code]
        if (group == before).all():
            return group


def assign_parts(
    groups: np.ndarray, parts: int, rng: np.random.Generator, classes: np.ndarray | None = None
) -> np.ndarray:
    """Return the part of each row (n,), such that groups stay whole and parts are as equal as they can be.

    Arguments:
        groups: (n,) integers.
        parts: number of parts.
        rng: draws them.
        classes: (n,) integers; each part gets its share of each class, as far as groups allow.
    """
    _, first, group, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    kinds = np.zeros(len(sizes), int) if classes is None else np.unique(classes[first], return_inverse=True)[1]
    rows = np.zeros((kinds.max(initial=0) + 1, parts))
    part = np.empty(len(sizes), np.int64)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    large = order[sizes[order] > 1]
    for unit in large.tolist():  # The largest groups first, each where there is most room.
        kind, draw = kinds[unit], rng.random(parts)
        part[unit] = np.lexsort((draw, rows.sum(axis=0), rows[kind]))[0]
        rows[kind, part[unit]] += sizes[unit]
    single = order[len(large) :]
    for kind in range(len(rows)):
        units = single[kinds[single] == kind]
        # Each part is a stack of rows; the next ones go where the stacks are lowest.
        heights = rows[kind][:, None] + np.arange(len(units))
        draw = np.broadcast_to(rng.random((parts, 1)) + rows.sum(axis=0)[:, None], heights.shape)
        lowest = np.lexsort((draw.ravel(), heights.ravel()))[: len(units)]
        part[units] = lowest // max(1, len(units))
        rows[kind] += np.bincount(part[units], minlength=parts)
    return part[group]


def split_latest(times: np.ndarray, fraction: float, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the earlier rows and of the latest ones; rows of the same time stay together.

    Arguments:
        times: (n,) numbers.
        fraction: of the rows that are the latest.
        least: smallest number of latest rows.

    Raises:
        ValueError: no row is earlier than the latest ones.
    """
    ordered = np.sort(times)
    start = ordered[len(times) - max(least, round(fraction * len(times)))]
    if start == ordered[0]:
        later = ordered[ordered > start]
        if not len(later):
            raise ValueError("times must differ; all rows have the same")
        start = later[0]
    return np.flatnonzero(times < start), np.flatnonzero(times >= start)
