"""Kill training runs while they write checkpoints, and resume them: `python -m tests.killed DIRECTORY TRIALS`.

Prints a line for each trial. Every run is forked from this process, which has only imported modules; compiled programs
are shared through JAX's cache. A run writes its parameters to disk, to be compared with those of a run without a kill.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax  # noqa: F401 (once, for all runs)
import safetensors.numpy  # noqa: F401

import jaxmlp
from jaxmlp.fitting import checkpoints, loop
from jaxmlp.storage.files import read_arrays

EPOCHS = 60

# A checkpoint after every epoch: most of the time a file is being written.
loop._SECONDS, checkpoints._SECONDS = 0.0, 0.0


def train(checkpoint, out):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1))
    params = (jaxmlp.Layer(np.float32(rng.normal(size=(3, 1))), np.zeros((1, 1), np.float32)),)
    result = jaxmlp.fit(
        params, x, y, key=jax.random.key(1), optimizer=jaxmlp.adam(1e-2), epochs=EPOCHS, batch_size=16,
        validation=(x[:8], y[:8]), patience=EPOCHS, checkpoint=checkpoint, resume=True,
    )  # fmt: skip
    leaves = jax.tree.leaves((result.params, result.state.params, result.state.opt_state))
    np.savez(out, *leaves, *result.history, best_epoch=result.best_epoch)


def fork(function, *arguments):
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    try:
        function(*arguments)
        os._exit(0)
    finally:
        os._exit(1)


def wait_for(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def same(path, other):
    with np.load(path) as first, np.load(other) as second:
        assert first.files == second.files
        return all(first[name].tobytes() == second[name].tobytes() for name in first.files)


def main(directory, trials):
    whole = directory / "whole.npz"
    assert wait_for(fork(train, directory / "whole", whole)) == 0
    for trial in range(trials):
        checkpoint, out = directory / f"{trial}", directory / f"{trial}.npz"
        random.seed(trial)
        epoch = random.randrange(EPOCHS)
        process = fork(train, checkpoint, out)
        while not checkpoint.exists():
            time.sleep(1e-3)
        while read_arrays(checkpoint)[0]["state.epoch"] < epoch:  # complete at any time
            time.sleep(1e-4)
        time.sleep(random.uniform(0, 5e-3))
        os.kill(process, signal.SIGKILL)
        killed = wait_for(process) == -signal.SIGKILL
        left = len(list(directory.glob(f".{trial}.*.part")))
        resumed = wait_for(fork(train, checkpoint, out)) == 0 and same(out, whole)
        print(f"epoch {epoch}", "killed" if killed else "ended", f"{left} left", "same" if resumed else "DIFFERENT")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
