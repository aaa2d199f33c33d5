"""Tasks on threads of this process. Each thread takes the next task when it is ready, and few results wait."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")
Mapped = Callable[[Shared, Iterator[Task]], Iterator[Result]]
_LOOK_SECONDS: Final = 0.05  # between two checks of threads that are ending


def map_on_threads(
    function: Mapped[Shared, Task, Result],
    shared: Shared,
    tasks: Sequence[Task],
    threads: int,
    stop: Callable[[], None],
) -> Generator[Result, None, None]:
    """The results of all tasks, as they are done. `function` runs once on each thread; all take from the same tasks.

    Raises the error of a thread. At every end `stop` is called, and no thread is left.
    """
    waiting = _Shared(iter(tasks))
    results: queue.Queue[_Done[Result]] = queue.Queue(maxsize=threads)
    with ThreadPoolExecutor(threads) as pool:
        working = [pool.submit(_work, function, shared, waiting, results) for _ in range(threads)]
        try:
            for _ in tasks:
                yield results.get().result()
        finally:
            stop()
            waiting.close()
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
