"""TIFF directories: the bytes behind each tag, checked before they are read.

Sources: TIFF 6.0 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), section 2, and BigTIFF
(https://libtiff.gitlab.io/libtiff/specification/bigtiff.html).
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from runner.errors import ReadError

MAX_ENTRIES: Final = 4096  # of one directory
MAX_TAG_BYTES: Final = 4 * 2**20  # of any tag but the lists of tiles
_TYPES: Final[Mapping[int, str]] = {  # TIFF 6.0 section 2, and BigTIFF's LONG8, SLONG8 and IFD8
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u8", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i8", 11: "f4", 12: "f8",
    13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
_CODES: Final = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}  # struct's
_SINGLE: Final = {(kind, order): struct.Struct(order + code) for kind, code in ((3, "H"), (4, "I")) for order in "<>"}

Get: TypeAlias = Callable[[int, int], bytes]
ByteOrder: TypeAlias = Literal["<", ">"]
Entries: TypeAlias = dict[int, tuple[int, int, bytes]]  # tag number -> type, count, the value or its offset


@dataclass(frozen=True, slots=True)
class Tag:
    """One entry of a directory: `raw` holds its `count` values of TIFF type `kind` in the byte order of the file."""

    number: int
    kind: int
    count: int
    raw: bytes


class StructureError(ReadError):
    """The bytes of a file are not a valid TIFF."""


class Source:
    """Checked access to the bytes of one file, and its byte order and width of offsets."""

    def __init__(self, get: Get, size: int | None, href: str) -> None:
        self.get, self.size, self.href = get, size, href
        self.order: ByteOrder = "<"
        self.big = False

    def fail(self, problem: str) -> NoReturn:
        """Raise StructureError."""
        raise StructureError(self.href, problem)

    def read(self, start: int, stop: int, what: str) -> bytes:
        """The bytes from start to stop; `what` names them in an error."""
        if self.size is not None and stop > self.size:
            self.fail(f"truncated TIFF: {what} ends at byte {stop}, the object has {self.size} bytes; upload it again")
        data = self.get(start, stop)
        if len(data) != stop - start:
            self.fail(f"truncated TIFF: wanted bytes {start} to {stop} for {what}, got {len(data)}; upload it again")
        return data

    def unpack(self, layout: str, start: int, what: str) -> tuple[int, ...]:
        """The integers at byte `start`, as struct's format characters say."""
        form = struct.Struct(self.order + layout)
        return form.unpack(self.read(start, start + form.size, what))

    def open(self) -> int:
        """Read the file header; the offset of the first directory."""
        head = self.get(0, 64 if self.size is None else min(64, self.size))
        if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            self.fail(f"not a TIFF: it looks like {looks_like(head)}; correct the pattern of the source")
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = b"+" in head[2:4]
        if not self.big:
            return self.unpack("I", 4, "the file header")[0]
        width, zero, offset = self.unpack("HHQ", 4, "the file header")
        if (width, zero) != (8, 0):
            self.fail(f"damaged BigTIFF header: offsets of {width} bytes, wanted 8")
        return offset


