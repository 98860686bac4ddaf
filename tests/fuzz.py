"""Corrupted tables, drawn from a seed, so that a failure can be repeated."""

import io

import numpy as np
import polars

TARGET = "target"


def draw_table(seed: int) -> tuple[bytes, str]:
    """Return a file's content and suffix: a table with the target `TARGET` and up to four mutations.

    About half of the tables can still be used. Reading them must give a result or a one-line error.
    """
    rng = np.random.default_rng(seed)
    frame = _make_table(rng)
    for mutate in rng.choice(_FRAME_MUTATIONS, size=rng.integers(0, 3)):
        frame = mutate(rng, frame)
    if rng.random() < 0.2:
        frame = _add_odd_type(rng, frame) if rng.random() < 0.3 else frame
        content, suffix = _write_parquet(frame), rng.choice([".parquet", ".csv"])
        mutations = [_flip_bytes, _truncate, _keep, _keep]
    else:
        content, suffix = frame.write_csv(quote_style=rng.choice(["necessary", "always"])).encode(), ".csv"
        mutations = _BYTE_MUTATIONS
    for mutate in rng.choice(mutations, size=rng.integers(0, 3)):
        content = mutate(rng, content)
    return content, str(suffix)


def _make_table(rng):
    n = int(rng.choice([0, 1, 2, 3, 10, 60, 200], p=[0.02, 0.03, 0.03, 0.02, 0.1, 0.4, 0.4]))
    x = rng.normal(size=n)
    kinds = {
        "number": x,
        "whole": rng.integers(0, 9, size=n),
        "city": rng.choice(["Rome", "Oslo", "São Paulo", 'say "hi", you'], size=n),
        "yes": rng.random(n) < 0.5,
        "id": np.arange(n),
    }
    targets = [x * 3 + rng.normal(size=n), rng.choice(["cat", "dog"], size=n), rng.random(n) < 0.3, rng.poisson(3, n)]
    names = [name for name in kinds if rng.random() < 0.7]
    return polars.DataFrame({name: kinds[name] for name in names} | {TARGET: targets[rng.integers(len(targets))]})


def _draw_column(rng, frame):
    return str(rng.choice(frame.columns))


def _set_column(rng, frame, make):
    """Replace a column."""
    return frame.with_columns(polars.Series(_draw_column(rng, frame), make(frame.height), strict=False))


def _mix_types(rng, frame):
    name = _draw_column(rng, frame)
    words = [
        "x",
        "1,5",
        "€5",
        "",
        " ",
        "NA",
        "?",
        "0x1F",
        "1_000",
        "१२",
        "'",
        "12:30",
        "\t",
        "-",
        "NaN",
        "null",
        "\u202e",
    ]
    is_replaced = rng.random(frame.height) < rng.choice([0.02, 0.3, 1])
    texts = polars.Series(rng.choice(words, size=frame.height), dtype=polars.String)
    original = frame[name].cast(polars.String, strict=False)
    return frame.with_columns(original.zip_with(polars.Series(~is_replaced, dtype=polars.Boolean), texts).alias(name))


def _set_extremes(rng, frame):
    values = [1e308, -1e308, 1e-320, np.inf, -np.inf, np.nan, 1e30, 2.0**63, 0.0, -0.0, 1e31, 5e-324]
    return _set_column(rng, frame, lambda n: rng.choice(values[: rng.integers(1, len(values))], size=n))


def _remove_values(rng, frame):
    is_missing = polars.Series(rng.random(frame.height) < rng.choice([0.05, 0.6, 1]), dtype=polars.Boolean)
    name = _draw_column(rng, frame)
    return frame.with_columns(polars.when(is_missing).then(None).otherwise(polars.col(name)).alias(name))


def _set_constant(rng, frame):
    value = rng.choice(["7", "", "same", "true"])
    return _set_column(rng, frame, lambda n: [str(value)] * n)


