"""The peers of `bench/tables.py`: each a function of a training table that returns a fitted model.

linear          ridge, multinomial logistic or Poisson regression; the penalty is chosen by cross-validation
mlp             scikit-learn's MLP at its defaults; numeric targets are standardised, counts have the Poisson loss
hist            scikit-learn's HistGradientBoosting at its defaults
lightgbm        LightGBM at its defaults
catboost        CatBoost at its defaults
lightgbm-tuned  LightGBM, tuned by random search in a given time
catboost-tuned  CatBoost, tuned likewise

linear and mlp get scaled numbers and one-hot columns. The trees get numbers as they are and text as categories. A peer
that is not installed raises `AbsentError`.
"""

import itertools
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import joblib
import numpy as np
from common import imported
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegressionCV, PoissonRegressor, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

CORES = 2
ONE_HOT, FREQUENT = 100, 5  # No one-hot columns for text of more levels (names, say); levels of fewer rows share one.
LEVELS = 254  # Categories of HistGradientBoosting; rarer levels share the last.
LOSSES = {"regression": ("regression", "RMSE"), "counts": ("poisson", "Poisson")}  # of LightGBM, of CatBoost
FOLDS_BELOW = 2000  # Rows from which on candidates are compared on one fold of five.


class Fitted(NamedTuple):
    """A fitted model; `predict` returns numbers (n,) or probabilities (n, classes) of a table's rows."""

    predict: Callable[[Any], np.ndarray]
    save: Callable[[str], Any]
    draws: int | None = None  # Number of candidates of a random search.


def fit_peer(name: str, task: str, x: Any, y: np.ndarray, *, seed: int, seconds: float = 60) -> Fitted:
    """Fit a peer.

    Arguments:
        name: one of `PEERS`.
        task: "regression", "classification" or "counts".
        x: the columns, a DataFrame of pandas.
        y: the targets (n,); for a classification the numbers of the classes.
        seed: random seed.
        seconds: time limit of a random search.
    """
    library, _, tuned = name.partition("-")
    if tuned:
        return search(library, task, x, y, seed=seed, seconds=seconds)
    if library in BOOSTERS:
        return BOOSTERS[library](task, x, y, {}, seed)
    model = scikit_learn(name, task, x, seed).fit(x, y)
    predict = model.predict_proba if task == "classification" else model.predict
    return Fitted(predict, lambda path: joblib.dump(model, path))


def measure_error(task: str, y: np.ndarray, predictions: np.ndarray) -> float:
    """Return the RMSE, the log loss or the Poisson deviance; a class of -1 is one that training rows do not have."""
    mean = float(measure_row_errors(task, y, predictions).mean())
    return math.sqrt(mean) if task == "regression" else mean


