"""Tiles of a TIFF turned into pixels, in buffers that are used again for every tile.

Sources: TIFF 6.0 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), section 15 (tiles).
"""

import sys
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from runner.errors import ReadError
from runner.read.codecs import CODECS, Lerc
from runner.read.header import Header
from runner.read.layout import UNSUPPORTED, TiffLayout
from runner.read.lenient import LENIENT_CODECS
from runner.read.masks import Bools, FileMask
from runner.read.predictor import undo_predictor, undone_by_rows
from runner.read.tile_lists import MAX_TILE_BYTES

if TYPE_CHECKING:
    from typing_extensions import Buffer

ByteArray: TypeAlias = npt.NDArray[np.uint8]
Pixels: TypeAlias = npt.NDArray[Any]

_RAW_PHOTOMETRICS: Final = (0, 1, 2, 3)  # of others, as YCbCr, GDAL converts the colours
_WITH_PREDICTOR: Final = ("lzw", "deflate", "zstd")  # libtiff ignores the tag with other compressions
_LERC_EXTRA: Final = (0, 1, 2)  # LercParameters[1]: none, DEFLATE, ZSTD


def fast_path_refusal(header: Header, band: int) -> str | None:
    """The reason why `band` (from 1) of this file is left to GDAL; None if TileDecoder takes it."""
    return next(_refusals(header.layout, header.mask_of(band), band), None)


def _refusals(layout: TiffLayout, mask: FileMask, band: int) -> Iterator[str]:
    bands = layout.bands
    if layout.repaired:
        yield f"a TIFF with {layout.repaired}"
    if not 1 <= band <= bands:
        yield f"it has {bands} band{'s' * (bands != 1)}, so no band {band}"
    if layout.tile_bytes > MAX_TILE_BYTES:
        yield f"a strip of {layout.tile_bytes:,} bytes"
    if layout.dtype == UNSUPPORTED:
        yield f"samples of {layout.bits} bits in sample format {layout.sample_format}"
    yield from _coding_refusals(layout)
    if layout.photometric not in _RAW_PHOTOMETRICS:
        yield f"photometric interpretation {layout.photometric}"
    if layout.fill_order != 1:
        yield "bits in reverse order"
    if mask not in (FileMask.none, FileMask.lerc):
        yield mask.value


def _coding_refusals(layout: TiffLayout) -> Iterator[str]:
    if layout.compression not in (*CODECS, "lerc"):
        yield f"compression {layout.compression}"
    if not _predictor_fits(layout):
        yield f"predictor {layout.predictor} of {layout.dtype}"
    if layout.compression == "lerc" and not _lerc_fits(layout):
        yield "LERC of interleaved bands, big-endian or of an unknown variant"


def _predictor(layout: TiffLayout) -> int:
    """The predictor in force."""
    return layout.predictor if layout.compression in _WITH_PREDICTOR else 1


def _predictor_fits(layout: TiffLayout) -> bool:
    return _predictor(layout) in (1, 2) or (_predictor(layout) == 3 and layout.dtype.startswith("float"))


def _lerc_fits(layout: TiffLayout) -> bool:
    variant = (*layout.lerc_parameters, 0, 0)[1]
    plain = layout.byte_order == "<" and (layout.bands == 1 or layout.planar == "band")
    return plain and variant in _LERC_EXTRA


class Buffers:
    """Memory that decoders share from turn to turn: for each scene one inflated tile and one decoded tile.

    All tiles of a turn must be of one length.
    """

    def __init__(self, scenes: int) -> None:
        self._scenes = scenes
        self._memory = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    def inflated(self, length: int) -> ByteArray:
        """Inflated tiles, (scenes, length) bytes."""
        return self._array(0, length)

    def decoded(self, length: int) -> ByteArray:
        """Decoded tiles, (scenes, length) bytes; memory that is never asked for costs nothing."""
        return self._array(1, length)

    def _array(self, which: int, length: int) -> ByteArray:
        if self._memory[which].size < self._scenes * length:
            self._memory[which] = np.empty(self._scenes * length, np.uint8)
        return self._memory[which][: self._scenes * length].reshape(self._scenes, length)


