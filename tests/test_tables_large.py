"""Large tables: reading and predicting need little more memory than the numbers."""

import gzip
import subprocess
import sys

import numpy as np
import polars
import pytest

import jaxmlp
from jaxmlp.tables import learn_recipe
from jaxmlp.tables.formats import import_zstd

ROWS, COLUMNS = 2_000_000, 20
MOST = 3 * ROWS * COLUMNS * 4  # bytes: three times the size in float32
MEASURE = """
import re, sys
import jaxmlp.models.tables, polars
from jaxmlp.cli import main
from jaxmlp.tables import load_table

def read(name):
    return int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

before = read("VmRSS")
if sys.argv[1] == "load":
    assert load_table(sys.argv[2]).height == int(sys.argv[3])
else:
    main(["predict", *sys.argv[2:]])
print(read("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "table.csv.zst", "table.parquet"])
def test_two_million_rows_need_at_most_three_times_their_size_in_float32(tmp_path, name):
    rng = np.random.default_rng(0)
    table = polars.DataFrame({f"x{k}": rng.normal(size=ROWS).round(4) for k in range(COLUMNS)})
    path, model = tmp_path / name, tmp_path / "model"
    if name.endswith("parquet"):
        table.write_parquet(path)
    else:
        compress = {".csv": bytes, ".gz": lambda text: gzip.compress(text, 1), ".zst": import_zstd().compress}
        path.write_bytes(compress[path.suffix](table.write_csv().encode()))
    recipe = learn_recipe(table.head(1000).with_columns(y=polars.col("x0")), "y")
    params = (jaxmlp.Layer(np.ones((COLUMNS, 1), np.float32), np.zeros((1, 1), np.float32)),)
    jaxmlp.save_model(jaxmlp.Model(params, recipe=recipe), model)
    for words in (["load", path, str(ROWS)], ["predict", model, path, "-o", tmp_path / "out.csv"]):
        run = subprocess.run([sys.executable, "-c", MEASURE, *words], capture_output=True, text=True, check=True)
        assert int(run.stdout) <= MOST, run.stdout
    assert (tmp_path / "out.csv").read_bytes().count(b"\n") == ROWS + 1
