"""Tables in memory: convert a DataFrame of polars or pandas, or a dict of columns, to a polars DataFrame."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxmlp.tables import polars
from jaxmlp.tables.messages import TableError


def is_table(data: Any) -> bool:
    """Return whether `data` has named columns: a DataFrame of polars or pandas, or a dict."""
    return isinstance(data, Mapping) or (hasattr(data, "columns") and hasattr(data, "__getitem__"))


def as_frame(data: Any) -> "polars.DataFrame":
    """Return a table in memory as a polars DataFrame, which is not copied if it is one already.

    Arguments:
        data: a DataFrame of polars or pandas, or a dict of columns, each a list or an array of n values. Masked values
            of NumPy are missing values.

    Returns:
        The table, n rows.

    Raises:
        TableError: the columns differ in length, share a name, or mix types.
        MissingDependencyError: polars is not installed.
    """
    if isinstance(data, polars.DataFrame):
        return data
    names = list(data) if isinstance(data, Mapping) else list(data.columns)
    if len(set(map(str, names))) < len(names):
        raise TableError("two columns have the same name")
    try:
        return polars.DataFrame({str(name): polars.Series(_to_values(data[name]), strict=False) for name in names})
    except (polars.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise TableError(f"cannot be used as a table: {str(error).splitlines()[0]}") from None


def _to_values(column: Any) -> Any:
    if hasattr(column, "isna"):  # pandas: polars would take its missing values (NaN in text, NA, NaT) for values
        return [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
    if isinstance(column, np.ma.MaskedArray):
        return column.tolist()  # None where masked
    if isinstance(column, list | tuple):
        return column
    column = np.asarray(column)
    return column.tolist() if column.dtype == object else column
