"""What public functions refuse: the type of the error, and every word that helps."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import problem

import jaxmlp
from jaxmlp import _validation

pytestmark = pytest.mark.core

PARAMS, X, Y, WEIGHTS = problem(sizes=(3, 5, 4, 2), n=7)
RATE = 1e-4
ON_DATA = {
    "loss": jaxmlp.loss,
    "manual_grads": jaxmlp.manual_grads,
    "manual_value_and_grads": jaxmlp.manual_value_and_grads,
    "train": lambda params, x, y, weights=None, **options: jaxmlp.train(params, x, y, RATE, weights, **options),
    "train_step": lambda params, x, y, weights=None, **options: jaxmlp.train_step(
        params, x, y, 0.1, weights, **options
    ),
}
Layer = jaxmlp.Layer


@pytest.fixture(params=ON_DATA)
def function(request):
    return ON_DATA[request.param]


def refuses(error, *words):
    """The call raises `error`, and its message holds all words, in order."""
    return pytest.raises(error, match=".*".join(re.escape(word) for word in words))


def test_x_of_another_width(function):
    with refuses(ValueError, "x must have shape (n, fan_in) = (n, 3)", "got (7, 4)"):
        function(PARAMS, jnp.ones((7, 4)), Y)


def test_a_single_row_or_column_shows_the_missing_axis(function):
    with refuses(ValueError, "got (3,); for one row, pass x[None]"):
        function(PARAMS, X[0], Y)
    with refuses(ValueError, "got (2,); for one row, pass y[None]"):
        function(PARAMS, X[:1], Y[0])
    one_column = problem(sizes=(1, 1))[0]
    with refuses(ValueError, "got (7,); for one column, pass x[:, None]"):
        function(one_column, X[:, 0], Y[:, :1])
    with refuses(ValueError, "got (7,); for one output, pass y[:, None]"):
        function(one_column, X[:, :1], Y[:, 0])


@pytest.mark.parametrize(("labels", "shown"), [(jnp.arange(7) % 2, "y"), (np.arange(7)[:, None] % 2, "y[:, 0]")])
def test_integer_labels_show_one_hot(function, labels, shown):
    with refuses(ValueError, f"integer class labels become such rows by jax.nn.one_hot({shown}, 2)"):
        function(PARAMS, X, labels, criterion=jaxmlp.softmax_cross_entropy)


def test_a_softmax_of_one_output_is_refused(function):
    params, x, y, _ = problem(sizes=(3, 1))
    with refuses(ValueError, "criterion must not be softmax_cross_entropy with one output", "sigmoid_binary"):
        function(params, x, y, criterion=jaxmlp.softmax_cross_entropy)


def test_masked_entries_are_refused(function):
    weights = np.ones(7, np.float32)
    for name, place, value in (("x", 0, X), ("y", 1, Y), ("sample_weight", 2, weights)):
        data = [X, Y, weights]
        data[place] = np.ma.array(value)
        function(PARAMS, *data)  # nothing is masked
        data[place] = np.ma.array(value, mask=value == value.ravel()[0])
        with refuses(ValueError, f"{name} must not be a masked array with masked entries"):
            function(PARAMS, *data)
    with refuses(ValueError, "x must not be a masked array"):
        function(PARAMS, [*X[1:], np.ma.array(X[0], mask=True)], Y)
    layer = Layer(np.ma.array(PARAMS[0].w, mask=True), PARAMS[0].b)
    with refuses(ValueError, "params must not be a masked array"):
        function((layer, *PARAMS[1:]), X, Y)


def test_rows_of_several_lengths_are_named(function):
    with refuses(ValueError, "x must be an array of real numbers", "inhomogeneous"):
        function(PARAMS, [[1, 2, 3], [1, 2]], Y)


def test_x_without_columns(function):
    with refuses(ValueError, "x must have shape", "got (3,)"):
        function(PARAMS, jnp.ones(3), Y)


def test_y_without_columns_is_not_broadcast(function):
    with refuses(ValueError, "y must have shape (n, outputs) = (7, 2)", "got (7,)"):
        function(PARAMS, X, Y[:, 0])


def test_y_with_other_rows(function):
    with refuses(ValueError, "y must have shape (n, outputs) = (7, 2)", "got (6, 2)"):
        function(PARAMS, X, Y[:6])


@pytest.mark.parametrize("shape", [(7, 1), (), (6,)])
def test_weights_of_another_shape(function, shape):
    with refuses(ValueError, "sample_weight must have shape (n,) = (7,)", f"got {shape}"):
        function(PARAMS, X, Y, jnp.ones(shape))


def test_a_bare_function_as_activation(function):
    with refuses(TypeError, "activation must be a jaxmlp.Activation", "identity, relu, tanh, sigmoid", "got relu"):
        function(PARAMS, X, Y, activation=jax.nn.relu)


def test_a_bare_function_among_activations(function):
    with refuses(TypeError, "activation must be a jaxmlp.Activation", "got tanh"):
        function(PARAMS, X, Y, activation=(jaxmlp.relu, jnp.tanh))


def test_too_few_activations(function):
    with refuses(ValueError, "activation must be one, or a tuple of 2, one for each hidden layer; got 1"):
        function(PARAMS, X, Y, activation=(jaxmlp.relu,))


def test_a_bare_function_even_where_no_layer_is_hidden():
    with refuses(TypeError, "activation must be a jaxmlp.Activation"):
        jaxmlp.forward(PARAMS[:1], X, activation=jax.nn.relu)


def test_a_list_of_activations(function):
    with refuses(TypeError, "activation must be a jaxmlp.Activation", "got list"):
        function(PARAMS, X, Y, activation=[jaxmlp.relu, jaxmlp.relu])


def test_a_list_as_criterion_is_refused_before_jit_finds_that_it_cannot_be_hashed(function):
    with refuses(TypeError, "criterion must be a jaxmlp.Criterion", "got list"):
        function(PARAMS, X, Y, criterion=[jaxmlp.poisson_nll_loss])


def test_a_bare_function_as_criterion(function):
    with refuses(TypeError, "criterion must be a jaxmlp.Criterion", "squared_error", "poisson_nll", "got own_loss"):
        function(PARAMS, X, Y, criterion=own_loss)


def own_loss(outputs, y):
    return jnp.sum((outputs - y) ** 2)


def test_a_criterion_that_does_not_return_one_loss_a_row(function):
    criterion = jaxmlp.Criterion(own_loss, lambda outputs, y: outputs)
    with refuses(ValueError, "criterion.fn must return an array of shape (7,); got ()"):
        function(PARAMS, X, Y, criterion=criterion)


def test_a_derivative_of_another_shape():
    criterion = jaxmlp.Criterion(jaxmlp.squared_error.fn, lambda outputs, y: outputs[:, 0])
    with refuses(ValueError, "criterion.derivative must return an array of shape (7, 2); got (7,)"):
        jaxmlp.manual_grads(PARAMS, X, Y, criterion=criterion)
    activation = jaxmlp.Activation(jnp.sin, lambda h: h[0])
    with refuses(ValueError, "activation.derivative must return an array of shape (7, 5); got (5,)"):
        jaxmlp.manual_grads(PARAMS, X, Y, activation=activation)


def test_an_activation_that_changes_shape_or_dtype():
    with refuses(ValueError, "activation.fn must return an array of shape (7, 5); got ()"):
        jaxmlp.forward(PARAMS, X, activation=jaxmlp.Activation(jnp.sum, jnp.cos))
    with refuses(TypeError, "activation.fn must return float32", "got bfloat16"):
        jaxmlp.forward(PARAMS, X, activation=jaxmlp.Activation(lambda h: h.astype(jnp.bfloat16), jnp.cos))


def test_parameters_that_are_no_tuple_of_layers(function):
    for params, kind in [(list(PARAMS), "list"), ((), "tuple"), (((X, Y),), "tuple"), (X, "ndarray")]:
        with refuses(TypeError, "params must be a tuple of jaxmlp.Layer, as init_params returns", f"got {kind}"):
            function(params, X, Y)


def test_layers_that_do_not_chain(function):
    with refuses(ValueError, "params[1].w must have shape (5, fan_out); got (4, 2)"):
        function((PARAMS[0], PARAMS[2]), X, Y)


def test_a_weight_matrix_of_rank_one(function):
    with refuses(ValueError, "params[0].w must have shape (fan_in, fan_out); got (3,)"):
        function((Layer(jnp.ones(3), jnp.ones((1, 2))),), X, Y)


def test_a_bias_without_its_row(function):
    with refuses(ValueError, "params[0].b must have shape (1, fan_out) = (1, 2); got (2,)"):
        function((Layer(jnp.ones((3, 2)), jnp.ones(2)),), X, Y)


def test_parameters_of_mixed_dtypes(function):
    with refuses(TypeError, "params must have one dtype in all leaves; got bfloat16, float32"):
        function((Layer(jnp.ones((3, 2)), jnp.ones((1, 2), jnp.bfloat16)),), X, Y)


@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_parameters_of_another_dtype(function, dtype):
    with refuses(TypeError, "params must be bfloat16, float32 or float64", f"got {dtype}"):
        function((Layer(jnp.ones((3, 2), dtype), jnp.ones((1, 2), dtype)),), X, Y)


def test_float64_parameters_while_x64_is_off(function):
    for layer in (Layer(np.ones((3, 2)), np.ones((1, 2))), Layer(np.ones((3, 2)), jnp.ones((1, 2)))):
        with refuses(TypeError, "params must not be float64 while JAX's x64 mode is off", "jax_enable_x64"):
            function((layer,), X, Y)
    with refuses(TypeError, "params must not be float64 while JAX's x64 mode is off", "jax_enable_x64"):
        function((PARAMS[0], Layer(jnp.ones((5, 2)), np.ones((1, 2)))), X, Y)


def test_float64_asked_for_while_x64_is_off():
    with refuses(TypeError, "dtype must not be float64 while JAX's x64 mode is off", "JAX_ENABLE_X64=1"):
        jaxmlp.init_params(jax.random.key(0), (3, 1), dtype=jnp.float64)


def test_parameters_say_which_part_is_not_a_layer():
    for params, message in [
        (PARAMS[0], "got Layer alone; pass (layer,)"),
        (list(PARAMS), "got list; pass tuple(params)"),
        ((), "got tuple of length 0"),
        ((PARAMS[0], tuple(PARAMS[1])), "got tuple, in which params[1] is not a Layer but tuple"),
        ((Layer([[1.0]], [[1.0]]),), "got tuple, in which params[0] does not hold arrays but list and list"),  # type: ignore[arg-type]
        ({"w": 1}, "got dict"),
    ]:
        with refuses(TypeError, "params must be a tuple of jaxmlp.Layer, as init_params returns", message):
            jaxmlp.forward(params, X)


def test_an_ensemble_and_a_network_are_not_confused():
    ensemble = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), PARAMS)
    with refuses(ValueError, "params[0].w must have shape", "got (2, 3, 5); an ensemble is for train_ensemble"):
        jaxmlp.forward(ensemble, X)
    with refuses(ValueError, "params[0].w must have a leading axis of members", "a single network is for train"):
        jaxmlp.train_ensemble(PARAMS, X, Y, RATE)
    with refuses(ValueError, "x must have rank 2 for all members", "for one row pass x[None]"):
        jaxmlp.predict_ensemble(ensemble, X[0])


@pytest.mark.parametrize("x", [np.array([["a", "b", "c"]] * 7), jnp.ones((7, 3), jnp.complex64), None])
def test_data_that_are_no_real_numbers(function, x):
    with refuses(TypeError, "x must hold real numbers"):
        function(PARAMS, x, Y)


def test_errors_come_under_jit_vmap_and_grad_too():
    with refuses(ValueError, "y must have shape (n, outputs) = (7, 2)"):
        jax.jit(jaxmlp.loss)(PARAMS, X, Y[:, 0])
    with refuses(ValueError, "y must have shape (n, outputs) = (7, 2)"):
        jax.grad(jaxmlp.loss)(PARAMS, X, Y[:, 0])
    with refuses(ValueError, "sample_weight must have shape (n,) = (7,)"):
        jax.vmap(jaxmlp.loss, (None, None, None, 0))(PARAMS, X, Y, jnp.ones(7))


@pytest.mark.parametrize("function", [jaxmlp.train, jaxmlp.train_step])
def test_a_learning_rate_that_is_no_scalar(function):
    with refuses(ValueError, "learning_rate must be a scalar, of shape (); got (1,)"):
        function(PARAMS, X, Y, jnp.ones(1))
    with refuses(TypeError, "learning_rate must hold real numbers; got str"):
        function(PARAMS, X, Y, "fast")


@pytest.mark.parametrize("epochs", [-1, True])
def test_epochs_below_zero(epochs):
    with refuses(ValueError, "epochs must be a whole number of at least 0", f"got {epochs}"):
        jaxmlp.train(PARAMS, X, Y, RATE, epochs=epochs)


@pytest.mark.parametrize("epochs", [1.0, None, "3"])
def test_epochs_that_are_no_whole_number(epochs):
    with refuses(TypeError, "epochs must be a whole number known before tracing"):
        jaxmlp.train(PARAMS, X, Y, RATE, epochs=epochs)


def test_traced_epochs_show_how_to_make_them_static():
    with refuses(TypeError, "epochs must be a whole number", 'jax.jit(…, static_argnames="epochs")'):
        jax.jit(jaxmlp.train)(PARAMS, X, Y, RATE, epochs=10)
    with refuses(TypeError, "sizes[1] must be a whole number", 'static_argnames="sizes"'):
        jax.jit(lambda width: jaxmlp.init_params(jax.random.key(0), (3, width, 1)))(4)


@pytest.mark.parametrize("given", ["relu", jax.nn.relu])
def test_an_activation_of_another_library_shows_ours(function, given):
    with refuses(TypeError, "activation must be a jaxmlp.Activation", "pass jaxmlp.relu"):
        function(PARAMS, X, Y, activation=given)
    with refuses(TypeError, "criterion must be a jaxmlp.Criterion", "got str; pass jaxmlp.huber_loss"):
        function(PARAMS, X, Y, criterion="huber_loss")


def test_numpys_whole_numbers_are_epochs():
    assert jaxmlp.train(PARAMS, X, Y, RATE, epochs=np.int64(0))[1].shape == (0,)


def test_gradients_of_another_structure_shape_or_dtype():
    with refuses(ValueError, "grads must have the structure of params, a tuple of 3 layers", "got tuple of length 2"):
        jaxmlp.update(PARAMS, PARAMS[:2], 0.1)
    with refuses(ValueError, "grads must have the structure of params", "grads[0] is not a Layer but float32"):
        jaxmlp.update(PARAMS, (np.float32(1), PARAMS), 0.1)  # type: ignore[arg-type]
    with refuses(ValueError, "grads[0].w must have shape (3, 5); got (5, 3)"):
        jaxmlp.update(PARAMS, (Layer(PARAMS[0].w.T, PARAMS[0].b), *PARAMS[1:]), 0.1)
    with refuses(TypeError, "grads[2].b must have dtype float32; got bfloat16"):
        jaxmlp.update(PARAMS, (*PARAMS[:2], Layer(PARAMS[2].w, jnp.zeros((1, 2), jnp.bfloat16))), 0.1)


@pytest.mark.parametrize("sizes", [(3,), (), 3, "3,1"])
def test_fewer_than_two_sizes(sizes):
    with refuses(ValueError, "sizes must name at least the inputs and the outputs, as in (3, 32, 1)"):
        jaxmlp.init_params(jax.random.key(0), sizes)


def test_sizes_that_are_no_widths():
    with refuses(ValueError, "sizes[1] must be a whole number of at least 1; got 0"):
        jaxmlp.init_params(jax.random.key(0), (3, 0, 1))
    with refuses(TypeError, "sizes[0] must be a whole number"):
        jaxmlp.init_params(jax.random.key(0), (3.0, 1))


def test_sizes_may_be_a_numpy_array():
    assert jaxmlp.init_params(jax.random.key(0), np.array([3, 1]))[0].w.shape == (3, 1)


def test_an_initializer_that_returns_something_else():
    with refuses(TypeError, "w_init must return a JAX array", "got"):
        jaxmlp.init_params(jax.random.key(0), (3, 1), w_init=lambda *_: jax.nn.relu)
    with refuses(ValueError, "w_init must return an array of shape (3, 1); got (1, 3)"):
        jaxmlp.init_params(jax.random.key(0), (3, 1), w_init=lambda key, shape, dtype: jnp.ones(shape[::-1], dtype))
    with refuses(TypeError, "w_init must return float32", "got bfloat16"):
        jaxmlp.init_params(jax.random.key(0), (3, 1), w_init=lambda key, shape, dtype: jnp.ones(shape, jnp.bfloat16))


def test_an_activation_that_leaves_jax():
    with refuses(TypeError, "activation.fn must be written with jax.numpy; it converts its argument to NumPy"):
        jaxmlp.forward(PARAMS, X, activation=jaxmlp.Activation(lambda h: np.sin(np.asarray(h)), jnp.cos))


def test_what_is_no_single_key():
    with refuses(TypeError, "key must be a single key, as jax.random.key(0) returns; got int"):
        jaxmlp.init_params(0, (3, 1))  # type: ignore[arg-type]
    with refuses(TypeError, "key must be a single key", "of shape (2,)"):
        jaxmlp.init_params(jax.random.split(jax.random.key(0)), (3, 1))


def test_old_style_keys_are_keys():
    assert jaxmlp.init_params(jax.random.PRNGKey(0), (3, 32, 1))[0].w.shape == (3, 32)


def test_a_missing_dependency_names_the_line_to_run():
    with refuses(ImportError, "no_such_module is needed", "pip install 'jaxmlp[tables]'"):
        _validation.require("no_such_module", extra="tables")
