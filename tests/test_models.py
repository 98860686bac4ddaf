"""A model predicts what its network says, comes back from disk to the bit, and no file that is not one becomes one."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_equal, problem, run

import jaxmlp
from jaxmlp import Model, load_model, predict, predict_with_std, save_model
from jaxmlp.models import files
from jaxmlp.storage.files import StorageError
from jaxmlp.tables import TableError, as_frame, learn_recipe

SIZES = (3, 5, 2)
PARAMS, X, _, _ = problem(SIZES)
SINE = jaxmlp.Activation(jnp.sin, jnp.cos)
HOUSES = {"rooms": [1, 2, 3, 4.5], "city": ["Rome", "Oslo", None, "Rome"], "price": [1e6, 2e6, 3e6, 5e6]}


def ensemble(dtype="float32", members=3):
    each = [problem(SIZES, dtype=dtype, seed=seed)[0] for seed in range(members)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def house_model(members=None):
    recipe = learn_recipe(as_frame(HOUSES), "price")
    sizes = (recipe.n_inputs, 4, 1)
    params = [problem(sizes, seed=seed)[0] for seed in range(members or 1)]
    params = params[0] if members is None else jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    return Model(params, jaxmlp.tanh, recipe=recipe)


def test_of_an_array_it_predicts_what_the_outputs_mean():
    probabilities = predict(Model(PARAMS, jaxmlp.gelu, jaxmlp.softmax_cross_entropy), X)
    logits = run(lambda x: jaxmlp.forward(PARAMS, x, activation=jaxmlp.gelu), X)
    assert_close(np.asarray(probabilities), np.asarray(jax.nn.softmax(logits, axis=1)))


def test_an_ensemble_predicts_the_average_and_can_say_how_much_it_varies():
    model = Model(ensemble(), jaxmlp.tanh)
    mean, std = predict_with_std(model, X)
    outputs = [predict(Model(problem(SIZES, seed=seed)[0], jaxmlp.tanh), X) for seed in range(3)]
    assert_close(np.asarray(mean), np.mean(outputs, axis=0))
    assert_close(np.asarray(std), np.std(outputs, axis=0))
    assert_equal(predict(model, X), mean)


def test_many_rows_go_through_in_blocks(monkeypatch):
    model = Model(PARAMS, jaxmlp.tanh)
    whole = predict(model, X)
    monkeypatch.setattr("jaxmlp.models.model._BLOCK", 3)
    assert_close(np.asarray(predict(model, X)), np.asarray(whole))
    assert predict(model, X[:0]).shape == (0, 2)


def test_it_predicts_under_jit_and_vmap():
    model = Model(PARAMS, jaxmlp.tanh)
    assert_close(jax.vmap(lambda x: predict(model, x))(jnp.stack([X, 2 * X]))[1], predict(model, 2 * X))


class Pandas:
    """What is used of a pandas DataFrame."""

    class Series(list):
        def tolist(self):
            return list(self)

        def isna(self):
            return [value != value or value is None for value in self]

    def __init__(self, columns):
        self._columns, self.columns = columns, list(columns)

    def __getitem__(self, name):
        return Pandas.Series(self._columns[name])


def test_a_table_of_any_kind_goes_by_the_recipe_to_the_targets_own_unit():
    model = house_model()
    frame = as_frame(HOUSES)
    x, _ = model.recipe.inputs(frame)
    standardised = run(lambda x: jaxmlp.forward(model.params, x, activation=jaxmlp.tanh), x)
    prices = predict(model, frame)
    assert prices.dtype == np.float64
    np.testing.assert_allclose(prices[:, 0], model.recipe.decode(standardised)["prediction"], rtol=1e-6)
    assert prices.max() > 1e5
    gap = {**HOUSES, "city": ["Rome", "Oslo", float("nan"), "Rome"]}
    for table in (HOUSES, {"rooms": np.array(HOUSES["rooms"]), "city": HOUSES["city"]}, Pandas(gap)):
        np.testing.assert_array_equal(predict(model, table), prices)
    assert_close(np.asarray(predict(model, x)), np.asarray(prices, np.float32))


def test_the_spread_of_an_ensemble_is_in_the_targets_unit_too():
    model = house_model(members=3)
    mean, std = predict_with_std(model, HOUSES)
    each = [predict(Model(jax.tree.map(lambda p, k=k: p[k], model.params), jaxmlp.tanh, recipe=model.recipe), HOUSES)
            for k in range(3)]  # fmt: skip
    np.testing.assert_allclose(mean, np.mean(each, axis=0), rtol=1e-5)
    np.testing.assert_allclose(std, np.std(each, axis=0), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("members", [None, 3])
def test_it_comes_back_from_disk_to_the_bit(tmp_path, dtype, members):
    with jax.enable_x64(dtype == "float64"):
        params = problem(SIZES, dtype=dtype)[0] if members is None else ensemble(dtype)
        model = Model(params, (jaxmlp.silu,), jaxmlp.poisson_nll_loss, training={"epochs": 3, "scores": {"rmse": 0.25}})
        path = tmp_path / "model.safetensors"
        save_model(model, path)
        loaded = load_model(path)
    assert_equal(loaded.params, jax.tree.map(jnp.asarray, params) if dtype != "float64" else params)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(loaded.params)} == {dtype}
    assert (loaded.activation, loaded.criterion, loaded.recipe) == ((jaxmlp.silu,), jaxmlp.poisson_nll_loss, None)
    assert (loaded.sizes, loaded.members, loaded.training) == (SIZES, members, model.training)
    assert [each.name for each in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_recipe_comes_back_with_it(tmp_path):
    model = house_model()
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.recipe == model.recipe
    np.testing.assert_array_equal(predict(loaded, HOUSES), predict(model, HOUSES))
    save_model(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


def test_the_file_says_all_of_itself_to_the_safetensors_library(tmp_path):
    import safetensors

    save_model(house_model(), str(tmp_path / "model"))
    with safetensors.safe_open(tmp_path / "model", framework="numpy") as file:
        assert sorted(file.keys()) == ["layers.0.b", "layers.0.w", "layers.1.b", "layers.1.w"]
        about = json.loads(file.metadata()["jaxmlp_model"])
    assert (about["sizes"], about["dtype"], about["activation"]) == ([4, 4, 1], "float32", "tanh")
    assert [column["name"] for column in about["recipe"]["columns"]] == ["rooms", "city"]


def test_a_function_of_your_own_is_asked_for(tmp_path):
    path = tmp_path / "model"
    mine = jaxmlp.Criterion(jaxmlp.huber_loss.fn, jaxmlp.huber_loss.derivative)
    save_model(Model(PARAMS, SINE, jaxmlp.Criterion(mine.fn, mine.derivative, jnp.exp)), path)
    with pytest.raises(StorageError, match=r"activation 'sin' is your own, which no file holds; pass activation="):
        load_model(path)
    with pytest.raises(StorageError, match="pass criterion="):
        load_model(path, activation=SINE)
    assert load_model(path, activation=SINE, criterion=mine).activation is SINE
    save_model(Model(PARAMS), path)
    with pytest.raises(StorageError, match="activation must be relu, with which it was saved"):
        load_model(path, activation=SINE)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Model(PARAMS, jnp.tanh), TypeError, "activation must be a jaxmlp.Activation"),
        (lambda: Model(PARAMS, (jaxmlp.relu,) * 2), ValueError, "a tuple of 1, one for each hidden layer"),
        (lambda: Model(PARAMS, criterion=jnp.square), TypeError, "criterion must be a jaxmlp.Criterion"),
        (lambda: Model([1, 2]), TypeError, "params must be a tuple of jaxmlp.Layer"),
        (lambda: Model(PARAMS, recipe=house_model().recipe), ValueError, r"as the recipe has; got \(3, 2\)"),
        (lambda: predict(Model(PARAMS), HOUSES), TypeError, "the model has no recipe for tables"),
        (lambda: predict(Model(PARAMS), "houses.csv"), TypeError, "read a file with jaxmlp.tables.load_table first"),
        (lambda: predict(Model(PARAMS), X[:, :2]), ValueError, r"x must have shape \(n, fan_in\) = \(n, 3\)"),
        (lambda: predict(house_model(), {"rooms": [1]}), TableError, "no column 'city'"),
        (lambda: predict(house_model(), {"rooms": [1], "city": ["a", "b"]}), TableError, "cannot be used as a table"),
        (lambda: predict_with_std(Model(PARAMS), X), ValueError, "must be an ensemble"),
        (
            lambda: save_model(Model(PARAMS, training={"a": np.inf}), "x"),
            ValueError,
            "training must hold",
        ),
        (lambda: load_model("no/such"), StorageError, "cannot read no/such: No such file or directory"),
    ],
)
def test_what_does_not_fit_is_refused(build, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        build()
    assert not list(tmp_path.iterdir())


def test_float64_needs_x64_and_says_so(tmp_path):
    with jax.enable_x64(True):
        save_model(Model(problem(SIZES, dtype="float64")[0]), tmp_path / "model")
    with pytest.raises(TypeError, match="turn it on first"):
        load_model(tmp_path / "model")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(house_model(), path)
    return path


def test_a_file_cut_short_anywhere_is_refused(saved):
    content = saved.read_bytes()
    for length in range(0, len(content), 7):
        saved.write_bytes(content[:length])
        with pytest.raises(StorageError, match=str(saved)) as refused:
            load_model(saved)
        assert "\n" not in str(refused.value)


def test_a_file_with_any_byte_changed_is_refused_or_a_whole_model(saved):
    content, rng, refused, whole = bytearray(saved.read_bytes()), np.random.default_rng(0), 0, 0
    for place in rng.choice(len(content), size=300, replace=False):
        changed = content.copy()
        changed[place] ^= int(rng.integers(1, 256))
        saved.write_bytes(changed)
        try:
            model = load_model(saved)
        except StorageError as error:
            refused += "\n" not in str(error)
        else:
            whole += [layer.w.shape for layer in model.params] == [(4, 4), (4, 1)]
    assert refused > 50
    assert refused + whole == 300


def test_a_file_of_something_else_is_refused(tmp_path, saved):
    arrays, metadata = files.read_arrays(saved)
    about, other = json.loads(metadata["jaxmlp_model"]), tmp_path / "other"
    changes = [
        ({"version": 2}, "version 2 of the format, written by another jaxmlp; this one: 1"),
        ({"sizes": [4, 5, 1]}, r"its array .* is not what its metadata say"),
        ({"sizes": [4]}, "'sizes' is missing from its metadata, or cannot be"),
        ({"members": 0}, "'members' is missing"),
        ({"dtype": "float16"}, "'dtype' is missing"),
        ({"activation": "eval"}, "'activation' is missing"),
        ({"activation": ["relu", "relu"]}, "a tuple of 1"),
        ({"recipe": {}}, "recipe must be what Recipe.to_json writes"),
        ({"recipe": None, "criterion": None}, "'criterion' is missing"),
    ]
    contents = [({"jaxmlp_model": json.dumps(about | change)}, message) for change, message in changes]
    contents += [({"format": "pt"}, "not a model of jaxmlp"), ({"jaxmlp_model": "[" * 100_000}, "cannot be parsed")]
    for content, message in contents:
        files.write_arrays(other, arrays, content)
        with pytest.raises(StorageError, match=message):
            load_model(other)
    for change in ({"layers.2.w": np.zeros(3)}, {"layers.0.w": arrays["layers.0.w"].astype(np.float64)}):
        files.write_arrays(other, arrays | change, metadata)
        with pytest.raises(StorageError, match="is not what its metadata say"):
            load_model(other)
    other.write_bytes(b"\x80\x04\x95\x00pickled")
    with pytest.raises(StorageError, match="is damaged, or no safetensors file"):
        load_model(other)
