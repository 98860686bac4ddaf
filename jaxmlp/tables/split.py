"""Rows to train on and rows kept aside."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxmlp.tables.columns import TableError, counted, missing
from jaxmlp.tables.learning import learn_target
from jaxmlp.tables.recipe import class_codes, target_column

if TYPE_CHECKING:
    from polars import DataFrame


def split_rows(
    n: int, fractions: tuple[float, ...] = (0.1, 0.1), seed: int = 0, stratify: Any = None
) -> list[np.ndarray]:
    """Split rows at random into those to train on and one part for each fraction.

    Arguments:
        n: rows.
        fractions: of the rows, each of at least one row.
        seed: of the draw; the same seed, the same rows.
        stratify: (n,) integers, a class for each row: each part holds each class in proportion, as far as whole rows
            can, and the training rows hold at least one of each. None for no classes.

    Returns:
        Masks (n,) bool that share no row and together hold all: the training rows, then a part for each fraction.

    Raises:
        TableError: there are too few rows.
    """
    order = np.random.default_rng(seed).permutation(n)
    classes = np.zeros(n, np.int64) if stratify is None else np.asarray(stratify)
    order = order[np.argsort(classes[order], kind="stable")]  # class by class, at random within each
    _, first = np.unique(classes[order], return_index=True)
    left = np.delete(order, first)  # the first of each class is trained on, whatever comes
    sizes = [max(1, round(fraction * n)) for fraction in fractions]
    if len(left) < sum(sizes):
        least = max(1, len(first)) + sum(sizes)
        raise TableError(f"{counted(n, 'row')} to split; at least {least} are needed")
    parts, rng = [], np.random.default_rng([seed, 1])
    for size in sizes:
        # Evenly spaced along the classes, so that each gives its share.
        taken = np.floor((np.arange(size) + rng.uniform()) * (len(left) / size)).astype(np.int64)
        parts.append(left[taken])
        left = np.delete(left, taken)
    masks = np.zeros((1 + len(parts), n), bool)
    masks[0] = True
    for mask, part in zip(masks[1:], parts, strict=True):
        mask[part], masks[0, part] = True, False
    return list(masks)


def split_table(
    frame: "DataFrame",
    target: str,
    *,
    task: str | None = None,
    fractions: tuple[float, ...] = (0.1, 0.1),
    seed: int = 0,
) -> list[np.ndarray]:
    """Split the rows of a table that have a target, class by class where it is one.

    Arguments:
        frame: n rows.
        target: the column to predict.
        task: as in `learn_recipe`.
        fractions: of the rows with a target.
        seed: of the draw.

    Returns:
        Masks as of `split_rows`, (n,) bool; rows without a target are in none.

    Raises:
        TableError: there are too few rows, or the target cannot be used.
    """
    column = target_column(frame, target)
    keep = np.flatnonzero(~missing(column))
    classes = learn_target(column, task, np.ones(frame.height, bool))["classes"]
    stratify = class_codes(column, classes)[keep] if classes else None
    masks = []
    for part in split_rows(len(keep), fractions, seed, stratify):
        mask = np.zeros(frame.height, bool)
        mask[keep[part]] = True
        masks.append(mask)
    return masks
