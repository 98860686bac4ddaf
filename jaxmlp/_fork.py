"""Forked processes, in which JAX cannot compute: an error instead of a computation that waits forever."""

import os
import sys

_is_unusable = False


def validate_process() -> None:
    """Raise in a process that was forked after JAX had started; fast, because each call of `train` needs it.

    Raises:
        RuntimeError: always in such a process.
    """
    if _is_unusable:
        raise RuntimeError(
            "JAX cannot compute in a process that was forked after JAX had started, because its threads are missing "
            'here: start processes by "spawn" or "forkserver", as in multiprocessing.get_context("spawn"), or use '
            "joblib's backend loky"
        )


def _note_fork() -> None:
    global _is_unusable
    # JAX has no public question that does not start it, and its private function waits for a lock, which another
    # thread may have held at the fork.
    _is_unusable = bool(getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", None))


# The one registration with the interpreter that importing the package makes. It sets a flag in forked processes, which
# cannot be found out later: whether JAX had started before the fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
