"""One of the two processes that test_sharding.py starts: python -m tests.worker PORT WHICH FILE STATE.

It trains and writes the result to FILE; then it fits, saves its state to STATE, and is killed before the end.
"""

import os
import signal
import sys

import jax
import numpy as np

import jaxmlp


def rows_of(which):
    """Return the rows of a process, 60 or 40 of the tutorial's; in a real run, each process would read its own file."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3)).astype(np.float32)
    y = x @ np.array([[0.2], [-1.3], [-0.5]], np.float32) + rng.normal(size=(100, 1)).astype(np.float32)
    return (x[:60], y[:60]) if which == 0 else (x[60:], y[60:])


def network():
    rng = np.random.default_rng(1)
    return tuple(
        jaxmlp.Layer(rng.normal(size=shape).astype(np.float32), np.zeros((1, shape[1]), np.float32))
        for shape in ((3, 32), (32, 1))
    )


OPTIMIZER = jaxmlp.sgd(1e-3)  # with momentum


def first_state():
    return jaxmlp.init_fit(network(), key=jax.random.key(4), optimizer=OPTIMIZER)


def main(port, which, path, state_path):
    here = f"127.0.0.1:{port}"
    jax.distributed.initialize(here, num_processes=2, process_id=which, coordinator_bind_address=here)
    mesh = jaxmlp.sharding.data_mesh()
    x, y, weights = jaxmlp.sharding.shard_batch(mesh, *rows_of(jax.process_index()))
    params, losses = jaxmlp.train(jaxmlp.sharding.replicate(mesh, network()), x, y, 1e-4, weights)
    rows, key = weights.sum(), jaxmlp.sharding.replicate(mesh, jax.random.key(3))
    if jax.process_index() == 0:
        leaves = [np.asarray(leaf) for leaf in (*jax.tree.leaves(params), losses, rows, jax.random.key_data(key))]
        np.savez(path, *leaves)
    state = jaxmlp.sharding.replicate(mesh, first_state())
    for epoch in range(12):
        if epoch == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        state, _ = jax.block_until_ready(jaxmlp.fit_epochs(state, x, y, weights, optimizer=OPTIMIZER, epochs=1))
        if jax.process_index() == 0 and epoch % 2 == 1:
            jaxmlp.save_state(state, state_path)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
