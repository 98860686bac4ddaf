"""The documentation as a site: `sphinx-build -W --keep-going docs docs/_build/html`."""

import ast
import dataclasses
import inspect
import os
import re
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import jaxmlp

project = "jaxmlp"
author = "The jaxmlp authors"
copyright = "The jaxmlp authors, Apache-2.0"
release = version = jaxmlp.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"jaxmlp {release}"
html_extra_path = ["see-it-learn.html"]

# Links to a heading of another page, as GitHub makes them.
myst_heading_anchors = 3

# Notebooks run in each build, and an error in a cell is a warning, which fails a strict build. They find the package
# that this process has.
nb_execution_mode = "force"
nb_execution_show_tb = True
nb_execution_timeout = 300
nb_merge_streams = True
os.environ["PYTHONPATH"] = f"{Path(jaxmlp.__file__).parent.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

autodoc_member_order = "bysource"
maximum_signature_line_length = 90
default_role = "code"
napoleon_custom_sections = [("Fields", "params_style")]


def parse(obj) -> Any:
    """Return the definition of a function or class."""
    return ast.parse(textwrap.dedent(inspect.getsource(obj))).body[0]


def unparse(node: Any) -> str:
    """Return an annotation or default as the source has it."""
    return "" if node is None else ast.unparse(node)


def is_record(obj) -> bool:
    """Return whether an object is a NamedTuple or a dataclass."""
    return inspect.isclass(obj) and (hasattr(obj, "_fields") or dataclasses.is_dataclass(obj))


class Field(NamedTuple):
    """A field of a NamedTuple or dataclass, as the source has it."""

    name: str
    kind: str
    default: str  # Empty for none.
    comment: str
    must_be_named: bool


def list_fields(cls: type) -> list[Field]:
    """Return the fields of a record, in the order of its arguments."""
    fields: dict[str, Field] = {}
    for base in filter(is_record, reversed(cls.__mro__)):
        lines, must_be_named = textwrap.dedent(inspect.getsource(base)).splitlines(), False
        for node in parse(base).body:
            kind = unparse(node.annotation) if isinstance(node, ast.AnnAssign) else "ClassVar"
            must_be_named = must_be_named or kind == "KW_ONLY"
            if kind == "KW_ONLY" or kind.startswith("ClassVar"):
                continue
            name, default, words = unparse(node.target), unparse(node.value), {}
            if default.startswith("field("):
                words = {word.arg: unparse(word.value) for word in node.value.keywords}
                default = words.get("default", "{}" if "default_factory" in words else "")
            if words.get("init") != "False":
                kind = re.sub(r"^InitVar\[(.*)\]$", r"\1", kind).strip("'")
                by_name = must_be_named or "kw_only" in words
                fields[name] = Field(name, kind, default, find_comment(lines, node), by_name)
    return sorted(fields.values(), key=lambda field: field.must_be_named)


def find_comment(lines: list[str], node: Any) -> str:
    """Return the comment at the end of a field's line, else the one in the lines above it."""
    rest = lines[node.end_lineno - 1][node.end_col_offset :]
    if "#" in rest:
        return rest.partition("#")[2].strip()
    above = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip("# "))
    return " ".join(above)


def sign(app, what, name, obj, options, signature, result):
    """Return the signature as the source has it, with `ArrayLike` and `activation=relu` instead of what they are."""
    if is_record(obj):
        words = []
        for field in list_fields(obj):
            if field.must_be_named and "*" not in words:
                words.append("*")
            words.append(f"{field.name}: {field.kind}" + (f" = {field.default}" if field.default else ""))
        return f"({', '.join(words)})", ""
    obj = inspect.unwrap(getattr(obj, "__func__", obj))
    if not inspect.isfunction(obj):
        return signature, result
    node = parse(obj)
    arguments = node.args
    if what == "method" and arguments.args:
        del (arguments.posonlyargs or arguments.args)[0]
    return f"({unparse(arguments)})", unparse(node.returns).strip("'")


def prepare(app, what, name, obj, options, lines: list[str]) -> None:
    """Add the comments of fields to the docstring of a record, and keep colons in `Returns`; napoleon reads it next."""
    if is_record(obj) and "Arguments:" not in lines:
        fields = [f"    {field.name}: {field.comment}" for field in list_fields(obj) if field.comment]
        place = lines.index("Raises:") if "Raises:" in lines else len(lines)
        lines[place:place] = ["", "Fields:", *fields, ""] if fields else []
    if "Returns:" in lines:
        start = lines.index("Returns:")
        end = next((k for k in range(start + 1, len(lines)) if lines[k] and lines[k][0] != " "), len(lines))
        body = textwrap.dedent("\n".join(lines[start + 1 : end])).rstrip().split("\n")
        if re.match(r"\w+: ", body[0]):  # Results by name.
            body = [re.sub(r"^(\w+): ", r"* **\1** -- ", line) if line[0] != " " else line for line in body]
        lines[start:end] = [":returns:", *("    " + line for line in body), ""]


def skip(app, what, name, obj, skips, options):
    """Skip the fields of a NamedTuple, which its docstring lists."""
    return True if str(obj.__doc__).startswith("Alias for field number") else None


def setup(app) -> None:
    """Connect these functions to Sphinx."""
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-process-docstring", prepare, priority=100)
    app.connect("autodoc-skip-member", skip)
