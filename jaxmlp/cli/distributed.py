"""`jaxmlp train --distributed`: several processes train one model; the first one reports and writes.

JAX notices when a process ends, and then aborts all others with a trace of C++. Here a process prints one line instead.
"""

import argparse
import ctypes
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import jax

from jaxmlp.cli.common import CommandError, positive
from jaxmlp.cli.process import count_cores, note_peers

HEARTBEAT = 20  # Seconds without a sign of life after which JAX takes a process for dead.
_DEAD = re.compile(r"stopped sending heartbeats\):\s*(.*?)\s*The tasks", re.DOTALL)
_NUMBER = re.compile(r"(?:task:)?(\d+)$", re.MULTILINE)
_kept: list[object] = []  # What C code uses must not be collected.


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which processes train together."""
    add = parser.add_argument_group("several processes, each started with the same command").add_argument
    add("--distributed", action="store_true", help="train with all processes of a cluster, such as Slurm or Open MPI")
    add("--coordinator", metavar="HOST:PORT", help="address of process 0, if JAX does not know the cluster")
    add("--processes", type=positive, metavar="N", help="number of processes, with --coordinator")
    add("--process", type=int, metavar="K", help="number of this process, from 0, with --coordinator")


def start(args: argparse.Namespace) -> None:
    """Join the other processes, if the user has asked for it; before JAX computes anything."""
    given = (args.coordinator, args.processes, args.process)
    if not args.distributed:
        if given != (None, None, None):
            raise CommandError("--coordinator, --processes and --process need --distributed")
        return
    if given != (None, None, None):
        if None in given:
            raise CommandError("--coordinator, --processes and --process must be given together")
        if not re.fullmatch(r".+:\d+", args.coordinator):
            raise CommandError(f"--coordinator {args.coordinator} must be a host and a port, as in 10.0.0.1:1234")
        if not 0 <= args.process < args.processes:
            raise CommandError(f"--process must be from 0 to {args.processes - 1}; got {args.process}")
        _share_cores(args.coordinator, args.processes)
    _answer_aborts(_divert_streams())
    note_peers()
    try:
        jax.distributed.initialize(*given, heartbeat_timeout_seconds=HEARTBEAT)
        jax.devices()  # connects the processes
    except (ValueError, RuntimeError) as error:
        text = str(error).splitlines()[0]
        if given == (None, None, None):
            text += "; pass --coordinator HOST:PORT --processes N --process K"
        raise CommandError(f"--distributed: {text}", code=1) from None


def _share_cores(coordinator: str, processes: int) -> None:
    """Give this process its share of the cores, if all processes run on this machine and none is bound to a core."""
    on_this_machine = re.fullmatch(r"(127\.[\d.]+|localhost|\[?::1\]?):\d+", coordinator)
    if on_this_machine and count_cores() == os.cpu_count():
        share = max(1, count_cores() // processes)
        os.environ.setdefault("NPROC", str(share))  # the number of threads of JAX's CPU client
        if "JAX_NUM_CPU_DEVICES" not in os.environ:
            jax.config.update("jax_num_cpu_devices", share)


def is_distributed() -> bool:
    """Return whether this process has joined others."""
    return bool(_kept)


def is_first() -> bool:
    """Return whether this process reports and writes: the first one, or the only one."""
    return not is_distributed() or jax.process_index() == 0


@contextmanager
def waiting_for_others() -> Iterator[None]:
    """If a message to another process fails, wait until JAX knows which process has ended."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if not (is_distributed() and re.search("[Gg]loo|coordination service|UNAVAILABLE", str(error))):
            raise
        time.sleep(2 * HEARTBEAT)  # JAX aborts the process before.
        raise CommandError("a process that trained along has ended", code=1) from None


def _divert_streams() -> BinaryIO:
    """Send what C++ prints to a file, which is returned; Python keeps its standard streams."""
    noise = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
    for name, number in (("stdout", 1), ("stderr", 2)):
        getattr(sys, name).flush()
        options = {"encoding": "utf-8", "errors": "backslashreplace", "buffering": 1 if number == 2 else -1}
        setattr(sys, name, open(os.dup(number), "w", **options))  # noqa: SIM115
        os.dup2(noise.fileno(), number)
    return noise


def _answer_aborts(noise: BinaryIO) -> None:
    """From now on, end with one line and exit code 1 where C++ aborts the process."""

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def end(_: int) -> None:
        noise.seek(0)
        line = _describe(noise.read().decode(errors="replace"))
        os.write(sys.stderr.fileno(), f"jaxmlp train: {line}\n".encode())
        time.sleep(1 if is_first() else 0)  # The others learn from the first process why it ends.
        os._exit(1)

    ctypes.CDLL(None).signal(signal.SIGABRT, end)
    _kept.extend((noise, end))


def _describe(noise: str) -> str:
    """Return in one line why C++ has aborted the process."""
    dead = _DEAD.search(noise)
    numbers = _NUMBER.findall(dead[1]) if dead else []
    if not numbers and "coordination service" in noise:
        numbers = ["0"]
    if not numbers:
        fatal = [line.partition("] ")[2] for line in noise.splitlines() if line.startswith("F")]
        return f"failed: {fatal[0] if fatal else 'aborted'}"
    names = ("process " if len(numbers) == 1 else "processes ") + ", ".join(numbers)
    verb = "has" if len(numbers) == 1 else "have"
    return f"{names} {verb} ended, and so does the training; with --checkpoint, --resume continues it"
