"""Bundles of short tasks, which a dask worker does one after the other: their size, and the work itself."""

import logging
import pickle
import time
from dataclasses import dataclass
from math import ceil
from typing import Final, Generic

from runner.cluster.unprofiled import unprofiled
from runner.host.threads import Mapped, Result, Shared, Task

_MOST: Final = 16  # tasks
_SECONDS: Final = 0.5  # that a bundle takes, so that signs of life come, and a lost worker costs no more
_SECONDS_EACH_THREAD: Final = 0.01  # of all workers; a bundle takes the driver a few milliseconds
_BYTES: Final = 2**22  # of results, which a worker holds until the last of them is made
_SHARES: Final = 4  # bundles for each thread in what is left, so that all threads end at about the same time

log = logging.getLogger(__name__)

Bundle = tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """The results of the first tasks of a bundle, or of all."""

    results: list[Result]
    seconds: float = 0.0  # for all of them
    nbytes: int = 0  # of one


@dataclass(slots=True)
class Pace:
    """How long a task of a pass takes, and how large its result is, as the last bundles had it."""

    _seconds: float = 0.0
    _nbytes: int = 0

    def take(self, done: Done[Result]) -> None:
        """Learn from a bundle."""
        if done.results:
            each = done.seconds / len(done.results)
            self._seconds = (self._seconds + each) / 2 if self._seconds else each
            self._nbytes = max(self._nbytes, done.nbytes)

    def tasks(self, left: int, threads: int) -> int:
        """The number of tasks that go out together, of so many that are left for so many threads: one or more."""
        if not self._seconds:
            return 1
        lasting = max(_SECONDS, threads * _SECONDS_EACH_THREAD) / self._seconds
        share = ceil(left / (_SHARES * max(threads, 1)))
        return max(min(_MOST, int(lasting), _BYTES // self._nbytes, share), 1)


def done_together(bundle: Bundle[Task], function: Mapped[Shared, Task, Result], shared: Shared) -> Done[Result]:
    """The results of a bundle on a worker, up to the first task that fails.

    Raises the error of the first task alone: those before another are not lost by it.
    """
    results, began = list[Result](), time.monotonic()
    with unprofiled():
        try:
            for result in function(shared, iter(bundle)):
                results.append(result)
        except Exception:
            if not results:
                raise
            log.info("task %d of %d failed, and will be done again", len(results) + 1, len(bundle), exc_info=True)
    return Done(results, time.monotonic() - began, _nbytes(results[0]))


def _nbytes(result: Result) -> int:
    """Bytes of a result on its way, whose arrays are not copied."""
    buffers = list[pickle.PickleBuffer]()
    rest = pickle.dumps(result, protocol=5, buffer_callback=buffers.append)
    return len(rest) + sum(buffer.raw().nbytes for buffer in buffers)
