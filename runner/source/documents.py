"""Small files that are read whole: manifests, STAC catalogs and items; of this machine, of a store or of the web."""

from pathlib import Path
from typing import TYPE_CHECKING

import obstore

from runner.errors import ReadError, SourceError, printable
from runner.read.fetch import retried
from runner.read.services import is_remote
from runner.read.store_errors import LOCAL_HINT, MissingError, explain
from runner.source.stores import Stores

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MOST_BYTES = 2**30


async def read_document(href: str, what: str, stores: Stores) -> bytes:
    """The bytes of a file; `what` it is, for messages. Raises SourceError, or ReadError where a store fails."""
    if not is_remote(href):
        return _read_file(href, what)
    location = stores.locate(href)
    store = stores.of(location)
    try:
        data = await retried(
            lambda: _attempt(store, location.key, href),
            stores.fetch,
            stores.counts,
            lambda error, attempts: explain(error, href, "it", attempts),
        )
    except MissingError as error:
        raise SourceError(f"{printable(href)}: there is no such {what}") from error
    stores.counts.bytes += len(data)
    return data


async def _attempt(store: "ObjectStore", key: str, href: str) -> bytes:
    """The whole body: without a range, which servers that make their answers anew do not honour."""
    answer = await obstore.get_async(store, key)
    if answer.meta["size"] > MOST_BYTES:
        raise ReadError(href, f"{answer.meta['size']} bytes, wanted up to {MOST_BYTES}; is it a table of scenes?")
    return bytes(await answer.bytes_async())


def _read_file(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise SourceError(f"{printable(path)}: there is no such {what}") from error
    except PermissionError as error:
        raise SourceError(f"{printable(path)}: permission denied; {LOCAL_HINT}") from error
    except OSError as error:
        raise SourceError(f"{printable(path)}: it cannot be read: {error.strerror}") from error
