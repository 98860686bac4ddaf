"""Claim: `jaxmlp.sklearn` is as good as scikit-learn's MLPs, and faster from small tables on, compile time included.

    python bench/estimators.py --device cpu                    (all parts; --part sizes for one)

sizes    one `fit` of each, the same data, network, batches and number of epochs (50), from tiny to large; the first
         fit of a shape compiles, the next does not.
grid     GridSearchCV, 20 candidates (5 learning rates, 4 alphas) × 5 folds on the standardised digits, max_iter 100, as
         a user would run it: n_jobs 1 and 2, a process of its own for each, compiling included (and in process_s
         and cpu_s the imports too).
quality  defaults, 5 × 5 shuffled folds, five standard tables: the difference of the scores in its standard errors.
stopping early stopping by the score, 12 data sets × 10 splits: the epochs of both, and the difference of the scores.
train    `fit` with the defaults of `jaxmlp train --fast`, beside scikit-learn's defaults, on diabetes and digits.
first    the first `fit` of a process, of 20 epochs, which compiles, in units of the time that `import jax` takes there;
         --other CHECKOUT: the same with another version of this package.
later    the CPU time of later fits, 20 epochs, from tiny to large, with float32 and float64 X; --other CHECKOUT: in
         units of the other version with float32 X. At the end, what float64 costs in a matrix product of NumPy.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time
import warnings
from typing import Any

import jax
import joblib
import numpy as np
import sklearn.neural_network
from common import ROOT, arguments, configured, report
from sklearn import datasets
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxmlp.sklearn
from jaxmlp.fitting.defaults import default_batch_size, default_epochs, default_patience

SIZES = [
    (50, 4, (10,)), (150, 4, (100,)), (1000, 10, (100,)), (1797, 64, (100,)), (10_000, 20, (100,)),
    (10_000, 64, (256, 256)), (50_000, 64, (256, 256)),
]  # fmt: skip
RATES, ALPHAS = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2], [1e-5, 1e-4, 1e-3, 1e-2]
SEARCHES = [
    ("jaxmlp", 1, "processes"), ("scikit-learn", 1, "processes"), ("scikit-learn", 1, "one BLAS thread"),
    ("jaxmlp", 2, "processes"), ("scikit-learn", 2, "processes"), ("jaxmlp", 2, "threads"),
]  # fmt: skip
SYSTEMS = {"jaxmlp": jaxmlp.sklearn, "scikit-learn": sklearn.neural_network}


def main():
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--part", choices=(*PARTS, "worker"))
    parser.add_argument("--system", choices=SYSTEMS, help="of a worker, which grid starts")
    parser.add_argument("--jobs", type=int, default=1, help="of a worker, which grid starts")
    parser.add_argument("--how", help="of a worker, which grid starts")
    parser.add_argument("--other", type=pathlib.Path, help="another checkout, for the parts first and later")
    args = configured(parser)
    warnings.simplefilter("ignore", ConvergenceWarning)
    if args.part == "worker":
        worker(args)
        return
    for name, part in PARTS.items():
        if args.part in (None, name):
            part(args)


def sizes(args):
    rows = []
    for n, features, hidden in SIZES:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(n, features))
        y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * rng.normal(size=n)
        settings = {"hidden_layer_sizes": hidden, "max_iter": 50, "n_iter_no_change": 50, "tol": 0, "random_state": 0}
        seconds: dict[str, list[float]] = {name: [] for name in SYSTEMS}
        for _ in range(args.rounds + 1):
            for name, module in SYSTEMS.items():
                model = module.MLPRegressor(**settings)
                start = time.perf_counter()
                model.fit(x, y)
                seconds[name].append(time.perf_counter() - start)
                assert model.n_iter_ == 50
        first, later = seconds["jaxmlp"][0], statistics.median(seconds["jaxmlp"][1:])
        reference = statistics.median(seconds["scikit-learn"])
        rows.append({
            "rows": n, "network": "-".join(map(str, (features, *hidden, 1))), "first_s": first, "later_s": later,
            "scikit_learn_s": reference, "times_faster_first": reference / first,
            "times_faster_later": reference / later, "epochs_to_win": epochs_to_win(first, later, reference),
            "seconds": seconds,
        })  # fmt: skip
    report("estimators sizes", "a fit of 50 epochs, beside scikit-learn's", rows)


def epochs_to_win(first, later, reference):
    """Epochs in all, over as many fits as you like, after which the compile time is earned back."""
    return round(50 * (first - later) / (reference - later)) if later < reference else None


def grid(args):
    command = [sys.executable, __file__, "--part", "worker", *(["--device", args.device] if args.device else [])]
    runs = {setting: [] for setting in SEARCHES}
    for _ in range(args.rounds):
        for system, jobs, how in SEARCHES:
            limit = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if how == "one BLAS thread" else {}
            options = ["--system", system, "--jobs", str(jobs), "--how", how]
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            out = subprocess.run([*command, *options], stdout=subprocess.PIPE, check=True, env=os.environ | limit)
            seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            runs[system, jobs, how].append(json.loads(out.stdout) | {"process": seconds, "cpu": cpu})
    rows = []
    for (system, jobs, how), measured in runs.items():
        of = {key: statistics.median(run[key] for run in measured) for key in ("search", "process", "cpu")}
        row = {"system": f"{system}, {how}", "n_jobs": jobs} | {f"{key}_s": value for key, value in of.items()}
        row |= {"score": measured[0]["score"], "best": str(measured[0]["best"])}
        rows.append(row | {"seconds": [run["search"] for run in measured]})
    report("estimators grid", "GridSearchCV on the digits, 100 fits and one more", rows)


def worker(args):
    """One search, as a process of its own; prints its seconds and its best score."""
    x, y = datasets.load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), SYSTEMS[args.system].MLPClassifier(max_iter=100, random_state=0))
    names = {"mlpclassifier__learning_rate_init": RATES, "mlpclassifier__alpha": ALPHAS}
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    start = time.perf_counter()
    with joblib.parallel_config("threading" if args.how == "threads" else "loky"):
        search = GridSearchCV(model, names, cv=folds, n_jobs=args.jobs).fit(x, y)
    seconds = time.perf_counter() - start
    best = list(search.best_params_.values())
    print(json.dumps({"search": seconds, "score": float(search.best_score_), "best": best}))


def quality(args):
    tables = {
        "diabetes": datasets.load_diabetes, "digits": datasets.load_digits, "wine": datasets.load_wine,
        "breast cancer": datasets.load_breast_cancer, "iris": datasets.load_iris,
    }  # fmt: skip
    rows = []
    for name, load in tables.items():
        x, y = load(return_X_y=True)
        kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
        shuffled = RepeatedKFold if name == "diabetes" else RepeatedStratifiedKFold
        folds = shuffled(n_splits=5, n_repeats=5, random_state=0)
        scores, seconds = {}, {}
        for system, module in SYSTEMS.items():
            model = make_pipeline(StandardScaler(), getattr(module, kind)(random_state=0))
            start = time.perf_counter()
            scores[system] = cross_val_score(model, x, y, cv=folds)
            seconds[system] = time.perf_counter() - start
        measured = {"jaxmlp_s": seconds["jaxmlp"], "scikit_learn_s": seconds["scikit-learn"]}
        rows.append(paired(name, *scores.values()) | measured)
    report("estimators quality", "defaults on standardised tables, 5 x 5 shuffled folds", rows)


def stopping(args):
    drawn: Any = {"random_state": 0, "n_samples": 1000}
    classes = {
        "iris": datasets.load_iris(return_X_y=True), "wine": datasets.load_wine(return_X_y=True),
        "breast cancer": datasets.load_breast_cancer(return_X_y=True), "digits": datasets.load_digits(return_X_y=True),
        "moons": datasets.make_moons(noise=0.3, **drawn),
        "circles": datasets.make_circles(noise=0.2, factor=0.5, **drawn),
        "classification": datasets.make_classification(n_informative=5, n_classes=3, **drawn),
    }  # fmt: skip
    numbers = {
        "diabetes": datasets.load_diabetes(return_X_y=True), "friedman 1": datasets.make_friedman1(noise=1, **drawn),
        "friedman 2": datasets.make_friedman2(noise=100, **drawn),
        "friedman 3": datasets.make_friedman3(noise=0.1, **drawn),
        "linear": datasets.make_regression(n_features=20, noise=50, **drawn),
    }  # fmt: skip
    rows = []
    for name, (x, y) in (classes | numbers).items():
        kind = "MLPClassifier" if name in classes else "MLPRegressor"
        y = y if name in classes else (y - y.mean()) / y.std()
        epochs = {system: [] for system in SYSTEMS}
        scores = {system: [] for system in SYSTEMS}
        for seed in range(10):
            x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=seed)
            for system, module in SYSTEMS.items():
                network = getattr(module, kind)(random_state=seed, early_stopping=True, max_iter=2000)
                model = make_pipeline(StandardScaler(), network).fit(x_train, y_train)
                epochs[system].append(network.n_iter_)
                scores[system].append(model.score(x_test, y_test))
        ours, theirs = (float(np.mean(numbers)) for numbers in epochs.values())
        measured = {"epochs": ours, "scikit_learn_epochs": theirs, "times": ours / theirs}
        rows.append(paired(name, *map(np.array, scores.values())) | measured)
    report("estimators stopping", "early stopping on the score, 10 splits", rows)


def paired(table, ours, theirs):
    """A row: the mean scores on the same folds, and their difference with its standard error."""
    difference = ours - theirs
    return {
        "table": table, "jaxmlp": float(ours.mean()), "scikit_learn": float(theirs.mean()),
        "difference": float(difference.mean()),
        "standard_error": float(difference.std(ddof=1) / np.sqrt(len(difference))),
    }  # fmt: skip


class Trained(BaseEstimator):
    """What `jaxmlp train --fast` does, of arrays."""

    def fit(self, x, y):
        """Train; whole numbers are classes."""
        self.classes_ = np.unique(y) if y.dtype.kind == "i" else None
        targets = y[:, None] if self.classes_ is None else np.eye(len(self.classes_))[y]
        self.center_, self.scale_ = (targets.mean(), targets.std()) if self.classes_ is None else (0.0, 1.0)
        sizes, key = (x.shape[1], 100, targets.shape[1]), jax.random.key(0)
        params = jaxmlp.init_params(key, sizes, w_init=jax.nn.initializers.he_normal())
        criterion = jaxmlp.squared_error if self.classes_ is None else jaxmlp.softmax_cross_entropy
        optimizer = jaxmlp.adam(0.005, weight_decay=0.03)
        batch_size = default_batch_size(len(x))
        epochs = default_epochs(len(x), batch_size)
        found = jaxmlp.fit(
            params, x.astype(np.float32), ((targets - self.center_) / self.scale_).astype(np.float32), key=key,
            optimizer=optimizer, epochs=epochs, batch_size=batch_size, validation=1 / 9,
            patience=default_patience(epochs), criterion=criterion,
        )  # fmt: skip
        self.model_ = jaxmlp.Model(found.params, criterion=criterion)
        return self

    def score(self, x, y):
        """Accuracy, or R²."""
        mean = np.asarray(jaxmlp.predict(self.model_, x.astype(np.float32)), np.float64)
        if self.classes_ is not None:
            return float((mean.argmax(axis=1) == y).mean())
        return r2_score(y, mean[:, 0] * self.scale_ + self.center_)


def train(args):
    rows = []
    for name, load, folds, theirs in [
        ("diabetes", datasets.load_diabetes, RepeatedKFold, sklearn.neural_network.MLPRegressor),
        ("digits", datasets.load_digits, RepeatedStratifiedKFold, sklearn.neural_network.MLPClassifier),
    ]:
        x, y = load(return_X_y=True)
        folds = folds(n_splits=5, n_repeats=5, random_state=0)
        ours, reference = (
            cross_val_score(make_pipeline(StandardScaler(), model), x, y, cv=folds)
            for model in (Trained(), theirs(random_state=0))
        )
        rows.append(paired(name, ours, reference))
    report("estimators train", "the command's defaults, 5 x 5 shuffled folds", rows)


def run_in(root, program, *words):
    """Return the numbers that a program prints, in a process of its own, with the package of a checkout."""
    line = [sys.executable, "-c", program, *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(root), "JAX_ENABLE_COMPILATION_CACHE": "0"}
    done = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


# Run by `run_in`: the module of the estimators, the one to fit, and the table.
FIRST = """
import sys, time, warnings
start = time.perf_counter()
import jax
seconds = [time.perf_counter() - start]
from importlib import import_module
from sklearn import datasets
from sklearn.preprocessing import StandardScaler
module, estimator, table = sys.argv[1:]
x, y = getattr(datasets, f"load_{table}")(return_X_y=True)
x = StandardScaler().fit_transform(x)
warnings.simplefilter("ignore")
new = getattr(import_module(module), estimator)
for seed in range(2):
    start = time.perf_counter()
    new(max_iter=20, random_state=seed).fit(x, y)
    seconds.append(time.perf_counter() - start)
