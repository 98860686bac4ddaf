"""The page: its program is tutorial.py, its data agree with NumPy, and it is one file that asks no network."""

import inspect
import math
import re
import statistics
from functools import partial

import jax
import numpy as np
import pytest
from helpers import relative_error, run
from page import COMMITTED, DATA, data_of
from reference import numpy_epoch, tutorial_problem

import jaxmlp
from jaxmlp import tutorial
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.cli import explain
from jaxmlp.cli.common import Parser
from jaxmlp.cli.tutorial import add_parser, draw, page_options
from jaxmlp.page import build_page, evaluate, list_steps, record
from jaxmlp.page.document import SCRIPTS
from jaxmlp.page.program import FORMULAS
from jaxmlp.verification import grad_every_value

GRADIENTS = [name for name in tutorial.Epoch._fields if name.startswith("grad_")]


def make(sizes=tutorial.SIZES, activation="relu", learning_rate=1e-4, epochs=200):
    """The page of seed 0."""
    recording = record(*draw(0, sizes), activation, learning_rate, epochs)
    words = ["--seed", 0, "--hidden", ",".join(map(str, sizes[1:-1])) or 0, "--activation", activation]
    words += ["--learning-rate", learning_rate, "--epochs", epochs]
    return build_page(recording, page_options(arguments(*words), 0), sizes)


def arguments(*words):
    parser = Parser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["tutorial", *map(str, words)])


@pytest.fixture(scope="module")
def seed_0():
    return make()


def test_the_lines_of_the_page_are_those_of_the_tutorial():
    steps, source = list_steps(tutorial.SIZES), inspect.getsource(tutorial).splitlines()
    assert [step.code for step in steps] == [code for code, _ in explain._page()]
    assert [source[step.line - 1].partition("#")[0].strip() for step in steps] == [step.code for step in steps]


def test_the_formulas_of_the_activations_are_what_they_compute(x64):
    names = {"exp": math.exp, "tanh": math.tanh, "σ": lambda h: 1 / (1 + math.exp(-h))}
    normal = statistics.NormalDist()
    names |= {"Φ": normal.cdf, "φ": normal.pdf}
    for name, activation in ACTIVATIONS.items():
        for h in (-1.5, -0.2, 0.7, 2.0):
            texts = [text.replace("·", "*").replace("²", "**2") for text in FORMULAS[name][:2]]
            values = [eval(text, names | {"h": h}) for text in texts]
            actual = run(partial(lambda f, h: (f(h), f.derivative(h)), activation), np.float64(h))
            np.testing.assert_allclose(actual, values, rtol=1e-12, err_msg=name)


def test_every_line_computes_what_numpy_computes(x64):
    weights, x, y = tutorial_problem()
    given = dict(zip(("x", "y", "w1", "b1", "w2", "b2"), (x, y, *weights), strict=True))
    results = run(partial(evaluate, list_steps(tutorial.SIZES), learning_rate=1e-4), given)
    for name, expected in numpy_epoch(*weights, x, y).items():
        actual = results[f"new_{name}" if name in given else name]
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12, err_msg=name)


