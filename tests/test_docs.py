"""The documentation: every public name has an entry in the API reference, and an example."""

import ast
import pathlib
import re
from importlib import import_module

import pytest

import jaxmlp

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
REFERENCE = (DOCS / "reference.md").read_text(encoding="utf-8")
LEARN = (DOCS / "learn.md").read_text(encoding="utf-8")
GUIDES = [ROOT / "README.md", *DOCS.glob("*.md"), *(DOCS / "examples").glob("*.md")]
EXAMPLES = "\n".join(
    code
    for page in GUIDES
    for code in re.findall(r"^```(?:python|\{code-cell\})\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
)
ENTRIES = set(re.findall(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)$", REFERENCE, re.M))
NOTEBOOKS = sorted(path.stem for path in (DOCS / "examples").glob("*.md") if path.stem != "README")

# Files, not folders, with names for users. A folder names them in its `__init__.py`.
FILES = ["tutorial", "dense", "fitting/optimizers", "fitting/metrics", "fitting/encoding"]
# Of these files: names of types, and what other modules of the package call.
PRIVATE = {
    "tutorial": {"Scalar"},
    "fitting/optimizers": {
        *("schedule", "describe_optimizer", "optimizer_step", "require_optimizer", "validate_opt_state"),
        *("validate_optimizer", "RANGES", "OPTIMIZERS", "OptState"),
    },
    "fitting/metrics": {"AnyArray", "Metric", "Values", "RowError", "numpy_of"},
    "fitting/encoding": {
        *("Encoding", "encode", "learn_edges", "learn_encoding", "count_inputs", "validate_encoding"),
        *("restore_encoding", "stack_encodings", "REACH", "SOFTNESS"),
    },
}


def public_names():
    """(module, name) of every name for users."""
    root = ROOT / "jaxmlp"
    yield from (("jaxmlp", name) for names in (jaxmlp._CORE | jaxmlp._FOLDERS).values() for name in names)
    for path in sorted(root.glob("*/__init__.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                yield from ((f"jaxmlp.{path.parent.name}", alias.name) for alias in node.names if alias.asname)
    for file in FILES:
        for node in ast.parse((root / f"{file}.py").read_text(encoding="utf-8")).body:
            names = [target.id for target in node.targets] if isinstance(node, ast.Assign) else []
            names += [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
            private = PRIVATE.get(file, set())
            yield from ((f"jaxmlp.{file.replace('/', '.')}", n) for n in names if n[0] != "_" and n not in private)


NAMES = sorted(set(public_names()))


def test_every_public_name_has_an_entry_in_the_reference():
    assert len(NAMES) > 150
    # A name may have its entry under another module that has the same object.
    last = {entry.rpartition(".")[2] for entry in ENTRIES}
    assert [f"{module}.{name}" for module, name in NAMES if name not in last] == []


def test_every_public_name_has_an_example():
    def has_example(module, name):
        if re.search(rf"\b(jaxmlp|metrics)(\.\w+)*\.{name}\b|^from jaxmlp\S* import .*\b{name}\b", EXAMPLES, re.M):
            return True
        return ">>> " in (getattr(import_module(module), name).__doc__ or "")

    assert [f"{module}.{name}" for module, name in NAMES if not has_example(module, name)] == []


def test_every_entry_of_the_reference_exists():
    assert len(ENTRIES) > 100
    for entry in ENTRIES:
        module, _, name = entry.rpartition(".")
        assert hasattr(import_module(module), name), entry


def test_every_page_is_in_the_site():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = {line for block in re.findall(r"```\{toctree\}\n(.*?)```", index, re.S) for line in block.splitlines()}
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in (*DOCS.glob("*.md"), *DOCS.glob("examples/*.md"))}
    assert pages - {"index"} == {line for line in listed if line and not line.startswith(":")}


def test_there_is_a_notebook_for_learning_for_tables_and_for_many_networks():
    assert NOTEBOOKS == ["learn", "tables", "thousand"]
    for name in NOTEBOOKS:
        text = (DOCS / "examples" / f"{name}.md").read_text(encoding="utf-8")
        assert "kernelspec:" in text.split("---")[1]
        assert text.count("```{code-cell}") >= 5


@pytest.mark.parametrize("line", re.findall(r"^\| [^|]* \| `[^|]*<-[^|]* \| `([^`|]*)` \|$", LEARN, re.M))
def test_the_lines_next_to_those_of_r_are_lines_of_the_tutorial(line):
    program = re.sub(r"\s+#.*", "", (ROOT / "jaxmlp" / "tutorial.py").read_text(encoding="utf-8"))
    name, value = line.split(" = ", 1)
    # Some lines of the program assign two names.
    assert line in program or value in program.partition("def ")[2], name


def test_all_lines_of_the_r_program_are_there():
    names = re.findall(r"^\| [^|]* \| `(\w+) <- ", LEARN, re.M)
    expected = ["x", "y", "w1", "w2", "b1", "b2", "h", "h_relu", "y_pred", "loss", "grad_y_pred", "grad_w2"]
    assert names == [*expected, "grad_h_relu", "grad_h", "grad_b2", "grad_w1", "grad_b1", "w1"]


def test_the_version_is_that_of_the_changelog_and_of_the_citation():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^## \[(.*)\]", changelog, re.M)[1] == jaxmlp.__version__
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == jaxmlp.__version__
