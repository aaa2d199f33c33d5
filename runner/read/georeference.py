"""GDAL's reading of a GeoTIFF's tags: CRS, transform, nodata, scale, offset, masks and descriptions of bands.

The tags are copied into a GeoTIFF of one pixel, in memory, which GDAL opens, with the files beside it (.aux.xml, world
files). Scenes with equal tags share one such opening.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import uuid4

from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from runner.errors import ReadError
from runner.read.gdal_environment import gdal_options_set
from runner.read.ifd import Tag
from runner.read.layout import TiffLayout
from runner.read.masks import FileMask, file_masks
from runner.read.metadata import GDAL_METADATA, of_pixels
from runner.read.one_pixel import Samples, one_pixel_tiff, samples_of

_NODATA: Final = re.compile(rb"NoDataValue", re.IGNORECASE)  # an element of .aux.xml, or its attribute
_CACHED_BYTES: Final = 65536  # of tags, whose reading is kept for the scenes that follow

Nodata: TypeAlias = float | int | None
Pixel: TypeAlias = complex | float | int
Transform: TypeAlias = tuple[float, float, float, float, float, float]
Sidecars: TypeAlias = tuple[tuple[str, bytes], ...]  # names and contents of files beside a file called x.tif


@dataclass(frozen=True, slots=True, eq=False)
class Interpretation:
    """GDAL's reading of the tags.

    `crs` is WKT, "" for none. `transform` is (a, b, c, d, e, f): x = a * column + b * row + c and
    y = d * column + e * row + f of the upper left corner of a pixel, in CRS units; the identity if there is none.
    `dtype` is rasterio's name. `nodatas`, `fills`, `scales`, `offsets`, `masks` and `descriptions` have one value per
    band: a fill is the pixel of a sparse tile, which is nodata, in the range of the dtype, or 0; a mask comes besides
    nodata; a description is "" if there is none. `gcps` is the number of ground control points.
    """

    crs: str
    epsg: int | None
    transform: Transform
    dtype: str
    nodatas: tuple[Nodata, ...]
    fills: tuple[Pixel, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    masks: tuple[FileMask, ...]
    descriptions: tuple[str, ...]
    gcps: int


def interpret_tags(href: str, layout: TiffLayout, sidecars: Sidecars) -> Interpretation:
    """GDAL's reading of a file's tags and of the files beside it. Raises ReadError for tags that it refuses."""
    samples = samples_of(layout)
    tags = tuple(of_pixels(tag) if tag.number == GDAL_METADATA else tag for tag in layout.geo_tags)
    size = sum(len(tag.raw) for tag in tags) + sum(len(data) for _, data in sidecars)
    interpret = _interpret if size < _CACHED_BYTES else _interpret.__wrapped__
    try:
        return interpret(samples, tags, sidecars)
    except (RasterioError, ValueError) as error:
        raise ReadError(href, f"GDAL refuses its georeference or sample format: {error}") from error


@lru_cache(maxsize=4096)
def _interpret(samples: Samples, tags: tuple[Tag, ...], sidecars: Sidecars) -> Interpretation:
    """GDAL's reading of the tags on a GeoTIFF of one pixel. Raises RasterioError."""
    with _opened(one_pixel_tiff(samples, tags), sidecars) as dataset:
        crs, fills = dataset.crs, _pixel_of_bands(dataset.read, dataset.count, sidecars)
        return Interpretation(
            crs=crs.to_wkt() if crs else "",
            epsg=crs.to_epsg() if crs else None,
            transform=tuple(dataset.transform)[:6],
            dtype=dataset.dtypes[0],
            nodatas=_exact_nodatas(dataset, fills, sidecars),
            fills=fills,
            scales=dataset.scales,
            offsets=dataset.offsets,
            masks=_masks_beside_nodata(samples, tags, sidecars),
            descriptions=tuple(text or "" for text in dataset.descriptions),
            gcps=len(dataset.gcps[0]),
        )


@contextmanager
def _opened(tiff: bytes, sidecars: Sidecars) -> Iterator[Any]:
    """GDAL's dataset of a TIFF in memory, with these files beside it and no others."""
    folder, listing = uuid4().hex, "FALSE" if sidecars else "EMPTY_DIR"
    with gdal_options_set(GDAL_DISABLE_READDIR_ON_OPEN=listing), ExitStack() as files:
        memory = files.enter_context(MemoryFile(tiff, dirname=folder, filename="x.tif"))
        for name, data in sidecars:
            files.enter_context(MemoryFile(data, dirname=folder, filename=name))
        yield files.enter_context(memory.open(driver="GTiff"))


@lru_cache(maxsize=4096)
def _masks_beside_nodata(samples: Samples, tags: tuple[Tag, ...], sidecars: Sidecars) -> tuple[FileMask, ...]:
    """The masks of the bands, besides the nodata value."""
    source = one_pixel_tiff(samples, tuple(tag for tag in tags if tag.number == GDAL_METADATA))
    with _opened(source, tuple((name, _NODATA.sub(b"_", data)) for name, data in sidecars)) as dataset:
        return file_masks(dataset.mask_flag_enums)


def _pixel_of_bands(read: Callable[[int], Any], bands: int, sidecars: Sidecars) -> tuple[Any, ...]:
    """The only pixel of each band. Bands differ by files beside alone.

    For each band that it reads, rasterio lists all of them: 40,000, as a damaged header may say, took a minute.
    """
    first = range(1, bands + 1 if sidecars else 2)
    pixels = tuple(read(band)[0, 0].item() for band in first)
    return pixels if sidecars else pixels * bands


def _exact_nodatas(dataset: Any, fills: tuple[Any, ...], sidecars: Sidecars) -> tuple[Nodata, ...]:
    """Nodata as GDAL masks by it; where rasterio gives less, a sparse pixel shows it.

    rasterio rounds nodata of 64-bit integers, if it gives it at all. Of int8 it gives none beyond the range, such as
    -128.9, of which GDAL takes the whole number.
    """
    given: tuple[float | None, ...] = dataset.nodatavals
    if dataset.dtypes[0] in ("int64", "uint64"):
        hidden = [fill != 0 or nodata is not None for nodata, fill in zip(given, fills, strict=True)]
    elif dataset.dtypes[0] == "int8":
        by_nodata = [set(flags) == {MaskFlags.nodata} for flags in dataset.mask_flag_enums]
        masks = _pixel_of_bands(dataset.read_masks, dataset.count, sidecars)
        hidden = [flag and mask == 0 for flag, mask in zip(by_nodata, masks, strict=True)]
    else:
        return given
    return tuple(int(fill) if hides else nodata for nodata, fill, hides in zip(given, fills, hidden, strict=True))
