"""`jaxmlp train`: a model of a table and its report, or one line that says why there is none."""

import contextlib
import html as html_module
import io
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import jax
import numpy as np
import polars
import pytest
from fuzz import TARGET, draw_table
from helpers import files_no_longer_than
from tables import FAST, SEARCH, SMALL, N, houses, words

import jaxmlp
from jaxmlp.fitting import loop
from jaxmlp.pipeline import describe_report
from jaxmlp.pipeline import run as pipeline
from jaxmlp.report import build_report

TRAIN = ("train", "houses.csv", "--target", "price")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A user's directory, with a table."""
    monkeypatch.chdir(tmp_path)
    houses().write_csv("houses.csv")


def numbers(line):
    """The numbers of a line of the report."""
    return [float(text) for text in re.findall(r"-?\d[\d.]*(?:e[+-]?\d+)?", line)]


def scores(out):
    """The scores of the models in a report, each with its standard error, by label; and the label of the saved one."""
    lines = [re.split(r"  +", line) for line in out[3 : out.index("", 2)]]
    (saved,) = (line[0] for line in lines if line[-1] == "<- saved")
    return {label: numbers(" ".join(cells)) for label, *cells in lines}, saved


@pytest.mark.extended
def test_the_search_compares_models_ranks_columns_and_ends_with_the_command_to_predict(command):
    options = SMALL | {"epochs": 100, "learning_rate": 0.02, "weight_decay": 0.1, "plot": "run.svg"}
    code, out, err = command(*TRAIN, *words(options))
    assert code == 0
    assert out[0] == "price: better than the constant and the linear baseline"
    rows, saved = scores(out)
    assert list(rows) == ["network and linear, mean", "network", "boosted trees", "linear", "constant (mean)"]
    assert out[2].split() == ["model", "RMSE"]
    assert rows["network"][0] < 0.6 * rows["linear"][0] < rows["constant (mean)"][0]
    assert saved == "network"
    (measured,) = (line for line in out if line.startswith("Measured: "))
    assert measured.startswith("Measured: RMSE on 80 held-out rows, 5 folds, 15 networks; ± is one standard error. ")
    assert measured.endswith("What predicts the rows of a fold was chosen by the rows of the others")
    start = next(k for k, line in enumerate(out) if line.startswith("Columns that matter (permutation importance"))
    ranked = [line.split()[0] for line in out[start + 1 : start + 5]]
    assert ranked[:2] == ["rooms", "city"]  # a column once, whatever its number of inputs
    assert set(ranked[2:]) == {"zone", "age"}
    assert "Left out: street (constant)" in err
    assert any(line.startswith("Missing values replaced by the mean") and "age" in line for line in err)
    assert err[-1] == "Plot: run.svg"
    assert "better than the constant" in pathlib.Path("run.svg").read_text()

    assert out[-1] == "jaxmlp predict houses.safetensors houses.csv"
    predicted = command(*shlex.split(out[-1])[1:])[1]
    assert predicted[0] == "std,low,high,prediction"
    std, low, high, prediction = np.array([line.split(",") for line in predicted[1:]], float).T
    assert (std > 0).all()
    assert ((low < prediction) & (prediction < high)).all()
    price = houses()["price"].to_numpy()
    assert np.mean((low <= price) & (price <= high)) > 0.85


def test_everything_printed_is_data_in_the_result(command):
    _, out, err = command(*TRAIN, *words(FAST))
    result = jaxmlp.fit_table("houses.csv", "price", **FAST)
    assert out == [*describe_report(result.report), "", "Model: houses.safetensors. To predict:", out[-1]]
    assert err[:-1] == list(result.notes)
    assert re.fullmatch(r"1 network, \d+\.\d s", err[-1])


def test_json_is_one_object_that_holds_all_of_it(command):
    code, (line,), _ = command(*TRAIN, *words(FAST), "--json")
    printed = json.loads(line)
    assert code == 0
    report = jaxmlp.fit_table("houses.csv", "price", **FAST).report
    assert printed == printed | json.loads(json.dumps(report))
    model = jaxmlp.load_model(printed["model"])
    assert printed["plan"] == model.plan
    assert printed["left_out"] == {"street": "constant"}
    assert (printed["file"], printed["model"], printed["seed"]) == ("houses.csv", "houses.safetensors", 0)
    assert printed["predict"] == "jaxmlp predict houses.safetensors houses.csv"
    assert any(note.startswith("Plan: ") for note in printed["notes"])
    assert printed["seconds"] > 0
    assert "jax" in printed["platform"]


