"""A temperature makes probabilities as certain as they are right, and is part of the model."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers import problem

import jaxmlp
from jaxmlp import Model, load_model, predict, save_model
from jaxmlp.fitting.temperature import apply_temperature, cross_fit_temperature, measure_temperature

PARAMS, X, _, _ = problem((3, 4))


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def drawn(n=20_000, classes=3):
    """Logits, and one-hot classes that are drawn with their probabilities."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, classes))
    labels = (softmax(logits).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return logits, np.eye(classes)[labels]


def test_the_temperature_undoes_a_factor_of_the_logits():
    logits, y = drawn()
    for factor in (2.0, 1.0, 0.5):
        assert abs(measure_temperature(softmax(factor * logits), y) / factor - 1) < 0.05
    assert measure_temperature(softmax(100 * logits), y) == pytest.approx(5, rel=1e-2)  # the largest
    scaled = apply_temperature(softmax(2 * logits), 2.0)
    np.testing.assert_allclose(scaled, softmax(logits), rtol=1e-10)
    np.testing.assert_allclose(apply_temperature(scaled, 1.0), scaled, rtol=1e-12)


def test_rows_that_are_all_predicted_right_do_not_make_probabilities_certain():
    y = np.eye(2)[np.arange(100) % 2]
    probabilities = np.where(y > 0, 0.99, 0.01)
    scaled = apply_temperature(probabilities, measure_temperature(probabilities, y))
    np.testing.assert_allclose(scaled[y > 0], 1 - 0.5 / 101, atol=1e-4)


def test_certain_and_wrong_probabilities_stay_finite():
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    scaled = apply_temperature(certain, 2.0)
    np.testing.assert_allclose(scaled[0, 1] / scaled[0, 0], 1e-6)  # the root of 1e-12
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    assert measure_temperature(certain, certain[::-1]) > 1


def test_a_part_of_the_rows_is_scaled_by_what_the_others_measure():
    logits, y = drawn(300)
    probabilities, part = softmax(2 * logits), np.arange(300) % 3 - 1
    scaled = cross_fit_temperature(probabilities, y, part)
    np.testing.assert_array_equal(scaled[part == -1], probabilities[part == -1])
    for k, other in ((0, 1), (1, 0)):
        temperature = measure_temperature(probabilities[part == other], y[part == other])
        np.testing.assert_array_equal(scaled[part == k], apply_temperature(probabilities[part == k], temperature))
    probabilities[4] = np.nan  # a row that is not predicted
    np.testing.assert_array_equal(cross_fit_temperature(probabilities, y, part), probabilities)


def test_a_model_with_a_temperature_predicts_by_the_formula_and_is_read_from_disk(tmp_path):
    plain = Model(PARAMS, criterion=jaxmlp.softmax_cross_entropy)
    model = Model(PARAMS, criterion=jaxmlp.softmax_cross_entropy, temperature=2.5)
    (layer,) = PARAMS
    probabilities = predict(model, X)
    np.testing.assert_allclose(probabilities, softmax((X @ layer.w + layer.b).astype(np.float64) / 2.5), rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert not np.allclose(probabilities, predict(plain, X), rtol=0.1)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.temperature == 2.5
    np.testing.assert_array_equal(predict(loaded, X), probabilities)
    same = replace(model, networks=model.groups, temperature=1.0)
    np.testing.assert_allclose(predict(same, X), np.asarray(predict(plain, X)), rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_a_temperature_that_is_not_positive_and_finite_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be positive, and None unless for classes; got"):
        Model(PARAMS, criterion=jaxmlp.softmax_cross_entropy, temperature=temperature)


def test_a_temperature_is_for_classes_only():
    for criterion in (jaxmlp.squared_error, jaxmlp.poisson_nll_loss):
        with pytest.raises(ValueError, match="temperature must be positive, and None unless for classes; got 2"):
            Model(PARAMS, criterion=criterion, temperature=2.0)


def test_a_program_has_the_temperature():
    from jaxmlp.models.export import export_model

    model = Model(PARAMS, criterion=jaxmlp.softmax_cross_entropy, temperature=2.5)
    probabilities = export_model(model, platforms=["cpu"]).call(jax.numpy.asarray(X))
    np.testing.assert_allclose(probabilities, predict(model, X), rtol=1e-5)
