"""A dask scheduler and workers as others start them: each a process, on loopback."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from waiting import LONG, wait_until

SAME_PATH = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # workers import the tasks of tests
_LOOPBACK = ("--host", "127.0.0.1", "--no-dashboard")


@contextmanager
def scheduler(*words: str) -> Iterator[str]:
    """Start a scheduler. Yields its address."""
    with process("scheduler", (*_LOOPBACK, "--port", "0", *words), SAME_PATH) as (running, lines):
        yield wait_until(lambda: re.search(r"Scheduler at:\s+(\S+)", lines(running))).group(1)  # type: ignore[union-attr]


@contextmanager
def worker(
    address: str, *words: str, env: Mapping[str, str] = SAME_PATH, python: str = sys.executable
) -> Iterator[subprocess.Popen[str]]:
    """Start a worker of one thread, without a nanny that would start it again."""
    options = ("--nthreads", "1", "--no-nanny", "--memory-limit", "1GiB", *_LOOPBACK, *words)
    with process("worker", (address, *options), env, python) as (running, _):
        yield running


@contextmanager
def process(role: str, words: Sequence[str], env: Mapping[str, str], python: str = sys.executable) -> Iterator[tuple]:
    """A process of dask, ended at the end, and what it has said so far."""
    said: list[str] = []

    def lines(running: subprocess.Popen[str]) -> str:
        assert running.poll() is None, "".join(said)
        said.append(running.stderr.readline())  # type: ignore[union-attr]
        return "".join(said)

    command = [python, "-m", f"distributed.cli.dask_{role}", *words]
    pipe = subprocess.PIPE if role == "scheduler" else subprocess.DEVNULL
    with subprocess.Popen(
        command, env=dict(env), cwd="/", stderr=pipe, stdout=subprocess.DEVNULL, text=True
    ) as running:
        try:
            yield running, lines
        finally:
            running.kill()
            running.wait(LONG)
