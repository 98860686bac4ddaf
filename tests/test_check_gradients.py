"""check_gradients: right gradients of any function pass, wrong ones are caught, and what cannot be checked says so."""

import pathlib
import runpy
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmlp import check_gradients
from jaxmlp.verification import oracles

pytestmark = pytest.mark.portable

RNG = np.random.default_rng(0)
X, Y = (RNG.normal(size=shape).astype(np.float32) for shape in ((9, 3), (9,)))
PARAMS = {"w": RNG.normal(size=3).astype(np.float32), "b": np.zeros((), np.float32)}
W = PARAMS["w"]


def loss(params, x, y):
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)


def gradient(params, x, y):
    error = 2 * (x @ params["w"] + params["b"] - y) / len(y)
    return {"w": x.T @ error, "b": jnp.sum(error)}


def test_a_right_gradient_passes_by_every_method_and_leaves_are_named_by_their_path():
    report = check_gradients(loss, PARAMS, X, Y, gradient=gradient)
    report.raise_if_wrong()
    names = {finding.name for finding in report.findings}
    assert names == {"['b']", "['w']"}
    methods = {finding.oracle for finding in report.findings}
    assert methods == {"jax.grad", "jax.grad in float64", "central differences", "adjoint identity"}
    assert not report.unchecked
    assert repr(report).startswith("Gradients of loss, float32, cpu")


def test_a_wrong_leaf_is_named_and_no_other():
    def wrong(*args):
        return gradient(*args) | {"w": 1.01 * gradient(*args)["w"]}

    report = check_gradients(loss, PARAMS, X, Y, gradient=wrong)
    assert {finding.name for finding in report.wrong} == {"['w']"}
    assert "WRONG ['w']: wrong by " in str(report)
    with pytest.raises(AssertionError, match=r"\['w'\]"):
        report.raise_if_wrong()


def custom(factor):
    """The sine of each entry with a `custom_vjp`, right for a factor of 1."""
    f = jax.custom_vjp(lambda x: jnp.sin(x))
    f.defvjp(lambda x: (jnp.sin(x), x), lambda x, u: (factor * u * jnp.cos(x),))
    return f


def test_a_custom_vjp_is_checked_though_it_has_no_forward_mode():
    check_gradients(custom(1.0), W).raise_if_wrong()
    report = check_gradients(custom(1.01), W)
    assert {finding.oracle for finding in report.wrong} == {"central differences"}
    assert [finding.oracle for finding in report.findings] == ["itself in float64", "central differences"]


def test_a_reference_adds_autodiff_forward_mode_and_its_value():
    check_gradients(custom(1.0), W, reference=jnp.sin).raise_if_wrong()
    report = check_gradients(custom(1.0), W, reference=lambda x: 1.01 * jnp.sin(x))
    assert "value" in {finding.name for finding in report.wrong}
    report = check_gradients(custom(1.01), W, reference=jnp.sin)
    assert {"jax.grad of reference", "adjoint identity"} <= {finding.oracle for finding in report.wrong}


def test_the_vector_jacobian_product_of_a_tree_is_checked_in_every_part():
    def tree(w, x):
        return {"small": jnp.sin(w), "large": 1e6 * (x @ w), "count": jnp.arange(3)}

    def pull(factor):
        return lambda w, x, u: factor * jnp.cos(w) * u["small"] + 1e6 * u["large"] @ x

    check_gradients(tree, W, X, gradient=pull(1.0)).raise_if_wrong()
    assert not check_gradients(tree, W, X, gradient=pull(1.01)).ok


class State(NamedTuple):
    a: np.ndarray
    index: np.ndarray
    is_on: np.ndarray
    name: str


def test_leaves_that_are_no_floats_are_held_fixed_and_argnums_may_be_several():
    state = State(X, np.array([1, 1, 4]), np.array([True, False, True]), "any")
    report = check_gradients(
        lambda s, t: jnp.sum(s.a[s.index] ** 2 * s.is_on[:, None].astype(float)) * t, state, 2.0, argnums=(0, -1)
    )
    report.raise_if_wrong()
    assert {finding.name for finding in report.findings} == {"[0].a", "[1]"}


def scanned(w):
    return jnp.sum(jax.lax.scan(lambda h, x: (jnp.tanh(w * h + x),) * 2, jnp.zeros(3, w.dtype), X.astype(w.dtype))[1])


def whiled(w):
    return jnp.sum(jax.lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, jnp.sin(s[1])), (0, w))[1])