class TileDecoder:
    """Decodes the tiles of one band (from 1) of one file, which fast_path_refusal must have let pass.

    `number` is that of its next tile among those that share the buffers.
    """

    def __init__(self, href: str, header: Header, band: int, buffers: Buffers, number: int = 0) -> None:
        layout = header.layout
        samples = layout.bands if layout.planar == "pixel" else 1
        self.predictor = _predictor(layout)
        self.dtype = np.dtype(layout.dtype)
        self.shape = (layout.tile_height, layout.tile_width, samples)
        self.number = number
        self._href, self._layout = href, layout
        self._sample = band - 1 if layout.planar == "pixel" else 0
        self._row_bytes = layout.tile_width * samples * self.dtype.itemsize
        self._big_endian = layout.byte_order == ">"
        self._as_stored = self.predictor == 1 and self._big_endian == (sys.byteorder == "big")
        self._lerc = Lerc(layout) if layout.compression == "lerc" else None
        self._codec = self._lerc or CODECS[layout.compression]
        self._buffers = buffers
        self.fill = header.fills[band - 1]
        self.tile_bytes = self.shape[0] * self._row_bytes

    @property
    def by_rows(self) -> bool:
        """True if `predictor.undo_rows` takes what `inflate` leaves."""
        size = self.dtype.itemsize
        return undone_by_rows(self._row_bytes, self.shape[2], self.predictor, size, big_endian=self._big_endian)

    @property
    def deflated(self) -> bool:
        """True if tiles are zlib streams and nothing else."""
        return self._layout.compression == "deflate"

    @property
    def packing(self) -> tuple[object, ...]:
        """The properties that decide how a tile is unpacked."""
        return self._layout.compression, self._layout.lerc_parameters

    @property
    def coding(self) -> tuple[object, ...]:
        """The properties that decide how the bytes of an unpacked tile become pixels."""
        return self.shape, self.dtype, self.predictor, self._big_endian

    def all_inflated(self) -> ByteArray:
        """The inflated tiles of all scenes that share the buffers, (scenes, rows, bytes)."""
        tiles = self._buffers.inflated(self.tile_bytes)
        shaped: ByteArray = tiles.reshape(len(tiles), -1, self._row_bytes)
        return shaped

    def inflate(self, data: "Buffer", tile_row: int) -> ByteArray:
        """Unpack a tile in the given row of tiles: (rows, bytes); a tile at the bottom may fill only the first rows.

        It is valid until the next call with the same buffers and number. Raises ReadError.
        """
        return self.inflated(self.unpack(data, tile_row), tile_row)

    def room(self, tile_row: int) -> ByteArray:
        """The bytes that a tile in the given row of tiles may fill."""
        encoded: ByteArray = self._buffers.inflated(self.tile_bytes)[self.number]
        return encoded if self._layout.tiled else encoded[: self._needed_bytes(tile_row)]

    def unpack(self, data: "Buffer", tile_row: int) -> int:
        """Unpack a tile into its room. Returns the number of bytes. Raises ReadError."""
        try:
            return self._unpack(data, self.room(tile_row), self._needed_bytes(tile_row))
        except (RuntimeError, ValueError, OSError, zlib.error) as error:
            raise self._damaged(tile_row, str(error)) from error

    def inflated(self, length: int, tile_row: int) -> ByteArray:
        """The tile of which `length` bytes are in its room: (rows, bytes). Raises ReadError if they are too few."""
        needed = self._needed_bytes(tile_row)
        if length < needed:
            raise self._damaged(tile_row, f"it decodes to {length} bytes, wanted {needed}")
        whole: ByteArray = self._buffers.inflated(self.tile_bytes)[self.number]
        return whole.reshape(-1, self._row_bytes)

    def undo(self, encoded: ByteArray, rows: slice, columns: slice) -> Pixels:
        """Rows and columns of an inflated tile, (rows, columns) in native byte order; the tile may serve as scratch.

        Call it once for a tile. The view is valid as long as the tile; its columns lie apart where the file interleaves
        bands.
        """
        return self.band_of(self.undo_all(encoded, rows), columns)

    def undo_all(self, encoded: ByteArray, rows: slice) -> Pixels:
        """As `undo`, all columns and bands in the tile: (rows, columns, bands)."""
        stored = encoded[rows]
        if self._as_stored:
            as_stored: Pixels = stored.view(self.dtype).reshape(-1, *self.shape[1:])
            return as_stored
        pixels = self._pixels()[: len(stored)]
        undo_predictor(stored, pixels, self.predictor, big_endian=self._big_endian)
        return pixels

    def band_of(self, pixels: Pixels, columns: slice) -> Pixels:
        """Columns of its band, of pixels as `undo_all` returns them."""
        return pixels[:, columns, self._sample]

    def decode(self, data: "Buffer", tile_row: int, rows: slice, columns: slice) -> Pixels:
        """Inflate and undo. Raises ReadError."""
        return self.undo(self.inflate(data, tile_row), rows, columns)

    def _pixels(self) -> Pixels:
        buffer = self._buffers.decoded(self.tile_bytes)[self.number]
        pixels: Pixels = buffer.view(self.dtype).reshape(self.shape)
        return pixels

    def visible(self, rows: slice, columns: slice) -> Bools | None:
        """True for the pixels that the mask of the last inflated tile does not hide; None if it hides none."""
        valid = self._lerc.valid if self._lerc else None
        return None if valid is None else valid[rows, columns]

    def blank(self, rows: slice, columns: slice) -> Pixels:
        """The pixels of a sparse tile, as decode returns them."""
        pixels = self._pixels()[rows, columns, self._sample]
        pixels.fill(self.fill)
        return pixels

    def _unpack(self, data: "Buffer", stored: ByteArray, needed: int) -> int:
        """Unpack a tile, or the needed part of one that holds too much. Returns the number of bytes."""
        try:
            return self._codec(data, stored)
        except (RuntimeError, ValueError):
            lenient = LENIENT_CODECS.get(self._layout.compression)
            if lenient is None:
                raise
        return lenient(data, stored[:needed])

    def needed_rows(self, tile_row: int) -> int:
        """The number of rows of a tile that lie in the image; the file may omit the others."""
        return min(self.shape[0], self._layout.height - tile_row * self.shape[0])

    def _needed_bytes(self, tile_row: int) -> int:
        return self.needed_rows(tile_row) * self._row_bytes

    def _damaged(self, tile_row: int, problem: str) -> ReadError:
        problem = f"a tile of tile row {tile_row} is damaged ({self._layout.compression}): {problem}; upload it again"
        return ReadError(self._href, problem)
