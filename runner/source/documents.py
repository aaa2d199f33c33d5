"""Small files that are read whole: manifests, STAC catalogs and items; of this machine, of a store or of the web."""

import asyncio
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import obstore

from runner.errors import ReadError, SourceError, printable
from runner.model import Location, locate
from runner.read.fetch import retried
from runner.read.refusals import RefusedError, refusal_in
from runner.read.services import is_on_the_web, is_remote
from runner.read.store_errors import LOCAL_HINT, MissingError, explain
from runner.source.http_client import http_session, on_thread, send
from runner.source.stac_login import Login
from runner.source.stores import Stores

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MOST_BYTES = 2**30
_MOST_REDIRECTS = 5


@dataclass(slots=True)
class Documents:
    """Reads documents; connections to web servers are kept for the next."""

    stores: Stores
    login: Login | None = None
    _sessions: dict[str, Any] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    async def read(self, href: str, what: str) -> bytes:
        """The bytes of a file; `what` it is, for messages. Raises SourceError, or ReadError where a store fails."""
        if not is_remote(href):
            return _read_file(href, what)
        stores, location = self.stores, self.stores.locate(href)
        try:
            data = await retried(
                lambda: self._attempt(location, href),
                stores.fetch,
                stores.counts,
                lambda error, attempts: explain(error, href, "the file", attempts),
            )
        except MissingError as error:
            raise SourceError(f"{printable(href)}: there is no such {what}") from error
        if len(data) > MOST_BYTES:
            raise SourceError(f"{printable(href)}: more than {MOST_BYTES} bytes; is it a {what}?")
        stores.counts.bytes += len(data)
        return data

    def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            session.close()

    async def _attempt(self, location: Location, href: str) -> bytes:
        """The whole body, without a range: what is made anew for each request has none."""
        if is_on_the_web(href):
            return await on_thread(lambda: self._from_the_web(location.url))
        return await _from_a_store(self.stores.of(location), location.key, href)

    def _from_the_web(self, url: str) -> bytes:
        """The body of an answer with status 200, redirects followed.

        Not by obstore, which wants to know the length of a body before it has come.
        """
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - of documents of the web alone

        origin = None
        for _ in range(_MOST_REDIRECTS):
            headers = {"Accept-Encoding": "gzip", **(self.login.headers_for(url) if self.login else {})}
            request = AWSRequest("GET", url, headers=headers, stream_output=True).prepare()
            answer, body = send(self._session(url), request, MOST_BYTES, origin)
            if answer.status_code == 200:
                return body
            target = answer.headers.get("Location")
            if not (300 <= answer.status_code < 400 and target):
                break
            origin, url = url, urljoin(url, target)
        raise RefusedError(refusal_in(url, answer.status_code, body.decode(errors="replace")))

    def _session(self, url: str) -> Any:
        root = locate(url).root or ""
        with self._lock:
            if root not in self._sessions:
                self._sessions[root] = http_session(url, self.stores.fetch)
            return self._sessions[root]


def read_document(href: str, what: str, stores: Stores) -> bytes:
    """The bytes of one file. Raises as `Documents.read`."""
    with closing(Documents(stores)) as documents:
        return asyncio.run(documents.read(href, what))


async def _from_a_store(store: "ObjectStore", key: str, href: str) -> bytes:
    answer = await obstore.get_async(store, key)
    if answer.meta["size"] > MOST_BYTES:
        raise ReadError(href, f"{answer.meta['size']} bytes, wanted up to {MOST_BYTES}")
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
