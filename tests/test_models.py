"""A model predicts the mean of its networks, is read from disk to the bit, and no other file is read as a model."""

import inspect
import itertools
import json
import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import polars
import pytest
from fuzz import damage_file, forge_model
from helpers import assert_close, assert_equal, problem, run

import jaxmlp
from jaxmlp import Model, load_model, predict, predict_with_std, save_model
from jaxmlp.fitting.encoding import learn_encoding, stack_encodings
from jaxmlp.fitting.groups import Group, make_group
from jaxmlp.fitting.scaling import learn_scaling
from jaxmlp.fitting.targets import TargetScaling
from jaxmlp.models import Interval, files
from jaxmlp.models.model import predict_frame
from jaxmlp.models.tables import predict_table
from jaxmlp.storage.files import StorageError
from jaxmlp.tables import TableError, TableWarning, as_frame, learn_recipe
from jaxmlp.tables.findings import Notes

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
    frame = as_frame(HOUSES)
    scaling, target = learn_scaling(recipe.inputs(frame)[0]), learn_scaling(recipe.targets(frame)[0])
    group = replace(make_group(params, jaxmlp.tanh), scaling=scaling)
    return Model((group,), recipe=recipe, target=target)


def encoded_model(low=None, high=None):
    """Two networks with their own bins, whose target is a logarithm with bounds, and the recipe of the houses."""
    model = house_model()
    (group,) = model.groups
    x = group.scaling.apply(model.recipe.inputs(as_frame(HOUSES))[0])
    encoding = stack_encodings([learn_encoding(x, 3), learn_encoding(x[1:], 3, np.array([0]))])
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(problem((7, 4, 1), seed=seed)[0] for seed in range(2)))
    logarithms = learn_scaling(np.log(np.array(HOUSES["price"])[:, None]))
    target = TargetScaling(logarithms, is_log=True, low=low, high=high)
    group = Group(params, np.array([0.25, 0.75]), (jaxmlp.tanh,), group.scaling, encoding, target)
    return replace_groups(model, group)


def test_predictions_of_an_array_are_those_of_the_criterion():
    probabilities = predict(Model(PARAMS, jaxmlp.gelu, jaxmlp.softmax_cross_entropy), X)
    logits = run(lambda x: jaxmlp.forward(PARAMS, x, activation=jaxmlp.gelu), X)
    assert_close(np.asarray(probabilities), np.asarray(jax.nn.softmax(logits, axis=1)))


def test_an_ensemble_predicts_mean_and_standard_deviation():
    model = Model(ensemble(), jaxmlp.tanh)
    mean, std = predict_with_std(model, X)
    outputs = [predict(Model(problem(SIZES, seed=seed)[0], jaxmlp.tanh), X) for seed in range(3)]
    assert_close(np.asarray(mean), np.mean(outputs, axis=0))
    assert_close(np.asarray(std), np.std(outputs, axis=0))
    assert_equal(predict(model, X), mean)
    assert repr(model) == "Model(3 x 3-5-2)"


def test_no_rows_have_no_predictions():
    assert predict(Model(PARAMS, jaxmlp.tanh), X[:0]).shape == (0, 2)


def test_a_prediction_is_the_weighted_mean_over_groups_of_networks_of_any_shape():
    wide, linear = problem((3, 4, 2), seed=1)[0], problem((3, 2), seed=2)[0]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *(problem((3, 4, 2), seed=seed)[0] for seed in (1, 3)))
    groups = (
        Group(stacked, np.array([0.25, 0.25]), (jaxmlp.tanh,)),
        Group(jax.tree.map(lambda leaf: leaf[None], linear), np.array([0.5]), ()),
    )
    outputs = [
        np.asarray(run(lambda p, x: jaxmlp.forward(p, x, activation=jaxmlp.tanh), params, X))
        for params in (wide, problem((3, 4, 2), seed=3)[0], linear)
    ]
    mean, std = predict_with_std(Model(groups), X)
    expected = 0.25 * outputs[0] + 0.25 * outputs[1] + 0.5 * outputs[2]
    assert_close(np.asarray(mean), expected)
    variance = sum(c * (o - expected) ** 2 for c, o in zip((0.25, 0.25, 0.5), outputs, strict=True))
    assert_close(np.asarray(std), np.sqrt(variance), 1e-4)


