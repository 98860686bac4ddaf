"""Change any term of the core, and a test must fail: `python tests/mutation.py`, under an hour on two cores.

Each mutant is one change to one expression. It is written into a copy of the package, and the tests that mirror its
module run on the copy until one fails (or hangs, or cannot import: killed too). A mutant that no test notices is a
line the suite does not hold, unless it computes the same function; those are listed in EQUIVALENT with the reason.

Exit code: 0 if every mutant is killed or listed; 1 if one survives, or a listed one is killed or no longer there;
2 if the tests fail without any mutant.
"""

import argparse
import ast
import copy
import importlib
import multiprocessing
import os
import pathlib
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent

# The tests of a module, its mirror first: most mutants go no further.
TESTS = {
    "activations": ["test_activations", "test_backprop"],
    "criteria": ["test_criteria", "test_backprop"],
    "dense": ["test_dense", "test_backprop"],
    "network": ["test_network", "test_backprop", "test_validation"],
    "backprop": ["test_backprop", "test_training"],
    "training": ["test_training", "test_validation"],
    "_cpu_products": ["test_dense", "test_backprop"],
    "_gpu_training": ["test_gpu_training"],
    "_dispatch": ["test_training", "test_validation", "test_dense", "test_programs"],
}

# Names whose values and conditions choose a form by shape. All forms are the same function, so that no test can or
# should tell the choices apart.
CHOICES = {"choose_dense", "choose_weight_grad", "choose_column_sums"}
THRESHOLDS = {"FEW_INPUTS", "FEW_ROWS", "FEW_WEIGHTS", "FEW_ENTRIES", "MANY_ROWS", "MANY_OUTPUTS"}
THRESHOLDS |= {"FILLED_OUTPUTS", "FILLED_INPUTS", "LANES", "TURNED_INPUTS", "COPIED_ENTRIES"}
THRESHOLDS |= {"_is_small", "_is_long", "_fills_lanes", "_WIDE", "ENTRIES_OF_A_WARP", "_count_warps"}
TYPES = {"Params", "Operands", "Product", "Arguments", "Result"}

