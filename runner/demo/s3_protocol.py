"""The parts of S3's protocol that are pure decisions: refusals, pages of a listing, byte ranges, signatures.

Source: Amazon S3 API Reference (ListObjectsV2, GetObject, error responses) and AWS Signature Version 4.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote, unquote

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^/,]+)/(\d{8}/[^/]+/s3/aws4_request),\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2
_REPLACEMENT = "\ufffd"
MAX_CLOCK_SKEW = timedelta(minutes=15)


@dataclass(eq=False)  # an exception is itself, not what equals it
class S3Error(Exception):
    """A refusal: the HTTP status, S3's code for it, and headers to go with it."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def xml(self, resource: str, request_id: str) -> str:
        """The body S3 sends with it."""
        parts = (("Code", self.code), ("Message", self.message), ("Resource", resource), ("RequestId", request_id))
        return f"{_XML}<Error>{''.join(_text(*part) for part in parts)}</Error>"


class Credentials(NamedTuple):
    """The one pair of keys a server knows."""

    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The facts of an object in a listing and in headers; `etag` is quoted, `size` in bytes."""

    key: str
    etag: str
    modified: datetime
    size: int


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The parameters of ListObjectsV2, or of the older ListObjects, which GDAL uses.

    `after` is the entry that ended the page before: decoded from version 2's token, or version 1's marker itself.
    """

    version: int
    prefix: str
    delimiter: str
    start_after: str
    token: str
    after: str
    max_keys: int
    url_encoded: bool

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "ListQuery":
        """Read the query string; raises S3Error InvalidArgument."""
        max_keys, encoding = query.get("max-keys") or "1000", query.get("encoding-type")
        if not re.fullmatch(r"\d{1,9}", max_keys):
            raise S3Error(400, "InvalidArgument", "Provided max-keys not an integer or within integer range")
        if encoding not in (None, "", "url"):
            raise S3Error(400, "InvalidArgument", "Invalid Encoding Method specified in Request")
        version = 2 if query.get("list-type") == "2" else 1
        token = query.get("continuation-token" if version == 2 else "marker", "")
        return cls(
            version=version, prefix=query.get("prefix", ""), delimiter=query.get("delimiter", ""),
            start_after=query.get("start-after", ""), token=token, after=_untoken(token) if version == 2 else token,
            max_keys=int(max_keys), url_encoded=encoding == "url",
        )  # fmt: skip

    def entry(self, key: str) -> str:
        """The entry for the key in the listing: itself, or the common prefix that it is rolled up into."""
        return key[: key.index(self.delimiter, len(self.prefix)) + len(self.delimiter)] if self.rolls_up(key) else key

    def rolls_up(self, key: str) -> bool:
        """Tell if the delimiter occurs after the prefix; true of a common prefix too."""
        return bool(self.delimiter) and self.delimiter in key[len(self.prefix) :]


def list_page(
    bucket: str, query: ListQuery, keys: Iterable[str], page_size: int, describe: Callable[[str], ObjectInfo]
) -> str:
    """One page of a listing as XML, from all keys under the prefix in any order."""
    # Python orders text by code point, which is the order of its bytes in UTF-8, which is S3's.
    entries = sorted({query.entry(key) for key in keys if key > query.start_after})
    rest = [entry for entry in entries if entry > query.after]
    page = rest[: min(query.max_keys, page_size)]
    truncated = bool(page) and len(page) < len(rest)
    rolled = [entry for entry in page if query.rolls_up(entry)]
    objects = [describe(entry) for entry in page if not query.rolls_up(entry)]
    return _listing_xml(bucket, query, objects, rolled, page[-1] if truncated else "")


def _listing_xml(
    bucket: str, query: ListQuery, objects: Sequence[ObjectInfo], prefixes: Sequence[str], last: str
) -> str:
    # '%20' and '%2B' rather than S3's '+' and '%2B': the same to every decoder, whatever it thinks of '+'.
    shown = (lambda name: quote(name, safe="/")) if query.url_encoded else str
    if query.version == 2:
        where = {"KeyCount": len(objects) + len(prefixes), "StartAfter": shown(query.start_after)}
        where |= {"ContinuationToken": query.token, "NextContinuationToken": _token(last)}
    else:
        where = {"Marker": shown(query.token), "NextMarker": shown(last)}
    head = {"Name": bucket, "Prefix": shown(query.prefix), "Delimiter": shown(query.delimiter), **where}
    head |= {"MaxKeys": query.max_keys, "EncodingType": "url" if query.url_encoded else ""}
    head |= {"IsTruncated": str(bool(last)).lower()}
    parts = [_text(name, value) for name, value in head.items() if value != "" or name == "Prefix"]
    parts += [f"<Contents>{_contents(item, shown(item.key))}</Contents>" for item in objects]
    parts += [f"<CommonPrefixes>{_text('Prefix', shown(prefix))}</CommonPrefixes>" for prefix in prefixes]
    return f"{_XML}<ListBucketResult{_NAMESPACE}>{''.join(parts)}</ListBucketResult>"


