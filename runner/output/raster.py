"""Cloud-Optimized GeoTIFFs of temporal statistics: one file for each, or their bands in one."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from runner.base.atomic import written_aside
from runner.errors import OutputError
from runner.host.threads import lasting_threads
from runner.model import Grid
from runner.output.block_coder import BLOCK, UnequalError
from runner.output.cog_file import Band, BlockSpan, CogForm, PartlyEncoded, write_cog
from runner.output.digest import FileFacts, ValueDigest, ValueFacts, file_sha256, same_bits
from runner.output.overviews import LARGEST_SHOWN, Stored
from runner.planning.memory import raster_dtype
from runner.read.gdal_environment import gdal_options_set
from runner.settings import OutputSettings

_CACHE_MB = 64  # of GDAL blocks; the default is 5 % of the machine
_BESIDE = 4  # threads that digest values, and wait for the disk, while others encode
_NO_COUNT = 0  # the nodata of counts
_ROWS_DIGESTED = 256  # at a time, so that they stay in the cache


def raster_type(values: np.dtype, output: OutputSettings, source: np.dtype) -> np.dtype:
    """The type of a raster: 32 bits for counts, which every GIS reads; as the setting and the source say for floats."""
    return np.dtype(np.int32) if values.kind == "i" else raster_dtype(output.raster_dtype, source)


def missing_of(dtype: np.dtype) -> int | None:
    """The nodata of integers; that of floats is NaN."""
    return None if dtype.kind == "f" else _NO_COUNT


def common_type(values: Iterable[np.dtype], output: OutputSettings, source: np.dtype) -> np.dtype:
    """The type of the bands of one file: that of counts if all are, otherwise that of floats."""
    types = {raster_type(dtype, output, source) for dtype in values}
    return types.pop() if len(types) == 1 else raster_dtype(output.raster_dtype, source)


def write_raster(
    path: Path,
    raster: Stored | PartlyEncoded | Sequence[Band],
    grid: Grid,
    output: OutputSettings,
    tags: Mapping[str, str],
) -> FileFacts:
    """Write (y, x) rasters as the bands of a COG with statistics and overviews.

    Nodata is NaN for floats, 0 for counts. What is written is decoded, read back and compared before the file gets its
    name. Raises OutputError.
    """
    bands = Band.all_of(raster, tags)
    nodata = np.nan if bands[0].raster.dtype.kind == "f" else _NO_COUNT
    place = {"crs": grid.crs, "transform": Affine(*grid.transform), "nodata": nodata}
    names = [band.tags.get("statistic") or tags.get("statistic", path.stem) for band in bands]
    try:
        with written_aside(path) as aside, gdal_options_set(GDAL_CACHEMAX=_CACHE_MB):
            beside = lasting_threads("beside-raster", _BESIDE)
            digests = [beside.submit(_digest, name, band.raster) for name, band in zip(names, bands, strict=True)]
            cog = write_cog(aside, bands, place, tags, CogForm(output.compression, output.level))
            synced = beside.submit(_sync, aside)
            _refuse_unreadable(aside, [band.raster for band in bands], cog.spans)
            sha256 = file_sha256(aside)
            synced.result()
            shown = _shown(cog.overviews, bands[0].raster.dtype)
            return FileFacts(path, aside.stat().st_size, sha256, tuple(digest.result() for digest in digests), shown)
    except UnequalError as error:
        raise OutputError(f"{path}: {error}") from error
    except RasterioError as error:
        raise OutputError(f"{path}: GDAL cannot write it: {error}") from error


def _shown(overviews: Sequence[Sequence[Stored]], dtype: np.dtype) -> tuple[npt.NDArray[Any], ...]:
    """The overviews that the page of a run may show, as they are stored."""
    small = [bands for bands in overviews if max(bands[0].shape) <= LARGEST_SHOWN]
    return tuple(np.array([band[: len(band)] for band in bands], dtype) for bands in small)


def _digest(name: str, raster: PartlyEncoded) -> ValueFacts:
    values, dtype, _ = raster
    digest = ValueDigest(name, dtype, values.shape, missing_of(dtype))
    for top in range(0, len(values), _ROWS_DIGESTED):
        digest.add(values[top : top + _ROWS_DIGESTED].astype(dtype, copy=False))
    return digest.facts()


def _sync(path: Path) -> None:
    """Bring a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _refuse_unreadable(path: Path, rasters: Sequence[PartlyEncoded], spans: Sequence[BlockSpan]) -> None:
    """Raise UnequalError unless GDAL finds the first and the last block of each band, and so the others, in place.

    It decodes the last one, which takes milliseconds for a block of any raster; our own decoder has decoded each.
    """
    of_band = len(spans) // len(rasters)
    with rasterio.open(path, driver="GTiff") as stored:
        for band, (values, dtype, _) in enumerate(rasters, start=1):
            rows, columns = ((side - 1) // BLOCK for side in values.shape)
            mine = spans[(band - 1) * of_band : band * of_band]
            for (row, column), span in (((0, 0), mine[0]), ((rows, columns), mine[-1])):
                if _span_by_gdal(stored, band, row, column) != span:
                    raise UnequalError(f"GDAL finds block {column} of row {row} of blocks elsewhere; report it")
            top, left = rows * BLOCK, columns * BLOCK
            block = values[top : values.shape[0], left : values.shape[1]]
            found = stored.read(band, window=((top, values.shape[0]), (left, values.shape[1])))
            if not same_bits(found, np.ascontiguousarray(block, dtype)):
                raise UnequalError(f"GDAL reads other values from row {top} and column {left} on; report it")


def _span_by_gdal(stored: rasterio.DatasetReader, band: int, row: int, column: int) -> BlockSpan:
    """Where a block lies, by the items that its GTiff driver gives for this; zeros for a block that it does not find.

    Source: TIFF metadata domain of GDAL's frmts/gtiff/gtiffrasterband_read.cpp, GTiffRasterBand::GetMetadataItem.
    """
    items = (stored.get_tag_item(f"BLOCK_{name}_{column}_{row}", "TIFF", bidx=band) for name in ("OFFSET", "SIZE"))
    return BlockSpan(*(int(item or 0) for item in items))
