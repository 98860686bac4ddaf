"""Claim: the verdict on a model is right, however heavy the tails of the targets.

    python bench/verdict.py                    (--part models --part noise for the quick parts; --tables 10 for fewer)

models   Predictions with a relative error of 10 % of lognormal targets: better than the mean. Nothing is trained.
noise    The same targets, and predictions that differ from the mean at random: not better than the mean.
trained  `cross_validate` of y = 3 x plus noise of 0.1, where x is lognormal and has one row 30 standard deviations out:
         not "no better than the constant baseline".
learned  `cross_validate` of targets that do not depend on x: "no better than the constant baseline".

`sigma` is the standard deviation of the logarithm; 0 stands for targets that are normal. `right` counts tables.
"""

from collections.abc import Callable

import jax
import numpy as np
from common import arguments, configured, report

from jaxmlp.fitting.tasks import TABLE_CRITERIA, task_of
from jaxmlp.selection import cross_validate
from jaxmlp.selection.scores import is_better, score_predictions

ROWS, SIGMAS = (100, 300, 1000, 5000), (0, 1, 2, 3)
TASK = task_of(TABLE_CRITERIA["regression"])
BASELINE = "no better than the constant baseline"


def main():
    parser = arguments(__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    parser.add_argument("--tables", type=int, default=50, help="tables of each kind (default 50)")
    args = configured(parser)
    rows = []
    for part in args.part or PARTS:
        for n in ROWS:
            for sigma in SIGMAS:
                right = sum(PARTS[part](np.random.default_rng(seed), n, sigma) for seed in range(args.tables))
                rows.append({"part": part, "rows": n, "sigma": sigma, "right": int(right), "tables": args.tables})
    report("verdict", "on how many tables the verdict is right", rows)


def draw(rng: np.random.Generator, n: int, sigma: float) -> np.ndarray:
    """Draw n numbers whose tail is heavier the larger sigma is."""
    return rng.lognormal(0, sigma, n) if sigma else rng.normal(size=n)


def is_model_better(rng: np.random.Generator, n: int, sigma: float) -> bool:
    y = draw(rng, n, sigma)
    return _is_better_than_mean(y, y * (1 + 0.1 * rng.normal(size=n)))


def is_noise_no_better(rng: np.random.Generator, n: int, sigma: float) -> bool:
    y = draw(rng, n, sigma)
    return not _is_better_than_mean(y, y.mean() + 0.1 * y.std() * rng.normal(size=n))


def is_trained_better(rng: np.random.Generator, n: int, sigma: float) -> bool:
    x = draw(rng, n, sigma)
    x[0] += 30 * x.std()
    return _verdict(x[:, None], 3 * x + 0.1 * rng.normal(size=n), rng) != BASELINE


def is_learned_no_better(rng: np.random.Generator, n: int, sigma: float) -> bool:
    return _verdict(rng.normal(size=(n, 5)), draw(rng, n, sigma), rng) == BASELINE


PARTS: dict[str, Callable[[np.random.Generator, int, float], bool]] = {
    "models": is_model_better,
    "noise": is_noise_no_better,
    "trained": is_trained_better,
    "learned": is_learned_no_better,
}


def _is_better_than_mean(y: np.ndarray, predictions: np.ndarray) -> bool:
    y, predictions = y[:, None], predictions[:, None]
    constant = np.full_like(y, y.mean())
    return is_better(score_predictions(predictions, y, TASK), score_predictions(constant, y, TASK))


def _verdict(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> str:
    key = jax.random.key(int(rng.integers(2**31)))
    options = {"hidden": (16,), "candidates": [(0.01, 0.03)], "seeds": 1, "epochs": 60, "batch_size": 64}
    return cross_validate(x, y[:, None], key=key, **options).verdict


if __name__ == "__main__":
    main()
