"""Standard streams that cannot fail a run: text that nobody can take is dropped, and what was computed is kept."""

import errno
import io
import logging
import os
import select
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDOUT: Final = 1
_NOBODY_READS: Final = (errno.EPIPE, errno.EIO)  # `| head -1`, and a terminal that was closed

log = logging.getLogger(__name__)


def steady_streams() -> None:
    """Put steady streams in place of stdout and stderr; call it before anything is printed.

    A closed descriptor is opened on the null device, since the next file opened would take its number, and a library
    that complains to "stderr" would write into that file.
    """
    for descriptor, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        _open_if_closed(descriptor, mode)
    sys.stdout, sys.stderr = steady(sys.stdout, 1), steady(sys.stderr, 2)


def steady(stream: TextIO | None, descriptor: int) -> io.TextIOWrapper:
    """A stream onto a descriptor, encoded and buffered as `stream`, that escapes what its encoding lacks."""
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(descriptor)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=getattr(stream, "line_buffering", descriptor == 2),
        write_through=getattr(stream, "write_through", False),
    )


def lost(stream: TextIO) -> OSError | None:
    """The error that kept text of a steady stream from being written, unless nobody reads it any more."""
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.refusal if isinstance(raw, _Descriptor) else None


def _open_if_closed(descriptor: int, mode: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, mode)  # takes the lowest number that is free
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


class _Descriptor(io.RawIOBase):
    """Writes to a descriptor, and passes over what it refuses."""

    def __init__(self, descriptor: int) -> None:
        self.refusal: OSError | None = None
        self._descriptor = descriptor

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell if a terminal shows it."""
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer") -> int:
        """Write some of the bytes; all of them count as written if the descriptor refuses."""
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # another process that shares the terminal made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self._note(error)
                return memoryview(data).nbytes

    def _note(self, error: OSError) -> None:
        if self.refusal is None and error.errno not in _NOBODY_READS:
            self.refusal = error
            if self._descriptor == _STDOUT:  # a log may go to stderr, which is locked while it writes
                log.warning("stdout cannot be written: %s", error.strerror)