def looks_like(head: bytes) -> str:
    """The probable kind of a file that is not a TIFF, from its first bytes."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    signs = {
        b"<vrtdataset": "a GDAL virtual raster (VRT)", b"<!doctype html": "an HTML page",
        b"<html": "an HTML page", b"<error": "an XML error message", b"<": "XML", b"{": "JSON", b"[": "JSON",
        b"\x89png": "a PNG", b"\xff\xd8": "a JPEG", b"pk\x03\x04": "a ZIP archive", b"\x1f\x8b": "a gzip file",
        b"\x89hdf": "HDF5 or netCDF-4", b"cdf": "netCDF", b"\0\0\0\x0cjp": "JPEG 2000", b"grib": "GRIB",
    }  # fmt: skip
    kind = next((name for sign, name in signs.items() if text.startswith(sign)), None)
    if kind or not head:
        return kind or "an empty file"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return "a text file"  # its text is not shown: it may hold a secret
    return f"a file that starts with the bytes {head[:4].hex(' ')}"


def read_directory(source: Source, start: int) -> tuple[Entries, int]:
    """The entries of the directory at `start`, and the offset of the next directory, 0 for none."""
    head, entry, link = ("Q", "HHQ8s", "Q") if source.big else ("H", "HHI4s", "I")
    if start < 8:
        source.fail(f"damaged TIFF: a directory at byte {start}, inside the file header")
    count = source.unpack(head, start, "a directory")[0]
    if not 0 < count <= MAX_ENTRIES:
        source.fail(f"damaged TIFF: a directory of {count} entries at byte {start}, wanted 1 to {MAX_ENTRIES}")
    form = struct.Struct(source.order + entry)
    start += 8 if source.big else 2
    stop = start + count * form.size
    entries: Entries = {}
    for number, kind, length, value in form.iter_unpack(source.read(start, stop, "a directory")):
        entries.setdefault(number, (kind, length, value))
    return entries, source.unpack(link, stop, "the link to the next directory")[0]


class Directory:
    """The values of one directory's tags."""

    def __init__(self, source: Source, entries: Entries) -> None:
        self.source, self.entries = source, entries

    def tag(self, number: int, limit: int = MAX_TAG_BYTES) -> Tag | None:
        """The tag, None if absent; an error if it has an unknown type or holds over `limit` bytes."""
        if number not in self.entries:
            return None
        kind, count, value = self.entries[number]
        if kind not in _TYPES:
            self.source.fail(f"damaged TIFF: tag {number} has the unknown type {kind}")
        length = count * int(_TYPES[kind][1])
        if length > limit:
            self.source.fail(f"absurd TIFF: tag {number} claims {length} bytes, the limit is {limit}")
        if length <= len(value):
            return Tag(number, kind, count, value[:length])
        start = int.from_bytes(value, "little" if self.source.order == "<" else "big")
        return Tag(number, kind, count, self.source.read(start, start + length, f"tag {number}"))

    def array(self, number: int, limit: int = MAX_TAG_BYTES) -> npt.NDArray[np.uint64]:
        """The values of a tag as uint64, empty if it is absent; those of signed types too, if none is negative."""
        tag = self.tag(number, limit)
        if tag is None:
            return np.empty(0, np.uint64)
        values = np.frombuffer(tag.raw, self.source.order + _TYPES[tag.kind])
        if values.dtype.kind == "f" or (values.dtype.kind == "i" and (values < 0).any()):
            self._refuse_numbers(tag)
        return values.astype(np.uint64)

    def integers(self, number: int) -> tuple[int, ...]:
        """The values of a tag, as of `array`, none if it is absent."""
        kind, count, value = self.entries.get(number, (0, 0, b""))
        if count == 1 and (kind, self.source.order) in _SINGLE:  # most are: a fast way
            return _SINGLE[kind, self.source.order].unpack_from(value)
        tag = self.tag(number) if number in self.entries else None
        if tag is None:
            return ()
        code = _CODES.get(_TYPES[tag.kind])
        values = struct.unpack(f"{self.source.order}{tag.count}{code}", tag.raw) if code else (-1,)
        if min(values, default=0) < 0:
            self._refuse_numbers(tag)
        return values

    def _refuse_numbers(self, tag: Tag) -> NoReturn:
        self.source.fail(f"damaged TIFF: tag {tag.number} has type {tag.kind}, wanted unsigned integers")

    def integer(self, number: int, default: int) -> int:
        """The first value of a tag."""
        return next(iter(self.integers(number)), default) if number in self.entries else default

    def common(self, number: int, default: int) -> int:
        """The value that all samples share, 0 if they differ."""
        values = set(self.integers(number)) or {default}
        return values.pop() if len(values) == 1 else 0

    def size(self, number: int, name: str) -> int:
        """A number of pixels; `name` is its name in an error."""
        value = self.integer(number, 0)
        if not 0 < value < 2**31:  # GDAL's rasters are as large as a C int counts
            self.source.fail(f"absurd TIFF: {name} (tag {number}) is {value}, wanted 1 to {2**31 - 1}")
        return value
