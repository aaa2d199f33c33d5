"""Arrays that lie in a file, for rasters that memory should not hold.

The file has no name: it ends with the process, also with one that is killed. It is read and written and not mapped, so
that a full disk is an error and not a signal, and pages that the kernel keeps of it are not this process's.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from runner.errors import OutputError

BLOCK: Final = 512  # pixels along both sides, as of the rasters that are written
Index: TypeAlias = slice | tuple[slice, ...]  # rows, or rows and columns
Array: TypeAlias = npt.NDArray[Any]


class _Piece(NamedTuple):
    """What a window shares with a block: where the block's rows begin in the file, and the pixels in both."""

    offset: int
    rows: int
    in_block: slice  # columns
    in_window: tuple[slice, slice]
    whole: bool  # if these are all columns that the block has of the array


class Spool:
    """A (y, x) array in a file of a folder. Slices of it are read and written like those of a numpy array.

    Its blocks lie one after the other, row by row. Threads may write at the same time where they share no row of one.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        """Reserve the room. Raises OutputError if the disk has less."""
        self.shape, self.dtype, self._folder = shape, np.dtype(dtype), folder
        self._across = -(-shape[1] // BLOCK)
        size = -(-shape[0] // BLOCK) * self._across * BLOCK * BLOCK * self.dtype.itemsize
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                self._file = os.dup(file.fileno())
                self._close = weakref.finalize(self, os.close, self._file)
                _reserve(self._file, size)
        except OSError as error:
            raise _refused(folder, error) from error

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """The number of its values."""
        return self.shape[0] * self.shape[1]

    def like(self, shape: tuple[int, int]) -> "Spool":
        """Another of its type, beside it. Raises OutputError."""
        return Spool(self._folder, shape, self.dtype)

    def __getitem__(self, index: Index) -> Array:
        """A copy of the values in a window. Raises OutputError."""
        rows, columns = self._window(index)
        window = np.empty((rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        for piece in self._pieces(rows, columns):
            window[piece.in_window] = self._read(piece)[:, piece.in_block]
        return window

    def __setitem__(self, index: Index, values: Any) -> None:
        """Write the values of a window, cast to the type. Raises OutputError."""
        rows, columns = self._window(index)
        window = np.broadcast_to(np.asarray(values), (rows.stop - rows.start, columns.stop - columns.start))
        for piece in self._pieces(rows, columns):
            block = np.empty((piece.rows, BLOCK), self.dtype) if piece.whole else self._read(piece)
            block[:, piece.in_block] = window[piece.in_window]
            self._write(piece.offset, _bytes(block))

    def _window(self, index: Index) -> tuple[slice, slice]:
        both = index if isinstance(index, tuple) else (index, slice(None))
        rows, columns = (slice(*part.indices(size)[:2]) for part, size in zip(both, self.shape, strict=True))
        return rows, columns

    def _pieces(self, rows: slice, columns: slice) -> Iterator[_Piece]:
        for top in range(rows.start // BLOCK * BLOCK, rows.stop, BLOCK):
            first, last = max(rows.start, top), min(rows.stop, top + BLOCK)
            for left in range(columns.start // BLOCK * BLOCK, columns.stop, BLOCK):
                start, stop = max(columns.start, left), min(columns.stop, left + BLOCK)
                number = top // BLOCK * self._across + left // BLOCK
                yield _Piece(
                    (number * BLOCK + first - top) * BLOCK * self.dtype.itemsize,
                    last - first,
                    slice(start - left, stop - left),
                    (slice(first - rows.start, last - rows.start), slice(start - columns.start, stop - columns.start)),
                    start == left and stop == min(left + BLOCK, self.shape[1]),
                )

    def _read(self, piece: _Piece) -> Array:
        block = np.empty((piece.rows, BLOCK), self.dtype)
        left, offset = _bytes(block), piece.offset
        try:
            while left:
                count = os.preadv(self._file, [left], offset)
                left, offset = left[count:], offset + count
        except OSError as error:
            raise _refused(self._folder, error) from error
        return block

    def _write(self, offset: int, data: memoryview) -> None:
        try:
            while data:
                count = os.pwrite(self._file, data, offset)
                data, offset = data[count:], offset + count
        except OSError as error:
            raise _refused(self._folder, error) from error


def _bytes(block: Array) -> memoryview:
    return block.reshape(-1).view(np.uint8).data


def _reserve(file: int, size: int) -> None:
    """Take so many bytes of the disk, where the system can; otherwise a full disk shows as it is written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def room_like(values: "Array | Spool", shape: tuple[int, int]) -> "Array | Spool":
    """An array of that shape, of the type and in the kind of place of another. Raises OutputError."""
    return values.like(shape) if isinstance(values, Spool) else np.empty(shape, values.dtype)


def refuse_small_disk(folder: Path, needed: int) -> None:
    """Raise OutputError if a folder's disk has less free than these bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder}: the rasters need {_gigabytes(needed)} of disk until they are written, {_gigabytes(free)} are "
            "free; free some space or set output.dir"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _refused(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{folder}: rasters cannot be kept on disk until they are written: {error.strerror or error}; free some space "
        "or set output.dir"
    )
