"""Blocks of a raster encoded, and decoded again to see that nothing is lost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import imagecodecs
import numpy as np
import numpy.typing as npt

from runner.host import spool
from runner.output.digest import same_bits
from runner.output.overviews import Raster

BLOCK: Final = spool.BLOCK  # pixels, along both sides; rasters on disk lie so before
Bytes: TypeAlias = bytes | bytearray
Encode: TypeAlias = Callable[[Raster], Bytes]
Decode: TypeAlias = Callable[[Bytes, np.dtype[Any]], Raster]


class UnequalError(Exception):
    """What was written is not what was to be written."""


@dataclass(slots=True)
class Coder:
    """Encodes blocks; those of one value, as most of a raster of counts, once for each value.

    Each is decoded again and compared.
    """

    dtype: np.dtype[Any]  # as stored, little-endian
    missing: int | None
    encode: Encode
    decode: Decode
    _of_one_value: dict[bytes, Bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, compression: str, level: int, dtype: np.dtype[Any], missing: int | None) -> "Coder":
        """The coder of a compression: none, lzw, deflate or zstd; `missing` is the nodata of integers."""
        return cls(dtype.newbyteorder("<"), missing, _encoder(compression, level), _decoder(compression))

    def encoded(self, values: Raster) -> Bytes:
        """A block, filled up at the edges of the raster with what counts as missing."""
        block = self._whole(values)
        bits = block.view(f"u{block.itemsize}")
        if (bits[0] != bits[0, 0]).any() or (bits != bits[0, 0]).any():
            return self._checked(block)
        value = bits[:1, :1].tobytes()
        if value not in self._of_one_value:
            self._of_one_value[value] = self._checked(block)
        return self._of_one_value[value]

    def _checked(self, block: Raster) -> Bytes:
        data = self.encode(block)
        if not same_bits(self.decode(data, block.dtype), block.astype(block.dtype.newbyteorder("="), copy=False)):
            raise UnequalError("a block differs when it is decoded again; check the memory of this machine")
        return data

    def _whole(self, values: Raster) -> Raster:
        if values.shape == (BLOCK, BLOCK):
            return np.ascontiguousarray(values, self.dtype)
        whole = np.full((BLOCK, BLOCK), np.nan if self.missing is None else self.missing, self.dtype)
        whole[: values.shape[0], : values.shape[1]] = values
        return whole


def _encoder(compression: str, level: int) -> Encode:
    if compression == "none":
        return lambda block: block.tobytes()
    by_name: dict[str, Callable[..., Bytes]] = {
        "deflate": partial(imagecodecs.deflate_encode, level=level),
        "zstd": partial(imagecodecs.zstd_encode, level=level),
        "lzw": imagecodecs.lzw_encode,
    }
    compress = by_name[compression]
    return lambda block: compress(_predicted(block))


def _decoder(compression: str) -> Decode:
    """The inverse of `_encoder`; the predictor is undone as the fast reader does."""
    from runner.read.predictor import undo_predictor  # noqa: PLC0415 - numba, which reading results spares

    by_name: dict[str, Callable[..., object]] = {
        "none": _copied,
        "deflate": imagecodecs.deflate_decode,
        "zstd": imagecodecs.zstd_decode,
        "lzw": imagecodecs.lzw_decode,
    }
    inflate = by_name[compression]

    def decode(data: Bytes, dtype: np.dtype[Any]) -> Raster:
        predictor = 1 if compression == "none" else predictor_of(dtype)
        inflated = np.empty(BLOCK * BLOCK * dtype.itemsize, np.uint8)
        inflate(data, out=inflated)
        block = np.empty((BLOCK, BLOCK, 1), dtype.newbyteorder("="))
        undo_predictor(inflated, block, predictor, big_endian=False)
        return block[..., 0]

    return decode


def _copied(data: Bytes, out: npt.NDArray[np.uint8]) -> None:
    out[:] = np.frombuffer(data, np.uint8)


def predictor_of(dtype: np.dtype[Any]) -> int:
    """TIFF's predictor: 3 for floats, 2 for integers."""
    return 3 if dtype.kind == "f" else 2


def _predicted(block: Raster) -> Raster:
    """TIFF's predictor 3 for floats, 2 for integers, row by row."""
    encode = imagecodecs.floatpred_encode if block.dtype.kind == "f" else imagecodecs.delta_encode
    predicted: Raster = np.asarray(encode(block, axis=-1))
    return predicted
