"""The structure of a TIFF: where its blocks lie and how they are coded. No pixel is read here.

Sources of the format rules: TIFF 6.0 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), section 8 for the
baseline tags and their defaults, 15 for tiles, 19 for sample formats; TIFF Technical Note 1 for NewSubfileType; GDAL's
private tags, sparse blocks and internal masks (https://gdal.org/en/stable/drivers/raster/gtiff.html) and its COG layout
(https://gdal.org/en/stable/drivers/raster/cog.html).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from runner.read.directory import ByteOrder, Directory, Get, Source, Tag, read_directory

MAX_BLOCK_BYTES: Final = 512 * 2**20  # one block when decoded; a 32 KiB file can claim a block of gigabytes
MAX_BLOCKS: Final = 2**22  # a million by a million pixels in blocks of 512
MAX_DIRECTORIES: Final = 256  # one image with overviews and masks has some twenty
UNSUPPORTED: Final = "unsupported"  # the dtype of samples that numpy has no plain type for

GEO_TAGS: Final = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
COMPRESSIONS: Final[Mapping[int, str]] = {
    1: "none", 2: "ccittrle", 3: "ccittfax3", 4: "ccittfax4", 5: "lzw", 6: "old-jpeg", 7: "jpeg", 8: "deflate",
    32773: "packbits", 32946: "deflate", 34712: "jpeg2000", 34887: "lerc", 34925: "lzma", 50000: "zstd", 50001: "webp",
    50002: "jxl", 52546: "jxl",
}  # fmt: skip
_DTYPES: Final[Mapping[tuple[int, int], str]] = {  # (SampleFormat, BitsPerSample); 4 is "undefined", read as unsigned
    **{(kind, bits): f"uint{bits}" for kind in (1, 4) for bits in (8, 16, 32, 64)},
    **{(2, bits): f"int{bits}" for bits in (8, 16, 32, 64)},
    **{(3, bits): f"float{bits}" for bits in (32, 64)},
}


@dataclass(frozen=True, slots=True, eq=False)
class TiffLayout:
    """The first directory of a TIFF, which is its full resolution.

    `offsets` and `byte_counts` are uint64 arrays (bands or 1, blocks down, blocks across), in bytes from the start of
    the file; a byte count of 0 marks a sparse block. `dtype` is a numpy name or "unsupported"; `bits` and
    `sample_format` are the file's, 0 if bands differ. Sizes are in pixels. Tiles at the edges are stored in full, the
    last strip is not.
    """

    byte_order: ByteOrder
    big: bool
    width: int
    height: int
    bands: int
    dtype: str
    bits: int
    sample_format: int
    compression: str
    predictor: int
    planar: Literal["pixel", "band"]
    tiled: bool
    block_height: int
    block_width: int
    blocks_down: int
    blocks_across: int
    offsets: npt.NDArray[np.uint64]
    byte_counts: npt.NDArray[np.uint64]
    photometric: int
    fill_order: int
    jpeg_tables: bytes
    lerc_parameters: tuple[int, ...]
    has_mask: bool
    has_alpha: bool
    overviews: int
    geo_tags: tuple[Tag, ...]
    has_rpcs: bool = False


def read_layout(get: Get, size: int | None, href: str = "TIFF") -> TiffLayout:
    """Parse the directories of a TIFF: `get(start, stop)` returns its bytes, `size` is its length, None if unknown.

    Reads a few KiB: the directories, their geo tags and the lists of blocks, all checked before they are read. What
    `get` raises passes through. Raises ReadError, with `href`, for what is no TIFF, is cut short or makes no sense.
    """
    source = Source(get, size, href)
    start = source.open()
    first, following = read_directory(source, start)
    has_mask, overviews = _follow(source, start, following)
    return _layout(Directory(source, first), has_mask, overviews)


def _follow(source: Source, first: int, start: int) -> tuple[bool, int]:
    """Whether the directories from `start` on hold a mask of the full resolution, and how many overviews they hold."""
    seen = {first}
    has_mask, overviews = False, 0
    while start:
        if start in seen or len(seen) >= MAX_DIRECTORIES:
            source.fail(f"damaged TIFF: directories in a circle, or more than {MAX_DIRECTORIES}, at byte {start}")
        seen.add(start)
        entries, start = read_directory(source, start)
        kind = Directory(source, entries).integer(254, 0)  # NewSubfileType: bit 0 reduced resolution, bit 2 mask
        has_mask |= kind & 5 == 4
        overviews += kind & 5 == 1
    return has_mask, overviews


def _layout(tags: Directory, has_mask: bool, overviews: int) -> TiffLayout:
    """Interpret the full-resolution directory; the numbers are those of the tags."""
    height, width = tags.size(257, "ImageLength"), tags.size(256, "ImageWidth")
    bands, bits, sample_format = _samples(tags)
    planar: Literal["pixel", "band"] = "band" if tags.integer(284, 1) == 2 and bands > 1 else "pixel"
    block_height, block_width = _block_shape(tags, height, width)
    block_bytes = _block_bytes(tags, (block_height, block_width), bands if planar == "pixel" else 1)
    shape = (bands if planar == "band" else 1, -(-height // block_height), -(-width // block_width))
    offsets, byte_counts = _block_lists(tags, shape)
    _check_extent(tags.source, offsets, byte_counts, block_bytes)
    code = tags.integer(259, 1)
    jpeg_tables = tags.tag(347)
    return TiffLayout(
        byte_order=tags.source.order,
        big=tags.source.big,
        width=width,
        height=height,
        bands=bands,
        dtype=_DTYPES.get((sample_format, bits), UNSUPPORTED),
        bits=bits,
        sample_format=sample_format,
        compression=COMPRESSIONS.get(code, f"code {code}"),
        predictor=tags.integer(317, 1),
        planar=planar,
        tiled=322 in tags.entries,
        block_height=block_height,
        block_width=block_width,
        blocks_down=shape[1],
        blocks_across=shape[2],
        offsets=offsets,
        byte_counts=byte_counts,
        photometric=tags.integer(262, 1),
        fill_order=tags.integer(266, 1),
        jpeg_tables=jpeg_tables.raw if jpeg_tables else b"",
        lerc_parameters=tags.integers(50674),
        has_mask=has_mask,
        has_alpha=bool({1, 2} & set(tags.integers(338))),  # ExtraSamples: associated or unassociated alpha
        overviews=overviews,
        geo_tags=tuple(found for number in GEO_TAGS if (found := tags.tag(number))),
        has_rpcs=50844 in tags.entries,
    )


def _samples(tags: Directory) -> tuple[int, int, int]:
    """Bands, bits per sample and sample format; the latter two are 0 where bands differ."""
    bands, bits, sample_format = tags.integer(277, 1), tags.common(258, 1), tags.common(339, 1)
    if not (0 < bands < 2**16 and bits <= 128 and sample_format < 2**16):
        tags.source.fail(f"absurd TIFF: {bands} bands of {bits} bits in sample format {sample_format}")
    return bands, bits, sample_format


def _block_shape(tags: Directory, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of a block: a tile, or a strip as wide as the image."""
    if 322 in tags.entries or 323 in tags.entries:
        return tags.size(323, "TileLength"), tags.size(322, "TileWidth")
    return min(tags.integer(278, height) or height, height), width


