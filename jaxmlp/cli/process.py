"""The process of the command: its standard streams, Ctrl-C, and its end.

What is imported before Ctrl-C is answered, here and in `__init__.py`, takes a millisecond; `signal`, `contextlib` and
`typing` would take ten.
"""

from __future__ import annotations

import _signal as signal  # pyright: ignore[reportMissingImports] (the part that Python has built in)
import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

INTERRUPTED = 130  # Exit code after Ctrl-C.

_is_deferred, _is_pressed, _has_peers = False, False, False


def open_streams() -> None:
    """Open what takes the place of closed standard streams; else the next file that is opened gets their number.

    Writing to a closed stdout fails as before, when the command flushes it. What is written to a closed stderr is lost.
    `sys.stdin` stays None, so that reading a table from it is refused.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:  # closed, so that its number is the lowest free one, which `os.open` takes
            os.set_inheritable(os.open(os.devnull, flags), True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (as long as the process)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def discard_stdout() -> None:
    """Send what is still to be written to stdout nowhere, after an error in writing."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError:  # a stream of Python only
        pass


def answer_ctrl_c() -> None:
    """From now on, end the process at Ctrl-C with one line and exit code 130; see `defer_ctrl_c`.

    No KeyboardInterrupt is raised: raised inside a callback, such as JAX's of the garbage collector, Python prints it
    and goes on. A process that ignores Ctrl-C, as in the background of a script, still does.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_ctrl_c)


def defer_ctrl_c() -> None:
    """From now on, note the first Ctrl-C for `leave`, because there is work to keep; the second ends the process."""
    global _is_deferred
    _is_deferred = True


def is_interrupted() -> bool:
    """Return whether Ctrl-C was pressed since `defer_ctrl_c`."""
    return _is_pressed


def note_peers() -> None:
    """From now on, do not wait for other processes at the end of a failed run: that this one ends ends them."""
    global _has_peers
    _has_peers = True


def leave(code: int) -> NoReturn:
    """End the process as Python does, but before the long part of Python's end, in which Ctrl-C cannot be answered."""
    global _is_deferred
    _is_deferred = False
    if _is_pressed and code == 0:
        _end_interrupted()
    # If XLA was compiling, the functions that JAX has registered crash; after a failure, they wait for other processes.
    if code == 0 or (code != INTERRUPTED and not _has_peers):
        atexit._run_exitfuncs()
    _flush()
    os._exit(code)


def _on_ctrl_c(*_: object) -> None:
    global _is_pressed
    if _is_pressed or not _is_deferred:
        _end_interrupted()
    _is_pressed = True


def _end_interrupted() -> NoReturn:
    _flush()
    try:
        stderr = sys.stderr.fileno()  # 2, unless --distributed has put C++'s there
        os.write(stderr, b"\ninterrupted\n" if os.isatty(stderr) else b"interrupted\n")  # below a progress bar
    except OSError:
        pass
    os._exit(INTERRUPTED)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # RuntimeError too, if a signal comes while the stream is written
            pass
