"""The four products of a dense layer against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import relative_error

from jaxmlp import products

pytestmark = pytest.mark.core


@pytest.mark.parametrize(("n", "fan_in", "fan_out"), [(100, 3, 32), (100, 32, 1), (5, 4, 6), (1, 1, 1)])
def test_products_are_numpys(n, fan_in, fan_out, x64):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(n, fan_in)), rng.normal(size=(fan_in, fan_out))
    b, dz = rng.normal(size=(1, fan_out)), rng.normal(size=(n, fan_out))
    jx, jw, jb, jdz = (jnp.asarray(v) for v in (x, w, b, dz))
    assert relative_error(products.dense(jx, jw, jb), x @ w + b) < 1e-13
    assert relative_error(products.weight_grad(jx, jdz), x.T @ dz) < 1e-13
    assert relative_error(products.bias_grad(jdz), dz.sum(0, keepdims=True)) < 1e-13
    assert relative_error(products.input_grad(jdz, jw), dz @ w.T) < 1e-13
