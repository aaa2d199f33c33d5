"""A bucket's keys, page by page, over ListObjectsV2; each page is read to its end and held against what was asked.

obstore lists too, but takes an error document that comes with status 200 for the last page, ends at the first key it
could not read, and says which page it is at to nobody.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any
from urllib.parse import urljoin

from runner.errors import SourceError
from runner.model import StoredObject
from runner.read.fetch import retried
from runner.read.network import CONNECT_SECONDS, ca_bundle, proxies_for
from runner.read.refusals import RefusedError, refusal_in
from runner.read.store_errors import UNSENT, BrokenPageError, ConnectionFailedError
from runner.source.s3_pages import Listing, Page, PageRequest, read_page
from runner.source.stores import Stores, endpoint_of

_MOST_BYTES = 64 * 2**20  # of a page: 1000 keys of 1024 bytes, each of them escaped, are 4 MiB
_MOST_REDIRECTS = 5


async def list_keys(bucket: str, prefix: str, stores: Stores) -> list[StoredObject]:
    """Every object of a bucket below a prefix, once, in the order of pages.

    Raises what `retried` raises: the last error of a page that could not be had.
    """
    listing, token = Listing(), None
    tokens: set[str] = set()
    with _client(stores) as client:
        while True:
            token = (await _page(client, PageRequest(bucket, prefix, token), listing)).token
            if token is None:
                return list(listing.objects.values())
            if token in tokens:
                raise BrokenPageError("its pages go round in a circle: a continuation token comes again")
            tokens.add(token)


async def _page(client: "_Client", page: PageRequest, listing: Listing) -> Page:
    stores = client.stores

    async def attempt() -> Page:
        request = client.request(page.url(client.endpoint))  # signed here: a login may take longer than an answer
        body = await _on_thread(lambda: client.get(request))
        stores.counts.bytes += len(body)
        return listing.add(read_page(body, page))

    return await retried(attempt, stores.fetch, stores.counts)


def _on_thread(work: Callable[[], bytes]) -> "asyncio.Future[bytes]":
    """The result of `work`, from a thread that nobody waits for: a server may send a byte now and then for ever."""
    result: Future[bytes] = Future()
    result.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            result.set_exception(error)

    Thread(target=run, name="listing", daemon=True).start()
    return asyncio.wrap_future(result)


# --- requests ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Client:
    """botocore's HTTP client, which signs requests unless the source is read anonymously."""

    session: Any
    endpoint: str
    stores: Stores

    def get(self, request: Any) -> bytes:
        """The body of an answer with status 200.

        Redirects are followed unsigned only: credentials are for the host that they were meant for.
        """
        origin = None
        for _ in range(_MOST_REDIRECTS):
            answer, body = self._send(request, origin)
            status = answer.status_code
            if status == 200:
                return body
            if 200 < status < 300:
                raise BrokenPageError(
                    f"status {status} in place of a page of the listing; check source.s3.endpoint_url and proxies"
                )
            target = answer.headers.get("Location")
            if not (300 <= status < 400 and target and self.stores.s3.anonymous):
                break
            origin = request.url
            request = self.request(urljoin(request.url, target))
        region = answer.headers.get("x-amz-bucket-region")
        raise RefusedError(refusal_in(request.url, status, body.decode(errors="replace"), region))

    def _send(self, request: Any, origin: str | None) -> tuple[Any, bytes]:
        """An answer and its body. Raises ConnectionFailedError."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as AWSRequest
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - as AWSRequest

        try:
            answer = self.session.send(request)
            body: bytes = answer.raw.read(_MOST_BYTES + 1, decode_content=True)
        except (BotoCoreError, HTTPError) as error:
            cause = getattr(error, "kwargs", {}).get("error") or error
            if isinstance(cause, ValueError) and not isinstance(cause, HTTPError):
                raise SourceError(UNSENT) from None
            raise ConnectionFailedError(request.url, cause, origin) from error
        if len(body) > _MOST_BYTES:
            raise BrokenPageError(f"a page of the listing of more than {_MOST_BYTES} bytes")
        return answer, body

    def request(self, url: str) -> Any:
        """A request, signed now. Raises SourceError where there are no credentials."""
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - a tenth of a second that local sources spare

        s3 = self.stores.s3
        headers = {"x-amz-request-payer": "requester"} if s3.requester_pays else {}
        request = AWSRequest("GET", url, headers=headers, stream_output=True)
        if not s3.anonymous:
            from botocore.auth import S3SigV4Auth  # noqa: PLC0415 - anonymous sources spare it

            S3SigV4Auth(self.stores.credentials.keys(), "s3", self.stores.credentials.region).add_auth(request)
        return request.prepare()


@contextmanager
def _client(stores: Stores) -> Iterator[_Client]:
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415 - as AWSRequest

    endpoint = (endpoint_of(stores.s3) or f"https://s3.{stores.credentials.region}.amazonaws.com").rstrip("/")
    timeout = (CONNECT_SECONDS, stores.fetch.timeout_seconds)
    session = URLLib3Session(verify=ca_bundle() or True, proxies=proxies_for(endpoint), timeout=timeout)
    try:
        yield _Client(session, endpoint, stores)
    finally:
        session.close()
