"""The structure of the package: which module imports which, what the code never calls, and how long it may be."""

import ast
import functools
import pathlib
import runpy

import pytest

import jaxmlp

core, portable = pytest.mark.core, pytest.mark.portable

ROOT = pathlib.Path(jaxmlp.__file__).parent
measure = runpy.run_path(str(pathlib.Path(__file__).parent.parent / "bench" / "size.py"))["measure"]

# From the ground up: a file of the core may import those before it, and a folder the core and the folders before it.
CORE = ["_fork", "_programs", "activations", "criteria", "_validation", "_dispatch", "_cpu_products", "_gpu_training"]
CORE += ["dense", "network", "backprop", "training", "tutorial"]
FOLDERS = ["storage", "ensembles", "fitting", "verification", "sharding", "export", "selection", "tables", "models"]
FOLDERS += ["pipeline", "sklearn", "plots", "report", "page", "cli"]
MAY_IMPORT = {name: set(CORE[:k]) for k, name in enumerate(CORE)}
MAY_IMPORT |= {name: {*CORE, *FOLDERS[: k + 1]} for k, name in enumerate(FOLDERS)}
MAY_IMPORT |= {"tutorial": set(), "__main__": {"cli"}, "__init__": {*CORE, *FOLDERS}}
for name in ("cli", "report"):
    MAY_IMPORT[name] |= {"jaxmlp"}  # for its version

# What the core may import besides JAX and NumPy.
STANDARD_LIBRARY = {"collections", "dataclasses", "functools", "importlib", "itertools", "math", "operator", "typing"}
STANDARD_LIBRARY |= {"os", "sys", "threading", "types"}

# Where autodiff may be called: as the oracle of the gradients, and to tell JAX how to differentiate the fast forms.
AUTODIFF = {"_dispatch.py": {"custom_jvp", "jvp"}}

MODULES = sorted(ROOT.rglob("*.py"))

# The files that someone reads in one sitting, and lines of code without docstrings, comments and blank lines.
READABLE = [name for name in CORE if not name.startswith("_")]
FUNCTION_CODE = 60


def layer_of(path):
    """The name of a module in the table: a folder counts as one."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


@functools.cache
def nodes_of(path):
    """The nodes of the syntax tree of a file."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports_of(path):
    """(top-level package, module of jaxmlp or None) for each import anywhere in a file."""
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            names = [f"{node.module}.{alias.name}" if node.module == "jaxmlp" else node.module for alias in node.names]
            names = ["jaxmlp" if name == "jaxmlp.__version__" else name for name in names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            top, *rest = name.split(".")
            yield top, (rest[0] if rest else top) if top == "jaxmlp" else None


@core
def test_a_module_imports_only_the_layers_below_it():
    imported = {path: {module for _, module in imports_of(path) if module is not None} for path in MODULES}
    above = {str(path): names - MAY_IMPORT[layer_of(path)] for path, names in imported.items()}
    assert {path: names for path, names in above.items() if names} == {}


@core
@pytest.mark.parametrize("name", CORE)
def test_the_core_needs_jax_only(name):
    outside = {top for top, module in imports_of(ROOT / f"{name}.py") if module is None}
    assert outside <= {"jax", "numpy"} | STANDARD_LIBRARY


def _is(node, name):
    return isinstance(node, ast.Name) and node.id == name


@core
def test_autodiff_is_called_as_the_oracle_only():
    autodiff = {"grad", "value_and_grad", "vjp", "jvp", "jacfwd", "jacrev", "hessian", "linearize", "custom_vjp"}
    autodiff |= {"custom_jvp", "linear_transpose", "checkpoint"}
    called = {}
    for path in MODULES:
        nodes = nodes_of(path)
        names = {node.attr for node in nodes if isinstance(node, ast.Attribute) and not _is(node.value, "args")}
        names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
        names &= autodiff - ({"grad", "jvp"} if layer_of(path) == "verification" else set())
        if names:
            called[path.relative_to(ROOT).as_posix()] = names
    assert called == AUTODIFF


@core
def test_init_only_re_exports():
    names = {"_import_module", "TYPE_CHECKING"}
    for node in nodes_of(ROOT / "__init__.py"):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("jaxmlp"):
            assert all(alias.asname == alias.name for alias in node.names)
            names |= {alias.name for alias in node.names}
        assert not isinstance(node, ast.ClassDef)
    folders = {name for names in jaxmlp._FOLDERS.values() for name in names}
    assert folders <= names
    public = {name for name in dir(jaxmlp) if not name.startswith("_")}
    assert public - {*CORE, *FOLDERS} <= names


@portable
@pytest.mark.parametrize("folder", jaxmlp._FOLDERS)
def test_type_checkers_see_every_name_of_a_folder(folder):
    nodes = nodes_of(ROOT / "__init__.py")
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == f"jaxmlp.{folder}"]
    assert {alias.name for node in imports for alias in node.names} == set(jaxmlp._FOLDERS[folder])
    assert all(getattr(jaxmlp, name) is not None for name in (folder, *jaxmlp._FOLDERS[folder]))


@core
def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(jaxmlp, "no_such_name")


@portable
def test_every_public_function_and_class_has_a_docstring():
    for name in dir(jaxmlp):
        value = getattr(jaxmlp, name)
        if callable(value) and not name.startswith("_"):
            assert value.__doc__, name


@core
def test_the_core_is_short_enough_to_read_in_one_sitting():
    sizes = {name: measure(ROOT / f"{name}.py") for name in READABLE}
    assert {name: size.lines for name, size in sizes.items() if size.lines > 130} == {}
    assert sum(size.lines for size in sizes.values()) <= 700
    assert sum(size.code for size in sizes.values()) <= 330


@core
def test_no_function_is_long():
    functions = [(path.name, name, code) for path in MODULES for code, name in measure(path).functions]
    assert [function for function in functions if function[-1] > FUNCTION_CODE] == []
