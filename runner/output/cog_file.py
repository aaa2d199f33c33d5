"""Cloud-Optimized GeoTIFFs written on all cores: directories first, then overviews, then the raster.

GDAL's COG driver copies a raster several times, on one core, while all other threads of Python wait. So GDAL writes the
directory alone, of an empty raster, with the georeference and the metadata; blocks are encoded by imagecodecs.

Sources: OGC 21-026, Cloud Optimized GeoTIFF (https://docs.ogc.org/is/21-026/21-026.html), and, for the hints that tell
GDAL of it, https://gdal.org/en/stable/drivers/raster/cog.html (Header ghost area, Tile data leader and trailer).
"""

import os
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from rasterio.io import MemoryFile

from runner.host.cpus import cpu_count
from runner.host.threads import lasting_threads
from runner.output.block_coder import BLOCK, Bytes, Coder, Encode, UnequalError, predictor_of
from runner.output.overviews import Raster, overviews, statistics
from runner.read.ifd import Directory, Source, Tag, read_directory

_LARGEST: Final = 2**32 - 2**26  # bytes that offsets of 32 bits are trusted with, as a block may grow when compressed
_WIDTH, _HEIGHT, _SUBFILE, _OFFSETS, _COUNTS = 256, 257, 254, 324, 325  # TIFF 6.0, section 8 and 15
_OF_THE_WHOLE: Final = (33550, 33922, 34264, 34735, 34736, 34737, 42112)  # georeference and metadata: not of overviews
_SHORT, _LONG, _LONG8 = 3, 4, 16  # types of TIFF
_HINTS: Final = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)


class CogForm(NamedTuple):
    """The form of a COG: none, lzw, deflate or zstd, the last two of a level; BigTIFF if `big`.

    None takes BigTIFF for what might pass 4 GiB.
    """

    compression: str
    level: int
    big: bool | None = None


class PartlyEncoded(NamedTuple):
    """Values that are stored as `dtype`, integers of them perhaps in a wider one than they lie in memory.

    Some blocks are encoded already, by their numbers: row by row, from 0 on.
    """

    values: Raster
    dtype: np.dtype[Any]
    blocks: Mapping[int, Future[Bytes]]

    @classmethod
    def of(cls, raster: "Raster | PartlyEncoded") -> "PartlyEncoded":
        """A raster, of which no block is encoded if it is plain."""
        return raster if isinstance(raster, PartlyEncoded) else cls(raster, raster.dtype, {})


def write_cog(
    path: Path,
    raster: Raster | PartlyEncoded,
    profile: Mapping[str, Any],
    tags: Mapping[str, str],
    form: CogForm,
) -> None:
    """Write a (y, x) raster with overviews and statistics; `profile` is rasterio's crs, transform and nodata.

    Every block is decoded again, and every byte is read back. Raises OSError, RasterioError, UnequalError.
    """
    values, dtype, known = PartlyEncoded.of(raster)
    pool = lasting_threads("blocks", cpu_count())
    levels = [values, *overviews(values, BLOCK, pool)]
    big = sum(_raw_bytes(one, dtype) for one in levels) > _LARGEST if form.big is None else form.big
    missing = profile["nodata"] if dtype.kind != "f" else None
    of_band = statistics(values, missing, pool)
    shape = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": dtype.name}
    coding = {**_coding(dtype, form.compression), "bigtiff": "YES" if big else "NO"}
    first = _written_by_gdal({**shape, **profile, **coding}, tags, of_band)
    directories = [_Level(one, first if at == 0 else _of_overview(first)) for at, one in enumerate(levels)]
    directories[0].known = known
    coder = Coder.of(form.compression, form.level, dtype, missing)
    with path.open("w+b") as file:
        _write(file, directories, big, partial(_in_order, pool, coder.encoded, ahead=2 * cpu_count()))


def _raw_bytes(values: Raster, dtype: np.dtype[Any]) -> int:
    return sum(BLOCK * BLOCK * dtype.itemsize for _ in _blocks(values))


# --- directories ------------------------------------------------------------------------------------------------------


def _coding(dtype: np.dtype[Any], compression: str) -> dict[str, Any]:
    predictor = {} if compression == "none" else {"predictor": predictor_of(dtype)}
    return {"compress": compression, **predictor}


def _written_by_gdal(profile: Mapping[str, Any], tags: Mapping[str, str], of_band: Mapping[str, str]) -> list[Tag]:
    """The directory that GDAL gives an empty raster."""
    blocks = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "sparse_ok": True, "endianness": "LITTLE"}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **blocks, **profile) as raster:
            raster.update_tags(**tags)
            raster.update_tags(1, **of_band)
            if "statistic" in tags:
                raster.set_band_description(1, tags["statistic"])
        data = memory.read()
    source = Source(lambda start, stop: data[start:stop], len(data), "the raster's directory")
    directory = Directory(source, read_directory(source, source.open())[0])
    found = [directory.tag(number, limit=len(data)) for number in sorted(directory.entries)]
    return [tag for tag in found if tag is not None]


