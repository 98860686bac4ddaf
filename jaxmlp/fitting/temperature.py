"""Temperature scaling: probabilities that are as certain as they are right (Guo et al. 2017)."""

import numpy as np
from scipy.optimize import minimize_scalar

from jaxmlp.fitting.metrics import row_log_loss
from jaxmlp.fitting.splitting import other_parts
from jaxmlp.fitting.tasks import difference_of

SMALLEST = 1e-12  # A smaller probability counts as this one.
_LARGEST = 5.0


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (..., classes) with their logarithms divided by a temperature; above 1 flattens them."""
    logits = np.log(np.maximum(probabilities, SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def measure_temperature(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Return the temperature from 0.2 to 5 with the lowest log loss of held-out probabilities, both (n, classes).

    It is 1, which changes nothing, unless the log loss is lower by more than one standard error. Of each target, one
    part in n + 1 is spread over all classes, as if a row more had been any of them. Otherwise, rows that are all
    predicted right would ask for certain probabilities, which cost much where they are wrong (Platt 1999).
    """
    n, classes = y.shape
    spread = (n * y + 1 / classes) / (n + 1)

    def loss(logarithm: float) -> float:
        return float(row_log_loss(apply_temperature(probabilities, np.exp(logarithm)), spread).mean())

    limit = np.log(_LARGEST)
    found = minimize_scalar(loss, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-3})
    temperature = float(np.exp(found.x))
    scaled = apply_temperature(probabilities, temperature)
    gain, standard_error = difference_of(row_log_loss(probabilities, y), row_log_loss(scaled, y))
    return temperature if gain > standard_error else 1.0


def cross_fit_temperature(probabilities: np.ndarray, y: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return probabilities (n, classes), those of a part scaled by what the rows of the other parts measure.

    Arguments:
        probabilities: of held-out rows; NaN for others.
        y: (n, classes) one-hot.
        part: (n,) the part of each row; -1 for rows that are not held out.
    """
    if not np.isfinite(probabilities[part >= 0]).all():  # diverged
        return probabilities
    scaled = probabilities.copy()
    for k in range(part.max() + 1):
        own, others = part == k, other_parts(part, k)
        scaled[own] = apply_temperature(probabilities[own], measure_temperature(probabilities[others], y[others]))
    return scaled
