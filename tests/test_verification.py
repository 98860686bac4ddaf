"""check_network: right gradients pass, wrong ones are caught and named."""

import functools
import itertools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALL_ACTIVATIONS, ALL_CRITERIA, problem

import jaxmlp
from jaxmlp._validation import validate
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.backprop import backpropagate
from jaxmlp.criteria import CRITERIA
from jaxmlp.verification import network, oracles
from jaxmlp.verification.differences import FEW, STEPS, measure_slopes, offsets
from jaxmlp.verification.judging import Claim, find
from jaxmlp.verification.network import check_validated, network_functions

pytestmark = pytest.mark.portable

SIN = jaxmlp.Activation(jnp.sin, jnp.cos)
QUARTIC = jaxmlp.Criterion(lambda o, y: jnp.sum((o - y) ** 4, axis=1), lambda o, y: 4 * (o - y) ** 3)
ORACLES = {"jax.grad", "central differences", "adjoint identity"}


def check(problems, activation=jaxmlp.relu, criterion=jaxmlp.squared_error):
    """Reports on networks with the same activations and criterion; those of the same shapes share their programs."""
    validated = [validate(*problem, activation, criterion) for problem in problems]
    functions = network_functions(lambda: (*validated[0][-1], criterion))
    return [check_validated(functions, [(params, (x, y, c))])[0] for params, x, y, c, _ in validated]


def wrong_names(report):
    return {finding.name for finding in report.wrong}


def test_right_gradients_pass_in_each_dtype_and_every_oracle_checks_every_leaf():
    with jax.enable_x64(True):
        problems = [problem((3, 5, 4, 2), dtype=dtype) for dtype in ("bfloat16", "float32", "float64")]
        reports = check(problems, (SIN, jaxmlp.tanh), QUARTIC)
    for report, dtype in zip(reports, ("bfloat16", "float32", "float64"), strict=True):
        report.raise_if_wrong()
        assert report.ok
        assert (report.dtype, report.sizes, report.rows) == (dtype, (3, 5, 4, 2), 7)
        checked = {(finding.name, finding.oracle) for finding in report.findings}
        leaves = [f"params[{k}].{leaf}" for k in range(3) for leaf in "wb"]
        oracles = ORACLES | (set() if dtype == "float64" else {"jax.grad in float64"})
        derivatives = ["activation[0].derivative", "activation[1].derivative", "criterion.derivative"]
        assert checked == set(itertools.product(leaves, oracles)) | set(
            itertools.product(derivatives, ["jax.grad", "central differences"])
        )
        assert all(finding.checked for finding in report.findings)
        assert not any(finding.undecided for finding in report.findings)
        entries = {f.name: f.checked for f in report.findings if f.oracle == "central differences"}
        assert entries["params[1].w"] == 20, "each entry of a small network"
        assert repr(report).endswith("All within their bounds")
    rounding = [report.rounding for report in reports]
    assert 0.1 > rounding[0] > 1e-4 > 1e-5 > rounding[1] > 1e-9 > rounding[2]


def mutate(monkeypatch, factor=1.001):
    """Multiply the leaf whose number is x[0, 0] by a factor; no leaf if that is negative."""

    def mutant(params, x, *rest):
        value, grads = backpropagate(params, x, *rest)
        leaves, structure = jax.tree.flatten(grads)
        scaled = [
            jnp.where(jnp.round(x[0, 0]) == k, jnp.asarray(factor, leaf.dtype), 1) * leaf
            for k, leaf in enumerate(leaves)
        ]
        return value, jax.tree.unflatten(structure, scaled)

    monkeypatch.setattr(network, "backpropagate", mutant)


def check_mutants(activation, criterion, depth):
    """Assert that each oracle finds the mutated leaf of a network and no other; return the reports."""
    mutants = [problem((3, *(4,) * (depth - 1), 2), criterion=criterion, dtype="float64") for _ in range(2 * depth + 1)]
    for k, (_, x, *_) in enumerate(mutants, start=-1):
        x[0, 0] = k
    with jax.enable_x64(True):
        reports = check(mutants, ACTIVATIONS[activation], CRITERIA[criterion])
    for k, report in enumerate(reports, start=-1):
        wrong = {(finding.name, finding.oracle) for finding in report.wrong}
        name = f"params[{k // 2}].{'wb'[k % 2]}"
        assert wrong == (set() if k < 0 else {(name, oracle) for oracle in ORACLES})
    return reports


def test_a_leaf_times_1_001_is_caught_by_each_oracle_and_no_other_leaf_is_wrong(monkeypatch):
    mutate(monkeypatch)
    check_mutants("tanh", "softmax_cross_entropy", 3)
    check_mutants("relu", "softmax_cross_entropy", 2)


@pytest.mark.slow
def test_a_leaf_times_1_001_is_caught_in_every_configuration_of_the_grid(monkeypatch):
    mutate(monkeypatch)
    for configuration in itertools.product(ALL_ACTIVATIONS, ALL_CRITERIA, [1, 2, 4]):
        check_mutants(*configuration)


