"""Byte ranges fetched ahead of their use: several are on their way while one is decoded."""

import asyncio
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from runner.read.background import background_loop
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, fetch_range
from runner.read.local_files import begin_local
from runner.read.stop_flag import StopFlag
from runner.read.version import ObjectPart

if TYPE_CHECKING:
    from concurrent.futures import Future

    from obstore import Bytes

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_STOP_SECONDS: Final = 0.2  # between two looks at the stop flag


def fetch_ahead(
    ranges: Iterable[tuple[Item, ByteRange]], options: FetchOptions, stop: StopFlag | None = None
) -> Generator[tuple[Item, "Bytes"], None, None]:
    """Yield each item with the bytes of its range, in order, while the next ranges are on their way.

    Close it to cancel what is under way. Raises ReadError, whose kind tells a missing object, and StoppedError.
    """
    with background_loop() as loop:
        queue: _Queue[Item] = _Queue(loop, options, stop or StopFlag())
        source = iter(ranges)
        queue.fill(source)
        while queue.waiting:
            item, data = queue.take()
            queue.fill(source)
            yield item, data
            del data  # or the consumer's last range would stay in memory while it waits for the next


class _Waiting(NamedTuple, Generic[Item]):
    """A range of a local file that is being read, or one that was asked for."""

    item: Item
    requested: ByteRange
    local: "Future[ObjectPart | None] | None"
    asked: "Future[Bytes] | None"


@dataclass(slots=True)
class _Queue(Generic[Item]):
    """Ranges on their way, in order."""

    loop: asyncio.AbstractEventLoop
    options: FetchOptions
    stop: StopFlag
    waiting: deque["_Waiting[Item]"] = field(default_factory=deque)
    ahead_bytes: int = 0

    def fill(self, source: Iterator[tuple[Item, ByteRange]]) -> None:
        """Start requests up to the limits."""
        while not self.waiting or (
            len(self.waiting) < self.options.in_flight and self.ahead_bytes < self.options.ahead_bytes
        ):
            if (following := next(source, None)) is None:
                return
            item, requested = following
            local = begin_local(*requested.place) if requested.start < requested.stop else None
            self.waiting.append(_Waiting(item, requested, local, None if local else self._ask(requested)))
            self.ahead_bytes += requested.stop - requested.start

    def take(self) -> tuple[Item, "Bytes"]:
        """Wait for the oldest range."""
        item, requested, local, asked = self.waiting.popleft()
        started = time.perf_counter()
        part = local.result() if local and self._ended(local, self.options.timeout_seconds) else None
        if part is not None and part.size >= requested.stop:
            data = part.data
            requested.counts.add(FetchCounts(1, len(data)))
        else:
            asked = asked or self._ask(requested)  # also of a file that obstore has to look at
            self._ended(asked)
            data = asked.result()
        requested.counts.wait_seconds += time.perf_counter() - started
        self.ahead_bytes -= requested.stop - requested.start
        return item, data

    def _ask(self, requested: ByteRange) -> "Future[Bytes]":
        return asyncio.run_coroutine_threadsafe(fetch_range(requested, self.options), self.loop)

    def _ended(self, job: "Future[Answer]", seconds: float = inf) -> bool:
        """Wait for a job, for so long at most; True if it has ended. Raises StoppedError."""
        started = time.perf_counter()
        while not job.done() and time.perf_counter() - started < seconds:
            self.stop.check()
            wait([job], timeout=_STOP_SECONDS)
        return job.done()
