"""Headers of GeoTIFFs: the layout of the file, and the meaning of its tags and of the files beside it."""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.errors import ReadError
from runner.read.georeference import Interpretation, Nodata, Sidecars, interpret_tags
from runner.read.layout import TiffLayout, read_layout
from runner.read.masks import FileMask

if TYPE_CHECKING:
    from datetime import datetime

    from obstore.store import ObjectStore

HEADER_BYTES: Final = 32768  # holds the directories of a COG; GDAL's own first read is 16 KiB
NO_TRANSFORM: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_INTERPRETED: Final = tuple(field.name for field in fields(Interpretation))


@dataclass(frozen=True, slots=True, eq=False)
class Header(Interpretation):
    """The meaning of a GeoTIFF's tags, and the structure of the file."""

    layout: TiffLayout

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.layout.height, self.layout.width

    @property
    def placed(self) -> bool:
        """True if it has a transform; ground control points and RPCs alone do not place its pixels."""
        return self.transform != NO_TRANSFORM

    @property
    def bands(self) -> int:
        """The number of bands."""
        return self.layout.bands

    def nodata_of(self, band: int) -> Nodata:
        """The nodata value of a band (from 1), None without one. Bands may differ by a file beside the TIFF."""
        return self.nodatas[band - 1] if 1 <= band <= len(self.nodatas) else None

    def scale_of(self, band: int) -> tuple[float, float]:
        """(scale, offset) of a band (from 1); (1, 0) if its pixels are values as they are."""
        return self.scales[band - 1], self.offsets[band - 1]

    def with_scale(self, scale: float, offset: float) -> "Header":
        """The header with this scale and offset of all bands."""
        return replace(self, scales=(scale,) * self.bands, offsets=(offset,) * self.bands)

    def mask_of(self, band: int) -> FileMask:
        """The mask of a band (from 1)."""
        return self.masks[band - 1] if 1 <= band <= len(self.masks) else FileMask.none

    @property
    def interleaved(self) -> bool:
        """True if each tile holds several bands."""
        return self.layout.planar == "pixel" and self.layout.bands > 1

    @property
    def tile_shape(self) -> tuple[int, int]:
        """(rows, columns) of a tile; a strip has all columns."""
        return self.layout.tile_height, self.layout.tile_width

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
        """True if it is not empty and lies in an image of (rows, columns)."""
        ends = (self.row + self.height, self.column + self.width)
        return min(self.row, self.column) >= 0 and min(self[2:]) > 0 and ends[0] <= shape[0] and ends[1] <= shape[1]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an array."""
        return slice(self.row, self.row + self.height), slice(self.column, self.column + self.width)

    def shifted(self, rows: int, columns: int) -> "Window":
        """The window so many rows further down, and columns to the right."""
        return self._replace(row=self.row + rows, column=self.column + columns)

    def common(self, other: "Window") -> "Window | None":
        """The pixels of both, None if there are none."""
        row, column = max(self.row, other.row), max(self.column, other.column)
        height = min(self.row + self.height, other.row + other.height) - row
        width = min(self.column + self.width, other.column + other.width) - column
        return Window(row, column, height, width) if height > 0 and width > 0 else None

    def without(self, other: "Window") -> Iterator["Window"]:
        """Its pixels that are not in another, in rectangles as wide as possible."""
        common = self.common(other)
        if common is None:
            yield self
            return
        row, column, height, width = common
        below, right = self.row + self.height, self.column + self.width
        around = [
            Window(self.row, self.column, row - self.row, self.width),
            Window(row, self.column, height, column - self.column),
            Window(row, column + width, height, right - column - width),
            Window(row + height, self.column, below - row - height, self.width),
        ]
        yield from (part for part in around if part.height and part.width)


class ScenePart(NamedTuple):
    """A window of a file, as part of a larger window in which it begins at `row` and `column`.

    `scene` is the number of the scene among those of the larger window. `bands` (from 1) are read of it; several must
    lie in the same tiles. Scenes of another `lot` are added to other sums.
    """

    scene: int
    file: SceneFile
    window: Window
    bands: tuple[int, ...]
    row: int = 0
    column: int = 0
    lot: int = 0


def same_window(files: Sequence[SceneFile], window: Window, band: int) -> list[ScenePart]:
    """The same window of a band of each file."""
    return [ScenePart(number, file, window, (band,)) for number, file in enumerate(files)]


class ScenePixels(NamedTuple):
    """Pixels of one band of scene number `scene`, (rows, columns), from `row` and `column` of the window on.

    `valid`, of the same shape, is False where the file's own mask (`Header.masks`) hides a pixel; None without one.
    Nodata values are left in the pixels. Both arrays are views, valid until the next pixels are read.
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
        index = bisect_right(self._starts, start)
        self._starts.insert(index, start)
        self._parts.insert(index, bytes(data))

    def answer(self, needed: NeedBytes, data: bytes) -> None:
        """Keep the bytes fetched for `needed`; a short answer shows an unknown size. Raises ReadError."""
        length = needed.stop - needed.start
        if len(data) > length or (len(data) < length and self.size is not None):
            raise ReadError(
                self.href,
                f"wanted bytes {needed.start} to {needed.stop}, got {len(data)}; does the server honour Range?",
            )
        if len(data) < length:
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
    """Read a header through `get(start, stop)`; `start` are the first bytes, if known. Raises ReadError."""
    chunks = SparseBytes(href, size)
    chunks.add(0, start)
    while isinstance(header := parse_header(chunks), NeedBytes):
        chunks.answer(header, get(header.start, header.stop))
    return header


async def read_header_async(
    get: Callable[[int, int], Awaitable[bytes]], size: int | None = None, href: str = "TIFF", start: bytes = b""
) -> Header:
    """Like read_header, with an async `get`."""
    chunks = SparseBytes(href, size)
    chunks.add(0, start)
    while isinstance(header := parse_header(chunks), NeedBytes):
        chunks.answer(header, await get(header.start, header.stop))
    return header


def completed(href: str, header: Header, sidecars: Sidecars) -> Header:
    """The header as GDAL completes it by files beside: x.tif.aux.xml, x.tfw, x.wld, x.tab. Raises ReadError."""
    return _header(href, header.layout, sidecars) if sidecars else header


def _header(href: str, layout: TiffLayout, sidecars: Sidecars = ()) -> Header:
    tags = interpret_tags(href, layout, sidecars)
    values = {name: getattr(tags, name) for name in _INTERPRETED}
    values["masks"] = _masks(layout, tags)
    return Header(**values, layout=layout)


def _masks(layout: TiffLayout, tags: Interpretation) -> tuple[FileMask, ...]:
    if layout.has_mask:
        return (FileMask.mask,) * layout.bands
    if layout.compression == "lerc" and np.dtype(tags.dtype).kind in "iu":
        return tuple(FileMask.lerc if mask is FileMask.none else mask for mask in tags.masks)
    return tags.masks