print(*seconds)
"""


def first(args):
    systems = {"jaxmlp": (ROOT, "jaxmlp.sklearn"), "scikit-learn": (ROOT, "sklearn.neural_network")}
    if args.other:
        systems["the other jaxmlp"] = args.other.resolve(), "jaxmlp.sklearn"
    rows = []
    for table, estimator in {"iris": "MLPClassifier", "digits": "MLPClassifier", "diabetes": "MLPRegressor"}.items():
        seconds = {system: [] for system in systems}
        for _ in range(args.rounds):
            for system, (root, module) in systems.items():
                seconds[system].append(run_in(root, FIRST, module, estimator, table))
        for system, measured in seconds.items():
            import_jax, own, later = (statistics.median(column) for column in zip(*measured, strict=True))
            ratio = statistics.median(one / imported for imported, one, _ in measured)
            row = {"table": table, "system": system, "import_jax_s": import_jax, "first_s": own, "later_s": later}
            rows.append(row | {"first/import": ratio, "seconds": [one for _, one, _ in measured]})
    report("estimators first", "the first fit of a process, 20 epochs", rows)


# Run by `run_in`: the dtype of X, rows, columns, and the widths of the hidden layers.
LATER = """
import sys, time, warnings
import numpy as np
from jaxmlp.sklearn import MLPRegressor
dtype, n, columns, *hidden = sys.argv[1], *map(int, sys.argv[2:])
x = np.random.default_rng(0).normal(size=(n, columns)).astype(dtype)
y = np.sin(x[:, 0]) + x[:, 1]
warnings.simplefilter("ignore")
seconds = []
for seed in range(21 if n < 10_000 else 4):
    model = MLPRegressor(hidden_layer_sizes=tuple(hidden), max_iter=20, n_iter_no_change=20, tol=0, random_state=seed)
    start = time.process_time()
    model.fit(x, y)
    seconds.append(time.process_time() - start)