def _contents(item: ObjectInfo, key: str) -> str:
    parts = (
        ("Key", key), ("LastModified", _timestamp(item.modified)), ("ETag", item.etag), ("Size", item.size),
        ("StorageClass", "STANDARD"),
    )  # fmt: skip
    return "".join(_text(*part) for part in parts)


def buckets_xml(created: dict[str, datetime]) -> str:
    """The answer to ListBuckets."""
    items = (
        f"<Bucket>{_text('Name', name)}{_text('CreationDate', _timestamp(time))}</Bucket>"
        for name, time in sorted(created.items())
    )
    return f"{_XML}<ListAllMyBucketsResult{_NAMESPACE}><Buckets>{''.join(items)}</Buckets></ListAllMyBucketsResult>"


def _text(name: str, value: object) -> str:
    return f"<{name}>{_escaped(_NOT_XML.sub(_REPLACEMENT, str(value)))}</{name}>"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # the standard library's loads urllib


def _timestamp(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


def _token(entry: str) -> str:
    return base64.urlsafe_b64encode(entry.encode()).decode()


def _untoken(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise S3Error(400, "InvalidArgument", "The continuation token provided is incorrect") from None


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and number of bytes that a Range header asks of an object of `size` bytes; None for all of it.

    Like S3, ignores what it cannot read and more than one range. Raises S3Error InvalidRange beyond the end.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size:
        message = "The requested range is not satisfiable"
        raise S3Error(416, "InvalidRange", message, {"Content-Range": f"bytes */{size}"})
    return start, stop - start


def check_conditions(headers: Mapping[str, str], etag: str) -> None:
    """Hold If-Match and If-None-Match against the object's ETag; raises S3Error with 412 or 304.

    Names of headers are in lower case, here and below.
    """
    if "if-match" in headers and not _names_etag(headers["if-match"], etag):
        message = "At least one of the pre-conditions you specified did not hold"
        raise S3Error(412, "PreconditionFailed", message)
    if "if-none-match" in headers and _names_etag(headers["if-none-match"], etag):
        raise S3Error(304, "NotModified", "Not Modified", {"ETag": etag})


def _names_etag(header: str, etag: str) -> bool:
    named = {part.strip().removeprefix("W/").strip('"') for part in header.split(",")}
    return bool(named & {"*", etag.strip('"')})


def check_signature(
    method: str, target: str, headers: Mapping[str, str], credentials: Credentials, now: datetime
) -> None:
    """Check the Signature Version 4 in the Authorization header; `target` is path and query as sent.

    Raises S3Error 403: AccessDenied, InvalidAccessKeyId, RequestTimeTooSkewed or SignatureDoesNotMatch.
    """
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if match is None or "host" not in match[3].split(";"):
        raise S3Error(403, "AccessDenied", "Access Denied")
    access_key, scope, signed_headers, signature = match.groups()
    if not hmac.compare_digest(access_key.encode(), credentials.access_key.encode()):
        message = "The AWS Access Key Id you provided does not exist in our records."
        raise S3Error(403, "InvalidAccessKeyId", message)
    stamp = headers.get("x-amz-date", "")
    if not _is_current(stamp, scope, now):
        message = "The difference between the request time and the current time is too large."
        raise S3Error(403, "RequestTimeTooSkewed", message)
    request = _canonical_request(method, target, headers, signed_headers)
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    expected = hmac.new(_signing_key(credentials.secret_key, scope), text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature, expected):
        message = "The request signature we calculated does not match the signature you provided."
        raise S3Error(403, "SignatureDoesNotMatch", message)


def _is_current(stamp: str, scope: str, now: datetime) -> bool:
    try:
        time = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(now - time) <= MAX_CLOCK_SKEW and scope.startswith(stamp[:8])


def _canonical_request(method: str, target: str, headers: Mapping[str, str], signed_headers: str) -> str:
    path, _, query = target.partition("?")
    pairs = sorted((_encoded(name), _encoded(value)) for name, _, value in (p.partition("=") for p in query.split("&")))
    values = {name: headers.get(name, "") for name in signed_headers.split(";")}
    lines = [
        method, quote(unquote(path), safe="/~"), "&".join(f"{name}={value}" for name, value in pairs if name),
        *(f"{name}:{' '.join(value.split())}" for name, value in values.items()), "",
        signed_headers, headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ]  # fmt: skip
    return "\n".join(lines)


def _encoded(sent: str) -> str:
    return quote(unquote(sent), safe="~")


def _signing_key(secret_key: str, scope: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