def test_the_same_seed_gives_the_same_file(command):
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        assert command(*TRAIN, *words(FAST), "--seed", seed, "--out", name)[0] == 0
    one, two, three = (pathlib.Path(name).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


@pytest.mark.extended
def test_options_are_those_of_fit_table(command):
    """Each option reaches the plan."""
    options = FAST | {"optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 0.001, "patience": 7, "members": 2}
    command(*TRAIN, *words(options), "--activation", "tanh", "--drop", "street,zone", "--drop", "age")
    model = jaxmlp.load_model("houses.safetensors")
    candidates = [{"learning_rate": 0.01, "weight_decay": 0.001, "hidden": [8], "bins": 16, "is_log": False}]
    assert model.plan == {
        "folds": 1, "members": 2, "candidates": candidates, "epochs": 8, "batch_size": 8, "patience": 7, "cycles": 1,
        "activation": "tanh", "optimizer": "sgd", "trees": True,
    }  # fmt: skip
    assert [column.name for column in model.recipe.columns] == ["rooms", "city"]
    assert len(model.recipe.left_out) == 3
    predicted = command("predict", "houses.safetensors", "houses.csv")[1]
    assert predicted[0] == "std,low,high,prediction"
    assert all(float(line.split(",")[0]) > 0 for line in predicted[1:])


@pytest.mark.extended
def test_text_is_classified_from_csv_as_from_parquet(command):
    rng = np.random.default_rng(0)
    frame = houses().drop("price")
    sold = np.where((frame["city"] == "Oslo").to_numpy() ^ (rng.random(N) < 0.05), "yes", "no")
    frame = frame.with_columns(sold=sold, name=polars.Series([f"House, the {k}th" for k in range(N)]))
    frame.write_csv("sold.csv")
    frame.write_parquet("sold.parquet")
    options = (*words(FAST), "--epochs", 60, "--learning-rate", 0.02)
    code, out, err = command("train", "sold.csv", "--target", "sold", *options, "--predictions", "held-out.csv")
    assert code == 0
    assert out[2].split() == ["model", "log", "loss", "accuracy"]
    rows, saved = scores(out)
    assert rows[saved][2] >= 75
    assert any("name (80 texts in 80 rows, like an identifier)" in line for line in err)
    predicted = command("predict", "sold.safetensors", "sold.csv")[1]
    assert re.fullmatch("probability_no,probability_yes,(std,)?prediction", predicted[0])
    lines = [line.split(",") for line in predicted[1:]]
    assert all(abs(float(no) + float(yes) - 1) < 1e-6 for no, yes, *_ in lines)
    assert all((float(yes) > 0.5) == (name == "yes") for _, yes, *_, name in lines)
    held_out = polars.read_csv("held-out.csv")
    right = (held_out["target"] == held_out["prediction"]).mean()
    assert [f"{right:.1%}" in line for line in out if line.endswith("<- saved")] == [True]

    assert command("train", "sold.parquet", "--target", "sold", *options, "--out", "other")[0] == 0
    assert command("predict", "other", "sold.parquet")[1] == predicted


@pytest.mark.extended
def test_the_intervals_of_counts_are_wider_for_larger_predictions_and_never_negative(command):
    rng = np.random.default_rng(0)
    frame = polars.concat([houses().drop("price")] * 12).with_columns(rooms=rng.uniform(1, 9, size=12 * N))
    calls = rng.poisson(np.exp(frame["rooms"] / 2))
    frame.with_columns(calls=calls).write_csv("calls.csv")
    options = (*words(SMALL), "--fast", "--epochs", 15, "--learning-rate", 0.02, "--task", "counts")
    code, out, _ = command("train", "calls.csv", "--target", "calls", *options)
    assert code == 0
    rows, saved = scores(out)
    assert rows[saved][0] < 0.2 * rows["constant (mean)"][0]  # the deviance
    (line,) = (line for line in out if line.startswith("90 % prediction intervals, "))
    below, above, held = numbers(line)[1:]
    assert 0 < below < above
    assert 80 <= held <= 100
    predicted = command(*shlex.split(out[-1])[1:])[1]
    low, high, prediction = np.array([row.split(",")[-3:] for row in predicted[1:]], float).T
    assert low.min() >= 0
    assert np.corrcoef(high - low, prediction)[0, 1] > 0.8
    assert np.corrcoef(prediction, np.exp(frame["rooms"] / 2))[0, 1] > 0.9
    assert np.mean((low <= calls) & (calls <= high)) > 0.85


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["held-out.csv", "held-out.parquet"])
def test_predictions_of_held_out_rows_are_written(command, name):
    frame = houses().with_columns(price=polars.when(polars.int_range(N) % 4 > 0).then("price"))
    polars.concat([frame, houses().head(20)]).write_csv("houses.csv")  # 80 rows have a target
    code, _, err = command(*TRAIN, *words(FAST), "--predictions", name)
    assert code == 0
    assert f"Predictions: {name}, 16 rows" in err
    table = polars.read_csv(name) if name.endswith("csv") else polars.read_parquet(name)
    assert table.columns == ["row", "fold", "target", "low", "high", "prediction"]
    result = jaxmlp.fit_table("houses.csv", "price", **FAST)
    digits, prices = result.model.recipe.digits, polars.read_csv("houses.csv")["price"]
    assert 0.1**digits < 1e-4 * prices.std()
    ends = ["low", "high", "prediction"]
    assert table.equals(result.predictions.with_columns(polars.col(ends).round(digits)))
    assert table["target"].to_list() == prices.gather(table["row"] - 1).to_list()


@pytest.mark.extended
def test_a_search_writes_a_prediction_of_each_row(command):
    options = words(SEARCH)
    assert command(*TRAIN, *options, "--predictions", "all.csv")[0] == 0
    table = polars.read_csv("all.csv")
    assert sorted(table["row"]) == list(range(1, N + 1))
    assert sorted(table["fold"].unique()) == [1, 2, 3, 4, 5]


def test_a_terminal_shows_how_much_of_a_large_file_is_read(command, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("jaxmlp.cli.train.LARGE_FILE", 100)
    assert "Reading" not in "".join(command(*TRAIN, *words(FAST))[2])
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    command(*TRAIN, *words(FAST))
    assert "Reading houses.csv: 100%" in terminal.getvalue()
    assert "Training: 100%" in terminal.getvalue()


def test_a_table_from_standard_input(command, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(pathlib.Path("houses.csv").read_bytes())))
    code, out, _ = command("train", "-", "--target", "price", *words(FAST))
    assert (code, out[-1]) == (0, "jaxmlp predict model.safetensors -")
    command(*TRAIN, *words(FAST))
    assert pathlib.Path("model.safetensors").read_bytes() == pathlib.Path("houses.safetensors").read_bytes()


@pytest.mark.extended
def test_noise_is_no_better_than_the_constant_baseline(command):
    price = np.random.default_rng(0).normal(size=N)
    houses().with_columns(price=price).write_csv("houses.csv")
    code, out, _ = command(*TRAIN, *words(SEARCH))
    assert code == 0
    assert out[0] == "price: no better than the constant baseline"


def test_odd_names_of_columns_stay_on_one_line(command):
    names = {"rooms": "rooms\nand baths", "city": "$x^{$", "zone": "z" * 60, "price": "price\n$"}
    houses().rename(names).write_csv("houses.csv")
    code, out, _ = command("train", "houses.csv", "--target", "price\n$", *words(FAST), "--plot", "run.svg")
    assert code == 0
    assert out[0].startswith(r"'price\n$': ")
    assert {line.split("  ")[1].strip() for line in out[-7:-3]} == {
        r"'rooms\nand baths'", "$x^{$", f"'{'z' * 40}…'", "age",
    }  # fmt: skip
    shown = command("show", "houses.safetensors")[1]
    assert r"regression of 'price\n$'" in shown
    assert any(line.startswith(r"  'rooms\nand baths': number, mean") for line in shown)


@pytest.mark.extended
@pytest.mark.parametrize("name", ["-a $HOME's.csv", "\x1b[31m\n\u202e\udcff\\.csv"], ids=["dash", "unprintable"])
def test_odd_names_of_files_are_escaped_and_the_command_to_predict_can_be_pasted(command, name):
    pathlib.Path("houses.csv").rename(name)
    code, out, err = command("train", "--target", "price", *words(FAST), "--plot", f"{name}.svg", "--", name)
    assert code == 0
    assert all(line.isprintable() for line in out + err)
    bash = ["bash", "-c", f"printf '%s\\0' {out[-1]}"]
    pasted = list(map(os.fsdecode, subprocess.run(bash, capture_output=True).stdout.split(b"\0")[:-1]))
    prefix = "./" if name.startswith("-") else ""
    assert pasted == ["jaxmlp", "predict", f"{prefix}{name.removesuffix('.csv')}.safetensors", prefix + name]
    assert [*map(len, command(*pasted[1:])[1:])] == [N + 1, 0]
    for mistake in (["predict", name], ["predict", "--", name, name], ["show", "--", f"{name}none"]):
        _, _, (line,) = command(*mistake)
        assert line.isprintable()


def test_a_model_without_a_plan_is_one_line(command):
    with jax.enable_x64(True):
        layer = jaxmlp.Layer(np.zeros((2, 1)), np.zeros((1, 1)))
        jaxmlp.save_model(jaxmlp.Model((layer,)), "float64")
    code, out, err = command(*TRAIN, "--plan", "float64")
    assert (code, out) == (2, [])
    assert err == ["jaxmlp train: --plan float64: the model has no plan; it was not made by jaxmlp train"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", 9], "epochs cannot be given: the plan has other values"),
        (["--learning-rate", 0.5], "learning_rate cannot be given"),
        (
            ["--hidden", 9, "--members", 2],
            "hidden, members cannot be given: the plan has other values (hidden 8, not 9; ",
        ),
    ],
)
def test_options_that_contradict_the_plan_are_one_line(command, options, message):
    command(*TRAIN, *words(FAST), "--out", "model")
    code, out, err = command(*TRAIN, "--plan", "model", *options)
    assert (code, out) == (2, [])
    assert err[-1].startswith(f"jaxmlp train: {message}")
    assert not pathlib.Path("houses.safetensors").exists()


