"""Four regression tables of the UCI repository, by the protocol of the papers that report them.

The protocol (Hernández-Lobato and Adams 2015; Gal and Ghahramani 2016, whose grid-searched figures are `published`):
one hidden layer of 50 ReLU units, 20 random splits of 90 % to train on and 10 % to test with, features and target
standardised on the rows to train on, the root mean squared error in the target's own unit, mean ± standard error over
the splits. Claim: the mean of 5 networks is at or below the published figure, one network at or below scikit-learn's,
and the 100 networks of yacht, energy or concrete take less time than scikit-learn's 20.

The learning rate, its decay to zero, the weight decay and the epochs of each table were chosen without the test rows,
by `--choose`: it trains on the first 90 % of the training rows of each split and looks at the others.

    python bench/uci.py --data DIR --devices 2

DIR holds yacht.csv, energy.csv, concrete.csv and kin8nm.csv, each with a header line, the target last.
"""

import pathlib
import time
from typing import Any, NamedTuple

import numpy as np
from common import arguments, configured, report

PUBLISHED = {"yacht": (0.67, 0.05), "energy": (0.54, 0.01), "concrete": (4.82, 0.16), "kin8nm": (0.0789, 0.0006)}
SPLITS, HIDDEN = 20, 50


class Setting(NamedTuple):
    """What is chosen for a table."""

    learning_rate: float
    weight_decay: float
    epochs: int
    batch_size: int


SETTINGS = {
    "yacht": Setting(0.03, 0.01, 400, 32),
    "energy": Setting(0.02, 0.01, 400, 32),
    "concrete": Setting(0.02, 0.0, 200, 32),
    "kin8nm": Setting(0.02, 0.1, 100, 64),
}
CHOICES = [(rate, decay) for rate in (0.01, 0.02, 0.03) for decay in (0.0, 0.01, 0.1)]


class Splits(NamedTuple):
    """A table, 20 times split; a leading axis of splits."""

    x: np.ndarray  # (splits, n_train, features), standardised
    y: np.ndarray  # (splits, n_train, 1), standardised
    x_test: np.ndarray  # (splits, n_test, features)
    y_test: np.ndarray  # (splits, n_test), in the target's own unit
    center: np.ndarray  # (splits, 1), of the target
    scale: np.ndarray


def read(path: pathlib.Path, choose: bool = False) -> Splits:
    """The splits of the protocol; to choose a setting, of the rows to train on alone."""
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    n, parts = len(table), []
    np.random.seed(1)  # noqa: NPY002 (the protocol's)
    for _ in range(SPLITS):
        order = np.random.choice(range(n), n, replace=False)  # noqa: NPY002
        order = order[: round(0.9 * n)] if choose else order
        train, test = np.split(table[order], [round(0.9 * len(order))])
        center, scale = train.mean(axis=0), train.std(axis=0)
        scale[scale == 0] = 1
        train, x_test = (train - center) / scale, ((test - center) / scale)[:, :-1]
        parts.append((train[:, :-1], train[:, -1:], x_test, test[:, -1], center[-1:], scale[-1:]))
    return Splits(*(np.stack(part) for part in zip(*parts, strict=True)))


def ours(splits: Splits, setting: Setting, members: int) -> np.ndarray:
    """The predictions (splits, members, n_test) of networks trained in one program."""
    import jax

    import jaxmlp
    from jaxmlp.ensembles.prediction import predict_members
    from jaxmlp.fitting.loop import prepare_run, run_chunks
    from jaxmlp.fitting.state import FitData, empty_history

    x, y, x_test = (part.astype(np.float32) for part in splits[:3])
    fold = np.repeat(np.arange(SPLITS, dtype=np.int32), members)
    params = jaxmlp.init_ensemble(jax.random.key(0), (x.shape[2], HIDDEN, 1), len(fold))
    steps = setting.epochs * -(-x.shape[1] // setting.batch_size)
    optimizer = jaxmlp.adam(setting.learning_rate, weight_decay=setting.weight_decay, decay_steps=steps)
    state, data = jaxmlp.init_fit(params, key=jax.random.key(1), optimizer=optimizer), FitData(x, y)
    run = prepare_run(
        state, data, fold=fold, optimizer=optimizer, batch_size=setting.batch_size, patience=None,
        activation=jaxmlp.relu, criterion=jaxmlp.squared_error, metric=None,
    )  # fmt: skip
    history = empty_history(state, data, None)
    state, _, _ = run_chunks(run, state, history, epochs=setting.epochs, patience=None)
    outputs = np.asarray(predict_members(jax.device_get(state.params), x_test, fold), np.float64)
    outputs = outputs.reshape(SPLITS, members, -1)
    return outputs * splits.scale[:, :, None] + splits.center[:, :, None]


def scikit_learn(splits: Splits) -> np.ndarray:
    """The predictions (splits, 1, n_test) of one network each: adam, 400 epochs, batches of 32, else defaults."""
    import warnings

    from sklearn.neural_network import MLPRegressor

    predictions = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 400 epochs are the protocol's, converged or not
        for k in range(SPLITS):
            network = MLPRegressor(hidden_layer_sizes=(HIDDEN,), max_iter=400, random_state=k)
            network.set_params(batch_size=32, n_iter_no_change=400)
            network.fit(splits.x[k], splits.y[k, :, 0])
            predictions.append(network.predict(splits.x_test[k]) * splits.scale[k] + splits.center[k])
    return np.stack(predictions)[:, None]


def rmse(predictions: np.ndarray, splits: Splits) -> tuple[float, float]:
    """Mean and standard error over the splits, of predictions (splits, n_test)."""
    each = np.sqrt(((predictions - splits.y_test) ** 2).mean(axis=1))
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(SPLITS))


def row(name: str, system: str, found: tuple[float, float], **more: Any) -> dict[str, Any]:
    return {"system": f"{name}: {system}", "rmse": found[0], "se": found[1], **more}


def main() -> None:
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--data", required=True, type=pathlib.Path, metavar="DIR", help="where the tables are")
    parser.add_argument("--tables", nargs="+", choices=PUBLISHED, default=list(PUBLISHED), help="(all)")
    parser.add_argument("--members", type=int, default=5, help="networks a split (5)")
    parser.add_argument("--choose", action="store_true", help="compare settings on rows to train on instead")
    parser.add_argument("--without-scikit-learn", action="store_true", help="measure ours alone")
    args = configured(parser)
    for name in args.tables:
        splits, setting, rows = read(args.data / f"{name}.csv", args.choose), SETTINGS[name], []
        if args.choose:
            for rate, decay in CHOICES:
                found = ours(splits, setting._replace(learning_rate=rate, weight_decay=decay), args.members)
                rows.append(row(name, f"rate {rate}, decay {decay}", rmse(found.mean(axis=1), splits)))
            report("uci", f"settings for {name}, on rows to train on", rows)
            continue
        start = time.perf_counter()
        found = ours(splits, setting, args.members)
        seconds = time.perf_counter() - start
        rows.append(row(name, f"mean of {args.members}", rmse(found.mean(axis=1), splits), wall_s=seconds))
        rows.append(row(name, "one network", rmse(found[:, 0], splits)))
        if not args.without_scikit_learn:
            start = time.perf_counter()
            theirs = scikit_learn(splits)
            seconds = time.perf_counter() - start
            rows.append(row(name, "scikit-learn, one", rmse(theirs[:, 0], splits), wall_s=seconds))
        rows.append(row(name, "published", PUBLISHED[name]))
        report("uci", "RMSE, mean and standard error over 20 splits", rows)


if __name__ == "__main__":
    main()
