"""Blocks of a TIFF turned into pixels, in buffers that are used again for every block.

Sources: TIFF 6.0 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), sections 9 (PackBits), 13 (LZW) and
15 (tiles); TIFF Technical Note 2 (DEFLATE); libtiff's tif_lerc.c for LERC: a blob, perhaps deflated or in ZSTD, whose
invalid floating-point pixels are NaN.
"""

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import imagecodecs
import numpy as np
import numpy.typing as npt

from runner.errors import ReadError
from runner.read.block_lists import MAX_BLOCK_BYTES
from runner.read.header import Header
from runner.read.layout import UNSUPPORTED, TiffLayout
from runner.read.lenient import LENIENT_CODECS
from runner.read.masks import Bools, FileMask
from runner.read.predictor import undo_predictor, undone_by_rows

if TYPE_CHECKING:
    from typing_extensions import Buffer

ByteArray: TypeAlias = npt.NDArray[np.uint8]
Pixels: TypeAlias = npt.NDArray[Any]
Codec: TypeAlias = Callable[[Any, Any], int]  # decodes into the array; how many bytes it wrote

_RAW_PHOTOMETRICS: Final = (0, 1, 2, 3)  # of others, as YCbCr, GDAL converts the colours
_WITH_PREDICTOR: Final = ("lzw", "deflate", "zstd")  # libtiff passes over the tag with other compressions
_LERC_EXTRA: Final = (0, 1, 2)  # LercParameters[1]: none, DEFLATE, ZSTD