def test_inputs_are_scaled_in_float64_before_rounding_and_targets_after():
    seconds = 1.7e9 + np.arange(7)[:, None]
    scaling, target = learn_scaling(seconds), learn_scaling(1e9 + 3.0 * np.arange(7)[:, None])
    line = (jaxmlp.Layer(np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)),)
    model = Model((Group(line, np.ones(1), (), scaling),), target=target)
    np.testing.assert_allclose(predict(model, seconds)[:, 0] - 1e9, 3.0 * np.arange(7), atol=1e-5)


def test_predictions_compose_with_vmap():
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


def test_a_table_of_any_kind_is_encoded_by_the_recipe():
    model = house_model()
    frame = as_frame(HOUSES)
    x, _ = model.recipe.inputs(frame)
    (group,) = model.groups
    outputs = run(lambda x: jaxmlp.predict_ensemble(group.params, x, activation=jaxmlp.tanh)[0], group.scale(x))
    prices = predict(model, frame)
    assert prices.dtype == np.float64
    np.testing.assert_allclose(prices, group.target.invert(outputs), rtol=1e-6)
    assert prices.max() > 1e5
    missing = {**HOUSES, "city": ["Rome", "Oslo", float("nan"), "Rome"]}
    masked = {**HOUSES, "city": np.ma.array(["Rome", "Oslo", "Bonn", "Rome"], mask=[False, False, True, False])}
    for table in (HOUSES, {"rooms": np.array(HOUSES["rooms"]), "city": HOUSES["city"]}, Pandas(missing), masked):
        np.testing.assert_array_equal(predict(model, table), prices)


STRANGE = {"rooms": [1e6, 4.5, None, 1.0, -1e6], "city": ["Rome", "Bern", "Oslo", None, "Lima"]}


@pytest.mark.parametrize("function", [predict, predict_with_std])
def test_values_that_training_did_not_see_are_warned_about_at_the_line_of_the_caller(function):
    model = house_model(members=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(model, STRANGE)
    assert [str(warning.message) for warning in caught] == [
        "rooms: 1 missing value, none in training; filled with the mean, 2.625",
        "rooms: 2 values, the first 1e+06 in row 1, far from those in training, 1 to 4.5",
        "city: 2 unknown values, none in training; encoded as zeros",
    ]
    assert {warning.category for warning in caught} == {TableWarning}
    line = inspect.getsourcelines(test_values_that_training_did_not_see_are_warned_about_at_the_line_of_the_caller)
    line = line[1] + next(k for k, text in enumerate(line[0]) if "function(model, STRANGE)" in text)
    assert {(warning.filename, warning.lineno) for warning in caught} == {(__file__, line)}
    table, findings = predict_table(model, as_frame(STRANGE))
    warned = [str(warning.message) for warning in caught]
    told = ["rooms: 1 row above the training maximum of 4.5", "rooms: 1 row below the training minimum of 1"]
    assert sorted(Notes().add(findings).lines()) == sorted(warned + told)
    assert table["outside"].to_list() == ["rooms", None, None, None, "rooms"]


def row_of_arrays():
    """A structured array, whose columns have names."""
    return np.array([(1.0, "Rome")], dtype=[("rooms", float), ("city", "U5")])


@pytest.mark.parametrize(
    "data",
    [
        *(np.ones((2, 4)), jnp.ones((2, 4)), [[1.0, 0.0, 1.0, 0.0]], [{"rooms": 1, "city": "Rome"}], row_of_arrays()),
        *(polars.Series([1.0]), polars.DataFrame({"rooms": [1.0], "city": ["Rome"]}).lazy(), None, 3),
    ],
    ids=lambda data: type(data).__name__,
)
def test_a_model_with_a_recipe_takes_tables_only_and_says_so(data):
    expected = "data must be a table with the columns 'rooms', 'city': a dict of columns, or a DataFrame"
    for function in (predict, predict_with_std, predict_table):
        with pytest.raises(TypeError, match=expected):
            function(house_model(members=2), data)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"rooms": 1, "city": "Rome"}, "column 'rooms' must be a list or an array .*, also for a single row; got '1'"),
        ({"rooms": [1], "city": "Rome"}, "column 'city' must be a list or an array .*; got 'Rome'"),
        ({"rooms": np.ones((1, 1)), "city": ["Rome"]}, "column 'rooms' must be a list or an array"),
        ({}, "no column 'rooms', 'city'; the table has no columns"),
        (polars.DataFrame(), "no column 'rooms', 'city'; the table has no columns"),
        ({("rooms", "a"): [1], ("city", "b"): ["Rome"]}, "no column 'rooms', 'city'; the columns are .*'rooms', 'a'"),
    ],
)
def test_a_table_without_the_columns_is_refused_and_the_message_names_them(table, message):
    with pytest.raises(TableError, match=message):
        predict(house_model(), table)


