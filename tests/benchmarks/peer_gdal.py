"""A peer: GDAL alone, from 3.12 on: a virtual raster over all scenes with the pixel function `mean`, nodata left out.

It has the temporal mean alone. Of a virtual raster with a pixel function, GDAL reads one scene after the other, with
however many threads; so windows of it are read side by side, by threads with a dataset each, and written as they come.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from task import Stopwatch, list_keys, set_gdal_environment, task_of, task_parser

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

BLOCK = 512  # rows and columns of the files' tiles


def main() -> None:
    """Write the mean of each window."""
    parser = task_parser(__doc__)
    parser.add_argument("--threads", type=int, default=4 * (os.cpu_count() or 1), help="default: four for each CPU")
    parser.add_argument("--columns", type=int, default=4 * BLOCK, help="of a window of 512 rows (default: %(default)s)")
    options = parser.parse_args()
    task, watch = task_of(options), Stopwatch()
    set_gdal_environment(task, {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_NUM_THREADS": "ALL_CPUS"})
    import rasterio

    hrefs = [f"/vsis3/{task.bucket}/{key}" for key in list_keys(task)]
    with watch("headers"), rasterio.open(hrefs[0]) as first:
        vrt, grid = mean_of(hrefs, first), {"crs": first.crs, "transform": first.transform}
        windows = windows_of(first, options.columns)
    form = {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate"}
    shape = {"width": task.size, "height": task.size, "count": 1, "dtype": "float32", "nodata": 0}
    local, lock = threading.local(), threading.Lock()

    def copy(window: "Window") -> None:
        if not hasattr(local, "mean"):
            local.mean = rasterio.open(vrt, sharing=False)
        pixels = local.mean.read(1, window=window)
        with lock:
            output.write(pixels, 1, window=window)

    path = task.folder / "temporal_mean.tif"
    creation = {**form, **shape, **grid}
    with watch("compute"), rasterio.open(path, "w", **creation) as output, ThreadPoolExecutor(options.threads) as pool:
        list(pool.map(copy, windows))
    watch.save(task.folder)


def mean_of(hrefs: list[str], first: "DatasetReader") -> str:
    """The virtual raster. The function leaves out what equals the band's nodata value."""
    sources = "".join(
        f"<SimpleSource><SourceFilename>{escape(href)}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        for href in hrefs
    )
    return f"""
<VRTDataset rasterXSize="{first.width}" rasterYSize="{first.height}">
  <SRS>{escape(first.crs.to_wkt())}</SRS>
  <GeoTransform>{", ".join(map(repr, first.transform.to_gdal()))}</GeoTransform>
  <VRTRasterBand dataType="Float32" band="1" subClass="VRTDerivedRasterBand" blockXSize="{BLOCK}" blockYSize="{BLOCK}">
    <NoDataValue>{first.nodata}</NoDataValue>
    <PixelFunctionType>mean</PixelFunctionType>
    <PixelFunctionArguments propagateNoData="false"/>
    <SourceTransferType>Float32</SourceTransferType>
    {sources}
  </VRTRasterBand>
</VRTDataset>"""


def windows_of(raster: "DatasetReader", columns: int) -> list["Window"]:
    """Windows of whole tiles that cover the raster, row by row."""
    from rasterio.windows import Window

    return [
        Window(left, top, min(columns, raster.width - left), min(BLOCK, raster.height - top))
        for top in range(0, raster.height, BLOCK)
        for left in range(0, raster.width, columns)
    ]


if __name__ == "__main__":
    main()
