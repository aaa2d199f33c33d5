"""A bucket's keys, page by page, over ListObjectsV2; each page is read to its end and held against what was asked.

obstore lists too, but takes an error document that comes with status 200 for the last page, ends at the first key it
could not read, and says which page it is at to nobody.
Source: Amazon S3 API Reference, ListObjectsV2.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus, urljoin
from xml.etree import ElementTree

from runner.model import StoredObject
from runner.read.fetch import retried
from runner.read.network import CONNECT_SECONDS, ca_bundle, proxies_for
from runner.read.refusals import RefusedError, refusal_in
from runner.read.store_errors import BrokenPageError, ConnectionFailedError, ForeignPageError
from runner.source.stores import Stores, endpoint_of

_MOST_BYTES = 64 * 2**20  # of a page: 1000 keys of 1024 bytes, each of them escaped, are 4 MiB
_MOST_REDIRECTS = 5


class Page(NamedTuple):
    """The objects of one page, and the token that the next one is asked for with; None after the last."""

    objects: list[StoredObject]
    token: str | None


async def list_keys(bucket: str, prefix: str, stores: Stores) -> list[StoredObject]:
    """Every object of a bucket below a prefix, once, in the order of pages.

    Raises what `retried` raises: the last error of a page that could not be had.
    """
    found: dict[str, StoredObject] = {}
    async for page in _pages(bucket, prefix, stores):
        found.update((item.href, item) for item in page.objects)
    return list(found.values())


async def _pages(bucket: str, prefix: str, stores: Stores) -> AsyncIterator[Page]:
    token: str | None = None
    seen: set[str] = set()
    with _client(stores) as client:
        while True:
            page = await _page(client, _Asked(bucket, prefix, token), stores)
            yield page
            if page.token is None:
                return
            if page.token in seen:
                raise BrokenPageError("its pages go round in a circle: a continuation token comes again")
            seen.add(token := page.token)


async def _page(client: "_Client", asked: "_Asked", stores: Stores) -> Page:
    async def attempt() -> Page:
        body = client.get(asked.url(client.endpoint))  # nothing else runs meanwhile, and a signal ends it at once
        stores.counts.bytes += len(body)
        return read_page(body, asked)

    return await retried(attempt, stores.fetch, stores.counts)


class _Asked(NamedTuple):
    """The page of a listing that is asked for."""

    bucket: str
    prefix: str
    token: str | None

    def url(self, endpoint: str) -> str:
        """The request, with its query in the order that signatures want."""
        query = {"encoding-type": "url", "list-type": "2", "prefix": self.prefix}
        if self.token is not None:
            query["continuation-token"] = self.token
        pairs = (f"{name}={quote(text, safe='')}" for name, text in sorted(query.items()))
        return f"{endpoint}/{quote(self.bucket, safe='')}?{'&'.join(pairs)}"


# --- pages ------------------------------------------------------------------------------------------------------


def read_page(body: bytes, asked: _Asked) -> Page:
    """A page of XML. Raises BrokenPageError for what is not the whole page that was asked for, RefusedError for an
    error document.
    """
    root = _parsed(body)
    kind = root.tag.rpartition("}")[2]
    if kind == "Error":
        raise RefusedError(refusal_in("", 200, body.decode(errors="replace")))
    if kind != "ListBucketResult":
        raise ForeignPageError(f"a <{kind}> document in place of a page of the listing; check source.s3.endpoint_url")
    cut = len(root.tag) - len(kind)  # the namespace, which servers write in several ways
    said = {node.tag[cut:]: node.text or "" for node in root if len(node) == 0}
    contents = [{part.tag[cut:]: part.text or "" for part in node} for node in root if node.tag[cut:] == "Contents"]
    _check(said, len(contents), asked)
    plain = unquote_plus if said.get("EncodingType") == "url" else str  # '+' is a blank, as botocore has it
    return Page([_object(parts, asked.bucket, plain) for parts in contents], _token(said))


def _parsed(body: bytes) -> ElementTree.Element:
    start = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html")):
        raise ForeignPageError("a web page in place of a page of the listing; check source.s3.endpoint_url")
    if b"<!doctype" in start or b"<!entity" in start:
        raise BrokenPageError("a page of the listing that defines entities, which S3 never does")
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - without entities of its own there is nothing to expand
    except ElementTree.ParseError as error:
        raise BrokenPageError(f"a page of the listing that is not whole ({error}); try later") from error


def _check(said: dict[str, str], objects: int, asked: _Asked) -> None:
    """Hold what a page says of itself against what was asked. Servers need not repeat token and count."""
    if said.get("IsTruncated") not in ("true", "false"):
        raise BrokenPageError("a page of the listing that does not say whether it is the last (IsTruncated)")
    echoed = said.get("ContinuationToken")
    if echoed and echoed != (asked.token or ""):
        raise BrokenPageError("another page of the listing than was asked for (ContinuationToken); try later")
    if said.get("KeyCount", "").isdigit() and int(said["KeyCount"]) != objects:
        raise BrokenPageError(f"a page of the listing with {objects} keys that counts {said['KeyCount']}; try later")


def _token(said: dict[str, str]) -> str | None:
    if said["IsTruncated"] == "false":
        return None
    token = said.get("NextContinuationToken")
    if not token:
        raise BrokenPageError("a page of the listing without the token for the next (NextContinuationToken)")
    return token


def _object(parts: dict[str, str], bucket: str, plain: Callable[[str], str]) -> StoredObject:
    key, size = plain(parts.get("Key", "")), parts.get("Size", "").strip()
    if not key or not size.isdigit():
        raise BrokenPageError("a page of the listing with an object that has no key or no size; try later")
    return StoredObject(f"s3://{bucket}/{key}", int(size), parts.get("ETag") or None, _time(parts))


def _time(parts: dict[str, str]) -> datetime | None:
    try:
        return datetime.fromisoformat(parts.get("LastModified", ""))
    except ValueError:
        return None


# --- requests ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Client:
    """botocore's HTTP client, which signs requests unless the source is read anonymously."""

    session: Any
    endpoint: str
    stores: Stores

    def get(self, url: str) -> bytes:
        """The body of an answer with status 200.

        Redirects are followed unsigned only: credentials are for the host that they were meant for.
        """
        for _ in range(_MOST_REDIRECTS):
            answer, body = self._send(url)
            if answer.status_code == 200:
                return body
            target = answer.headers.get("Location")
            if not (300 <= answer.status_code < 400 and target and self.stores.s3.anonymous):
                break
            url = urljoin(url, target)
        region = answer.headers.get("x-amz-bucket-region")
        raise RefusedError(refusal_in(url, answer.status_code, body.decode(errors="replace"), region))

    def _send(self, url: str) -> tuple[Any, bytes]:
        """An answer and its body. Raises ConnectionFailedError."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as AWSRequest
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - as AWSRequest

        try:
            answer = self.session.send(self._request(url))
            body: bytes = answer.raw.read(_MOST_BYTES + 1, decode_content=True)
        except (BotoCoreError, HTTPError) as error:
            raise ConnectionFailedError(url, getattr(error, "kwargs", {}).get("error") or error) from error
        if len(body) > _MOST_BYTES:
            raise BrokenPageError(f"a page of the listing of more than {_MOST_BYTES} bytes")
        return answer, body

    def _request(self, url: str) -> Any:
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - a tenth of a second that local sources spare

        s3 = self.stores.s3
        headers = {"x-amz-request-payer": "requester"} if s3.requester_pays else {}
        request = AWSRequest("GET", url, headers=headers, stream_output=True)
        if not s3.anonymous:
            from botocore.auth import S3SigV4Auth  # noqa: PLC0415 - anonymous sources spare it

            S3SigV4Auth(self.stores.keys(), "s3", self.stores.region).add_auth(request)
        return request.prepare()


@contextmanager
def _client(stores: Stores) -> Iterator[_Client]:
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415 - as AWSRequest

    endpoint = (endpoint_of(stores.s3) or f"https://s3.{stores.region}.amazonaws.com").rstrip("/")
    timeout = (CONNECT_SECONDS, stores.fetch.timeout_seconds)
    session = URLLib3Session(verify=ca_bundle() or True, proxies=proxies_for(endpoint), timeout=timeout)
    try:
        yield _Client(session, endpoint, stores)
    finally:
        session.close()
