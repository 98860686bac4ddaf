"""The command's cache of compiled programs: a command that is repeated does not compile again.

The library does not use it. Programs are kept in a folder for this processor and these versions, because another
processor may lack instructions that they use.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

# The programs of all versions together may take this many bytes; the oldest are deleted first.
LIMIT = 512 * 2**20


def use_cache() -> None:
    """Let JAX keep compiled programs in the user's cache folder, unless JAXMLP_CACHE is 0 or it cannot be written.

    If the user has chosen a folder with JAX_COMPILATION_CACHE_DIR, it is used as it is.
    """
    import jax

    if os.environ.get("JAXMLP_CACHE") == "0" or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        root = cache_folder()
        folder = root / fingerprint()
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            return
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # Not now: to look at all programs may take longer than to start.
    atexit.register(prune, root, keep=folder)
    # An entry that cannot be read or written costs time only: the program is compiled.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")


def cache_folder() -> Path:
    """Return the folder of the cache, in the place where this system keeps caches."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given) / "jaxmlp"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "jaxmlp"
    local = os.environ.get("LOCALAPPDATA") if os.name == "nt" else None
    return (Path(local) if local else Path.home() / ".cache") / "jaxmlp"


def fingerprint() -> str:
    """Return a name for this processor, its instructions, and the versions of Python, JAX and the compiler."""
    versions = [version("jax"), version("jaxlib")]
    parts = [platform.machine(), *_processor(), platform.python_version(), *versions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def prune(root: Path, *, keep: Path) -> None:
    """Delete the oldest programs until all take at most `LIMIT` bytes, and the empty folders but `keep`."""
    with contextlib.suppress(OSError):  # Another command may delete the same program.
        entries = [(path.stat(), path) for path in root.rglob("*") if path.is_file()]
        excess = sum(status.st_size for status, _ in entries) - LIMIT
        for status, path in sorted(entries, key=lambda entry: entry[0].st_mtime):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= status.st_size
            if path.parent not in (root, keep) and not any(path.parent.iterdir()):
                path.parent.rmdir()


def _processor() -> list[str]:
    """Return the model and the instructions of the processor, as far as this system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return [platform.processor()]
    names = ("model name", "flags", "Features", "CPU part")
    return sorted({line for line in lines if line.partition(":")[0].strip() in names})
