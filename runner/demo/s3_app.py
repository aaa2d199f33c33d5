"""A folder of buckets as an aiohttp application that speaks the reading half of S3.

Buckets are addressed by path. An ETag is a hash of size and time of modification, not of the content: it changes when
a file is replaced, and costs nothing to know. It ends in '-1' like those of multipart uploads, which are no MD5 either.
"""

import asyncio
import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.typedefs import Handler, Middleware

from runner.demo.s3_protocol import (
    Credentials,
    ListQuery,
    ObjectInfo,
    S3Error,
    buckets_xml,
    byte_range,
    check_conditions,
    check_signature,
    list_page,
)

STATS_PATH = "/_stats"  # no bucket's name can begin with an underscore
PIECE_BYTES = 4 * 2**20
PACE_SECONDS = 0.01  # bodies of limited bandwidth are sent in pieces this long

OPERATIONS = {  # by method, and whether the path has a bucket and a key
    ("GET", False, False): "ListBuckets",
    ("HEAD", True, False): "HeadBucket",
    ("GET", True, False): "ListObjects",
    ("GET", True, True): "GetObject",
    ("HEAD", True, True): "HeadObject",
}
LIST_PARAMETERS = {
    "list-type", "prefix", "delimiter", "max-keys", "encoding-type", "marker", "start-after", "continuation-token",
    "fetch-owner",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The behaviour of a server; the bandwidth is that of each connection."""

    latency_seconds: float = 0.0
    bandwidth_bytes_per_second: float | None = None
    page_size: int = 1000
    credentials: Credentials | None = None


@dataclass(slots=True)
class Counters:
    """Requests and answers since the start or the last reset; bytes are those of objects' bodies."""

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0

    def as_dict(self) -> dict[str, object]:
        """The counters for JSON."""
        return {"requests": dict(self.requests), "statuses": dict(self.statuses), "bytes_sent": self.bytes_sent}

    def reset(self) -> None:
        """Set them to zero in place: bodies under way hold on to them."""
        self.requests.clear()
        self.statuses.clear()
        self.bytes_sent = 0


class Buckets:
    """The files below a root as buckets and keys; nothing outside the root is seen, symbolic links included."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve(strict=True)

    def names(self) -> dict[str, datetime]:
        """The buckets, each with the time of its last change."""
        return {path.name: _time(path.stat()) for path in self.root.iterdir() if path.is_dir() and self._holds(path)}

    def folder(self, bucket: str) -> Path:
        """A bucket's folder; raises S3Error NoSuchBucket."""
        folder = self.root / bucket
        if not _is_plain(bucket) or not folder.is_dir() or not self._holds(folder):
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist")
        return folder

    def open(self, bucket: str, key: str) -> tuple[BinaryIO, ObjectInfo]:
        """An object's open file, and what there is to say about it; raises S3Error NoSuchKey."""
        path = self.folder(bucket) / key
        # os.path.isfile is False where Path.is_file raises, as for a name that is too long.
        if not _is_plain(key) or not os.path.isfile(path) or not self._holds(path):  # noqa: PTH113
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        file = path.open("rb", buffering=0)
        return file, _object_info(key, os.fstat(file.fileno()))

    def info(self, bucket: str, key: str) -> ObjectInfo:
        """The entry of a listing for one of its keys."""
        return _object_info(key, (self.root / bucket / key).stat())

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys that begin with a prefix, in no order; symbolic links to folders are not followed."""
        folder = self.folder(bucket)
        start = prefix.rpartition("/")[0]
        if start and not (_is_plain(start) and self._holds(folder / start)):
            return
        for parent, _, names in os.walk(folder / start):
            for path in map(Path(parent).joinpath, names):
                key = path.relative_to(folder).as_posix()
                outside = path.is_symlink() and not self._holds(path)
                if key.startswith(prefix) and _is_plain(key) and path.is_file() and not outside:
                    yield key

    def _holds(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root)


def _is_plain(key: str) -> bool:
    """Tell if a path names the same thing as a key does: no empty or dotted parts, and characters that UTF-8 has."""
    is_text = key.encode(errors="ignore").decode() == key
    return is_text and "\0" not in key and not {"", ".", ".."} & set(key.split("/"))


def _object_info(key: str, state: os.stat_result) -> ObjectInfo:
    digest = hashlib.md5(f"{state.st_size} {state.st_mtime_ns}".encode(), usedforsecurity=False).hexdigest()
    return ObjectInfo(key, f'"{digest}-1"', _time(state), state.st_size)


def _time(state: os.stat_result) -> datetime:
    return datetime.fromtimestamp(state.st_mtime, UTC)


class ObjectBody(web.StreamResponse):
    """Part of an open file as a response, which closes it. Until it is sent, a layer may change offset and length."""

    def __init__(self, file: BinaryIO, offset: int, length: int, bandwidth: float | None, counters: Counters) -> None:
        super().__init__()
        self.file, self.offset, self.length = file, offset, length
        self.content_length = length
        self._bandwidth = bandwidth
        self._counters = counters

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers and, if more was asked for, the body."""
        with self.file:
            writer = await super().prepare(request)
            if request.method != "HEAD":
                await self._send(request)
            return writer

    async def _send(self, request: web.BaseRequest) -> None:
        """Let the kernel copy from file to socket, no piece before the time its last byte would arrive."""
        loop = asyncio.get_running_loop()
        rate = self._bandwidth
        piece = PIECE_BYTES if rate is None else max(1, int(rate * PACE_SECONDS))
        begun, sent = loop.time(), 0
        while sent < self.length:
            count = min(piece, self.length - sent)
            if rate is not None:
                await asyncio.sleep(begun + (sent + count) / rate - loop.time())
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError("the client has gone")
            await loop.sendfile(request.transport, self.file, self.offset + sent, count)
            sent += count
            self._counters.bytes_sent += count


class S3Server:
    """Answers requests; `answer`, `check` and `delay` are the layers around `respond`, from the outside in."""

    def __init__(self, root: Path, options: ServerOptions) -> None:
        self.buckets = Buckets(root)
        self.options = options
        self.counters = Counters()

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give the request an id, put a refusal in S3's terms, and count."""
        if request.path == STATS_PATH:
            return self.stats(request)
        request_id = secrets.token_hex(8).upper()
        response: web.StreamResponse
        try:
            response = await handler(request)
        except S3Error as refusal:
            body = refusal.xml(request.path, request_id)
            response = _xml(body, refusal.status, refusal.headers)
        response.headers["x-amz-request-id"] = request_id
        self.counters.requests[f"{request.method} {operation(request)}"] += 1
        self.counters.statuses[str(response.status)] += 1
        return response

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let through what is signed with the server's credentials, or everything where it has none."""
        if self.options.credentials is not None:
            check_signature(
                request.method, request.raw_path, request.headers, self.options.credentials, datetime.now(UTC)
            )
        return await handler(request)

    @web.middleware
    async def delay(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Wait for the latency before the first byte of an answer."""
        await asyncio.sleep(self.options.latency_seconds)
        return await handler(request)

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Carry out the operation; raises S3Error."""
        bucket, key = target_of(request)
        match operation(request):
            case "GetObject" | "HeadObject":
                return self.object(request, bucket, key)
            case "ListObjects" | "ListObjectsV2":
                return self.listing(request, bucket)
            case "ListBuckets":
                return _xml(buckets_xml(self.buckets.names()))
            case "HeadBucket":
                self.buckets.folder(bucket)
                return web.Response()
            case "NotImplemented":
                raise S3Error(501, "NotImplemented", "This server lists buckets and reads objects, nothing else")
        raise S3Error(405, "MethodNotAllowed", "The specified method is not allowed: this server only reads")

    def listing(self, request: web.Request, bucket: str) -> web.Response:
        """ListObjects and ListObjectsV2."""
        query = ListQuery.parse(request.query)
        keys = self.buckets.keys(bucket, query.prefix)
        return _xml(list_page(bucket, query, keys, self.options.page_size, lambda key: self.buckets.info(bucket, key)))

    def object(self, request: web.Request, bucket: str, key: str) -> web.StreamResponse:
        """GetObject and HeadObject."""
        file, info = self.buckets.open(bucket, key)
        try:
            check_conditions(request.headers, info.etag)
            part = byte_range(request.headers.get("Range"), info.size)
        except S3Error:
            file.close()
            raise
        offset, length = part or (0, info.size)
        body = ObjectBody(file, offset, length, self.options.bandwidth_bytes_per_second, self.counters)
        if part is not None:
            body.set_status(206)
            body.headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{info.size}"
        modified = format_datetime(info.modified, usegmt=True)
        body.headers.update({"ETag": info.etag, "Last-Modified": modified, "Accept-Ranges": "bytes"})
        body.content_type = "binary/octet-stream"
        return body

    def stats(self, request: web.Request) -> web.Response:
        """The counters as JSON; `?reset=1` sets them to zero afterwards."""
        counted = self.counters.as_dict()
        if request.query.get("reset") == "1":
            self.counters.reset()
        return web.json_response(counted)


def target_of(request: web.BaseRequest) -> tuple[str, str]:
    """Bucket and key of a request; a '+' in a path is a plus."""
    bucket, _, key = unquote(request.raw_path.partition("?")[0]).removeprefix("/").partition("/")
    return bucket, key


def operation(request: web.BaseRequest) -> str:
    """S3's name of what is asked for; NotImplemented or NotAllowed for what this server does not do."""
    bucket, key = target_of(request)
    name = OPERATIONS.get((request.method, bool(bucket), bool(key)), "NotAllowed")
    asked = set(request.query) - {"x-id"}  # SDKs name the operation in x-id
    if name == "ListObjects" and asked <= LIST_PARAMETERS:
        return "ListObjectsV2" if request.query.get("list-type") == "2" else name
    return "NotImplemented" if asked and name != "NotAllowed" else name


def _xml(text: str, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=text, status=status, headers=headers, content_type="application/xml")


def make_app(root: Path, options: ServerOptions, layers: Sequence[Middleware] = ()) -> web.Application:
    """The application; `layers` stand where they see every request and may refuse it or change its answer."""
    server = S3Server(root, options)
    app = web.Application(middlewares=[server.answer, *layers, server.delay, server.check])
    app.router.add_route("*", "/{target:.*}", server.respond)
    return app
