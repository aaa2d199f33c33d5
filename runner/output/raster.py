"""Cloud-Optimized GeoTIFFs of temporal statistics: one file per statistic."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from runner.base.atomic import written_aside
from runner.errors import OutputError
from runner.host.threads import lasting_threads
from runner.model import Grid
from runner.output.block_coder import BLOCK, UnequalError
from runner.output.cog_file import CogForm, PartlyEncoded, write_cog
from runner.output.digest import FileFacts, ValueDigest, ValueFacts, file_sha256, same_bits
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


def write_raster(
    path: Path, raster: np.ndarray | PartlyEncoded, grid: Grid, output: OutputSettings, tags: Mapping[str, str]
) -> FileFacts:
    """Write a (y, x) raster as a COG with statistics and overviews; nodata is NaN for floats, 0 for counts.

    What is written is decoded, read back and compared before the file gets its name. Raises OutputError.
    """
    raster = PartlyEncoded.of(raster)
    nodata = np.nan if raster.dtype.kind == "f" else _NO_COUNT
    place = {"crs": grid.crs, "transform": Affine(*grid.transform), "nodata": nodata}
    try:
        with written_aside(path) as aside, gdal_options_set(GDAL_CACHEMAX=_CACHE_MB):
            beside = lasting_threads("beside-raster", _BESIDE)
            digest = beside.submit(_digest, tags.get("statistic", path.stem), raster)
            write_cog(aside, raster, place, tags, CogForm(output.compression, output.level))
            synced = beside.submit(_sync, aside)
            _refuse_unreadable(aside, raster)
            sha256 = file_sha256(aside)
            synced.result()
            return FileFacts(path, aside.stat().st_size, sha256, (digest.result(),))
    except UnequalError as error:
        raise OutputError(f"{path}: {error}") from error
    except RasterioError as error:
        raise OutputError(f"{path}: GDAL cannot write it: {error}") from error


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


def _refuse_unreadable(path: Path, raster: PartlyEncoded) -> None:
    """Raise UnequalError unless GDAL finds the first and the last block, and so the others, where they lie."""
    values, dtype, _ = raster
    height, width = values.shape
    with rasterio.open(path, driver="GTiff") as stored:
        for top, left in {(0, 0), ((height - 1) // BLOCK * BLOCK, (width - 1) // BLOCK * BLOCK)}:
            block = values[top : top + BLOCK, left : left + BLOCK]
            found = stored.read(1, window=((top, top + block.shape[0]), (left, left + block.shape[1])))
            if not same_bits(found, np.ascontiguousarray(block, dtype)):
                raise UnequalError(f"GDAL reads other values from row {top} and column {left} on; report it")
