"""Kill searches at random moments, and resume them: `python -m tests.killed_search DIRECTORY TRIALS`.

Prints a line for each trial. Every search is forked from this process, which has only imported modules; compiled
programs are shared through JAX's cache. A search writes its model and predictions to disk, to be compared with those of
a search without a kill.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import polars  # noqa: F401 (once, for all searches; each starts its threads)

import jaxmlp
from jaxmlp.fitting.checkpoints import read_about
from tests.killed import fork, wait_for  # importing it sets a checkpoint after every epoch
from tests.tables import SMALL, houses

OPTIONS = SMALL | {"hidden": (), "epochs": 15, "weight_decay": 0.1}  # three candidates, of four cycles


def search(directory, out):
    directory.mkdir(exist_ok=True)
    result = jaxmlp.fit_table(houses(), "price", checkpoint=directory, resume=True, **OPTIONS)
    jaxmlp.save_model(result.model, out)
    result.predictions.write_csv(out.with_suffix(".csv"))


def list_files(directory):
    return sorted(directory.glob("candidate-*.safetensors"))


def wait_for_checkpoint(directory):
    """Return the time at which a search wrote its first checkpoint."""
    while not list_files(directory):
        time.sleep(1e-3)
    return time.time()


def is_same(out, whole):
    return all(out.with_suffix(end).read_bytes() == whole.with_suffix(end).read_bytes() for end in ("", ".csv"))


def main(directory, trials):
    whole = directory / "whole"
    process = fork(search, directory / "checkpoint", whole)
    start = wait_for_checkpoint(directory / "checkpoint")
    assert wait_for(process) == 0
    seconds = max(path.stat().st_mtime for path in list_files(directory / "checkpoint")) - start
    for trial in range(trials):
        checkpoint, out = directory / f"checkpoint-{trial}", directory / f"{trial}"
        random.seed(trial + 1)
        after = random.uniform(0, seconds)
        process = fork(search, checkpoint, out)
        wait_for_checkpoint(checkpoint)
        time.sleep(after)
        os.kill(process, signal.SIGKILL)
        killed = wait_for(process) == -signal.SIGKILL
        last = list_files(checkpoint)[-1]
        moment = f"after {after:.2f} s, {last.stem} {read_about(last)['candidate']}"
        resumed = wait_for(fork(search, checkpoint, out)) == 0 and is_same(out, whole)
        print(moment, "killed" if killed else "ended", "same" if resumed else "DIFFERENT")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
