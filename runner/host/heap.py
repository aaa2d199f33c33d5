"""The heap of the C library: one for all threads, and freed memory returned. Only glibc has these settings."""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Final

_VARIABLE: Final = "MALLOC_ARENA_MAX"  # which glibc reads when a process starts
_SECONDS_BETWEEN_RELEASES: Final = 1.0
_M_ARENA_MAX: Final = -8  # the same in its malloc.h


def use_one_heap() -> None:
    """Let all threads, and processes started later, take memory from one heap. Call it before anything else.

    By default each thread has a heap of its own. Memory that one frees is useless to the others, and a tenth of a run's
    memory lies idle. Buffers are large and few, so no thread waits for the heap.
    """
    if _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = "1"
        if tune := _glibc("mallopt"):
            tune(_M_ARENA_MAX, 1)


class FreeMemory:
    """The freed memory of this process, of which the heap would keep a fifth of a run's.

    It is returned to the system once a second, whatever number of passes ask for it: that takes milliseconds.
    """

    def __init__(self) -> None:
        self._released = time.monotonic()

    def release(self) -> None:
        """Return freed memory to the system, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._released >= _SECONDS_BETWEEN_RELEASES:
            self._released = now
            if trim := _glibc("malloc_trim"):
                trim(0)


@cache
def free_memory() -> FreeMemory:
    """That of this process."""
    return FreeMemory()


def _glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
