"""The objects of a bucket of Google Cloud Storage, or of a container of Azure, by obstore.

Its client tries each page again by itself, which cannot be counted: a listing that begins anew after every failure
would never end where many pages fail. obstore takes a web page for an empty listing of Google; TLS keeps such
pages out.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import obstore

from runner.model import Location, StoredObject
from runner.source.bucket_walk import Walked, walk
from runner.source.stores import Store, Stores

if TYPE_CHECKING:
    from obstore import ObjectMeta

_PAGE = 1000


async def list_cloud(root: str, pattern: str, stores: Stores) -> Walked:
    """The objects that a glob may name, each once, as `walk` finds them.

    Raises the error of a page that could not be had.
    """
    return await walk(_Bucket(root, stores.for_listing(Location(root, "")), stores), pattern)


@dataclass(frozen=True, slots=True)
class _Bucket:
    """A bucket or container, as it is walked."""

    root: str
    store: Store
    stores: Stores

    def flat(self, prefix: str) -> "_Flat":
        """All that lies below a prefix."""
        return _Flat(self, prefix)

    def folder(self, prefix: str) -> "_Folder":
        """What lies in one folder."""
        return _Folder(self, prefix)

    def stored(self, metas: "Sequence[ObjectMeta]") -> list[StoredObject]:
        """The objects of an answer."""
        return [
            StoredObject(f"{self.root}/{meta['path']}", meta["size"], meta["e_tag"], meta["last_modified"])
            for meta in metas
        ]


class _Flat:
    """A flat listing, page by page."""

    def __init__(self, bucket: _Bucket, prefix: str) -> None:
        self.ended = False
        self.folders: Sequence[str] = ()
        self._bucket, self._objects = bucket, dict[str, StoredObject]()
        self._stream: Any = obstore.list(bucket.store, prefix.rstrip("/") or None, chunk_size=_PAGE)

    @property
    def objects(self) -> Sequence[StoredObject]:
        """Those of the pages so far."""
        return list(self._objects.values())

    async def more(self) -> None:
        """Ask for the next page."""
        stores = self._bucket.stores
        stores.counts.requests += 1
        try:
            page: Sequence[ObjectMeta] = await asyncio.wait_for(anext(self._stream), stores.listing_seconds)
        except StopAsyncIteration:
            self.ended = True
            return
        self._objects.update((item.href, item) for item in self._bucket.stored(page))
        self.ended = len(page) < _PAGE  # all but the last are full


class _Folder:
    """The listing of one folder, whose pages obstore asks for by itself."""

    def __init__(self, bucket: _Bucket, prefix: str) -> None:
        self.ended = False
        self.objects: Sequence[StoredObject] = ()
        self.folders: Sequence[str] = ()
        self._bucket, self._prefix = bucket, prefix

    async def more(self) -> None:
        """Ask for all pages."""
        bucket = self._bucket
        bucket.stores.counts.requests += 1
        found = await obstore.list_with_delimiter_async(bucket.store, self._prefix.rstrip("/") or None)
        self.objects = list({item.href: item for item in bucket.stored(found["objects"])}.values())
        self.folders = [f"{path.rstrip('/')}/" for path in found["common_prefixes"]]
        self.ended = True