def test_a_number_that_overflows_when_it_is_scaled_is_refused():
    model = house_model()
    (group,) = model.groups
    factor = np.where(np.arange(4) == 0, 1e20, group.scaling.factor)
    tiny = replace_groups(model, replace(group, scaling=group.scaling._replace(factor=factor)))
    rows = {"rooms": [1.0, 1e25], "city": ["Rome", "Oslo"]}
    with pytest.raises(
        TableError, match="column 'rooms', row 2: the number is too far from those of the training rows"
    ):
        predict(tiny, rows)
    assert predict(model, {"rooms": [], "city": []}).shape == (0, 1)


def test_the_standard_deviation_is_in_the_targets_unit_too():
    model = house_model(members=3)
    mean, std = predict_with_std(model, HOUSES)
    (group,) = model.groups
    prices = []
    for k in range(3):
        network = jax.tree.map(lambda leaf, k=k: leaf[k : k + 1], group.params)
        alone = replace(group, params=network, weights=np.ones(1))
        prices.append(predict(replace_groups(model, alone), HOUSES))
    np.testing.assert_allclose(mean, np.mean(prices, axis=0), rtol=1e-5)
    np.testing.assert_allclose(std, np.std(prices, axis=0), rtol=1e-4)


def replace_groups(model, *groups):
    return Model(groups, criterion=model.criterion, recipe=model.recipe)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("members", [None, 3])
def test_a_model_is_read_from_disk_to_the_bit(tmp_path, dtype, members):
    with jax.enable_x64(dtype == "float64"):
        params = problem(SIZES, dtype=dtype)[0] if members is None else ensemble(dtype)
        report, interval = (
            {"epochs": 3, "network": {"score": 0.25}},
            Interval((-1.0, 2.0), (0.5, 1.5), (-1.0, 0.0, 3.0), 0.0),
        )
        model = Model(params, (jaxmlp.silu,), jaxmlp.poisson_nll_loss, interval=interval, report=report, plan={"a": 1})
        path = tmp_path / "model.safetensors"
        save_model(model, path)
        loaded = load_model(path)
    (group,), (expected,) = loaded.groups, model.groups
    assert_equal(group.params, expected.params)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(group.params)} == {dtype}
    assert (group.activation, group.sizes, loaded.members) == ((jaxmlp.silu,), SIZES, members or 1)
    assert (loaded.criterion, loaded.recipe, loaded.temperature) == (jaxmlp.poisson_nll_loss, None, None)
    assert (group.scaling, group.encoding, group.target) == (None, None, None)
    assert (loaded.interval, loaded.report, loaded.plan) == (interval, report, {"a": 1})
    assert [each.name for each in tmp_path.iterdir()] == ["model.safetensors"]


