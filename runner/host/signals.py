"""Signals that stop a run, held back while something must not be left half done."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Final

from runner.host.unwinding import Unwinding, alarm_again_and_again

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_SECONDS: Final = 0.2  # in which signals count as one
_HANDLER_SECONDS: Final = 1.0  # for the handler of a second signal, which may have jobs to kill
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
        handler = before[received[0]] if received else None
        if callable(handler):
            handler(received[0], None)
        elif received:
            signal.raise_signal(received[0])


def stop_on_signals() -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal unwind the run, so that workers are closed. A second signal ends it.

    Handlers wait for the call that the main thread is in. So that a second signal ends a process that GDAL holds in a
    request, a thread counts them.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        end_on_signals()
        Unwinding(number).look(number, frame)

    signal.signal(signal.SIGALRM, lambda _number, _frame: None)
    for number in heeded_signals():
        signal.signal(number, stop)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_on_second, args=(reader,), name="signals", daemon=True).start()


def _end_on_second(reader: int) -> None:
    """See that the first signal's handler runs, and end this process by the second signal if its handler does not.

    `timeout` sends its one twice, to the process and to its group.
    """
    first = None
    while True:
        number, now = os.read(reader, 1)[0], time.monotonic()
        if number not in heeded_signals():
            continue
        if first is None:
            first = now
            alarm_again_and_again()
        if now - first > _ONE_SECONDS:
            time.sleep(_HANDLER_SECONDS)
            os._exit(128 + number)


def end_on_signals() -> None:
    """Let a stopping signal end this process at once. Nothing is left to unwind but threads, such as a compiler."""
    for number in heeded_signals():
        signal.signal(number, lambda number, _frame: os._exit(128 + number))
