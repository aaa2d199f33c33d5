"""The end of a process: the system frees its memory at once, Python would free one object after the other."""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


def ending_at_once() -> Callable[[int], None]:
    """Let this process end at once when all threads have ended and all else was done that is registered for its end.

    Call it before anything is registered. The function that is returned takes the exit code; until it is called, and if
    the last output cannot be written, the process ends as Python does it.
    """
    codes: list[int] = []

    def end() -> None:
        with suppress(OSError, ValueError):
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            if codes:
                os._exit(codes[-1])

    atexit.register(end)
    return codes.append


@contextmanager
def quiet_interrupts() -> Iterator[None]:
    """Let Ctrl-C end this process without a traceback while it has nothing but imports under way."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