def test_recipe_and_scalings_are_read_with_the_model(tmp_path):
    model = house_model()
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.recipe == model.recipe
    np.testing.assert_array_equal(predict(loaded, HOUSES), predict(model, HOUSES))
    save_model(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


def by_hand(group, member, row):
    """The logarithm of the price that a network of `encoded_model` predicts, scaled, in float64."""
    row = (row - group.scaling.center) * group.scaling.factor
    center, factor, softness, binned, edges, means = (leaf[member] for leaf in group.encoding)
    inputs = [(value - c) * f for value, c, f in zip(row, center, factor, strict=True)]
    inputs = [z / np.sqrt(1 + (z * softness) ** 2) for z in inputs]
    for column, ends, mean in zip(binned, edges, means, strict=True):
        for t, (start, end) in enumerate(itertools.pairwise(ends)):
            low, high = -2.0 * (t == 0), 1 + 2.0 * (end == ends[-1])
            inputs.append(
                float(end > start) * min(max((row[column] - start) / (end - start or 1), low), high) - mean[t]
            )
    (w, b), (v, c) = (tuple(np.asarray(leaf[member], np.float64) for leaf in layer) for layer in group.params)
    return (np.tanh(np.array([inputs]) @ w + b) @ v + c).item()


def test_a_group_encodes_its_inputs_and_undoes_the_logarithm_within_the_bounds():
    model, table = encoded_model(), as_frame(HOUSES)
    (group,) = model.groups
    assert group.sizes == (7, 4, 1)
    assert group.columns == 4
    assert group.encoding.edges[1, 0, -1] == group.encoding.edges[1, 0, -2]  # the second network has fewer bins
    x, _ = model.recipe.inputs(table)
    x = np.vstack([x, [99.0, 0, 0, 0]])
    table = {"rooms": [*HOUSES["rooms"], 99.0], "city": [*HOUSES["city"], "Bern"]}
    logarithms = np.array([[by_hand(group, member, row) for row in x] for member in range(2)])
    (center,), (factor,) = group.target.scaling
    mean = 0.25 * logarithms[0] + 0.75 * logarithms[1]
    prices = np.exp(mean / factor + center)
    low, high = float(np.sort(prices)[1]) + 1.0, float(np.sort(prices)[-1]) - 1.0
    std = np.sqrt(0.25 * 0.75) * np.abs(logarithms[0] - logarithms[1]) / factor
    bounded = encoded_model(low, high)
    for each, expected in ((model, prices), (bounded, np.clip(prices, low, high))):
        got, got_std, findings = predict_frame(each, table)
        np.testing.assert_allclose(got[:, 0], expected, rtol=1e-5)
        np.testing.assert_allclose(got_std[:, 0], std * expected, rtol=1e-4)
        clipped = [line for line in Notes().add(findings).lines() if "clipped" in line]
        text = "price: 3 predictions of a network clipped to the range of the training targets, widened by a tenth"
        assert clipped == ([text] if each is bounded else [])
    findings = predict_frame(bounded, table, only_warnings=True)[2]
    assert all("unknown" in finding.noun or "far" in finding.text for finding in findings)


def test_encoding_and_bounds_are_read_with_the_model_to_the_bit(tmp_path):
    model = encoded_model(1.2e6, 3e6)
    plain = model.groups[0].encoding._replace(
        binned=np.empty((2, 0), np.int32), edges=np.empty((2, 0, 1)), means=np.empty((2, 0, 0))
    )
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(problem((4, 1), seed=seed)[0] for seed in range(2)))
    other = replace(model.groups[0], params=params, activation=(), encoding=plain, target=None)
    model = replace_groups(model, *model.groups, other)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    for group, expected in zip(loaded.groups, model.groups, strict=True):
        for name in ("params", "weights", "scaling", "encoding", "target"):
            assert_equal(getattr(group, name), getattr(expected, name))
        assert [leaf.dtype for leaf in group.encoding] == [leaf.dtype for leaf in expected.encoding]
        assert [leaf.shape for leaf in group.encoding] == [leaf.shape for leaf in expected.encoding]
    np.testing.assert_array_equal(predict(loaded, HOUSES), predict(model, HOUSES))


def test_an_encoding_or_bounds_that_do_not_fit_are_refused():
    (group,) = encoded_model().groups
    encoding, target = group.encoding, group.target
    unordered = "target must have finite bounds in order"
    leaves = "encoding must have leaves that fit each other, for 2 members"
    changes = [
        ({"encoding": jax.tree.map(lambda leaf: leaf[:1], encoding)}, leaves),
        ({"encoding": jax.tree.map(lambda leaf: leaf[0], encoding)}, leaves),
        ({"encoding": encoding._replace(center=np.float64(1))}, leaves),
        ({"encoding": encoding._replace(factor=encoding.factor * np.nan)}, "encoding must have finite numbers"),
        ({"encoding": encoding._replace(edges=-encoding.edges)}, "edges in ascending order"),
        ({"encoding": encoding._replace(binned=encoding.binned - 1)}, "bins of columns from 0 to 3"),
        (
            {"encoding": encoding._replace(edges=encoding.edges[..., 1:], means=encoding.means[..., 1:])},
            "have 7 inputs; got 6",
        ),
        ({"target": target._replace(low=2.0, high=1.0)}, unordered + "; got 2.0 and 1.0"),
        ({"target": target._replace(low=np.nan)}, unordered),
        ({"target": target._replace(high=np.inf)}, unordered),
    ]
    for change, message in changes:
        with pytest.raises(ValueError, match=message):
            replace(group, **change)


