"""The four products of a dense layer: every form against NumPy, and which form a platform gets."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import problem, relative_error, run
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxmlp
from jaxmlp import _cpu_products, backprop, dense, network

pytestmark = pytest.mark.core

# On both sides of every threshold: rows 15, 16 and 128, 129; inputs 4, 5; weights 256, 257 and 260; entries 3200, 3232.
SHAPES = [(1, 3, 2), (15, 4, 1), (16, 4, 64), (16, 4, 65), (16, 256, 1), (16, 257, 1), (16, 5, 2)]
SHAPES += [(128, 4, 2), (128, 5, 1), (129, 4, 1), (129, 1, 2), (100, 4, 32), (101, 4, 32)]
# Many rows, 4095 and 4096: inputs 4, 5 and 8, 9; outputs 31, 32 and 51, 52.
SHAPES += [(4095, 4, 32), (4096, 4, 31), (4096, 4, 52), (4096, 5, 51), (4096, 5, 52), (4096, 8, 32), (4096, 9, 32)]
# Outputs 8, 9, 15 and 16 of 63 and 64 inputs; inputs 15 and 16 that fill the lanes better than outputs, and as well; a
# thousand rows of a page.
SHAPES += [(9, 63, 9), (9, 64, 8), (9, 64, 9), (9, 64, 15), (9, 64, 16), (2, 15, 2), (2, 16, 2), (2, 32, 17)]
SHAPES += [(2, 32, 48), (1000, 1024, 16)]
# A form by itself: one row, two outputs and one, rows that four divides and that leave 1, 2 and 3 over.
FORM_SHAPES = [(1, 1, 1), (1, 2, 3), (4, 3, 1), (17, 4, 2), (22, 1, 5), (103, 2, 1)]

REFERENCE = {
    "dense": lambda x, w, b, dz: x @ w + b,
    "weight_grad": lambda x, w, b, dz: x.T @ dz,
    "bias_grad": lambda x, w, b, dz: dz.sum(0, keepdims=True),
    "column_sums": lambda x, w, b, dz: dz.sum(0, keepdims=True),
    "input_grad": lambda x, w, b, dz: dz @ w.T,
}
OPERANDS = {"dense": (0, 1, 2), "weight_grad": (0, 3), "bias_grad": (3,), "column_sums": (3,), "input_grad": (3, 1)}

# Each private form, and whether it is defined for a shape (n, inputs, outputs).
FORMS = {
    "_dense_few_inputs": lambda n, i, o: True,
    "_dense_filled": lambda n, i, o: True,
    "_weight_grad_few_rows": lambda n, i, o: n >= 4,
    "_weight_grad_turned": lambda n, i, o: True,
    "_column_sums_few_rows": lambda n, i, o: True,
    "_column_sums_by_ones": lambda n, i, o: True,
}


def operands(n, fan_in, fan_out):
    rng = np.random.default_rng(0)
    return [rng.normal(size=s) for s in ((n, fan_in), (fan_in, fan_out), (1, fan_out), (n, fan_out))]


def product_of(form):
    return next(name for name in REFERENCE if form.lstrip("_").startswith(name))


@pytest.mark.parametrize("form", [*REFERENCE, *FORMS])
def test_every_form_is_numpys_product_for_every_shape(form, x64):
    product = product_of(form)
    shapes = SHAPES if form in REFERENCE else [shape for shape in FORM_SHAPES if FORMS[form](*shape)]
    arguments = [[operands(*shape)[k] for k in OPERANDS[product]] for shape in shapes]
    function = getattr(dense if form in REFERENCE else _cpu_products, form)
    results = run(lambda all_of_them: [function(*a) for a in all_of_them], arguments)
    for shape, result in zip(shapes, results, strict=True):
        assert relative_error(result, REFERENCE[product](*operands(*shape))) < 1e-13, shape


def test_every_form_in_the_module_is_tested():
    forms = {name for name in vars(_cpu_products) if re.match("_(dense|weight_grad|column_sums|input_grad)", name)}
    assert forms == set(FORMS)


@pytest.mark.parametrize("product", REFERENCE)
def test_bfloat16_rounds_once_not_after_each_term(product):
    arguments = [jnp.asarray(operands(128, 4, 1)[k], jnp.bfloat16) for k in OPERANDS[product]]
    exact = REFERENCE[product](*[np.asarray(v, np.float64) for v in operands_as(arguments, product)])
    # one rounding of the result, and one of the product before a bias is added
    assert relative_error(getattr(dense, product)(*arguments), exact) < 2 * 2**-8


def operands_as(arguments, product):
    filled = [None] * 4
    for k, value in zip(OPERANDS[product], arguments, strict=True):
        filled[k] = value
    return [0.0 if value is None else value for value in filled]


def arithmetic(function, arguments, platform):
    """How many operations that compute there are in the program for a platform, by name."""
    program = jax.export.export(jax.jit(function), platforms=[platform])(*arguments).mlir_module()
    names = re.findall(r"stablehlo\.(\w+)", program)
    plumbing = {"constant", "case", "return", "reshape", "broadcast_in_dim", "transpose", "optimization_barrier"}
    return {name: names.count(name) for name in set(names) - plumbing}


TEXTBOOK = {
    "dense": lambda x, w, b: x @ w + b,
    "weight_grad": lambda x, dz: x.T @ dz,
    "bias_grad": lambda dz: dz.sum(0, keepdims=True),
    "column_sums": lambda values: values.sum(0, keepdims=True),
    "input_grad": lambda dz, w: dz @ w.T,
}


@pytest.mark.parametrize(("sizes", "n"), [((3, 32, 1), 100), ((3, 1024, 64, 10), 1000)])
@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_other_platforms_get_no_more_operations_than_the_textbook(platform, sizes, n, monkeypatch):
    params, x, y, weights = jax.tree.map(jnp.asarray, problem(sizes, n=n))

    def step(*arguments):  # defined for each trace: jit would return the first
        value, grads = jaxmlp.manual_value_and_grads(*arguments)
        return jaxmlp.update(params, grads, 1e-4), value

    ours = arithmetic(lambda *a: step(*a), (params, x, y, weights), platform)
    for name, product in TEXTBOOK.items():
        for module in (network, backprop):
            monkeypatch.setattr(module, name, product, raising=False)
    textbook = arithmetic(lambda *a: step(*a), (params, x, y, weights), platform)
    assert textbook["dot_general"] == 3 * len(params) - 1
    assert ours == textbook


def test_symbolic_sizes_get_the_textbooks_forms():
    n, i, o = jax.export.symbolic_shape("n, i, o")

    def step(x, w, b):
        z = dense.dense(x, w, b)
        return dense.weight_grad(x, z), dense.bias_grad(z), dense.input_grad(z, w)

    for rows, fan_in, fan_out in ((n, 64, 2), (300, 64, o), (300, i, 9), (n, i, o)):
        shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((rows, fan_in), (fan_in, fan_out), (1, fan_out))]
        assert arithmetic(step, shapes, "cpu").get("dot_general", 0) == 3


def test_the_cpu_gets_its_own_forms():
    def operations(n, fan_in, fan_out, platform="cpu"):
        return arithmetic(dense.weight_grad, (jnp.ones((n, fan_in)), jnp.ones((n, fan_out))), platform)

    def program(n, fan_in, fan_out, platform):
        shapes = [jax.ShapeDtypeStruct((n, width), jnp.float32) for width in (fan_in, fan_out)]
        return jax.export.export(jax.jit(dense.weight_grad), platforms=[platform])(*shapes).mlir_module()

    assert "dot_general" not in operations(100, 3, 32)
    assert operations(100, 3, 32, "tpu") == {"dot_general": 1}

    def computed(n, fan_in, fan_out, platform="cpu"):
        """The operands of the product, in the order of the program."""
        return re.search(r"stablehlo.dot_general (%\w+), (%\w+),", program(n, fan_in, fan_out, platform)).groups()

    assert computed(200, 64, 100) == computed(200, 100, 50) == computed(9, 16, 10) == ("%arg1", "%arg0")
    # On another platform; where outputs fill the lanes as well or better; few inputs; a result too large to be copied.
    for shape in ((200, 64, 100, "cuda"), (200, 64, 64), (200, 50, 100), (200, 15, 10), (200, 256, 65)):
        assert computed(*shape) == ("%arg0", "%arg1"), shape
    assert operations(1000, 1024, 64) == {"dot_general": 1}

    def written_out(n, fan_in, fan_out, platform="cpu"):
        shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((n, fan_in), (fan_in, fan_out), (1, fan_out))]
        return "dot_general" not in arithmetic(dense.dense, shapes, platform)

    assert written_out(100, 4, 32)
    assert not written_out(101, 4, 32)
    assert written_out(4096, 4, 1024)
    assert written_out(4096, 8, 32)
    # On another platform; of fewer rows, of fewer outputs; by more weights from more inputs than a few.
    for shape in ((4096, 4, 1024, "tpu"), (4095, 4, 32), (4096, 4, 31), (4096, 5, 52), (4096, 9, 32)):
        assert not written_out(*shape), shape
    x, b = jnp.ones((9, 64)), jnp.ones((1, 9))
    assert arithmetic(dense.dense, (x, jnp.ones((64, 9)), b), "cpu")["pad"] == 1
    assert "pad" not in arithmetic(dense.dense, (x, jnp.ones((64, 9)), b), "cuda")


def test_autodiff_gets_the_textbooks_form_of_what_it_moves():
    x, w, b = jnp.ones((100, 3)), jnp.ones((3, 32)), jnp.ones((1, 32))
    assert "dot_general" not in arithmetic(dense.dense, (x, w, b), "cpu")
    of_weights = jax.grad(lambda w, b: dense.dense(x, w, b).sum(), (0, 1))
    assert arithmetic(of_weights, (w, b), "cpu") == {"dot_general": 1, "reduce": 1, "add": 1}
    forward_mode = partial(jax.jvp, lambda x: dense.dense(x, w, b), (x,))
    assert arithmetic(lambda dx: forward_mode((dx,))[1], (x,), "cpu") == {"dot_general": 1}


def test_several_devices_are_those_that_jax_shards_over_not_those_that_a_shard_map_does():
    seen = []

    def saw(x):
        seen.append(_cpu_products.on_several_devices({"x": x, "plain": jnp.ones(2)}))
        return x

    x = np.ones((4, 3), np.float32)
    jax.jit(saw).lower(x)
    for devices in (jax.devices("cpu")[:1], jax.devices("cpu")[:2]):
        mesh = Mesh(np.array(devices), ("rows",))
        jax.jit(saw).lower(jax.device_put(x, NamedSharding(mesh, PartitionSpec("rows"))))
        jax.jit(jax.shard_map(saw, mesh=mesh, in_specs=PartitionSpec("rows"), out_specs=PartitionSpec("rows"))).lower(x)
    assert seen == [False, False, False, True, False]
