"""The house: who imports whom, and what our code never calls."""

import ast
import pathlib

import pytest

import jaxmlp

pytestmark = pytest.mark.core

ROOT = pathlib.Path(jaxmlp.__file__).parent

# From the ground up: a file of the core may import those before it, and so may a folder, all of the core included.
CORE = ["activations", "criteria", "_validation", "_dispatch", "_cpu_products"]
CORE += ["dense", "network", "backprop", "training", "tutorial"]
FOLDERS = ["storage", "ensembles", "fitting", "verification", "sharding", "export", "selection", "tables", "models"]
FOLDERS += ["plots", "sklearn", "cli"]
MAY_IMPORT = {name: set(CORE[:k]) for k, name in enumerate(CORE)}
MAY_IMPORT |= {name: {*CORE, *FOLDERS[: k + 1]} for k, name in enumerate(FOLDERS)}
MAY_IMPORT |= {"tutorial": set(), "__main__": {"cli"}, "__init__": {*CORE, *FOLDERS}}
MAY_IMPORT["cli"] |= {"jaxmlp"}

# What the core may take from outside: the standard library, NumPy and JAX.
STANDARD_LIBRARY = {"collections", "dataclasses", "functools", "importlib", "itertools", "math", "operator", "typing"}

# Where autodiff may be called: as the oracle of our gradients, and to tell JAX how to differentiate the CPU forms.
AUTODIFF = {"cli/explain.py": {"grad"}, "_cpu_products.py": {"custom_jvp", "jvp"}}

MODULES = sorted(ROOT.rglob("*.py"))


def room(path):
    """The name of a module in the table: a package counts as one."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imported(path):
    """(top-level package, our module or None) for each import anywhere in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_import_of_ours_is_in_the_table(path):
    arrows = {ours for _, ours in imported(path) if ours is not None}
    assert arrows <= MAY_IMPORT[room(path)]


@pytest.mark.parametrize("name", CORE)
def test_the_core_needs_jax_only(name):
    outside = {top for top, ours in imported(ROOT / f"{name}.py") if ours is None}
    assert outside <= {"jax", "numpy"} | STANDARD_LIBRARY


def _is(node, name):
    return isinstance(node, ast.Name) and node.id == name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_autodiff_is_the_oracle_and_nothing_else(path):
    autodiff = {"grad", "value_and_grad", "vjp", "jvp", "jacfwd", "jacrev", "hessian", "linearize", "custom_vjp"}
    autodiff |= {"custom_jvp", "linear_transpose", "checkpoint"}
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute) and not _is(node.value, "args")}
    names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    if path.relative_to(ROOT).as_posix() in AUTODIFF:
        assert names & autodiff == AUTODIFF[path.relative_to(ROOT).as_posix()]
    elif room(path) == "verification":
        assert names & autodiff <= {"grad", "jvp"}
    else:
        assert not names & autodiff


def test_init_only_re_exports():
    names = {"_import_module", "TYPE_CHECKING"}
    for node in ast.walk(ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("jaxmlp"):
            assert all(alias.asname == alias.name for alias in node.names)
            names |= {alias.name for alias in node.names}
        assert not isinstance(node, ast.ClassDef)
    folders = {name for names in jaxmlp._FOLDERS.values() for name in names}
    assert folders <= names
    public = {name for name in dir(jaxmlp) if not name.startswith("_")}
    assert public - {*CORE, *FOLDERS} <= names


@pytest.mark.parametrize("folder", jaxmlp._FOLDERS)
def test_type_checkers_see_every_name_of_a_folder(folder):
    nodes = ast.walk(ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == f"jaxmlp.{folder}"]
    assert {alias.name for node in imports for alias in node.names} == set(jaxmlp._FOLDERS[folder])
    assert all(getattr(jaxmlp, name) is not None for name in (folder, *jaxmlp._FOLDERS[folder]))


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(jaxmlp, "no_such_name")


def test_everything_public_is_documented():
    for name in dir(jaxmlp):
        value = getattr(jaxmlp, name)
        if callable(value) and not name.startswith("_"):
            assert value.__doc__, name
