"""`jaxmlp explain`: each number of its text and its JSON, compared with NumPy."""

import contextlib
import functools
import io
import json
import re
import sys
from functools import partial

import jax
import numpy as np
import pytest
from reference import numpy_epoch

from jaxmlp.cli import explain, main
from jaxmlp.cli.tutorial import draw
from jaxmlp.network import Layer
from jaxmlp.page.program import DEAD, OFF
from jaxmlp.tutorial import Epoch, tutorial, tutorial_epoch

SMALL = {"x": (3, 2), "y": (3, 1), "w1": (2, 2), "b1": (1, 2), "w2": (2, 1), "b2": (1, 1)}
EPOCH, ROW, UNIT, SEED = 57, 17, 4, 3
WORDS = ["--epoch", EPOCH, "--row", ROW, "--unit", UNIT, "--seed", SEED]
GRADIENTS = [name for name in Epoch._fields if name.startswith("grad_")]

# The indices that belong to row 17 and unit 4; a gradient has those of what it belongs to.
ENTRIES = {"x": [(17, 0), (17, 1), (17, 2)], "y": [(17, 0)], "h": [(17, 4)], "h_relu": [(17, 4)], "y_pred": [(17, 0)]}
ENTRIES |= {"loss": [()], "w1": [(0, 4), (1, 4), (2, 4)], "b1": [(0, 4)], "w2": [(4, 0)], "b2": [(0, 0)]}


def explained(capsys, *words):
    """(exit code, stdout, stderr) of a call."""
    code = main(["explain", *map(str, words)])
    return code, *capsys.readouterr()


@pytest.fixture(scope="module")
def expected():
    """(what the epoch starts from, all its numbers): 56 epochs by `tutorial` in float32, one by NumPy in float64."""
    x, y, ((w1, b1), (w2, b2)) = draw(SEED)
    weights, _ = jax.jit(partial(tutorial, epochs=EPOCH - 1))((w1, b1, w2, b2), x, y)
    x, y, *weights = (np.asarray(v, np.float64) for v in (x, y, *weights))
    given = dict(zip(("w1", "b1", "w2", "b2"), weights, strict=True))
    return {"x": x, "y": y, **given}, numpy_epoch(*weights, x, y)


def tolerance(name):
    return 1e-6 if name == "loss" else 1e-10  # The loss has the rounding of the log, float32.


def numbers(name, array):
    return [float(array[entry]) for entry in ENTRIES[name.removeprefix("grad_")]]


