"""A sign of life, written while a run or a sweep goes on. Threads log into the run of the thread that starts them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Final

HEARTBEAT_SECONDS: Final = 2.0
OF_MANY_SECONDS: Final = 5.0  # of each of many runs in one process, whose own sign of life shows that they are alive
_PATIENCE_SECONDS: Final = 3.0


@contextmanager
def beating(beat: Callable[[], None], seconds: float = HEARTBEAT_SECONDS) -> Iterator[None]:
    """Call `beat` every few seconds until the block ends."""
    stop = threading.Event()

    def beats() -> None:
        while not stop.wait(seconds):
            beat()

    with beside(beats, "heartbeat"):
        try:
            yield
        finally:
            stop.set()


@contextmanager
def beside(work: Callable[[], None], name: str) -> Iterator[None]:
    """Do `work` in a thread and wait for its end; not for long after an interrupt, when the process has to end."""
    thread = threading.Thread(target=copy_context().run, args=(work,), name=name, daemon=True)
    thread.start()
    patience = None
    try:
        yield
    except KeyboardInterrupt:
        patience = _PATIENCE_SECONDS
        raise
    finally:
        thread.join(patience)
