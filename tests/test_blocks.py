"""Memory-mapped rows, read in blocks. The long checks: python -m pytest -n 0 -m slow tests/test_blocks.py."""

import statistics
import subprocess
import sys

import jax
import numpy as np
import pytest
from helpers import assert_close, assert_equal

import jaxmlp
from jaxmlp.fitting import loop
from jaxmlp.fitting.blocks import _draw_blocks
from jaxmlp.fitting.checkpoints import CheckpointError

pytestmark = pytest.mark.portable

N, BLOCK = 103, 24  # the last block holds 7 rows
OPTIONS = {"key": jax.random.key(1), "epochs": 3, "batch_size": 8}


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3)).astype(np.float32)
    return x, x[:, :1] ** 2 + x[:, 1:2], rng.uniform(0, 2, N).astype(np.float32)


@pytest.fixture
def mapped(rows, tmp_path):
    def load(values, name):
        np.save(tmp_path / name, values)
        return np.load(tmp_path / name, mmap_mode="r")

    return tuple(load(values, f"{k}.npy") for k, values in enumerate(rows))


ADAM = jaxmlp.adam(1e-2)
NETWORK = jaxmlp.init_params(jax.random.key(0), (3, 4, 1))


def fit(x, y, sample_weight=None, *, params=NETWORK, optimizer=ADAM, **options):
    return jaxmlp.fit(params, x, y, sample_weight, optimizer=optimizer, **OPTIONS | options)


@pytest.mark.parametrize("block_rows", [None, N])
def test_one_block_is_trained_as_rows_in_memory_to_the_bit(rows, mapped, block_rows):
    expected, found = fit(*rows), fit(*mapped, block_rows=block_rows)
    assert_equal((found.params, found.history.loss), (expected.params, expected.history.loss))


@pytest.mark.extended
@pytest.mark.parametrize("options", [{}, {"validation": 0.2}])
def test_every_row_counts_once_with_its_weight(rows, mapped, options):
    still = jaxmlp.sgd(0.0)
    expected = fit(*rows, optimizer=still, **options)
    found = fit(*mapped, optimizer=still, block_rows=BLOCK, **options)
    assert_close([v for v in found.history if v is not None], [v for v in expected.history if v is not None], 1e-6)


def test_blocks_hold_each_row_once_in_an_order_of_pieces_from_everywhere():
    blocks = [list(map(range, *zip(*((part.start, part.stop) for part in block), strict=True)))
              for block in _draw_blocks(1000, 250, np.random.default_rng(0))]  # fmt: skip
    sizes = [sum(map(len, block)) for block in blocks]
    assert sizes == [250] * 4
    assert sorted(row for block in blocks for part in block for row in part) == list(range(1000))
    assert all(min(map(min, block)) < 250 and max(map(max, block)) >= 750 for block in blocks)


@pytest.mark.extended
def test_blocks_train_about_as_well_as_rows_in_memory(rows, mapped):
    found, expected = fit(*mapped, block_rows=BLOCK, epochs=40), fit(*rows, epochs=40)
    assert found.history.loss[-1] == pytest.approx(expected.history.loss[-1], rel=0.1)


@pytest.mark.extended
def test_each_member_of_an_ensemble_stops_by_itself(mapped):
    params = jaxmlp.init_ensemble(jax.random.key(0), (3, 4, 1), 3)
    options = {"params": params, "optimizer": jaxmlp.adam(0.3), "epochs": 30, "patience": 2, "validation": 0.2}
    result = fit(*mapped[:2], block_rows=BLOCK, **options)
    run = np.sum(~np.isnan(result.history.loss), axis=1)
    assert len(set(run.tolist())) > 1
    assert_equal(np.asarray(result.state.epoch), run)
    assert_equal(result.best_epoch, np.nanargmin(result.history.validation_loss, axis=1) + 1)


