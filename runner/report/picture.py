"""Rasters as pictures: read small, from the overviews, in the colours of viridis; nodata is transparent.

Trends fall or rise, so that their colours are blue below 0 and red above it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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
# Eleven colours of RdBu, turned round, with straight lines between them. Source: ColorBrewer, by Cynthia Brewer
# (Apache License 2.0).
BLUE_RED: Final = (
    "053061", "2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b", "67001f",
)  # fmt: skip
_TRENDS: Final = ("slope", "theil_sen", "mann_kendall")  # statistics for which 0 is the middle
_EMPTY = 255  # the colour number of nodata
_LAST = 254  # that of the highest value
_CACHE_MB = 64  # of GDAL blocks; the default is 5 % of the machine
_PERCENTILES = (2, 98)
_MOST_SAMPLED: Final = 2**17  # values that tell percentiles
_LARGE_SINGLE: Final = 1e37  # from 0: of what float32 holds with a margin
_FURTHEST = 4e307  # from 0: of what float64 holds so much that scales can be drawn
Refused = Callable[[str, Exception], object]  # takes the name of a band and why it cannot be read


@contextmanager
def _opened(path: Path) -> Iterator["DatasetReader"]:
    """A GeoTIFF. A VRT under the name of a TIFF could show any file of this machine; so no other driver is asked."""
    import rasterio  # noqa: PLC0415 - a run has it by now, `python -m runner.log` may not

    with (
        gdal_options_set(GDAL_CACHEMAX=_CACHE_MB, GDAL_PAM_ENABLED="NO"),
        rasterio.open(path, driver="GTiff") as raster,
    ):
        yield raster


def read_raster(path: Path, most_pixels: int, statistic: str = "") -> Raster:
    """The first band of a statistic, or the first at all, with a picture whose longer side has at most `most_pixels`.

    Means and the like are stretched from the 2nd to the 98th percentile, counts and fractions over all they have.
    Raises RasterioError for a file that is not a GeoTIFF.
    """
    with _opened(path) as raster:
        of_statistic = (number for number in raster.indexes if raster.tags(number).get("statistic") == statistic)
        read = _read(raster, most_pixels, next(of_statistic, 1) if statistic else 1)
    return _coloured([read])[0]


def read_bands(
    path: Path, sides: tuple[int, int], refused: Refused, overviews: Sequence[npt.NDArray[Any]] = ()
) -> list[Raster]:
    """All bands as `read_raster` reads one; `sides` are the most pixels of the first one's picture and of the others.

    A band that cannot be read is `refused`, and the others are read. `overviews` of the file, (bands, y, x), are not
    read from it. Raises RasterioError as `read_raster`.
    """
    read: list[_Read] = []
    with _opened(path) as raster:
        for number in raster.indexes:
            with _refusing(_name(raster, number), refused):
                side = sides[bool(read)]
                known = (bands[number - 1] for bands in overviews if max(bands.shape[1:]) <= side)
                read.append(_read(raster, side, number, next(known, None)))
    return [_coloured([band])[0] for band in read]


def read_rasters(bands: Sequence[tuple[Path, int]], most_pixels: int, refused: Refused) -> list[Raster]:
    """Bands of one statistic, each of a file and by its number, in colours of one scale for all of them.

    Those that cannot be read are `refused`.
    """
    read: list[_Read] = []
    for path, number in bands:
        with _refusing(path.name, refused), _opened(path) as raster, _refusing(_name(raster, number), refused):
            read.append(_read(raster, most_pixels, number))
    return _coloured(read) if read else []


@contextmanager
def _refusing(name: str, refused: Refused) -> Iterator[None]:
    """Give what cannot be read its name, and go on."""
    from rasterio.errors import RasterioError  # noqa: PLC0415 - as in _opened

    try:
        yield
    except (OSError, ValueError, RasterioError) as error:
        refused(name, error)


def _name(raster: "DatasetReader", number: int) -> str:
    """The file of a band, and its number if there are others."""
    name = Path(raster.name).name
    return name if raster.count == 1 else f"{name}, band {number}"


class _Read(NamedTuple):
    """A raster read small, (y, x), with the pixels that have data, and the facts that do not follow from them."""

    pixels: npt.NDArray[Any]
    mask: npt.NDArray[np.bool_]
    facts: dict[str, Any]


def _read(raster: "DatasetReader", most_pixels: int, number: int, overview: npt.NDArray[Any] | None = None) -> _Read:
    pixels, mask = _read_small(raster, most_pixels, number, overview)
    band = raster.tags(number)
    tags = raster.tags() | {name: text for name, text in band.items() if name.startswith("group")}
    path = Path(raster.name)
    facts = {
        "file": _name(raster, number),
        "stage": tags.get("stage", ""),
        "statistic": band.get("statistic") or tags.get("statistic") or path.stem,
        "units": raster.units[number - 1] or tags.get("units", ""),
        "shape": raster.shape,
        "dtype": raster.dtypes[number - 1],
        **_crs_facts(raster.crs.to_wkt() if raster.crs else ""),
        "transform": tuple(raster.transform)[:6],
        "tags": tags,
        "least": _number(band.get("STATISTICS_MINIMUM")),
        "most": _number(band.get("STATISTICS_MAXIMUM")),
        "mean": _number(band.get("STATISTICS_MEAN")),
        "valid": _valid_fraction(band, mask),
    }
    return _Read(pixels, mask, facts)


def _coloured(read: Sequence[_Read]) -> list[Raster]:
    """Bands of one statistic with pictures, in colours of one scale."""
    values = [raster.pixels[raster.mask] for raster in read]
    statistic = read[0].facts["statistic"]
    whole = statistic in ("valid_fraction", "count") or read[0].pixels.dtype.kind in "iu"
    stretch = _stretch(values[0] if len(values) == 1 else np.concatenate(values), whole=whole)
    stretch = _around_zero(stretch) if is_trend(statistic) else stretch
    return [
        Raster(
            **raster.facts,
            stretch=stretch,
            beyond=(bool((own < stretch[0]).any()), bool((own > stretch[1]).any())),
            png=_png(raster.pixels, raster.mask, stretch, colours_of(statistic)),
            picture_shape=raster.pixels.shape,
        )
        for raster, own in zip(read, values, strict=True)
    ]


def picture_of(pixels: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> tuple[tuple[float, float], bytes]:
    """The values of the first and the last colour of pixels (y, x), and a PNG of those that have data."""
    stretch = _stretch(pixels[mask], whole=False)
    return stretch, _png(pixels, mask, stretch, VIRIDIS)


def is_trend(statistic: str) -> bool:
    """True if a statistic is coloured by how far it is above or below 0."""
    return statistic in _TRENDS


def colours_of(statistic: str) -> tuple[str, ...]:
    """The colours of a statistic from low to high."""
    return BLUE_RED if is_trend(statistic) else VIRIDIS


def _around_zero(stretch: tuple[float, float]) -> tuple[float, float]:
    furthest = max(map(abs, stretch))
    return -furthest, furthest


def _read_small(
    raster: "DatasetReader", most_pixels: int, number: int, overview: npt.NDArray[Any] | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """(y, x) values, averaged unless they are whole numbers, and a mask of those that have data."""
    whole = np.dtype(raster.dtypes[number - 1]).kind in "iu"
    pixels = _overview(raster, most_pixels, number) if overview is None else overview
    if pixels is None:
        pixels = _shrunk(raster, most_pixels, number, whole=whole)
    mask = np.ones(pixels.shape, bool) if whole else np.isfinite(pixels)
    return pixels, mask if raster.nodata is None else mask & (pixels != raster.nodata)


def _overview(raster: "DatasetReader", most_pixels: int, number: int) -> npt.NDArray[Any] | None:
    """The largest overview that is small enough, which is a fifth of the work of shrinking the next larger one.

    GDAL gives it as it is to whoever asks for an array of its shape.
    """
    factors = [1, *raster.overviews(number)]
    factor = next((factor for factor in factors if max(raster.shape) / factor <= most_pixels), 1)
    if factor == 1:
        return None
    return np.asarray(raster.read(number, out_shape=tuple(-(-side // factor) for side in raster.shape)))


def _shrunk(raster: "DatasetReader", most_pixels: int, number: int, *, whole: bool) -> npt.NDArray[Any]:
    from rasterio.enums import Resampling  # noqa: PLC0415 - as in _opened

    shrink = max(1.0, max(raster.shape) / most_pixels)
    if whole:
        shrink = math.ceil(shrink)  # every second pixel, or every third
    shape = tuple(max(1, round(side / shrink)) for side in raster.shape)
    return np.asarray(
        raster.read(number, out_shape=shape, resampling=Resampling.nearest if whole else Resampling.average)
    )


def _stretch(values: npt.NDArray[Any], *, whole: bool) -> tuple[float, float]:
    """The values of the first and the last colour; 0 and 1 if there is no value."""
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if not whole:
        with np.errstate(over="ignore", invalid="ignore"):  # between two values that are too far apart
            inner = [float(number) for number in np.percentile(_sample(values), _PERCENTILES)]
        low, high = inner if inner[0] < inner[1] and math.isfinite(inner[1] - inner[0]) else (low, high)
    low, high = (min(max(number, -_FURTHEST), _FURTHEST) for number in (low, high))
    margin = max(0.5, abs(low) * 1e-9)  # of large numbers a half is nothing
    return (low, high) if low < high else (low - margin, high + margin)


def _sample(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values evenly from among all of them, of which a share of colours follows as well in a fraction of the time."""
    return values[:: -(-values.size // _MOST_SAMPLED)]


def _png(
    pixels: npt.NDArray[Any], mask: npt.NDArray[np.bool_], stretch: tuple[float, float], colours: tuple[str, ...]
) -> bytes:
    """A PNG with a palette, one byte a pixel."""
    low, high = stretch
    # Which has more digits than colours.
    single = pixels.dtype == np.float32 and max(abs(low), abs(high)) < _LARGE_SINGLE
    share: npt.NDArray[np.floating[Any]] = pixels.astype(np.float32 if single else np.float64)
    share[~mask] = low
    np.clip(share, low, high, out=share)
    share /= 2  # since the distance of two values may be more than a float64 holds
    share -= low / 2
    share /= high / 2 - low / 2
    share *= _LAST
    numbers = np.rint(share, out=share).astype(np.uint8)
    numbers[~mask] = _EMPTY
    return palette_png(numbers, _palette(colours), bytes([255] * _EMPTY + [0]))


@cache
def _palette(colours: tuple[str, ...]) -> list[tuple[int, int, int]]:
    anchors = np.array([list(bytes.fromhex(colour)) for colour in colours], np.float64)
    places = np.linspace(0, len(colours) - 1, _LAST + 1)
    red, green, blue = (np.rint(np.interp(places, np.arange(len(colours)), band)).astype(int) for band in anchors.T)
    return [*zip(red.tolist(), green.tolist(), blue.tolist(), strict=True), (0, 0, 0)]


@lru_cache(maxsize=16)
def _crs_facts(wkt: str) -> dict[str, str]:
    """The name of a CRS for people, its WKT, and the unit of its axes; empty texts without a CRS."""
    from rasterio.crs import CRS  # noqa: PLC0415 - as in _opened

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
