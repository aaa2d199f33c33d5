"""Rasters as pictures: read small, from the overviews, in the colours of viridis; nodata is transparent."""

import math
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from runner.read.gdal_environment import gdal_options_set
from runner.report.place import axis_unit
from runner.report.png import palette_png
from runner.report.records import Raster

if TYPE_CHECKING:
    from rasterio import DatasetReader

# Every eighth of viridis' 256 colours, and the last; between them straight lines, at most 2 of 255 off.
# Source: matplotlib/_cm_listed.py, by Nathaniel J. Smith and Stefan van der Walt, in the public domain (CC0).
VIRIDIS: Final = (
    "440154", "470d60", "48186a", "482374", "472d7b", "453781", "424086", "3e4989", "3b528b", "375b8d", "33638d",
    "2f6b8e", "2c728e", "297a8e", "26828e", "23898e", "21918c", "1f988b", "1fa088", "22a785", "28ae80", "32b67a",
    "3fbc73", "4ec36b", "5ec962", "70cf57", "84d44b", "98d83e", "addc30", "c2df23", "d8e219", "ece51b", "fde725",
)  # fmt: skip
_EMPTY = 255  # the colour number of nodata
_LAST = 254  # that of the highest value
_CACHE_MB = 64  # of GDAL blocks; the default is 5 % of the machine
_PERCENTILES = (2, 98)
_FURTHEST = 4e307  # from 0: of what float64 holds so much that scales can be drawn


def read_raster(path: Path, most_pixels: int) -> Raster:
    """Band 1 of a GeoTIFF, with a picture whose longer side has at most `most_pixels` pixels.

    Means and the like are stretched from the 2nd to the 98th percentile, counts and fractions over all they have.
    Raises RasterioError for a file that is not a GeoTIFF.
    """
    import rasterio  # noqa: PLC0415 - a run has it by now, `python -m runner.log` may not

    # A VRT under the name of a TIFF could show any file of this machine; so no other driver is asked.
    with (
        gdal_options_set(GDAL_CACHEMAX=_CACHE_MB, GDAL_PAM_ENABLED="NO"),
        rasterio.open(path, driver="GTiff") as raster,
    ):
        pixels, mask = _read_small(raster, most_pixels)
        tags, band = raster.tags(), raster.tags(1)
        statistic = tags.get("statistic") or path.stem
        values = pixels[mask]
        whole = statistic == "valid_fraction" or pixels.dtype.kind in "iu"
        stretch = _stretch(values, whole=whole)
        return Raster(
            file=path.name,
            stage=tags.get("stage", ""),
            statistic=statistic,
            units=tags.get("units", ""),
            shape=raster.shape,
            dtype=raster.dtypes[0],
            **_crs_facts(raster.crs.to_wkt() if raster.crs else ""),
            transform=tuple(raster.transform)[:6],
            tags=tags,
            least=_number(band.get("STATISTICS_MINIMUM")),
            most=_number(band.get("STATISTICS_MAXIMUM")),
            mean=_number(band.get("STATISTICS_MEAN")),
            valid=_valid_fraction(band, mask),
            stretch=stretch,
            beyond=(bool((values < stretch[0]).any()), bool((values > stretch[1]).any())),
            png=_png(pixels, mask, stretch),
            picture_shape=pixels.shape,
        )


