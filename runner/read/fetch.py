"""Byte ranges of stored objects, fetched ahead of their use, pinned by ETag and retried.

The retries here are on top of those of the obstore client (`retry_config`), and are the only ones that are counted. The
client cannot see a body that is shorter than asked for: obstore hands it out as if it were whole.
"""

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar, TypeVarTuple, Unpack

import obstore
from obstore.exceptions import BaseError

from runner.errors import ReadError
from runner.read.store_errors import ShortBodyError, explain, may_pass

if TYPE_CHECKING:
    from concurrent.futures import Future

    from obstore import Bytes, GetOptions, ObjectMeta
    from obstore.store import ObjectStore

Item = TypeVar("Item")
Arguments = TypeVarTuple("Arguments")

_STOP_SECONDS: Final = 0.2  # between two looks at the stop flag


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How ranges are cut, fetched ahead and retried.

    The ranges of `scenes_together` scenes are taken together. Beyond them, up to `in_flight` ranges or `ahead_bytes`
    bytes are on their way or waiting; one range is fetched whatever its size. An attempt ends after `timeout_seconds`;
    the wait before attempt n is up to `backoff_seconds` * 2**(n - 2).
    """

    in_flight: int = 8
    scenes_together: int = 8
    ahead_bytes: int = 64 * 2**20
    max_range_bytes: int = 16 * 2**20
    min_range_bytes: int = 2**20
    max_gap_bytes: int = 128 * 2**10
    attempts: int = 10
    backoff_seconds: float = 0.1
    max_backoff_seconds: float = 5.0
    timeout_seconds: float = 60.0


@dataclass(slots=True)
class FetchCounts:
    """What fetching cost so far: requests sent (with retries), bytes received, retries, seconds of waiting."""

    requests: int = 0
    bytes: int = 0
    retries: int = 0
    wait_seconds: float = field(default=0.0, compare=False)  # by the reader, for ranges that had not come yet

    def add(self, other: "FetchCounts") -> None:
        """Add another's counts to these."""
        self.requests += other.requests
        self.bytes += other.bytes
        self.retries += other.retries
        self.wait_seconds += other.wait_seconds


class ByteRange(NamedTuple):
    """Bytes `start` to `stop` of the object `key` in `store`; `etag` pins its version, None leaves it open.

    What it costs is added to `counts`.
    """

    href: str
    store: "ObjectStore"
    key: str
    etag: str | None
    start: int
    stop: int
    counts: FetchCounts


class ObjectStart(NamedTuple):
    """The first bytes of an object, and what its store says of it: its whole size in bytes, and its version."""

    data: "Bytes"
    size: int
    etag: str | None
    modified: datetime


