"""The command's cache of compiled programs."""

import os
import subprocess
import sys
import time

import pytest

from jaxmlp.cli import cache

pytestmark = pytest.mark.portable

PROGRAM = """
import pathlib, sys
import jax
from jaxmlp.cli import main
from jaxmlp.cli.cache import use_cache

def run():
    jax.clear_caches()
    assert main(["--epochs", "2", "--seed", "0"]) == 0
    return {path for path in root.rglob("*") if path.is_file()}

root = pathlib.Path(sys.argv[1])
use_cache()
entries = run()
assert run() == entries
for path in entries:
    path.write_bytes(b"damaged")
run()
print(len(entries))
"""


def run_program(root, **variables):
    """Run the tutorial three times in one process, the last time with damaged entries."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root)], capture_output=True, text=True,
        env=kept | {"XDG_CACHE_HOME": str(root)} | variables,
    )  # fmt: skip


@pytest.mark.extended
def test_a_repeated_command_finds_its_programs_and_damaged_ones_are_ignored(tmp_path):
    done = run_program(tmp_path)
    *lines, entries = done.stdout.splitlines()
    assert done.returncode == 0
    notes = {line.partition(" ")[0] for line in done.stderr.splitlines()}
    assert notes == {"Device:", "Seed:", "To"}, done.stderr
    assert int(entries) > 0
    assert lines[0 : len(lines) // 3] == lines[len(lines) // 3 : 2 * len(lines) // 3] == lines[2 * len(lines) // 3 :]


@pytest.mark.parametrize("variable", ["JAXMLP_CACHE", "JAX_COMPILATION_CACHE_DIR"])
def test_the_user_can_turn_it_off_or_choose_the_folder(monkeypatch, tmp_path, variable):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv(variable, "0")
    cache.use_cache()
    assert not (tmp_path / "cache").exists()


def test_a_place_that_cannot_be_written_is_not_used(monkeypatch, tmp_path):
    (tmp_path / "jaxmlp").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    cache.use_cache()
    assert (tmp_path / "jaxmlp").is_file()


def test_the_oldest_programs_are_deleted_and_their_empty_folders(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "LIMIT", 25)
    for age, name in enumerate(("new/a", "new/b", "old/c", "old/d")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"0123456789")
        os.utime(path, (time.time() - age,) * 2)
    cache.prune(tmp_path, keep=tmp_path / "new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "new"]


def test_the_folder_is_that_of_this_processor_and_these_versions(monkeypatch):
    before = cache.fingerprint()
    assert cache.fingerprint() == before
    monkeypatch.setattr(cache, "_processor", lambda: ["flags: other"])
    assert cache.fingerprint() != before
