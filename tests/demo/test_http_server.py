"""The HTTP server below the demo's: requests one after the other on a connection, and what is not HTTP."""

import socket
import threading
from collections.abc import Iterator

import pytest
from waiting import LONG, wait_until

from runner.demo.http_server import Request, Response, Server

HELLO = b"GET /a%20b+c?x=1&x=2&y HTTP/1.1\r\nHost: h\r\nX-One: a\r\nx-one:  b \r\n\r\n"


@pytest.fixture
def seen() -> list[Request]:
    return []


@pytest.fixture
def connection(seen: list[Request]) -> Iterator[socket.socket]:
    def answer(request: Request) -> Response:
        seen.append(request)
        return Response(304) if request.path == "/known" else Response(body=request.method.encode())

    server = Server(answer)
    server.start()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), LONG) as client:
        yield client
        server.stop()


def read_until(connection: socket.socket, end: bytes) -> bytes:
    read = b""
    while not read.endswith(end):
        piece = connection.recv(4096)
        assert piece, read
        read += piece
    return read


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(4096), b""))


def test_requests_follow_each_other_on_a_connection(connection: socket.socket, seen: list[Request]) -> None:
    connection.sendall(HELLO + HELLO)
    assert read_until(connection, b"\r\n\r\nGET").startswith(b"HTTP/1.1 200 OK\r\n")
    wait_until(lambda: len(seen) == 2)
    assert (seen[0].path, seen[0].query) == ("/a b+c", {"x": "1", "y": ""})
    assert seen[0].headers == {"host": "h", "x-one": "a,b"}


@pytest.mark.parametrize("ending", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"])
def test_a_connection_ends_when_its_client_wants(connection: socket.socket, ending: bytes) -> None:
    connection.sendall(ending)
    assert read_all(connection).endswith(b"Connection: close\r\n\r\nGET")


@pytest.mark.parametrize("waits", [b"", b"Expect: 100-continue\r\n"])
def test_a_request_with_a_body_is_the_last(connection: socket.socket, waits: bytes) -> None:
    connection.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\n" + waits + b"\r\nbody")
    assert read_all(connection).endswith(b"\r\n\r\nPUT")


def test_a_head_and_what_is_known_have_no_body(connection: socket.socket) -> None:
    connection.sendall(b"HEAD / HTTP/1.1\r\n\r\nGET /known HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n")
    head, known, _, body = read_all(connection).split(b"\r\n\r\n")
    assert (b"Content-Length: 4" in head, b"Content-Length" in known, body) == (True, False, b"GET")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"BREW / HTTP/1.1\r\n\r\n", b"501"),
        (b"GET /" + b"x" * 70000 + b"\r\n", b"414"),
    ],
)
def test_what_is_not_http_is_refused(
    connection: socket.socket, text: bytes, status: bytes, seen: list[Request]
) -> None:
    connection.sendall(text)
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(4096).startswith(b"HTTP/1.1 " + status)
    assert not seen


def test_a_server_stops_with_connections_open() -> None:
    server, threads = Server(lambda request: Response()), threading.active_count()
    server.start()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), LONG) as client:
        client.sendall(HELLO)
        read_until(client, b"\r\n\r\n")
        server.stop()
        assert client.recv(1) == b""
    assert threading.active_count() == threads
