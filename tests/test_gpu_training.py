"""Training in one kernel equals the scan; here the kernel is run by Pallas's interpreter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, problem

import jaxmlp
from jaxmlp import _gpu_training
from jaxmlp._gpu_training import ACTIVATIONS, train_in_one_kernel
from jaxmlp.criteria import CRITERIA

pytestmark = pytest.mark.core

ONE_OUTPUT = [criterion for name, criterion in CRITERIA.items() if name != "softmax_cross_entropy"]
EPOCHS = 20
RATE = jnp.float32(1e-3)


def small(n=7, sizes=(2, 5, 1)):
    params, x, y, c = problem(sizes, n=n)
    return params, x, jnp.abs(y) / jnp.max(jnp.abs(y)), c


def in_one_kernel(params, x, y, c, f=jaxmlp.relu, criterion=jaxmlp.squared_error, epochs=EPOCHS):
    return jax.jit(lambda *operands: train_in_one_kernel(*operands, f, criterion, epochs, interpret=True))(
        params, x, y, c, RATE
    )


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("f", "criterion"),
    [(jaxmlp.sigmoid, criterion) for criterion in ONE_OUTPUT[1:]] + [(f, ONE_OUTPUT[0]) for f in ACTIVATIONS],
)
def test_it_equals_the_scan_for_each_activation_and_criterion(f, criterion):
    params, x, y, c = small()
    trained, losses = in_one_kernel(params, x, y, c, f, criterion)
    expected, expected_losses = jaxmlp.train(params, x, y, RATE, c, epochs=EPOCHS, activation=f, criterion=criterion)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    assert_close(trained, expected, 1e-5)
    assert jax.tree.map(jnp.shape, trained) == jax.tree.map(jnp.shape, params)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("n", "sizes"), [(9, (8, 33, 1)), (1, (1, 1, 1)), (8, (3, 4, 1))])
def test_it_equals_the_scan_for_sizes_that_are_powers_of_two_and_others(n, sizes):
    params, x, y, _ = small(n, sizes)
    trained, losses = in_one_kernel(params, x, y, None)
    expected, expected_losses = jaxmlp.train(params, x, y, RATE, epochs=EPOCHS)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    assert_close(trained, expected, 1e-5)


@pytest.mark.extended
def test_under_vmap_each_network_is_trained_as_alone():
    _, x, y, c = small()
    params = jaxmlp.init_ensemble(jax.random.key(0), (2, 5, 1), 3)
    trained, losses = jax.vmap(in_one_kernel, (0, None, None, None))(params, x, y, c)
    for k in range(3):
        alone, expected = in_one_kernel(jax.tree.map(lambda leaf, k=k: leaf[k], params), x, y, c)
        np.testing.assert_array_equal(losses[k], expected)
        assert_close(jax.tree.map(lambda leaf, k=k: leaf[k], trained), alone, 0)


def test_rows_that_only_fill_the_block_do_not_count_even_where_their_loss_is_infinite():
    # The output is 100 - 100 a: for the rows that fill the block, whose activation is 0, the mean count is infinite.
    params = (
        jaxmlp.Layer(jnp.ones((1, 1)), jnp.zeros((1, 1))),
        jaxmlp.Layer(-100 * jnp.ones((1, 1)), jnp.full((1, 1), 100.0)),
    )
    x, y = jnp.ones((3, 1)), jnp.ones((3, 1))
    trained, losses = in_one_kernel(params, x, y, None, criterion=jaxmlp.poisson_nll_loss, epochs=1)
    np.testing.assert_array_equal(losses, [3.0])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trained))


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Make this module believe that JAX's default device is a GPU; what is compiled here still runs on the CPU."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.clear_caches()  # What has been traced for a CPU.
    yield
    jax.clear_caches()


def test_programs_for_a_cpu_keep_the_scan_where_a_gpu_is_the_default_device(on_a_gpu):
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        params, x, y, c = small()
        lowered = jax.jit(jaxmlp.train).lower(params, x, y, RATE, c)
        assert "while" in lowered.as_text()
        assert np.isfinite(lowered.compile()(params, x, y, RATE, c)[1]).all()


@pytest.mark.extended
def test_programs_for_a_cpu_are_differentiated_where_a_gpu_is_the_default_device(on_a_gpu):
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        params, x, y, c = small()
        assert np.isfinite(jax.grad(lambda p: jaxmlp.train(p, x, y, RATE, c)[1][-1])(params)[0].w).all()


@pytest.fixture
def scan_only(monkeypatch):
    """Make the kernel an error."""
    monkeypatch.setattr(_gpu_training, "train_in_one_kernel", None)


CUSTOM = jaxmlp.Criterion(lambda outputs, y: (outputs - y)[:, 0] ** 2, derivative=lambda outputs, y: 2 * (outputs - y))


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((2, 5, 5, 1), {}), ((2, 5, 2), {}), ((9, 5, 1), {}), ((2, 5000, 1), {}), ((8, 1000, 1), {}),
        ((1, 2049, 1), {}), ((4, 2048, 1), {}),
        ((2, 5, 1), {"epochs": 0}), ((2, 5, 1), {"activation": jaxmlp.gelu}), ((2, 5, 1), {"criterion": CUSTOM}),
    ],
)  # fmt: skip
def test_other_networks_get_the_scan(sizes, options, on_a_gpu, scan_only):
    params, x, y, c = problem(sizes, n=7)
    jax.jit(lambda: jaxmlp.train(params, x, y, RATE, c, **options)).lower()


def test_other_dtypes_and_versions_of_jax_and_exports_get_the_scan(on_a_gpu, scan_only, monkeypatch):
    params, x, y, c = small()
    half = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params)
    jax.jit(lambda: jaxmlp.train(half, x, y, RATE, c)).lower()
    (n,) = jax.export.symbolic_shape("n")
    rows = (jax.ShapeDtypeStruct((n, columns), jnp.float32) for columns in (2, 1))
    jax.export.export(jax.jit(lambda x, y: jaxmlp.train(params, x, y, RATE)))(*rows)
    monkeypatch.setattr(jax, "__version_info__", (0, 13, 0))
    jax.jit(lambda: jaxmlp.train(params, x, y, RATE, c)).lower()


@pytest.mark.parametrize("devices", [1, 2])
def test_a_part_of_a_shard_map_gets_the_scan(devices, on_a_gpu, scan_only):
    params, x, y, _ = small()
    mesh, whole = cpu_mesh(devices), jax.sharding.PartitionSpec()
    train = jax.shard_map(
        lambda x, y: jaxmlp.train(params, x, y, RATE)[1], mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False
    )
    jax.jit(train).lower(x, y)


def test_arrays_on_several_devices_get_the_scan(on_a_gpu, scan_only):
    params, x, y, _ = small()
    jax.jit(lambda x, y: jaxmlp.train(params, x, y, RATE)).lower(*on_devices(2, x, y))


def on_devices(count, *arrays):
    mesh = cpu_mesh(count, axis_types=(jax.sharding.AxisType.Explicit,))
    return jax.device_put(arrays, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def cpu_mesh(count, **options):  # A machine with one GPU has several CPU devices here, too.
    return jax.make_mesh((count,), ("rows",), devices=jax.devices("cpu")[:count], **options)


@pytest.fixture
def kernels(on_a_gpu, monkeypatch):
    """The keywords of each call of the kernel, which fails."""
    seen = []
    monkeypatch.setattr(
        _gpu_training, "train_in_one_kernel", lambda *operands, **statics: seen.append(statics) or 1 / 0
    )
    return seen


@pytest.mark.parametrize(("n", "sizes"), [(7, (2, 5, 1)), (1, (1, 1, 1)), (7, (3, 2048, 1)), (7, (8, 512, 1))])
def test_small_networks_get_the_kernel_on_a_gpu(n, sizes, kernels, monkeypatch):
    monkeypatch.setattr(jax, "__version_info__", (0, 12, 1))
    params, x, y, c = problem(sizes, n=n)
    with pytest.raises(ZeroDivisionError):
        jax.jit(lambda: jaxmlp.train(params, x, y, RATE, c)).lower()
    assert [statics["epochs"] for statics in kernels] == [200]


def test_a_mesh_of_one_device_gets_the_kernel(kernels):
    params, x, y, _ = small()
    with pytest.raises(ZeroDivisionError):
        jax.jit(lambda x, y: jaxmlp.train(params, x, y, RATE)).lower(*on_devices(1, x, y))


def test_rows_and_units_are_filled_up_to_powers_of_two():
    sizes = {size: _gpu_training._power_of_two(size) for size in (0, 1, 2, 3, 4, 5, 8, 9)}
    assert sizes == {0: 0, 1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 8: 8, 9: 16}
