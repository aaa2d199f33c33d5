"""The small S3 server as a process of its own, and the context that keeps it running.

It serves the demo archive, and stands in for a distant bucket in benchmarks. `python -m runner.demo.server --help`.
A thread would not do: GDAL may wait for bytes while it holds Python's lock.
"""

import argparse
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from runner.errors import SourceError
from runner.host.garbage import collect_as_usual, collect_seldom

SECRET_VARIABLE = "RUNNER_SERVER_SECRET_KEY"  # noqa: S105 - a variable's name
START_SECONDS = 100  # on a busy machine
END_SECONDS = 5


@contextmanager
def serve(
    root: Path,
    *,
    latency_seconds: float = 0.0,
    bandwidth_bytes_per_second: float | None = None,
    page_size: int = 1000,
    credentials: tuple[str, str] | None = None,
) -> Iterator[str]:
    """Serve the folder of buckets `root` on loopback; yields the endpoint's URL and ends the server on every way out.

    `credentials` are the access key and the secret key that requests must then be signed with. The server ends with
    this process too, however that ends. Raises SourceError if it does not start.
    """
    options: dict[str, object] = {
        "latency": latency_seconds,
        "bandwidth": bandwidth_bytes_per_second,
        "page-size": page_size,
    }
    environment = dict(os.environ)
    if credentials is not None:
        options["access-key"], environment[SECRET_VARIABLE] = credentials
    arguments = [f"--{name}={value}" for name, value in options.items() if value is not None]
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(root.resolve()), "--watch-stdin", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            cwd=Path(__file__).parents[2],  # where `-m` finds this package, wherever we were started
            process_group=0,  # a terminal's Ctrl-C is for us: workers may still read while we close them
        )
        try:
            yield _first_line(process, root, stderr)
        finally:
            _end(process)


def _first_line(process: subprocess.Popen[bytes], root: Path, stderr: IO[bytes]) -> str:
    """The URL that the server prints once it listens."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(START_SECONDS) else b""
    if not line:
        state = f"within {START_SECONDS} s" if process.poll() is None else f"and ended with code {process.returncode}"
        stderr.seek(0)
        message = stderr.read().decode(errors="replace").strip()[-2000:]
        raise SourceError(f"the server for {root} did not start {state}; it said: {message or 'nothing'}")
    return line.decode().strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the server's stdin, upon which it ends; kill it if it does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        process.stdout.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM, or Ctrl-C or, with --watch-stdin, the end of stdin."""
    collect_seldom()
    options = _parser().parse_args(arguments)
    if options.watch_stdin:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.access_key and not os.environ.get(SECRET_VARIABLE):
        raise SystemExit(f"--access-key needs the secret key in the environment variable {SECRET_VARIABLE}")
    if not options.root.is_dir():
        raise SystemExit(f"{options.root} is not a folder")

    # Here and not above: `serve` needs none of it, and Ctrl-C must not hit while it loads.
    from runner.demo.http_server import Server  # noqa: PLC0415
    from runner.demo.s3_app import ServerOptions, make_app  # noqa: PLC0415
    from runner.demo.s3_protocol import Credentials  # noqa: PLC0415

    credentials = Credentials(options.access_key, os.environ[SECRET_VARIABLE]) if options.access_key else None
    collect_as_usual()
    behaviour = ServerOptions(options.latency, options.bandwidth, options.page_size, credentials)
    server = Server(make_app(options.root, behaviour), options.host, options.port)
    _end_on(signal.SIGTERM, *(() if options.watch_stdin else (signal.SIGINT,)))
    server.start()
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    try:
        if options.watch_stdin:
            while os.read(0, 4096):
                pass
        else:
            threading.Event().wait()
    finally:
        server.stop()


def _end_on(*signals: signal.Signals) -> None:
    """Let signals end the process well; connections under way end with it."""
    for number in signals:
        signal.signal(number, lambda *_: sys.exit(0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runner.demo.server", description="Serve a folder over S3.")
    parser.add_argument("root", type=Path, help="folder whose subfolders are the buckets")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="before each answer")
    parser.add_argument("--bandwidth", type=float, metavar="BYTES_PER_SECOND", help="of each connection")
    parser.add_argument("--page-size", type=int, default=1000, help="most keys in one page of a listing")
    parser.add_argument("--access-key", help=f"requests must be signed; the secret key stands in {SECRET_VARIABLE}")
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin ends; leave Ctrl-C to the parent")
    return parser


if __name__ == "__main__":
    main()
