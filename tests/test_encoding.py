"""The encoding of numbers: piecewise linear, bounded, the same function as its formula, and applied in each batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_equal
from jax.tree_util import Partial

import jaxmlp
from jaxmlp.fitting import encoding as module
from jaxmlp.fitting.encoding import REACH, learn_edges, learn_encoding, stack_encodings

pytestmark = pytest.mark.portable
RNG = np.random.default_rng(0)
# As they run in a network: one program each, not one for each operation.
encode, piecewise_linear = jax.jit(module.encode), jax.jit(module.piecewise_linear)
N = 200
# Skewed numbers, few different ones, zeros and ones, and a constant.
X = np.column_stack([RNG.lognormal(size=N), RNG.integers(4, size=N), RNG.random(N) < 0.2, np.full(N, 7.0)])


def components(edges, value):
    """The definition, for one number."""
    widths, bins = np.diff(edges), len(edges) - 1
    result = []
    for t in range(bins):
        low, high = -REACH if t == 0 else 0.0, 1 + REACH if t == bins - 1 else 1.0
        result.append(min(max((value - edges[t]) / widths[t], low), high))
    return result


def test_the_piecewise_linear_encoding_is_its_definition():
    edges = np.array([-1.0, 0.0, 0.5, 3.0])
    values = np.array([-9.0, -1.5, -1.0, -0.25, 0.0, 0.4, 0.5, 2.0, 3.0, 4.0, 99.0])
    expected = [components(edges, value) for value in values]
    got = piecewise_linear(jnp.asarray(edges[None], jnp.float32), jnp.asarray(values[:, None], jnp.float32))
    assert got.shape == (len(values), 1, 3)
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-6)


def test_inside_the_edges_the_components_times_the_widths_add_up_to_the_number():
    edges = learn_edges(X[:, 0], 8)
    values = RNG.uniform(edges[0], edges[-1], (50, 1))
    parts = piecewise_linear(jnp.asarray(edges[None], jnp.float32), jnp.asarray(values, jnp.float32))
    np.testing.assert_allclose(edges[0] + parts[:, 0] @ np.diff(edges), values[:, 0], rtol=1e-5)


def test_repeated_edges_are_no_bins():
    edges = jnp.array([[0.0, 1.0, 2.0, 2.0, 2.0]])
    parts = piecewise_linear(edges, jnp.array([[0.5], [1.5], [3.0], [50.0]]))
    np.testing.assert_array_equal(parts[:, 0], [[0.5, 0, 0, 0], [1, 0.5, 0, 0], [1, 2, 0, 0], [1, 1 + REACH, 0, 0]])


def test_edges_are_quantiles_or_the_values_if_these_are_few():
    np.testing.assert_array_equal(learn_edges(X[:, 1], 16), [0, 1, 2, 3])
    np.testing.assert_allclose(learn_edges(X[:, 0], 4), np.quantile(X[:, 0], [0, 0.25, 0.5, 0.75, 1]))
    mostly_zero = np.r_[np.zeros(90), np.arange(1.0, 111)]
    edges = learn_edges(mostly_zero, 8)
    assert (np.diff(edges) > 0).all()  # equal quantiles are merged
    assert len(edges) < 9


def test_an_encoding_has_the_scaled_columns_and_then_the_bins_of_each_number():
    encoding = learn_encoding(X, 8)
    assert encoding.binned.tolist() == [0, 1]  # neither zeros and ones nor a constant
    encoded = np.asarray(encode(encoding, jnp.asarray(X, jnp.float32)))
    assert encoded.shape == (N, 4 + 2 * 8)
    z = (X[:, 0] - np.median(X[:, 0])) / np.subtract(*np.quantile(X[:, 0], [0.75, 0.25]))
    np.testing.assert_allclose(encoded[:, 0], z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encoded[:, 4:].mean(axis=0), 0, atol=1e-5)
    assert (encoded[:, 3] == 0).all()
    assert encode(learn_encoding(X, 0), jnp.asarray(X, jnp.float32)).shape == (N, 4)


def test_a_far_value_is_bounded_and_a_new_one_in_a_constant_column_has_no_effect():
    encoding = learn_encoding(X, 8)
    far = np.asarray(encode(encoding, jnp.array([[1e9, -1e9, 0.0, -5.0]], jnp.float32)))
    assert np.abs(far).max() <= 3 + 1e-5
    assert far[0, 3] == 0


@pytest.mark.extended
def test_stacked_encodings_encode_as_each_alone():
    encodings = [learn_encoding(X[:150], 8), learn_encoding(X[20:30], 8)]
    stacked = stack_encodings(encodings)
    rows = jnp.asarray(X[:30], jnp.float32)
    for k, encoding in enumerate(encodings):
        expected = encode(encoding, rows)
        got = encode(jax.tree.map(lambda leaf, k=k: leaf[k], stacked), rows)
        columns = [*range(4), *(4 + 8 * c + t for c in range(2) for t in range(encoding.means.shape[1]))]
        np.testing.assert_allclose(got[:, columns], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("members", [None, 3])
def test_fit_epochs_encodes_each_batch(members):
    """The same as training on rows that were encoded before, up to rounding."""
    encoding = learn_encoding(X, 4)
    x, y = jnp.asarray(X, jnp.float32), jnp.asarray(np.log(X[:, :1]), jnp.float32)
    encoded = encode(encoding, x)
    sizes = (encoded.shape[1], 8, 1)
    params = jaxmlp.init_params(jax.random.key(0), sizes)
    if members:
        params = jaxmlp.init_ensemble(jax.random.key(0), sizes, members)
    options = {"optimizer": jaxmlp.adam(0.01), "epochs": 3, "batch_size": 32}
    options |= {"validation_sample_weight": jnp.ones(N)}
    state = jaxmlp.init_fit(params, key=jax.random.key(1), optimizer=options["optimizer"])
    expected, history = jaxmlp.fit_epochs(state, encoded, y, **options)
    after, same = jaxmlp.fit_epochs(state, x, y, **options, encode=Partial(encode, encoding))
    assert_close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)  # noqa: E731
    jax.tree.map(assert_close, after.params, expected.params)
    jax.tree.map(assert_close, (same.loss, same.validation_loss), (history.loss, history.validation_loss))


def test_other_edges_do_not_compile_again_and_inputs_that_do_not_fit_are_refused():
    traces = []

    def traced(encoding, x):
        traces.append(x.shape)
        return encode(encoding, x)

    x, y = jnp.asarray(X, jnp.float32), jnp.zeros((N, 1))
    optimizer = jaxmlp.adam()
    state = jaxmlp.init_fit(jaxmlp.init_params(jax.random.key(0), (4, 1)), key=jax.random.key(1), optimizer=optimizer)
    for rows in (X, X[50:]):
        encoding = learn_encoding(rows, 0)
        jaxmlp.fit_epochs(state, x, y, optimizer=optimizer, epochs=1, encode=Partial(traced, encoding))
        assert traces
    first = len(traces)
    jaxmlp.fit_epochs(state, x, y, optimizer=optimizer, epochs=1, encode=Partial(traced, learn_encoding(X[:60], 0)))
    assert len(traces) == first
    with pytest.raises(ValueError, match=r"x must have shape \(n, fan_in\) = \(n, 4\)"):
        jaxmlp.fit_epochs(state, x, y, optimizer=optimizer, epochs=1, encode=Partial(encode, learn_encoding(X, 8)))


def test_a_function_without_arrays_may_encode_too():
    x, y = jnp.asarray(X[:, :2], jnp.float32), jnp.zeros((N, 1))
    optimizer = jaxmlp.adam()
    state = jaxmlp.init_fit(jaxmlp.init_params(jax.random.key(0), (2, 1)), key=jax.random.key(1), optimizer=optimizer)
    after, _ = jaxmlp.fit_epochs(state, x, y, optimizer=optimizer, epochs=1, encode=jnp.tanh)
    expected, _ = jaxmlp.fit_epochs(state, jnp.tanh(x), y, optimizer=optimizer, epochs=1)
    assert_equal(after.params, expected.params)
