"""Count lines of code: without docstrings, comments and blank lines, per file and in total.

    python bench/size.py                       (python bench/size.py tests bench for other folders)

Also prints the longest function and how often the code uses `Any`.
"""

import argparse
import ast
import io
import pathlib
import tokenize
from typing import NamedTuple

LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.COMMENT}


class Size(NamedTuple):
    """The size of one file."""

    lines: int
    code: int
    functions: list[tuple[int, str]]  # lines of code and name of each function
    anys: int  # number of times that `Any` is used or imported


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", nargs="*", type=pathlib.Path, default=[pathlib.Path("jaxmlp")], help="(default: jaxmlp)"
    )
    folders = parser.parse_args().folders
    sizes = {path: measure(path) for folder in folders for path in sorted(folder.rglob("*.py"))}
    print(" code  lines  file")
    for path, size in sizes.items():
        print(f"{size.code:5}  {size.lines:5}  {path}")
    print(f"{sum(size.code for size in sizes.values()):5}  {sum(size.lines for size in sizes.values()):5}  total")
    code, path, name = max((n, path, name) for path, size in sizes.items() for n, name in size.functions)
    print(f"longest function: {name} of {path}, {code} lines of code")
    print(f"Any: {sum(size.anys for size in sizes.values())} times")


def measure(path: pathlib.Path) -> Size:
    """Return the size of a file of Python."""
    text = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    code = {k for token in tokens if token.type not in LAYOUT for k in range(token.start[0], token.end[0] + 1)}
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            code -= _lines(node.body[0])
    functions = [(len(code & _lines(node)), node.name) for node in nodes if isinstance(node, ast.FunctionDef)]
    return Size(len(text.splitlines()), len(code), functions, sum(token.string == "Any" for token in tokens))


def _lines(node: ast.stmt) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


if __name__ == "__main__":
    main()
