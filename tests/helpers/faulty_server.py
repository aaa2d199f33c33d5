"""Our own S3 server with scripted faults: each is a layer around the answer that would have been given.

A script looks at a request for an object and names the fault it meets, or None. It knows the request by its key, its
range and how often that was asked for, not by its place in time; so a seed means the same whatever the threads do.
"""

import hashlib
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from waiting import LONG

from runner.demo.http_server import Handler, Layer, Request, Response, Server
from runner.demo.s3_app import STATS_PATH, Buckets, ObjectBody, ServerOptions, make_app, operation, target_of
from runner.demo.s3_protocol import S3Error

HEADER_STOP = 32768  # where the first request for an object ends; those for its blocks begin later or end earlier


class Asked(NamedTuple):
    """A request for an object: the how-manieth of all, and the how-manieth for just these bytes, from 1 on."""

    key: str
    range: str
    number: int
    attempt: int

    @property
    def header(self) -> bool:
        """Whether it asks for the beginning of a file, as only readers of headers do."""
        return self.range == f"bytes=0-{HEADER_STOP - 1}"


Script = Callable[[Asked], str | None]


# --- scripts ----------------------------------------------------------------------------------------------------


def always(fault: str) -> Script:
    """Every request meets it."""
    return lambda asked: fault


def first(count: int, fault: str) -> Script:
    """So many requests meet it, then none."""
    return lambda asked: fault if asked.number <= count else None


def for_blocks(script: Script) -> Script:
    """What is asked for after the headers meets it."""
    return lambda asked: None if asked.header else script(asked)


def for_key(part: str, script: Script) -> Script:
    """Requests for objects with `part` in their keys meet it."""
    return lambda asked: script(asked) if part in asked.key else None


def some(share: float, *faults: str, seed: int = 1) -> Script:
    """A share of all requests, repeated ones too, meets one of the faults."""

    def script(asked: Asked) -> str | None:
        dice = random.Random(f"{seed} {asked.key} {asked.range} {asked.attempt}")
        return dice.choice(faults) if dice.random() < share else None

    return script


def at_first(share: float, *faults: str, seed: int = 1, most: int = 3) -> Script:
    """A share of all ranges meets some of the faults, from one to `most` of them, and is then answered."""

    def script(asked: Asked) -> str | None:
        dice = random.Random(f"{seed} {asked.key} {asked.range}")
        met = dice.choices(faults, k=dice.randint(1, most)) if dice.random() < share else []
        return met[asked.attempt - 1] if asked.attempt <= len(met) else None

    return script


# --- faults -----------------------------------------------------------------------------------------------------


def refusal(status: int, code: str) -> Layer:
    """An answer with this status, in S3's words."""

    def layer(request: Request, handler: Handler) -> Response:
        raise S3Error(status, code, f"scripted {status}")

    return layer


def reset(request: Request, handler: Handler) -> Response:
    """The connection is reset before an answer."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionResetError("scripted")


def short(request: Request, handler: Handler) -> Response:
    """A 206 whose body is whole by its length, and a byte shorter than its Content-Range."""
    body = _body(request, handler)
    body.sent_length -= 1
    body.announced -= 1
    return body


def cut(request: Request, handler: Handler) -> Response:
    """The connection ends in the middle of the body."""
    body = _body(request, handler)
    body.sent_length //= 2
    body.is_last = True
    return body


def whole(request: Request, handler: Handler) -> Response:
    """Range is ignored: the whole object with 200."""
    headers = {name: value for name, value in request.headers.items() if name != "range"}
    return handler(replace(request, headers=headers))


def html(request: Request, handler: Handler) -> Response:
    """A page for people with 200, as of a portal that wants a login."""
    return Response(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>Please log in</title>")


def silent(request: Request, handler: Handler) -> Response:
    """The header, then nothing."""
    body = _body(request, handler)
    body.close()
    return _Silence(body.status, body.headers, bytes(body.announced))


class _Silence(Response):
    """A response whose body never comes; it ends when the client goes, or with the server."""

    def send_body(self, connection: socket.socket) -> None:
        while connection.recv(4096):
            pass
        raise ConnectionResetError("the client has gone")


def _body(request: Request, handler: Handler) -> ObjectBody:
    body = handler(request)
    assert isinstance(body, ObjectBody)
    return body


FAULTS: dict[str, Layer] = {
    "301": refusal(301, "PermanentRedirect"),
    "400": refusal(400, "InvalidRequest"),
    "expired": refusal(400, "ExpiredToken"),
    "401": refusal(401, "AuthenticationRequired"),
    "403": refusal(403, "AccessDenied"),
    "404": refusal(404, "NoSuchKey"),
    "412": refusal(412, "PreconditionFailed"),
    "429": refusal(429, "TooManyRequests"),
    "500": refusal(500, "InternalError"),
    "503": refusal(503, "SlowDown"),
    "reset": reset,
    "short": short,
    "cut": cut,
    "silent": silent,
    "whole": whole,
    "html": html,
}


def md5_etags(root: Path) -> Layer:
    """Objects have the MD5 of what they are now as ETag, as S3's have after a plain upload, until they are replaced."""
    buckets = Buckets(root)
    keys = [path.relative_to(root) for path in root.rglob("*.tif")]
    ours = [buckets.info(key.parts[0], "/".join(key.parts[1:])).etag.strip('"') for key in keys]
    md5s = [hashlib.md5((root / key).read_bytes()).hexdigest() for key in keys]

    def layer(request: Request, handler: Handler) -> Response:
        headers = dict(request.headers)
        if "if-match" in headers:
            headers["if-match"] = _translated(headers["if-match"], md5s, ours)
        response = handler(replace(request, headers=headers))
        if "ETag" in response.headers:
            response.headers["ETag"] = _translated(response.headers["ETag"], ours, md5s)
        response.body = _translated(response.body.decode(), ours, md5s).encode()
        return response

    return layer


