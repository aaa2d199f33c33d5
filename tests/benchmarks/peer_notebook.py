"""A peer: the founding notebook's workflow with today's libraries.

Spatial means on worker processes, the temporal mean on threads, as its conclusion recommends; its chunks, its GDAL
options under the names GDAL knows, rioxarray in place of xarray's own open_rasterio, and, unless asked, no mask.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from task import Stopwatch, date_of, list_scenes, set_gdal_environment, task_of, task_parser, write_table

if TYPE_CHECKING:
    import xarray as xr

CHUNK = 2745
GDAL_OPTIONS = Path(__file__).parents[2] / "conf" / "gdal" / "notebook.yaml"


def main() -> None:
    """Do the notebook's cells one after the other."""
    parser = task_parser(__doc__)
    parser.add_argument("--mask", action="store_true", help="leave nodata out")
    options = parser.parse_args()
    task, watch = task_of(options), Stopwatch()
    set_gdal_environment(task, yaml.safe_load(GDAL_OPTIONS.read_text())["options"])
    from dask.distributed import Client, LocalCluster  # after GDAL's options are set

    where = {"dashboard_address": "127.0.0.1:0", "local_directory": str(task.folder)}
    hrefs = list_scenes(task)
    with LocalCluster(processes=True, **where) as cluster, Client(cluster):
        with watch("headers"):
            stack = open_stack(hrefs, options.mask)
        with watch("compute"):
            spatial = stack.mean(dim=["x", "y"]).compute()
    with LocalCluster(processes=False, **where) as cluster, Client(cluster), watch("compute"):
        temporal = stack.mean(dim="time").compute()
    write_table(task.folder / "spatial_mean.parquet", hrefs, spatial.values)
    temporal.rio.to_raster(task.folder / "temporal_mean.tif")
    watch.save(task.folder)


def open_stack(hrefs: list[str], mask: bool) -> "xr.DataArray":
    """The stack (time, y, x), its headers read by the workers."""
    import dask.base
    import pandas as pd
    import rioxarray  # noqa: F401 - for .rio
    import xarray as xr
    from dask.delayed import delayed

    lazy = [delayed(open_layer)(href, mask) for href in hrefs]
    layers: tuple[xr.DataArray, ...] = dask.base.compute(*lazy)
    stack: xr.DataArray = xr.concat(layers, dim="band", join="override", combine_attrs="drop_conflicts").rename(
        band="time"
    )
    stack["time"] = pd.to_datetime([*map(date_of, hrefs)])
    return stack


def open_layer(href: str, mask: bool) -> "xr.DataArray":
    """One scene as a lazy (band, y, x)."""
    import rioxarray
    import xarray as xr

    layer = rioxarray.open_rasterio(href, chunks={"band": 1, "x": CHUNK, "y": CHUNK}, lock=False, masked=mask)
    assert isinstance(layer, xr.DataArray)
    return layer


if __name__ == "__main__":
    main()
