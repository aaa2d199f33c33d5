"""The structure of a TIFF: where its tiles lie and how they are coded. No pixel is read here.

In all of `read` and `reduce`, a TIFF strip is a tile too: one as wide as the image.

Sources of the format rules: TIFF 6.0 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), section 8 for the
baseline tags and their defaults, 15 for tiles, 19 for sample formats; TIFF Technical Note 1 for NewSubfileType; GDAL's
private tags, sparse tiles and internal masks (https://gdal.org/en/stable/drivers/raster/gtiff.html) and its COG layout
(https://gdal.org/en/stable/drivers/raster/cog.html).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.read.ifd import ByteOrder, Directory, Get, Source, StructureError, Tag, read_directory
from runner.read.tile_lists import TileGrid, read_tile_lists

MAX_DIRECTORIES: Final = 256  # one image with overviews and masks has some twenty
UNSUPPORTED: Final = "unsupported"  # the dtype of samples that numpy has no plain type for

_SINGLE: Final = (256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323)  # tags of one value that pixels depend on
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

    `offsets` and `byte_counts` are uint64 arrays (bands or 1, tiles down, tiles across), in bytes from the start of
    the file; a byte count of 0 marks a sparse tile. Long strips of uncompressed pixels are cut into shorter tiles.
    `dtype` is a numpy name or "unsupported"; `bits` and `sample_format` are the file's, 0 if bands differ. Sizes are in
    pixels. At the edges tiles are stored in full, except the last strip (`tiled` is False). `repaired` names the part
    of the structure that only libtiff can repair, "" for none.
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
    tile_height: int
    tile_width: int
    tiles_down: int
    tiles_across: int
    offsets: npt.NDArray[np.uint64]
    byte_counts: npt.NDArray[np.uint64]
    photometric: int
    fill_order: int
    jpeg_tables: bytes
    lerc_parameters: tuple[int, ...]
    has_mask: bool
    extra_samples: tuple[int, ...]
    overviews: int
    geo_tags: tuple[Tag, ...]
    has_rpcs: bool = False
    repaired: str = ""

    @property
    def tile_bytes(self) -> int:
        """Bytes of a tile when decoded."""
        samples = self.bands if self.planar == "pixel" else 1
        return self.tile_height * -(-self.tile_width * samples * self.bits // 8)

    @property
    def half_floats(self) -> bool:
        """True if its pixels are floats of 16 bits, as `NBITS=16` of the GTiff driver makes them."""
        return (self.sample_format, self.bits) == (3, 16)


def read_layout(get: Get, size: int | None, href: str = "TIFF") -> TiffLayout:
    """Parse the directories of a TIFF: `get(start, stop)` returns its bytes, `size` is its length, None if unknown.

    Reads a few KiB: the directories, their geo tags and the lists of tiles, all checked before they are read. What
    `get` raises passes through. Raises ReadError, with `href`, for no TIFF, a truncated or an inconsistent one.
    """
    source = Source(get, size, href)
    start = source.open()
    entries, following = read_directory(source, start)
    image = Directory(source, entries)
    return _layout(image, _follow(image, start, following))


class _Chain(NamedTuple):
    """The contents of the directories behind the first one, and the problem of the links between them, if any."""

    has_mask: bool
    overviews: int
    problem: str


def _follow(image: Directory, first: int, start: int) -> _Chain:
    """Follow the links from the image's directory at `first` on, whose own leads to `start`, as far as they lead.

    The directories that it lists as its own (SubIFDs) come before.
    """
    chain = _Chain(has_mask=False, overviews=0, problem="")
    for place in image.integers(330)[:MAX_DIRECTORIES]:
        chain, _ = _visit(chain, image, place)
    seen = {first}
    while start and not chain.problem:
        if start in seen:
            return chain._replace(problem="directories in a circle")
        if len(seen) >= MAX_DIRECTORIES:
            return chain._replace(problem=f"more than {MAX_DIRECTORIES} directories")
        seen.add(start)
        chain, start = _visit(chain, image, start)
    return chain


def _visit(chain: _Chain, image: Directory, place: int) -> tuple[_Chain, int]:
    """The chain with the directory at `place`, and the offset of the next one."""
    try:
        entries, following = read_directory(image.source, place)
        directory = Directory(image.source, entries)
        has_mask = chain.has_mask or _is_mask(directory, image)
        overviews = chain.overviews + (directory.integer(254, 0) & 5 == 1)
    except StructureError:
        return chain._replace(problem=f"a link to a directory at byte {place}, where there is none"), 0
    return _Chain(has_mask, overviews, chain.problem), following


def _is_mask(directory: Directory, image: Directory) -> bool:
    """True if GDAL takes a directory for the mask of an image: of its size, in bytes or less, for all or for each band.

    NewSubfileType has bit 2 for a mask, bit 0 for a reduced resolution.
    """
    if directory.integer(254, 0) & 5 != 4 or directory.integer(258, 1) > 8 or directory.integer(339, 1) not in (1, 4):
        return False
    fits = all(directory.integer(number, 0) == image.integer(number, 0) for number in (256, 257))
    return fits and directory.integer(277, 1) in (1, image.integer(277, 1))


def _layout(tags: Directory, chain: _Chain) -> TiffLayout:
    """Interpret the full-resolution directory; the numbers are those of the tags."""
    bands, bits, sample_format = _samples(tags)
    grid = _grid(tags, bands)
    tiles = read_tile_lists(tags, grid)
    code = tags.integer(259, 1)
    _refuse_colours(tags, code, bands, bits)
    jpeg_tables = tags.tag(347)
    return TiffLayout(
        byte_order=tags.source.order,
        big=tags.source.big,
        width=grid.width,
        height=grid.height,
        bands=bands,
        dtype=_DTYPES.get((sample_format, bits), UNSUPPORTED),
        bits=bits,
        sample_format=sample_format,
        compression=COMPRESSIONS.get(code, f"code {code}"),
        predictor=tags.integer(317, 1),
        planar="band" if grid.planes > 1 else "pixel",
        tiled=grid.tiled,
        tile_height=tiles.tile_height,
        tile_width=grid.tile_width,
        tiles_down=tiles.offsets.shape[1],
        tiles_across=tiles.offsets.shape[2],
        offsets=tiles.offsets,
        byte_counts=tiles.byte_counts,
        photometric=tags.integer(262, 1),
        fill_order=tags.integer(266, 1),
        jpeg_tables=jpeg_tables.raw if jpeg_tables else b"",
        lerc_parameters=tags.integers(50674),
        has_mask=chain.has_mask,
        extra_samples=tags.integers(338),
        overviews=chain.overviews,
        geo_tags=tuple(tag for number in GEO_TAGS if (tag := tags.tag(number))),
        has_rpcs=50844 in tags.entries,
        repaired=chain.problem or tiles.repaired or _not_single(tags),
    )


def _samples(tags: Directory) -> tuple[int, int, int]:
    """Bands, bits per sample and sample format; the latter two are 0 where bands differ."""
    bands, bits, sample_format = tags.integer(277, 1), tags.common(258, 1), tags.common(339, 1)
    if not (0 < bands < 2**16 and bits <= 128 and sample_format < 2**16):
        tags.source.fail(f"absurd TIFF: {bands} bands of {bits} bits in sample format {sample_format}")
    return bands, bits, sample_format


def _not_single(tags: Directory) -> str:
    """The first tag that has not exactly one value, or ""; libtiff ignores some of them, and refuses others."""
    counts = {number: tags.entries[number][1] for number in _SINGLE if number in tags.entries}
    return next((f"{count} values of tag {number}, wanted 1" for number, count in counts.items() if count != 1), "")


def _refuse_colours(tags: Directory, compression: int, bands: int, bits: int) -> None:
    """Refuse files that GDAL turns into red, green, blue and alpha, whatever their bands are."""
    photometric, four_inks = tags.integer(262, 1), tags.integer(332, 1) == 1  # InkSet
    kinds = {
        "old-style JPEG (compression 6)": compression == 6,
        "colours in CIELab (photometric interpretation 8)": (photometric, bands, bits) == (8, 3, 8),
        f"CMYK in {bands} bands (photometric interpretation 5)": (photometric, bits, four_inks) == (5, 8, True)
        and bands > 4,
    }
    for kind, holds in kinds.items():
        if holds:
            tags.source.fail(
                f"{kind}, which GDAL reads as red, green, blue and alpha only, not as the file's own bands; "
                "convert it to RGB or to plain bands first"
            )


def _grid(tags: Directory, bands: int) -> TileGrid:
    """The grid of tiles."""
    planar = tags.integer(284, 1)
    if planar not in (1, 2):
        tags.source.fail(f"damaged TIFF: PlanarConfiguration (tag 284) is {planar}, wanted 1 or 2")
    height, width = tags.size(257, "ImageLength"), tags.size(256, "ImageWidth")
    tile_height, tile_width = _tile_shape(tags, height, width)
    return TileGrid(
        height=height,
        width=width,
        tile_height=tile_height,
        tile_width=tile_width,
        samples=1 if planar == 2 else bands,
        planes=bands if planar == 2 else 1,
        bits=max(tags.integers(258) or (1,)),
        tiled=322 in tags.entries,
    )


def _tile_shape(tags: Directory, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of a tile; a strip is as wide as the image."""
    if 322 in tags.entries or 323 in tags.entries:
        return tags.size(323, "TileLength"), tags.size(322, "TileWidth")
    return min(tags.integer(278, height) or height, height), width
