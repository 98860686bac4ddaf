"""The core stands alone: its files, copied elsewhere, pass their tests where only jax and pytest can be imported."""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import jaxmlp

pytestmark = pytest.mark.portable

TESTS = pathlib.Path(__file__).parent
PACKAGE = pathlib.Path(jaxmlp.__file__).parent
FILES = {path.name for path in TESTS.glob("test_*.py") if "mark.core" in path.read_text(encoding="utf-8")}
FILES -= {pathlib.Path(__file__).name}
SAMPLE = "test_house or test_network"

# jax, pytest and what they require; every other installed package is hidden.
ALLOWED = {"jax", "jaxlib", "ml_dtypes", "numpy", "opt_einsum", "scipy", "jaxmlp"}
ALLOWED |= {"pytest", "_pytest", "py", "iniconfig", "packaging", "pluggy", "pygments"}
HIDDEN = importlib.metadata.packages_distributions().keys() - ALLOWED

SCRIPT = f"""
import sys

class Hide:
    def find_spec(name, *_):
        if name.split(".")[0] in {HIDDEN}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide)
import jaxmlp, pytest
assert jaxmlp.__file__.startswith(sys.argv[1])
sys.exit(pytest.main(sys.argv[2:]))
"""


def run_core(directory, *words):
    """Copy the core into a directory and run pytest on that copy; return what it prints."""
    (directory / "jaxmlp").mkdir()
    for path in PACKAGE.glob("*.py"):
        shutil.copy(path, directory / "jaxmlp")
    environment = {**os.environ, "PYTHONPATH": str(directory), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    options = ["-q", "-ra", "-o", "addopts=", "-p", "no:cacheprovider"]
    command = [sys.executable, "-P", "-c", SCRIPT, str(directory), *options, *words, *sorted(FILES)]
    result = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.extended
def test_core_tests_can_be_collected_and_a_sample_passes_on_a_copy(tmp_path):
    assert " passed" in run_core(tmp_path, "-m", "core and not slow", "-k", SAMPLE)


@pytest.mark.slow
def test_all_core_tests_pass_on_a_copy(tmp_path):
    assert " passed" in run_core(tmp_path, "-m", "core and not slow")