# (module, the line before, the line after, why it is the same function)
EQUIVALENT: list[tuple[str, str, str, str]] = [
    (
        "criteria",
        "clipped = jnp.clip(error, -1, 1)",
        "clipped = jnp.clip(-1, error, 1)",
        "clip is a maximum, then a minimum; the two sides of a maximum commute",
    ),
    (
        "criteria",
        "return jnp.clip(outputs - y, -1, 1)",
        "return jnp.clip(-1, outputs - y, 1)",
        "as above",
    ),
    (
        "criteria",
        "return jax.nn.softmax(logits, axis=1) * jnp.sum(y, axis=1, keepdims=True) - y",
        "return jax.nn.softmax(logits, axis=1) * jnp.sum(y, axis=True, keepdims=1) - y",
        "True is 1",
    ),
    *(
        (
            "network",
            "return column_sums((row_losses if c is None else c * row_losses)[:, None])[0, 0]",
            f"return column_sums((row_losses if c is None else c * row_losses)[:, None])[{entry}]",
            "of shape (1, 1); JAX takes an index beyond the end for the last",
        )
        for entry in ("1, 0", "0, 1")
    ),
    *(
        ("_dispatch", before, before.replace(*change), reason)
        for before, change, reason in (
            ("for w, b in params:", ("w, b", "(b, w)"), "both are looked at in the same way"),
            (
                "if isinstance(w, np.ndarray) or isinstance(b, np.ndarray):",
                ("w, np.ndarray", "np.ndarray, w"),
                "its TypeError is caught; `validate_params` gives the same dtype, only later",
            ),
            (
                "if isinstance(w, np.ndarray) or isinstance(b, np.ndarray):",
                ("b, np.ndarray", "np.ndarray, b"),
                "as above",
            ),
            ("return params[0].w.dtype", ("0", "1"), "a network has one dtype; the error of one layer is caught"),
            (
                "widths = tuple([w.shape for w, _ in params])",
                ("w, _ in", "(_, w) in"),
                "the shapes of the biases and of x say those of the weights",
            ),
            *(
                ("@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))", ("0, 1, 2", order), "JAX sorts them")
                for order in ("1, 0, 2", "0, 2, 1")
            ),
        )
    ),
    *(
        (
            "_dispatch",
            "key = widths, x.shape, y.shape, dtype, tuple(statics.items())",
            f"key = ({parts})",
            "the parts of a key may have any order",
        )
        for parts in (
            "x.shape, widths, y.shape, dtype, tuple(statics.items())",
            "widths, y.shape, x.shape, dtype, tuple(statics.items())",
            "widths, x.shape, dtype, y.shape, tuple(statics.items())",
            "widths, x.shape, y.shape, tuple(statics.items()), dtype",
        )
    ),
    *(
        (
            "_dispatch",
            "except (TypeError, LookupError, AttributeError, ValueError):",
            f"except ({names}):",
            "the names of errors have no order",
        )
        for names in (
            "LookupError, TypeError, AttributeError, ValueError",
            "TypeError, AttributeError, LookupError, ValueError",
            "TypeError, LookupError, ValueError, AttributeError",
        )
    ),
    *(
        (
            "_gpu_training",
            before,
            before.replace(*change),
            "of length 1; JAX takes an index beyond the end for the last",
        )
        for before, change in (
            *(
                ("_pad(w1, inputs, width), _pad(b1[0], width), _pad(w2[:, 0], width), b2[0],", change)
                for change in (("b1[0]", "b1[1]"), ("w2[:, 0]", "w2[:, 1]"), ("b2[0]", "b2[1]"))
            ),
            (
                "_pad(x.T, inputs, rows), _pad(y[:, 0], rows), _pad(jnp.ones(n, x.dtype) if c is None else c, rows),",
                ("y[:, 0]", "y[:, 1]"),
            ),
            ("y, c, rate = y[:][:, None], c[:][:, None], rate[0]", ("rate[0]", "rate[1]")),
            ("start = [w1[p, :] for p in inputs], b1[:], w2[:], b2[0]", ("b2[0]", "b2[1]")),
            (
                "w1_rows, b1_out[:], w2_out[:], b2_out[0] = lax.fori_loop(0, epochs, epoch, start)",
                ("b2_out[0]", "b2_out[1]"),
            ),
        )
    ),
    *(
        ("_gpu_training", before, before.replace(*change), reason)
        for before, change, reason in (
            *(
                (
                    "compiler_params=triton.CompilerParams(num_warps=_count_warps(rows * width)),",
                    ("rows * width", entries),
                    "the number of warps changes the speed only",
                )
                for entries in ("(rows / width)", "rows", "width")
            ),
            (
                "def train_in_one_kernel(params, x, y, c, rate, f: Activation, criterion: Criterion, epochs: int, "
                "interpret=False):",
                ("False", "True"),
                "only a GPU runs the default",
            ),
            (
                "z1 = jnp.broadcast_to(b1[None, :], (y.shape[0], w2.shape[0]))",
                ("y.shape[0]", "y.shape[1]"),
                "the products that are added to it have a row for each of x",
            ),
            (
                'if jax.default_backend() != "gpu" or len(params) != 2 or params[-1].w.shape[1] != 1 or epochs == 0:',
                ("params[-1]", "params[1]"),
                "the last of two layers",
            ),
            ("layer = type(params[0])", ("params[0]", "params[1]"), "both layers have one type"),
            *(
                (
                    "ACTIVATIONS = (identity, relu, tanh, sigmoid, silu)  # Pallas cannot compile gelu's erfc.",
                    change,
                    "a set",
                )
                for change in (
                    ("identity, relu", "relu, identity"),
                    ("relu, tanh", "tanh, relu"),
                    ("tanh, sigmoid", "sigmoid, tanh"),
                    ("sigmoid, silu", "silu, sigmoid"),
                )
            ),
            *(
                (
                    "return small and known and _is_on_one_device((params, x, y)) and not jax.config.jax_disable_jit  "
                    "# type: ignore[attr-defined]",
                    change,
                    "all are looked at in the same way",
                )
                for change in (("params, x, y", "x, params, y"), ("params, x, y", "params, y, x"))
            ),
        )
    ),
    *(
        ("_cpu_products", filled, filled.replace(*change), "what is filled in is cut off again, however much")
        for filled in ("filled = jnp.pad(w, ((0, 0), (0, -outputs % LANES)))",)
        for change in (("-outputs % LANES", "LANES"), ("-outputs", "outputs"))
    ),
    ("_cpu_products", "m = n // 4", "m = n // 5", "the rows that four blocks leave over are added too, however many"),
    *(
        ("_cpu_products", before, before.replace(pair, swapped), "the terms of a sum commute")
        for before in ("terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + odd",)
        for pair, swapped in (("a, b in", "(b, a) in"), ("terms[::2], terms[1::2]", "terms[1::2], terms[::2]"))
    ),
]

SECONDS = 60  # of computing, after which a mutant counts as hanging; the slowest set of tests takes half of it

OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.MatMult: ast.Mult,
}
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


