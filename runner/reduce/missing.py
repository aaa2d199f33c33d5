"""Which pixels count. One rule: for numpy here, for the kernels through `Limits`."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.errors import ConfigError

Bools = npt.NDArray[np.bool_]
ValidRange = tuple[float, float]  # closed


class Limits(NamedTuple):
    """The rule as float64s: a pixel p counts if low <= p <= high and p != nodata.

    NaN fails the first comparison, and as nodata equals no pixel. Exact for all pixel types but 64-bit integers, which
    float64 does not hold.
    """

    low: float
    high: float
    nodata: float


def missing(
    pixels: npt.NDArray[Any], nodata: float | int | None = None, valid_range: ValidRange | None = None
) -> Bools:
    """Whether each pixel is left out, a bool array like `pixels`.

    NaN always is; `nodata` (None: there is none) and what lies outside of the closed `valid_range` are too. Raises
    ConfigError for a range without values.
    """
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize == 8:
        return _missing_wide(pixels, nodata, valid_range)
    low, high, no = (np.float64(limit) for limit in limits(pixels.dtype, nodata, valid_range))
    valid: Bools = (pixels >= low) & (pixels <= high) & (pixels != no)
    return ~valid


def limits(dtype: npt.DTypeLike, nodata: float | int | None = None, valid_range: ValidRange | None = None) -> Limits:
    """The rule for pixels of `dtype`.

    Nodata is rounded to a floating-point pixel type first, as GDAL does, so that 0.1 is found in float32. What the type
    cannot hold (NaN or -9999 for bytes) leaves out nothing. The range compares as real numbers.
    """
    low, high = valid_range or (-math.inf, math.inf)
    if not low <= high:
        raise ConfigError(f"valid_range: got [{low}, {high}], wanted [lowest, highest] with lowest <= highest")
    if nodata is None:
        return Limits(low, high, math.nan)
    kind = np.dtype(dtype)
    with np.errstate(over="ignore"):
        no = float(np.array(nodata, kind if kind.kind == "f" else np.float64))
    return Limits(low, high, no if math.isfinite(no) or not math.isfinite(nodata) else math.nan)


def exact_nodata(nodata: float | int, dtype: npt.DTypeLike) -> float | int:
    """The setting source.nodata as an int for integers, else as a float.

    Raises ConfigError for what no pixel of `dtype` can be; of a file's own tag, that means that there is no nodata.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "iu":
        held, wanted = math.isnan(nodata) or not math.isnan(limits(kind, nodata).nodata), "a number of that size"
    else:
        info = np.iinfo(kind)
        held = math.isfinite(nodata) and nodata == int(nodata) and info.min <= nodata <= info.max
        wanted = f"a whole number from {info.min} to {info.max}"
    if not held:
        raise ConfigError(
            f"source.nodata={nodata}: no pixel of type {kind} has this value; wanted {wanted}, or null for what the "
            "files say"
        )
    return int(nodata) if kind.kind in "iu" else float(nodata)


def _missing_wide(pixels: npt.NDArray[Any], nodata: float | int | None, valid_range: ValidRange | None) -> Bools:
    """64-bit integers, compared as integers: float64 would round them."""
    low, high, no = limits(pixels.dtype, nodata, valid_range)
    info = np.iinfo(pixels.dtype)
    outside = np.zeros(pixels.shape, np.bool_)
    if low > info.min:
        outside |= pixels < math.ceil(low) if low <= info.max else True
    if high < info.max:
        outside |= pixels > math.floor(high) if high >= info.min else True
    if nodata is not None and math.isfinite(no) and nodata == int(nodata) and info.min <= nodata <= info.max:
        outside |= pixels == int(nodata)
    return outside