def test_the_file_can_be_read_with_the_safetensors_library(tmp_path):
    import safetensors

    save_model(house_model(), str(tmp_path / "model"))
    with safetensors.safe_open(tmp_path / "model", framework="numpy") as file:
        assert sorted(file.keys()) == [f"groups.0.layers.{k}.{leaf}" for k in (0, 1) for leaf in "bw"]
        about = json.loads(file.metadata()["jaxmlp_model"])
    (group,) = about["groups"]
    assert (group["sizes"], group["dtype"], group["activation"]) == ([4, 4, 1], "float32", ["tanh"])
    assert about["version"] == 3
    assert [column["name"] for column in about["recipe"]["columns"]] == ["rooms", "city"]


def test_a_custom_function_must_be_passed(tmp_path):
    path = tmp_path / "model"
    mine = jaxmlp.Criterion(jaxmlp.huber_loss.fn, jaxmlp.huber_loss.derivative)
    save_model(Model(PARAMS, SINE, jaxmlp.Criterion(mine.fn, mine.derivative, jnp.exp)), path)
    with pytest.raises(
        StorageError, match=r"activation 'sin' is custom, and a file cannot hold a function; pass activation="
    ):
        load_model(path)
    with pytest.raises(StorageError, match="pass criterion="):
        load_model(path, activation=SINE)
    assert load_model(path, activation=SINE, criterion=mine).groups[0].activation == (SINE,)
    save_model(Model(PARAMS), path)
    with pytest.raises(StorageError, match="activation must be relu, as saved, or not be passed"):
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
            lambda: Group(ensemble(), np.ones(2), (jaxmlp.relu,)),
            ValueError,
            r"weights must have shape \(members,\) = \(3,\)",
        ),
        (lambda: Model((make_group(PARAMS), make_group(problem((4, 2))[0]))), ValueError, "same numbers of inputs"),
        (
            lambda: save_model(Model(PARAMS, report={"a": np.inf}), "x"),
            ValueError,
            "report",
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
    """The file of a model with all its parts."""
    path, model = tmp_path / "model.safetensors", encoded_model(low=1.2e6, high=9e6)
    interval = Interval((1e6, 5e6), (1e5, 5e5), (-1.0, 0.0, 1.5), 0.0)
    report, plan = {"rows": 4, "network": {"score": 0.25}}, {"folds": 3, "hidden": [4]}
    save_model(Model(model.groups, recipe=model.recipe, interval=interval, report=report, plan=plan), path)
    return path


def test_a_truncated_file_is_refused(saved):
    content = saved.read_bytes()
    for length in range(0, len(content), 7):
        saved.write_bytes(content[:length])
        with pytest.raises(StorageError, match=str(saved)) as refused:
            load_model(saved)
        assert "\n" not in str(refused.value)


def test_a_file_with_any_byte_changed_is_refused(saved):
    content, rng = bytearray(saved.read_bytes()), np.random.default_rng(0)
    for place in rng.choice(len(content), size=300, replace=False):
        changed = content.copy()
        changed[place] ^= int(rng.integers(1, 256))
        saved.write_bytes(changed)
        with pytest.raises(StorageError) as refused:
            load_model(saved)
        assert "\n" not in str(refused.value)


SEEDS = [range(60), pytest.param(range(60, 2060), marks=pytest.mark.slow)]


@pytest.mark.parametrize("seeds", SEEDS, ids=len)
def test_a_damaged_file_is_refused_in_one_line_or_equal(saved, seeds):
    content, model, refused = saved.read_bytes(), load_model(saved), {}
    for seed in seeds:
        saved.write_bytes(damage_file(seed, content))
        try:
            loaded = load_model(saved)
        except StorageError as error:
            refused[seed] = str(error)
            continue
        assert files.describe_model(loaded) == files.describe_model(model), seed
        assert_equal([group.params for group in loaded.groups], [group.params for group in model.groups])
    assert len(refused) > 0.9 * len(seeds)
    assert not {seed: line for seed, line in refused.items() if "\n" in line or len(line) > 500}


@pytest.mark.parametrize("seeds", SEEDS, ids=len)
def test_a_forged_file_is_refused_in_one_line_or_predicts_finite_numbers(command, saved, seeds, monkeypatch):
    monkeypatch.chdir(saved.parent)
    as_frame(HOUSES).write_csv("houses.csv")
    used = 0
    for seed in seeds:
        forge_model(seed, saved, saved.with_name("forged"))
        for words in (["show", "forged"], ["predict", "forged", "houses.csv"], ["export", "forged", "-o", "program"]):
            if words[0] == "export" and seed % 10:
                continue  # It compiles.
            code, out, err = command(*words)
            assert code in (0, 2), (seed, words)
            if code:
                assert (out, len(err)) == ([], 1), (seed, words)
                assert len(err[0]) < 600, (seed, words)
            elif words[0] == "predict":
                used += 1
                assert np.isfinite(np.array([line.split(",")[-1] for line in out[1:]], float)).all(), seed
    assert 0.02 * len(seeds) < used < 0.7 * len(seeds)


def with_entry(about, *path, to):
    """The metadata of a model with one entry changed."""
    about = json.loads(json.dumps(about))
    place = about
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return about


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (
            ("recipe", "columns", 0, "missing"),
            10**400,
            "model.recipe.columns.0..missing must be a whole number; got 1000",
        ),
        (("version",), 10**400, "version 1000"),
        (("groups", 0, "sizes", 0), 10**400, r"sizes.0. must be a whole number"),
        (("groups", 0, "weights", 0), -1.0, "weights must be finite, at least 0 and not all 0"),
        (("groups", 0, "weights"), [0, 0], "weights must be finite, at least 0 and not all 0"),
        (("groups", 0, "scaling", "factor"), [1.0], r"scaling must have 4 columns; got \(4,\) and \(1,\)"),
        (("groups", 0, "scaling", "factor", 0), 1e308, "scaling must have finite centers, and factors that are 0"),
        (("groups", 0, "encoding", "factor"), [1.0], "encoding must have leaves that fit each other, for 2 members"),
        (("groups", 0, "encoding", "edges"), [1.0], "encoding must have leaves that fit each other, for 2 members"),
        (("groups", 0, "encoding", "edges", 0), [[0.0], [1.0, 2.0]], "encoding.edges must be a list of numbers"),
        (("groups", 0, "encoding", "edges", 1, 0, 0), 9.0, "encoding must have finite numbers, and edges in ascending"),
        (("groups", 0, "encoding", "binned", 1, 0), 4, "encoding must have bins of columns from 0 to 3"),
        (("groups", 0, "encoding", "binned", 1, 0), 0.5, "encoding must have bins of columns that are whole numbers"),
        (("groups", 0, "encoding", "binned", 1, 0), 1e300, "encoding must have bins of columns that are whole numbers"),
        (("groups", 0, "encoding", "binned"), [[], []], "encoding must have leaves that fit each other, for 2 members"),
        (("groups", 0, "encoding"), None, "scaling must have 7 columns"),
        (("groups", 0, "target", "scaling", "factor", 0), 5e-324, "target must have finite centers, and factors"),
        (("groups", 0, "target", "scaling", "center"), [0.0, 1.0], "target must have 1 columns"),
        (("groups", 0, "target", "low"), 1e9, "target must have finite bounds in order; got 1000000000.0 and"),
        (("interval", "knots"), [2.0, 1.0], "interval: knots and quantiles must be in order, and sizes not negative"),
        (("interval", "sizes", 0), -1.0, "interval: knots and quantiles must be in order, and sizes not negative"),
        (("interval", "sizes"), [1.0], "interval must have a size for each knot, and at least two quantiles"),
        (("interval", "quantiles"), [1.0], "interval must have a size for each knot, and at least two quantiles"),
        (("temperature",), 2.0, "temperature must be positive, and None unless for classes; got 2.0"),
        (("criterion",), "softmax_cross_entropy", "criterion must not be softmax_cross_entropy with one output"),
        (("criterion",), "poisson_nll_loss", "criterion must be one for regression"),
        (("recipe", "task"), "counts", "criterion must be one for counts"),
        (("recipe", "columns", 0, "name"), "a\ud800", "name must be a string; got"),
        (("recipe", "columns", 0, "name"), "city", "columns must have different names"),
        (("report",), {"rows": 10**400}, "model.report.rows must hold what JSON can"),
        (("report",), {"score": float("nan")}, "model.report.score must hold what JSON can"),
        (("report",), {"a\udfff": 1}, "model.report must be an object; got"),
        (("report",), json.loads("[" * 500 + "]" * 500), "model is nested too deeply"),
    ],
    ids=lambda value: None,
)
def test_parts_that_do_not_fit_are_refused_even_if_the_checksum_fits(saved, path, to, message):
    arrays, metadata = files.read_arrays(saved)
    about = json.loads(metadata["jaxmlp_model"])
    files.write_arrays(saved, arrays, make_valid(with_entry(about, *path, to=to), arrays))
    with pytest.raises(StorageError, match=message):
        load_model(saved)


