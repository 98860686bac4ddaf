"""The house: who imports whom, and what our code never calls."""

import ast
import pathlib

import pytest

import jaxmlp

pytestmark = pytest.mark.core

ROOT = pathlib.Path(jaxmlp.__file__).parent
BASE = {"activations", "criteria", "products", "checks"}
CORE = BASE | {"network", "backprop", "training", "tutorial"}
FRONTS = CORE | {
    "ensembles",
    "export",
    "fitting",
    "models",
    "plots",
    "selection",
    "sharding",
    "storage",
    "tables",
    "verification",
}

MAY_IMPORT = {
    "tutorial": set(),
    "activations": set(),
    "criteria": set(),
    "products": set(),
    "checks": set(),
    "network": BASE,
    "backprop": BASE | {"network"},
    "training": BASE | {"network", "backprop"},
    "ensembles": CORE - {"tutorial"},
    "sharding": {"checks"},
    "export": (CORE - {"tutorial"}) | {"ensembles"},
    "verification": (CORE - {"tutorial"}) | {"verification"},
    "storage": {"checks"},
    "fitting": (CORE - {"tutorial"}) | {"fitting", "storage"},
    "selection": (CORE - {"tutorial"}) | {"fitting", "selection"},
    "tables": (CORE - {"tutorial"}) | {"tables"},
    "models": (CORE - {"tutorial"}) | {"ensembles", "storage", "tables", "models"},
    "plots": FRONTS - {"plots"},
    "sklearn": (FRONTS - {"plots", "tables"}) | {"sklearn"},
    "cli": FRONTS | {"cli", "jaxmlp"},
    "__main__": {"cli"},
    "__init__": CORE | {"ensembles", "export", "fitting", "models", "selection", "sharding", "verification"},
}

# What a module of the foundation may take from outside: the standard library, NumPy and JAX.
JAX_ONLY = (*sorted(CORE), "ensembles", "export", "sharding")
STANDARD_LIBRARY = {"collections", "dataclasses", "functools", "importlib", "itertools", "math", "operator", "typing"}

# Where autodiff may be called: beside our gradients, as their oracle; and where it is told how to differentiate us.
AUTODIFF = {"cli/explain.py": {"grad"}, "products.py": {"custom_jvp", "jvp"}}

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


@pytest.mark.parametrize("name", JAX_ONLY)
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
    body = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[-1], ast.Assign)
    for node in body[1:-1]:
        assert isinstance(node, ast.ImportFrom)
        assert all(alias.asname == alias.name for alias in node.names)


def test_everything_public_is_documented():
    for name in dir(jaxmlp):
        value = getattr(jaxmlp, name)
        if callable(value) and not name.startswith("_"):
            assert value.__doc__, name
