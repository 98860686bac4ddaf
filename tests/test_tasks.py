"""Tasks: what training knows about each criterion."""

import jax
import numpy as np
import pytest
from helpers import targets

import jaxmlp
from jaxmlp.criteria import CRITERIA
from jaxmlp.fitting import metrics
from jaxmlp.fitting.tasks import CRITERION_TASKS, TABLE_CRITERIA, task_of

pytestmark = pytest.mark.portable


@pytest.mark.parametrize("name", CRITERIA)
def test_the_link_inverts_predict(name):
    means = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    criterion = CRITERIA[name]
    predictions = criterion.predict(jax.numpy.asarray(task_of(criterion).link(means), np.float32))
    np.testing.assert_allclose(predictions, means, rtol=1e-5)


@pytest.mark.parametrize("name", CRITERIA)
def test_the_constant_baseline_is_the_mean_and_has_a_finite_error_where_the_mean_is_an_extreme(name):
    task = task_of(CRITERIA[name])
    np.testing.assert_allclose(task.constant(np.array([0.25, 0.75]), 100), [0.25, 0.75])
    baseline = task.constant(np.array([1.0, 0.0]), 100)
    np.testing.assert_allclose(baseline, [1, 0], atol=0.006)
    assert np.isfinite(task.score(task.row_error(np.tile(baseline, (2, 1)), np.eye(2))))
    assert np.isfinite(task.link(baseline)).all()


@pytest.mark.parametrize("name", CRITERIA)
def test_the_score_is_what_the_metric_of_its_name_measures(name):
    task, y = task_of(CRITERIA[name]), targets(name, (20, 1))
    predictions = np.random.default_rng(1).uniform(0.1, 0.9, size=(20, 1))
    metric = {"RMSE": metrics.root_mean_squared_error, "log loss": metrics.log_loss}
    metric["deviance"] = metrics.mean_poisson_deviance
    if name == "softmax_cross_entropy":
        predictions, y = np.hstack([predictions, 1 - predictions]), np.eye(2)[np.arange(20) % 2]
    np.testing.assert_allclose(task.score(task.row_error(predictions, y)), metric[task.error](predictions, y))


def test_the_standard_error_is_the_standard_deviation_of_the_score_over_tables():
    rng = np.random.default_rng(0)
    for criterion in (jaxmlp.squared_error, jaxmlp.poisson_nll_loss):
        task = task_of(criterion)
        errors = rng.exponential(size=(2000, 200))
        standard_errors = [task.standard_error(rows) for rows in errors]
        np.testing.assert_allclose(np.mean(standard_errors), np.std(task.score(errors)), rtol=0.1)


def test_a_custom_criterion_needs_a_task():
    custom = jaxmlp.Criterion(jaxmlp.squared_error.fn, jaxmlp.squared_error.derivative, jax.numpy.exp)
    with pytest.raises(ValueError, match="task must be given with a custom criterion"):
        task_of(custom)
    task = task_of(jaxmlp.squared_error)
    assert task_of(custom, task) is task
    assert task_of(jaxmlp.squared_error, task_of(jaxmlp.poisson_nll_loss)).error == "deviance"


def test_every_criterion_has_a_task():
    assert CRITERION_TASKS.keys() == {*CRITERIA.values()} >= {*TABLE_CRITERIA.values()}
