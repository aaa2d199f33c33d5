"""A bucket's keys, page by page, over ListObjectsV2; each page is read to its end and held against what was asked.

obstore lists too, but takes an error document that comes with status 200 for the last page, ends at the first key it
could not read, and says which page it is at to nobody.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from runner.model import StoredObject
from runner.read.fetch import retried
from runner.read.refusals import RefusedError, refusal_in
from runner.read.store_errors import BrokenPageError
from runner.source.bucket_walk import Walked, walk
from runner.source.http_client import http_session, on_thread, send
from runner.source.s3_pages import Listing, Page, PageRequest, read_page
from runner.source.stores import Stores, endpoint_of

_MOST_BYTES = 64 * 2**20  # of a page: 1000 keys of 1024 bytes, each of them escaped, are 4 MiB
_MOST_REDIRECTS = 5


async def list_keys(bucket: str, pattern: str, stores: Stores) -> Walked:
    """The objects of a bucket that a glob may name, each once, as `walk` finds them.

    Raises what `retried` raises: the last error of a page that could not be had.
    """
    with _client(stores) as client:
        return await walk(_Bucket(bucket, client), pattern)


@dataclass(frozen=True, slots=True)
class _Bucket:
    """A bucket, as it is walked."""

    name: str
    client: "_Client"

    def flat(self, prefix: str) -> "_Pages":
        """All that lies below a prefix."""
        return _Pages(self.client, PageRequest(self.name, prefix, None))

    def folder(self, prefix: str) -> "_Pages":
        """What lies in one folder."""
        return _Pages(self.client, PageRequest(self.name, prefix, None, in_folder=True))


class _Pages:
    """A listing, page by page."""

    def __init__(self, client: "_Client", first: PageRequest) -> None:
        self.ended = False
        self._client, self._next = client, first
        self._listing = Listing()
        self._tokens: set[str] = set()

    @property
    def objects(self) -> Sequence[StoredObject]:
        """Those of the pages so far, in their order."""
        return list(self._listing.objects.values())

    @property
    def folders(self) -> Sequence[str]:
        """Those of the pages so far."""
        return list(self._listing.folders)

    async def more(self) -> None:
        """Ask for the next page, as often as the settings say. Raises BrokenPageError for pages without an end."""
        token = (await retried(self._attempt, self._client.stores.fetch, self._client.stores.counts)).token
        if token in self._tokens:
            raise BrokenPageError("its pages go round in a circle: a continuation token comes again")
        if token is None:
            self.ended = True
            return
        self._tokens.add(token)
        self._next = self._next._replace(token=token)

    async def _attempt(self) -> Page:
        client = self._client
        request = client.request(self._next.url(client.endpoint))  # signed here: a login may take longer than an answer
        body = await on_thread(lambda: client.get(request))
        client.stores.counts.bytes += len(body)
        return self._listing.add(read_page(body, self._next))


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
            answer, body = send(self.session, request, _MOST_BYTES, origin)
            if len(body) > _MOST_BYTES:
                raise BrokenPageError(f"a page of the listing of more than {_MOST_BYTES} bytes")
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
    endpoint = (endpoint_of(stores.s3) or f"https://s3.{stores.credentials.region}.amazonaws.com").rstrip("/")
    with closing(http_session(endpoint, stores.fetch)) as session:
        yield _Client(session, endpoint, stores)
