"""`jaxmlp predict` writes a line for each row, in order; `jaxmlp show` describes a model."""

import io
import json
import pathlib
from dataclasses import replace

import jax
import numpy as np
import polars
import pytest

import jaxmlp
from jaxmlp.fitting.scaling import identity_scaling
from jaxmlp.fitting.targets import TargetScaling
from jaxmlp.models import Interval
from jaxmlp.tables import learn_recipe

HOUSES = polars.DataFrame({
    "rooms": [1.0, None, 3, 4.5], "city": ["Rome", "Oslo", "Oslo", "Rome"], "price": [1e6, 2e6, 3e6, 5e6],
    "sold": [True, False, True, True],
})  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A user's directory."""
    monkeypatch.chdir(tmp_path)
    HOUSES.write_csv("houses.csv")


def saved(target="price", members=None, dtype="float32"):
    """A model of the houses, not trained."""
    recipe = learn_recipe(HOUSES.select("rooms", "city", target), target)
    rng = np.random.default_rng(0)
    shapes = [(recipe.n_inputs, recipe.n_outputs)]
    lead = () if members is None else (members,)
    with jax.enable_x64(dtype == "float64"):
        params = tuple(
            jaxmlp.Layer(rng.normal(size=(*lead, i, o)).astype(dtype), rng.normal(size=(*lead, 1, o)).astype(dtype))
            for i, o in shapes
        )
        criterion = jaxmlp.softmax_cross_entropy if recipe.classes else jaxmlp.squared_error
        report = {"rows": 4, "network": {"score": 0.5}}
        model = jaxmlp.Model(params, criterion=criterion, recipe=recipe, report=report)
        jaxmlp.save_model(model, "model")
    return model


def test_each_row_is_a_line_in_order_and_columns_are_found_by_name(command):
    model = saved()
    code, out, err = command("predict", "model", "houses.csv")
    assert (code, out[0], err) == (0, "prediction", [])
    np.testing.assert_array_equal(np.array(out[1:], float), jaxmlp.predict(model, HOUSES)[:, 0].round())
    HOUSES.select("city", "rooms", polars.lit("ignored").alias("more")).write_csv("new.csv")
    assert command("predict", "model", "new.csv")[1] == out


def test_probabilities_come_first_then_the_standard_deviation_and_last_the_prediction(command):
    model = saved("sold", members=3)
    _, out, _ = command("predict", "model", "houses.csv")
    table = polars.read_csv(io.StringIO("\n".join(out)))
    assert table.columns == ["probability_false", "probability_true", "std", "prediction"]
    mean, std = jaxmlp.predict_with_std(model, HOUSES)
    np.testing.assert_allclose(table.to_numpy()[:, :2].astype(float), mean, rtol=1e-6)
    np.testing.assert_allclose(table["std"], np.take_along_axis(std, mean.argmax(1)[:, None], 1)[:, 0], rtol=1e-6)
    assert table["prediction"].to_list() == (mean[:, 1] > 0.5).tolist()


def test_the_standard_deviation_of_a_number_is_in_its_unit(command):
    model = saved(members=3)
    _, out, _ = command("predict", "model", "houses.csv")
    assert out[0] == "std,prediction"
    table = np.array([line.split(",") for line in out[1:]], float)
    mean, std = jaxmlp.predict_with_std(model, HOUSES)
    np.testing.assert_array_equal(table, np.column_stack([std, mean]).round())


def test_unknown_levels_are_noted(command):
    saved()
    HOUSES.with_columns(city=polars.Series(["Rome", "Bern", "Oslo", "Lima"])).write_csv("new.csv")
    _, out, err = command("predict", "model", "new.csv")
    assert len(out) == 5
    assert err == ["city: 2 unknown values, none in training; encoded as zeros"]


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_the_ending_of_the_output_tells_its_format(command, name):
    saved()
    expected = [float(line) for line in command("predict", "model", "houses.csv")[1][1:]]
    code, out, err = command("predict", "model", "houses.csv", "-o", name)
    assert (code, out, err) == (0, [], [f"Predictions: {name}, 4 rows"])
    table = polars.read_csv(name) if name.endswith("csv") else polars.read_parquet(name)
    assert table.to_dict(as_series=False) == {"prediction": expected}


def test_an_input_is_not_overwritten_under_another_spelling(command, tmp_path):
    saved()
    before = pathlib.Path("houses.csv").read_bytes()
    code, _, err = command("predict", "model", "houses.csv", "-o", f"../{tmp_path.name}/houses.csv")
    assert (code, len(err)) == (2, 1)
    assert "that is an input file" in err[0]
    assert pathlib.Path("houses.csv").read_bytes() == before


def test_a_table_from_standard_input(command, monkeypatch):
    saved()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(pathlib.Path("houses.csv").read_bytes())))
    assert command("predict", "model", "-")[1] == command("predict", "model", "houses.csv")[1]


