"""Tasks on threads of this process. Each thread takes the next task when it is ready, and few results wait."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

from runner.host.stopping import awaited

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")
Mapped = Callable[[Shared, Iterator[Task]], Iterator[Result]]
_LOOK_SECONDS: Final = 0.05  # between two checks of threads that are ending


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
    `stop` is called, and no thread works on these tasks any more.
    """
    shared_pool, count = (threads.pool, threads.number) if isinstance(threads, SharedThreads) else (None, threads)
    waiting = _Shared(iter(tasks))
    results: queue.Queue[_Done[Result]] = queue.Queue(maxsize=count)
    with nullcontext(shared_pool) if shared_pool else ThreadPoolExecutor(count) as pool:
        working = [pool.submit(copy_context().run, _work, function, shared, waiting, results) for _ in range(count)]
        try:
            for _ in tasks:
                yield awaited(lambda seconds: results.get(timeout=seconds), queue.Empty).result()
        finally:
            stop()
            waiting.close()
            for thread in working:
                thread.cancel()  # one that has not begun, since the pool works for others
            _empty(results, working)


class _Shared(Generic[Task]):
    """Tasks that several threads take from."""

    def __init__(self, tasks: Iterator[Task]) -> None:
        self._tasks, self._lock, self._closed = tasks, threading.Lock(), False

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        with self._lock:
            if self._closed:
                raise StopIteration
            return next(self._tasks)

    def close(self) -> None:
        """Stop handing out tasks."""
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


def _work(
    function: Mapped[Shared, Task, Result],
    shared: Shared,
    tasks: Iterator[Task],
    results: "queue.Queue[_Done[Result]]",
) -> None:
    """The work of a thread. Its first error ends it, and is raised in the main thread."""
    try:
        for result in function(shared, tasks):
            results.put(_Done((result,)))
    except BaseException as error:  # noqa: BLE001 - the main thread raises it
        results.put(_Done(error=error))


def _empty(results: "queue.Queue[Any]", threads: Sequence[Future[None]]) -> None:
    """Drain the queue until the threads that wait for room have ended."""
    while wait(threads, timeout=_LOOK_SECONDS).not_done:
        with suppress(queue.Empty):
            while True:
                results.get_nowait()
