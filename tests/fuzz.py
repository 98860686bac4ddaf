"""Corrupted tables and model files, drawn from a seed, so that a failure can be repeated."""

import datetime
import gzip
import io
import json

import numpy as np
import polars

from jaxmlp.storage.files import checksum, read_arrays, write_arrays
from jaxmlp.tables.formats import import_zstd

TARGET = "target"


def draw_table(seed: int) -> tuple[bytes, str]:
    """Return a file's content and suffix: a table with the target `TARGET` and up to four mutations.

    About half of the tables can still be used. Reading them must give a result or a one-line error.
    """
    rng = np.random.default_rng(seed)
    frame = _make_table(rng)
    for mutate in rng.choice(_FRAME_MUTATIONS, size=rng.integers(0, 3)):
        frame = mutate(rng, frame)
    if rng.random() < 0.35:
        content, suffix = _write_dialect(rng, frame)
        mutations = [_flip_bytes, _truncate, _insert_strange_line, _keep, _keep, _keep]
    elif rng.random() < 0.2:
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


_KINDS = ["csv", "csv", "cp1252", "utf-16", "gzip", "zstd", "jsonl", "json", "arrow", "stream", "excel"]


def _write_dialect(rng, frame):
    """Write a table in another dialect or format, with numbers and dates as people write them."""
    for write in rng.choice(_WRITERS, size=rng.integers(0, 3)):
        frame = _set_column(rng, frame, write(rng))
    separator = str(rng.choice([",", ";", "\t", "|"]))
    file, kind = io.BytesIO(), str(rng.choice(_KINDS))
    if kind == "arrow":
        frame.write_ipc(file)
    elif kind == "stream":
        frame.write_ipc_stream(file)
    elif kind == "excel":
        frame.write_excel(file)
    elif kind in ("jsonl", "json"):
        (frame.write_ndjson if kind == "jsonl" else frame.write_json)(file)
    else:
        text = frame.write_csv(separator=separator)
        file.write((text.replace(".", ",") if separator != "," and rng.random() < 0.5 else text).encode())
    content = file.getvalue()
    if kind in ("gzip", "zstd"):
        content = (gzip if kind == "gzip" else import_zstd()).compress(content)
    elif kind in ("cp1252", "utf-16"):
        content = content.decode().encode(kind, errors="replace")
    elif kind == "csv" and rng.random() < 0.2:
        content = f"sep={separator}\r\n".encode() + content
    return content, str(rng.choice([".csv", ".txt", ""]))


def _styled(text):
    return lambda rng: lambda n: [text(value) for value in rng.normal(0, 10_000, size=n)]


def _dated(pattern):
    return lambda rng: (
        lambda n: [f"{_START + datetime.timedelta(hours=int(h)):{pattern}}" for h in rng.integers(0, 9999, n)]
    )


def _european(value):
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


