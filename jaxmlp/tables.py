"""Tables: a CSV or Parquet file to arrays of numbers."""

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.checks import required

# Beyond it, sums of squares and float32 overflow.
_LARGEST = 1e30


class TableError(ValueError):
    """A table that cannot be used; the message names the file, and the column and row where there is one."""


class Table(NamedTuple):
    """The numbers of a table, float64."""

    source: str  # where it was read from
    features: tuple[str, ...]
    x: np.ndarray  # (n, features)
    y: np.ndarray  # (n, 1)


class Split(NamedTuple):
    """Rows to train on and rows kept aside, standardised by the training rows; float64."""

    x: np.ndarray  # (n_train, features)
    y: np.ndarray  # (n_train, 1)
    x_test: np.ndarray  # (n_test, features)
    y_test: np.ndarray  # (n_test, 1), in the target's own units
    y_mean: float
    y_scale: float
    constant: tuple[str, ...]  # features dropped because they do not vary over the training rows


def load_table(path: str | Path, target: str) -> Table:
    """Read a table of numbers.

    Arguments:
        path: a Parquet file, or a CSV file with a header line, UTF-8; blank lines are skipped.
        target: the column to predict; all others are features.

    Returns:
        The features and the target, in the order of the file.

    Raises:
        TableError: the file, a column or a value cannot be used.
        MissingDependencyError: polars is not installed.
    """
    polars = required("polars", extra="tables")
    frame = _read(Path(path))
    frame = frame.with_row_index("\0row", offset=1)  # so that a row keeps its number when blank ones are dropped
    names = frame.columns[1:]
    frame = frame.filter(~frame.select(names).select(polars.all_horizontal(polars.all().is_null())).to_series())
    if target not in names:
        raise TableError(f"{path}: no column {target!r}; the columns are {_listed(names)}")
    features = tuple(name for name in names if name != target)
    if not features:
        raise TableError(f"{path}: {target!r} is the only column; there is nothing to predict it from")
    if frame.height < 3:
        rows = "1 row" if frame.height == 1 else f"{frame.height or 'no'} rows"
        raise TableError(f"{path}: {rows} below the header; at least 3 are needed")
    columns = {name: _numbers(frame[name], frame["\0row"], path) for name in names}
    return Table(str(path), features, np.column_stack([columns[name] for name in features]), columns[target][:, None])


def split_table(table: Table, seed: int, fraction: float = 0.1) -> Split:
    """Keep rows aside at random, and standardise features and target by the mean and deviation of the others.

    Arguments:
        table: at least three rows.
        seed: of the split.
        fraction: of the rows to keep aside; at least one is.

    Returns:
        Both parts. Features that are constant on the training rows are left out and named.

    Raises:
        TableError: nothing varies over the training rows.
    """
    n = len(table.x)
    order = np.random.default_rng(seed).permutation(n)
    aside = max(1, round(fraction * n))
    test, rows = order[:aside], order[aside:]
    x, y = table.x[rows], table.y[rows]
    varies = (np.ptp(x, axis=0) > 0) & (x.std(axis=0) > 0)
    if not varies.any():
        raise TableError(f"{table.source}: no feature varies over the training rows; there is nothing to learn from")
    if np.ptp(y) == 0 or y.std() == 0:
        raise TableError(f"{table.source}: the target is the same in all training rows; there is nothing to learn")
    mean, scale = x[:, varies].mean(axis=0), x[:, varies].std(axis=0)
    y_mean, y_scale = float(y.mean()), float(y.std())
    return Split(
        x=(x[:, varies] - mean) / scale,
        y=(y - y_mean) / y_scale,
        x_test=(table.x[test][:, varies] - mean) / scale,
        y_test=table.y[test],
        y_mean=y_mean,
        y_scale=y_scale,
        constant=tuple(name for name, keep in zip(table.features, varies, strict=True) if not keep),
    )


def _read(path: Path) -> Any:
    polars = required("polars", extra="tables")
    try:
        content = path.read_bytes()  # not by name: polars would take `*` and `[` in it for a pattern
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise TableError(f"{path}: a directory, not a table") from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        if content.startswith(b"PAR1") or path.suffix == ".parquet":
            return polars.read_parquet(io.BytesIO(content))
        # As text, so that a number that cannot be read is reported in its own words and its own row.
        frame = polars.read_csv(io.BytesIO(content), infer_schema=False)
    except polars.exceptions.NoDataError:
        raise TableError(f"{path}: the file is empty") from None
    except (polars.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        _check_lines(path, content)
        raise TableError(f"{path}: cannot be read as a table: {_first_line(error)}") from None
    _check_lines(path, content[: content.find(b"\n") + 1] or content)
    if all(_is_number(name) for name in frame.columns):
        raise TableError(f"{path}: no header; the first line must name the columns, and it holds numbers only")
    return frame


def _check_lines(path: Path, content: bytes) -> None:
    """Say what is wrong with the lines of a CSV file, where Python's reader can tell."""
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error):
        return
    header = lines[0] if lines else []
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise TableError(f"{path}: one column only; columns must be separated by commas")
    for name in header:
        if header.count(name) > 1:
            raise TableError(f"{path}: two columns have the name {name!r}")
    for row, fields in enumerate(lines[1:], start=1):
        if len(fields) > len(header):
            raise TableError(f"{path}: row {row} has {len(fields)} fields, the header {len(header)}")


def _numbers(column: Any, row_numbers: Any, path: str | Path) -> np.ndarray:
    """A column as float64; raises at the first value that is not a finite number."""
    polars = required("polars", extra="tables")
    text = column.dtype == polars.String
    if not (text or column.dtype.is_numeric() or column.dtype == polars.Boolean):
        raise TableError(f"{path}: column {column.name!r} holds {column.dtype}, not numbers")
    stripped = column.str.strip_chars() if text else column
    values = stripped.cast(polars.Float64, strict=False).fill_null(np.nan).to_numpy()
    bad = np.flatnonzero(~(np.abs(values) <= _LARGEST))
    if not len(bad):
        return values
    if column.null_count() == len(column):
        raise TableError(f"{path}: column {column.name!r} is empty")
    if text and np.isnan(values).sum() > len(values) / 2:
        raise TableError(f"{path}: column {column.name!r} holds text; only columns of numbers can be used")
    row = int(bad[0])
    where, value = f"{path}: column {column.name!r}, row {row_numbers[row]}", stripped[row]
    if value is None or value == "" or str(value).lower() == "nan":
        raise TableError(f"{where}: the value is missing")
    if np.isinf(values[row]):
        raise TableError(f"{where}: {value} is not finite")
    if np.isfinite(values[row]):
        raise TableError(f"{where}: {value} is too large; numbers must be below {_LARGEST:.0e}")
    raise TableError(f"{where}: {value!r} is not a number")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
