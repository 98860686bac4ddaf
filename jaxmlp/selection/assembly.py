"""What a search has chosen, put together as groups of networks, which predict."""

from collections.abc import Callable
from itertools import groupby

import jax
import numpy as np

from jaxmlp.fitting.defaults import Candidate
from jaxmlp.fitting.groups import Group
from jaxmlp.fitting.scaling import absorb, finest_scaling, identity_scaling
from jaxmlp.fitting.targets import TargetScaling, learn_target_scaling
from jaxmlp.network import Params
from jaxmlp.selection.linear import Linear
from jaxmlp.selection.rounds import Trained
from jaxmlp.selection.search import Search, join_rows, refit, refit_mapped

MoreRows = Callable[[TargetScaling], tuple[np.ndarray, np.ndarray]]


def make_groups(
    search: Search, trained: Trained, linear: Linear, weights: np.ndarray
) -> tuple[tuple[Group, ...], tuple[np.ndarray, ...]]:
    """Return the groups of what was chosen, and the fold of each network; the snapshots of a candidate are one group.

    Arguments:
        search: of `prepare_search`.
        trained: the networks.
        linear: the linear models.
        weights: of the networks, then of the linear models; their sum is 1.
    """
    snapshots = trained.snapshots()
    by_network, by_penalty = np.split(weights, [len(snapshots)])
    chosen = [(candidate, kept.params, w) for (candidate, kept), w in zip(snapshots, by_network, strict=True) if w > 0]
    groups, folds = [], []
    for candidate, entries in groupby(chosen, key=lambda entry: entry[0]):
        _, params, shares = zip(*entries, strict=True)
        groups.append(_make_group(search, candidate, list(params), list(shares)))
        folds.append(np.tile(search.fold, len(params)))
    single = search._replace(settings=search.settings._replace(seeds=1))
    for penalty in np.flatnonzero(by_penalty):
        groups.append(_make_group(single, Candidate(0.0, 0.0, ()), [linear.params[penalty]], [by_penalty[penalty]]))
        folds.append(single.fold)
    return tuple(groups), tuple(folds)


def refit_best(
    search: Search, trained: Trained, weights: np.ndarray, members: int, more: MoreRows | None = None
) -> Group:
    """Return networks that are trained again, on all rows, as the network with the largest weight was.

    Arguments:
        search: of `prepare_search`.
        trained: the networks.
        weights: of the networks.
        members: number of networks to train.
        more: returns memory-mapped rows to train with instead of those of the search, inputs and targets, given the
            scaling of the targets.
    """
    candidate, snapshot = trained.snapshots()[int(weights[: len(trained.snapshots())].argmax())]
    joined = join_rows(search, members)
    if more is None:
        params = refit(joined, candidate, snapshot.epoch)
    else:
        rows = more(joined.prepared.targets(is_log=candidate.is_log)[0])
        params = refit_mapped(joined, candidate, snapshot.epoch, *rows)
    return _make_group(joined, candidate, [params], [1.0])


def _make_group(search: Search, candidate: Candidate, params: list[Params], shares: list[float]) -> Group:
    """Return networks as a group; the folds' scalings of the target are absorbed into their weights.

    Arguments:
        search: its folds and seeds are those of the networks.
        candidate: of the networks.
        params: several times the networks of all folds, leaves with a leading member axis.
        shares: of each of these in a prediction.
    """
    prepared, fold = search.prepared, np.tile(search.fold, len(params))
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *params)
    targets = [target.scaling for target in prepared.targets(is_log=candidate.is_log)]
    common = learn_target_scaling(prepared.y, prepared.task, is_log=candidate.is_log)
    common = common._replace(scaling=finest_scaling(targets))
    own = [scaling.relative_to(common.scaling) for scaling in targets]
    columns = identity_scaling(joined[0].w.shape[1])
    activation = search.settings.activation
    return Group(
        absorb(joined, [columns] * len(fold), [own[k] for k in fold]),
        np.repeat(shares, len(search.fold)) / len(search.fold),
        activation if isinstance(activation, tuple) else (activation,) * len(candidate.hidden),
        prepared.scaling,
        jax.tree.map(lambda leaf: leaf[fold], prepared.encoding(candidate.bins)),
        common if prepared.task.has_bounds else None,
    )