@pytest.fixture(scope="module")
def table():
    """The lines of stdout."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(out):
        assert main(["explain", *map(str, WORDS)]) == 0
    out.flush()
    return out.buffer.getvalue().decode().splitlines()


def test_the_text_shows_each_line_with_its_shape_and_the_numbers_of_numpy(table, expected):
    number = r"-?\d+\.\d+(?:e[-+]\d+)?"
    row = re.compile(rf"(?:  (\w+) = .*?(\((?:\d+, \d+)?\)))?.*?(?:\[(\d+), (\d+)\])? +({number})(?: +({number})  ✓)?")
    found, name = {}, None
    for line in filter(lambda line: line.startswith("  "), table[table.index("Forward pass") :]):
        match = row.fullmatch(line)
        if match is None:
            continue
        if match[1]:
            name = match[1]
            found[name] = (match[2], [], [], [])
        _, entries, values, autodiff = found[name]
        entries.append(() if match[3] is None else (int(match[3]), int(match[4])))
        values.append(float(match[5]))
        autodiff.append(None if match[6] is None else float(match[6]))
    assert tuple(found) == Epoch._fields
    for name, (shape, entries, values, autodiff) in found.items():
        array = expected[1][name]
        assert shape == str(array.shape)
        assert entries == ENTRIES[name.removeprefix("grad_")]
        np.testing.assert_allclose(values, numbers(name, array), rtol=1e-5, err_msg=name)
        if name in GRADIENTS:
            np.testing.assert_allclose(autodiff, numbers(name, array), rtol=1e-5, err_msg=name)
        else:
            assert set(autodiff) == {None}


def test_the_text_shows_what_the_epoch_starts_from(table, expected):
    shown = dict(re.findall(r"(\w+)\[[^]]*\] = ((?:-?\d\S*  ?)*-?\d\S*)", "\n".join(table[2:5])))
    assert list(shown) == ["x", "y", "w1", "b1", "w2", "b2"]
    for name, values in shown.items():
        np.testing.assert_allclose(np.array(values.split(), float), numbers(name, expected[0][name]), rtol=1e-5)
    assert table[0] == "Epoch 57 of the tutorial's network, seed 3: row 17, hidden unit 4"
    assert "  w1[:, 4] = " in table[3]


def test_the_text_fits_100_columns_and_has_a_tick_for_each_number_of_a_gradient(table):
    assert max(map(len, table)) <= 100
    assert len(table) <= 52
    assert sum(line.endswith("  ✓") for line in table) == len(GRADIENTS) + 2  # grad_w1 has three numbers
    assert "✗" not in "".join(table)


def test_every_line_but_the_updates_has_a_meaning():
    names = {name for name in Epoch._fields if explain._meaning(name)}
    assert names == set(Epoch._fields) - {"w1", "b1", "w2", "b2"}


def test_sums_over_rows_show_their_five_largest_terms_and_the_sum_of_the_others(table, expected):
    given, values = expected
    h = values["h_relu"]
    terms = {"loss": [(values["y_pred"] - given["y"])[:, 0] ** 2]}
    terms |= {"grad_w2": [h[:, UNIT] * values["grad_y_pred"][:, 0]]}
    terms |= {"grad_b2": [values["grad_y_pred"][:, 0]], "grad_b1": [values["grad_h"][:, UNIT]]}
    terms["grad_w1"] = [given["x"][:, k] * values["grad_h"][:, UNIT] for k in range(3)]
    lines = [line for line in table if " by row  " in line]
    arrays = [array for name in Epoch._fields for array in terms.get(name, [])]
    assert len(lines) == len(arrays) == 7
    for line, array in zip(lines, arrays, strict=True):
        *pairs, (more, others) = re.findall(r"(\d+)(?: more)?: ([-+]\S+?)(?=[ )]|$)", line)
        largest = np.argsort(-np.abs(array))[:5]
        assert [int(row) for row, _ in pairs] == largest.tolist()
        np.testing.assert_allclose([float(term) for _, term in pairs], array[largest], rtol=1e-3)
        assert more == "95"
        np.testing.assert_allclose(float(others), array.sum() - array[largest].sum(), rtol=1e-3, atol=1e-3)


def test_the_rows_that_pull_hardest_are_those_with_the_largest_gradient(table, capsys, expected):
    given, values = expected
    # The norm of row i's gradient, from the gradients of its values: every weight and bias, entry by entry.
    pairs = (given["x"], values["grad_h"]), (values["h_relu"], values["grad_y_pred"])
    squares = [np.sum((a[:, :, None] * d[:, None, :]) ** 2, axis=(1, 2)) + np.sum(d**2, axis=1) for a, d in pairs]
    norms = np.sqrt(sum(squares))
    hardest = np.argsort(-norms)[:5]
    (line,) = (line for line in table if line.startswith("Rows that pull hardest"))
    assert line.endswith("  ".join(f"{row}: {norms[row]:.4g}" for row in hardest))
    rows = json.loads(explained(capsys, *WORDS, "--json")[1])["hardest_rows"]
    assert [row["row"] for row in rows] == hardest.tolist()
    np.testing.assert_allclose([row["gradient_norm"] for row in rows], norms[hardest])


def test_it_opens_on_a_large_error_and_a_unit_that_is_on(capsys):
    code, out, _ = explained(capsys, "--json")
    result = json.loads(out)
    values = {line["name"]: line["values"][0] for line in result["lines"]}
    assert (code, result["epoch"], result["seed"]) == (0, 1, 0)
    assert values["h"] > 0
    assert values["grad_h"] != 0
    (loss,) = (line for line in result["lines"] if line["name"] == "loss")
    assert loss["terms"][0][0][0] == result["row"]


@pytest.mark.extended
def test_a_unit_that_is_given_is_shown_at_a_row_where_it_is_on(capsys):
    for unit in (7, 8, 31):
        result = json.loads(explained(capsys, "--unit", unit, "--json")[1])
        assert {line["name"]: line["values"][0] for line in result["lines"]}["h"] > 0


@pytest.mark.extended
def test_a_default_row_or_unit_is_named_to_compare_epochs(capsys):
    hint = "To compare epochs, add --row {} --unit {}: the defaults depend on the epoch."
    first, second, *_ = explained(capsys, "--unit", 7)[1].splitlines()
    assert second == hint.format(re.search(r"row (\d+)", first)[1], 7)
    assert "To compare epochs" not in explained(capsys, "--row", 1, "--unit", 7)[1]


def test_a_unit_that_is_off_gets_the_sentence_of_the_page(capsys):
    out = " ".join(explained(capsys, "--epoch", 57, "--row", 17, "--unit", 20)[1].split())
    why = OFF.format(entry="h[17, 20]", value="-0.539419", name="h")
    assert out.count(why) == 2  # at h_relu and at grad_h
    assert "its activation: values below 0 set to 0 " + why in out


def test_a_dead_unit_gets_the_sentence_of_the_page(capsys, monkeypatch):
    x, y, ((w1, b1), second) = draw(0)
    monkeypatch.setattr(explain, "draw", lambda _: (x, y, (Layer(w1, b1 - 100), second)))
    out = " ".join(explained(capsys, "--unit", 7)[1].split())
    assert out.count(DEAD) == 2  # at grad_w1 and at grad_b1


def test_an_epoch_is_a_number_or_last(command):
    code, _, (message,) = command("explain", "--epoch", "foo")
    assert code == 2
    assert "'foo' is not a whole number from 1 to 10000000, or last" in message


@pytest.mark.extended
def test_the_last_epoch_has_a_name(capsys):
    last, number = (explained(capsys, "--epoch", word, "--row", 1, "--unit", 1)[1] for word in ("last", 200))
    assert last == number
    assert last.startswith("Epoch 200 ")


@pytest.mark.extended
def test_the_small_example_shows_every_product_and_its_numbers_are_exact(capsys):
    code, out, err = explained(capsys, "--small")
    assert (code, err) == (0, "")
    before, _, lines = out.partition("\n\nh = ")
    given = dict(re.findall(r"(\w+) = (\[\[.*?\]\])", before, re.DOTALL))
    arrays = {name: np.array(re.findall(r"-?\d+\.\d\d", text), float) for name, text in given.items()}
    x, y, w1, b1, w2, b2 = (arrays[name].reshape(shape) for name, shape in SMALL.items())
    epoch = numpy_epoch(w1, b1, w2, b2, x, y, 0.02)
    shown = {}
    for name, index, products, value in re.findall(r"^  (\w+)(\[.*?\])? = (.*) = (-?\d+\.\d\d)$", lines, re.MULTILINE):
        python = products.replace("·", "*").replace("²", "**2")
        assert eval(python, {"where": np.where}) == pytest.approx(float(value), abs=1e-9)
        shown[name, index] = float(value)
    assert {name for name, _ in shown} == set(Epoch._fields)
    for (name, index), value in shown.items():
        expected = epoch[name][tuple(json.loads(index))] if index else epoch[name]
        assert value == pytest.approx(float(expected), abs=1e-9), name
    after = numpy_epoch(*(epoch[name] for name in ("w1", "b1", "w2", "b2")), x, y)["loss"]
    assert out.splitlines()[-1].startswith(f"Loss after the step: about {after:.2f} (rounded).")


@pytest.mark.extended
def test_the_small_example_as_json_and_with_an_option_that_it_ignores(command):
    code, (line,), _ = command("explain", "--small", "--json")
    assert code == 0
    assert [entry["code"] for entry in json.loads(line)["lines"]] == [code for code, _ in explain._page()]
    code, out, (message,) = command("explain", "--small", "--row", 0, "--unit", 3)
    assert (code, out) == (2, [])
    assert message == "jaxmlp explain: --small has its own network and rows; leave out --row, --unit"


@pytest.mark.extended
def test_the_loss_has_the_digits_of_the_tutorial_at_the_same_epoch_and_seed(table, capsys):
    assert main(["tutorial", "--seed", str(SEED), "--every", str(EPOCH), "--epochs", str(EPOCH)]) == 0
    logged = re.match(r"Epoch: 57 Loss: (\S+)\n", capsys.readouterr().out)[1]
    (line,) = (line for line in table if line.startswith("  loss = "))
    assert line.split()[-1] == logged


def test_json_holds_the_same_numbers_in_full(capsys, expected):
    code, out, err = explained(capsys, *WORDS, "--json")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert [result[name] for name in ("epoch", "row", "unit", "seed")] == [EPOCH, ROW, UNIT, SEED]
    assert result["wrong"] == []
    for name, values in result["given"].items():
        np.testing.assert_allclose(values, numbers(name, expected[0][name]), rtol=1e-10)
    assert [line["name"] for line in result["lines"]] == list(Epoch._fields)
    for line in result["lines"]:
        name, array = line["name"], expected[1][line["name"]]
        assert line["code"].startswith(f"{name} = ")
        assert line["shape"] == list(array.shape)
        np.testing.assert_allclose(line["values"], numbers(name, array), rtol=tolerance(name))
        if name in GRADIENTS:
            np.testing.assert_allclose(line["jax_grad"], numbers(name, array), rtol=1e-10)
            assert line["worst"] < 1e-12
        else:
            assert line["jax_grad"] is line["worst"] is None


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", GRADIENTS)
def test_a_wrong_gradient_gets_a_cross_and_exit_1(name, capsys, monkeypatch):
    @functools.wraps(tutorial_epoch)
    def wrong(*args):
        epoch = tutorial_epoch(*args)
        return epoch._replace(**{name: 1.001 * getattr(epoch, name)})

    monkeypatch.setattr(explain, "tutorial_epoch", wrong)
    code, out, err = explained(capsys, "--row", 1)
    crossed = [line.split()[0] for line in out.splitlines() if line.endswith("✗") and " = " in line]
    assert (code, crossed) == (1, [name])
    assert err == f"jaxmlp explain: not the gradient that jax.grad computes: {name}\n"


def test_a_loss_that_is_not_finite_fails_with_one_line(capsys, monkeypatch):
    x, y, params = draw(0)
    monkeypatch.setattr(explain, "draw", lambda _: (np.float32(1e30) * x, y, params))
    code, out, err = explained(capsys)
    assert (code, out) == (1, "")
    assert err == "jaxmlp explain: the loss is not finite at epoch 1; try another --seed\n"


def test_marks_are_words_where_stdout_cannot_write_a_tick(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert explain._marks() == ("ok", "WRONG")