def _read_small(raster: "DatasetReader", most_pixels: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """(y, x) values, averaged unless they are whole numbers, and a mask of those that have data."""
    whole = np.dtype(raster.dtypes[0]).kind in "iu"
    pixels = _overview(raster, most_pixels)
    if pixels is None:
        pixels = _shrunk(raster, most_pixels, whole=whole)
    mask = np.ones(pixels.shape, bool) if whole else np.isfinite(pixels)
    return pixels, mask if raster.nodata is None else mask & (pixels != raster.nodata)


def _overview(raster: "DatasetReader", most_pixels: int) -> npt.NDArray[Any] | None:
    """The largest overview that is small enough, which is a fifth of the work of shrinking the next larger one."""
    import rasterio  # noqa: PLC0415 - as in read_raster

    factors = [1, *raster.overviews(1)]
    level = next((number for number, factor in enumerate(factors) if max(raster.shape) / factor <= most_pixels), 0) - 1
    if level < 0:
        return None
    with rasterio.open(raster.name, driver="GTiff", overview_level=level) as small:
        return np.asarray(small.read(1))


def _shrunk(raster: "DatasetReader", most_pixels: int, *, whole: bool) -> npt.NDArray[Any]:
    from rasterio.enums import Resampling  # noqa: PLC0415 - as in read_raster

    shrink = max(1.0, max(raster.shape) / most_pixels)
    if whole:
        shrink = math.ceil(shrink)  # every second pixel, or every third
    shape = tuple(max(1, round(side / shrink)) for side in raster.shape)
    return np.asarray(raster.read(1, out_shape=shape, resampling=Resampling.nearest if whole else Resampling.average))


def _stretch(values: npt.NDArray[Any], *, whole: bool) -> tuple[float, float]:
    """The values of the first and the last colour; 0 and 1 if there is no value."""
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if not whole:
        with np.errstate(over="ignore", invalid="ignore"):  # between two values that are too far apart
            inner = [float(number) for number in np.percentile(values, _PERCENTILES)]
        low, high = inner if inner[0] < inner[1] and math.isfinite(inner[1] - inner[0]) else (low, high)
    low, high = (min(max(number, -_FURTHEST), _FURTHEST) for number in (low, high))
    margin = max(0.5, abs(low) * 1e-9)  # of large numbers a half is nothing
    return (low, high) if low < high else (low - margin, high + margin)


def _png(pixels: npt.NDArray[Any], mask: npt.NDArray[np.bool_], stretch: tuple[float, float]) -> bytes:
    """A PNG with a palette, one byte a pixel."""
    low, high = stretch
    share = np.where(mask, pixels, low).astype(np.float64)
    np.clip(share, low, high, out=share)
    share /= 2  # since the distance of two values may be more than a float64 holds
    share -= low / 2
    share /= high / 2 - low / 2
    share *= _LAST
    numbers = np.rint(share, out=share).astype(np.uint8)
    numbers[~mask] = _EMPTY
    return palette_png(numbers, _colours(), bytes([255] * _EMPTY + [0]))


@cache
def _colours() -> list[tuple[int, int, int]]:
    anchors = np.array([list(bytes.fromhex(colour)) for colour in VIRIDIS], np.float64)
    places = np.linspace(0, len(VIRIDIS) - 1, _LAST + 1)
    red, green, blue = (np.rint(np.interp(places, np.arange(len(VIRIDIS)), band)).astype(int) for band in anchors.T)
    return [*zip(red.tolist(), green.tolist(), blue.tolist(), strict=True), (0, 0, 0)]


@lru_cache(maxsize=16)
def _crs_facts(wkt: str) -> dict[str, str]:
    """The name of a CRS for people, its WKT, and the unit of its axes; empty texts without a CRS."""
    from rasterio.crs import CRS  # noqa: PLC0415 - as in read_raster

    if not wkt:
        return {"crs": "", "wkt": "", "axis_unit": ""}
    crs = CRS.from_wkt(wkt)
    code = crs.to_epsg()
    name = f"EPSG:{code}" if code else str(crs.to_dict().get("proj", "a CRS without an EPSG code"))
    return {"crs": name, "wkt": wkt, "axis_unit": axis_unit(crs)}


def _valid_fraction(band_tags: dict[str, str], mask: npt.NDArray[np.bool_]) -> float | None:
    """By GDAL's statistics of the whole raster, else by the picture."""
    percent = _number(band_tags.get("STATISTICS_VALID_PERCENT"))
    return float(mask.mean()) if percent is None else percent / 100


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
