"""Tasks on threads of this process. Each thread takes the next task when it is ready, and few results wait."""

import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import cache
from typing import Final, Generic, NamedTuple, TypeVar

from runner.host.stopping import awaited, stop_requested

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")
Mapped = Callable[[Shared, Iterator[Task]], Iterator[Result]]
_PATIENCE_SECONDS: Final = 5.0  # after an interrupt
_SWITCH_SECONDS: Final = 0.0005  # between two looks for a thread that waits for Python's lock
_LOOK_SECONDS: Final = 0.05  # between two looks of a thread that waits for room


@cache
def lasting_threads(name: str, number: int) -> ThreadPoolExecutor:
    """Threads of a name that all callers share, and that stay: in each new one, GDAL and PROJ take 8 ms to start.

    A task of theirs must not wait for another of the same name.
    """
    return ThreadPoolExecutor(number, name)


class SharedThreads(NamedTuple):
    """Threads that work for several callers, in the order in which these come."""

    pool: ThreadPoolExecutor
    number: int


def map_on_threads(
    function: Mapped[Shared, Task, Result],
    shared: Shared,
    tasks: Sequence[Task],
    threads: "int | SharedThreads",
    stop: Callable[[], None],
) -> Generator[Result, None, None]:
    """The results of all tasks, as they are done. `function` runs once on each thread; all take from the same tasks.

    Threads are a number of its own, or those that others share. Raises the error of a thread. At every end
    `stop` is called, and no thread works on these tasks any more; after an interrupt some may, which are left behind:
    GDAL cannot be told to give up a request.
    """
    shared_pool, count = (threads.pool, threads.number) if isinstance(threads, SharedThreads) else (None, threads)
    waiting = _Shared(iter(tasks), queue.Queue[_Done[Result]](maxsize=count))
    working: list[Future[None]] = []
    with nullcontext(shared_pool) if shared_pool else threads_joined(ThreadPoolExecutor(count)) as pool:
        try:
            working.extend(pool.submit(copy_context().run, _work, function, shared, waiting) for _ in range(count))
            for _ in tasks:
                yield awaited(lambda seconds: waiting.results.get(timeout=seconds), queue.Empty).result()
        finally:
            stop()
            waiting.close()
            begun = [thread for thread in working if not thread.cancel()]  # others wait behind work of other callers
            wait(begun, _PATIENCE_SECONDS if stop_requested() else None)


@contextmanager
def threads_joined(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """Wait for the end of all threads of a pool; after an interrupt, of none: the process has to end."""
    try:
        yield pool
    finally:
        pool.shutdown(wait=not stop_requested(), cancel_futures=stop_requested())


class _Shared(Generic[Task, Result]):
    """Tasks that several threads take from, and where they put the results."""

    def __init__(self, tasks: Iterator[Task], results: "queue.Queue[_Done[Result]]") -> None:
        self.results = results
        self._tasks, self._lock, self._closed = tasks, threading.Lock(), False

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        with self._lock:
            if self._closed:
                raise StopIteration
            return next(self._tasks)

    def put(self, done: "_Done[Result]") -> None:
        """Wait for room, unless nobody takes results any more."""
        while not self._closed:
            with suppress(queue.Full):
                self.results.put(done, timeout=_LOOK_SECONDS)
                return

    def close(self) -> None:
        """Stop handing out tasks and taking results."""
        self._closed = True


@dataclass(frozen=True, slots=True)
class _Done(Generic[Result]):
    """The result of a thread, or the error that ended it."""

    results: tuple[Result, ...] = ()
    error: BaseException | None = None

    def result(self) -> Result:
        if self.error:
            raise self.error
        return self.results[0]


def _work(function: Mapped[Shared, Task, Result], shared: Shared, tasks: _Shared[Task, Result]) -> None:
    """The work of a thread. Its first error ends it, and is raised in the main thread."""
    try:
        for result in function(shared, tasks):
            tasks.put(_Done((result,)))
    except BaseException as error:  # noqa: BLE001 - the main thread raises it
        tasks.put(_Done(error=error))


@contextmanager
def switching_often() -> Iterator[None]:
    """Let a thread that waits for Python's lock have it after half a millisecond, and not after five, as is usual.

    Threads that read and add tiles need it for a moment between two tiles. While others prepare stacks or make pages,
    they would stand still for most of that time.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
