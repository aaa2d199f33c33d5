"""Requests and responses over the HTTP server of the standard library, with bodies that the kernel copies.

A connection has a thread and stays open. A web framework takes five times as long to load, which every run of the demo
would pay.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

_MOST_UNUSED: Final = 2**20  # bytes of a request's body that are read, so that its client reads the answer
_WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_STOP_SECONDS: Final = 0.05  # between looks for an order to stop


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Names of headers are in lower case; the values of one name are joined by commas."""

    method: str
    target: str  # path and query as they were sent
    headers: Mapping[str, str]
    connection: socket.socket

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


class Server(ThreadingTCPServer):
    """Listens from the start, and answers from `start` to `stop`."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, answer: Handler, host: str = "127.0.0.1", port: int = 0) -> None:
        self.answer = answer
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._connections: set[Any] = set()
        super().__init__((host, port), _Exchange)
        self._acceptor = threading.Thread(target=self.serve_forever, args=(_STOP_SECONDS,), name="http", daemon=True)

    @property
    def url(self) -> str:
        """The endpoint."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Answer requests from now on, in other threads."""
        self._acceptor.start()

    def stop(self) -> None:
        """Close all connections, whatever is under way, and wait for their threads."""
        self.shutdown()
        self._acceptor.join()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._connections.discard(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over an error of a connection: the client has gone."""


class _Exchange(BaseHTTPRequestHandler, BaseRequestHandler):
    """The requests of one connection, each with its response."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def answer(self) -> None:
        """Answer a request. One that has a body is the last of its connection."""
        size = int(self.headers.get("content-length", 0))
        self.rfile.read(min(size, _MOST_UNUSED))
        self.close_connection |= size > 0 or "transfer-encoding" in self.headers
        headers = {name.lower(): ",".join(map(str.strip, self.headers.get_all(name, []))) for name in self.headers}
        target = self.requestline.split(" ")[1]  # `path` has lost a slash of two
        response = self.server.answer(Request(self.command, target, headers, self.connection))
        try:
            self._send(response)
        finally:
            response.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_PATCH = answer  # noqa: N815 - names of the library

    def _send(self, response: Response) -> None:
        has_body = response.status not in _WITHOUT_BODY
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if has_body:
            self.send_header("Content-Length", str(response.length))
        if response.is_last or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if has_body and self.command != "HEAD":
            response.send_body(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing."""