def _block_bytes(tags: Directory, shape: tuple[int, int], samples: int) -> int:
    """Bytes of a decoded block, refused if over MAX_BLOCK_BYTES."""
    length = shape[0] * shape[1] * samples * -(-max(tags.integers(258) or (1,)) // 8)
    if not 0 < length <= MAX_BLOCK_BYTES:
        tags.source.fail(
            f"absurd block: {shape[0]} rows x {shape[1]} columns x {samples} samples decode to {length} bytes, "
            f"wanted 1 to {MAX_BLOCK_BYTES}; rewrite it with blocks of 512 x 512"
        )
    return length


def _block_lists(tags: Directory, shape: tuple[int, int, int]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Offsets and byte counts of all blocks, in the given shape."""
    count = shape[0] * shape[1] * shape[2]
    if count > MAX_BLOCKS:
        tags.source.fail(f"absurd TIFF: {count} blocks, the limit is {MAX_BLOCKS}")
    numbers = (324, 325) if 324 in tags.entries else (273, 279)
    offsets, byte_counts = (tags.array(number, 8 * MAX_BLOCKS) for number in numbers)
    if min(len(offsets), len(byte_counts)) < count:
        tags.source.fail(
            f"damaged TIFF: {len(offsets)} offsets and {len(byte_counts)} byte counts for {count} blocks; write it anew"
        )
    return offsets[:count].reshape(shape), byte_counts[:count].reshape(shape)


def _check_extent(
    source: Source, offsets: npt.NDArray[np.uint64], byte_counts: npt.NDArray[np.uint64], block_bytes: int
) -> None:
    """Refuse blocks that end beyond the file (if its size is unknown: beyond 2**63) or that cannot be that long."""
    size = 2**63 if source.size is None else source.size
    limit = np.uint64(size)
    beyond = (byte_counts > 0) & ((byte_counts > limit) | (offsets > limit - np.minimum(byte_counts, limit)))
    if beyond.any():
        stop = int(offsets[beyond][0]) + int(byte_counts[beyond][0])
        source.fail(
            f"truncated TIFF: a block ends at byte {stop}, the object has {size} bytes ({int(beyond.sum())} of "
            f"{offsets.size} blocks are affected); upload it again"
        )
    longest = int(byte_counts.max())
    if longest > 2 * block_bytes + 65536:  # LZW grows noise by half at most, others by less
        source.fail(f"absurd block: {longest} bytes are stored for {block_bytes} decoded ones; write it anew")
