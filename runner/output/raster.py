"""Cloud-Optimized GeoTIFFs of temporal statistics: one file per statistic."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from runner.errors import OutputError
from runner.model import Grid
from runner.output.aside import written_aside
from runner.settings import OutputSettings

_BLOCK = 512
_CACHE_MB = 64  # of GDAL blocks; the default is 5 % of the machine
_ROWS_COMPARED = 1024  # at a time, when a raster is read back


def write_raster(path: Path, values: np.ndarray, grid: Grid, output: OutputSettings, tags: Mapping[str, str]) -> None:
    """Write (y, x) values as a COG with statistics and overviews; nodata is NaN for floats, 0 for counts.

    The file is read back and compared before it gets its name. Raises OutputError.
    """
    nodata = np.nan if values.dtype.kind == "f" else 0
    profile = {
        "driver": "COG",
        "height": grid.height,
        "width": grid.width,
        "count": 1,
        "dtype": values.dtype.name,
        "crs": grid.crs,
        "transform": Affine(*grid.transform),
        "nodata": nodata,
        "compress": output.compression,
        **({"level": output.level} if output.compression in ("deflate", "zstd") else {}),
        "predictor": "YES" if output.compression in ("deflate", "lzw", "zstd") else "NO",
        "blocksize": _BLOCK,
        "overviews": "AUTO",
        "resampling": "average" if values.dtype.kind == "f" else "nearest",
        "statistics": "YES" if _any_data(values) else "NO",
        "num_threads": "ALL_CPUS",
        "bigtiff": "IF_SAFER",
    }
    try:
        with written_aside(path) as aside, rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
            with rasterio.open(aside, "w", **profile) as raster:
                raster.write(values, 1)
                raster.update_tags(**tags)
                raster.set_band_description(1, tags.get("statistic", path.stem))
            _check(path, aside, values)
    except RasterioError as error:
        raise OutputError(f"{path}: GDAL cannot write it: {error}") from error


def _any_data(values: np.ndarray) -> bool:
    return bool(not np.isnan(values).all() if values.dtype.kind == "f" else values.any())


def _check(path: Path, aside: Path, values: np.ndarray) -> None:
    with rasterio.open(aside, driver="GTiff", num_threads="ALL_CPUS") as raster:
        for top in range(0, values.shape[0], _ROWS_COMPARED):
            rows = slice(top, min(top + _ROWS_COMPARED, values.shape[0]))
            window = ((rows.start, rows.stop), (0, values.shape[1]))
            if not np.array_equal(raster.read(1, window=window), values[rows], equal_nan=values.dtype.kind == "f"):
                raise OutputError(f"{path}: read back, rows {rows.start} to {rows.stop} differ; check the disk")
