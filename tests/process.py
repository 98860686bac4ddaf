"""A process of test_distributed.py: python -m tests.process PORT PROCESSES PROCESS DIRECTORY all|few.

Each process trains the same, and writes what it gets.
"""

import pathlib
import sys

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxmlp


def rows(n=60):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    return x, x[:, :1] ** 2 + x[:, 1:2] + 0.1 * rng.normal(size=(n, 1)).astype(np.float32)


def results(directory, which):
    """Return what the functions return that use all processes, or those of few of them."""
    x, y = rows()
    key, optimizer = jax.random.key(1), jaxmlp.adam(1e-2)
    many, single = jaxmlp.init_ensemble(key, (3, 5, 1), 3), jaxmlp.init_params(key, (3, 5, 1))
    everywhere = NamedSharding(Mesh(np.array(jax.devices()), ("all",)), PartitionSpec())
    copied = jax.jit(lambda params: params, out_shardings=everywhere)(jax.tree.map(np.asarray, many))
    options = {"key": key, "optimizer": optimizer, "epochs": 5, "batch_size": 8}
    found = {"train_ensemble": jaxmlp.train_ensemble(many, x, y, 1e-3, epochs=5)}
    found["train_ensemble, copied"] = jaxmlp.train_ensemble(copied, x, y, 1e-3, epochs=5)
    found["fit"] = jaxmlp.fit(single, x, y, validation=0.2, **options)[:3]
    if which == "few":
        return found
    found["fit, ensemble"] = jaxmlp.fit(many, x, y, **options)[:3]
    np.save(directory / "x.npy", x)
    mapped = np.load(directory / "x.npy", mmap_mode="r")
    for name, params in {"blocks": single, "blocks, ensemble": many}.items():
        found[name] = jaxmlp.fit(params, mapped, y, block_rows=24, **options)[:3]
    result = jaxmlp.cross_validate(
        x, y, key=key, hidden=(4,), folds=3, seeds=1, epochs=3, batch_size=16, candidates=[(1e-2, 0.0), (1e-3, 0.0)]
    )
    found["cross_validate"] = result.params, [score.score for score in (result.model, result.network)]
    return found


def main(port, processes, process, directory, which):
    here = f"127.0.0.1:{port}"
    jax.config.update("jax_num_cpu_devices", 1)
    jax.distributed.initialize(here, processes, process, coordinator_bind_address=here)
    own = pathlib.Path(directory) / str(process)
    own.mkdir()
    np.savez(own / "results.npz", *map(np.asarray, jax.tree.leaves(results(own, which))))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *sys.argv[4:])