def measure_row_errors(task: str, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return the squared error, the log loss or the Poisson deviance of each row (n,); see `measure_error`."""
    if task == "classification":
        p = np.clip(predictions, 1e-7, 1)
        p = np.column_stack([p / p.sum(axis=1, keepdims=True), np.full(len(p), 1e-7)])
        return -np.log(p[np.arange(len(y)), y])
    if task == "regression":
        return (y - predictions) ** 2
    mean = np.maximum(predictions, 1e-7)
    return 2 * (np.where(y > 0, y * np.log(np.maximum(y, 1e-12) / mean), 0) - y + mean)


def scikit_learn(name: str, task: str, x: Any, seed: int) -> Any:
    """Return an unfitted pipeline of scikit-learn."""
    is_classes, is_counts = task == "classification", task == "counts"
    numbers, text = list(x.select_dtypes("number")), list(x.select_dtypes(exclude="number"))
    if name == "hist":
        ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=LEVELS)
        encode = make_column_transformer((ordinal, text), remainder="passthrough")
        options = {"random_state": seed, "categorical_features": list(range(len(text)))}
        if is_classes:
            return make_pipeline(encode, HistGradientBoostingClassifier(**options))
        loss = "poisson" if is_counts else "squared_error"
        return make_pipeline(encode, HistGradientBoostingRegressor(loss=loss, **options))
    scale = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=FREQUENT, sparse_output=False)
    encode = make_column_transformer((scale, numbers), (one_hot, [c for c in text if x[c].nunique() <= ONE_HOT]))
    if name == "mlp" and is_classes:
        model = MLPClassifier(random_state=seed)
    elif name == "mlp" and is_counts:
        model = MLPRegressor(loss="poisson", random_state=seed)
    elif name == "mlp":
        model = TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
    elif is_classes:
        model = LogisticRegressionCV(scoring="neg_log_loss", max_iter=1000)
    elif is_counts:
        penalties = {"alpha": np.logspace(-5, 1, 13)}
        model = GridSearchCV(PoissonRegressor(max_iter=1000), penalties, scoring="neg_mean_poisson_deviance")
    else:
        model = RidgeCV(alphas=np.logspace(-3, 5, 33))
    return make_pipeline(encode, model)


def lightgbm(
    task: str, x: Any, y: np.ndarray, parameters: dict[str, Any], seed: int, validation: Any = None, stop: float = 0
) -> Any:
    """Fit LightGBM; with validation rows (x, y), stop early on them, and at the time `stop`."""
    library, pandas = imported("lightgbm"), imported("pandas")
    levels = {c: x[c].value_counts().index for c in x.select_dtypes(exclude="number")}

    def prepare(frame: Any) -> Any:
        return frame.assign(**{c: pandas.Categorical(frame[c], level) for c, level in levels.items()})

    def watch(env: Any) -> None:
        if time.perf_counter() > stop:
            raise library.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

    kind = library.LGBMClassifier if task == "classification" else library.LGBMRegressor
    options = {"objective": LOSSES[task][0]} if task in LOSSES else {}
    model = kind(random_state=seed, n_jobs=CORES, verbosity=-1, **options, **parameters)
    if validation is None:
        model.fit(prepare(x), y)
    else:
        callbacks = [library.early_stopping(50, verbose=False), watch]
        model.fit(prepare(x), y, eval_set=[(prepare(validation[0]), validation[1])], callbacks=callbacks)
    method = model.predict_proba if task == "classification" else model.predict
    fitted = Fitted(lambda frame: method(prepare(frame)), lambda path: model.booster_.save_model(path))
    return fitted if validation is None else (fitted, {"n_estimators": model.best_iteration_})


def catboost(
    task: str, x: Any, y: np.ndarray, parameters: dict[str, Any], seed: int, validation: Any = None, stop: float = 0
) -> Any:
    """Fit CatBoost; the arguments are those of `lightgbm`."""
    library = imported("catboost")
    text = list(x.select_dtypes(exclude="number"))

    def prepare(frame: Any) -> Any:
        return frame.assign(**{c: frame[c].fillna("missing").astype(str) for c in text})

    class Watch:
        def after_iteration(self, info: Any) -> bool:
            return time.perf_counter() < stop

    kind = library.CatBoostClassifier if task == "classification" else library.CatBoostRegressor
    options = {"loss_function": LOSSES[task][1]} if task in LOSSES else {}
    options |= {"random_seed": seed, "thread_count": CORES, "cat_features": text}
    model = kind(verbose=False, allow_writing_files=False, **options, **parameters)
    if validation is None:
        model.fit(prepare(x), y)
    else:
        rows = (prepare(validation[0]), validation[1])
        model.fit(prepare(x), y, eval_set=rows, early_stopping_rounds=50, callbacks=[Watch()])
    method = model.predict_proba if task == "classification" else model.predict
    exponent = {"prediction_type": "Exponent"} if task == "counts" else {}
    fitted = Fitted(lambda frame: method(prepare(frame), **exponent), lambda path: model.save_model(path))
    # The default learning rate depends on the number of trees: keep the one that the candidate had.
    kept = {"n_estimators": model.tree_count_, "learning_rate": model.learning_rate_}
    return fitted if validation is None else (fitted, kept)


BOOSTERS = {"lightgbm": lightgbm, "catboost": catboost}
PEERS = ("linear", "mlp", "hist", "lightgbm", "catboost", "lightgbm-tuned", "catboost-tuned")


def draw_lightgbm(rng: np.random.Generator) -> dict[str, Any]:
    """Draw hyperparameters in the ranges of Prokhorenkova et al. (2018), as Holzmüller et al. (2024) use them."""
    return {
        "n_estimators": 1000, "learning_rate": math.exp(rng.uniform(-7, 0)),
        "num_leaves": max(2, round(math.exp(rng.uniform(0, 7)))), "colsample_bytree": rng.uniform(0.5, 1),
        "subsample": rng.uniform(0.5, 1), "subsample_freq": 1,
        "min_child_samples": round(math.exp(rng.uniform(0, 6))), "min_child_weight": math.exp(rng.uniform(-16, 5)),
        "reg_alpha": rng.choice([0, math.exp(rng.uniform(-16, 2))]),
        "reg_lambda": rng.choice([0, math.exp(rng.uniform(-16, 2))]),
    }  # fmt: skip


def draw_catboost(rng: np.random.Generator) -> dict[str, Any]:
    """Draw hyperparameters in the ranges of Shwartz-Ziv and Armon (2021), as Holzmüller et al. (2024) use them."""
    return {
        "n_estimators": 1000, "learning_rate": math.exp(rng.uniform(-5, 0)),
        "random_strength": int(rng.integers(1, 21)), "one_hot_max_size": int(rng.integers(2, 26)),
        "l2_leaf_reg": math.exp(rng.uniform(0, math.log(10))), "bagging_temperature": rng.uniform(0, 1),
        "leaf_estimation_iterations": int(rng.integers(1, 21)),
    }  # fmt: skip


DRAWS = {"lightgbm": draw_lightgbm, "catboost": draw_catboost}
DEFAULTS = {"n_estimators": 1000}  # The first candidate: the defaults, with early stopping.


def search(library: str, task: str, x: Any, y: np.ndarray, *, seed: int, seconds: float) -> Fitted:
    """Search at random for as long as time allows, and refit the best candidate on all rows.

    Candidates stop early on validation rows: each of five folds, or the first of them for a table of many rows. None
    may take more than a quarter of the time. Time is kept for the refit: 1.5 times that of the best candidate's fit.
    """
    start = time.perf_counter()
    end = start + 0.7 * seconds  # until the time of a refit is known
    rng = np.random.default_rng(seed)
    kind = StratifiedKFold if task == "classification" else KFold
    folds = list(kind(5, shuffle=True, random_state=seed).split(x, y))
    folds = folds if len(y) < FOLDS_BELOW else folds[:1]
    best, chosen = math.inf, DEFAULTS
    for draws in itertools.count():
        if draws and time.perf_counter() > end:
            return BOOSTERS[library](task, x, y, chosen, seed)._replace(draws=draws)
        parameters = DRAWS[library](rng) if draws else DEFAULTS
        errors, kept, begin = [], [], time.perf_counter()
        for train, held_out in folds:
            stop = min(end, time.perf_counter() + seconds / 4 / len(folds))
            validation = x.iloc[held_out], y[held_out]
            fitted, numbers = BOOSTERS[library](task, x.iloc[train], y[train], parameters, seed, validation, stop)
            errors.append(measure_error(task, y[held_out], fitted.predict(validation[0])))
            kept.append(numbers)
        if np.mean(errors) < best:
            means = {key: float(np.mean([numbers[key] for numbers in kept])) for key in kept[0]}
            best = float(np.mean(errors))
            end = start + seconds - 1.5 * (time.perf_counter() - begin) / len(folds)
            chosen = parameters | means | {"n_estimators": max(1, round(means["n_estimators"]))}
    raise AssertionError