def test_the_budget_starts_with_the_process(command, monkeypatch):
    budgets = []
    monkeypatch.setattr("time.process_time", lambda: 7.0)

    def refuse(*_, budget, **__):
        budgets.append(budget)
        raise ValueError("enough")

    monkeypatch.setattr("jaxmlp.pipeline.fit_table", refuse)
    for budget in (60, 3):
        assert command(*TRAIN, "--budget", budget)[0] == 2
    assert command(*TRAIN, "--report", "report.html")[0] == 2
    assert budgets == [53, 1, 51]  # Writing the page takes time, too.


@pytest.mark.extended
def test_the_report_is_one_page_with_the_commands_that_can_be_pasted(command, monkeypatch):
    """Its text and numbers: tests/test_report.py."""
    words_of_call = [*map(str, words(FAST)), "--report", "a report.html", "--checkpoint", "kept"]
    code, out, err = command(*TRAIN, *words_of_call)
    assert (code, err[-1]) == (0, "Report: a report.html")
    html = pathlib.Path("a report.html").read_text(encoding="utf-8")
    assert f"price: {re.search('class=verdict>(.*?)<', html)[1]}" == out[0]
    predict, repeat = (html_text(block) for block in re.findall("<pre>(.*?)</pre>", html, re.DOTALL))
    assert predict == out[-1]
    assert shlex.split(repeat) == ["jaxmlp", *TRAIN, *words_of_call]
    result = jaxmlp.fit_table("houses.csv", "price", **FAST)
    seconds = r"\d+\.\d s\."
    same = build_report(result, table="houses.csv", command=repeat, predict=predict)
    assert re.sub(seconds, "", same) == re.sub(seconds, "", html)
    pathlib.Path("a report.html").unlink()
    code, (line,), err = command(*TRAIN, *words_of_call, "--resume", "--json")
    assert (code, err[-1], json.loads(line)["target"]) == (0, "Report: a report.html", "price")
    assert pathlib.Path("a report.html").stat().st_size > 50_000


