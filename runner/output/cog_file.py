"""Cloud-Optimized GeoTIFFs written on all cores: directories first, then overviews, then the raster.

GDAL's COG driver copies a raster several times, on one core, while all other threads of Python wait. So GDAL writes the
directory alone, of an empty raster, with the georeference and the metadata; blocks are encoded by imagecodecs.

Source: OGC 21-026, Cloud Optimized GeoTIFF (https://docs.ogc.org/is/21-026/21-026.html).
"""

import os
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from rasterio.io import DatasetWriter, MemoryFile

from runner.host.cpus import cpu_count
from runner.host.spool import Spool
from runner.host.threads import lasting_threads
from runner.output.block_coder import BLOCK, Bytes, Coder, Encode, UnequalError, predictor_of
from runner.output.cog_directory import Level, front, of_overview
from runner.output.overviews import Stored, overviews, statistics
from runner.read.ifd import Directory, Source, Tag, read_directory

_LARGEST: Final = 2**32 - 2**26  # bytes that offsets of 32 bits are trusted with, as a block may grow when compressed


class CogForm(NamedTuple):
    """The form of a COG: none, lzw, deflate or zstd, the last two of a level; BigTIFF if `big`.

    None takes BigTIFF for what might pass 4 GiB.
    """

    compression: str
    level: int
    big: bool | None = None


class BlockSpan(NamedTuple):
    """Where a block lies in a file, in bytes."""

    offset: int
    size: int


class WrittenCog(NamedTuple):
    """Where the blocks of the raster lie, band by band, row by row, and its overviews, each of all bands."""

    spans: list[BlockSpan]
    overviews: list[Sequence[Stored]]


class PartlyEncoded(NamedTuple):
    """Values that are stored as `dtype`, integers of them perhaps in a wider one than they lie in memory.

    Some blocks are encoded already, by their numbers: row by row, from 0 on.
    """

    values: Stored
    dtype: np.dtype[Any]
    blocks: Mapping[int, Future[Bytes]]

    @classmethod
    def of(cls, raster: "Stored | PartlyEncoded") -> "PartlyEncoded":
        """A raster, of which no block is encoded if it is plain."""
        return raster if isinstance(raster, PartlyEncoded) else cls(raster, raster.dtype, {})


@dataclass(frozen=True, slots=True)
class Band:
    """A band of a file: its values, and what GDAL says of it. All bands of a file have one type and one shape.

    A value is what is stored times `scale` plus `offset`.
    """

    raster: PartlyEncoded
    description: str = ""
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    wrote: Callable[[], object] = int  # called for each block that is written, of this size and of smaller ones

    @classmethod
    def all_of(cls, raster: "Stored | PartlyEncoded | Sequence[Band]", tags: Mapping[str, str]) -> "list[Band]":
        """The bands of a file; a plain raster is the only one, described by the file's `statistic`."""
        if isinstance(raster, np.ndarray | Spool | PartlyEncoded):
            return [cls(PartlyEncoded.of(raster), tags.get("statistic", ""))]
        return [*raster]


def write_cog(
    path: Path,
    raster: Stored | PartlyEncoded | Sequence[Band],
    profile: Mapping[str, Any],
    tags: Mapping[str, str],
    form: CogForm,
) -> WrittenCog:
    """Write (y, x) rasters as bands, with overviews and statistics; `profile` is rasterio's crs, transform and nodata.

    Bands lie one after the other, so that one is read without the others. Every block is decoded again, and every byte
    is read back. Raises OSError, RasterioError, UnequalError.
    """
    bands = Band.all_of(raster, tags)
    dtype, pool = bands[0].raster.dtype, lasting_threads("blocks", cpu_count())
    levels = [Level([band.raster.values for band in bands], [band.raster.blocks for band in bands])]
    smaller = [overviews(band.raster.values, BLOCK, pool) for band in bands]
    levels += [Level([*values]) for values in zip(*smaller, strict=True)]
    big = sum(level.raw_bytes(dtype) for level in levels) > _LARGEST if form.big is None else form.big
    missing = profile["nodata"] if dtype.kind != "f" else None
    of_bands = [statistics(band.raster.values, missing, pool) for band in bands]
    shape = {"height": levels[0].height, "width": levels[0].width, "dtype": dtype.name}
    coding = {**_coding(dtype, form.compression), "bigtiff": "YES" if big else "NO"}
    first = _written_by_gdal({**shape, **profile, **coding}, tags, bands, of_bands)
    for number, level in enumerate(levels):
        level.directory = of_overview(first) if number else first
    coder = Coder.of(form.compression, form.level, dtype, missing)
    with path.open("w+b") as file:
        _write(file, levels, big, partial(_in_order, pool, coder.encoded, ahead=2 * cpu_count()), bands[0].wrote)
    spans = list(map(BlockSpan, levels[0].offsets, levels[0].counts))
    return WrittenCog(spans, [level.bands for level in levels[1:]])


