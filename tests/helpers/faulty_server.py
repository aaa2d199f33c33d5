"""Our own S3 server with scripted faults: each is a layer around the answer that would have been given.

A script looks at a request for an object and names the fault it meets, or None. It knows the request by its key, its
range and how often that was asked for, not by its place in time; so a seed means the same whatever the threads do.
"""

import asyncio
import hashlib
import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.typedefs import Handler, Middleware
from waiting import LONG

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
Layer = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


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

    async def layer(request: web.Request, handler: Handler) -> web.StreamResponse:
        raise S3Error(status, code, f"scripted {status}")

    return layer


async def reset(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The connection is reset before an answer."""
    assert request.transport is not None
    connection: socket.socket = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
    return web.Response()


async def short(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A 206 whose body is whole by its length, and a byte shorter than its Content-Range."""
    body = await _body(request, handler)
    body.length -= 1
    body.content_length = body.length
    return body


async def cut(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The connection ends in the middle of the body."""
    body = await _body(request, handler)
    body.length //= 2
    body.force_close()
    return body


async def whole(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Range is ignored: the whole object with 200."""
    headers = request.headers.copy()
    headers.popall("Range", None)
    return await handler(request.clone(headers=headers))


async def html(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A page for people with 200, as of a portal that wants a login."""
    return web.Response(text="<!DOCTYPE html><title>Please log in</title>", content_type="text/html")


async def silent(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The header, then nothing."""
    body = await _body(request, handler)
    body.file.close()
    answer = _Silence(status=body.status, headers=body.headers)
    answer.content_length = body.length
    return answer


class _Silence(web.StreamResponse):
    """A response whose body never comes; it ends when the client goes, or with the server."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        writer = await super().prepare(request)
        while request.transport is not None:
            await asyncio.sleep(0.02)
        return writer


async def _body(request: web.Request, handler: Handler) -> ObjectBody:
    body = await handler(request)
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


def md5_etags(root: Path) -> Middleware:
    """Objects have the MD5 of what they are now as ETag, as S3's have after a plain upload, until they are replaced."""
    buckets = Buckets(root)
    keys = [path.relative_to(root) for path in root.rglob("*.tif")]
    ours = [buckets.info(key.parts[0], "/".join(key.parts[1:])).etag.strip('"') for key in keys]
    md5s = [hashlib.md5((root / key).read_bytes()).hexdigest() for key in keys]

    @web.middleware
    async def layer(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers.copy()
        if "If-Match" in headers:
            headers["If-Match"] = _translated(headers["If-Match"], md5s, ours)
        response = await handler(request.clone(headers=headers))
        if "ETag" in response.headers:
            response.headers["ETag"] = _translated(response.headers["ETag"], ours, md5s)
        if isinstance(response, web.Response) and response.text:
            response.text = _translated(response.text, ours, md5s)
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

    @web.middleware
    async def layer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count a request for an object, and let it meet its fault."""
        if self.listing is not None and operation(request) == "ListObjectsV2":
            return await FAULTS[self.listing](request, handler)
        if operation(request) != "GetObject":
            return await handler(request)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            while self.most_at_once < self.gather:
                await asyncio.sleep(0.01)
            asked = self._note(request)
            place = sum(not one.header for one in self.asked)
            while not asked.header and self.blocks is not None and place > self.blocks:
                await asyncio.sleep(0.01)
            return await self._answer(asked, request, handler)
        finally:
            self._under_way -= 1

    def _note(self, request: web.Request) -> Asked:
        key, part = target_of(request)[1], request.headers.get("Range", "")
        self._times[key, part] += 1
        self.asked.append(Asked(key, part, len(self.asked) + 1, self._times[key, part]))
        return self.asked[-1]

    async def _answer(self, asked: Asked, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.before(asked)
        fault = self.script(asked)
        if fault is None:
            return await handler(request)
        self.met[fault] += 1
        return await FAULTS[fault](request, handler)


def is_open(connection: asyncio.Transport) -> bool:
    return connection.get_extra_info("socket").fileno() != -1


@contextmanager
def faulty_server(root: Path, *outer: Middleware) -> Iterator[FaultyServer]:
    """Serve the folder of buckets `root`, without faults until a script is set; `outer` layers see what comes out."""
    server, ready, stop = FaultyServer(), threading.Event(), threading.Event()

    async def run() -> None:
        layers = [*outer, server.layer]
        app = web.AppRunner(make_app(root, ServerOptions(), layers), access_log=None, shutdown_timeout=0.01)
        await app.setup()
        site = web.TCPSite(app, "127.0.0.1", 0)
        await site.start()
        server.endpoint = f"http://127.0.0.1:{app.addresses[0][1]}"
        ready.set()
        await asyncio.to_thread(stop.wait)
        await site.stop()
        assert app.server is not None
        connections = [handler.transport for handler in app.server.connections if handler.transport is not None]
        for connection in connections:  # those too where a client left without reading all of an answer
            connection.abort()
        await app.cleanup()
        while any(is_open(connection) for connection in connections):  # else a later test is blamed for them
            await asyncio.sleep(0)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, run())
        try:
            assert ready.wait(LONG)
            yield server
        finally:
            stop.set()
            running.result(LONG)