class Mutant(NamedTuple):
    """A module with one change."""

    module: str
    line: int
    before: str  # the lines of the change, stripped
    after: str
    source: str


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module, from top to bottom."""
    encoded = source.encode()  # ast counts columns in bytes
    starts = [0]
    for line in encoded.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    seen = {ast.dump(ast.parse(source))}
    for node in _expressions(ast.parse(source)):
        if isinstance(node, ast.If | ast.While | ast.IfExp):
            node = node.test  # comparisons of two outcomes are negated as such
            two = isinstance(node, ast.UnaryOp) or (
                isinstance(node, ast.Compare) and len(COMPARISONS[type(node.ops[0])]) == 1
            )
            changes = [] if two else [ast.UnaryOp(ast.Not(), node)]
        else:
            changes = _changes(node)
        begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        first, last = starts[node.lineno - 1], starts[node.end_lineno]
        for changed in changes:
            text = ast.unparse(ast.fix_missing_locations(changed)).encode()
            if b":" in text and isinstance(changed, ast.Tuple):
                text = text[1:-1]  # of slices, as in [:, None]: it must not have the brackets of a tuple
            elif isinstance(changed, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp | ast.IfExp):
                text = b"(" + text + b")"
            mutated = (encoded[:begin] + text + encoded[end:]).decode()
            dump = ast.dump(ast.parse(mutated))
            if dump not in seen:  # two rules may say the same
                seen.add(dump)
                before, after = (
                    s.decode().strip() for s in (encoded[first:last], encoded[first:begin] + text + encoded[end:last])
                )
                yield Mutant(module, node.lineno, before, after, mutated)


def _expressions(tree: ast.AST, choosing: bool = False) -> Iterator[ast.AST]:
    """The nodes that compute: not docstrings, annotations, imports, error messages, names, thresholds, choices."""
    for name, field in ast.iter_fields(tree):
        if name in ("annotation", "returns") or (choosing and name == "test"):
            continue
        for node in field if isinstance(field, list) else [field]:
            if not isinstance(node, ast.AST) or isinstance(
                node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr
            ):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # a docstring
            if getattr(node, "name", None) in THRESHOLDS:
                continue
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                target = node.targets[0].id
                if target in THRESHOLDS | TYPES or (choosing and target.startswith("few")):
                    continue
            if isinstance(node, ast.keyword) and node.arg == "strict":
                continue  # zip(strict=True): the lengths agree, it says so
            chooses = choosing and isinstance(node, ast.If | ast.IfExp)
            yield from [node] if isinstance(node, ast.expr | ast.stmt) and not chooses else []
            yield from _expressions(node, choosing or getattr(node, "name", None) in CHOICES)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    def with_(**fields) -> ast.AST:
        changed = copy.copy(node)
        for name, value in fields.items():
            setattr(changed, name, value)
        return changed

    match node:
        case ast.BinOp():
            if type(node.op) in OPERATORS:
                yield with_(op=OPERATORS[type(node.op)]())
            yield from (node.left, node.right)
        case ast.UnaryOp():
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(node.value + 1)
            if node.value:
                yield ast.Constant(node.value - 1)
        case ast.Constant(value=float()):
            yield ast.Constant(node.value + 1)
        case ast.Compare(ops=[op]):
            yield from (with_(ops=[other()]) for other in COMPARISONS[type(op)])
        case ast.BoolOp():
            yield with_(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            yield from node.values
        case ast.Expr():
            yield ast.Pass()
        case ast.Tuple() | ast.List():
            yield from (with_(elts=elements) for elements in _swaps(node.elts))
        case ast.Call(func=ast.Name(id="reversed"), args=[argument]):
            yield argument
        case ast.Call():
            if not any(isinstance(argument, ast.Starred) for argument in node.args):
                yield from (with_(args=arguments) for arguments in _swaps(node.args))
            for values in _swaps([keyword.value for keyword in node.keywords]):
                names = [keyword.arg for keyword in node.keywords]
                yield with_(keywords=[ast.keyword(name, value) for name, value in zip(names, values, strict=True)])


def _swaps(items: list[ast.expr]) -> Iterator[list[ast.expr]]:
    """The list with two neighbours exchanged; the names that error messages begin with stay where they are."""
    for k in range(len(items) - 1):
        pair = items[k : k + 2]
        if not any(isinstance(item, ast.Constant) and isinstance(item.value, str) for item in pair):
            yield [*items[:k], *reversed(pair), *items[k + 2 :]]


def test_copy(package: pathlib.Path, tests: list[str], log: pathlib.Path) -> None:
    """In a process of its own: run the tests on the copy of the package; exit with pytest's code."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.path.insert(0, str(package.parent))
    os.chdir(ROOT)
    files = [f"tests/{name}.py" for name in tests]
    without = [f"-pno:{plugin}" for plugin in ("cacheprovider", "hypothesispytest", "unraisableexception")]
    code = pytest.main(["-x", "-q", "-n0", "--no-header", "--tb=line", "--assert=plain", *without, *files])
    assert "jaxmlp" not in sys.modules or sys.modules["jaxmlp"].__file__ == str(package / "__init__.py")
    sys.stdout.flush()
    os._exit(int(code))


