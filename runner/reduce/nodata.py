"""The rule of which pixels count: for numpy here, for the kernels as `PixelLimits`."""

import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.errors import ConfigError
from runner.reduce.arrays import Bools

ValidRange = tuple[float, float]  # closed


class NodataLimits(NamedTuple):
    """The rule without a valid range: a pixel p counts if p < nodata_low or p > nodata_high.

    NaN fails every comparison. Without nodata these are inf and -inf, and every number passes.
    """

    nodata_low: float
    nodata_high: float


class PixelLimits(NamedTuple):
    """The whole rule: a pixel p counts if also low <= p <= high.

    As float64s it is exact for all pixel types but 64-bit integers, which float64 does not hold.
    """

    nodata_low: float
    nodata_high: float
    low: float
    high: float


NO_RANGE: Final = -math.inf, math.inf
_NO_NODATA: Final = math.inf, -math.inf


def missing(
    pixels: npt.NDArray[Any], nodata: float | int | None = None, valid_range: ValidRange | None = None
) -> Bools:
    """True where a pixel is left out, a bool array like `pixels`.

    NaN always is. So are pixels that GDAL takes for `nodata` (None: there is none), and those outside of the closed
    `valid_range`. Raises ConfigError for a range without values.
    """
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize == 8:
        return _missing_wide(pixels, nodata, valid_range)
    rule = limits(pixels.dtype, nodata, valid_range)
    nodata_low, nodata_high, low, high = (np.float64(limit) for limit in rule)
    valid: Bools = (pixels < nodata_low) | (pixels > nodata_high)
    if (rule.low, rule.high) != NO_RANGE:
        valid &= (pixels >= low) & (pixels <= high)
    return ~valid


@lru_cache
def limits(
    dtype: npt.DTypeLike, nodata: float | int | None = None, valid_range: ValidRange | None = None
) -> PixelLimits:
    """The rule for pixels of `dtype`. The range compares as real numbers; raises ConfigError if it is empty."""
    low, high = valid_range or NO_RANGE
    if not low <= high:
        raise ConfigError(f"valid_range: got [{low}, {high}], wanted [lowest, highest] with lowest <= highest")
    return PixelLimits(*(_NO_NODATA if nodata is None else nodata_range(nodata, dtype)), low, high)


def nodata_range(nodata: float | int, dtype: npt.DTypeLike) -> tuple[float, float]:
    """The lowest and the highest pixel that GDAL takes for `nodata`; (inf, -inf) if no pixel of `dtype` can be.

    Of floats, these are the neighbours of nodata, since a tag often has fewer digits than a pixel; of integers, the
    whole number towards 0. A value that the type cannot hold (NaN or -9999 for bytes) leaves out nothing, nor does NaN,
    which never counts.
    """
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return _floats_alike(nodata, kind)
    whole = integer_nodata(nodata, kind)
    return _NO_NODATA if whole is None else (float(whole), float(whole))


def same_nodata(first: float | int | None, second: float | int | None, dtype: npt.DTypeLike) -> bool:
    """True if two nodata values (None: there is none) hide the same pixels.

    Floats do if GDAL takes each for the other. A value that no pixel can have hides nothing, nor does NaN, which never
    counts.
    """
    kind = np.dtype(dtype)
    ours, theirs = (None if value is None else _as_pixel(value, kind) for value in (first, second))
    if ours is None or theirs is None or kind.kind != "f":
        return ours == theirs
    ends = nodata_range(ours, kind), nodata_range(theirs, kind)
    return ends[0][0] <= theirs <= ends[0][1] and ends[1][0] <= ours <= ends[1][1]


def _as_pixel(nodata: float | int, kind: np.dtype[Any]) -> float | int | None:
    """Nodata as a pixel of a type, None if it hides none."""
    if kind.kind != "f":
        return integer_nodata(nodata, kind)
    with np.errstate(over="ignore"):
        return None if nodata_range(nodata, kind) == _NO_NODATA else float(kind.type(nodata))


def integer_nodata(nodata: float | int | None, kind: np.dtype[Any]) -> int | None:
    """Nodata as a pixel of an integer type (or bool), None if no pixel has its value."""
    if nodata is None:
        return None
    lowest, highest = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
    return int(nodata) if lowest <= nodata <= highest else None


def _floats_alike(nodata: float | int, kind: np.dtype[Any]) -> tuple[float, float]:
    """The floats around nodata that ARE_REAL_EQUAL of GDAL's gdal_priv.h takes for it: all within 2**-21 of it.

    GDAL adds both numbers in their own type. Where that overflows, as it does for the lowest float32, all numbers of
    at least some 2**-24 of it are alike. Infinity is like itself only. Numbers whose sum with a nodata far
    below them overflows are left aside.
    """
    with np.errstate(over="ignore"):
        value = kind.type(nodata)
        if math.isnan(value) or (math.isinf(value) and math.isfinite(nodata)):
            return _NO_NODATA
        if value == 0 or math.isinf(value):
            return float(value), float(value)
        size = abs(value)
        above = np.finfo(kind).max if math.isinf(size + size) else min(size * kind.type(1 + 2**-20), np.finfo(kind).max)
        ends = float(_last_alike(size, kind.type(0))), float(_last_alike(size, above))
    return ends if value > 0 else (-ends[1], -ends[0])


def _last_alike(size: Any, end: Any) -> Any:
    """The last float from `size` towards `end` that GDAL takes for it; the bits of positive floats are in order."""
    bits = np.dtype(f"u{size.itemsize}")
    alike, unlike = int(size.view(bits)), int(end.view(bits))
    if _are_alike(size, end):
        return end
    while abs(unlike - alike) > 1:
        middle = (alike + unlike) // 2
        if _are_alike(size, bits.type(middle).view(size.dtype)):
            alike = middle
        else:
            unlike = middle
    return bits.type(alike).view(size.dtype)


def _are_alike(pixel: Any, nodata: Any) -> bool:
    """GDAL's comparison, in its order and type; the epsilon of float32 is for float64 too."""
    epsilon = pixel.dtype.type(2**-23)
    return bool(pixel == nodata or abs(pixel - nodata) < epsilon * abs(pixel + nodata) * pixel.dtype.type(2))


def exact_nodata(nodata: float | int, dtype: npt.DTypeLike) -> float | int:
    """The setting source.nodata as an int for integers, else as a float.

    Raises ConfigError for a value that no pixel of `dtype` can have; in a file's own tag it means no nodata.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "iu":
        fits, expected = math.isnan(nodata) or nodata_range(nodata, kind) != _NO_NODATA, "a number of that size"
    else:
        info = np.iinfo(kind)
        fits = integer_nodata(nodata, kind) == nodata
        expected = f"a whole number from {info.min} to {info.max}"
    if not fits:
        raise ConfigError(
            f"source.nodata={nodata}: no pixel of type {kind} has this value; wanted {expected}, or null for the "
            "nodata of the files"
        )
    return int(nodata) if kind.kind in "iu" else float(nodata)


def _missing_wide(pixels: npt.NDArray[Any], nodata: float | int | None, valid_range: ValidRange | None) -> Bools:
    """64-bit integers, compared as integers: float64 would round them."""
    _, _, low, high = limits(pixels.dtype, None, valid_range)
    info = np.iinfo(pixels.dtype)
    outside = np.zeros(pixels.shape, np.bool_)
    if low > info.min:
        outside |= pixels < math.ceil(low) if low <= info.max else True
    if high < info.max:
        outside |= pixels > math.floor(high) if high >= info.min else True
    whole = integer_nodata(nodata, pixels.dtype)
    if whole is not None:
        outside |= pixels == whole
    return outside
