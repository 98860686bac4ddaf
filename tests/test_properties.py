"""Laws that hold for every network, on networks that hypothesis draws; each has a `slow` twin of more examples.

Networks are drawn by seed, from few shapes: one program for each shape and law, which all examples run.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_equal, problem, program
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxmlp
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.criteria import CRITERIA

pytestmark = pytest.mark.portable

FEW = settings(max_examples=15, deadline=None, derandomize=True, database=None)
MANY = settings(FEW, max_examples=500)

SEEDS = st.integers(0, 2**32 - 1)
# (sizes, rows, activation of each hidden layer, criterion)
SMOOTH = (
    ((2, 3), 6, (), "softmax_cross_entropy"),
    ((3, 4, 2), 5, ("gelu",), "sigmoid_binary_cross_entropy"),
    ((4, 3, 5, 1), 4, ("tanh", "silu"), "squared_error"),
    ((1, 3, 2, 3, 2), 3, ("sigmoid", "identity", "tanh"), "poisson_nll_loss"),
)
# More rows than it can fit: after 200 epochs a slope is left.
UNDERFITTED = ((2, 3, 1), 12, ("tanh",), "squared_error")
KINKED = (
    ((3, 4, 2), 5, ("relu",), "squared_error"),
    ((5, 1), 1, (), "huber_loss"),
    ((2, 3, 4, 1), 20, ("relu", "relu"), "huber_loss"),
)


def twins(check, **strategies):
    """The test of a law as it runs by default, and its long twin."""
    return FEW(given(**strategies)(check)), pytest.mark.slow(MANY(given(**strategies)(check)))


def options(configuration):
    _, _, activation, criterion = configuration
    return {"activation": tuple(ACTIVATIONS[name] for name in activation), "criterion": CRITERIA[criterion]}


def drawn(configuration, seed, dtype="float64"):
    sizes, n, _, criterion = configuration
    return problem(sizes, n, criterion, dtype, seed)


@functools.cache
def compiled(law, configuration, dtype="float64"):
    """`law(configuration)` compiled once, for the arguments that it names itself."""
    function, arguments = law(configuration, dtype)
    return program(function, *arguments)


def manual_and_autodiff(configuration, dtype):
    chosen = options(configuration)

    def both(*data):
        return [f(*data, **chosen) for f in (jaxmlp.manual_value_and_grads, jax.value_and_grad(jaxmlp.loss))]

    return both, drawn(configuration, 0, dtype)


def gradients_equal_jax_grad(configuration, seed, scale, zeros):
    """Whatever the scale of the inputs, and with rows, biases and weights of zero."""
    with jax.enable_x64(True):
        params, x, y, weights = drawn(configuration, seed)
        x = x * scale
        weights = np.where(zeros[: len(weights)], 0, weights)
        manual, autodiff = compiled(manual_and_autodiff, configuration)(params, x, y, weights)
        assert_close(manual, autodiff)


FLAGS = st.lists(st.booleans(), min_size=20, max_size=20)

test_gradients_equal_jax_grad, test_gradients_equal_jax_grad_at_length = twins(
    gradients_equal_jax_grad,
    configuration=st.sampled_from(SMOOTH + KINKED),
    seed=SEEDS,
    scale=st.sampled_from([0.0, 1e-3, 1.0]),
    zeros=FLAGS,
)


def large_inputs_leave_gradients_finite_and_right(configuration, seed, exponent):
    """A forward pass and two products of 1e75 stay below the largest float64."""
    with jax.enable_x64(True):
        params, x, y, weights = drawn(configuration, seed)
        manual, autodiff = compiled(manual_and_autodiff, configuration)(params, x * 10.0**exponent, y, weights)
        assert_close(manual, autodiff)  # which asks for finite numbers
        assert any(np.abs(leaf).max() > 10.0 ** (exponent - 3) for leaf in jax.tree.leaves(manual))


test_large_inputs_leave_gradients_finite_and_right, test_large_inputs_at_length = twins(
    large_inputs_leave_gradients_finite_and_right,
    configuration=st.sampled_from(KINKED),
    seed=SEEDS,
    exponent=st.integers(3, 75),
)


def with_small_integers_gradients_equal_jax_grad_exactly(configuration, seed, zeros):
    """In float32 every sum of them is exact, and many a pre-activation is 0: the kink."""
    rng = np.random.default_rng(seed)
    params, x, y, weights = jax.tree.map(
        lambda leaf: rng.integers(-2, 3, size=leaf.shape).astype(np.float32), drawn(configuration, 0, "float32")
    )
    x = np.where(np.array(zeros)[: len(x), None], np.float32(0), x)
    manual, autodiff = compiled(manual_and_autodiff, configuration, "float32")(params, x, y, weights)
    assert_equal(manual, autodiff)


test_with_small_integers_gradients_equal_jax_grad_exactly, test_with_small_integers_at_length = twins(
    with_small_integers_gradients_equal_jax_grad_exactly, configuration=st.sampled_from(KINKED), seed=SEEDS, zeros=FLAGS
)


def counted_and_repeated(configuration, dtype):
    chosen = options(configuration)

    def both(params, x, y, counts, rows):
        counted = jaxmlp.manual_value_and_grads(params, x, y, counts, **chosen)
        return counted, jaxmlp.manual_value_and_grads(params, x[rows], y[rows], **chosen)

    params, x, y, weights = drawn(configuration, 0, dtype)
    return both, (params, jnp.asarray(x), jnp.asarray(y), weights, np.arange(len(x)))


def a_weight_counts_how_often_a_row_is_there(configuration, seed, rows):
    """A weight of 0 leaves it out, 2 is the row twice."""
    with jax.enable_x64(True):
        params, x, y, _ = drawn(configuration, seed)
        rows = np.array(rows[: len(x)]) % len(x)
        counts = np.bincount(rows, minlength=len(x)).astype(float)
        counted, repeated = compiled(counted_and_repeated, configuration)(
            params, jnp.asarray(x), jnp.asarray(y), counts, rows
        )
        assert_close(counted, repeated)


test_a_weight_counts_how_often_a_row_is_there, test_a_weight_counts_at_length = twins(
    a_weight_counts_how_often_a_row_is_there,
    configuration=st.sampled_from((SMOOTH[1], KINKED[2])),
    seed=SEEDS,
    rows=st.lists(st.integers(0, 19), min_size=20, max_size=20),
)


def second_derivatives(configuration, dtype):
    chosen = options(configuration)

    def both(params, direction, x, y, weights):
        def along(gradient):
            def slope(p):
                grads = gradient(p, x, y, weights, **chosen)
                return sum(jax.tree.leaves(jax.tree.map(lambda g, v: jnp.sum(g * v), grads, direction)))

            return jax.grad(slope)(params)

        return along(jaxmlp.manual_grads), along(jax.grad(jaxmlp.loss))

    params, *data = drawn(configuration, 0, dtype)
    return both, (params, params, *data)


def second_derivatives_through_our_gradients_are_jax_grads(configuration, seed):
    with jax.enable_x64(True):
        params, *data = drawn(configuration, seed)
        direction, *_ = drawn(configuration, seed + 1)
        manual, autodiff = compiled(second_derivatives, configuration)(params, direction, *data)
        assert_close(manual, autodiff)


test_second_derivatives_are_jax_grads, test_second_derivatives_at_length = twins(
    second_derivatives_through_our_gradients_are_jax_grads, configuration=st.sampled_from(SMOOTH[1:3]), seed=SEEDS
)


def hypergradient(configuration, dtype):
    chosen = options(configuration)

    def last_loss(rate, weight, params, x, y, weights):
        params = (params[0]._replace(w=params[0].w.at[1, 2].set(weight)), *params[1:])
        return jaxmlp.train(params, x, y, rate, weights, **chosen)[1][-1]

    def slopes(rate, weight, *data):
        # Central differences of fourth order: the step leaves 1e-16 of a fifth derivative, rounding 1e-16 / 1e-4.
        points, factors = jnp.asarray([-2e-4, -1e-4, 1e-4, 2e-4]), jnp.asarray([1.0, -8.0, 8.0, -1.0]) / 12e-4
        by_rate = jax.vmap(lambda step: last_loss(rate * (1 + step), weight, *data))(points) @ factors / rate
        by_weight = jax.vmap(lambda step: last_loss(rate, weight + step, *data))(points) @ factors
        return jax.grad(last_loss, (0, 1))(rate, weight, *data), (by_rate, by_weight)

    return slopes, (0.1, 0.1, *drawn(configuration, 0, dtype))


def the_gradient_through_200_epochs_is_that_of_finite_differences(seed, rate):
    """Of the last loss, with respect to the learning rate and to an initial parameter."""
    with jax.enable_x64(True):
        params, x, y, _ = drawn(UNDERFITTED, seed)
        weights = np.full(len(x), 1 / len(x))
        exact, differences = compiled(hypergradient, UNDERFITTED)(rate, params[0].w[1, 2], params, x, y, weights)
        # The floor: differences round to 1e-16 of a loss of about 1, over a step of 1e-4.
        np.testing.assert_allclose(exact, differences, rtol=1e-6, atol=1e-11)
        assert abs(exact[0]) > 1e-6


test_the_gradient_through_200_epochs, test_the_gradient_through_200_epochs_at_length = twins(
    the_gradient_through_200_epochs_is_that_of_finite_differences, seed=SEEDS, rate=st.floats(0.01, 0.1)
)
