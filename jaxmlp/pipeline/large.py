"""A table that does not fit in memory: the search uses a sample of its rows, the networks of the model all of them."""

import os
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.ensembles.processes import agree
from jaxmlp.fitting.targets import TargetScaling
from jaxmlp.selection.assembly import MoreRows
from jaxmlp.selection.search import Search
from jaxmlp.tables import Recipe, polars
from jaxmlp.tables.formats import BLOCK_ROWS, silence_stderr
from jaxmlp.tables.messages import Note
from jaxmlp.tables.reading import read_blocks

BYTES_PER_VALUE = 64  # Of a table in a search: the frame, float64 inputs, and the rows of five folds in float32.
_BYTES_OF_TEXT = 5  # Of a value in a text file.
_LEAST = 10_000  # Rows of a sample.


class Large(NamedTuple):
    """A table of which a sample is in memory."""

    path: Path
    options: Mapping[str, Any]  # Of `read_blocks`.
    rows: int  # Number of all rows.


def find_memory() -> int:
    """Return the number of bytes that this process can still use, as far as the system says."""
    limits = [2**63 - 1]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
        limits += [int(found[1]) * 1024] if found else []
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    group = Path("/sys/fs/cgroup")
    names = [("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")]
    for most, used in names:
        try:
            limits.append(int((group / most).read_text()) - int((group / used).read_text()))
        except (OSError, ValueError):  # no such file, or no limit
            continue
    return min(limits)


def read_sample(table: object, seed: int, *, on_note: Note, **options: Any) -> "tuple[polars.DataFrame, Large] | None":
    """Return a random sample of the rows that fits in memory, and the table; None if the whole table fits.

    Arguments:
        table: as in `fit_table`; all but files are in memory already.
        seed: draws the sample.
        on_note: called with what is done, a sentence.
        options: others of `read_blocks`.
    """
    if not isinstance(table, str | PathLike) or str(table) == "-" or not os.path.isfile(table):
        return None
    path = Path(table)
    memory = float(agree(find_memory()).min())  # All processes take the same sample.
    values, rows = _count_values(path)
    if values * BYTES_PER_VALUE <= memory:
        return None
    quiet = {"separator": options["separator"], "sheet": options["sheet"]}
    if rows is None:
        rows = sum(block.height for block in read_blocks(path, **quiet))
    # A power of two, so that the sample does not change with each byte of memory.
    share = 2.0 ** np.floor(np.log2(memory / 2 / (values * BYTES_PER_VALUE)))
    share = min(1.0, max(share, _LEAST / rows))
    rng = np.random.default_rng(seed)
    blocks = [block.filter(rng.random(block.height) < share) for block in read_blocks(path, on_note=on_note, **options)]
    sample = polars.concat(blocks, how="vertical_relaxed")
    on_note(
        f"The table does not fit in memory: the search uses a sample of {sample.height} of {rows} rows; the networks "
        "of the model are then trained on all rows, read in blocks"
    )
    return sample, Large(path, quiet, rows)


def write_rows(large: Large, recipe: Recipe, search: Search, directory: Path) -> MoreRows:
    """Write all rows that have a target, and return the function that `refit_best` takes."""
    x = _create(directory / "x.npy", np.float32, large.rows, search.prepared.x.shape[1])
    y = _create(directory / "y.npy", np.float64, large.rows, search.prepared.y.shape[1])
    end = 0
    for block in read_blocks(large.path, **large.options):
        targets, has_target = recipe.targets(block)
        start, end = end, end + int(has_target.sum())
        x[start:end] = search.prepared.scaling.apply(recipe.inputs(block)[0][has_target])
        y[start:end] = targets[has_target]

    def scaled(target: TargetScaling) -> tuple[np.ndarray, np.ndarray]:
        learned = _create(directory / "learned.npy", np.float32, end, y.shape[1])
        for start in range(0, end, BLOCK_ROWS):
            learned[start : start + BLOCK_ROWS] = target.apply(y[start : min(start + BLOCK_ROWS, end)])
        return x[:end], learned

    return scaled


def _create(path: Path, dtype: type[np.floating], rows: int, columns: int) -> np.memmap:
    return np.lib.format.open_memmap(path, "w+", dtype, (rows, columns))


def _count_values(path: Path) -> tuple[int, int | None]:
    """Return the number of values in a table, about, and of its rows if the file says it."""
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        if not is_parquet:
            return path.stat().st_size // _BYTES_OF_TEXT, None
        with silence_stderr():
            scan = polars.scan_parquet(path, glob=False)
            rows = scan.select(polars.len()).collect().item()
            return rows * len(scan.collect_schema()), rows
    except (OSError, polars.exceptions.PolarsError, polars.exceptions.PanicException):
        return 0, None  # Reading the table will say what is wrong.
