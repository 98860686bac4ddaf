"""`jaxmlp export`: a file that JAX alone can run, with the predictions of `jaxmlp predict`."""

import json
import pathlib

import jax
import numpy as np
import polars
import pytest

import jaxmlp
from jaxmlp.fitting.encoding import learn_encoding, stack_encodings
from jaxmlp.fitting.groups import Group
from jaxmlp.fitting.scaling import Scaling, learn_scaling
from jaxmlp.fitting.targets import TargetScaling
from jaxmlp.models.model import predict_frame
from jaxmlp.tables import learn_recipe

pytest.importorskip("flatbuffers")

FRAME = polars.DataFrame({"rooms": [1.0, 2.0, None, 4.0], "kind": ["a", "b", "b", "a"]})
TARGETS = {"price": [3.0, 1.0, 2.0, 5.0], "sold": [True, False, True, True]}
INPUTS = ["rooms", "rooms is missing", "kind is a", "kind is b"]
# The table as these inputs, in their own unit; a missing value is the mean.
X = np.array([[1, 0, 1, 0], [2, 0, 0, 1], [7 / 3, 1, 0, 1], [4, 0, 1, 0]])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A user's directory."""
    monkeypatch.chdir(tmp_path)


def make_model(target="price", dtype=np.float32):
    """Two networks and a linear model, which scale their inputs, and for numbers the target.

    The two networks encode their inputs, each in its own bins; for numbers, their target is a logarithm with bounds.
    For classes, the model has a temperature.
    """
    recipe = learn_recipe(FRAME.with_columns(polars.Series(target, TARGETS[target])), target)
    groups = []
    scaled = learn_scaling(X).apply(X)
    encoding = stack_encodings([learn_encoding(scaled, 3), learn_encoding(scaled[1:], 3, np.array([0]))])
    bounded = TargetScaling(Scaling(np.array([7.0]), np.array([2.0])), is_log=True, low=900.0, high=1300.0)
    for members, hidden, weights in ((2, (3,), (0.3, 0.5)), (1, (), (0.2,))):
        is_encoded = bool(hidden)
        sizes = (7 if is_encoded else 4, *hidden, recipe.n_outputs)
        params = jaxmlp.init_ensemble(jax.random.key(members), sizes, members)
        params = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), params)
        parts = (encoding, bounded if target == "price" else None) if is_encoded else ()
        groups.append(Group(params, np.array(weights), (jaxmlp.tanh,) * len(hidden), learn_scaling(X), *parts))
    if target == "price":
        scaling = Scaling(np.array([1000.0]), np.array([0.01]))
        return jaxmlp.Model(tuple(groups), recipe=recipe, target=scaling)
    return jaxmlp.Model(tuple(groups), criterion=jaxmlp.softmax_cross_entropy, recipe=recipe, temperature=2.0)


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def saved(model):
    jaxmlp.save_model(model, "model")
    return model


def load(path):
    return jax.export.deserialize(bytearray(pathlib.Path(path).read_bytes()))


@pytest.mark.extended
def test_a_model_is_exported_with_the_units_of_its_table(saved, command):
    code, out, err = command("export", "model", "-o", "program")
    assert (code, out) == (0, INPUTS)
    exported = load("program")
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert err[0] == f"Exported: program, {pathlib.Path('program').stat().st_size} bytes, for cpu, cuda, tpu. " + (
        "To run it, with JAX alone:"
    )
    assert "call(x)  # x (n, 4), float32" in err[1]
    expected = jaxmlp.predict(saved, FRAME)
    assert np.ptp(expected) > 1  # in the unit of the target
    clipped = [finding for finding in predict_frame(saved, FRAME)[2] if "clipped" in finding.text]
    assert 0 < clipped[0].rows.sum() < len(X)
    np.testing.assert_allclose(exported.call(X.astype(np.float32)), expected, rtol=1e-5)


def test_json_names_platforms_and_inputs(saved, command):
    code, (line,), _ = command("export", "model", "-o", "program", "--platforms", "cpu", "--json")
    assert code == 0
    assert json.loads(line) == {"file": "program", "platforms": ["cpu"], "inputs": INPUTS, "classes": []}


@pytest.mark.extended
def test_the_outputs_of_a_classification_are_probabilities(command):
    model = make_model("sold")
    jaxmlp.save_model(model, "model")
    _, out, err = command("export", "model", "-o", "program", "--platforms", "cpu")
    assert (out, err[0]) == (INPUTS, "Outputs: the probabilities of false, true")
    probabilities = load("program").call(X.astype(np.float32))
    np.testing.assert_allclose(probabilities, jaxmlp.predict(model, FRAME), rtol=1e-5)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, rtol=1e-6)


@pytest.mark.extended
def test_a_model_of_float64_is_exported_in_float64(command):
    with jax.enable_x64(True):
        model = make_model(dtype=np.float64)
        jaxmlp.save_model(model, "model")
    assert command("export", "model", "-o", "program", "--platforms", "cpu")[0] == 0
    with jax.enable_x64(True):
        expected = jaxmlp.predict(model, FRAME)
        np.testing.assert_allclose(load("program").call(X), expected, rtol=1e-12)


def test_only_an_exported_model_is_overwritten(saved, command):
    line = ("export", "model", "-o", "program", "--platforms", "cpu")
    assert [command(*line)[0] for _ in range(2)] == [0, 0]
    for content in (pathlib.Path("model").read_bytes(), b"rooms,price", b""):
        pathlib.Path("program").write_bytes(content)
        code, out, err = command(*line)
        assert (code, out) == (2, [])
        assert "-o program: the file exists and is no exported model; choose another name" in err[0]
        assert pathlib.Path("program").read_bytes() == content


def test_a_column_that_float32_cannot_hold_is_named_in_one_line(command):
    # Unix times of a minute, which the networks see in float64.
    frame = polars.DataFrame({"kind": ["a", "b", "b", "a"], "time": 1.7e9 + np.array([1.0, 20, 30, 60])})
    recipe = learn_recipe(frame.with_columns(price=polars.Series(TARGETS["price"])), "price")
    params = jaxmlp.init_ensemble(jax.random.key(0), (3, 1), 2)
    group = Group(params, np.full(2, 0.5), (), learn_scaling(recipe.inputs(frame)[0]))
    jaxmlp.save_model(jaxmlp.Model((group,), recipe=recipe), "model")
    code, out, (line,) = command("export", "model", "-o", "program")
    assert (code, out) == (2, [])
    assert (
        "column 'time' has values near 1.7e+09 that differ by about 21.3, and float32 rounds them by up to 1e+02"
        in line
    )
    assert not pathlib.Path("program").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model", "-o", "program", "--platforms", "cpu,gpu"], "does not name platforms"),
        (["none", "-o", "program"], "cannot read none: No such file or directory"),
        (["model", "-o", "./model"], "-o model: that is the model to read"),
        (["model", "-o", "no/program"], "-o no/program: no such directory"),
        (["model", "-o", "."], "-o .: that is a directory"),
        (["model", "-o", "/proc/program"], "-o: cannot write /proc/program: "),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(saved, command, words, message):
    code, out, err = command("export", *words)
    assert (code, out) == (2, [])
    (line,) = err
    assert line.startswith("jaxmlp export: ")
    assert message in line
    assert [path.name for path in pathlib.Path().iterdir()] == ["model"]
