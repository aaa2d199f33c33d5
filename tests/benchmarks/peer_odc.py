"""A peer: odc-stac, both means from one read of each chunk, nodata masked, on a dask cluster of threads."""

from datetime import datetime
from typing import TYPE_CHECKING

from task import Stopwatch, Task, date_of, list_scenes, set_gdal_environment, task_of, task_parser, write_table

from runner.demo.archive import TRANSFORM

if TYPE_CHECKING:
    import pystac

CODE = "EPSG:32610"


def main() -> None:
    """Load, reduce, write."""
    parser = task_parser(__doc__)
    parser.add_argument("--chunk", type=int, default=2048, help="rows and columns, a multiple of the files' 512")
    options = parser.parse_args()
    task, watch = task_of(options), Stopwatch()
    set_gdal_environment(task, {})
    import dask.base
    import numpy as np
    import odc.stac
    import rioxarray  # noqa: F401 - for .rio
    from dask.distributed import Client, LocalCluster

    where = {"dashboard_address": "127.0.0.1:0", "local_directory": str(task.folder)}
    hrefs = list_scenes(task)
    with LocalCluster(processes=False, **where) as cluster, Client(cluster) as client:
        odc.stac.configure_rio(cloud_defaults=True, aws={"aws_unsigned": True}, client=client)
        chunks = {"x": options.chunk, "y": options.chunk}
        stack = odc.stac.load([item(task, href) for href in hrefs], bands=["vv"], chunks=chunks).vv
        valid = stack.where(stack != 0)
        with watch("compute"):
            spatial, temporal = dask.base.compute(valid.mean(dim=["y", "x"]), valid.mean(dim="time"))
    write_table(task.folder / "spatial_mean.parquet", hrefs, spatial.values)
    temporal.rio.write_nodata(np.nan).rio.to_raster(task.folder / "temporal_mean.tif")
    watch.save(task.folder)


def item(task: Task, href: str) -> "pystac.Item":
    """What a STAC catalogue would say of a scene: its grid and type, so that no header is read before the pixels."""
    import pystac
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import DataType, RasterBand, RasterExtension

    day = datetime.strptime(date_of(href), "%Y%m%d")
    found = pystac.Item(id=date_of(href), geometry=None, bbox=None, datetime=day, properties={})
    asset = pystac.Asset(href, media_type=pystac.MediaType.COG, roles=["data"])
    found.add_asset("vv", asset)
    grid = ProjectionExtension.ext(found, add_if_missing=True)
    grid.apply(code=CODE, shape=[task.size, task.size], transform=list(TRANSFORM))
    RasterExtension.ext(asset, add_if_missing=True).apply([RasterBand.create(nodata=0, data_type=DataType.FLOAT32)])
    return found


if __name__ == "__main__":
    main()
