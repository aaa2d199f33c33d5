"""What the C library does with memory that was freed; glibc can be told, others do as they like."""

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Final

_VARIABLE: Final = "MALLOC_ARENA_MAX"  # which glibc reads when a process starts
_M_ARENA_MAX: Final = -8  # the same in its malloc.h


def use_one_heap() -> None:
    """Have all threads, and the processes that are started later, take memory from one heap; call it first of all.

    By default each thread has a heap of its own: what one frees is of no use to the others, and a tenth of a run's
    memory lies idle. Its buffers are large and few, so that no thread waits for the heap.
    """
    if _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = "1"
        if tune := _glibc("mallopt"):
            tune(_M_ARENA_MAX, 1)


def release_free_memory() -> None:
    """Give freed memory back to the system: a fifth of a run's would be kept."""
    if trim := _glibc("malloc_trim"):
        trim(0)


def _glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
