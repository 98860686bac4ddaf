"""Tables that are in memory already, of polars, of pandas, or a dict of columns, as polars' own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxmlp._validation import require
from jaxmlp.tables.columns import TableError

if TYPE_CHECKING:
    from polars import DataFrame


def is_table(data: Any) -> bool:
    """Whether `data` has columns with names: a DataFrame of polars or pandas, or a dict."""
    return isinstance(data, Mapping) or (hasattr(data, "columns") and hasattr(data, "__getitem__"))


def as_frame(data: Any) -> "DataFrame":
    """A table in memory as polars' own, without copying where it is one.

    Arguments:
        data: a DataFrame of polars or of pandas, or a dict of columns, each a list or an array of n values.

    Returns:
        The table, n rows.

    Raises:
        TableError: columns of other lengths, or of values that are of no one type.
        MissingDependencyError: polars is not installed.
    """
    polars = require("polars", extra="tables")
    if isinstance(data, polars.DataFrame):
        return data
    names = list(data) if isinstance(data, Mapping) else list(data.columns)
    if len(set(map(str, names))) < len(names):
        raise TableError("two columns have one name")
    try:
        return polars.DataFrame({str(name): polars.Series(_values(data[name]), strict=False) for name in names})
    except (polars.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise TableError(f"cannot be used as a table: {str(error).splitlines()[0]}") from None


def _values(column: Any) -> Any:
    if hasattr(column, "isna"):  # pandas, whose own gaps (NaN among text, NA, NaT) polars would take for values
        return [None if gap else value for value, gap in zip(column.tolist(), column.isna(), strict=True)]
    if isinstance(column, list | tuple):
        return column
    column = np.asarray(column)
    return column.tolist() if column.dtype == object else column
