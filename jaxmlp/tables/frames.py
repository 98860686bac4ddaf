"""Tables in memory: convert a DataFrame of polars or pandas, or a dict of columns, to a polars DataFrame."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError, quote


def is_table(data: object) -> bool:
    """Return whether `data` has named columns in memory: a DataFrame of polars or pandas, or a dict."""
    if hasattr(type(data), "collect"):  # A LazyFrame has its values elsewhere.
        return False
    return isinstance(data, Mapping) or (hasattr(data, "columns") and hasattr(data, "__getitem__"))


def as_frame(data: Any) -> "polars.DataFrame":
    """Return a table in memory as a polars DataFrame, which is not copied if it is one already.

    Arguments:
        data: a DataFrame of polars or pandas, or a dict of columns, each a list or an array of n values. Masked values
            of NumPy are missing values.

    Returns:
        The table, n rows.

    Raises:
        TableError: the columns differ in length, share a name, mix types, or are single values.
        TypeError: `data` is no table.
        MissingDependencyError: polars is not installed.
    """
    if not is_table(data):
        kind = type(data).__name__
        raise TypeError(f"a table must be a DataFrame of polars or pandas, or a dict of columns; got {kind}")
    if isinstance(data, polars.DataFrame):
        return data
    names = list(data) if isinstance(data, Mapping) else list(data.columns)
    if len(set(map(str, names))) < len(names):
        raise TableError("two columns have the same name")
    columns = {str(name): _to_values(name, data[name]) for name in names}
    try:
        return polars.DataFrame({name: polars.Series(values, strict=False) for name, values in columns.items()})
    except (polars.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise TableError(f"cannot be used as a table: {str(error).splitlines()[0]}") from None


def _to_values(name: object, column: Any) -> Sequence[object] | np.ndarray:
    if hasattr(column, "isna"):  # pandas: polars would take its missing values (NaN in text, NA, NaT) for values
        return [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
    if isinstance(column, np.ma.MaskedArray):
        return column.tolist()  # None where masked
    if isinstance(column, list | tuple):
        return column
    column = np.asarray(column)
    if column.ndim != 1:
        expected = "must be a list or an array (n,), also for a single row"
        raise TableError(f"column {quote(str(name))} {expected}; got {quote(str(column))}")
    return column.tolist() if column.dtype == object else column
