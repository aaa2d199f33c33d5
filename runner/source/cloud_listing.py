"""The objects of a bucket of Google Cloud Storage, or of a container of Azure, by obstore.

Its client tries each page again by itself, which cannot be counted: a listing that begins anew after every failure
would never end where many pages fail. obstore takes a web page for an empty listing of Google; TLS keeps such
pages out.
"""

import asyncio
from typing import TYPE_CHECKING

import obstore

from runner.model import Location, StoredObject
from runner.source.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obstore import ObjectMeta

_PAGE = 1000


async def list_cloud(root: str, prefix: str, stores: Stores) -> list[StoredObject]:
    """Every object below a prefix, which ends with a slash or is empty, once.

    Raises the error of a page that could not be had.
    """
    stream = obstore.list(stores.for_listing(Location(root, "")), prefix.rstrip("/") or None, chunk_size=_PAGE)
    objects: dict[str, StoredObject] = {}
    while True:
        stores.counts.requests += 1
        try:
            page: Sequence[ObjectMeta] = await asyncio.wait_for(anext(stream), stores.listing_seconds)
        except StopAsyncIteration:
            return list(objects.values())
        objects.update((item.href, item) for item in (_stored(root, meta) for meta in page))


def _stored(root: str, meta: "ObjectMeta") -> StoredObject:
    return StoredObject(f"{root}/{meta['path']}", meta["size"], meta["e_tag"], meta["last_modified"])
