"""Digests of decoded values, that say whether two results are the same bits whatever file they are in.

The bytes that count are those of the values in C order, little-endian, with every NaN as the one that numpy writes:
the sign and payload of a NaN are left to the machine (IEEE 754-2019, 6.2.3) and mean nothing here. -0.0 is not 0.0.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
_SLAB_BYTES = 16 * 2**20  # of values that are copied at a time
_CHUNK_BYTES = 2**20  # of a file


def values_sha256(values: Values) -> str:
    """The SHA-256 of an array: of its dtype and shape (`<f4 [600, 700]`, a line's end) and its canonical bytes."""
    digest = hashlib.sha256(f"{_little(values.dtype).str} {list(values.shape)}\n".encode())
    for slab in _slabs(values):
        digest.update(canonical(slab).data)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical(values: Values) -> Values:
    """The same values, little-endian, in C order, each NaN the same."""
    found = np.ascontiguousarray(values, _little(values.dtype))
    if found.dtype.kind == "f" and (gone := np.isnan(found)).any():
        found = np.where(gone, found.dtype.type(np.nan), found)
    return found


def unequal_bits(one: Values, other: Values) -> npt.NDArray[np.bool_]:
    """Where two arrays of one shape and dtype are not the same bits, NaNs being one."""
    kind = np.dtype(f"<u{one.dtype.itemsize}")
    unequal: npt.NDArray[np.bool_] = np.not_equal(canonical(one).view(kind), canonical(other).view(kind))
    return unequal


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")


def _slabs(values: Values) -> Iterator[Values]:
    if values.ndim == 0 or not values.size:
        yield values
        return
    rows = max(1, _SLAB_BYTES // (values.nbytes // len(values)))
    for start in range(0, len(values), rows):
        yield values[start : start + rows]
