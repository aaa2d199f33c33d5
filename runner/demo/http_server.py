"""A small HTTP/1.1 server: a thread for each connection, which stays open, and bodies that the kernel copies.

It serves readers: a request with a body is answered, and is the last one of its connection. A web framework takes ten
times as long to load, which every run of the demo would pay.
"""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import BinaryIO, Final
from urllib.parse import parse_qsl, unquote

_LONGEST_LINE: Final = 65536  # bytes
_MOST_HEADERS: Final = 100
_MOST_UNUSED: Final = 2**20  # bytes of a request's body that are read, so that its client reads the answer
_WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_ACCEPT_AGAIN_SECONDS: Final = 0.05  # where the process may open no more files


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Names of headers are in lower case; the values of one name are joined by commas."""

    method: str
    target: str  # path and query as they were sent
    headers: Mapping[str, str]
    connection: socket.socket
    is_last: bool = False  # on its connection

    @property
    def path(self) -> str:
        """The path, decoded; a '+' is a plus."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        """The parameters, decoded; the first of each name."""
        return dict(reversed(parse_qsl(self.target.partition("?")[2], keep_blank_values=True)))


@dataclass(slots=True)
class Response:
    """An answer with its body. `is_last` closes the connection after it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_last: bool = False

    @property
    def length(self) -> int:
        """Bytes of the body, as the header announces them."""
        return len(self.body)

    def send_body(self, connection: socket.socket) -> None:
        """Send the body."""
        connection.sendall(self.body)

    def close(self) -> None:
        """Release what the body is read from."""


Handler = Callable[[Request], Response]
Layer = Callable[[Request, Handler], Response]  # around a handler: may refuse a request, or change its answer


def layered(handler: Handler, *layers: Layer) -> Handler:
    """The handler inside of layers, the outermost first."""
    for layer in reversed(layers):
        handler = partial(_through, layer, handler)
    return handler


def _through(layer: Layer, handler: Handler, request: Request) -> Response:
    return layer(request, handler)


class Server:
    """Listens from the start, and answers from `start` to `stop`."""

    def __init__(self, answer: Handler, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=128)
        self._answer = answer
        self._stopping = False
        self._talks: dict[socket.socket, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept, name="http-accept", daemon=True)

    @property
    def url(self) -> str:
        """The endpoint."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Answer requests from now on, in other threads."""
        self._acceptor.start()

    def stop(self) -> None:
        """Close all connections, whatever is under way, and wait for their threads."""
        self._stopping = True
        with suppress(OSError):
            socket.create_connection(self._listener.getsockname()[:2], 1).close()  # wakes the acceptor
        self._acceptor.join()
        self._listener.close()
        for connection, thread in list(self._talks.items()):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                time.sleep(_ACCEPT_AGAIN_SECONDS)
                continue
            if self._stopping:
                connection.close()
                return
            self._talks[connection] = threading.Thread(target=self._talk, args=(connection,), daemon=True)
            self._talks[connection].start()

    def _talk(self, connection: socket.socket) -> None:
        """Answer the requests of a connection, until either side closes it."""
        try:
            with connection, connection.makefile("rb") as lines:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._exchange(connection, lines):
                    pass
        except OSError:  # the client has gone
            pass
        finally:
            self._talks.pop(connection, None)

    def _exchange(self, connection: socket.socket, lines: BinaryIO) -> bool:
        """Read a request and answer it; False if the connection ends."""
        try:
            request = _read_request(connection, lines)
        except ValueError:  # not HTTP
            _send(connection, Response(400, is_last=True), has_body=False)
            return False
        if request is None:
            return False
        response = self._answer(request)
        response.is_last |= request.is_last
        try:
            _send(connection, response, has_body=request.method != "HEAD")
        finally:
            response.close()
        return not response.is_last


def _read_request(connection: socket.socket, lines: BinaryIO) -> Request | None:
    """The next request; None at the end of the connection. Raises ValueError for what is not HTTP/1."""
    first = _line(lines)
    if not first:
        return None
    method, target, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    headers = _read_headers(lines)
    waits = "expect" in headers  # with its body, until it is asked for
    size = int(headers.get("content-length", 0))
    has_body = size > 0 or "transfer-encoding" in headers
    if has_body and not waits:
        lines.read(min(size, _MOST_UNUSED))
    is_last = has_body or waits or version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
    return Request(method, target, headers, connection, is_last)


def _read_headers(lines: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = _line(lines)
        if not line:
            return headers
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(line)
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    raise ValueError("too many headers")


def _line(lines: BinaryIO) -> str:
    line = lines.readline(_LONGEST_LINE)
    if line and not line.endswith(b"\n"):
        raise ValueError("a line without an end")
    return line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def _send(connection: socket.socket, response: Response, *, has_body: bool) -> None:
    headers = {"Date": http_date(time.time()), **response.headers}
    if response.status not in _WITHOUT_BODY:
        headers["Content-Length"] = str(response.length)
    if response.is_last:
        headers["Connection"] = "close"
    status = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"
    lines = [status, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    connection.sendall("\r\n".join(lines).encode("utf-8", "surrogateescape"))
    if has_body and response.status not in _WITHOUT_BODY:
        response.send_body(connection)


def http_date(seconds: float) -> str:
    """A time in seconds since 1970 as headers have it; the names are those of no language but English."""
    moment = time.gmtime(seconds)
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    day, month, clock = days[moment.tm_wday], months[moment.tm_mon - 1], time.strftime("%H:%M:%S", moment)
    return f"{day}, {moment.tm_mday:02} {month} {moment.tm_year} {clock} GMT"
