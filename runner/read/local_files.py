"""Ranges of local files, read by plain system calls: through obstore each takes ten times the processor time.

What is not as expected is left to obstore, whose errors are explained: a file that is gone, changed, or too short.
"""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from stat import S_ISREG
from typing import Final, NamedTuple

from obstore import Bytes
from obstore.store import LocalStore

from runner.read.version import NO_TIME, ObjectPart, Version

_HOW: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # or a pipe would wait for a writer
_THREADS: Final = 32  # which wait for disks, and for file systems of other machines


class LocalPart(NamedTuple):
    """A part of a file to be read: from `start` to `stop`, or to its end before, of this version."""

    store: object
    key: str
    start: int
    stop: int
    expected: Version


async def read_local(store: object, key: str, start: int, stop: int, expected: Version) -> ObjectPart | None:
    """The bytes of a file from start to stop, or to its end before; None for what obstore has to look at.

    The version is the one that obstore would state.
    """
    job = begin_local(store, key, start, stop, expected)
    return None if job is None else await asyncio.wrap_future(job)


def begin_local(
    store: object, key: str, start: int, stop: int, expected: Version
) -> "Future[ObjectPart | None] | None":
    """The same in a thread, without an event loop; None for an object of another store."""
    return _threads().submit(_read, key, start, stop, expected) if _is_local(store) else None


def begin_local_parts(parts: Sequence[LocalPart]) -> "Future[list[ObjectPart | None]]":
    """Parts of several files, read by one thread: to hand each over to another takes longer than to read it."""
    return _threads().submit(lambda: [_read(*part[1:]) if _is_local(part.store) else None for part in parts])


def _is_local(store: object) -> bool:
    return isinstance(store, LocalStore) and store.prefix is None


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "local-files")


def _read(key: str, start: int, stop: int, expected: Version) -> ObjectPart | None:
    try:
        file = os.open(f"/{key.lstrip('/')}", _HOW)
        try:
            state = os.fstat(file)
            if not S_ISREG(state.st_mode) or not start < min(stop, state.st_size):
                return None
            data = os.pread(file, min(stop, state.st_size) - start, start)
            rewritten = _version(os.fstat(file)) != _version(state)
        finally:
            os.close(file)
    except (OSError, OverflowError):  # the latter for a time that no datetime has
        return None
    version = _version(state)
    if rewritten or len(data) < min(stop, state.st_size) - start or expected.is_other_than(version):
        return None
    return ObjectPart(Bytes(data), state.st_size, version)


def _version(state: os.stat_result) -> Version:
    """Inode, time and size, in the form of object_store's LocalFileSystem."""
    microseconds = state.st_mtime_ns // 1000
    etag = f'"{state.st_ino:x}-{max(microseconds, 0):x}-{state.st_size:x}"'
    return Version(etag, state.st_size, NO_TIME + timedelta(microseconds=microseconds) if microseconds else None)
