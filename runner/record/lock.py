"""A run folder held by the one process that writes into it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from runner.errors import RecordError

HELD: Final = "is written to by another process"


class HeldError(RecordError):
    """Another process writes into a run folder."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder of a run that runs or is resumed, so that nobody else resumes it; a process that dies lets go.

    The folder itself is locked, so that nothing is left in it. Raises HeldError if another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)  # which processes that are started do not inherit
    try:
        with suppress(OSError):  # of a file system without locks: there, only the record shows a run that is alive
            _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HeldError(f"{folder} {HELD}, a run or a resume; stop it, or wait") from error
