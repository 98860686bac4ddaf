"""`jaxmlp export`: a file that JAX alone can run, with the numbers of `jaxmlp predict`."""

import json

import jax
import numpy as np
import polars
import pytest

import jaxmlp
from jaxmlp.cli import main
from jaxmlp.tables import learn_recipe

FRAME = polars.DataFrame({"rooms": [1.0, 2.0, None, 4.0], "kind": ["a", "b", "b", "a"], "price": [3.0, 1.0, 2.0, 5.0]})


@pytest.fixture
def model(tmp_path):
    recipe = learn_recipe(FRAME, "price")
    params = jaxmlp.init_ensemble(jax.random.key(0), (recipe.n_inputs, 3, 1), 2)
    path = tmp_path / "houses.safetensors"
    jaxmlp.save_model(jaxmlp.Model(params, jaxmlp.tanh, recipe=recipe), path)
    return path


def test_a_model_is_exported_with_the_units_of_its_table(model, capsys):
    pytest.importorskip("flatbuffers")
    from jax import export

    out = model.with_suffix(".bin")
    assert main(["export", str(model), "-o", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == ["rooms", "rooms is missing", "kind is a", "kind is b"]
    exported = export.deserialize(bytearray(out.read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    x = np.array([[1, 0, 1, 0], [2, 0, 0, 1], [7 / 3, 1, 0, 1], [4, 0, 1, 0]], np.float32)
    np.testing.assert_allclose(exported.call(x), jaxmlp.predict(jaxmlp.load_model(model), FRAME), rtol=1e-5)

    assert main(["export", str(model), "-o", str(out), "--platforms", "cpu", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["platforms"] == ["cpu"]
    assert len(printed["inputs"]) == 4


def test_it_refuses_in_one_line(model, capsys):
    pytest.importorskip("flatbuffers")
    out = str(model.with_name("out"))
    calls = {
        "does not name platforms": [str(model), "-o", out, "--platforms", "cpu,gpu"],
        "cannot read": [str(model.with_name("none")), "-o", out],
        "that is the model to read": [str(model), "-o", str(model)],
        "no such directory": [str(model), "-o", str(model.parent / "nowhere" / "out")],
    }
    for message, call in calls.items():
        try:
            code = main(["export", *call])
        except SystemExit as end:
            code = end.code
        error = capsys.readouterr().err
        assert code == 2
        assert message in error
        assert error.count("\n") == 1
