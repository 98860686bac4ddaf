"""Tables that do not fit in memory: a sample for the search, all rows for the networks of the model."""

import numpy as np
import polars
import pytest
from tables import FAST, houses, words

import jaxmlp
from jaxmlp.fitting import blocks
from jaxmlp.pipeline import large


@pytest.fixture
def little_memory(monkeypatch):
    """Memory for less than the table of `path`, and blocks of a part of it."""
    monkeypatch.setattr(large, "_LEAST", 1)
    monkeypatch.setattr(large, "find_memory", lambda: 4 * 80 * 6 * large.BYTES_PER_VALUE)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 80 * 6 * 4)


@pytest.fixture
def path(tmp_path):
    table = polars.concat([houses()] * 5).with_columns(zone=polars.Series(np.random.default_rng(1).normal(size=400)))
    table.write_parquet(tmp_path / "big.parquet")
    return tmp_path / "big.parquet"


def test_a_table_that_fits_is_read_whole(path):
    assert large.find_memory() > 2**20
    assert large.read_sample(path, 0, on_note=print, separator=None, sheet=None) is None


@pytest.mark.extended
def test_the_command_says_that_a_table_does_not_fit_and_trains_on_all_rows(command, path, little_memory, monkeypatch):
    monkeypatch.chdir(path.parent)
    seen = []
    prepare = blocks.prepare_blocks

    def watch(state, data, **options):
        seen.append((len(data.x), options["block_rows"]))
        return prepare(state, data, **options)

    monkeypatch.setattr("jaxmlp.fitting.loop.prepare_blocks", watch)
    code, out, err = command("train", path.name, "--target", "price", *words(FAST), "--out", "model")
    assert code == 0, err
    notes = [line for line in err if line.startswith("The table does not fit in memory")]
    assert len(notes) == 1
    assert " of 400 rows; " in notes[0]
    (rows, block_rows), *_ = seen
    assert rows == 400 > block_rows
    model = jaxmlp.load_model("model")
    predictions = jaxmlp.predict(model, polars.read_parquet(path))
    assert predictions.shape[0] == 400
    assert np.isfinite(np.asarray(predictions, np.float64)).all()
    assert any("held-out" in line for line in out)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_sample_is_the_same_for_the_same_seed(path, little_memory, suffix):
    if suffix == "csv":
        polars.read_parquet(path).write_csv(path.with_suffix(".csv"))
    notes = []
    samples = [
        large.read_sample(path.with_suffix(f".{suffix}"), seed, on_note=notes.append, separator=None, sheet=None)
        for seed in (0, 0, 1)
    ]
    frames = [sample[0] for sample in samples]
    assert all(0 < frame.height < 400 for frame in frames)
    assert samples[0][1].rows == 400
    assert frames[0].equals(frames[1])
    assert not frames[0].equals(frames[2])


def test_a_damaged_file_is_left_to_the_reader(tmp_path):
    path = tmp_path / "damaged.parquet"
    path.write_bytes(b"PAR1 and no more")
    assert large.read_sample(path, 0, on_note=print, separator=None, sheet=None) is None
