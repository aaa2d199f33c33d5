"""Byte ranges of stored objects, pinned by ETag and retried.

The retries here are the only ones: those of the obstore client cannot be counted, and it returns a body that is
shorter than requested as if it were whole. Every answer is compared with the requested version, since some servers
ignore If-Match.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import obstore
from obstore.exceptions import BaseError, PreconditionError

from runner.base.shares import share_of
from runner.errors import ReadError
from runner.read.local_files import read_local
from runner.read.refusals import RequestError
from runner.read.services import S3, service_of
from runner.read.store_errors import ShortBodyError, StoreError, explain, is_past_the_end, may_pass
from runner.read.version import ObjectPart, Version, if_match, refuse_changed, version_of

if TYPE_CHECKING:
    from datetime import datetime

    from obstore import Bytes, GetOptions, GetResult
    from obstore.store import ObjectStore

Answer = TypeVar("Answer")

FAILURES: Final = (BaseError, OSError, ValueError, RequestError)  # of requests


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """Limits for cutting ranges, fetching ahead and retrying.

    The ranges of `scenes_together` scenes are taken together. Beyond them, up to `in_flight` ranges or `ahead_bytes`
    bytes are on their way or waiting, but always one range. An attempt ends after `timeout_seconds`; the wait before
    attempt n is up to `backoff_seconds` * 2**(n - 2).
    """

    in_flight: int = 16
    scenes_together: int = 8
    ahead_bytes: int = 64 * 2**20
    max_range_bytes: int = 5 * 2**20
    min_range_bytes: int = 2**20
    max_gap_bytes: int = 128 * 2**10
    attempts: int = 10
    backoff_seconds: float = 0.1
    max_backoff_seconds: float = 5.0
    timeout_seconds: float = 60.0


@dataclass(slots=True)
class FetchCounts:
    """The cost of fetching so far: requests sent (with retries), bytes received, retries, seconds of waiting."""

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

    def share(self, number: int, of: int) -> "FetchCounts":
        """The share of one of several that fetched together, `number` from 0; all shares add up to these counts."""
        requests, size, retries = (share_of(total, number, of) for total in (self.requests, self.bytes, self.retries))
        return FetchCounts(requests, size, retries, self.wait_seconds / of)


class ByteRange(NamedTuple):
    """Bytes `start` to `stop` of the object `key` in `store`.

    `etag`, `size` (in bytes) and `modified` pin its version, None leaves it open. What it costs is added to `counts`.
    """

    href: str
    store: "ObjectStore"
    key: str
    etag: str | None
    start: int
    stop: int
    counts: FetchCounts
    size: int | None = None
    modified: "datetime | None" = None

    @property
    def version(self) -> Version:
        """The requested version."""
        return Version(self.etag, self.size, self.modified)

    @property
    def place(self) -> tuple["ObjectStore", str, int, int, Version]:
        """Where its bytes lie, and of which version."""
        return self.store, self.key, self.start, self.stop, self.version

    @property
    def part(self) -> str:
        """The bytes, for messages."""
        return f"bytes {self.start} to {self.stop}"


async def fetch_range(requested: ByteRange, options: FetchOptions) -> "Bytes":
    """The bytes of one range, retried; of an empty one without a request. Raises ReadError, also past the end."""
    if requested.start == requested.stop:
        return obstore.Bytes(b"")
    return (await _retried(requested, options, whole=True)).data


async def fetch_start(requested: ByteRange, options: FetchOptions) -> ObjectPart:
    """The bytes of one range, or as many of them as the object has, retried. Raises ReadError."""
    return await _retried(requested, options, whole=False)


async def retried(
    attempt: Callable[[], Awaitable[Answer]],
    options: FetchOptions,
    counts: FetchCounts,
    explained: Callable[[Exception, int], Exception] | None = None,
) -> Answer:
    """The answer of the first attempt that succeeds.

    Raises the last error, or the one that `explained` makes of it and of the number of attempts.
    """
    for number in range(1, options.attempts + 1):
        counts.requests += 1
        try:
            async with asyncio.timeout(options.timeout_seconds):
                return await attempt()
        except FAILURES as error:
            if number < options.attempts and may_pass(error):
                counts.retries += 1
            elif explained is None:
                raise
            else:
                raise explained(error, number) from error
        await asyncio.sleep(_backoff(options, number))
    raise AssertionError("the last attempt returns or raises")


async def _retried(requested: ByteRange, options: FetchOptions, *, whole: bool) -> ObjectPart:
    return await retried(
        lambda: _attempt(requested, whole=whole),
        options,
        requested.counts,
        lambda error, attempts: explain(error, requested.href, requested.part, attempts),
    )


def _backoff(options: FetchOptions, failed: int) -> float:
    """Seconds to wait after `failed` attempts, random so that workers do not come back all at once."""
    longest = min(options.max_backoff_seconds, options.backoff_seconds * 2 ** (failed - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311 - no secret


async def _attempt(requested: ByteRange, *, whole: bool) -> ObjectPart:
    part = await read_local(*requested.place)
    if part is not None and (not whole or part.size >= requested.stop):
        requested.counts.bytes += len(part.data)
        return part
    try:
        answer = await _answer(requested)
    except BaseError as error:
        if is_past_the_end(error):
            await _refuse_as_past_the_end(requested)
        raise
    refuse_changed(requested.href, requested.version, version_of(answer.meta))
    size = answer.meta["size"]
    if whole and size < requested.stop:
        raise _truncated(requested, size)
    data = await answer.bytes_async()
    requested.counts.bytes += len(data)
    if len(data) != min(requested.stop, size) - requested.start:
        raise ShortBodyError(len(data))
    return ObjectPart(data, size, version_of(answer.meta))


async def _answer(requested: ByteRange) -> "GetResult":
    """The head of an answer.

    A refused precondition proves nothing if the answer without it has an ETag: some servers refuse every precondition.
    """
    store, key = requested.store, requested.key
    options: GetOptions = {"range": (requested.start, requested.stop)}
    precondition = if_match(requested.etag)
    if precondition is not None:
        try:
            return await obstore.get_async(store, key, options={**options, "if_match": precondition})
        except PreconditionError:
            requested.counts.requests += 1
            answer = await obstore.get_async(store, key, options=options)
            if answer.meta["e_tag"] is None:
                raise
            return answer
    return await obstore.get_async(store, key, options=options)


async def _refuse_as_past_the_end(requested: ByteRange) -> None:
    """Raise the reason why a store finds no bytes there. The object's size must agree, or the answer is wrong."""
    requested.counts.requests += 1
    meta = await obstore.head_async(requested.store, requested.key)
    refuse_changed(requested.href, requested.version, version_of(meta))
    if requested.start < meta["size"]:
        raise StoreError(
            requested.href,
            f"{requested.part} unread: the server says that it ends before them, and that it has "
            f"{meta['size']} bytes; check the server and {(service_of(requested.href) or S3).address}",
        )
    raise _truncated(requested, meta["size"])


def _truncated(requested: ByteRange, size: int) -> ReadError:
    return ReadError(requested.href, f"truncated: wanted bytes to {requested.stop}, it has {size}; upload it again")