def fast_path_refusal(header: Header, band: int) -> str | None:
    """Why `band` (from 1) of this file is left to GDAL, in words; None if BlockDecoder takes it."""
    layout, mask = header.layout, header.mask_of(band)
    bands = layout.bands
    reasons = {
        f"a TIFF with {layout.repaired}": bool(layout.repaired),
        f"it has {bands} band{'s' * (bands != 1)}, so no band {band}": not 1 <= band <= bands,
        f"a strip of {layout.block_bytes:,} bytes": layout.block_bytes > MAX_BLOCK_BYTES,
        f"samples of {layout.bits} bits in sample format {layout.sample_format}": layout.dtype == UNSUPPORTED,
        f"compression {layout.compression}": layout.compression not in (*_CODECS, "lerc"),
        f"predictor {layout.predictor} of {layout.dtype}": not _predictor_fits(layout),
        "LERC of interleaved bands, big-endian or of an unknown variant": layout.compression == "lerc"
        and not _lerc_fits(layout),
        f"photometric interpretation {layout.photometric}": layout.photometric not in _RAW_PHOTOMETRICS,
        "bits in reverse order": layout.fill_order != 1,
        mask.value: mask not in (FileMask.none, FileMask.lerc),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _predictor(layout: TiffLayout) -> int:
    """The predictor that is in force."""
    return layout.predictor if layout.compression in _WITH_PREDICTOR else 1


def _predictor_fits(layout: TiffLayout) -> bool:
    return _predictor(layout) in (1, 2) or (_predictor(layout) == 3 and layout.dtype.startswith("float"))


def _lerc_fits(layout: TiffLayout) -> bool:
    variant = (*layout.lerc_parameters, 0, 0)[1]
    plain = layout.byte_order == "<" and (layout.bands == 1 or layout.planar == "band")
    return plain and variant in _LERC_EXTRA


class Buffers:
    """Memory that decoders share, turn by turn: for each of a few scenes one block inflated and one decoded."""

    def __init__(self, scenes: int) -> None:
        self._scenes = scenes
        self._arrays = [np.empty((scenes, 0), np.uint8), np.empty((scenes, 0), np.uint8)]

    def inflated(self, length: int) -> ByteArray:
        """Inflated blocks, (scenes, length) bytes."""
        return self._array(0, length)

    def decoded(self, length: int) -> ByteArray:
        """Decoded blocks, (scenes, length) bytes; memory that is never asked for costs nothing."""
        return self._array(1, length)

    def _array(self, which: int, length: int) -> ByteArray:
        if self._arrays[which].shape[1] != length:
            self._arrays[which] = np.empty((self._scenes, length), np.uint8)
        return self._arrays[which]


class BlockDecoder:
    """Decodes the blocks of one band (from 1) of one file, which fast_path_refusal must have let pass.

    `number` is that of the scene among those that share the buffers.
    """

    def __init__(self, href: str, header: Header, band: int, buffers: Buffers, number: int = 0) -> None:
        layout = header.layout
        together = layout.bands if layout.planar == "pixel" else 1
        self.predictor = _predictor(layout)
        self.dtype = np.dtype(layout.dtype)
        self.shape = (layout.block_height, layout.block_width, together)
        self.number = number
        self._href, self._layout = href, layout
        self._sample = band - 1 if layout.planar == "pixel" else 0
        self._row_bytes = layout.block_width * together * self.dtype.itemsize
        self._big_endian = layout.byte_order == ">"
        self._as_stored = self.predictor == 1 and self._big_endian == (sys.byteorder == "big")
        self._lerc = _Lerc(layout) if layout.compression == "lerc" else None
        self._codec = self._lerc or _CODECS[layout.compression]
        self._buffers = buffers
        self._fill = header.fills[band - 1]

    @property
    def by_rows(self) -> bool:
        """Whether `predictor.undo_rows` takes what `inflate` leaves."""
        size = self.dtype.itemsize
        return undone_by_rows(self._row_bytes, self.shape[2], self.predictor, size, big_endian=self._big_endian)

    @property
    def coding(self) -> tuple[object, ...]:
        """What decides how a block's bytes become pixels."""
        return self.shape, self.dtype, self.predictor, self._big_endian

    def all_inflated(self) -> ByteArray:
        """The inflated blocks of all scenes that share the buffers, (scenes, rows, bytes)."""
        blocks = self._buffers.inflated(self.shape[0] * self._row_bytes)
        shaped: ByteArray = blocks.reshape(len(blocks), -1, self._row_bytes)
        return shaped

    def inflate(self, data: "Buffer", block_row: int) -> ByteArray:
        """Unpack a block in the given row of blocks: (rows, bytes), of which the last may fill only the first.

        It is valid until the next call with the same buffers and number. Raises ReadError.
        """
        encoded: ByteArray = self._buffers.inflated(self.shape[0] * self._row_bytes)[self.number]
        stored = encoded if self._layout.tiled else encoded[: self._needed_rows(block_row) * self._row_bytes]
        needed = self._needed_rows(block_row) * self._row_bytes
        try:
            got = self._unpack(data, stored, needed)
        except (RuntimeError, ValueError, OSError, zlib.error) as error:
            raise self._damaged(block_row, str(error)) from error
        if got < needed:
            raise self._damaged(block_row, f"it decodes to {got} bytes, wanted {needed}")
        return encoded.reshape(-1, self._row_bytes)

    def undo(self, encoded: ByteArray, rows: slice, columns: slice) -> Pixels:
        """Those rows and columns of an inflated block, (rows, columns) in native byte order; it may serve as scratch.

        The view is valid as long as the block, and is not to be asked for again; its columns lie apart where the file
        interleaves bands.
        """
        stored = encoded[rows]
        if self._as_stored:
            pixels = stored.view(self.dtype).reshape(-1, *self.shape[1:])
        else:
            pixels = self._pixels()[: len(stored)]
            undo_predictor(stored, pixels, self.predictor, big_endian=self._big_endian)
        return pixels[:, columns, self._sample]

    def decode(self, data: "Buffer", block_row: int, rows: slice, columns: slice) -> Pixels:
        """Inflate and undo. Raises ReadError."""
        return self.undo(self.inflate(data, block_row), rows, columns)

    def _pixels(self) -> Pixels:
        mine = self._buffers.decoded(self.shape[0] * self._row_bytes)[self.number]
        pixels: Pixels = mine.view(self.dtype).reshape(self.shape)
        return pixels

    def visible(self, rows: slice, columns: slice) -> Bools | None:
        """Which pixels of the block inflated last its own mask lets be seen; None for all."""
        valid = self._lerc.valid if self._lerc else None
        return None if valid is None else valid[rows, columns]

    def blank(self, rows: slice, columns: slice) -> Pixels:
        """The pixels of a sparse block, as decode returns them."""
        pixels = self._pixels()[rows, columns, self._sample]
        pixels.fill(self._fill)
        return pixels

    def _unpack(self, data: "Buffer", stored: ByteArray, needed: int) -> int:
        """Unpack a block, or what is needed of one that holds more than it should; how many bytes it gave."""
        try:
            return self._codec(data, stored)
        except (RuntimeError, ValueError):
            lenient = LENIENT_CODECS.get(self._layout.compression)
            if lenient is None:
                raise
        return lenient(data, stored[:needed])

    def _needed_rows(self, block_row: int) -> int:
        """The rows of a block that lie in the image; others may be left out."""
        return min(self.shape[0], self._layout.height - block_row * self.shape[0])

    def _damaged(self, block_row: int, problem: str) -> ReadError:
        problem = (
            f"a block of block row {block_row} is damaged ({self._layout.compression}): {problem}; upload it again"
        )
        return ReadError(self._href, problem)


def _copy(data: Any, out: Any) -> int:
    got = min(len(data), len(out))
    out[:got] = np.frombuffer(data, np.uint8, got)
    return got


def _deflate(data: Any, out: Any) -> int:
    return len(imagecodecs.deflate_decode(data, out=out))


def _lzw(data: Any, out: Any) -> int:
    return len(imagecodecs.lzw_decode(data, out=out))


def _zstd(data: Any, out: Any) -> int:
    return len(imagecodecs.zstd_decode(data, out=out))


def _packbits(data: Any, out: Any) -> int:
    return len(imagecodecs.packbits_decode(data, out=out))


class _Lerc:
    """The LERC of one file: each block is a blob of its own, with a mask of invalid pixels.

    `valid` is that of the last block, where its pixels cannot say so by NaN; None if all of them are valid.
    """

    def __init__(self, layout: TiffLayout) -> None:
        self.valid: Bools | None = None
        self._unpack = (_same, _unzip, _unzstd)[(*layout.lerc_parameters, 0, 0)[1]]
        self._dtype, self._width = np.dtype(layout.dtype), layout.block_width

    def __call__(self, data: Any, out: Any) -> int:
        """Decode a block."""
        pixels = out.view(self._dtype).reshape(-1, self._width)
        blob = self._unpack(data, 2 * len(out) + 2**16)
        _, valid = imagecodecs.lerc_decode(blob, masks=True, out=pixels)  # refuses a blob of another shape or dtype
        self.valid = None
        if valid is not None and self._dtype.kind == "f":
            pixels[~valid] = np.nan
        elif valid is not None:
            self.valid = np.asarray(valid, np.bool_).reshape(pixels.shape)
        return len(out)


def _same(data: Any, limit: int) -> Any:
    return data[:limit]


def _unzip(data: Any, limit: int) -> Any:
    return zlib.decompressobj().decompress(data, limit)


def _unzstd(data: Any, limit: int) -> Any:
    return imagecodecs.zstd_decode(data, out=limit)


_CODECS: Final[Mapping[str, Codec]] = {
    "none": _copy, "deflate": _deflate, "lzw": _lzw, "zstd": _zstd, "packbits": _packbits,
}  # fmt: skip
