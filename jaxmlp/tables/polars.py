"""polars, imported on first use: only tables need it, models of arrays do not."""

from typing import TYPE_CHECKING, Any

from jaxmlp._validation import require

if TYPE_CHECKING:
    from polars import DataFrame as DataFrame
    from polars import Series as Series


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # Tools that look at all modules do not import polars.
        raise AttributeError(name)
    return getattr(require("polars", extra="tables"), name)