class Run:
    """The tests of a module on one copy, from the start to the verdict."""

    def __init__(self, work: pathlib.Path, number: int, tests: list[str], mutant: Mutant | None):
        self.mutant = mutant
        self.directory = work / str(number)
        package = self.directory / "jaxmlp"
        shutil.copytree(ROOT / "jaxmlp", package, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant:
            (package / f"{mutant.module}.py").write_text(mutant.source, encoding="utf-8")
        self.log = self.directory / "log"
        # A fork of this process, which has imported what takes long and does not change.
        self.process = multiprocessing.get_context("fork").Process(target=test_copy, args=(package, tests, self.log))
        self.process.start()

    def verdict(self) -> str | None:
        """Whether it survived, or what killed the mutant; None while it runs."""
        if self.process.is_alive():
            return None
        self.process.join()
        text = self.log.read_text(encoding="utf-8", errors="replace")
        shutil.rmtree(self.directory)
        if self.process.exitcode == 0:
            return "survived"
        if self.process.exitcode == 1 and (failed := re.search(r"^FAILED tests/(\S+)", text, re.MULTILINE)):
            return failed[1]
        if re.search(r"^ERROR tests/", text, re.MULTILINE):
            return "does not import"
        if self.process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
            return "hangs"
        return f"exit {self.process.exitcode}: {text.strip().splitlines()[-1:]}"


def run_all(
    jobs: int, work: pathlib.Path, tasks: list[tuple[list[str], Mutant | None]]
) -> Iterator[tuple[Mutant | None, str]]:
    """The verdicts, in the order in which they are reached."""
    waiting, running = list(enumerate(tasks)), []
    while waiting or running:
        while waiting and len(running) < jobs:
            number, (tests, mutant) = waiting.pop(0)
            running.append(Run(work, number, tests, mutant))
        time.sleep(0.02)
        for run in list(running):
            verdict = run.verdict()
            if verdict is not None:
                running.remove(run)
                yield run.mutant, verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=TESTS, help="this module; may be given several times")
    parser.add_argument("--match", action="append", metavar="TEXT", help="mutants of lines with this text; likewise")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    args = parser.parse_args()

    modules = args.only or list(TESTS)
    chosen = []
    for module in modules:
        source = (ROOT / "jaxmlp" / f"{module}.py").read_text(encoding="utf-8")
        chosen += [m for m in mutants(module, source) if any(text in m.before for text in args.match or [""])]
    if args.list:
        for mutant in chosen:
            print(described(mutant))
        print(f"{len(chosen)} mutants")
        return 0

    start, listed, killed, survived, wrong = time.monotonic(), [], 0, [], []
    reasons = {(m, before, after): reason for m, before, after, reason in EQUIVALENT}
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        # What a mutant leaves as it was is compiled once for all of them.
        os.environ |= {"JAX_COMPILATION_CACHE_DIR": str(work / "compiled"), "JAX_PLATFORMS": "cpu"}
        os.environ |= {
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        for name in ("jax.numpy", "jax.export", "scipy.special", "scipy.stats", "pytest"):
            importlib.import_module(name)

        once = dict.fromkeys(name for module in modules for name in TESTS[module])
        for _, verdict in run_all(args.jobs, work, [([name], None) for name in once]):
            if verdict != "survived":
                print(f"the tests fail without any mutant: {verdict}")
                return 2
        for mutant, verdict in run_all(args.jobs, work, [(TESTS[mutant.module], mutant) for mutant in chosen]):
            reason = reasons.get((mutant.module, mutant.before, mutant.after))
            if verdict != "survived":
                killed += 1
                wrong += [mutant] if reason else []
                print(f"killed    {described(mutant)}  [{verdict}]", flush=True)
            elif reason:
                listed.append(mutant)
                print(f"listed    {described(mutant)}  ({reason})", flush=True)
            else:
                survived.append(mutant)
                print(f"SURVIVED  {described(mutant)}", flush=True)

    minutes = (time.monotonic() - start) / 60
    print(
        f"\n{len(chosen)} mutants: {killed} killed, {len(listed)} explained, {len(survived)} survive; {minutes:.0f} min"
    )
    for mutant in survived:
        print(f"survived: {described(mutant)}")
    for mutant in wrong:
        print(f"listed as the same function, but killed: {described(mutant)}")
    met = {(m.module, m.before, m.after) for m in chosen}
    gone = [entry for entry in reasons if entry[0] in modules and not args.match and entry not in met]
    for module, before, after in gone:
        print(f"listed, but no mutant any more: {module}.py  {before}  →  {after}")
    return 1 if survived or wrong or gone else 0


def described(mutant: Mutant) -> str:
    return f"{mutant.module}.py:{mutant.line}  {mutant.before}  →  {mutant.after}"


if __name__ == "__main__":
    sys.exit(main())
