"""The codecs of tiles, each of which decodes into an array of the caller's.

Sources: TIFF 6.0 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), sections 9 (PackBits) and 13 (LZW);
TIFF Technical Note 2 (DEFLATE); libtiff's tif_lerc.c for LERC: a blob, perhaps deflated or in ZSTD, whose invalid
floating-point pixels are NaN.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import imagecodecs
import numpy as np

from runner.read.layout import TiffLayout
from runner.read.masks import Bools

Codec: TypeAlias = Callable[[Any, Any], int]  # decodes into the array; returns the number of bytes written


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


class Lerc:
    """The LERC of one file: each tile is a blob of its own, with a mask of invalid pixels.

    `valid` is the mask of the last tile if its pixels are integers, which have no NaN; None if all of them are valid.
    """

    def __init__(self, layout: TiffLayout) -> None:
        self.valid: Bools | None = None
        self._unpack = (_same, _unzip, _unzstd)[(*layout.lerc_parameters, 0, 0)[1]]
        self._dtype, self._width = np.dtype(layout.dtype), layout.tile_width

    def __call__(self, data: Any, out: Any) -> int:
        """Decode a tile."""
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


CODECS: Final[Mapping[str, Codec]] = {
    "none": _copy, "deflate": _deflate, "lzw": _lzw, "zstd": _zstd, "packbits": _packbits,
}  # fmt: skip