print(min(seconds[1:]))
"""


def later(args):
    systems = {"jaxmlp, float32": (ROOT, "float32"), "jaxmlp, float64": (ROOT, "float64")}
    reference = "jaxmlp, float32"
    if args.other:
        reference = "the other jaxmlp, float32"
        systems[reference] = args.other.resolve(), "float32"
    rows = []
    for n, columns, hidden in SIZES[:-1]:
        seconds = {system: [] for system in systems}
        for _ in range(args.rounds):
            for system, (root, dtype) in systems.items():
                seconds[system] += run_in(root, LATER, dtype, n, columns, *hidden)
        network = "-".join(map(str, (columns, *hidden, 1)))
        for system, own in seconds.items():
            row = {"rows": n, "network": network, "system": system, "later_s": min(own)}
            rows.append(row | {"times": min(own) / min(seconds[reference]), "seconds": own})
    report("estimators later", f"CPU time of a later fit, 20 epochs; times {reference}", rows)
    for system in systems:
        mean = statistics.geometric_mean(row["times"] for row in rows if row["system"] == system)
        print(f"{system}: geometric mean {mean:.2f}")
    product = {dtype: product_seconds(dtype) for dtype in ("float32", "float64")}
    print(f"a product of matrices with NumPy, float64: {product['float64'] / product['float32']:.2f} x float32")


def product_seconds(dtype):
    """Return the CPU time of a product as large networks have it."""
    a, b = np.ones((200, 256), dtype), np.ones((256, 256), dtype)
    seconds = []
    for _ in range(50):
        start = time.process_time()
        for _ in range(20):
            np.matmul(a, b)
        seconds.append(time.process_time() - start)
    return min(seconds)


PARTS = {
    "sizes": sizes,
    "grid": grid,
    "quality": quality,
    "stopping": stopping,
    "train": train,
    "first": first,
    "later": later,
}

if __name__ == "__main__":
    main()
