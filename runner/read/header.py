"""Headers of GeoTIFFs: the layout of the file, and what its tags and the files beside it mean (`georeference`)."""

from bisect import bisect_right
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.errors import ReadError
from runner.read.georeference import Georeference, Nodata, Pixel, Sidecars, Transform, read_georeference
from runner.read.layout import TiffLayout, read_layout
from runner.read.masks import FileMask

if TYPE_CHECKING:
    from datetime import datetime

    from obstore.store import ObjectStore

HEADER_BYTES: Final = 32768  # holds the directories of a COG; GDAL's own first read is 16 KiB
NO_TRANSFORM: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """What one GeoTIFF says of itself, wherever it lies.

    `crs` is WKT, "" for none. `transform` is (a, b, c, d, e, f): x = a * column + b * row + c and
    y = d * column + e * row + f of the upper left corner of a pixel, in CRS units; the identity if there is none.
    `shape` is (height, width) in pixels. `dtype` is rasterio's name. `nodatas`, `fills`, `scales`, `offsets` and
    `masks` have one value per band: a fill is the pixel of a sparse block, which is nodata, in the range of the dtype,
    or 0; a mask is said beside nodata. `layout` is the structure of the file.
    """

    crs: str
    epsg: int | None
    transform: Transform
    shape: tuple[int, int]
    dtype: str
    nodatas: tuple[Nodata, ...]
    fills: tuple[Pixel, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    masks: tuple[FileMask, ...]
    layout: TiffLayout
    gcps: int = 0

    @property
    def placed(self) -> bool:
        """Whether a transform says where its pixels lie; ground control points and RPCs only do not."""
        return self.transform != NO_TRANSFORM

    @property
    def bands(self) -> int:
        """The number of bands."""
        return self.layout.bands

    def nodata_of(self, band: int) -> Nodata:
        """The nodata value of a band (from 1), None without one; a file beside the TIFF may give each its own."""
        return self.nodatas[band - 1] if 1 <= band <= len(self.nodatas) else None

    def scale_of(self, band: int) -> tuple[float, float]:
        """(scale, offset) of a band (from 1); (1, 0) if its pixels are values as they are."""
        return self.scales[band - 1], self.offsets[band - 1]

    def mask_of(self, band: int) -> FileMask:
        """What hides pixels of a band (from 1)."""
        return self.masks[band - 1] if 1 <= band <= len(self.masks) else FileMask.none

    @property
    def block_shape(self) -> tuple[int, int]:
        """(rows, columns) of a block; a strip has all columns."""
        return self.layout.block_height, self.layout.block_width

    @property
    def compression(self) -> str:
        """The name of the compression, "none" without."""
        return self.layout.compression

    @property
    def predictor(self) -> int:
        """The TIFF predictor: 1 none, 2 horizontal differences, 3 floating point."""
        return self.layout.predictor

    @property
    def overviews(self) -> int:
        """The number of overviews inside the file."""
        return self.layout.overviews


@dataclass(frozen=True, slots=True)
class SceneFile:
    """One scene as the readers of pixels need it: `key` is its path in `store`.

    `etag`, `size` (in bytes) and `modified` pin its version, None leaves it open.
    """

    href: str
    store: "ObjectStore"
    key: str
    etag: str | None
    header: Header
    size: int | None = None
    modified: "datetime | None" = None


class Window(NamedTuple):
    """Part of a grid, in pixels: its upper left pixel and its size."""

    row: int
    column: int
    height: int
    width: int

    def inside(self, shape: tuple[int, int]) -> bool:
        """Whether it is not empty and lies in an image of (rows, columns)."""
        ends = (self.row + self.height, self.column + self.width)
        return min(self.row, self.column) >= 0 and min(self[2:]) > 0 and ends[0] <= shape[0] and ends[1] <= shape[1]


class BlockPixels(NamedTuple):
    """Pixels of one band of scene number `scene`, (rows, columns), from `row` and `column` of the window on.

    `valid`, of the same shape, is False where the file's own mask (`Header.masks`) hides a pixel; None without one.
    Nodata values are left in the pixels. Both arrays are views, valid until the next are asked for.
    """

    scene: int
    row: int
    column: int
    pixels: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_] | None


