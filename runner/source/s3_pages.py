"""Pages of ListObjectsV2: how one is asked for, read, and held against what was asked and what came before.

Source: Amazon S3 API Reference, ListObjectsV2.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree

from runner.model import StoredObject, locate
from runner.read.refusals import RefusedError, refusal_in
from runner.read.store_errors import BrokenPageError, ForeignPageError

_MOST_EMPTY: Final = 100  # pages in a row; a store that hides deleted objects sends some
_ILLEGAL: Final = re.compile(rb"&#(?:x0*([0-9a-f]{1,4})|0*([0-9]{1,5}));|[\x00-\x08\x0b\x0c\x0e-\x1f]", re.IGNORECASE)
_PLANE: Final = 0xF0000  # of private use, in which characters that XML forbids pass a parser


class Page(NamedTuple):
    """The objects of one page, and the token that the next one is asked for with; None after the last.

    `folders` are prefixes that end with a slash, of a listing of one folder.
    """

    objects: list[StoredObject]
    token: str | None
    folders: Sequence[str] = ()


class PageRequest(NamedTuple):
    """The page of a listing that is asked for."""

    bucket: str
    prefix: str
    token: str | None
    in_folder: bool = False  # without what lies in the folders below

    def url(self, endpoint: str) -> str:
        """The request, with its query in the order that signatures want."""
        query = {"encoding-type": "url", "list-type": "2", "prefix": self.prefix}
        if self.in_folder:
            query["delimiter"] = "/"
        if self.token is not None:
            query["continuation-token"] = self.token
        pairs = (f"{name}={quote(text, safe='')}" for name, text in sorted(query.items()))
        return f"{endpoint}/{quote(self.bucket, safe='')}?{'&'.join(pairs)}"


@dataclass(slots=True)
class Listing:
    """The objects of the pages so far by href, and the folders."""

    objects: dict[str, StoredObject] = field(default_factory=dict)
    folders: dict[str, None] = field(default_factory=dict)
    last: str = ""
    ordered: bool = True  # as S3 does it, by the bytes of keys; directory buckets have no order
    empty: int = 0  # pages in a row

    def add(self, page: Page) -> Page:
        """Take a page that goes on where the last one ended. Raises BrokenPageError for another."""
        keys = [locate(item.href).key for item in page.objects]
        ordered = self.ordered and all([*names] == sorted(names) for names in (keys, page.folders))
        names = sorted([*keys, *page.folders]) if page.folders else keys  # a page has them apart
        old = sum(item.href in self.objects for item in page.objects) + sum(
            map(self.folders.__contains__, page.folders)
        )
        if names and (old == len(names) or (ordered and not _follows(names[0], self.last))):
            raise BrokenPageError("a page of the listing whose keys do not follow those of the page before; try later")
        self.empty = 0 if names else self.empty + 1
        if self.empty > _MOST_EMPTY:
            raise BrokenPageError(f"more than {_MOST_EMPTY} pages of the listing in a row without a key; try later")
        self.objects.update((item.href, item) for item in page.objects)
        self.folders.update(dict.fromkeys(page.folders))
        self.last, self.ordered = (names or [self.last])[-1], ordered
        return page


def _follows(key: str, last: str) -> bool:
    """Tell if a key may come after another, on servers too that order without regard to case."""
    return key > last or key.casefold() > last.casefold()


def read_page(body: bytes, request: PageRequest) -> Page:
    """A page of XML. Raises BrokenPageError for what is not the whole page that was asked for, RefusedError for an
    error document.
    """
    root = _parsed(body)
    kind = root.tag.rpartition("}")[2]
    if kind == "Error":
        raise RefusedError(refusal_in("", 200, body.decode(errors="replace")))
    if kind != "ListBucketResult":
        raise ForeignPageError(f"a <{kind}> document in place of a page of the listing; check source.s3.endpoint_url")
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]  # without the namespace, which servers write in several ways
    fields = {node.tag: node.text or "" for node in root if len(node) == 0}
    contents = [{part.tag: part.text or "" for part in node} for node in root if node.tag == "Contents"]
    rolled = [node.findtext("Prefix") or "" for node in root if node.tag == "CommonPrefixes"]
    plain = unquote_plus if fields.get("EncodingType") == "url" else str  # '+' is a blank, as botocore has it
    _check(fields, len(contents), len(rolled), request)
    _check_place(fields, request, plain)
    objects = [_object(parts, request.bucket, plain) for parts in contents]
    return Page(objects, _token(fields), list(map(plain, rolled)))


def _parsed(body: bytes) -> ElementTree.Element:
    start = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html")):
        raise ForeignPageError("a web page in place of a page of the listing; check source.s3.endpoint_url")
    if b"<!doctype" in start or b"<!entity" in start:
        raise BrokenPageError("a page of the listing that defines entities, which S3 never does")
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - without entities of its own there is nothing to expand
    except ElementTree.ParseError as error:
        lenient = _ILLEGAL.sub(_private, body)
        if lenient == body:
            raise BrokenPageError(f"a page of the listing that is not whole ({error}); try later") from error
        return _restored(lenient)


def _private(match: re.Match[bytes]) -> bytes:
    """A character that XML forbids, as one that it allows; others as they are."""
    code = int(match[1], 16) if match[1] else int(match[2]) if match[2] else match[0][0]
    forbidden = (code < 0x20 and code not in (9, 10, 13)) or code in (0xFFFE, 0xFFFF)
    return b"&#%d;" % (_PLANE + code) if forbidden else match[0]


def _restored(body: bytes) -> ElementTree.Element:
    """The page with the characters that XML forbids, which stand in some keys."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - as in _parsed
    except ElementTree.ParseError as error:
        raise BrokenPageError(f"a page of the listing that is not whole ({error}); try later") from error
    for node in root.iter():
        node.text = re.sub(r"[\U000f0000-\U000fffff]", lambda match: chr(ord(match[0]) - _PLANE), node.text or "")
    return root


def _check(fields: dict[str, str], objects: int, folders: int, request: PageRequest) -> None:
    """Hold what a page says of itself against what was asked. Servers need not repeat token and count."""
    if fields.get("IsTruncated") not in ("true", "false"):
        raise BrokenPageError("a page of the listing that does not say whether it is the last (IsTruncated)")
    echoed = fields.get("ContinuationToken")
    if echoed and echoed != (request.token or ""):
        raise BrokenPageError("another page of the listing than was asked for (ContinuationToken); try later")
    counted = fields.get("KeyCount", "")
    if counted.isdigit() and int(counted) not in (objects, objects + folders):  # some servers count no folders
        raise BrokenPageError(f"a page of the listing with {objects + folders} keys that counts {counted}; try later")


def _check_place(fields: dict[str, str], request: PageRequest, plain: Callable[[str], str]) -> None:
    """Refuse a page of another bucket or prefix, as a cache may send it; an access point has another name."""
    name, prefix = fields.get("Name"), fields.get("Prefix")
    if name and name != request.bucket and not request.bucket.endswith("-s3alias") and ":" not in request.bucket:
        raise BrokenPageError(f"a page of the listing of another bucket ({name}); check source.s3.endpoint_url")
    if prefix and request.prefix not in (prefix, plain(prefix)):
        raise BrokenPageError(f"a page of the listing of another prefix ({prefix}); check source.s3.endpoint_url")


def _token(fields: dict[str, str]) -> str | None:
    if fields["IsTruncated"] == "false":
        return None
    token = fields.get("NextContinuationToken")
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