def test_the_gradients_of_a_deep_network_are_those_of_backprop_and_of_autodiff(x64):
    activation = "gelu"
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (4, 2), (2, 1)]
    params = tuple(jaxmlp.Layer(rng.normal(size=shape), rng.normal(size=(1, shape[1]))) for shape in shapes)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 1))
    given = (
        {"x": x, "y": y}
        | {f"w{k}": p.w for k, p in enumerate(params, 1)}
        | {f"b{k}": p.b for k, p in enumerate(params, 1)}
    )

    def compute(given, params, x, y):
        f = ACTIVATIONS[activation]
        results = evaluate(list_steps((3, 4, 2, 1), activation), given, 1e-4, activation)
        return results, jaxmlp.manual_grads(params, x, y, activation=f), grad_every_value(params, x, y, f)

    results, by_backprop, (by_grad, at_z, at_a) = run(compute, given, params, x, y)
    for k in range(3):
        for letter in "wb":
            actual = results[f"grad_{letter}{k + 1}"]
            np.testing.assert_allclose(actual, getattr(by_backprop[k], letter), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(actual, getattr(by_grad[k], letter), rtol=1e-12, atol=1e-12)
    for name, expected in zip(("h1", "h2", "y_pred"), at_z, strict=True):
        np.testing.assert_allclose(results[f"grad_{name}"], expected, rtol=1e-12, atol=1e-12)
    for name, expected in zip(("h1", "h2"), at_a, strict=True):
        np.testing.assert_allclose(results[f"grad_{name}_{activation}"], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.extended
def test_the_page_of_seed_0_is_the_one_in_docs(seed_0):
    committed = COMMITTED.read_text(encoding="utf-8")
    assert DATA.sub(r"\1\3", committed) == DATA.sub(r"\1\3", seed_0), "run: " + data_of(committed)["command"]
    new, old = data_of(seed_0), data_of(committed)
    assert list(new) == list(old)
    for group in ("weights", "jax_grad"):
        for name, values in new[group].items():
            # Rounding of float32 over 200 epochs differs among machines.
            assert relative_error(values, old[group][name]) < 1e-3, name
    np.testing.assert_allclose(new["loss64"], old["loss64"], rtol=1e-3)
    for name in ("x", "y"):
        np.testing.assert_allclose(new[name], old[name], rtol=1e-5, atol=1e-6)
    exact = ("steps", "small", "epochs", "sizes", "command", "notes", "seed", "activation", "learning_rate", "version")
    exact += ("formulas", "off", "dead")
    assert {name: new[name] for name in exact} == {name: old[name] for name in exact}


def test_the_page_is_one_small_file_that_asks_no_network(seed_0):
    assert len(seed_0.encode()) <= 1_500_000
    addresses = set(re.findall(r"\w+://[^\"'\s]*", seed_0))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of SVG, which nobody loads
    assert not re.search(r"\b(?:src|srcset|@import|fetch|XMLHttpRequest|WebSocket|import)\b\s*[=(]", seed_0)
    assert set(re.findall(r'href="([^"]*)"', seed_0)) == {"data:,"}
    assert "/* data */" not in seed_0
    assert len(SCRIPTS) == len({*SCRIPTS}) > 5


def test_the_data_of_each_epoch_agree_with_numpy_in_float64(seed_0):
    data = data_of(seed_0)
    assert data["epochs"] == [*range(201)]
    for position in (0, 1, 57, 200):
        weights = [data["weights"][name][position] for name in ("w1", "b1", "w2", "b2")]
        expected = numpy_epoch(*weights, data["x"], data["y"])
        for name, values in data["jax_grad"].items():
            assert relative_error(values[position], expected[name]) < 1e-6, name
        np.testing.assert_allclose(data["loss64"][position], expected["loss"], rtol=1e-12)
        if position:
            np.testing.assert_allclose(data["losses"][position - 1], expected["loss"], rtol=1e-5)
    assert set(data["worst"]) == set(GRADIENTS)
    assert all(values.max() < 1e-12 for values in data["worst"].values())


def test_epoch_57_of_the_page_is_epoch_57_of_explain_and_epoch_0_is_the_start(seed_0):
    data = data_of(seed_0)
    x, y, ((w1, b1), (w2, b2)) = draw(0)
    weights, _ = jax.jit(partial(tutorial.tutorial, epochs=56))((w1, b1, w2, b2), x, y)
    for values, expected, start in zip(data["weights"].values(), weights, (w1, b1, w2, b2), strict=True):
        assert relative_error(values[57], expected) < 1e-6
        np.testing.assert_array_equal(values[0], start)
        np.testing.assert_array_equal(values[0], values[1])


@pytest.fixture(scope="module")
def diverged():
    """A deep network whose learning rate is too large."""
    return data_of(make((3, 8, 4, 1), "tanh", 100.0, 9))


@pytest.mark.extended
def test_a_deep_network_has_numbered_names(diverged):
    assert [step["name"] for step in diverged["steps"]][:3] == ["h1", "h1_tanh", "h2"]
    assert diverged["command"].endswith(
        " --hidden 8,4 --activation tanh --learning-rate 100.0 --epochs 9 --html run.html"
    )
    assert all(values.max() < 1e-12 for values in diverged["worst"].values())


@pytest.mark.extended
def test_a_run_that_diverges_ends_before_its_loss_is_not_finite(diverged):
    (note,) = diverged["notes"]
    first = int(re.fullmatch(r"The loss is not finite from epoch (\d) on; the page shows the epochs before.", note)[1])
    assert diverged["epochs"] == [*range(first)]
    assert all(np.isfinite(values).all() for values in diverged["weights"].values())


@pytest.mark.extended
def test_a_network_of_more_than_64_units_has_losses_and_predictions_and_says_so():
    data = data_of(make((3, 65, 1), epochs=3))
    assert "65 hidden units. The page draws networks of at most 64" in data["notes"][0]
    assert (data["steps"], data["weights"], len(data["predictions"])) == ([], {}, 4 * 100)


@pytest.mark.slow
def test_long_runs_wide_networks_and_runs_of_no_epoch_have_small_pages():
    for sizes, epochs, stride in (((3, 32, 1), 1500, 3), ((3, 32, 32, 1), 200, 3), ((3, 1000, 1), 5000, 3)):
        html = make(sizes, learning_rate=1e-6, epochs=epochs)
        data = data_of(html)
        assert len(html.encode()) <= 1_500_000
        assert data["notes"][-1] == f"To keep the page small, it shows one of {stride} epochs."
        assert data["epochs"] == [0, *range(1, epochs + 1, stride)]
        assert len(data["losses"]) == len(data["epochs"]) - 1
    assert data_of(make(epochs=0))["epochs"] == [0]
    assert data_of(make((3, 1), epochs=2))["sizes"] == [3, 1]


@pytest.mark.extended
def test_the_command_opens_the_page_unless_told_not_to(command, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("jaxmlp.page.record", lambda *_: None)  # Other tests make pages.
    monkeypatch.setattr("jaxmlp.page.build_page", lambda *_: "<!doctype html>")
    path = tmp_path / "run.html"
    code, _, err = command("tutorial", "--seed", 0, "--epochs", 10, "--html", path)
    assert (code, opened) == (0, [path.as_uri()])
    assert f"Page: {path}" in err
    assert path.read_text() == "<!doctype html>"
    command("tutorial", "--seed", 0, "--epochs", 10, "--html", path, "--no-open")
    assert len(opened) == 1
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    code, _, err = command("tutorial", "--seed", 0, "--epochs", 10, "--html", path)
    assert code == 0
    assert "No browser was found: open the page in one." in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--html", "run.txt"], "--html run.txt: the name must end in .html or .htm"),
        (["--html", "no/such/run.html"], "--html no/such/run.html: no such directory"),
        (["--html", "run.html", "--members", "3"], "--html shows one network; leave out --members"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_training(command, words, message):
    assert command("tutorial", *words) == (2, [], [f"jaxmlp tutorial: {message}"])
