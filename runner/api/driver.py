"""Work of the runner inside of somebody else's process, which it leaves as it was."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Final, Generic, Never, TypeVar

from runner.api.notebook import NotebookNews, in_notebook
from runner.base.console import Listener, NewsAlone, Silence, listening
from runner.errors import Interrupted, RunnerError
from runner.host.stopping import LOOK_SECONDS, request_stop, stops_heeded
from runner.source.gather import all_delivered

Answer = TypeVar("Answer")

_ONE: Final = threading.Lock()  # GDAL's options and Hydra's state are those of the whole process


def driven(work: Callable[[], Answer], *, progress: bool) -> Answer:
    """Do one piece of work at a time, in a thread of its own, with its news shown if `progress`.

    So it does not matter which thread calls, and if an event loop runs in it, as in a notebook. Ctrl-C, or the
    interrupt of a kernel, stops the work in order: the interrupt is raised when it has ended, and a second one at once.
    Raises what the work raises, a RunnerError without the frames of the runner and with its cause as `__context__`.
    """
    with _ONE, listening(_listener(progress)), _events_made(), stops_heeded():
        try:
            return _in_a_thread(work)
        except RunnerError as error:
            refusal = error
    refusal.__context__, refusal.__cause__, refusal.__suppress_context__ = refusal.__cause__, None, True
    raise refusal.with_traceback(None)


def _listener(progress: bool) -> Listener:
    if not progress:
        return Silence()
    return NotebookNews() if in_notebook() else NewsAlone()


def _in_a_thread(work: Callable[[], Answer]) -> Answer:
    """Do the work in a thread, which is given it once it has started: an interrupt may come at any moment."""
    call = _Call[Answer]()
    thread = threading.Thread(target=copy_context().run, args=(call.do,), name="runner", daemon=True)
    try:
        thread.start()
        call.given.put(work)
        call.wait()
    except KeyboardInterrupt:
        request_stop(partial(Interrupted, signal.SIGINT))
        call.given.put(_refuse)
        if thread.is_alive():  # else its start was interrupted
            call.wait()
            call.answer()  # raises the same, with notes that say how to go on
        raise
    return call.answer()


class _Call(Generic[Answer]):
    """A call in another thread.

    A Future would not do: an interrupt that meets Python code which has just taken a lock leaves it locked.
    """

    def __init__(self) -> None:
        self.given: SimpleQueue[Callable[[], Answer]] = SimpleQueue()
        self._answers: list[Answer] = []
        self._error: BaseException | None = None
        self._ended = threading.Lock()
        self._ended.acquire()

    def do(self) -> None:
        """Do the work that was given first."""
        try:
            answer = self.given.get()()
            asyncio.run(all_delivered())
            self._answers.append(answer)
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            self._error = error
        self._ended.release()

    def wait(self) -> None:
        """Wait for its end."""
        while not self._answers and self._error is None:
            self._ended.acquire(timeout=LOOK_SECONDS)

    def answer(self) -> Answer:
        """The answer. Raises the error that ended it."""
        if self._error is not None:
            raise self._error
        return self._answers[0]


def _refuse() -> Never:
    """Take the place of work that was never given."""
    raise KeyboardInterrupt


@contextmanager
def _events_made() -> Iterator[None]:
    """Let the runner log what belongs into `run.log`; handlers of the caller see no more of it than before."""
    ours = logging.getLogger("runner")
    level, lowest = ours.level, ours.getEffectiveLevel()
    handlers = [*logging.getLogger().handlers, *ours.handlers]

    def as_before(record: logging.LogRecord) -> bool:
        return record.levelno >= lowest or record.name.partition(".")[0] != ours.name

    for handler in handlers:
        handler.addFilter(as_before)
    ours.setLevel(min(lowest, logging.INFO))
    try:
        yield
    finally:
        ours.setLevel(level)
        for handler in handlers:
            handler.removeFilter(as_before)