_START = datetime.datetime(2023, 1, 5)
_WRITERS = [
    _styled(lambda value: f"{value:,.2f}"), _styled(lambda value: f"${value:,.0f}"), _styled(_european),
    _styled(lambda value: f"€{_european(value)}"), _styled(lambda value: f"{value:.1f}%"),
    _styled(lambda value: f"({-value:,.2f})" if value < 0 else f"{value:,.2f}"),
    _styled(lambda value: f"{value:.0f} kg"), _styled(lambda value: f"{abs(value):.0f}-"),
    _styled(lambda value: f"{value:,.1f}".replace(",", "'")),
    _styled(lambda value: ["yes", "No", "Y", "-", "ja"][int(abs(value)) % 5]),
    *map(_dated, ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d-%b-%y", "%Y-%m-%dT%H:%M:%SZ", "%H:%M"]),
]  # fmt: skip


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


def damage_file(seed: int, content: bytes) -> bytes:
    """Return the content of a safetensors file with one or two mutations of its bytes or its header."""
    rng = np.random.default_rng(seed)
    for mutate in rng.choice(_FILE_MUTATIONS, size=rng.integers(1, 3)):
        content = mutate(rng, content)
    return content


def forge_model(seed: int, path, other) -> None:
    """Write a model file to `other` as another program might: metadata that may not fit, and a checksum that fits."""
    rng = np.random.default_rng(seed)
    arrays, metadata = read_arrays(path)
    about = json.loads(metadata["jaxmlp_model"])
    for _ in range(rng.integers(1, 3)):
        _replace_entry(rng, about)
    if rng.random() < 0.2:
        name = str(rng.choice(sorted(arrays)))
        arrays[name] = [arrays[name] * np.nan, arrays[name] * 1e30, arrays[name][:0]][rng.integers(3)]
    text = json.dumps(about | {"checksum": checksum(arrays, about)})
    if rng.random() < 0.1:
        text = text.replace("{", '{"version": 2, ', 1)
    write_arrays(other, arrays, {"jaxmlp_model": text})


def _replace_entry(rng, content):
    """Replace, delete, repeat or add an entry somewhere in JSON."""
    while True:
        names = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not names:
            return
        name = names[rng.integers(len(names))]
        if not isinstance(content[name], dict | list) or not content[name] or rng.random() < 0.1:
            break
        content = content[name]
    kind, value = rng.integers(10), _ODD_VALUES[rng.integers(len(_ODD_VALUES))]
    if kind == 0:
        del content[name]
    elif kind == 1 and isinstance(content, list):
        content.append(content[name])
    elif kind == 2 and isinstance(content, dict):
        content[str(value)[:50]] = content[name]
    else:
        content[name] = value


def _nest(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


_ODD_VALUES = [None, True, False, 0, -1, 1, 3, 2**31, 2**63, 10**400, -(10**300), 0.5, -0.0, 1e-300, 1e300, 5e-324]
_ODD_VALUES += [
    -1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    "a\nb\x1b[2J",
    "x" * 5000,
    [],
    {},
    [[]],
    {"a": {}},
]
_ODD_VALUES += [_nest(50), _nest(150), _nest(900), [1.0], ["a", "b"], ["b", "a"], "softmax_cross_entropy", "gelu"]
_ODD_VALUES += ["custom:f", "float64", "bfloat16", "counts", "classification", "number", "one-hot", "rooms", "city"]


def _split_header(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _forge_header(rng, content):
    """Change what the header of a safetensors file claims."""
    try:
        header, data = _split_header(content)
    except (ValueError, RecursionError):
        return content
    _replace_entry(rng, header)
    text = json.dumps(header).encode()
    if rng.random() < 0.1:
        text = text.replace(b"{", b'{"__metadata__": {"a": "b"}, ', 1)
    return len(text).to_bytes(8, "little") + text + data


def _forge_metadata(rng, content):
    """Change an entry of the JSON object in the metadata of a model, but not its checksum."""
    try:
        header, data = _split_header(content)
        about = json.loads(header["__metadata__"]["jaxmlp_model"])
        _replace_entry(rng, about)
        header["__metadata__"]["jaxmlp_model"] = json.dumps(about)
    except (ValueError, TypeError, KeyError, RecursionError):
        return content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _claim_length(rng, content):
    lengths = [0, 1, 8, 10**6, 2**31, 2**40, 2**63, 2**64 - 1]
    return lengths[rng.integers(len(lengths))].to_bytes(8, "little") + content[8:]


def _claim_elements(rng, content):
    try:
        header, data = _split_header(content)
        names = [name for name in header if name != "__metadata__"]
        shapes = [[10**12], [10**12, 0], [2**32, 2**32], [0], [], [-1], [1] * 1000]
        header[names[rng.integers(len(names))]]["shape"] = shapes[rng.integers(len(shapes))]
    except (ValueError, TypeError, KeyError, AttributeError):
        return content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _flip_bit(rng, content):
    array = np.frombuffer(content, np.uint8).copy()
    if len(array):
        array[rng.integers(len(array))] ^= 1 << rng.integers(8)
    return array.tobytes()


def _move_bytes(rng, content):
    start, end = sorted(rng.integers(len(content) + 1, size=2))
    return content[:start] + content[end:] + content[start:end]


_FILE_MUTATIONS = [
    *(_flip_bit, _flip_bit, _flip_bit, _flip_bytes, _truncate, _move_bytes, _replace_by_blob),
    *(_forge_header, _forge_metadata, _forge_metadata, _claim_length, _claim_elements),
]
