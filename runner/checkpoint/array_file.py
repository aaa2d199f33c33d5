"""Named arrays with a header in one file, which is written at once: a small array takes as long to compute as to write.

The file has `MAGIC`, the size of the header in eight bytes (the lowest first), the header, the data, and the CRC-32 of
all that in four bytes. The header is JSON; the data are the bytes of all arrays, each from a multiple of 64 on, as the
header's `arrays` says. A float64 layer may be kept without the low bytes that are 0 in all
its cells: sums of 100 float32 pixels have two of them in eight, and an empty second layer.
"""

import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt

from runner.base.conversion import decoded

MAGIC: Final = b"cogtask6"  # another number for each version
_ALIGNED: Final = 64  # bytes
_FRONT_BYTES: Final = len(MAGIC) + 8
_END_BYTES: Final = 4
_SMALL_BYTES: Final = 2**18  # of arrays that are written as one
_READ_BYTES: Final = 2**20  # at a time

Arrays = dict[str, npt.NDArray[Any]]
Bytes = npt.NDArray[np.uint8]


class TornFileError(ValueError):
    """A file that is not whole, was altered, or is of another version or kind."""


def write_arrays(path: Path, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> int:
    """Write the file. Returns its bytes. Raises OSError."""
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    places, size = {}, 0
    for name, array in plain.items():
        places[name] = array.dtype.str, array.shape, size
        size += array.nbytes + -array.nbytes % _ALIGNED
    text = msgspec.json.encode({**header, "arrays": places})
    parts = [MAGIC, len(text).to_bytes(8, "little"), text, *_padded(plain)]
    if size < _SMALL_BYTES:  # each part takes microseconds to write, and a small one less to copy
        parts = [b"".join(parts)]
    checksum = 0
    with path.open("wb") as file:
        for part in parts:
            file.write(part)
            checksum = zlib.crc32(part, checksum)
        file.write(checksum.to_bytes(_END_BYTES, "little"))
    return _FRONT_BYTES + len(text) + size + _END_BYTES


def _padded(arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[bytes | memoryview]:
    for array in arrays.values():
        yield array.reshape(-1).view(np.uint8).data
        yield bytes(-array.nbytes % _ALIGNED)


def read_header(path: Path) -> dict[str, Any]:
    """The header of a file whose bytes are all as they were written. Raises OSError and TornFileError."""
    with path.open("rb") as file:
        text, checksum = _front(file, path)
        left = os.fstat(file.fileno()).st_size - file.tell() - _END_BYTES
        while left > 0 and (part := file.read(min(left, _READ_BYTES))):
            checksum = zlib.crc32(part, checksum)
            left -= len(part)
        _check(file.read(), checksum, path)
    return _decoded(text, path)


def read_arrays(path: Path) -> Arrays:
    """The arrays by their names. Raises OSError and TornFileError."""
    with path.open("rb") as file:
        text, checksum = _front(file, path)
        rest = np.fromfile(file, np.uint8)
    data, end = rest[:-_END_BYTES], rest[-_END_BYTES:]
    _check(end.tobytes(), zlib.crc32(data.data, checksum), path)
    arrays: Arrays = {}
    for name, (kind, shape, start) in _decoded(text, path)["arrays"].items():
        dtype = np.dtype(kind)
        stop = start + dtype.itemsize * int(np.prod(shape))
        arrays[name] = data[start:stop].view(dtype).reshape(shape)
    return arrays


def _front(file: BinaryIO, path: Path) -> tuple[bytes, int]:
    """The header's text, and the checksum so far."""
    front = file.read(_FRONT_BYTES)
    size = int.from_bytes(front[len(MAGIC) :], "little")
    if not front.startswith(MAGIC) or size > os.fstat(file.fileno()).st_size:
        raise TornFileError(f"{path}: not a file of a task, or one of another version")
    text = file.read(size)
    return text, zlib.crc32(text, zlib.crc32(front))


def _check(end: bytes, checksum: int, path: Path) -> None:
    if end != checksum.to_bytes(_END_BYTES, "little"):
        raise TornFileError(f"{path}: it is torn, or was altered")


def _decoded(text: bytes, path: Path) -> dict[str, Any]:
    try:
        return decoded(text, dict[str, Any])
    except msgspec.DecodeError as error:
        raise TornFileError(f"{path}: {error}") from error


def used_bytes(layer: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """(cells, bytes in use) of float64 cells, little-endian. The sign of -0.0 is in use too."""
    layer = np.ascontiguousarray(layer, "<f8")
    used = int(np.bitwise_or.reduce(layer.view("<u8"))) if layer.size else 0
    unused = next((byte for byte in range(8) if used >> 8 * byte & 0xFF), 8)
    width = 1 if unused % 2 else 2
    parts = layer.view(f"<u{width}").reshape(-1, 8 // width)[:, unused // width :]
    packed = np.empty(parts.shape, parts.dtype)
    for at in range(parts.shape[1]):  # three times as fast as all parts of a cell together
        packed[:, at] = parts[:, at]
    return packed.view(np.uint8)


def all_bytes(used: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The float64 cells of what `used_bytes` gives."""
    cells = np.zeros((len(used), 8), np.uint8)
    cells[:, 8 - used.shape[1] :] = used
    return cells.view("<f8").ravel().astype(np.float64, copy=False)
