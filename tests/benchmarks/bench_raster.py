"""Writing a raster of means: ours beside GDAL's COG driver, with the same blocks, compression and overviews.

`python tests/benchmarks/bench_raster.py` takes half a minute. The values are means of speckle: noise, as of radar.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine
from report import machine, markdown

from runner.base.console import say
from runner.output.block_coder import BLOCK
from runner.output.cog_file import CogForm, write_cog

SIDE = 5490
PLACE = {"crs": "EPSG:32610", "transform": Affine(20.0, 0.0, 499980.0, 0.0, -20.0, 5300040.0)}


def main() -> None:
    """Time both, alternating, and show the table."""
    rows = []
    with TemporaryDirectory() as folder:
        for what, values, nodata in rasters():
            for compression in ("deflate", "zstd", "none"):
                path = Path(folder, "x.tif")
                ways = (ours, gdal)
                times = [[seconds(way, path, values, nodata, compression) for way in ways] for _ in range(3)]
                best = np.min(times, axis=0)
                rows.append((what, compression, *(f"{one:.2f}" for one in best), f"{best[1] / best[0]:.1f}"))
    table = markdown(("raster", "compression", "ours s", "GDAL s", "ratio"), rows)
    say(f"{machine()}; {SIDE} x {SIDE}, best of 3\n\n{table}")


def rasters() -> list[tuple[str, npt.NDArray[Any], float]]:
    """What temporal means and their counts look like."""
    speckle = np.random.default_rng(1).gamma(100, 0.002, (SIDE, SIDE)).astype(np.float32)
    return [("means, float32", speckle, np.nan), ("counts, int32", np.full((SIDE, SIDE), 100, np.int32), 0)]


def seconds(way: Callable[..., None], path: Path, values: npt.NDArray[Any], nodata: float, compression: str) -> float:
    """How long one writing takes, to a file that is not there yet."""
    path.unlink(missing_ok=True)
    start = time.perf_counter()
    way(path, values, {**PLACE, "nodata": nodata}, compression)
    return time.perf_counter() - start


def ours(path: Path, values: npt.NDArray[Any], place: dict[str, Any], compression: str) -> None:
    """As the runner writes them."""
    write_cog(path, values, place, {}, CogForm(compression, 1))


def gdal(path: Path, values: npt.NDArray[Any], place: dict[str, Any], compression: str) -> None:
    """By GDAL's COG driver, on all its threads."""
    level = {} if compression == "none" else {"level": 1, "predictor": "YES"}
    shape = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype.name}
    resampling = "average" if values.dtype.kind == "f" else "nearest"
    more = {"blocksize": BLOCK, "statistics": "YES", "resampling": resampling, "num_threads": "ALL_CPUS"}
    with (
        rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"),
        rasterio.open(path, "w", driver="COG", **shape, **place, **more, compress=compression, **level) as raster,
    ):
        raster.write(values, 1)


if __name__ == "__main__":
    main()