def _coding(dtype: np.dtype[Any], compression: str) -> dict[str, Any]:
    predictor = {} if compression == "none" else {"predictor": predictor_of(dtype)}
    return {"compress": compression, **predictor}


def _written_by_gdal(
    profile: Mapping[str, Any], tags: Mapping[str, str], bands: Sequence[Band], statistics: Sequence[Mapping[str, str]]
) -> list[Tag]:
    """The directory that GDAL gives an empty raster."""
    blocks = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "sparse_ok": True, "endianness": "LITTLE"}
    several = {"interleave": "band", "photometric": "MINISBLACK"} if len(bands) > 1 else {}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", count=len(bands), **several, **blocks, **profile) as raster:
            raster.update_tags(**tags)
            for number, (band, of_band) in enumerate(zip(bands, statistics, strict=True), start=1):
                _describe(raster, number, band, of_band)
            if any((band.scale, band.offset) != (1, 0) for band in bands):
                raster.scales, raster.offsets = zip(*((band.scale, band.offset) for band in bands), strict=True)
        data = memory.read()
    source = Source(lambda start, stop: data[start:stop], len(data), "the raster's directory")
    directory = Directory(source, read_directory(source, source.open())[0])
    found = [directory.tag(number, limit=len(data)) for number in sorted(directory.entries)]
    return [tag for tag in found if tag is not None]


def _describe(raster: DatasetWriter, number: int, band: Band, statistics: Mapping[str, str]) -> None:
    raster.update_tags(number, **band.tags, **statistics)
    if band.description:
        raster.set_band_description(number, band.description)
    if band.unit:
        raster.set_band_unit(number, band.unit)


def _write(
    file: BinaryIO,
    levels: list[Level],
    big: bool,
    encoded: Callable[[Level], Iterator[Bytes]],
    wrote: Callable[[], object],
) -> None:
    """Blocks of the smallest overview first, the raster's last; then the directories, which know where they lie."""
    at = _put(file, 0, front(levels, big))
    for level in reversed(levels):
        for block in encoded(level):
            level.offsets.append(at + 4)
            level.counts.append(len(block))
            at = _put(file, at, struct.pack("<I", len(block)), block, block[-4:])
            wrote()
    file.seek(0)
    _put(file, 0, front(levels, big))


def _put(file: BinaryIO, at: int, *parts: Bytes) -> int:
    """Write parts at a byte where the file stands, and compare what it holds there then. The byte behind them."""
    file.writelines(parts)
    file.flush()
    for part in parts:
        if os.pread(file.fileno(), len(part), at) != part:
            raise UnequalError(f"read back, bytes {at} to {at + len(part)} differ; check the disk")
        at += len(part)
    return at


def _in_order(pool: Executor, encode: Encode, level: Level, *, ahead: int) -> Iterator[Bytes]:
    """The encoded blocks of a level in their order, a few ahead of their use."""

    def encoded(raster: Stored, rows: slice, columns: slice) -> Bytes:
        return encode(raster[rows, columns])

    waiting: deque[Future[Bytes]] = deque()
    for raster, rows, columns, known in level.blocks():
        waiting.append(known or pool.submit(encoded, raster, rows, columns))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    for result in waiting:
        yield result.result()