@pytest.mark.extended
def test_a_leaf_times_1_001_is_caught_along_random_directions_of_a_larger_network(monkeypatch):
    mutate(monkeypatch)
    monkeypatch.setattr(oracles, "_SMALL", 0)
    reports = check_mutants("tanh", "squared_error", 2)
    (finding,) = (finding for finding in reports[1].wrong if finding.oracle == "central differences")
    assert (finding.where, finding.checked) == (None, 4)
    assert "along a random direction" in str(finding)


LARGE, ROWS = (10, 1024, 1024, 1), 1000


def shapes(sizes, n):
    """Return the loss of a network and the shapes of its arguments."""
    of = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float64)
    params = tuple(jaxmlp.Layer(of((i, o)), of((1, o))) for i, o in itertools.pairwise(sizes))
    functions = network_functions(lambda: (*[jaxmlp.tanh] * (len(sizes) - 2), QUARTIC))
    return functions.value, params, (of((n, sizes[0])), of((n, sizes[-1])), of((n,)))


def test_a_larger_network_is_varied_along_fewer_directions_so_that_the_work_stays_constant():
    def plan(sizes, n):
        value, *arrays = shapes(sizes, n)
        work, _ = oracles.measure(value, *arrays)
        return oracles.count_parts([leaf.size for leaf in jax.tree.leaves(arrays[0])], work)

    with jax.enable_x64(True):
        assert plan((3, 32, 1), 100) == [96, 32, 32, 1], "the entries"
        assert plan((10, 100, 100, 1), 1000) == [4, 4, 4, 4, 4, 1]
        assert plan((10, 200, 200, 1), 3000) == [2, 2, 2, 2, 2, 1]
        assert plan(LARGE, ROWS) == [1] * 6


def test_a_large_network_is_checked_in_a_loop_to_save_memory():
    with jax.enable_x64(True):
        value, params, rest = shapes(LARGE, ROWS)
        leaves = jax.tree.leaves(params)
        base = jax.ShapeDtypeStruct((sum(leaf.size for leaf in leaves),), jnp.float64)
        program = jax.jit(oracles.step_along, static_argnums=0, compiler_options=oracles.UNOPTIMIZED)
        lowered = program.lower(value, params, rest, base, np.zeros((len(leaves), 2), int), offsets(FEW))
        memory = lowered.compile().memory_analysis()
    assert memory.temp_size_in_bytes < 30 * 8 * ROWS * 1024, "thirty layers of pre-activations"


@pytest.mark.slow
def test_a_leaf_times_1_001_is_caught_in_a_large_network(monkeypatch):
    mutate(monkeypatch)
    params, x, y, weights = problem(LARGE, ROWS)
    x[0, 0] = 2
    report = jaxmlp.check_network(params, x, y, weights, activation=jaxmlp.tanh)
    assert {(finding.name, finding.oracle) for finding in report.wrong} == set(
        itertools.product(["params[1].w"], [*ORACLES, "jax.grad in float64"])
    )


def test_the_report_names_the_wrong_derivative_and_says_by_how_much_and_where():
    wrong_activation = jaxmlp.Activation(jnp.tanh, lambda h: 1 - jnp.tanh(h) ** 2 + jnp.where(h > 0.5, 0.1, 0))
    wrong_criterion = jaxmlp.Criterion(QUARTIC.fn, lambda o, y: 3.9 * (o - y) ** 3)
    params, x, y, weights = problem((3, 4, 4, 2))
    (first,) = check([(params, x, y, weights)], (jaxmlp.tanh, wrong_activation), QUARTIC)
    (second,) = check([(params, x, y, weights)], jaxmlp.tanh, wrong_criterion)
    below = {f"params[{k}].{leaf}" for k in range(2) for leaf in "wb"}
    assert wrong_names(first) == {"activation[1].derivative"} | below
    finding = first.wrong[0]
    assert finding.name == "activation[1].derivative"
    assert finding.at > 0.5
    assert finding.actual - finding.expected == pytest.approx(0.1)
    assert str(finding).startswith(f"activation[1].derivative: wrong by 0.1 at h = {finding.at:.6g}, entry ")
    with pytest.raises(jaxmlp.GradientError, match=r"activation\[1\].derivative: wrong by 0.1 at h = "):
        first.raise_if_wrong()
    assert "WRONG activation[1].derivative" in repr(first) == str(first)
    with pytest.raises(AssertionError) as failure:
        first.raise_if_wrong()
    assert str(failure.value).endswith(repr(first)), "pytest shows the table"

    assert wrong_names(second) == {"criterion.derivative"} | below | {"params[2].w", "params[2].b"}
    assert str(second.wrong[0]).startswith("criterion.derivative: wrong by ")
    assert issubclass(jaxmlp.GradientError, AssertionError)


