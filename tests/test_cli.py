"""The command and its subcommand `tutorial`, called as a function; some calls as processes."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import pytest
from helpers import files_no_longer_than

import jaxmlp


def test_the_tutorial_prints_twenty_losses_and_the_slopes_next_to_the_true_coefficients(command):
    code, out, err = command("tutorial", "--seed", 0)
    assert code == 0
    epochs = [re.fullmatch(r"Epoch: (\d+) Loss: (\d+\.\d+)", line) for line in out[:20]]
    assert [int(match[1]) for match in epochs] == list(range(10, 201, 10))
    losses = [float(match[2]) for match in epochs]
    assert losses[0] > losses[9] > losses[19] > 50
    assert out[20] == ""
    rows = [line.split() for line in out[22:]]
    assert [(name, true) for name, true, _ in rows] == [("x1", "0.2"), ("x2", "-1.3"), ("x3", "-0.5")]
    assert all(abs(float(mean) - float(true)) < 0.4 for _, true, mean in rows)
    assert any(line.startswith("Device: cpu") and jax.__version__ in line for line in err)
    assert any(re.fullmatch(r"Seed: 0; compile \d+\.\d\d s, run \d+\.\d\d ms", line) for line in err)
    assert err[-1] == "To train on a table: jaxmlp train FILE --target COLUMN"


# Runs the three documented lines, `jaxmlp tutorial` and `jaxmlp explain`, and prints the losses that they give.
THREE_WAYS = r"""
import contextlib, io, json, re, sys
import jax
import jaxmlp.tutorial
from jaxmlp.cli import main

def losses_of(*words):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        assert main([str(word) for word in words]) == 0
    return re.findall(r"Loss: (\S+)|loss = .* (\S+)\n", out.getvalue())

for seed in (0, 1, 2**32 - 1):
    lines = [line[4:] for line in jaxmlp.tutorial.__doc__.splitlines() if line.startswith("    ")]
    names = vars(jaxmlp.tutorial).copy()
    exec("\n".join(lines).replace("key(0)", f"key({seed})"), names)
    python = [f"{loss:.7g}" for loss in names["losses"]]
    command = [loss for loss, _ in losses_of("tutorial", "--seed", seed, "--every", 1)]
    epoch = {0: 1, 1: 10}.get(seed, 200)
    (_, explain), = losses_of("explain", "--seed", seed, "--epoch", epoch)
    print(json.dumps([python, command, python[epoch - 1], explain]))