def _of_overview(tags: Iterable[Tag]) -> list[Tag]:
    kept = [tag for tag in tags if tag.number not in (*_OF_THE_WHOLE, _SUBFILE)]
    return [Tag(_SUBFILE, _LONG, 1, struct.pack("<I", 1)), *kept]


class _Level:
    """The raster or one of its overviews: its directory, and where its blocks come to lie."""

    def __init__(self, values: Raster, tags: list[Tag]) -> None:
        self.values = values
        self._tags = tags
        self.offsets: list[int] = []
        self.counts: list[int] = []
        self.known: Mapping[int, Future[Bytes]] = {}  # blocks that are encoded already

    def tags(self, big: bool) -> list[Tag]:
        """The directory's entries, with zeros for what is not known yet."""
        height, width = self.values.shape
        blocks = sum(1 for _ in _blocks(self.values))
        kind = _LONG8 if big else _LONG
        lists = {_OFFSETS: (kind, self.offsets), _COUNTS: (_LONG, self.counts)}
        mine = {
            _WIDTH: Tag(_WIDTH, _LONG, 1, struct.pack("<I", width)),
            _HEIGHT: Tag(_HEIGHT, _LONG, 1, struct.pack("<I", height)),
            **{
                number: Tag(number, kind, blocks, np.array(found or [0] * blocks, _DTYPES[kind]).tobytes())
                for number, (kind, found) in lists.items()
            },
        }
        return [mine.get(tag.number, tag) for tag in self._tags]


_DTYPES: Final = {_LONG: "<u4", _LONG8: "<u8"}


@dataclass(frozen=True, slots=True)
class _Form:
    """The widths of counts and offsets in a TIFF and a BigTIFF (TIFF 6.0 section 2; libtiff's BigTIFF page)."""

    head: bytes
    count: str
    entry: str
    offset: str

    def directory(self, tags: list[Tag], at: int, *, last: bool) -> bytes:
        """A directory that begins at byte `at`, then its longer values; the next follows unless it is the last."""
        room = struct.calcsize(self.offset)
        fixed = struct.calcsize(self.count) + len(tags) * (struct.calcsize(self.entry) + room) + room
        entries, behind = b"", b""
        for tag in tags:
            value = tag.raw.ljust(room, b"\0")
            if len(tag.raw) > room:
                value = struct.pack(self.offset, at + fixed + len(behind))
                behind += tag.raw.ljust(len(tag.raw) + -len(tag.raw) % 8, b"\0")
            entries += struct.pack(self.entry, tag.number, tag.kind, tag.count) + value
        end = at + fixed + len(behind)
        padding = -end % 8
        link = struct.pack(self.offset, 0 if last else end + padding)
        return struct.pack(self.count, len(tags)) + entries + link + behind + b"\0" * padding


_CLASSIC: Final = _Form(struct.pack("<2sH", b"II", 42), "<H", "<HHI", "<I")
_BIG: Final = _Form(struct.pack("<2sHHH", b"II", 43, 8, 0), "<Q", "<HHQ", "<Q")


def _front(levels: list[_Level], big: bool) -> bytes:
    """All that comes before the blocks."""
    form = _BIG if big else _CLASSIC
    hints = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_HINTS) + _HINTS
    start = len(form.head) + struct.calcsize(form.offset) + len(hints)
    start += -start % 8
    data = (form.head + struct.pack(form.offset, start) + hints).ljust(start, b"\0")
    for level in levels:
        data += form.directory(level.tags(big), len(data), last=level is levels[-1])
    return data


# --- blocks -----------------------------------------------------------------------------------------------------------


def _write(file: BinaryIO, levels: list[_Level], big: bool, encoded: Callable[[_Level], Iterator[Bytes]]) -> None:
    """Blocks of the smallest overview first, the raster's last; then the directories, which know where they lie."""
    at = _put(file, 0, _front(levels, big))
    for level in reversed(levels):
        for block in encoded(level):
            level.offsets.append(at + 4)
            level.counts.append(len(block))
            at = _put(file, at, struct.pack("<I", len(block)), block, block[-4:])
    file.seek(0)
    _put(file, 0, _front(levels, big))


def _put(file: BinaryIO, at: int, *parts: Bytes) -> int:
    """Write parts at a byte where the file stands, and compare what it holds there then. The byte behind them."""
    file.writelines(parts)
    file.flush()
    for part in parts:
        if os.pread(file.fileno(), len(part), at) != part:
            raise UnequalError(f"read back, bytes {at} to {at + len(part)} differ; check the disk")
        at += len(part)
    return at


def _blocks(values: Raster) -> Iterator[Raster]:
    height, width = values.shape
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            yield values[top : top + BLOCK, left : left + BLOCK]


def _in_order(pool: Executor, encode: Encode, level: _Level, *, ahead: int) -> Iterator[Bytes]:
    """The encoded blocks of a level in their order, a few ahead of their use."""
    waiting: deque[Future[Bytes]] = deque()
    for number, block in enumerate(_blocks(level.values)):
        waiting.append(level.known.get(number) or pool.submit(encode, block))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    for result in waiting:
        yield result.result()