def test_a_model_of_float64_predicts_in_float64(command):
    model = saved(dtype="float64")
    _, out, _ = command("predict", "model", "houses.csv")
    with jax.enable_x64(True):
        np.testing.assert_array_equal(np.array(out[1:], float), jaxmlp.predict(model, HOUSES)[:, 0].round())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none", "houses.csv"], "cannot read none: No such file or directory"),
        (["houses.csv", "houses.csv"], "houses.csv is damaged, or no safetensors file"),
        (["plain", "houses.csv"], "plain: the model has no recipe for tables"),
        (["model", "none.csv"], "none.csv: no such file"),
        (["model", "short.csv"], "short.csv: no column 'city'; the columns are 'rooms'"),
        (["model", "houses.csv", "-o", "out.txt"], "-o out.txt: the name must end in .csv or .parquet"),
        (["model", "houses.csv", "-o", "no/out.csv"], "-o no/out.csv: no such directory"),
        (["model", "houses.csv", "-o", "./houses.csv"], "-o houses.csv: that is an input file"),
        (["model"], "the following arguments are required: FILE"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(command, words, message):
    jaxmlp.save_model(jaxmlp.Model(saved().groups), "plain")
    pathlib.Path("short.csv").write_text("rooms\n1\n")
    code, out, err = command("predict", *words)
    assert (code, out) == (2, [])
    (line,) = err
    assert message in line
    assert HOUSES.equals(polars.read_csv("houses.csv"))


def test_clipped_predictions_are_counted_and_the_interval_stands_before_the_prediction(command):
    model = saved()
    low, high = np.sort(jaxmlp.predict(model, HOUSES)[:, 0])[[0, 2]]
    target = TargetScaling(identity_scaling(1), low=float(low), high=float(high))
    interval = Interval((0.0,), (10.0,), (-1.0, 1.0))
    groups = (replace(model.groups[0], target=target),)
    jaxmlp.save_model(jaxmlp.Model(groups, recipe=model.recipe, interval=interval), "model")
    _, out, err = command("predict", "model", "houses.csv")
    assert out[0] == "low,high,prediction"
    table = np.array([line.split(",") for line in out[1:]], float)
    np.testing.assert_allclose(table - table[:, 2:], [[-9, 9, 0]] * 4, atol=1)  # 90 % of 10, rounded
    assert table[:, 2].max() == round(high)
    text = "price: 1 prediction of a network clipped to the range of the training targets, widened by a tenth"
    assert err == [text]


def test_show_prints_networks_columns_and_report(command):
    saved(members=3)
    code, out, _ = command("show", "model")
    assert code == 0
    assert out[:2] == ["group 0: 3 networks 4-1, float32", "criterion: squared_error"]
    assert "regression of price" in out
    assert "  rooms: number, mean 2.833, 1 missing value" in out
    assert "  city: one of 'Oslo', 'Rome'" in out
    assert out[-3:] == ["report", "  rows: 4", "  network: score 0.5"]


def test_show_as_json_holds_the_whole_recipe(command):
    model = saved()
    _, (line,), _ = command("show", "model", "--json")
    result = json.loads(line)
    recipe = json.loads(model.recipe.to_json())
    assert result["recipe"].items() <= recipe.items()
    assert (result["groups"][0]["sizes"], result["criterion"]) == ([4, 1], "squared_error")
    assert result["report"]["rows"] == 4


def test_show_refuses_other_files(command):
    assert command("show", "houses.csv")[0] == 2


def test_columns_are_copied_as_they_are_and_values_outside_the_training_range_are_counted_and_marked(command):
    saved()
    pathlib.Path("new.csv").write_text("no;rooms;city\n 007;9;Rome\nNA;2;Oslo\n10000000000000000001;0.5;Rome\n")
    code, out, err = command("predict", "model", "new.csv", "--id", "no")
    assert code == 0
    assert out[0] == "no,outside,prediction"
    ids = [[" 007", "rooms"], ["NA", ""], ["10000000000000000001", "rooms"]]
    assert [line.split(",")[:2] for line in out[1:]] == ids
    assert err == [
        "Read as text: separator ';'",
        "rooms: 1 row above the training maximum of 4.5",
        "rooms: 1 row below the training minimum of 1",
        "rooms: 1 value, the first 9 in row 1, far from those in training, 1 to 4.5",
    ]
    assert "no column 'id'" in command("predict", "model", "new.csv", "--id", "id")[2][-1]


def test_a_table_with_other_marks_than_in_training_is_read_on_demand(command):
    frame = HOUSES.with_columns(day=polars.Series(["2024-12-01", "2024-03-04", "2024-05-06", "2024-07-08"]))
    recipe = learn_recipe(frame.select("rooms", "day", "price"), "price")
    params = (jaxmlp.Layer(np.ones((recipe.n_inputs, 1), np.float32), np.zeros((1, 1), np.float32)),)
    jaxmlp.save_model(jaxmlp.Model(params, recipe=recipe), "model")
    frame.write_csv("houses.csv")
    expected = command("predict", "model", "houses.csv")[1]
    pathlib.Path("new.csv").write_text("rooms;day\n1;01.12.2024\n;04.03.2024\n3,0;06.05.2024\n4,5;08.07.2024\n")
    refused = "row 3: '3,0' is not a number with a decimal point, as in training; if the table has a decimal comma:"
    assert f"{refused} --decimal ," in command("predict", "model", "new.csv")[2][-1]
    error = command("predict", "model", "new.csv", "--decimal", ",")[2][-1]
    assert error.endswith("is not a date (read as year, month, day); if the table has another order: --date-order")
    assert command("predict", "model", "new.csv", "--decimal", ",", "--date-order", "dmy")[1] == expected


def test_an_error_in_a_later_block_names_the_row_of_the_table(command, monkeypatch):
    saved()
    monkeypatch.setattr("jaxmlp.tables.reading._BLOCK", 100)
    pathlib.Path("new.csv").write_text("rooms,city\n" + "3,Rome\n" * 99 + "x,Rome\n")
    code, out, err = command("predict", "model", "new.csv")
    assert (code, out) == (2, [])
    assert "column 'rooms', row 100: 'x' is not a number" in err[-1]
    pathlib.Path("new.csv").write_text("rooms,city\n" + "3,Rome\n" * 99 + "9,Rome\n")
    _, out, err = command("predict", "model", "new.csv")
    assert (len(out), out[1], out[-1].split(",")[0]) == (101, out[2], "rooms")
    assert "rooms: 1 value, the first 9 in row 100, far from those in training, 1 to 4.5" in err
