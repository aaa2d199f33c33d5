"""Signals that stop a run, held back while something must not be left half done."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Final

from runner.errors import Interrupted

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OF_A_TERMINAL: Final = {signal.SIGINT, signal.SIGHUP}  # sent to the whole group of processes


def heeded_signals() -> list[int]:
    """The signals that stop this process: all, except a SIGHUP that nohup ignores."""
    return [number for number in STOPPING if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold stopping signals until the end of this context, so that nothing is left half started.

    Processes started here never see the signals that a terminal sends to its whole group: they inherit a mask, and we
    close them. The resource tracker of multiprocessing inherits it too. It ignores SIGINT; if SIGHUP stopped it, a
    second tracker would not know what the first has registered. Starting the tracker unblocks SIGINT here, so the mask
    is set once more. A second signal ends this process at once, since a start may hang.

    In another thread than the main one, to which signals do not come, the mask alone is set.
    """
    from multiprocessing import resource_tracker  # noqa: PLC0415 - where processes are started, it is loaded

    with _received_held() if threading.current_thread() is threading.main_thread() else nullcontext():
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_A_TERMINAL)
        try:
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, _OF_A_TERMINAL)
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _received_held() -> Iterator[None]:
    received: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)

    before = {number: signal.signal(number, hold) for number in heeded_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def stop_on_signals() -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal unwind the run, so that workers are closed. A second signal ends it."""

    def stop(number: int, _frame: FrameType | None) -> None:
        end_on_signals()
        raise Interrupted(number)

    for number in heeded_signals():
        signal.signal(number, stop)


def end_on_signals() -> None:
    """Let a stopping signal end this process at once. Nothing is left to unwind but threads, such as a compiler."""
    for number in heeded_signals():
        signal.signal(number, lambda number, _frame: os._exit(128 + number))