def _set_many_levels(rng, frame):
    return _set_column(
        rng, frame, lambda n: [f"level {k}" for k in rng.integers(0, rng.choice([3, 70, 10**6]), size=n)]
    )


def _set_dates(rng, frame):
    days = polars.date_range(polars.date(2020, 1, 1), polars.date(2020, 12, 31), eager=True).to_list()
    return _set_column(rng, frame, lambda n: [days[k % len(days)] for k in range(n)])


def _add_odd_type(rng, frame):
    kinds = [lambda n: [[1, 2]] * n, lambda n: [{"a": 1}] * n, lambda n: [b"\xff\0"] * n, lambda n: [None] * n]
    values = kinds[rng.integers(len(kinds))](frame.height)
    return frame.with_columns(polars.Series("odd", values))


def _rename(rng, frame):
    names = ["", " ", "id", "Unnamed: 0", "a,b", 'a"b', "a\nb", "x" * 900, "prediction", "1", "é", " padded ", "\0"]
    new = str(rng.choice(names))
    return frame if new in frame.columns else frame.rename({_draw_column(rng, frame): new})


def _widen(rng, frame):
    count = int(rng.choice([20, 60]))
    return frame.with_columns(polars.Series(f"w{k}", rng.normal(size=frame.height)) for k in range(count))


def _write_parquet(frame):
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def _keep(rng, content):
    return content


def _flip_bytes(rng, content):
    array = np.frombuffer(content, np.uint8).copy()
    if len(array):
        array[rng.integers(len(array), size=rng.integers(1, 20))] = rng.integers(256, size=1)
    return array.tobytes()


def _truncate(rng, content):
    return content[: rng.integers(len(content) + 1)]


def _insert(rng, content, piece):
    lines = content.split(b"\n")
    lines.insert(int(rng.integers(len(lines) + 1)), piece)
    return b"\n".join(lines)


def _insert_strange_line(rng, content):
    pieces = [
        b"",
        b" ",
        b",",
        b",,,,,,,,,,,,",
        b"1",
        b'"',
        b'"open',
        b'a"b,"c',
        b"# comment",
        b"\xff\xfe\0",
        b"\0" * 99,
    ]
    return _insert(rng, content, pieces[rng.integers(len(pieces))])


def _insert_huge_line(rng, content):
    return _insert(rng, content, bytes([rng.choice([44, 65, 49, 34, 32])]) * int(rng.choice([200_000, 3_000_000])))


def _replace_by_blob(rng, content):
    start = rng.choice([b"", b"PK\x03\x04", b"\x1f\x8b", b"PAR1", b"\x89PNG\r\n", b"%PDF-1.7\n", b"{", b"<html>"])
    return bytes(start) + rng.bytes(2000)


def _duplicate_columns(rng, content):
    return b"\n".join(line + b"," + line for line in content.split(b"\n") if line)


def _change_encoding(rng, content):
    encoding = str(rng.choice(["latin-1", "utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037", "utf-7"]))
    return content.decode(errors="replace").encode(encoding, errors="replace")


def _change_line_ends(rng, content):
    return content.replace(b"\n", bytes(rng.choice([b"\r\n", b"\r", b"\n\n", b"\n\r", b" \n", b",\n", b"\x0b"])))


def _change_separator(rng, content):
    return content.replace(b",", bytes(rng.choice([b";", b"\t", b"|", b" ", b", ", b",,"])))


def _remove_header(rng, content):
    return content.partition(b"\n")[2]


_FRAME_MUTATIONS = [
    _mix_types,
    _set_extremes,
    _remove_values,
    _set_constant,
    _set_many_levels,
    _set_dates,
    _rename,
    _widen,
]
_BYTE_MUTATIONS = [
    _flip_bytes,
    _truncate,
    _insert_strange_line,
    _insert_huge_line,
    _replace_by_blob,
    _duplicate_columns,
    _change_encoding,
    _change_line_ends,
    _change_separator,
    _remove_header,
]