def _translated(text: str, before: list[str], after: list[str]) -> str:
    for old, new in zip(before, after, strict=True):
        text = text.replace(old, new)
    return text


# --- the server -------------------------------------------------------------------------------------------------


@dataclass
class FaultyServer:
    """A server in a thread of its own. `script`, `before`, `gather` and `blocks` may be changed while it runs."""

    script: Script = lambda asked: None
    listing: str | None = None  # what every request for a listing meets
    before: Callable[[Asked], None] = lambda asked: None  # is called before a request for an object is answered
    gather: int = 0  # requests for objects that wait for each other before the first is answered
    blocks: int | None = None  # requests for blocks that are answered; those after them wait
    endpoint: str = ""
    asked: list[Asked] = field(default_factory=list)  # requests for objects, in the order they came
    met: Counter[str] = field(default_factory=Counter)  # how often each fault
    most_at_once: int = 0
    _under_way: int = 0
    _times: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def requests(self) -> int:
        """For objects, so far."""
        return len(self.asked)

    def begin(self, script: Script) -> None:
        """Forget what was asked so far, and go on with another script."""
        self.asked.clear()
        self.met.clear()
        self._times.clear()
        self.script = script

    def bytes_sent(self) -> int:
        """Of objects' bodies, so far."""
        with urlopen(f"{self.endpoint}{STATS_PATH}", timeout=LONG) as answer:
            return int(json.load(answer)["bytes_sent"])

    def layer(self, request: Request, handler: Handler) -> Response:
        """Count a request for an object, and let it meet its fault."""
        if self.listing is not None and operation(request) == "ListObjectsV2":
            return FAULTS[self.listing](request, handler)
        if operation(request) != "GetObject":
            return handler(request)
        self._change_under_way(1)
        try:
            while self.most_at_once < self.gather:
                time.sleep(0.01)
            asked, place = self._note(request)
            while not asked.header and self.blocks is not None and place > self.blocks:
                time.sleep(0.01)
            return self._answer(asked, request, handler)
        finally:
            self._change_under_way(-1)

    def _change_under_way(self, change: int) -> None:
        with self._lock:
            self._under_way += change
            self.most_at_once = max(self.most_at_once, self._under_way)

    def _note(self, request: Request) -> tuple[Asked, int]:
        """The request, and the how-manieth of a block it is."""
        key, part = target_of(request)[1], request.headers.get("range", "")
        with self._lock:
            self._times[key, part] += 1
            asked = Asked(key, part, len(self.asked) + 1, self._times[key, part])
            self.asked.append(asked)
            return asked, sum(not one.header for one in self.asked)

    def _answer(self, asked: Asked, request: Request, handler: Handler) -> Response:
        with self._lock:
            self.before(asked)
            fault = self.script(asked)
            if fault is not None:
                self.met[fault] += 1
        return handler(request) if fault is None else FAULTS[fault](request, handler)


@contextmanager
def faulty_server(root: Path, *outer: Layer) -> Iterator[FaultyServer]:
    """Serve the folder of buckets `root`, without faults until a script is set; `outer` layers see what comes out."""
    faults = FaultyServer()
    server = Server(make_app(root, ServerOptions(), [*outer, faults.layer]))
    faults.endpoint = server.url
    server.start()
    try:
        yield faults
    finally:
        faults.gather, faults.blocks = 0, None
        server.stop()
