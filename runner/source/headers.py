"""Headers of the chosen objects, read many at a time."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from runner.errors import ReadError, SourceError
from runner.model import LeftOut, Scene, StoredObject, locate
from runner.read.fetch import ByteRange, FetchCounts, FetchOptions, fetch_range, fetch_start
from runner.read.header import HEADER_BYTES, Header, completed, read_header_async
from runner.read.store_errors import DeniedError
from runner.settings import OnError
from runner.source import sidecars
from runner.source.names import Candidate
from runner.source.stores import Stores
from runner.source.together import together

_HEADERS_IN_FLIGHT = 64
SKIP_HINT = "leave it out with source.exclude, or every scene that fails with on_error=skip"

log = logging.getLogger(__name__)


async def read_headers(
    chosen: Sequence[Candidate],
    stores: Stores,
    on_error: OnError,
    progress: Callable[[int, int], None],
    fetch: FetchOptions | None = None,
) -> tuple[list[Scene], list[LeftOut]]:
    """Read all headers, many at a time, in the order of `chosen`; the first failure ends it unless on_error is skip.

    The files beside an object that say where it lies complete its header. Raises SourceError for the first failure, or
    for an object that is not the listed one any more.
    """
    reader = _HeaderReader(Stores(stores.s3, client_retries=0), fetch or FetchOptions())
    done = 0

    async def read(candidate: Candidate) -> Scene | LeftOut:
        nonlocal done
        try:
            return await reader.read(candidate)
        except ReadError as error:
            if on_error is OnError.stop or isinstance(error, DeniedError):
                raise
            return LeftOut(candidate.item, candidate.scene, candidate.time, error.problem, skipped=True)
        finally:
            done += 1
            progress(done, len(chosen))

    try:
        found = await together(read, chosen, _HEADERS_IN_FLIGHT)
    except DeniedError:
        raise
    except ReadError as error:
        raise SourceError(f"{error}; {SKIP_HINT}") from error
    log.info("%d headers: %s", len(chosen), reader.counts)
    return [one for one in found if isinstance(one, Scene)], [one for one in found if isinstance(one, LeftOut)]


@dataclass(frozen=True, slots=True)
class _HeaderReader:
    """Reads the headers of scenes; the stores' clients do not retry, `fetch` says how often it is done here."""

    stores: Stores
    fetch: FetchOptions
    counts: FetchCounts = field(default_factory=FetchCounts)

    async def read(self, candidate: Candidate) -> Scene:
        """The scene of a candidate. Raises ReadError."""
        item = candidate.item
        if item.size == 0:
            raise ReadError(item.href, "it is empty; upload it again")
        location = locate(item.href)
        start = ByteRange(item.href, self.stores.of(location), location.key, None, 0, HEADER_BYTES, self.counts)
        first = await fetch_start(start, self.fetch)
        _refuse_replaced(item, first.etag)

        async def get(begin: int, end: int) -> bytes:
            wanted = start._replace(etag=first.etag, start=begin, stop=end)
            return bytes(await fetch_range(wanted, self.fetch))

        header = await read_header_async(get, first.size, item.href, bytes(first.data))
        beside = await self._beside(item, header)
        return Scene(
            name=candidate.scene,
            href=item.href,
            time=candidate.time,
            groups=candidate.groups,
            size=first.size,
            etag=first.etag,
            modified=first.modified,
            header=completed(item.href, header, tuple(beside.values())),
            sidecars=(*beside, *(() if header.placed else sidecars.rpcs(item))),
        )

    async def _beside(self, item: StoredObject, header: Header) -> dict[str, tuple[str, bytes]]:
        """Files beside an object that complete its header, by their hrefs: GDAL's names for them, and contents."""
        found: dict[str, tuple[str, bytes]] = {}
        for href in sidecars.auxiliary(item):
            if part := sidecars.relevant_part(href, await self._whole(href)):
                found[href] = (sidecars.name_for_gdal(href), part)
        for href in () if header.placed else sidecars.placing(item):
            found[href] = (sidecars.name_for_gdal(href), await self._whole(href))
        return found

    async def _whole(self, href: str) -> bytes:
        location = locate(href)
        wanted = ByteRange(href, self.stores.of(location), location.key, None, 0, sidecars.MAX_BYTES, self.counts)
        found = await fetch_start(wanted, self.fetch)
        if found.size > sidecars.MAX_BYTES:
            raise ReadError(href, f"{found.size} bytes, wanted up to {sidecars.MAX_BYTES}; remove it or write it anew")
        return bytes(found.data)


def _refuse_replaced(item: StoredObject, etag: str | None) -> None:
    if item.etag is not None and etag is not None and item.etag != etag:
        raise ReadError(item.href, f"changed between listing ({item.etag}) and reading its header ({etag}); run again")