KEY = jax.random.key(0)
FUNCTIONS = {
    "scan": (scanned, None),
    "while": (whiled, lambda w: jnp.cos(jnp.sin(w)) * jnp.cos(w)),
    "cond": (lambda w: jax.lax.cond(w[0] > 0, jnp.sin, jnp.cos, w), None),
    "sort": (lambda w: jnp.sort(w) * jnp.arange(3, dtype=w.dtype), None),
    "random numbers": (lambda w: jax.random.normal(KEY, (3,)) * w**2, None),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_loops_branches_sorting_and_random_numbers(name):
    function, by_hand = FUNCTIONS[name]
    with jax.numpy_dtype_promotion("standard"):
        check_gradients(function, W, gradient=by_hand).raise_if_wrong()


@pytest.mark.extended
def test_random_numbers_that_differ_in_float64_are_checked_in_float32():
    noise = jax.random.normal(KEY, (3,))

    def fun(w):
        return jnp.sum(jax.random.normal(KEY, (3,)).astype(w.dtype) * w**2)

    report = check_gradients(fun, W, gradient=lambda w: 2 * noise * w)
    report.raise_if_wrong()
    assert "float64" in report.remarks[0]
    assert "central differences in float32" in {finding.oracle for finding in report.findings}
    assert not check_gradients(fun, W, gradient=lambda w: 2.02 * noise * w).ok


def test_a_function_of_float32_only_is_checked_with_a_tolerance_for_rounding():
    def fun(w):
        assert w.dtype == jnp.float32
        return jnp.sum(custom(1.0)(w))

    check_gradients(fun, W).raise_if_wrong()
    assert not check_gradients(fun, W, gradient=lambda w: 1.01 * jnp.cos(w)).ok


KINKS = {
    "absolute value": (lambda x: jnp.abs(x), lambda x, t: jnp.where(x == 0, 2 * t - 1, jnp.sign(x))),
    "hard tanh": (jax.nn.hard_tanh, lambda x, t: jnp.where(abs(x) == 1, t, abs(x) < 1)),
    "leaky relu": (jax.nn.leaky_relu, lambda x, t: jnp.where(x == 0, 0.01 + 0.99 * t, jnp.where(x < 0, 0.01, 1))),
}


def test_at_a_kink_a_value_between_the_one_sided_slopes_is_right_and_no_other():
    tree = dict.fromkeys(KINKS, np.array([0, 1, -1, 0.3], np.float32))

    def fun(tree):
        return sum(jnp.sum(KINKS[name][0](x)) for name, x in tree.items())

    def wrong_leaves(t):
        def by_hand(tree):
            return {name: jnp.asarray(KINKS[name][1](x, t), x.dtype) for name, x in tree.items()}

        report = check_gradients(fun, tree, gradient=by_hand)
        return {finding.name[2:-2] for finding in report.wrong}

    with jax.numpy_dtype_promotion("standard"):
        assert wrong_leaves(0.0) == wrong_leaves(0.5) == wrong_leaves(1.0) == set()
        assert wrong_leaves(1.5) == wrong_leaves(-0.02) == set(KINKS)


@pytest.mark.extended
@pytest.mark.parametrize("scale", [1e-20, 1e12])
def test_very_small_and_very_large_numbers(scale):
    x = X * np.float32(scale)
    check_gradients(lambda x: jnp.sum(jnp.sin(x / scale)), x).raise_if_wrong()
    wrong = check_gradients(
        lambda x: jnp.sum(jnp.sin(x / scale)), x, gradient=lambda x: 1.01 / scale * jnp.cos(x / scale)
    )
    assert not wrong.ok


@pytest.mark.extended
def test_bfloat16_empty_leaves_and_gradients_of_zero_are_no_false_alarms():
    def cast(tree):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), tree)

    with jax.numpy_dtype_promotion("standard"):
        check_gradients(loss, *cast((PARAMS, X, Y)), gradient=gradient).raise_if_wrong()
    tree = {"x": W, "empty": np.zeros((0, 3), np.float32), "unused": X}
    report = check_gradients(lambda t: jnp.sum(t["x"] ** 2) + jnp.sum(t["empty"]), tree)
    report.raise_if_wrong()
    assert {finding.name for finding in report.findings} == {"['x']", "['unused']"}
    shift = check_gradients(lambda b: -jax.nn.log_softmax(Y + b)[0], np.float32(0.3))
    shift.raise_if_wrong()
    assert shift.unchecked == ("argument",)
    assert "no method decides" in str(shift)


@pytest.mark.extended
@pytest.mark.parametrize("small", [oracles._SMALL, 0], ids=["small", "large"])
def test_a_number_that_is_not_finite_in_the_gradient_is_wrong(monkeypatch, small):
    monkeypatch.setattr(oracles, "_SMALL", small)
    w = np.where(np.arange(50) == 40, 0, 1).astype(np.float32)
    assert not check_gradients(lambda w: jnp.sum(jnp.where(w > 0, jnp.sqrt(w), 0)), w).ok


