"""Headers of the chosen objects, read many at a time."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import obstore

from runner.errors import ReadError, SourceError
from runner.model import LeftOut, OpenedFile, Scene, StoredObject
from runner.read.fetch import FAILURES, ByteRange, fetch_range, fetch_start
from runner.read.header import HEADER_BYTES, Header, completed, read_header_async
from runner.read.store_errors import UNREADABLE_KEY, MissingError, StoreError, is_readable
from runner.read.version import Version, refuse_changed
from runner.settings import OnError
from runner.source import sidecars
from runner.source.first_bytes import FirstBytes
from runner.source.gather import gather
from runner.source.mask_files import describe_lacking, missing_mask, placed_mask
from runner.source.names import Candidate
from runner.source.stores import Stores

_HEADERS_IN_FLIGHT = 64
SKIP_HINT = "leave it out with source.exclude, or every scene that fails with on_error=skip"

log = logging.getLogger(__name__)


async def read_headers(
    chosen: Sequence[Candidate],
    stores: Stores,
    on_error: OnError,
    progress: Callable[[int, int], None],
    on_missing: OnError = OnError.stop,
) -> tuple[list[Scene], list[LeftOut]]:
    """Read all headers, many at a time, in the order of `chosen`; those of masks together with those of their scenes.

    The files beside an object that say where it lies complete its header. The first object that is at fault, as two
    readings say, ends it unless on_error is skip; masks that do not exist end it when all were looked for, unless
    on_missing is skip; any other failure ends it. Raises SourceError for objects, StoreError for anything else.
    """
    files = [file for candidate in chosen for file in (candidate.item, candidate.item.mask) if file]
    reader = _HeaderReader(stores, FirstBytes(files, stores))
    without_mask: set[StoredObject] = set()
    done = 0

    async def read(candidate: Candidate) -> Scene | LeftOut:
        nonlocal done
        try:
            return await reader.read_twice_if_faulty(candidate)
        except StoreError:
            raise
        except ReadError as error:
            if isinstance(error, _NoMaskError):
                without_mask.add(candidate.item)
            elif on_error is OnError.stop:
                raise
            return LeftOut(candidate.item, candidate.scene, candidate.time, error.problem, skipped=True)
        finally:
            done += 1
            progress(done, len(chosen))

    try:
        results = await gather(read, chosen, _HEADERS_IN_FLIGHT)
    except StoreError:
        raise
    except ReadError as error:
        raise SourceError(f"{error}; {SKIP_HINT}") from error
    left_out = [result for result in results if isinstance(result, LeftOut)]
    if without_mask and on_missing is OnError.stop:
        raise SourceError(describe_lacking([item for item in left_out if item.item in without_mask], len(chosen)))
    log.info("%d headers: %s", len(chosen), stores.counts)
    scenes = [result for result in results if isinstance(result, Scene)]
    _warn_of_unknown_versions(scenes)
    return scenes, left_out


class _NoMaskError(ReadError):
    """A scene whose mask does not exist."""


def _warn_of_unknown_versions(scenes: Sequence[Scene]) -> None:
    files = [(file.href, file) for scene in scenes for file in (scene, scene.mask) if file]
    unknown = [name for name, file in files if not Version(file.etag, file.size, file.modified).is_known]
    if unknown:
        log.warning(
            "the server tells neither ETag nor Last-Modified of %d files, such as %s: one that is replaced during "
            "the run by another of the same size is not noticed",
            len(unknown),
            unknown[0],
        )


@dataclass(frozen=True, slots=True)
class _HeaderReader:
    """Reads the headers of scenes."""

    stores: Stores
    first_bytes: FirstBytes

    async def read_twice_if_faulty(self, candidate: Candidate) -> Scene:
        """The scene of a candidate. Raises ReadError; one that puts the fault on the object was said twice."""
        try:
            return await self.read(candidate)
        except StoreError:
            raise
        except ReadError:
            return await self.read(candidate)

    async def read(self, candidate: Candidate) -> Scene:
        """The scene of a candidate. Raises ReadError."""
        item = candidate.item
        if item.mask is None:
            return await self._completed(candidate, await self._opened(item))
        opening = asyncio.ensure_future(self._opened_mask(item, item.mask))  # meanwhile
        try:
            file = await self._opened(item)
        finally:
            await asyncio.gather(opening, return_exceptions=True)  # its error is of no account if the scene has one
        mask = opening.result()
        scene = await self._completed(candidate, file)
        return replace(scene, mask=placed_mask(item, scene.header, mask))

    async def _opened_mask(self, scene: StoredObject, mask: StoredObject) -> OpenedFile:
        """The mask of an object, not placed yet. Raises ReadError that names both."""
        try:
            return await self._opened(mask)
        except MissingError as error:
            raise _NoMaskError(scene.href, missing_mask(mask)) from error
        except StoreError:
            raise
        except ReadError as error:
            raise ReadError(scene.href, f"its mask {error}") from error

    async def _opened(self, item: StoredObject) -> OpenedFile:
        """An object with its own header, pinned to the version that was read. Raises ReadError."""
        if item.size == 0:
            raise ReadError(item.href, "it is empty; upload it again")
        location = self.stores.locate(item.href)
        if location.root is not None and not is_readable(location.key):
            raise ReadError(item.href, UNREADABLE_KEY)
        store, counts = self.stores.of(location), self.stores.counts
        start = ByteRange(item.href, store, location.key, None, 0, HEADER_BYTES, counts)
        first = await self.first_bytes.of(item) or await fetch_start(start, self.stores.fetch)
        listed = Version(item.etag, item.size, item.modified)
        refuse_changed(item.href, listed, first.version, "between listing and reading its header")
        etag, modified = first.version.etag or item.etag, first.version.modified or item.modified

        async def get(begin: int, end: int) -> bytes:
            request = start._replace(etag=etag, size=first.size, modified=modified, start=begin, stop=end)
            return bytes(await fetch_range(request, self.stores.fetch))

        header = await read_header_async(get, first.size, item.href, bytes(first.data))
        return OpenedFile(item.href, first.size, etag, modified, header)

    async def _completed(self, candidate: Candidate, file: OpenedFile) -> Scene:
        """The scene of an opened object, its header completed by files beside it. Raises ReadError."""
        item, header = candidate.item, file.header
        parts = await self._beside(item, header)
        full_header = completed(item.href, header, tuple(parts.values()))
        sidecars.refuse_values(item, header, full_header)
        for href in sidecars.erdas(item):
            sidecars.refuse_erdas(href, await self._whole(href), full_header)
        return Scene(
            name=candidate.scene,
            href=item.href,
            time=candidate.time,
            groups=candidate.groups,
            size=file.size,
            etag=file.etag,
            modified=file.modified,
            header=full_header,
            sidecars=(*parts, *(() if header.placed else sidecars.rpcs(item))),
            sidecars_sha256=sidecars.sha256(parts.values()) if parts else None,
        )

    async def _beside(self, item: StoredObject, header: Header) -> dict[str, tuple[str, bytes]]:
        """Files beside an object that complete its header, by their hrefs: GDAL's names for them, and contents."""
        parts: dict[str, tuple[str, bytes]] = {}
        for href in sidecars.auxiliary(item):
            if part := sidecars.relevant_part(await self._whole(href)):
                parts[href] = (sidecars.name_for_gdal(href), part)
        for href in () if header.placed else sidecars.placing(item):
            if part := await self._whole(href):
                parts[href] = (sidecars.name_for_gdal(href), part)
        return parts

    async def _whole(self, href: str) -> bytes:
        """A file beside an object. Raises SourceError: one that cannot be read is not a fault of the scene."""
        try:
            return await self._fetched(href)
        except StoreError:
            raise
        except ReadError as error:
            if await self._is_empty(href):
                return b""
            remedy = "it stands beside a scene: bring it back or write it anew, or say source.sidecars=ignore"
            raise SourceError(f"{error}; {remedy}") from error

    async def _is_empty(self, href: str) -> bool:
        location = self.stores.locate(href)
        try:
            return (await obstore.head_async(self.stores.of(location), location.key))["size"] == 0
        except FAILURES:
            return False

    async def _fetched(self, href: str) -> bytes:
        location = self.stores.locate(href)
        store, counts = self.stores.of(location), self.stores.counts
        request = ByteRange(href, store, location.key, None, 0, sidecars.MAX_BYTES, counts)
        answer = await fetch_start(request, self.stores.fetch)
        if answer.size > sidecars.MAX_BYTES:
            raise ReadError(href, f"it has {answer.size} bytes, wanted up to {sidecars.MAX_BYTES}")
        return bytes(answer.data)