def html_text(html):
    return html_module.unescape(re.sub("<[^>]*>", "", html))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.pdf", "--report report.pdf: the name must end in .html or .htm"),
        ("no/such/report.html", "--report no/such/report.html: no such directory"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_training(command, name, message):
    assert command(*TRAIN, *words(FAST), "--report", name) == (2, [], [f"jaxmlp train: {message}"])


def test_a_report_without_matplotlib_is_one_line_before_training(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = command(*TRAIN, *words(FAST), "--report", "report.html")
    assert (code, out) == (1, [])
    assert err[-1].endswith("pip install 'jaxmlp[plot]'")
    assert not pathlib.Path("houses.safetensors").exists()


def test_ctrl_c_before_there_is_a_model_is_one_line(command, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "run_epochs", interrupt)
    code, out, err = command(*TRAIN, *words(FAST))
    assert (code, out, err[-1]) == (130, [], "interrupted")
    assert not pathlib.Path("houses.safetensors").exists()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("options", [FAST, SEARCH], ids=["fast", "search"])
def test_training_that_diverges_is_one_line_and_leaves_no_model(command, options):
    code, out, err = command(*TRAIN, *words(options), "--learning-rate", 1e30)
    assert (code, out) == (1, [])
    assert err[-1] == "jaxmlp train: training diverged: try a smaller learning rate"
    assert not pathlib.Path("houses.safetensors").exists()


@pytest.mark.extended
def test_a_full_disk_leaves_the_old_model_and_the_report_is_printed(command):
    report = command(*TRAIN, *words(FAST))[1]
    old = pathlib.Path("houses.safetensors").read_bytes()
    outputs = ["--predictions", "all.csv", "--plot", "run.svg", "--report", "run.html"]
    with files_no_longer_than(500):
        code, out, err = command(*TRAIN, *words(FAST), *outputs)
        code_json, (line,), _ = command(*TRAIN, *words(FAST), "--json")
    assert (code, code_json) == (1, 1)
    assert out == report[:-3]  # without the command to predict
    names = ("houses.safetensors", "all.csv", "run.svg", "run.html")
    assert err[-1] == "jaxmlp train: " + "; ".join(f"cannot write {name}: File too large" for name in names)
    printed = json.loads(line)
    assert (printed["model"], printed["predict"], printed["networks"]) == (None, None, 1)
    assert pathlib.Path("houses.safetensors").read_bytes() == old
    assert sorted(path.name for path in pathlib.Path().iterdir()) == ["houses.csv", "houses.safetensors"]


@pytest.mark.extended
def test_predictions_and_a_plot_that_cannot_be_written_cost_neither_model_nor_report(command, monkeypatch):
    report = command(*TRAIN, *words(FAST))[1]
    pathlib.Path("houses.safetensors").unlink()
    pathlib.Path("gone").mkdir()

    def remove(*arguments, **options):
        pathlib.Path("gone").rmdir()
        return jaxmlp.fit_table(*arguments, **options)

    monkeypatch.setattr("jaxmlp.pipeline.fit_table", remove)
    code, out, err = command(*TRAIN, *words(FAST), "--predictions", "gone/all.csv", "--plot", "gone/run.png")
    assert (code, out) == (1, report)
    names = ("gone/all.csv", "gone/run.png")
    assert err[-1] == "jaxmlp train: " + "; ".join(f"cannot write {name}: No such file or directory" for name in names)
    assert jaxmlp.load_model("houses.safetensors").report["target"] == "price"


@pytest.mark.extended
def test_a_checkpoint_that_cannot_be_written_is_one_line_and_the_search_goes_on(command):
    with files_no_longer_than(500):
        code, out, err = command(*TRAIN, *words(SEARCH), "--checkpoint", "kept")
    assert (code, out[0].startswith("price: ")) == (1, True)
    lines = [line for line in err if "candidate" in line]
    message = "cannot write kept/candidate-0-0.safetensors: File too large; training goes on without the checkpoint"
    assert lines == [f"Warning: {message}"]


def test_a_file_that_is_no_model_is_not_overwritten(command):
    for name in ("houses.safetensors", "notes.txt"):
        pathlib.Path(name).write_text("a user's file")
        code, out, err = command(*TRAIN, *words(FAST), *([] if name.startswith("houses") else ["--out", name]))
        assert (code, out) == (2, [])
        message = f"--out {name}: the file exists and is no jaxmlp model; choose another name, or delete it"
        assert err == [f"jaxmlp train: {message}"]
        assert pathlib.Path(name).read_text() == "a user's file"


def test_a_search_that_a_directory_holds_is_not_replaced(command):
    pathlib.Path("kept").mkdir()
    file = pathlib.Path("kept/candidate-0-3.safetensors")
    file.write_text("a search")
    code, out, err = command(*TRAIN, *words(FAST), "--checkpoint", "kept")
    assert (code, out) == (2, [])
    assert err == ["jaxmlp train: --checkpoint kept holds a search already; add --resume to continue it, or delete it"]
    assert file.read_text() == "a search"


def test_a_mistake_in_a_table_names_file_column_and_row(command):
    path = pathlib.Path("houses.csv")
    path.write_text(path.read_text() + "0,3,large,Rome,Via,100\n")
    code, out, err = command(*TRAIN)
    assert (code, out) == (2, [])
    fix = "correct it, or leave the field empty"
    assert err == [f"jaxmlp train: houses.csv: column 'rooms', row 81: 'large' is not a number; {fix}"]


@pytest.mark.parametrize("module", ["polars", "safetensors.numpy", "tqdm"])
def test_a_missing_dependency_is_one_line_with_the_line_to_run(command, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    code, out, err = command(*TRAIN, *words(FAST))
    assert (code, out) == (1, [])
    assert err[-1].startswith(f"jaxmlp train: {module}")
    assert err[-1].endswith(" needed for this and not installed: pip install 'jaxmlp[tables]'")
    assert not pathlib.Path("houses.safetensors").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["none.csv", "--target", "price"], "none.csv: no such file"),
        (["none.csv", "--target", "price", "--seed", str(2**63)], "is not a whole number from 0 to 2**32 - 1"),
        (["x" * 5000, "--target", "price"], "cannot be read as a table: File name too long"),
        ([".", "--target", "price"], "'.' is not a file"),
        (["none.csv"], "the following arguments are required: --target"),
        (["houses.csv", "--target", "cost"], "houses.csv: no column 'cost'; the columns are 'zone'"),
        (["houses.csv", "--target", "price", "--drop", "area"], "houses.csv: no column 'area'; the columns are"),
        (["houses.csv", "--target", "price", "--drop", "price"], "--drop price: 'price' is the target"),
        (["houses.csv", "--target", "city", "--task", "counts"], "--task counts needs numbers"),
        (["houses.csv", "--target", "street"], "is the same in all training rows; there is nothing to learn"),
        (["houses.csv", "--target", "price", "--budget", "0"], "--budget 0 leaves no time to train"),
        (["houses.csv", "--target", "price", "--resume"], "--resume needs --checkpoint DIR"),
        (["houses.csv", "--target", "price", "--checkpoint", "houses.csv"], "houses.csv: File exists"),
        (["houses.csv", "--target", "price", "--plan", "houses.csv"], "houses.csv is damaged, or no safetensors file"),
        (["houses.csv", "--target", "price", "--plan", "none"], "cannot read none: No such file or directory"),
        (["houses.csv", "--target", "price", "--out", "no/model"], "--out no/model: no such directory"),
        (["houses.csv", "--target", "price", "--out", "."], "--out .: that is a directory"),
        (["houses.csv", "--target", "price", "--out", "./houses.csv"], "--out houses.csv: that is the table"),
        (["houses.csv", "--target", "price", "--plot", "run.txt"], "--plot run.txt: the name must end in"),
        (["houses.csv", "--target", "price", "--predictions", "x.txt"], "--predictions x.txt: the name must end in"),
        (["houses.csv", "--target", "price", "--predictions", "no/x.csv"], "--predictions no/x.csv: no such directory"),
        (["houses.csv", "--target", "price", "--predictions", "houses.csv"], "houses.csv: that is an input file"),
        (["houses.csv", "--target", "price", "--out", "/proc/model"], "--out: cannot write /proc/model: "),
        (["houses.csv", "--target", "price", "--out", "/dev/null"], "--out: cannot write /dev/null: a device"),
        (["houses.csv", "--target", "price", "--out", ""], "--out .: that is a directory"),
        (["houses.csv", "--target", "price", "--out", "x" * 300], "File name too long"),
        (
            ["houses.csv", "--target", "price", "--predictions", "/proc/x.csv"],
            "cannot write /proc/x.csv: ",
        ),
        (["houses.csv", "--target", "price", "--plot", "/proc/x.png"], "--plot: cannot write /proc/x.png: "),
        (["houses.csv", "--target", "price", "--plot", "x.svg", "--out", "x.svg"], "x.svg: that is the model to write"),
        (["houses.csv", "--target", "price", "--checkpoint", "/proc"], "--checkpoint: cannot write /proc/candidate-0"),
        (["houses.csv", "--target", "price", "--epochs", "0"], "'0' is not a whole number from 1 to 10000000"),
        (["houses.csv", "--target", "price", "--hidden", "8,x"], "'8,x'"),
        (["houses.csv", "--target", "price", "--optimizer", "lbfgs"], "invalid choice: 'lbfgs'"),
        (["houses.csv", "--target", "price", "--learning-rate", "nan"], "'nan' is not a number of at least 0"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(command, line, message):
    code, out, err = command("train", *line)
    assert (code, out) == (2, [])
    (text,) = err
    assert text.startswith("jaxmlp train: ")
    assert message in text
    assert [path.name for path in pathlib.Path().iterdir()] == ["houses.csv"]


def test_too_few_rows_are_one_line(command):
    houses().head(5).write_csv("houses.csv")
    code, out, err = command(*TRAIN)
    assert (code, out) == (2, [])
    assert err[-1].startswith("jaxmlp train: houses.csv: 5 rows with a target; at least 6 are needed")


class EnoughError(Exception):
    """A table that could be trained on, after enough of them."""


@pytest.mark.extended
@pytest.mark.parametrize(
    ("seeds", "models"),
    [
        pytest.param(range(25), 2, id="25"),
        pytest.param(range(25, 2025), 2000, id="2000", marks=pytest.mark.slow),
    ],
)
def test_a_corrupted_table_gives_a_model_or_one_line(command, monkeypatch, seeds, models):
    """All 2,000 tables: python -m pytest -n 0 -m slow tests/test_cli_train.py -k corrupted."""
    trained, refused, prepare_search = 0, 0, pipeline.prepare_search

    def count(*arguments):
        nonlocal trained
        trained += 1
        if trained > models:
            raise EnoughError
        return prepare_search(*arguments)

    monkeypatch.setattr(pipeline, "prepare_search", count)
    for seed in seeds:
        content, suffix = draw_table(seed)
        path = pathlib.Path(f"table{suffix}")
        path.write_bytes(content)
        model = pathlib.Path("table.safetensors")
        model.unlink(missing_ok=True)
        with contextlib.suppress(EnoughError):
            code, out, err = command("train", path, "--target", TARGET, "--hidden", 0, "--fast", "--epochs", 2)
            if code == 0:
                assert out[-1] == f"jaxmlp predict table.safetensors {path}"
                assert all("\n" not in line and len(line) < 2000 for line in out + err)
                code, predicted, _ = command("predict", model, path)
                assert (code, len(predicted) > 1) == (0, True)
                assert command("show", model)[0] == 0
            else:
                refused += 1
                assert (code, out) == (2, []), f"seed {seed}: {err}"
                assert err[-1].startswith("jaxmlp train: "), f"seed {seed}: {err}"
                assert not model.exists()
    assert trained + refused == len(seeds)
    assert trained > len(seeds) / 5
