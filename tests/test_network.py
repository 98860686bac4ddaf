"""Parameters, forward pass and loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_equal, problem, relative_error, run
from scipy import special

import jaxmlp
from jaxmlp import Layer, forward, init_params, loss

pytestmark = pytest.mark.core


def drawn(*args, **options):
    return run(lambda: init_params(jax.random.key(0), *args, **options))


def test_parameters_have_a_layer_for_each_pair_of_sizes():
    params = drawn((3, 32, 1))
    assert [(w.shape, b.shape) for w, b in params] == [((3, 32), (1, 32)), ((32, 1), (1, 1))]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    assert not any(np.any(b) for _, b in params)


def test_weights_are_he_normal_and_differ_from_layer_to_layer():
    params = drawn((100, 100, 100))
    assert abs(np.std(params[0].w) - (2 / 100) ** 0.5) < 0.005
    assert abs(np.mean(params[0].w)) < 0.005
    assert not np.array_equal(params[0].w, params[1].w)


def test_an_initializer_of_jax_sets_the_scale():
    params = drawn((400, 50, 1), w_init=jax.nn.initializers.normal(1.0))
    assert abs(np.std(params[0].w) - 1) < 0.03


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_parameters_have_the_dtype_asked_for(dtype, x64):
    params = jax.eval_shape(lambda key: init_params(key, (3, 32, 1), dtype=dtype), jax.random.key(0))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {dtype}


def test_init_params_composes_with_vmap():
    def both(key):
        keys = jax.random.split(key, 4)
        draw = lambda key: init_params(key, (3, 4, 1))  # noqa: E731
        return jax.vmap(draw)(keys), draw(keys[2])

    many, one = run(both, jax.random.key(0))
    assert_close(jax.tree.map(lambda leaf: leaf[2], many), one, 1e-6)


def test_forward_is_the_composition_of_its_layers(x64):
    params, x, _, _ = problem(sizes=(3, 5, 4, 2), dtype="float64")
    a = np.asarray(x)
    for k, (w, b) in enumerate(params):
        a = a @ np.asarray(w) + np.asarray(b)
        a = np.tanh(a) if k < 2 else a
    assert relative_error(run(lambda *v: forward(*v, activation=jaxmlp.tanh), params, x), a) < 1e-14


def test_one_layer_is_a_linear_model(x64):
    params, x, _, _ = problem(sizes=(3, 2), dtype="float64")
    expected = np.asarray(x) @ np.asarray(params[0].w) + np.asarray(params[0].b)
    assert relative_error(run(forward, params, x), expected) < 1e-14


def test_each_hidden_layer_may_have_its_own_activation(x64):
    params, x, _, _ = problem(sizes=(3, 5, 4, 2), dtype="float64")
    (w1, b1), (w2, b2), (w3, b3) = params
    expected = special.expit(np.tanh(x @ w1 + b1) @ w2 + b2) @ w3 + b3
    outputs = run(lambda *v: forward(*v, activation=(jaxmlp.tanh, jaxmlp.sigmoid)), params, x)
    assert relative_error(outputs, expected) < 1e-14


def test_loss_is_the_weighted_sum_of_row_losses(x64):
    params, x, y, weights = problem(dtype="float64")
    outputs, plain, weighted = run(
        lambda params, x, *rest: (forward(params, x), loss(params, x, rest[0]), loss(params, x, *rest)),
        *(params, x, y, weights),
    )
    rows = ((np.asarray(outputs) - y) ** 2).sum(1)
    assert relative_error(plain, rows.sum()) < 1e-14
    assert relative_error(weighted, (weights * rows).sum()) < 1e-14


def test_data_are_cast_to_the_dtype_of_the_network():
    params, x, y, weights = problem(dtype="float32")
    x, y, weights = (np.round(v) for v in (x, y, weights))
    as_lists = [np.asarray(v).astype(int).tolist() for v in (x, y, weights)]
    as_numpy = [np.asarray(v, np.float64) for v in (x, y, weights)]
    for data in (as_lists, as_numpy):
        assert_equal(loss(params, *data), loss(params, x, y, weights))
    assert loss(params, *as_numpy).dtype == jnp.float32


def test_float64_data_do_not_pass_through_float32(x64):
    params = (Layer(jnp.ones((1, 1), jnp.float64), jnp.zeros((1, 1), jnp.float64)),)
    assert forward(params, [[0.1]])[0, 0] == np.float64(0.1)


def test_parameters_may_be_numpy_arrays():
    params, x, _, _ = problem()
    assert_equal(forward(jax.tree.map(np.asarray, params), np.asarray(x)), forward(params, x))


def test_no_rows_make_a_loss_of_zero():
    params, x, y, _ = problem()
    assert loss(params, x[:0], y[:0]) == 0