def test_kinks_are_recognised_and_reported_and_hide_no_error(monkeypatch):
    mutate(monkeypatch)

    def kinky(k, offset):
        params, x, y, _ = problem((3, 4, 2))
        x[0], x[2] = (k, 0, 0), 0  # row 2: every pre-activation is the bias
        return (jaxmlp.Layer(params[0].w, np.full((1, 4), offset, np.float32)), params[1]), x, y, None

    at, near, mutant_w, mutant_b = check([kinky(-1, 0), kinky(-1, 1e-7), kinky(0, 0), kinky(1, 0)])
    at.raise_if_wrong()
    near.raise_if_wrong()
    differences = [finding for finding in at.findings if finding.oracle == "central differences"]
    undecided = {finding.name: finding.undecided for finding in differences if finding.undecided}
    assert undecided == {"activation[0].derivative": 4, "params[0].b": 4}
    assert "params[0].b: 4 of 4 are undecided by central differences: at or near a kink" in str(at)
    (row,) = (line for line in str(at).splitlines() if line.startswith("params[0].b  "))
    assert "undecided" in row
    assert not any(finding.undecided for finding in near.findings), "a shorter step ends before the kink"
    for report, name in ((mutant_w, "params[0].w"), (mutant_b, "params[0].b")):
        wrong = {(finding.name, finding.oracle) for finding in report.wrong}
        assert wrong == set(itertools.product([name], [*ORACLES, "jax.grad in float64"]))


def test_the_slopes_at_a_kink_are_both_and_near_it_that_of_its_side():
    places = np.concatenate([[0.0], *(sign * np.geomspace(1e-12, 1e-2, 601) for sign in (1, -1))])
    low, high, doubt = measure_slopes(np.abs(offsets(STEPS)[:, None] - places[None]), STEPS, 1e-15)
    assert (low[0], high[0]) == (-1, 1)
    assert (doubt < 0.1).all()
    slope = np.where(places < 0, 1, -1)
    assert (abs(slope - np.clip(slope, low, high)) <= doubt).all()
    width = high - low
    assert (width[np.abs(places) > 1e-7] < 1e-9).all(), "a step shorter than the distance is chosen"
    assert (width[np.abs(places) < 1e-9] > 1.9).all()


def test_a_minimum_where_the_rows_cancel_is_no_false_alarm():
    _, x, y, _ = problem((3, 2), n=12, dtype="float64")
    solution = np.linalg.lstsq(np.column_stack([x, np.ones(12)]), y)[0]
    with jax.enable_x64(True):
        (report,) = check([((jaxmlp.Layer(solution[:3], solution[3:]),), x, y, None)])
    report.raise_if_wrong()
    assert all(
        abs(finding.actual) < 1e-12
        for finding in report.findings
        if finding.oracle == "jax.grad" and "params" in finding.name
    )


def test_large_targets_that_round_the_loss_are_no_false_alarm():
    params, x, y, weights = problem((3, 4, 1), dtype="float64")
    with jax.enable_x64(True):
        reports = check([(params, x, y, weights) for y in (y + 1e6, 1e4 * y)])
    for report in reports:
        report.raise_if_wrong()


def test_the_configuration_of_other_threads_stays_and_the_effect_of_the_default_precision_is_reported(monkeypatch):
    def record(configurations):
        configurations.append((str(jnp.result_type(float)), jax.config.jax_default_matmul_precision))

    def spy(*args):
        record(here)
        thread = threading.Thread(target=record, args=[elsewhere])
        thread.start()
        thread.join()
        # Like a device that rounds at the default precision.
        scale = 1.001 if here[-1][1] == "default" else 1
        return jax.tree.map(lambda leaf: scale * leaf, backpropagate(*args))

    here, elsewhere, before = [], [], []
    record(before)
    monkeypatch.setattr(network, "backpropagate", spy)
    report = jaxmlp.check_network(*problem((3, 2)))
    assert set(here) == {("float64", "highest"), ("float32", "highest"), ("float32", "default")}
    assert set(elsewhere) == set(before) == {("float32", None)}
    record(here)
    assert here[-1] == before[0]

    report.raise_if_wrong()  # The default precision is for information.
    assert 1e-4 < report.default_precision < 2e-3
    change = f"{report.default_precision:.1e} on this device"
    assert f"The default precision of matrix products changes the gradient by {change}" in str(report)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_wrong_even_if_both_sides_agree(bad):
    for by_hand, expected in itertools.product([bad, 1.0], repeat=2):
        pair = np.array([1.0, by_hand]), np.array([1.0, expected])
        finding = find("params[0].b", (2,), Claim("jax.grad", *pair, (1.0, 1.0), 1e-12), np.arange(2))
        assert finding.ok == (by_hand == expected == 1)
        assert finding.ok or finding.where == (1,)


def test_mistakes_in_the_call_raise_as_elsewhere():
    params, x, y, weights = problem()
    with pytest.raises(TypeError, match=r"activation must be a jaxmlp\.Activation"):
        jaxmlp.check_network(params, x, y, activation=jax.nn.relu)
    with pytest.raises(TypeError, match=r"criterion must be a jaxmlp\.Criterion"):
        jaxmlp.check_network(params, x, y, criterion=jnp.square)
    with pytest.raises(ValueError, match="y must have shape"):
        jaxmlp.check_network(params, x, y[:, 0], weights)
    with pytest.raises(ValueError, match="x must have a row"):
        jaxmlp.check_network(params, x[:0], y[:0])
