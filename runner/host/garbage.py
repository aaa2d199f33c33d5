"""Avoids garbage collection where nothing can be freed: while modules load, and when the process ends."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SELDOM: Final = 1_000_000  # objects between two collections: more than all modules of a run have
_USUAL: Final = gc.get_threshold()


def collect_seldom() -> None:
    """Let modules load without collections between them, and the process end without the last ones.

    A collection goes over all objects there are, and finds that modules are none; the system frees their memory.
    """
    gc.set_threshold(_SELDOM)
    atexit.register(gc.freeze)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Collect nothing in this context, for code whose lock a finalizer would wait for forever."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def collect_as_usual() -> None:
    """Collect from now on, and ignore objects that exist already: call it when all modules are loaded.

    Nothing changes in a process that never collected seldom: in it, objects of others exist.
    """
    if gc.get_threshold()[0] != _SELDOM:
        return
    gc.freeze()
    gc.set_threshold(*_USUAL)