class NeedBytes(Exception):  # noqa: N818 - a request, not an error
    """The header goes on in bytes `start` to `stop` of the object."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__(start, stop)
        self.start, self.stop = start, stop


class SparseBytes:
    """The parts of one object that were fetched so far. `size` is its length in bytes, None if unknown."""

    def __init__(self, href: str, size: int | None = None) -> None:
        self.href, self.size = href, size
        self._starts: list[int] = []
        self._parts: list[bytes] = []

    def add(self, start: int, data: bytes) -> None:
        """Keep the bytes of the object from `start` on."""
        at = bisect_right(self._starts, start)
        self._starts.insert(at, start)
        self._parts.insert(at, bytes(data))

    def answer(self, needed: NeedBytes, data: bytes) -> None:
        """Keep what was fetched for `needed`; where the size is unknown, a short answer tells it. Raises ReadError."""
        wanted = needed.stop - needed.start
        if len(data) > wanted or (len(data) < wanted and self.size is not None):
            raise ReadError(
                self.href,
                f"wanted bytes {needed.start} to {needed.stop}, got {len(data)}; does the server honour Range?",
            )
        if len(data) < wanted:
            self.size = needed.start + len(data)
        self.add(needed.start, data)

    def get(self, start: int, stop: int) -> bytes:
        """The bytes from start to stop. Raises NeedBytes, rounded up to save requests, if they are not all here."""
        for begin, part in zip(self._starts, self._parts, strict=True):
            if begin <= start and stop <= begin + len(part):
                return part[start - begin : stop - begin]
        ahead = max(stop, start + HEADER_BYTES)
        raise NeedBytes(start, ahead if self.size is None else max(stop, min(ahead, self.size)))


def parse_header(chunks: SparseBytes) -> Header | NeedBytes:
    """The header in the bytes at hand, or the bytes to add before the next try. Raises ReadError for a bad file."""
    try:
        return _header(chunks.href, read_layout(chunks.get, chunks.size, chunks.href))
    except NeedBytes as needed:
        return needed


def read_header(
    get: Callable[[int, int], bytes], size: int | None = None, href: str = "TIFF", start: bytes = b""
) -> Header:
    """Read a header through `get(start, stop)`; `start` is what is known of the first bytes. Raises ReadError."""
    chunks = SparseBytes(href, size)
    chunks.add(0, start)
    while isinstance(found := parse_header(chunks), NeedBytes):
        chunks.answer(found, get(found.start, found.stop))
    return found


async def read_header_async(
    get: Callable[[int, int], Awaitable[bytes]], size: int | None = None, href: str = "TIFF", start: bytes = b""
) -> Header:
    """Like read_header, with an async `get`."""
    chunks = SparseBytes(href, size)
    chunks.add(0, start)
    while isinstance(found := parse_header(chunks), NeedBytes):
        chunks.answer(found, await get(found.start, found.stop))
    return found


def completed(href: str, header: Header, sidecars: Sidecars) -> Header:
    """The header as GDAL completes it by files beside: x.tif.aux.xml, x.tfw, x.wld, x.tab. Raises ReadError."""
    return _header(href, header.layout, sidecars) if sidecars else header


def _header(href: str, layout: TiffLayout, sidecars: Sidecars = ()) -> Header:
    geo = read_georeference(href, layout, sidecars)
    return Header(
        crs=geo.crs,
        epsg=geo.epsg,
        transform=geo.transform,
        shape=(layout.height, layout.width),
        dtype=geo.dtype,
        nodatas=geo.nodatas,
        fills=geo.fills,
        scales=geo.scales,
        offsets=geo.offsets,
        masks=_masks(layout, geo),
        layout=layout,
        gcps=geo.gcps,
    )


def _masks(layout: TiffLayout, geo: Georeference) -> tuple[FileMask, ...]:
    if layout.has_mask:
        return (FileMask.mask,) * layout.bands
    if layout.compression == "lerc" and np.dtype(geo.dtype).kind in "iu":
        return tuple(FileMask.lerc if one is FileMask.none else one for one in geo.masks)
    return geo.masks
