"""The first bytes of the files of a stack, those of local files read a few at a time."""

import asyncio
from collections.abc import Iterable
from typing import Final

from runner.errors import SourceError
from runner.model import StoredObject
from runner.read.header import HEADER_BYTES
from runner.read.local_files import LocalPart, begin_local_parts
from runner.read.version import ObjectPart, Version
from runner.source.stores import Stores

_AT_ONCE: Final = 8  # files that one thread reads one after the other
_ANY_VERSION: Final = Version(None, None, None)


class FirstBytes:
    """The first bytes of local files, each given once. A file is read together with the few that follow it."""

    def __init__(self, items: Iterable[StoredObject], stores: Stores) -> None:
        self._items, self._stores = list(items), stores
        self._places = {item.href: place for place, item in enumerate(self._items)}
        self._groups: dict[int, asyncio.Future[list[ObjectPart | None]]] = {}

    async def of(self, item: StoredObject) -> ObjectPart | None:
        """Those of a file; None for an object of another store, and for what has to be asked for, and counted, anew."""
        place = self._places.pop(item.href, None)
        if place is None:
            return None
        group, number = divmod(place, _AT_ONCE)
        if group not in self._groups:
            self._groups[group] = asyncio.ensure_future(self._read(group))
        parts = await self._groups[group]
        part, parts[number] = parts[number], None  # not kept longer than it is needed
        if part is not None:
            self._stores.counts.requests += 1
            self._stores.counts.bytes += len(part.data)
        return part

    async def _read(self, group: int) -> list[ObjectPart | None]:
        items = self._items[group * _AT_ONCE : (group + 1) * _AT_ONCE]
        parts = [self._part(item) for item in items]
        known = [part for part in parts if part]
        if not known:
            return [None] * len(items)
        job = asyncio.wrap_future(begin_local_parts(known))
        try:
            async with asyncio.timeout(self._stores.fetch.timeout_seconds):
                read = await job
        except TimeoutError:
            return [None] * len(items)
        following = iter(read)
        return [next(following) if part else None for part in parts]

    def _part(self, item: StoredObject) -> LocalPart | None:
        """What is read of a local file; None for an object of another store, or one that cannot be located."""
        try:
            location = self._stores.locate(item.href)
        except SourceError:  # who reads the header reports it
            return None
        if location.root is not None:
            return None
        return LocalPart(self._stores.of(location), location.key, 0, HEADER_BYTES, _ANY_VERSION)
