"""The dialect of a text table: its encoding, its separator, and the line `sep=;` that spreadsheets understand."""

import re

from jaxmlp.tables.messages import TableError, quote
from jaxmlp.tables.quotes import take_out

SEPARATORS = (b";", b"\t", b"|", b",")  # In the order in which they are preferred if several fit.
_MARKS = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}  # fmt: skip
_NAMES = {
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "cp1252": "Windows-1252",
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SEP_LINE = re.compile(rb'\A"?sep=(?P<mark>.)"?[ \t]*\r?\n', re.IGNORECASE)
_SAMPLE_LINES = 200


def find_encoding(head: bytes) -> str:
    """Return the name of the encoding of a file that starts with `head`; "utf-8" if nothing tells another one."""
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    if b"\0" in head[:1000]:
        even, odd = head[0:1000:2].count(0), head[1:1000:2].count(0)
        if odd > 0.4 * len(head[1:1000:2]) and even < odd / 10:
            return "utf-16-le"
        if even > 0.4 * len(head[0:1000:2]) and odd < even / 10:
            return "utf-16-be"
    return "utf-8"


def decode(content: bytes, encoding: str) -> tuple[bytes, str]:
    """Return text as UTF-8 without a byte order mark, and its encoding: Windows-1252 if it is not UTF-8.

    Raises:
        TableError: the content is no text.
    """
    if encoding in ("utf-8", "utf-8-sig"):
        content = content.removeprefix(b"\xef\xbb\xbf")
        if _CONTROL.search(content):
            raise TableError("a binary file, not a table")
        try:
            _ = content.isascii() or content.decode()
            return content, "utf-8"
        except UnicodeDecodeError as error:
            try:
                return content.decode("cp1252").encode(), "cp1252"
            except UnicodeDecodeError:
                line = content.count(b"\n", 0, error.start) + 1
                byte = f"byte 0x{content[error.start]:02x}"
                problem = f"line {line} is neither UTF-8 nor Windows-1252 ({byte}); save it as UTF-8"
                raise TableError(problem) from None
    try:
        text = content.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeDecodeError:
        name = _NAMES[encoding]
        raise TableError(f"has the mark of {name}, but is not {name}; save it as UTF-8") from None
    if _CONTROL.search(text):
        raise TableError("a binary file, not a table")
    return text, encoding


def describe_encoding(encoding: str) -> str | None:
    """Return the name of an encoding that should be told; None for UTF-8."""
    return _NAMES.get(encoding)


def take_separator_line(content: bytes) -> tuple[bytes, bytes | None]:
    """Return the content without a first line `sep=;`, and the separator that it names; None without such a line."""
    match = _SEP_LINE.match(content)
    return (content[match.end() :], match["mark"]) if match else (content, None)


def find_separator(content: bytes) -> bytes:
    """Return the separator that gives most lines as many fields as the header has, and the header at least two."""
    best, best_share = None, 0.0
    for separator in SEPARATORS:
        lines = [line for line in take_out(content, separator)[0].split(b"\n") if line.strip()][:_SAMPLE_LINES]
        counts = [line.count(separator) for line in lines]
        if counts and counts[0]:
            share = counts.count(counts[0]) / len(counts)
            if share > best_share + 1e-9:
                best, best_share = separator, share
    if best is None:  # a single column, or a separator that is not known
        best = next((mark for mark in (b",", *SEPARATORS) if mark not in content), b",")
    return best


def describe_separator(separator: bytes) -> str:
    """Return a separator as the option that names it has it."""
    return "tab" if separator == b"\t" else quote(separator.decode())


def to_separator(text: str | None) -> bytes | None:
    """Return the separator that a user has named: one character, or the word tab."""
    if text is None:
        return None
    text = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}.get(text.lower(), text)
    if len(text) != 1 or not text.isascii() or text in '"\r\n\0':
        raise ValueError(f"separator must be one character, such as ; or tab; got {text!r}")
    return text.encode()
