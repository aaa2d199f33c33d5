"""The digest of a file: the hash of its bytes, and of the values that are decoded from it.

Equal values have equal hashes, whatever the compression, the tiling or the machine: little-endian, in C order, every
NaN the same one.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ValueFacts:
    """The values of one statistic: `shape` is (rows,) of a table, (y, x) of a raster.

    `count` says how many are not missing (NaN, null or `nodata`); `minimum` and `maximum` are of these, None without
    any. `nodata` is None if the file marks none, "nan", or a number.
    """

    name: str
    sha256: str
    dtype: str
    shape: tuple[int, ...]
    nodata: int | str | None
    count: int
    minimum: float | int | None
    maximum: float | int | None


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of results, and what its statistics are.

    `overviews` are those of a raster that are small enough to be shown, each (bands, y, x), the largest first.
    """

    path: Path
    bytes: int
    sha256: str
    values: tuple[ValueFacts, ...]
    overviews: tuple[npt.NDArray[Any], ...] = field(default=(), compare=False, repr=False)


@dataclass(slots=True)
class ValueDigest:
    """Takes values piece by piece, in their order: whole rows of a raster."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    nodata: int | None = None  # of integers; that of floats is NaN
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _count: int = 0
    _extremes: list[float | int] = field(default_factory=list)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take the next values."""
        missing = self._missing(values)
        self._hash.update(_canonical(values, missing).data)
        present = values.size - int(np.count_nonzero(missing))
        self._count += present
        if present:
            self._extremes += _extremes(values, missing)

    def _missing(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = np.zeros(1, np.bool_)
        if self.dtype.kind == "f":
            found = np.isnan(values)
        elif self.nodata is not None:
            found = values == self.nodata
        return found

    def facts(self) -> ValueFacts:
        """The digest of all values."""
        lowest, highest = min(self._extremes, default=None), max(self._extremes, default=None)
        nodata = "nan" if self.dtype.kind == "f" and len(self.shape) > 1 else self.nodata  # a table has nulls
        name, dtype = self.name, self.dtype.name
        return ValueFacts(name, self._hash.hexdigest(), dtype, self.shape, nodata, self._count, lowest, highest)


def unequal_bits(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where two arrays of one shape and dtype are not the same bits, NaNs being one."""
    kind = np.dtype(f"<u{one.dtype.itemsize}")
    unequal: npt.NDArray[np.bool_] = np.not_equal(canonical(one).view(kind), canonical(other).view(kind))
    return unequal


def same_bits(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    """True if two arrays have one shape, one type and the same bits, also of NaN."""
    kind = np.dtype(f"<u{first.dtype.itemsize}")
    return first.dtype == second.dtype and np.array_equal(first.view(kind), second.view(kind))


def canonical(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values little-endian, in C order, each NaN the same (IEEE 754 leaves its payload to the machine)."""
    return _canonical(values, np.isnan(values) if values.dtype.kind == "f" else np.zeros(1, np.bool_))


def _canonical(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Values little-endian and in C order, with one NaN; a copy only where they are not."""
    ordered = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    if ordered.dtype.kind == "f" and missing.any():
        return np.where(missing, ordered.dtype.type(np.nan), ordered)
    return ordered


def _extremes(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_]) -> list[float | int]:
    """The lowest and the highest value that is not missing; there must be one."""
    if values.dtype.kind != "f":
        values = values[~missing] if missing.any() else values
    return [pick.reduce(values, axis=None).item() for pick in (np.fmin, np.fmax)]  # which pass over NaN


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
