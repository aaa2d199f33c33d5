"""The heap of the C library: one for all threads, and freed memory returned. Only glibc has these settings."""

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Final

_VARIABLE: Final = "MALLOC_ARENA_MAX"  # which glibc reads when a process starts
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


def release_free_memory() -> None:
    """Return freed memory to the system; otherwise the heap keeps a fifth of a run's memory."""
    if trim := _glibc("malloc_trim"):
        trim(0)


def _glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