class StopFlag:
    """Set by whoever gives up on a reading; its readers then end. A copy in another process is never set."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __reduce__(self) -> tuple[type["StopFlag"], tuple[()]]:
        """Events do not travel; a worker process is ended from outside."""
        return type(self), ()

    def set(self) -> None:
        """End the reading."""
        self._event.set()

    def check(self) -> None:
        """Raise StoppedError if the flag is set."""
        if self._event.is_set():
            raise StoppedError


class StoppedError(Exception):
    """The reading was given up; whoever set the flag knows why."""


def fetch_ahead(
    wanted: Iterable[tuple[Item, ByteRange]], options: FetchOptions, stop: StopFlag | None = None
) -> Generator[tuple[Item, "Bytes"], None, None]:
    """Yield each item with the bytes of its range, in order, while the next ranges are on their way.

    An empty range yields b"" without a request. Close the generator to cancel what is under way. Raises ReadError, of a
    kind that tells a missing, denied or changed object from the rest, when a range stays unread, and StoppedError.
    """
    with background_loop() as loop:
        queue: _Queue[Item] = _Queue(loop, options, stop or StopFlag())
        source = iter(wanted)
        queue.fill(source)
        while queue.waiting:
            item, data = queue.take()
            queue.fill(source)
            yield item, data
            del data  # or the consumer's last range would stay in memory while it waits for the next


@dataclass(slots=True)
class _Queue(Generic[Item]):
    """Ranges on their way, in order."""

    loop: asyncio.AbstractEventLoop
    options: FetchOptions
    stop: StopFlag
    waiting: "deque[tuple[Item, ByteRange, Future[Bytes]]]" = field(default_factory=deque)
    ahead_bytes: int = 0

    def fill(self, source: Iterator[tuple[Item, ByteRange]]) -> None:
        """Start requests up to the limits."""
        while not self.waiting or (
            len(self.waiting) < self.options.in_flight and self.ahead_bytes < self.options.ahead_bytes
        ):
            following = next(source, None)
            if following is None:
                return
            item, wanted = following
            job = asyncio.run_coroutine_threadsafe(fetch_range(wanted, self.options), self.loop)
            self.waiting.append((item, wanted, job))
            self.ahead_bytes += wanted.stop - wanted.start

    def take(self) -> tuple[Item, "Bytes"]:
        """Wait for the oldest range."""
        item, wanted, job = self.waiting.popleft()
        started = time.perf_counter()
        while not job.done():
            self.stop.check()
            wait([job], timeout=_STOP_SECONDS)
        wanted.counts.wait_seconds += time.perf_counter() - started
        data = job.result()
        self.ahead_bytes -= wanted.stop - wanted.start
        return item, data


class _Loop(asyncio.SelectorEventLoop):
    """A loop that may be called after its end, into nothing.

    obstore answers from threads of its own: also a request that is cancelled at that very moment, and it prints a
    traceback where its loop has been closed.
    """

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Arguments]], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.Handle:
        try:
            return super().call_soon_threadsafe(callback, *args, context=context)
        except RuntimeError:
            if not self.is_closed():
                raise
            return asyncio.Handle(callback, args, self, context)


@contextmanager
def background_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own. Unlike blocking calls in a pool, its requests can be cancelled at once."""
    loop = _Loop()
    thread = threading.Thread(target=loop.run_forever, name="fetch", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def fetch_range(wanted: ByteRange, options: FetchOptions) -> "Bytes":
    """The bytes of one range, retried. Raises ReadError, also where the object ends before."""
    if wanted.start == wanted.stop:
        return obstore.Bytes(b"")
    return (await _retried(wanted, options, whole=True))[0]


async def fetch_start(wanted: ByteRange, options: FetchOptions) -> ObjectStart:
    """The bytes of one range, or as many of them as the object has, retried. Raises ReadError."""
    data, meta = await _retried(wanted, options, whole=False)
    return ObjectStart(data, meta["size"], meta["e_tag"], meta["last_modified"])


async def _retried(wanted: ByteRange, options: FetchOptions, *, whole: bool) -> tuple["Bytes", "ObjectMeta"]:
    for attempt in range(1, options.attempts + 1):
        try:
            return await _attempt(wanted, options.timeout_seconds, whole=whole)
        except (BaseError, OSError, ValueError, ShortBodyError) as error:
            if attempt == options.attempts or not may_pass(error):
                part = f"bytes {wanted.start} to {wanted.stop}"
                raise explain(error, wanted.href, part, attempt) from error
        wanted.counts.retries += 1
        await asyncio.sleep(_backoff(options, attempt))
    raise AssertionError("the last attempt returns or raises")


def _backoff(options: FetchOptions, failed: int) -> float:
    """Seconds to wait after `failed` attempts, random so that workers do not come back all at once."""
    longest = min(options.max_backoff_seconds, options.backoff_seconds * 2 ** (failed - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311 - no secret


async def _attempt(wanted: ByteRange, timeout: float, *, whole: bool) -> tuple["Bytes", "ObjectMeta"]:
    options: GetOptions = {"range": (wanted.start, wanted.stop)}
    if wanted.etag:
        options["if_match"] = wanted.etag
    wanted.counts.requests += 1
    async with asyncio.timeout(timeout):
        answer = await obstore.get_async(wanted.store, wanted.key, options=options)
        size = answer.meta["size"]
        if whole and size < wanted.stop:
            raise ReadError(wanted.href, f"truncated: wanted bytes to {wanted.stop}, it has {size}; upload it again")
        data = await answer.bytes_async()
    wanted.counts.bytes += len(data)
    if len(data) != min(wanted.stop, size) - wanted.start:
        raise ShortBodyError(len(data))
    return data, answer.meta
