"""Columns of plain numbers in large text files, as numbers: they need less memory than text."""

from jaxmlp.tables import polars


def pack(block: "polars.DataFrame", schema: "polars.Schema", text: set[str]) -> "tuple[polars.DataFrame, set[str]]":
    """Return a block whose columns of plain numbers are numbers, which need less memory than text.

    Arguments:
        block: rows of a text file.
        schema: of the blocks before; None for the first.
        text: columns that must stay text.

    Returns:
        The block, and the columns that were numbers in the blocks before and are none here.
    """
    columns, odd = [], set()
    for column in block:
        was_text = schema is not None and schema.get(column.name) == polars.String
        if column.dtype == polars.String and column.name not in text and not was_text:
            number = _to_plain_numbers(column)
            if number is None and schema is not None:
                odd.add(column.name)
            column = column if number is None else number
        columns.append(column)
    return polars.DataFrame(columns), odd


def _to_plain_numbers(column: "polars.Series") -> "polars.Series | None":
    """Return a column of text as whole or other numbers, if nothing but a trailing zero would be lost."""
    if column.str.contains("^[+-]?0[0-9]|[^0-9.eE+-]").any():
        return None
    whole = column.cast(polars.Int64, strict=False)
    if whole.null_count() == column.null_count() and not column.str.contains("[+]").any():
        return whole
    if column.str.contains("^[+-]?[0-9]{16}").any():
        return None
    numbers = column.cast(polars.Float64, strict=False)
    return numbers if numbers.null_count() == column.null_count() and numbers.is_finite().all() else None