def cubed(slope):
    f = jax.custom_vjp(lambda w: jnp.sum(w**3))
    f.defvjp(lambda w: (f(w), w), lambda w, u: (u * slope(w),))
    return f


def test_order_2_finds_a_gradient_that_is_right_but_differentiates_to_something_wrong():
    check_gradients(cubed(lambda w: 3 * w**2), W, order=2).raise_if_wrong()
    wrong = cubed(lambda w: 3 * w * jax.lax.stop_gradient(w))
    assert check_gradients(wrong, W).ok
    report = check_gradients(wrong, W, order=2)
    assert {finding.name for finding in report.wrong} == {"Hessian-vector product argument"}


@pytest.mark.extended
def test_arrays_on_several_devices():
    mesh = jax.make_mesh((4,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
    x, y = (jax.device_put(np.tile(a[:4], (2,) + (1,) * (a.ndim - 1)), rows) for a in (X, Y))

    def fun(params, x, y):
        part = jax.shard_map(
            lambda x, y, w: jax.lax.psum(jnp.sum((x @ w - y) ** 2), "rows"),
            mesh=mesh,
            in_specs=(rows.spec, rows.spec, jax.sharding.PartitionSpec()),
            out_specs=jax.sharding.PartitionSpec(),
        )
        return part(x, y, params)

    check_gradients(fun, W, x, y).raise_if_wrong()
    assert not check_gradients(fun, W, x, y, gradient=lambda w, x, y: 2.02 * x.T @ (x @ w - y)).ok


MISTAKES = [
    (TypeError, "fun must be a function", lambda: check_gradients(3, W)),
    (TypeError, "gradient must be a function", lambda: check_gradients(jnp.sum, W, gradient=W)),
    (TypeError, "argnums must be an int", lambda: check_gradients(jnp.sum, W, argnums="w")),
    (ValueError, "argnums must be positions", lambda: check_gradients(jnp.sum, W, argnums=1)),
    (ValueError, "order must be 1 or 2", lambda: check_gradients(jnp.sum, W, order=3)),
    (ValueError, "to differentiate", lambda: check_gradients(jnp.sum, np.arange(3))),
    (TypeError, "complex", lambda: check_gradients(lambda w: jnp.sum(abs(w)), W + 1j)),
    (TypeError, "fun must return a float", lambda: check_gradients(jnp.argmax, W)),
    (TypeError, r"must work under jax\.jit", lambda: check_gradients(lambda w: w if w[0] > 0 else -w, W)),
    (TypeError, r"must work under jax\.jit", lambda: check_gradients(jnp.sum, W, gradient=np.ones_like)),
    (ValueError, "must be finite", lambda: check_gradients(lambda w: jnp.sum(jnp.log(-abs(w))), W)),
    (ValueError, "Reverse-mode", lambda: check_gradients(whiled, W)),
    (
        ValueError,
        r"no leaf \['b'\]",
        lambda: check_gradients(loss, PARAMS, X, Y, gradient=lambda p, x, y: {"w": p["w"]}),
    ),
    (ValueError, r"must have shape \(9, 3\)", lambda: check_gradients(jnp.sum, X, gradient=jnp.transpose)),
]


@pytest.mark.parametrize(("error", "message", "call"), MISTAKES, ids=[message for _, message, _ in MISTAKES])
def test_what_cannot_be_checked_says_why(error, message, call):
    with pytest.raises(error, match=message):
        call()


@pytest.fixture(scope="module")
def bench():
    folder = str(pathlib.Path(__file__).parent.parent / "bench")
    sys.path.insert(0, folder)
    try:
        yield runpy.run_path(f"{folder}/gradient_checks.py")
    finally:
        sys.path.remove(folder)


def test_a_sample_of_the_planted_faults_is_caught(bench):
    model = bench["make_models"]()["softmax"]()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert bench["catches"](model, 21)


@pytest.mark.slow
def test_the_faults_of_each_model_are_caught(bench):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for name, make in bench["make_models"]().items():
            if name in ("mlp flax", "mlp equinox"):
                pytest.importorskip(name.split()[1])
            model = make()
            assert all(bench["catches"](model, fault) for fault in range(30)), name


@pytest.mark.slow
def test_right_gradients_are_no_false_alarms_and_second_order_faults_are_caught(bench):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        pytest.importorskip("flax")
        pytest.importorskip("equinox")
        checks = list(bench["right_gradients"]())
        assert len(checks) == 100
        assert [name for name, check in checks if not check().ok] == []
        for name, wrong, right in bench["second_order_faults"]():
            assert not wrong().ok, name
            assert right().ok, name


@pytest.mark.extended
def test_wrong_labels_are_among_the_rows_that_pull_hardest(bench):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert bench["enrichment"](2000) > 10
