"""A signal raised in the main thread, where it leaves no lock behind, and again if it was raised into nothing.

A handler runs between any two calls of Python. Raised inside of `Condition.__enter__`, an interrupt would leave a lock
that nobody holds: the thread that waits for it never ends, nor does the process. Raised while a thread starts, it would
leave one that nobody knows. Raised in a `__del__`, it is printed and forgotten. And a signal that comes just before the
main thread goes to wait for a lock wakes nobody: its handler runs once the lock is there, or another signal comes.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final

from runner.errors import Interrupted
from runner.host.stopping import request_stop

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_LOOK_SECONDS: Final = 0.005
_IMPORTS: Final = {"importlib._bootstrap", "_frozen_importlib"}
_DELICATE: Final = {  # modules that take locks, or enter contexts, in several steps
    *("concurrent.futures._base", "concurrent.futures.thread", "contextlib", "logging", "numba.core.compiler_lock"),
    *("queue", "threading", "weakref", "_weakrefset"),
}
_STARTS: Final = {threading.Thread.start.__code__, ThreadPoolExecutor.submit.__code__}
_RETAKES: Final = threading.Condition._acquire_restore.__code__  # type: ignore[attr-defined] # noqa: SLF001 - a lock its caller will release


class Unwinding:
    """A signal on its way into the main thread. It is tried again every few milliseconds until it is raised."""

    def __init__(self, number: int) -> None:
        self._is_raised = False
        self._number, self._interrupt = number, Interrupted(number)
        self._last: tuple[FrameType | None, int] = (None, 0)
        self._unraisable = sys.unraisablehook
        sys.unraisablehook = self._raise_again
        signal.signal(signal.SIGALRM, self.look)

    def look(self, _number: int, frame: FrameType | None) -> None:
        """Raise the interrupt if it does no harm in this frame, or else look again soon."""
        if self._is_raised:  # and a last alarm was on its way
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        place = (frame, frame.f_lasti if frame else 0)
        blocked = place == self._last
        if frame is None or may_unwind(frame, blocked=blocked):
            self._is_raised, self._last = True, (None, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            request_stop(partial(Interrupted, self._number))
            raise self._interrupt
        self._last = place
        alarm_again_and_again()

    def _raise_again(self, ignored: "UnraisableHookArgs", /) -> None:
        if ignored.exc_value is self._interrupt:
            self._is_raised = False
            alarm_again_and_again()
        else:
            self._unraisable(ignored)


def alarm_again_and_again() -> None:
    """Wake the main thread every few milliseconds, whatever it waits for; one alarm alone may come too early."""
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)


def may_unwind(frame: FrameType, *, blocked: bool) -> bool:
    """Tell if an exception may be raised in a frame, which waits in one call for long if it is `blocked`.

    What waits for a lock has not got it, so that nothing is left behind, also in an import.
    """
    if any(caller.f_code in _STARTS or (_module(caller) in _IMPORTS and not blocked) for caller in _stack(frame)):
        return False
    return _module(frame) not in _DELICATE or (blocked and frame.f_code is not _RETAKES)


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))