def test_a_name_that_stands_twice_is_refused(saved):
    arrays, metadata = files.read_arrays(saved)
    text = metadata["jaxmlp_model"].replace("{", '{"criterion": "huber_loss", ', 1)
    files.write_arrays(saved, arrays, {"jaxmlp_model": text})
    with pytest.raises(StorageError, match="model must be JSON; it cannot be parsed"):
        load_model(saved)


def test_targets_and_intervals_are_for_numbers_only():
    recipe = learn_recipe(as_frame(HOUSES), "city")
    model = {"criterion": jaxmlp.softmax_cross_entropy, "recipe": recipe}
    params = problem((recipe.n_inputs, 2))[0]
    with pytest.raises(ValueError, match="target must not scale for classification"):
        Model(params, **model, target=learn_scaling(np.arange(4.0).reshape(2, 2)))
    with pytest.raises(ValueError, match="interval must be None for classification"):
        Model(params, **model, interval=Interval((0.0,), (1.0,), (-1.0, 1.0)))


def test_a_prediction_that_is_not_finite_is_refused():
    model = house_model()
    (group,) = model.groups
    huge = replace(
        group, params=jax.tree.map(lambda leaf: jnp.asarray(np.full(leaf.shape, 3e38, leaf.dtype)), group.params)
    )
    with pytest.raises(TableError, match="row 1: the prediction is not finite"):
        predict(replace_groups(model, huge), HOUSES)


