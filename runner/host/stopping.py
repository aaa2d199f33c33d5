"""A request to stop, for threads that drive runs: a signal unwinds the main thread alone.

They look at it wherever they wait, and raise what was requested.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from runner.errors import Interrupted

LOOK_SECONDS: Final = 0.1  # between two looks of a thread that waits
Answer = TypeVar("Answer")


class _Request:
    reason: Callable[[], Interrupted] | None = None


_REQUEST: Final = _Request()


def request_stop(reason: Callable[[], Interrupted]) -> None:
    """Let every thread that drives a run end by such an interrupt. The first request counts."""
    _REQUEST.reason = _REQUEST.reason or reason


def stop_requested() -> bool:
    """Tell if threads have been asked to stop."""
    return _REQUEST.reason is not None


def refuse_if_stopped() -> None:
    """Raise the requested interrupt, in any thread but the main one, which signals unwind by themselves."""
    if _REQUEST.reason is not None and threading.current_thread() is not threading.main_thread():
        raise _REQUEST.reason()


@contextmanager
def stops_heeded() -> Iterator[None]:
    """Forget at the end what was requested meanwhile; what was requested before stays requested."""
    before = _REQUEST.reason
    try:
        yield
    finally:
        _REQUEST.reason = before


def awaited(take: Callable[[float], Answer], nothing: type[Exception]) -> Answer:
    """What `take(seconds)` gives, which raises `nothing` when there was none in so many seconds.

    Raises the requested interrupt.
    """
    while True:
        refuse_if_stopped()
        try:
            return take(LOOK_SECONDS)
        except nothing:
            continue
