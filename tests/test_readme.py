"""README and docs: their snippets and commands run, their output is real, and what they point to exists."""

import os
import pathlib
import re
import shlex
import subprocess
import sysconfig
from importlib import util

import jax
import numpy as np
import pytest

from jaxmlp.cli import main

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8")} | PAGES
README = PAGES["README.md"]
# Snippets of Python, and commands: lines of a shell block, or at the end of a bullet.
SNIPPET = re.compile(r"^```(python|sh)\n(.*?)```$|^\* \*\*[^\n]*: `(jaxmlp [^\n`]*)`$", re.DOTALL | re.MULTILINE)


def snippets_of(page):
    """(line number, "python" or "sh", code) of each snippet of a page, in order."""
    for match in SNIPPET.finditer(PAGES[page]):
        language, code, command = match.groups()
        yield PAGES[page][: match.start()].count("\n") + 2, language or "sh", code or command


def commands_of(page):
    """The lines of the shell blocks of a page, in order."""
    return [line for _, language, code in snippets_of(page) if language == "sh" for line in code.splitlines()]


def shorten(line):
    """The words of a command, with smaller networks; a search that is repeated or resumed has its plan already."""
    words = shlex.split(line)[1:]
    if words[0] == "train" and not {"--plan", "--resume"} & {*words}:
        words += ["--fast", "--epochs", "2"] + ["--hidden", "8"] * ("--hidden" not in words)
    if "--html" in words:
        words.append("--no-open")
    return ["10" if word == "1000" else word for word in words]


# Commands of the README that a page of docs/ repeats, and which run there.
REPEATED = {line for page in PAGES if page != "README.md" for line in commands_of(page)}


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user's directory with the example tables, and JAX without the strict mode of our tests."""
    monkeypatch.chdir(tmp_path)
    pathlib.Path("docs").mkdir()
    pathlib.Path("docs/examples").symlink_to(ROOT / "docs" / "examples")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


# The API reference has an example for each part of the package: half a minute.
RUN = [pytest.param(page, marks=pytest.mark.slow) if page == "docs/reference.md" else page for page in PAGES]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("page", RUN)
def test_snippets_and_commands_run_in_order(page, user):
    for line, language, code in snippets_of(page):
        if language == "python":
            if any(util.find_spec(name) is None for name in ("flax", "equinox") if f"import {name}" in code):
                continue  # An example for users of that package.
            names = {}
            exec(compile("\n" * (line - 1) + code, page, "exec"), names)
            losses = np.asarray(names.get("losses", (1, 0)))
            assert np.all(losses[..., -1] < losses[..., 0]), f"{page}, line {line}"
        else:
            for command in code.splitlines():
                is_repeated = page == "README.md" and command in REPEATED
                # tests/test_cli_check.py runs `jaxmlp check`, which takes long.
                if command.startswith("jaxmlp ") and command != "jaxmlp check" and not is_repeated:
                    assert main(shorten(command)) == 0, command


@pytest.mark.slow
def test_the_commands_of_the_readme_run_as_typed(user):
    """Those that install and test are run by CI; the others here, as users run them: two minutes."""
    commands = [line for line in commands_of("README.md") if line.startswith("jaxmlp ")]
    assert len(commands) > 4
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("JAX", "XLA"))}
    ours["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), ours["PATH"]])
    for command in dict.fromkeys(commands):
        done = subprocess.run(command, shell=True, env=ours, capture_output=True, text=True)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), f"{command}\n{done.stderr}"


def test_the_first_output_is_that_of_seed_0(capsys):
    shown = re.search(r"```text\n(Epoch.*?)```", README, re.DOTALL).group(1).splitlines()
    assert main(["--seed", "0"]) == 0
    printed = capsys.readouterr().out.splitlines()
    losses = dict(line.split(" Loss: ") for line in printed if " Loss: " in line)
    for line in shown:
        if " Loss: " in line:
            epoch, loss = line.split(" Loss: ")
            np.testing.assert_allclose(float(losses[epoch]), float(loss), rtol=1e-4)
    assert shown[-4:] == printed[-4:]


def test_the_two_commands_are_there_for_ci_to_run():
    assert [line.split(" && ")[1] for line in commands_of("README.md") if line.startswith("pip install")] == [
        "python -m jaxmlp",
        "python -m pytest",
    ]


def test_the_first_link_of_the_readme_is_the_page_and_its_picture_moves():
    assert re.search(r"\]\(([^)]*)\)", README)[1] == "docs/see-it-learn.html"
    (picture,) = re.findall(r"!\[[^]]*\]\((docs/pictures/see-it-learn[^)]*)\)", README)
    content = (ROOT / picture).read_bytes()
    assert content.count(b"ANMF") > 10  # frames of an animated WebP
    assert len(content) < 1_000_000


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_exist(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", PAGES[page]):
        assert ((ROOT / page).parent / target).exists(), target
    for name in re.findall(r"`([\w/.-]+/[\w.-]+\.(?:py|md|csv|png|toml))`", PAGES[page]):
        assert (ROOT / name).exists() or (ROOT / "jaxmlp" / name).exists(), name


def test_the_map_names_what_is_in_the_files():
    """In tables of the page for contributors, names after a file stand in that file."""
    rows = [line for line in PAGES["docs/CONTRIBUTING.md"].splitlines() if line.startswith("|")]
    places = [place for row in rows for place in re.findall(r"`([\w/]+\.py)`((?:,? (?:and )?`\w+`)*)", row)]
    assert len(places) > 20
    for path, names in places:
        path = ROOT / path if (ROOT / path).exists() else ROOT / "jaxmlp" / path
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^ *(def|class) {name}\b|^{name}\b.* =|^ +{name}: ", text, re.MULTILINE), (path, name)
