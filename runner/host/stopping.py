"""A request to stop, for threads that drive runs: a signal unwinds the main thread alone.

They look at it wherever they wait, and raise what was requested.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar

from runner.errors import Interrupted

LOOK_SECONDS: Final = 0.1  # between two looks of a thread that waits
Answer = TypeVar("Answer")


class StopRequest:
    """A request to some of the threads of a process: to all of them, unless these heed one of their own."""

    reason: Callable[[], Interrupted] | None = None

    def make(self, reason: Callable[[], Interrupted]) -> None:
        """Let every thread that heeds this request end by such an interrupt. The first reason counts."""
        self.reason = self.reason or reason


_REQUEST: ContextVar[StopRequest] = ContextVar("stop request", default=StopRequest())  # noqa: B039 - of the process


def request_stop(reason: Callable[[], Interrupted]) -> None:
    """Let every thread that drives a run end by such an interrupt. The first request counts."""
    _REQUEST.get().make(reason)


def stop_requested() -> bool:
    """Tell if threads have been asked to stop."""
    return _REQUEST.get().reason is not None


def refuse_if_stopped() -> None:
    """Raise the requested interrupt, in any thread but the main one, which signals unwind by themselves."""
    reason = _REQUEST.get().reason
    if reason is not None and threading.current_thread() is not threading.main_thread():
        raise reason()


@contextmanager
def stops_heeded() -> Iterator[None]:
    """Forget at the end what was requested meanwhile; what was requested before stays requested."""
    request = _REQUEST.get()
    before = request.reason
    try:
        yield
    finally:
        request.reason = before


@contextmanager
def heeding(request: StopRequest) -> Iterator[None]:
    """Heed this request in this thread, in place of that to the whole process."""
    token = _REQUEST.set(request)
    try:
        yield
    finally:
        _REQUEST.reset(token)


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
