"""`fit` refuses by value what nothing can be learned from, and names the row; pure functions do not look."""

import re
from functools import partial

import jax
import numpy as np
import pytest

import jaxmlp
from jaxmlp.fitting.splitting import hold_out, rng_of
from jaxmlp.fitting.values import validate_number, validate_weights

pytestmark = pytest.mark.portable

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
Y = np.abs(X[:, :2]) / 4
KEY = jax.random.key(7)
fit = partial(
    jaxmlp.fit, jaxmlp.init_params(jax.random.key(1), (3, 2)), key=KEY, optimizer=jaxmlp.sgd(1e-3), epochs=1
)  # fmt: skip


def changed(values, row, value):
    values = np.array(values, np.float64)
    values[row] = value
    return values


ONES = np.ones(20)
WEIGHTS = {
    "negative": (changed(ONES, 3, -2), "must be finite and not negative; got -2 in row 3, counted from 0"),
    "NaN": (changed(ONES, 4, np.nan), "must be finite and not negative; got nan in row 4"),
    "infinite": (changed(ONES, 5, np.inf), "must be finite and not negative; got inf as float32 in row 5"),
    "too large": (ONES * 1e300, "must be finite and not negative; got inf as float32 in row 0"),
    "zero": (ONES * 0, "must not be zero in all rows; got 20 rows of weight 0"),
    "a large sum": (ONES * 1e38, "must have a sum that float32 can hold; got 2e+39"),
    "a small sum": (ONES * 1e-35, "must have a sum that float32 can hold; got 2e-34"),
}


def refuses(message):
    return pytest.raises(ValueError, match=re.escape(message))


@pytest.mark.parametrize("name", WEIGHTS)
def test_sample_weights_are_checked_in_training_and_in_validation(name):
    weights, message = WEIGHTS[name]
    with refuses(f"sample_weight {message}"):
        fit(X, Y, weights)
    with refuses(f"validation: sample_weight {message}"):
        fit(X, Y, validation=(X, Y, weights))


def test_a_split_must_leave_weight_on_both_sides():
    _, valid = hold_out(20, 0.2, rng_of(KEY))
    weights = changed(ONES, valid, 0)
    with refuses("validation: sample_weight must not be zero in all rows; got 4 rows of weight 0"):
        fit(X, Y, weights, validation=0.2)
    with refuses("sample_weight of the training rows must not be zero in all rows; got 16 rows of weight 0"):
        fit(X, Y, 1 - weights, validation=0.2)


def test_values_must_be_finite_in_rows_with_a_weight():
    x, y = changed(X, (5, 1), np.nan), changed(Y, (7, 0), -np.inf)
    with refuses("x must hold finite numbers only; got nan in row 5, column 1, counted from 0"):
        fit(x, Y)
    with refuses("x must hold finite numbers only; got inf as float32 in row 5, column 1"):
        fit(changed(X, (5, 1), 1e300), Y)
    with refuses("y must hold finite numbers only; got -inf as float32 in row 7, column 0"):
        fit(X, y)
    with refuses("validation: x must hold finite numbers only; got nan in row 5, column 1"):
        fit(X, Y, validation=(x, Y))
    with refuses("x must have at least one row"):
        fit(X[:0], Y[:0])
    weights = changed(ONES, [5, 7], 0)
    assert fit(x, y, weights, validation=(x, y, weights)).stopped == "epochs"


@pytest.mark.parametrize(
    ("criterion", "value", "message"),
    [
        (jaxmlp.poisson_nll_loss, -1, "y must not be negative with poisson_nll_loss; got -1 in row 7, column 1"),
        (jaxmlp.softmax_cross_entropy, -2, "y must not be negative with softmax_cross_entropy; got -2 in row 7"),
        (jaxmlp.sigmoid_binary_cross_entropy, 2, "y must be from 0 to 1 with sigmoid_binary_cross_entropy; got 2"),
    ],
)
def test_targets_must_suit_the_criterion(criterion, value, message):
    y = changed(Y, (7, 1), value)
    with refuses(message):
        fit(X, y, criterion=criterion)
    with refuses(f"validation: {message}"):
        fit(X, Y, validation=(X, y), criterion=criterion)
    with refuses(message):
        jaxmlp.cross_validate(X, y, key=KEY, criterion=criterion)


def test_pure_functions_take_any_values():
    params = jaxmlp.init_params(jax.random.key(1), (3, 2))
    assert np.isfinite(jaxmlp.loss(params, X, Y, changed(ONES, 3, -2)))
    assert jaxmlp.loss(params, X, Y, ONES * 0) == 0


def test_weights_of_every_dtype_have_their_own_limits():
    assert validate_weights("c", [1e20], "bfloat16") == [1e20]
    assert validate_weights("c", [1e200], "float64") == [1e200]
    with refuses("c must have a sum that float32 can hold"):
        validate_weights("c", [1e200], "float32")


def test_a_number_is_judged_as_it_is_in_the_dtype():
    validate_number("beta", 0, "[0, 1)", np.float32)
    validate_number("steps", np.inf, "(0, inf]")
    for value, shown in [
        (1, "1.0"),
        (-1, "-1.0"),
        (np.nan, "nan"),
        (1 - 1e-12, "0.999999999999, which is 1 in float32"),
    ]:
        with refuses(f"beta must be a number in the range [0, 1); got {shown}"):
            validate_number("beta", value, "[0, 1)", np.float32)
    with refuses("rate must be a number in the range (0, inf); got 0.0"):
        validate_number("rate", 0, "(0, inf)")
