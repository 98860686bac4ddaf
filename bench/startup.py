"""Claim: `python -m jaxmlp`, imports and compiling included, takes two to three times as long as `import jax` alone.

    python bench/startup.py

Whole processes, the two taking turns, without JAX's persistent compilation cache. Python's own cache of bytecode is
used where it is on: JAX was installed with it.
"""

import os
import subprocess
import sys
from functools import partial

from common import ROOT, alternate, arguments, configured, ratio, report, summary


def main():
    args = configured(arguments(__doc__))
    systems = {"import jax": ["-c", "import jax"], "python -m jaxmlp": ["-m", "jaxmlp"]}
    seconds = alternate({name: partial(process, words) for name, words in systems.items()}, args.rounds)
    rows = [{"system": k, "times_import": ratio(v, seconds["import jax"])} | summary(v) for k, v in seconds.items()]
    report("startup", "whole processes", rows)


def process(words, checkout=ROOT):
    """Run Python with these words to its end, in a checkout."""
    cold = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "0", "PYTHONPATH": str(checkout)}
    subprocess.run([sys.executable, *words], cwd=checkout, env=cold, check=True, capture_output=True)


if __name__ == "__main__":
    main()
