"""Ranges of local files, read by plain system calls: through obstore each takes ten times the processor time.

What is not as expected is left to obstore, whose errors are explained: a file that is gone, changed, or too short.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from stat import S_ISREG
from typing import Final

from obstore import Bytes
from obstore.store import LocalStore

from runner.read.version import NO_TIME, ObjectPart, Version

_HOW: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # or a pipe would wait for a writer
_THREADS: Final = 32  # which wait for disks, and for file systems of other machines


async def read_local(store: object, key: str, start: int, stop: int, expected: Version) -> ObjectPart | None:
    """The bytes of a file from start to stop, or to its end before; None for what obstore has to look at.

    The version is the one that obstore would state.
    """
    if not isinstance(store, LocalStore) or store.prefix is not None:
        return None
    loop = asyncio.get_running_loop()
    part = await loop.run_in_executor(_threads(), _read, key, start, stop)
    return None if part is None or expected.is_other_than(part.version) else part


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "local-files")


def _read(key: str, start: int, stop: int) -> ObjectPart | None:
    try:
        file = os.open(f"/{key.lstrip('/')}", _HOW)
        try:
            state = os.fstat(file)
            if not S_ISREG(state.st_mode) or not start < min(stop, state.st_size):
                return None
            data = os.pread(file, min(stop, state.st_size) - start, start)
        finally:
            os.close(file)
    except OSError:
        return None
    whole = len(data) == min(stop, state.st_size) - start
    return ObjectPart(Bytes(data), state.st_size, _version(state)) if whole else None


def _version(state: os.stat_result) -> Version:
    """Inode, time and size, in the form of object_store's LocalFileSystem."""
    microseconds = state.st_mtime_ns // 1000
    etag = f'"{state.st_ino:x}-{max(microseconds, 0):x}-{state.st_size:x}"'
    return Version(etag, state.st_size, NO_TIME + timedelta(microseconds=microseconds) if microseconds else None)
