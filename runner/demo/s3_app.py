"""A folder of buckets as a handler of requests that speaks the reading half of S3.

Buckets are addressed by path. An ETag is a hash of size and time of modification, not of the content: it changes when
a file is replaced, and costs nothing to know. It ends in '-1' like those of multipart uploads, which are no MD5 either.
"""

import hashlib
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO

from runner.demo.http_server import Handler, Layer, Request, Response, layered
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


class Counters:
    """Requests and answers since the start or the last reset; bytes are those of objects' bodies."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._bytes_sent = 0
        self._lock = threading.Lock()

    def answered(self, request: str, status: int) -> None:
        """Count a request and its answer."""
        with self._lock:
            self._requests[request] += 1
            self._statuses[str(status)] += 1

    def sent(self, count: int) -> None:
        """Count bytes of a body."""
        with self._lock:
            self._bytes_sent += count

    def take(self, *, reset: bool) -> dict[str, object]:
        """The counters for JSON; with `reset` they are zero afterwards."""
        with self._lock:
            counted = {"requests": dict(self._requests), "statuses": dict(self._statuses)}
            taken = {**counted, "bytes_sent": self._bytes_sent}
            if reset:
                self._requests.clear()
                self._statuses.clear()
                self._bytes_sent = 0
        return taken


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


class ObjectBody(Response):
    """Part of an open file as a response, which closes it. Until it is sent, a layer may change offset and length.

    `announced` bytes stand in the header.
    """

    def __init__(self, file: BinaryIO, offset: int, length: int, bandwidth: float | None, counters: Counters) -> None:
        super().__init__(headers={"Content-Type": "binary/octet-stream"})
        self.file, self.offset, self.announced, self.sent_length = file, offset, length, length
        self._bandwidth = bandwidth
        self._counters = counters

    @property
    def length(self) -> int:
        """Bytes as announced."""
        return self.announced

    def send_body(self, connection: socket.socket) -> None:
        """Let the kernel copy from file to socket, no piece before the time its last byte would arrive."""
        rate = self._bandwidth
        piece = PIECE_BYTES if rate is None else max(1, int(rate * PACE_SECONDS))
        begun, sent = time.monotonic(), 0
        while sent < self.sent_length:
            count = min(piece, self.sent_length - sent)
            if rate is not None:
                time.sleep(max(0.0, begun + (sent + count) / rate - time.monotonic()))
            if connection.sendfile(self.file, self.offset + sent, count) < count:
                raise ConnectionAbortedError("the file was cut short")
            sent += count
            self._counters.sent(count)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class S3Server:
    """Answers requests; `answer`, `check` and `delay` are the layers around `respond`, from the outside in."""

    def __init__(self, root: Path, options: ServerOptions) -> None:
        self.buckets = Buckets(root)
        self.options = options
        self.counters = Counters()

    def answer(self, request: Request, handler: Handler) -> Response:
        """Give the request an id, put a refusal in S3's terms, and count."""
        if request.path == STATS_PATH:
            return self.stats(request)
        request_id = os.urandom(8).hex().upper()
        try:
            response = handler(request)
        except S3Error as refusal:
            body = refusal.xml(request.path, request_id)
            response = _xml(body, refusal.status, refusal.headers)
        response.headers["x-amz-request-id"] = request_id
        self.counters.answered(f"{request.method} {operation(request)}", response.status)
        return response

    def check(self, request: Request, handler: Handler) -> Response:
        """Let through what is signed with the server's credentials, or everything where it has none."""
        if self.options.credentials is not None:
            check_signature(
                request.method, request.target, request.headers, self.options.credentials, datetime.now(UTC)
            )
        return handler(request)

    def delay(self, request: Request, handler: Handler) -> Response:
        """Wait for the latency before the first byte of an answer."""
        if self.options.latency_seconds:
            time.sleep(self.options.latency_seconds)
        return handler(request)

    def respond(self, request: Request) -> Response:
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
                return Response()
            case "NotImplemented":
                raise S3Error(501, "NotImplemented", "This server lists buckets and reads objects, nothing else")
        raise S3Error(405, "MethodNotAllowed", "The specified method is not allowed: this server only reads")

    def listing(self, request: Request, bucket: str) -> Response:
        """ListObjects and ListObjectsV2."""
        query = ListQuery.parse(request.query)
        keys = self.buckets.keys(bucket, query.prefix)
        return _xml(list_page(bucket, query, keys, self.options.page_size, lambda key: self.buckets.info(bucket, key)))

    def object(self, request: Request, bucket: str, key: str) -> Response:
        """GetObject and HeadObject."""
        file, info = self.buckets.open(bucket, key)
        try:
            check_conditions(request.headers, info.etag)
            part = byte_range(request.headers.get("range"), info.size)
        except S3Error:
            file.close()
            raise
        offset, length = part or (0, info.size)
        body = ObjectBody(file, offset, length, self.options.bandwidth_bytes_per_second, self.counters)
        if part is not None:
            body.status = 206
            body.headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{info.size}"
        modified = format_datetime(info.modified, usegmt=True)
        body.headers |= {"ETag": info.etag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
        return body

    def stats(self, request: Request) -> Response:
        """The counters as JSON; `?reset=1` sets them to zero afterwards."""
        counted = self.counters.take(reset=request.query.get("reset") == "1")
        return Response(headers={"Content-Type": "application/json"}, body=json.dumps(counted).encode())


def target_of(request: Request) -> tuple[str, str]:
    """Bucket and key of a request."""
    bucket, _, key = request.path.removeprefix("/").partition("/")
    return bucket, key


def operation(request: Request) -> str:
    """S3's name of what is asked for; NotImplemented or NotAllowed for what this server does not do."""
    bucket, key = target_of(request)
    name = OPERATIONS.get((request.method, bool(bucket), bool(key)), "NotAllowed")
    query = request.query
    asked = set(query) - {"x-id"}  # SDKs name the operation in x-id
    if name == "ListObjects" and asked <= LIST_PARAMETERS:
        return "ListObjectsV2" if query.get("list-type") == "2" else name
    return "NotImplemented" if asked and name != "NotAllowed" else name


def _xml(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(status, {"Content-Type": "application/xml", **(headers or {})}, text.encode())


def make_app(root: Path, options: ServerOptions, layers: Sequence[Layer] = ()) -> Handler:
    """The handler of all requests; `layers` see every one of them, and may refuse it or change its answer."""
    server = S3Server(root, options)
    return layered(server.respond, server.answer, *layers, server.delay, server.check)
