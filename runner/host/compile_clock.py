"""Clock of the time a thread waits for machine code, while it compiles or another thread has the compiler.

numba reports when it takes its compiler's lock, which it also does to load code from disk, and when it compiles;
`runner.host.dispatcher` hands that on. Time under the lock counts if something was compiled meanwhile.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

LOCK: Final = "numba:compiler_lock"
COMPILE: Final = "numba:compile"


class _Thread(threading.local):
    depth = 0  # of locks within each other
    since = 0.0
    compiled = 0  # when the outermost was asked for
    seconds = 0.0


class _Clock:
    def __init__(self) -> None:
        self.thread = _Thread()
        self.compiled = 0  # functions, by all threads
        self.tells: list[Callable[[], object]] = []  # of contexts within each other or side by side

    def begins(self, event: str) -> None:
        """Note when a thread asks for the compiler; report the first compilation."""
        if event == COMPILE:
            tells, self.tells = self.tells, []
            for tell in tells:
                tell()
            return
        if self.thread.depth == 0:
            self.thread.since, self.thread.compiled = time.perf_counter(), self.compiled
        self.thread.depth += 1

    def ends(self, event: str) -> None:
        """Count the time since then, once the thread is done with the compiler."""
        if event == COMPILE:
            self.compiled += 1
            return
        if self.thread.depth == 0:  # it asked before the clock started
            return
        self.thread.depth -= 1
        if self.thread.depth == 0 and self.compiled > self.thread.compiled:
            self.thread.seconds += time.perf_counter() - self.thread.since


CLOCK: Final = _Clock()


def compile_seconds() -> float:
    """Seconds that this thread has waited for machine code."""
    return CLOCK.thread.seconds


def working_seconds() -> float:
    """A clock in seconds that stops while this thread waits for machine code."""
    return time.perf_counter() - compile_seconds()


@contextmanager
def compiling_told(tell: Callable[[], object]) -> Iterator[None]:
    """Call `tell` once, when this process starts to compile something in this context."""
    CLOCK.tells.append(tell)
    try:
        yield
    finally:
        with suppress(ValueError):  # it was called
            CLOCK.tells.remove(tell)