def test_a_file_of_something_else_is_refused(tmp_path, saved):
    arrays, metadata = files.read_arrays(saved)
    about, other = json.loads(metadata["jaxmlp_model"]), tmp_path / "other"
    group = about["groups"][0]
    changes = [
        ({"version": 2}, "version 2 of the format; this jaxmlp reads version 3, so train again"),
        ({"groups": [group | {"sizes": [7, 5, 1]}]}, "does not fit its metadata"),
        ({"groups": [group | {"sizes": [7]}]}, "sizes must hold at least two positive widths"),
        ({"groups": [group | {"weights": []}]}, "weights one number for each member"),
        ({"groups": [group | {"dtype": "float16"}]}, "dtype"),
        ({"groups": [group | {"activation": ["eval"]}]}, "activation must be one of"),
        ({"groups": []}, "groups"),
        ({"recipe": {}}, "recipe"),
        ({"criterion": None}, "criterion"),
        ({"report": 3}, "report"),
    ]
    contents = [(make_valid(about | change, arrays), message) for change, message in changes]
    contents += [({"format": "pt"}, "not a model of jaxmlp"), ({"jaxmlp_model": "[" * 100_000}, "cannot be parsed")]
    for content, message in contents:
        files.write_arrays(other, arrays, content)
        with pytest.raises(StorageError, match=message):
            load_model(other)
    files.write_arrays(other, arrays | {"groups.0.layers.1.b": np.zeros((1, 1, 1), np.float32)}, metadata)
    with pytest.raises(StorageError, match="its checksum does not fit its content"):
        load_model(other)
    other.write_bytes(b"\x80\x04\x95\x00pickled")
    with pytest.raises(StorageError, match="is damaged, or no safetensors file"):
        load_model(other)


def make_valid(about, arrays):
    """Metadata whose checksum fits."""
    return {"jaxmlp_model": json.dumps(about | {"checksum": files.checksum(arrays, about)})}
