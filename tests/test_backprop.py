"""The hand-derived gradients against jax.grad, leaf by leaf."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALL_ACTIVATIONS, ALL_CRITERIA, assert_close, assert_equal, problem, run

import jaxmlp
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.criteria import CRITERIA

pytestmark = pytest.mark.core

SIZES = {1: (3, 2), 2: (3, 5, 2), 4: (3, 5, 4, 5, 2)}


# By default every pair, every depth and every dtype; `slow`, every combination.
PAIRS = tuple(itertools.product(ALL_ACTIVATIONS, ALL_CRITERIA, [2], ["float64"]))
DEPTHS = tuple(
    ("tanh", "softmax_cross_entropy", depth, dtype)
    for depth, dtype in ((1, "float64"), (2, "float32"), (4, "float32"), (4, "bfloat16"))
)
MIXED = ((("tanh", "relu", "gelu"), "softmax_cross_entropy", 4, "float64"),)
GROUPS = (MIXED, DEPTHS, PAIRS)  # one program each
FULL = tuple(itertools.product(ALL_ACTIVATIONS, ALL_CRITERIA, SIZES, ["bfloat16", "float32", "float64"]))


@functools.cache
def computed(configurations):
    """Loss and gradients by hand and by jax.grad of each configuration, as one program."""

    def compute(data):
        return [both(*arrays, *configuration) for arrays, configuration in zip(data, configurations, strict=True)]

    def both(params, x, y, c, activation, criterion, depth, _):
        names = activation if isinstance(activation, tuple) else (activation,) * (depth - 1)
        options = {"activation": tuple(ACTIVATIONS[name] for name in names), "criterion": CRITERIA[criterion]}
        functions = jaxmlp.manual_value_and_grads, jax.value_and_grad(jaxmlp.loss)
        return [function(params, x, y, c, **options) for function in functions]

    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        data = [problem(SIZES[depth], 7, criterion, dtype) for _, criterion, depth, dtype in configurations]
        return dict(zip(configurations, run(compute, data), strict=True))


@pytest.mark.parametrize("configuration", list(itertools.chain(*GROUPS)), ids=str)
def test_manual_gradients_equal_jax_grad_leaf_by_leaf(configuration):
    (group,) = (group for group in GROUPS if configuration in group)
    (value, grads), (expected_value, expected) = computed(group)[configuration]
    assert_close(grads, expected)
    assert_close(value, expected_value)
    assert str(value.dtype) == configuration[-1]


@pytest.mark.slow
@pytest.mark.parametrize("configuration", FULL, ids=str)
def test_manual_gradients_equal_jax_grad_in_the_full_product(configuration):
    (value, grads), (expected_value, expected) = computed(FULL)[configuration]
    assert_close(grads, expected)
    assert_close(value, expected_value)


def test_gradients_have_the_type_shapes_and_dtype_of_the_parameters():
    params, x, y, _ = problem()
    grads = jax.eval_shape(jaxmlp.manual_grads, params, x, y)
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), grads) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), params
    )


def kinky_problem():
    """Zero biases and a row of zeros, so that every hidden pre-activation of that row is exactly 0.

    All numbers are small integers: every sum is exact, in whatever order it is taken.
    """
    rng = np.random.default_rng(0)
    w1, w2, x, y = (rng.integers(-3, 4, size=s).astype(np.float32) for s in ((3, 5), (5, 2), (7, 3), (7, 2)))
    x[2] = 0
    b1, b2 = np.zeros((1, 5), np.float32), np.zeros((1, 2), np.float32)
    return (jaxmlp.Layer(w1, b1), jaxmlp.Layer(w2, b2)), x, y


def test_at_the_kink_manual_gradients_equal_jax_grad_exactly():
    params, x, y = kinky_problem()
    manual, autodiff, of_that_row = run(
        lambda *data: (
            jaxmlp.manual_grads(*data),
            jax.grad(jaxmlp.loss)(*data),
            jaxmlp.manual_grads(*data, np.eye(7)[2]),
        ),
        *(params, x, y),
    )
    assert_equal(manual, autodiff)
    assert np.any(of_that_row[0].b), "the gradient passes at h == 0"


@pytest.mark.extended
def test_at_the_kink_manual_gradients_equal_torchs_clamp():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    params, x, y = kinky_problem()
    (w1, b1), (w2, b2) = [[torch.tensor(leaf, requires_grad=True) for leaf in layer] for layer in params]
    outputs = (torch.tensor(x) @ w1 + b1).clamp(min=0) @ w2 + b2
    (outputs - torch.tensor(y)).pow(2).sum().backward()
    expected = (jaxmlp.Layer(w1.grad.numpy(), b1.grad.numpy()), jaxmlp.Layer(w2.grad.numpy(), b2.grad.numpy()))
    assert_equal(run(jaxmlp.manual_grads, params, x, y), expected)


def test_a_weight_of_zero_removes_a_row(x64):
    params, x, y, weights = problem(dtype="float64")
    weights[3] = 0
    keep = np.arange(7) != 3
    assert_close(
        run(jaxmlp.manual_value_and_grads, params, x, y, weights),
        run(jaxmlp.manual_value_and_grads, params, x[keep], y[keep], weights[keep]),
    )


def test_a_weight_of_two_equals_a_repeated_row(x64):
    params, x, y, _ = problem(dtype="float64")
    weights = np.ones(7)
    weights[3] = 2
    rows = [0, 1, 2, 3, 3, 4, 5, 6]
    assert_close(
        run(jaxmlp.manual_value_and_grads, params, x, y, weights),
        run(jaxmlp.manual_value_and_grads, params, x[rows], y[rows]),
    )


def test_weights_of_one_over_n_make_the_mean_and_weights_of_one_the_sum(x64):
    params, x, y, _ = problem(dtype="float64")
    value_and_grads = run(jaxmlp.manual_value_and_grads, params, x, y)
    mean = jax.tree.map(lambda leaf: np.asarray(leaf) / 7, value_and_grads)
    assert_close(run(jaxmlp.manual_value_and_grads, params, x, y, np.full(7, 1 / 7)), mean)
    assert_close(run(jaxmlp.manual_value_and_grads, params, x, y, np.ones(7)), value_and_grads)


@pytest.mark.parametrize("criterion", ["squared_error", "softmax_cross_entropy"])
def test_row_gradient_norms_are_the_norms_of_the_gradients_of_single_rows(x64, criterion):
    params, x, y, weights = problem((3, 5, 4, 2), criterion=criterion, dtype="float64")
    options = {"activation": (jaxmlp.tanh, jaxmlp.relu), "criterion": CRITERIA[criterion]}

    def compute(params, x, y, c):
        by_row = jax.vmap(lambda c: jax.grad(jaxmlp.loss)(params, x, y, c, **options))(jnp.diag(c))
        norms = functools.partial(jaxmlp.row_gradient_norms, params, x, y, c, **options)
        return norms(), norms(per_layer=True), by_row

    norms, by_layer, by_row = run(compute, params, x, y, weights)
    expected = np.array([(layer.w**2).sum((1, 2)) + (layer.b**2).sum((1, 2)) for layer in by_row])
    np.testing.assert_allclose(by_layer, np.sqrt(expected), rtol=1e-12)
    np.testing.assert_allclose(norms, np.sqrt(expected.sum(0)), rtol=1e-12)


def test_row_gradient_norms_have_the_dtype_of_the_network_and_raise_as_the_gradient_does():
    params, x, y, _ = problem()
    assert jax.eval_shape(jaxmlp.row_gradient_norms, params, x, y).dtype == np.float32
    assert jaxmlp.row_gradient_norms(params, x[:0], y[:0]).shape == (0,)
    with pytest.raises(ValueError, match="y must have shape"):
        jaxmlp.row_gradient_norms(params, x, y[:, 0])


def test_permuting_hidden_units_permutes_gradients(x64):
    params, x, y, weights = problem(sizes=(3, 5, 2), dtype="float64")
    order = np.array([3, 0, 4, 1, 2])
    grads = run(jaxmlp.manual_grads, params, x, y, weights)
    permuted = run(jaxmlp.manual_grads, _permuted(params, order), x, y, weights)
    assert_close(permuted, _permuted(jax.tree.map(np.asarray, grads), order))


def _permuted(params, order):
    (w1, b1), (w2, b2) = params
    return (jaxmlp.Layer(w1[:, order], b1[:, order]), jaxmlp.Layer(w2[order], b2))


def test_a_users_own_activation_and_criterion_are_differentiated_by_their_own_derivatives(x64):
    params, x, y, weights = problem(dtype="float64")
    own = {
        "activation": jaxmlp.Activation(jnp.sin, jnp.cos),
        "criterion": jaxmlp.Criterion(lambda o, y: jnp.sum((o - y) ** 4, axis=1), lambda o, y: 4 * (o - y) ** 3),
    }
    manual, auto = run(
        lambda *data: (jaxmlp.manual_grads(*data, **own), jax.grad(jaxmlp.loss)(*data, **own)), params, x, y, weights
    )
    assert_close(manual, auto)


def test_second_derivatives_flow_through_our_gradients(x64):
    params, x, y, _ = problem(sizes=(3, 5, 2), dtype="float64")

    def norm(gradient):
        return lambda params: sum(
            jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient(params, x, y, activation=jaxmlp.tanh))
        )

    manual, auto = run(lambda p: [jax.grad(norm(g))(p) for g in (jaxmlp.manual_grads, jax.grad(jaxmlp.loss))], params)
    assert_close(manual, auto)


def test_gradients_of_single_rows_by_vmap_add_up_to_the_whole(x64):
    params, x, y, weights = problem(sizes=(3, 5, 2), dtype="float64")
    each = run(jax.vmap(jaxmlp.manual_grads, (None, None, None, 0)), params, x, y, np.diag(weights))
    total = jax.tree.map(lambda leaf: np.asarray(leaf).sum(0), each)
    assert_close(total, run(jaxmlp.manual_grads, params, x, y, weights))