"""


@pytest.mark.extended
def test_three_lines_of_python_the_tutorial_and_explain_give_the_same_losses():
    # A new process, because the tests compile with fewer optimizations than users.
    environment = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", THREE_WAYS], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    for line in done.stdout.splitlines():
        python, tutorial, loss, explain = json.loads(line)
        assert len(python) == 200
        assert tutorial == python
        assert explain == loss


def test_json_holds_one_object_and_all_losses(command):
    code, out, _ = command("--seed", 0, "--epochs", 25, "--json")  # The tutorial is the default subcommand.
    (line,) = out
    result = json.loads(line)
    assert code == 0
    assert len(result["losses"]) == result["epochs"] == 25
    assert result["true_coefficients"] == [0.2, -1.3, -0.5]
    assert {"seed", "hidden", "activation", "mean_slopes", "platform", "compile_seconds"} <= set(result)


@pytest.mark.extended
def test_options_reach_the_network(command, tmp_path):
    plot = tmp_path / "run.png"
    words = ["--hidden", "8,4", "--activation", "tanh", "--epochs", 7, "--every", 3, "--learning-rate", 1e-3]
    code, out, err = command("tutorial", "--seed", 1, *words, "--plot", plot)
    assert code == 0
    assert [line.split()[1] for line in out[:3]] == ["3", "6", "7"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert f"Plot: {plot}" in err
    assert any("he_normal" in line for line in err)


@pytest.mark.extended
def test_members_are_trained_together_and_their_spread_is_printed_and_plotted(command, tmp_path):
    plot = tmp_path / "run.svg"
    words = ["tutorial", "--seed", 0, "--members", 100, "--every", 100]
    code, out, _ = command(*words, "--plot", plot)
    assert code == 0
    line = re.fullmatch(r"Epoch: 200 Loss: (\S+) \(90 % of the networks: (\S+) to (\S+)\)", out[1])
    middle, low, high = (float(number) for number in line.groups())
    assert low < middle < high
    assert all(re.search(r"-?\d\.\d\d ± \d\.\d\d$", row) for row in out[-3:])
    assert "90 % of the networks" in plot.read_text()


def test_no_epochs_print_the_slopes_of_the_initial_network(command):
    code, out, _ = command("tutorial", "--seed", 0, "--epochs", 0)
    assert code == 0
    assert len(out) == 5


def test_no_hidden_layer_is_a_linear_model(command):
    code, out, _ = command("tutorial", "--seed", 1, "--hidden", 0, "--epochs", 7, "--json")
    assert code == 0
    assert json.loads(out[0])["hidden"] == []


def test_a_run_that_diverges_fails_and_names_the_epoch(command):
    code, _, err = command("tutorial", "--seed", 0, "--learning-rate", 10, "--epochs", 7)
    assert code == 1
    assert re.search(r"the loss is not finite from epoch \d on; try a smaller --learning-rate", err[-1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tutorial", "--epochs", "-1"], "argument --epochs: '-1' is not a whole number from 0 to 10000000"),
        (["tutorial", "--every", "0"], "argument --every: '0' is not a whole number from 1 to 10000000"),
        (["tutorial", "--learning-rate", "nan"], "argument --learning-rate: 'nan' is not a number of at least 0"),
        (["tutorial", "--hidden", "32,x"], "argument --hidden: '32,x' is not a list of widths such as 64,64"),
        (["tutorial", "--activation", "step"], "argument --activation: invalid choice: 'step'"),
        (["tutorial", "--plot", "plot"], "--plot plot: the name must end in .png, .svg or .pdf"),
        (["tutorial", "--plot", "no/such/run.png"], "--plot no/such/run.png: no such directory"),
        (["tutorial", "--plot", "run.txt"], "--plot run.txt: the name must end in"),
        (["tutorial", "--seed", str(2**40)], "is not a whole number from 0 to 2**32 - 1"),
        (["explain", "--row", "100"], "argument --row: '100' is not one of 0 to 99, counted from 0"),
        (["explain", "--row", "-1"], "argument --row: '-1' is not one of 0 to 99"),
        (["explain", "--unit", "32"], "argument --unit: '32' is not one of 0 to 31"),
        (["explain", "--unit", "1.5"], "argument --unit: '1.5' is not one of 0 to 31"),
        (["explain", "--epoch", "0"], "argument --epoch: '0' is not a whole number from 1 to 10000000"),
        (["explain", "--seed", str(2**40)], "is not a whole number from 0 to 2**32 - 1"),
        (["tutorial", "--epochs", "1" + "0" * 400], "is not a whole number from 0 to 10000000"),
        (["tutorial", "--see", "3"], "unrecognized arguments: --see 3"),
        (["--see", "3"], "unrecognized arguments: --see 3"),
        (["learn"], "invalid choice: 'learn'"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(command, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*words)
    assert code == 2
    assert out == []
    (line,) = err
    assert line.startswith("jaxmlp")
    assert message in line


@pytest.mark.parametrize("odd", ["\x1b[2J", "a\nb", "\r", "\x7f", "\x9b1m", "\u202eabc", "\u2028", "\udcff"])
def test_what_users_type_is_printed_on_one_line_without_control_characters(command, odd):
    for words in (
        [odd], ["tutorial", odd], ["tutorial", f"--see={odd}"], ["tutorial", "--epochs", odd], ["show", odd],
        ["tutorial", "--activation", odd], ["tutorial", "--plot", odd], ["tutorial", "--plot", f"{odd}/x.png"],
        ["predict", odd, odd, "-o", f"{odd}/out.csv"], ["train", odd, "--target", odd], ["explain", "--row", odd],
        ["train", f"{odd}.csv", "--target", "x", "--plan", odd], ["export", odd, "-o", odd],
    ):  # fmt: skip
        code, out, err = command(*words)
        assert (code, out, len(err)) == (2, [], 1), words
        assert err[0].isprintable()
        assert repr(odd)[1:-1] in err[0]


def test_a_full_disk_is_one_line(command, monkeypatch):
    if not pathlib.Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code, _, err = command("tutorial", "--epochs", 10)
    assert code == 1
    assert err[-1] == "jaxmlp tutorial: cannot write the output: No space left on device"


def test_ctrl_c_is_130(command, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxmlp.cli.tutorial._draw", interrupted)
    assert command("tutorial") == (130, [], ["interrupted"])


def test_a_missing_extra_is_one_line_that_says_how_to_install_it(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = command("tutorial", "--plot", "run.png")
    assert (code, out) == (1, [])
    (line,) = err
    assert line.startswith("jaxmlp tutorial: matplotlib is needed")
    assert line.endswith("pip install 'jaxmlp[plot]'")


def test_the_version_is_that_of_the_package(command):
    assert command("--version") == (0, [f"jaxmlp {jaxmlp.__version__}"], [])


def test_python_m_jaxmlp_trains_on_new_data():
    done = subprocess.run([sys.executable, "-m", "jaxmlp"], capture_output=True, text=True, check=True, timeout=120)
    assert [line.split()[1] for line in done.stdout.splitlines()[:20]] == [str(k) for k in range(10, 201, 10)]
    assert done.stderr.splitlines()[-1] == "To train on a table: jaxmlp train FILE --target COLUMN"


@pytest.mark.extended
def test_the_tutorial_imports_no_optional_package_and_no_other_subcommand():
    script = "import sys; from jaxmlp.cli import main; main(['--epochs', '0']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    modules = set(done.stdout.splitlines()[-1].split())
    own = {name.removeprefix("jaxmlp.cli.") for name in modules if name.startswith("jaxmlp.cli.")}
    assert own == {"common", "process", "tutorial"}
    assert not modules & {"optax", "polars", "safetensors", "tqdm", "matplotlib", "sklearn", "pandas"}


def test_the_command_answers_ctrl_c_before_it_imports_what_takes_long():
    script = "import jaxmlp, jaxmlp.cli, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert not {"jax", "numpy", "argparse"} & set(done.stdout.split())


def test_a_mistake_in_the_call_is_returned_as_a_code(command, capsys):
    from jaxmlp.cli import main

    assert (main(["learn"]), main(["--version"])) == (2, 0)


@pytest.mark.extended
def test_a_plot_that_cannot_be_written_comes_after_the_losses(command, tmp_path):
    with files_no_longer_than(500):
        code, out, err = command("tutorial", "--seed", 0, "--plot", tmp_path / "run.svg")
    assert (code, len(out)) == (1, 25)
    assert err[-1] == f"jaxmlp tutorial: cannot write {tmp_path / 'run.svg'}: File too large"
    assert not list(tmp_path.iterdir())


def test_a_stderr_that_cannot_be_written_costs_its_lines_only(command, monkeypatch):
    if not pathlib.Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        code, out, _ = command("tutorial", "--seed", 0)
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert (code, len(out)) == (0, 25)


@pytest.mark.extended
def test_a_closed_pipe_ends_the_command_without_a_message():
    script = (
        "import sys; from jaxmlp.cli import main; sys.exit(main(['tutorial', '--every', '1', '--epochs', '20000']))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait()
    process.stderr.close()
