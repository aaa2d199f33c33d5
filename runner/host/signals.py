"""The signals that stop a run, and holding them back while something must not be left half done."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Final

from runner.errors import Interrupted

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OF_A_TERMINAL: Final = {signal.SIGINT, signal.SIGHUP}  # sent to the whole group of processes


def heeded_signals() -> list[int]:
    """Those of the stopping signals that stop this process: all, less a SIGHUP that it was told to ignore (nohup)."""
    return [one for one in STOPPING if one != signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN]


@contextmanager
def signals_held() -> Iterator[None]:
    """Keep the stopping signals for the end of the block, so that nothing is left half started.

    Processes started meanwhile never see those that a terminal sends to the whole group: they inherit a mask, and it is
    for us to close them. So does the tracker of multiprocessing, which passes over SIGINT by itself: if SIGHUP ended
    it, a second one would know nothing of what the first was told. Starting it unblocks SIGINT here, so that the mask
    is set once more. A second signal ends this process at once: what is begun here may never come to an end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        if came:
            os._exit(128 + number)
        came.append(number)

    before = {number: signal.signal(number, hold) for number in heeded_signals()}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_A_TERMINAL)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, _OF_A_TERMINAL)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def stop_on_signals() -> None:
    """Ctrl-C, SIGTERM and a terminal that closes unwind the run, so that workers are closed; a second one ends it."""
    numbers = heeded_signals()

    def stop(number: int, _frame: FrameType | None) -> None:
        for again in numbers:
            signal.signal(again, lambda number, _frame: os._exit(128 + number))
        raise Interrupted(number)

    for number in numbers:
        signal.signal(number, stop)