def test_an_interrupted_run_continues_to_the_same_bits(mapped, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_SECONDS", 0.0)
    path, whole = tmp_path / "run", fit(*mapped, block_rows=BLOCK, epochs=5)

    def stop(state, history):
        if int(state.epoch) == 2:
            raise KeyboardInterrupt

    half = fit(*mapped, block_rows=BLOCK, epochs=5, checkpoint=path, callback=stop)
    assert half.stopped == "interrupted"
    found = fit(*mapped, block_rows=BLOCK, epochs=5, checkpoint=path, resume=True)
    assert_equal((found.params, found.history.loss), (whole.params, whole.history.loss))
    with pytest.raises(CheckpointError, match="block_rows was 24 and is now 48"):
        fit(*mapped, block_rows=2 * BLOCK, epochs=5, checkpoint=path, resume=True)


def test_rows_that_do_not_fit_raise(rows, mapped, tmp_path):
    x, y, _ = mapped
    with pytest.raises(ValueError, match=r"batch_size must be given for 103 memory-mapped rows.* 24 at a time"):
        fit(x, y, block_rows=BLOCK, batch_size=None)
    with pytest.raises(ValueError, match=r"y must have shape \(n, outputs\) = \(103, 1\)"):
        fit(x, y[:-1], block_rows=BLOCK)
    with pytest.raises(ValueError, match=r"x must have shape \(n, fan_in\) = \(n, 3\)"):
        fit(np.load(tmp_path / "1.npy", mmap_mode="r"), y, block_rows=BLOCK)
    wrong = rows[0].copy()
    wrong[60, 2] = np.inf
    np.save(tmp_path / "wrong.npy", wrong)
    with pytest.raises(ValueError, match=r"x must hold finite numbers only; got inf.* in row 60, column 2"):
        fit(np.load(tmp_path / "wrong.npy", mmap_mode="r"), y, block_rows=BLOCK)


MEASURE = """
import re, sys, threading, time
import jax, numpy as np, jaxmlp

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

peak, ends = [0], []
def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
x, y = (np.load(f"{sys.argv[1]}/{name}.npy", mmap_mode="r") for name in "xy")
if sys.argv[2] == "memory":
    x = np.array(x)
params = jaxmlp.init_params(jax.random.key(0), (x.shape[1], 32, 1))
jaxmlp.fit(params, x, y, key=jax.random.key(1), optimizer=jaxmlp.adam(), epochs=int(sys.argv[3]), batch_size=256,
           callback=lambda state, history: ends.append((time.perf_counter(), int(state.epoch))))
(first, one), (last, all) = ends[0], ends[-1]
print(peak[0], (last - first) / max(all - one, 1))
"""


def measure(directory, *words):
    """Return the largest anonymous memory in bytes, and the seconds of an epoch after the first."""
    run = [sys.executable, "-c", MEASURE, str(directory), *words]
    return map(float, subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


def write(directory, n, columns):
    rng = np.random.default_rng(0)
    x = np.lib.format.open_memmap(directory / "x.npy", "w+", np.float32, (n, columns))
    for start in range(0, n, 2**16):
        x[start : start + 2**16] = rng.standard_normal((min(2**16, n - start), columns), np.float32)
    np.save(directory / "y.npy", x[:, :1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_8_gb_of_rows_need_less_than_2_gb_of_anonymous_memory(tmp_path):
    write(tmp_path, 2**23, 256)
    peak, _ = measure(tmp_path, "mapped", "1")
    print(f"{peak / 2**30:.2f} GB")
    assert peak < 2e9


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_1_gb_in_blocks_is_at_least_0_7_times_as_fast_as_in_memory(tmp_path):
    write(tmp_path, 2**22, 64)
    seconds = {"mapped": [], "memory": []}
    for _ in range(3):
        for where, own in seconds.items():
            own.append(list(measure(tmp_path, where, "4"))[1])
    print(seconds)
    assert statistics.median(seconds["memory"]) / statistics.median(seconds["mapped"]) >= 0.7
