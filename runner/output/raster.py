"""Cloud-Optimized GeoTIFFs of temporal statistics: one file per statistic."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from runner.base.atomic import written_aside
from runner.errors import OutputError
from runner.model import Grid
from runner.output.cog_file import CogForm, write_cog
from runner.output.digest import FileFacts, ValueDigest, ValueFacts, file_sha256
from runner.settings import OutputSettings

_CACHE_MB = 64  # of GDAL blocks; the default is 5 % of the machine
_NO_COUNT = 0  # the nodata of counts
_ROWS_COMPARED = 1024  # at a time, when a raster is read back


def write_raster(
    path: Path, values: np.ndarray, grid: Grid, output: OutputSettings, tags: Mapping[str, str]
) -> FileFacts:
    """Write (y, x) values as a COG with statistics and overviews; nodata is NaN for floats, 0 for counts.

    The file is read back and compared before it gets its name; its facts are of what was read. Raises OutputError.
    """
    name = tags.get("statistic", path.stem)
    try:
        with written_aside(path) as aside, rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
            floats = values.dtype.kind == "f"
            place = {"crs": grid.crs, "transform": Affine(*grid.transform), "nodata": np.nan if floats else _NO_COUNT}
            write_cog(aside, values, place, tags, CogForm(output.compression, output.level))
            facts = _check(path, aside, values, name)
            return FileFacts(path, aside.stat().st_size, file_sha256(aside), (facts,))
    except RasterioError as error:
        raise OutputError(f"{path}: GDAL cannot write it: {error}") from error


def _check(path: Path, aside: Path, values: np.ndarray, name: str) -> ValueFacts:
    floats = values.dtype.kind == "f"
    digest = ValueDigest(name, values.dtype, values.shape, None if floats else _NO_COUNT)
    with rasterio.open(aside, driver="GTiff", num_threads="ALL_CPUS") as raster:
        for top in range(0, values.shape[0], _ROWS_COMPARED):
            rows = slice(top, min(top + _ROWS_COMPARED, values.shape[0]))
            found = raster.read(1, window=((rows.start, rows.stop), (0, values.shape[1])))
            if not _same_bits(found, values[rows]):
                raise OutputError(f"{path}: read back, rows {rows.start} to {rows.stop} differ; check the disk")
            digest.add(found)
    return digest.facts()


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    bits = np.dtype(f"u{one.itemsize}")
    return one.dtype == other.dtype and np.array_equal(one.view(bits), other.view(bits))
