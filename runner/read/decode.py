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
from runner.read.header import Header
from runner.read.predictor import undo_predictor
from runner.read.tiff import UNSUPPORTED, TiffLayout

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
    layout = header.layout
    reasons = {
        f"it has {layout.bands} bands, not band {band}": not 1 <= band <= layout.bands,
        f"samples of {layout.bits} bits in sample format {layout.sample_format}": layout.dtype == UNSUPPORTED,
        f"compression {layout.compression}": layout.compression not in (*_CODECS, "lerc"),
        f"predictor {layout.predictor} of {layout.dtype}": not _predictor_fits(layout),
        "LERC of interleaved bands, big-endian or of an unknown variant": layout.compression == "lerc"
        and not _lerc_fits(layout),
        f"photometric interpretation {layout.photometric}": layout.photometric not in _RAW_PHOTOMETRICS,
        "bits in reverse order": layout.fill_order != 1,
        "an internal mask": layout.has_mask,
        "an alpha band": layout.has_alpha,
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
    """Memory that decoders share, one of them at a time; it grows to the largest block."""

    def __init__(self) -> None:
        self._arrays = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    def array(self, which: int, length: int) -> ByteArray:
        """The first `length` bytes of one of two buffers."""
        if len(self._arrays[which]) < length:
            self._arrays[which] = np.empty(length, np.uint8)
        return self._arrays[which][:length]


class BlockDecoder:
    """Decodes the blocks of one band (from 1) of one file, which fast_path_refusal must have let pass."""

    def __init__(self, href: str, header: Header, band: int, buffers: Buffers) -> None:
        layout = header.layout
        together = layout.bands if layout.planar == "pixel" else 1
        self._href, self._layout = href, layout
        self._sample = band - 1 if layout.planar == "pixel" else 0
        self._dtype = np.dtype(layout.dtype)
        self._shape = (layout.block_height, layout.block_width, together)
        self._row_bytes = layout.block_width * together * self._dtype.itemsize
        self._big_endian = layout.byte_order == ">"
        self._predictor = _predictor(layout)
        self._as_stored = self._predictor == 1 and self._big_endian == (sys.byteorder == "big")
        self._decode = _lerc(layout) if layout.compression == "lerc" else _CODECS[layout.compression]
        self._encoded = buffers.array(0, layout.block_height * self._row_bytes)
        self._pixels = buffers.array(1, len(self._encoded)).view(self._dtype).reshape(self._shape)
        self._fill = header.fill

    def decode(self, data: "Buffer", block_row: int, rows: slice, columns: slice) -> Pixels:
        """Those rows and columns of a block in the given row of blocks: a view (rows, columns) in native byte order.

        The view is valid until the next call with the same buffers; its columns lie apart where the file interleaves
        bands. Raises ReadError.
        """
        encoded = self._encoded[: self._stored_rows(block_row) * self._row_bytes]
        try:
            got = self._decode(data, encoded)
        except (RuntimeError, ValueError, zlib.error) as error:
            raise self._damaged(block_row, str(error)) from error
        if got != len(encoded):
            raise self._damaged(block_row, f"it decodes to {got} bytes, wanted {len(encoded)}")
        return self._undo(encoded.reshape(-1, self._row_bytes)[rows])[:, columns, self._sample]

    def _undo(self, encoded: ByteArray) -> Pixels:
        """Inflated rows, (rows, bytes), as pixels, (rows, columns, samples)."""
        if self._as_stored:
            return encoded.view(self._dtype).reshape(-1, *self._shape[1:])
        pixels = self._pixels[: len(encoded)]
        undo_predictor(encoded, pixels, self._predictor, big_endian=self._big_endian)
        return pixels

    def blank(self, rows: slice, columns: slice) -> Pixels:
        """The pixels of a sparse block, as decode returns them."""
        pixels = self._pixels[rows, columns, self._sample]
        pixels.fill(self._fill)
        return pixels

    def _stored_rows(self, block_row: int) -> int:
        """Tiles are stored in full, the last strip only as far as the image goes."""
        height = self._shape[0]
        return height if self._layout.tiled else min(height, self._layout.height - block_row * height)

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


def _lerc(layout: TiffLayout) -> Codec:
    """The LERC of one file: each block is a blob of its own, with a mask of invalid pixels."""
    unpack = (_same, _unzip, _unzstd)[(*layout.lerc_parameters, 0, 0)[1]]
    dtype = np.dtype(layout.dtype)

    def decode(data: Any, out: Any) -> int:
        pixels = out.view(dtype).reshape(-1, layout.block_width)
        blob = unpack(data, 2 * len(out) + 2**16)
        _, valid = imagecodecs.lerc_decode(blob, masks=True, out=pixels)  # refuses a blob of another shape or dtype
        if dtype.kind == "f" and valid is not None:
            pixels[~valid] = np.nan
        return len(out)

    return decode


def _same(data: Any, limit: int) -> Any:
    return data[:limit]


def _unzip(data: Any, limit: int) -> Any:
    return zlib.decompressobj().decompress(data, limit)


def _unzstd(data: Any, limit: int) -> Any:
    return imagecodecs.zstd_decode(data, out=limit)


_CODECS: Final[Mapping[str, Codec]] = {
    "none": _copy, "deflate": _deflate, "lzw": _lzw, "zstd": _zstd, "packbits": _packbits,
}  # fmt: skip
