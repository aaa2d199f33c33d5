"""A web server whose every answer a test writes: status, headers and body, over HTTP or TLS."""

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Asked(NamedTuple):
    """A request: how, for which path (decoded), with which query and headers, and the how-manieth it is, from 1 on.

    `target` is the path and the query as they came.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    number: int
    target: str = ""
    body: bytes = b""


class Answer(NamedTuple):
    """What is sent back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - of a tuple, never changed
    byte_seconds: float = 0.0  # between two bytes of the body


@dataclass
class ScriptedServer:
    """A server; `script` may be changed while it runs."""

    script: Callable[[Asked], Answer]
    endpoint: str = ""
    asked: list[Asked] = field(default_factory=list)


def error(status: int, code: str) -> Answer:
    """A refusal in S3's words."""
    return Answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode())


def part_of(content: bytes, asked: Asked, **headers: str) -> Answer:
    """The range that is asked for of an object."""
    first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
    start, stop = int(first), min(int(last) + 1, len(content))
    place = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return Answer(206, content[start:stop], {**place, **headers})


@contextmanager
def scripted_server(script: Callable[[Asked], Answer], tls: Path | None = None) -> Iterator[ScriptedServer]:
    """Serve on loopback; with the key and certificate of the PEM file `tls`, if there is one."""
    server = ScriptedServer(script)
    web = _Web(("127.0.0.1", 0), _handler(server))
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        web.socket = context.wrap_socket(web.socket, server_side=True)
    server.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


class _Web(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up, or shake no hands, are part of the tests."""


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            asked = Asked(self.command, unquote(url.path), query, headers, len(server.asked) + 1, self.path, body)
            server.asked.append(asked)
            self._send(server.script(asked))

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - their names

        def handle_expect_100(self) -> bool:
            goes_on = super().handle_expect_100()
            self.wfile.flush()
            return goes_on

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self._write(answer)

        def _write(self, answer: Answer) -> None:
            if not answer.byte_seconds:
                self.wfile.write(answer.body)
                return
            for byte in answer.body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(answer.byte_seconds)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    return Handler


def make_certificate(path: Path, name: str = "127.0.0.1") -> Path:
    """A PEM file with a key and a certificate that it has signed itself, for one address, valid today."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    as_text = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*as_text) + certificate.public_bytes(serialization.Encoding.PEM))
    return path
