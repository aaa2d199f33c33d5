"""Named arrays with a header in one file: a plain .npz without pickles, of two members however many arrays there are.

A member takes as long to write as a small array takes to compute. `header` is JSON, `data` has the bytes of all arrays,
each from a multiple of 64 on, as the header's `arrays` says. A float64 layer may be kept without the low bytes that are
0 in all its cells: sums of 100 float32 pixels have two of them in eight, and an empty second layer.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_ALIGNED: Final = 64  # bytes
_SMALL_BYTES: Final = 2**18  # of arrays that are written as one

Arrays = dict[str, npt.NDArray[Any]]
Bytes = npt.NDArray[np.uint8]


def write_arrays(path: Path, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write the file. Raises OSError."""
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    places, size = {}, 0
    for name, array in plain.items():
        places[name] = array.dtype.str, array.shape, size
        size += array.nbytes + -array.nbytes % _ALIGNED
    text = np.frombuffer(json.dumps({**header, "arrays": places}).encode(), np.uint8)
    with zipfile.ZipFile(path, "w") as whole:
        _write_member(whole, "header", text.size, [text])
        # Each part takes microseconds to write, and a small one less to copy.
        data = [np.concatenate([*_padded(plain)])] if 0 < size < _SMALL_BYTES else _padded(plain)
        _write_member(whole, "data", size, data)


def _padded(arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[Bytes]:
    for array in arrays.values():
        yield array.reshape(-1).view(np.uint8)
        if array.nbytes % _ALIGNED:
            yield np.zeros(-array.nbytes % _ALIGNED, np.uint8)


def _write_member(whole: zipfile.ZipFile, name: str, size: int, parts: "Iterator[Bytes] | list[Bytes]") -> None:
    """A member as of `np.savez`, without copies of the parts."""
    with whole.open(f"{name}.npy", "w", force_zip64=True) as member:
        form = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(member, form)
        for part in parts:
            member.write(part.data)


def read_header(path: Path) -> dict[str, Any]:
    """The header. Raises OSError, and what a torn file raises: ValueError, KeyError, BadZipFile and others."""
    with np.load(path, allow_pickle=False) as members:
        header: dict[str, Any] = json.loads(members["header"].tobytes())
    return header


def read_arrays(path: Path) -> Arrays:
    """The arrays by their names. Raises as `read_header`."""
    with np.load(path, allow_pickle=False) as members:
        places, data = json.loads(members["header"].tobytes())["arrays"], members["data"]
    arrays: Arrays = {}
    for name, (kind, shape, start) in places.items():
        dtype = np.dtype(kind)
        stop = start + dtype.itemsize * int(np.prod(shape))
        arrays[name] = data[start:stop].view(dtype).reshape(shape)
    return arrays


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
