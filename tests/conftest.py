"""Strict mode for every test: no silent promotion of dtypes or ranks, and eight devices where a machine has one."""

import collections
import gc
import os
import shutil
import tempfile
from importlib.metadata import version

# Before JAX is there, and for the processes that tests start: what one test has compiled, the others find.
_compiled = tempfile.TemporaryDirectory()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _compiled.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Compiling is what tests cost: what LLVM does to a program is left to those that ask for `optimised`.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# One module of LLVM for each program, not up to 32, because most programs of tests are small.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_parallel_codegen_split_count=1"
# The loops of a program compile twice as fast without these. JAX 0.11 and newer no longer has the option, so that the
# tests on Python 3.13 compile them as users do.
if version("jaxlib").startswith(("0.8.", "0.9.", "0.10.")):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
# Two processes test at a time: more threads of scikit-learn's trees would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax  # noqa: E402
import pytest  # noqa: E402

from jaxmlp import _programs  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)
for options in (_programs.QUICK, _programs.SHORT):  # They would optimize more than the tests do.
    options.pop("xla_backend_optimization_level")
# And tracing: it makes many objects that stay, which the collector would look through again and again.
gc.set_threshold(200_000, 20, 100)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the variants of a sampled test, after its first ones, as extended."""
    seen = collections.Counter()
    for item in items:
        for marker in item.iter_markers("sampled"):
            seen[item.module, item.originalname] += 1
            if seen[item.module, item.originalname] > marker.args[0]:
                item.add_marker("extended")


@pytest.fixture
def x64():
    """Float64 for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def optimised():
    """Programs compiled as users get them, if this test is the first to compile them."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True)
def _configuration_is_left_alone():
    """No function of the package may touch JAX's global configuration."""
    names = ("jax_enable_x64", "jax_numpy_dtype_promotion", "jax_default_matmul_precision", "jax_debug_nans")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    assert {name: getattr(jax.config, name) for name in names} == before


@pytest.fixture(scope="module")
def browser():
    """Chromium; where it or playwright is missing, tests that need it are skipped."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += " --disable-component-update --disable-sync"
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=options.split())
        yield browser
        browser.close()


@pytest.fixture
def command(capsys):
    """Run the command: (exit code, lines of stdout, lines of stderr)."""

    from jaxmlp.cli import main

    def command(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stopped:
            code = stopped.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out.splitlines(), err.splitlines()

    return command
