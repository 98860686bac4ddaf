"""Exported programs compute what the package computes, and JAX alone runs them."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_equal, problem, run

import jaxmlp
from jaxmlp import forward, train
from jaxmlp.export import export_predict, export_train

pytestmark = pytest.mark.portable

# With this many rows the products have the textbook form on the CPU too, so the bits are the same.
MANY = 130


def test_the_prediction_is_the_same_to_the_last_bit_for_any_number_of_rows():
    params = problem((3, 4, 2))[0]
    exported = export_predict(params, activation=jaxmlp.tanh)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    for n in (1, MANY):
        x = problem((3, 4, 2), n)[1]
        assert_equal(exported.call(x), jax.jit(lambda x: forward(params, x, activation=jaxmlp.tanh))(x))


def test_a_column_that_the_dtype_cannot_hold_is_refused():
    params = problem((3, 4, 2))[0]
    with pytest.raises(
        ValueError, match=r"^column 1 of x has values near 1.7e\+09 that differ by about 10, and float32 "
    ):
        export_predict(params, x_mean=[0.0, 1.7e9, 0.0], x_scale=10.0)
    with pytest.raises(ValueError, match=r"^column 0 of y .*, and so for column 1 of y; subtract a constant from y "):
        export_predict(params, y_mean=1e6, y_scale=0.1)
    for wrong in ({"x_scale": 0.0}, {"x_mean": np.inf}, {"x_scale": [1.0, np.nan, 1.0]}):
        with pytest.raises(ValueError, match=r"^x_mean and x_scale must be finite, and x_scale not 0$"):
            export_predict(params, **wrong)
    export_predict(params, x_mean=2000.0, x_scale=1.0, y_mean=-1.7e9, y_scale=1e7, platforms=["cpu"])  # years


def test_scaling_and_link_are_part_of_the_program():
    params, x, _, _ = problem((3, 4, 2))
    centers, scales = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 0.5])
    scaling = {"x_mean": centers, "x_scale": scales, "y_mean": 5, "y_scale": [10.0, 100.0]}
    exported = export_predict(params, criterion=jaxmlp.poisson_nll_loss, platforms=["cpu"], **scaling)
    assert exported.platforms == ("cpu",)
    means_of_counts = np.exp(run(forward, params, ((x - centers) / scales).astype(np.float32)))
    assert_close(exported.call(x), 5 + np.array([[10, 100]], np.float32) * means_of_counts)


@pytest.mark.extended
def test_a_program_is_loaded_without_jaxmlp_and_gives_the_same_numbers(tmp_path):
    pytest.importorskip("flatbuffers")
    params, x, _, _ = problem((3, 4, 2), MANY)
    exported = export_predict(params)
    (tmp_path / "program").write_bytes(exported.serialize())
    np.save(tmp_path / "x.npy", x)
    script = """if True:
        import sys, numpy, jax.export
        with open("program", "rb") as file:
            exported = jax.export.deserialize(file.read())
        numpy.save("outputs.npy", exported.call(numpy.load("x.npy")))
        assert "jaxmlp" not in sys.modules"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=120)
    # The other process compiles with all optimizations, which the tests turn off.
    assert_close(np.load(tmp_path / "outputs.npy"), np.asarray(jax.jit(forward)(params, x)), 1e-6)


def test_training_is_exported_for_plain_tuples():
    params, x, y, weights = problem((3, 4, 2), MANY)
    exported = export_train(params, epochs=5, activation=jaxmlp.tanh)
    plain = tuple(tuple(layer) for layer in params)
    trained, losses = exported.call(plain, x, y, np.float32(1e-3), weights)
    expected = train(params, x, y, 1e-3, weights, epochs=5, activation=jaxmlp.tanh)
    assert type(trained[0]) is tuple
    assert_close((*jax.tree.leaves(trained), losses), (*jax.tree.leaves(expected[0]), expected[1]))


def test_the_dtype_is_that_of_the_network():
    params = problem((3, 2), dtype="bfloat16")[0]
    exported = export_predict(params, x_mean=1.5, platforms=("cpu",))
    assert exported.in_avals[0].dtype == exported.out_avals[0].dtype == jnp.bfloat16


def test_arguments_that_cannot_be_used_are_refused():
    params = problem((3, 4, 2))[0]
    with pytest.raises(ValueError, match=r"platforms must be some of cpu, cuda, rocm, tpu; got gpu"):
        export_predict(params, platforms="gpu")
    with pytest.raises(ValueError, match=r"x_scale must be a scalar or have shape \(3,\); got \(2,\)"):
        export_predict(params, x_scale=[1, 2])
    with pytest.raises(TypeError, match="activation must be a jaxmlp"):
        export_train(params, activation=jax.nn.relu)
