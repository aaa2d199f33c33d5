"""The reference engine: the founding notebook's way, rioxarray and dask arrays, done right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import rioxarray  # noqa: F401 - registers the .rio accessor, for statistics that want the CRS
import xarray as xr
from dask.delayed import Delayed

from runner.cluster import Cluster
from runner.model import Stack, locate
from runner.plan import Chunks, StagePlan
from runner.read.gdal_array import GdalArray
from runner.reduce.statistics import statistic
from runner.settings import Over
from runner.source.stores import gdal_path

Progress = Callable[[int, int], None]
Part = tuple[tuple[slice, ...], Delayed]


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage computed: for each statistic an array of shape (scenes,) over space, (y, x) over time."""

    values: dict[str, np.ndarray]


def run_stage(
    stage: StagePlan, stack: Stack, band: int, nodata: float | int | None, cluster: Cluster, progress: Progress
) -> StageResult:
    """Compute a stage's statistics; pixels that are NaN or equal `nodata` are left out.

    Raises ReadError for a scene that cannot be read.
    """
    pixels = open_stack(stack, stage.chunks, band)
    valid = valid_pixels(pixels, nodata)
    dims = ("y", "x") if stage.over is Over.space else ("time",)
    lazy = {name: statistic(name).from_xarray(pixels, valid, dims).data for name in stage.statistics}
    return StageResult(_compute(lazy, cluster, progress))


def open_stack(stack: Stack, chunks: Chunks, band: int) -> xr.DataArray:
    """The stack as a lazy DataArray (time, y, x) of the file's dtype, with coordinates and CRS."""
    layers = [
        da.from_array(
            GdalArray(gdal_path(locate(scene.href)), scene.href, band, scene.header.shape, stack.dtype),
            chunks=(chunks.y, chunks.x),
            name=f"scene-{scene.name}-{scene.etag}-{chunks.y}-{chunks.x}",
            lock=False,
            meta=np.empty((0, 0), stack.dtype),
        )
        for scene in stack.scenes
    ]
    a, _, c, _, e, f = stack.grid.transform
    pixels = xr.DataArray(
        da.stack(layers).rechunk({0: chunks.time}),
        dims=("time", "y", "x"),
        coords={
            "time": np.array([scene.time.replace(tzinfo=None) for scene in stack.scenes], "datetime64[us]"),
            "y": f + e * (np.arange(stack.grid.height) + 0.5),
            "x": c + a * (np.arange(stack.grid.width) + 0.5),
        },
        name=stack.name,
    )
    return pixels.rio.write_crs(stack.grid.crs) if stack.grid.crs else pixels


def valid_pixels(pixels: xr.DataArray, nodata: float | int | None) -> xr.DataArray:
    """Which pixels count: a lazy bool array like `pixels`. NaN never does, nor does `nodata` unless it is None."""
    valid = pixels.notnull()
    return valid if nodata is None or np.isnan(nodata) else valid & (pixels != nodata)


def _compute(lazy: dict[str, da.Array], cluster: Cluster, progress: Progress) -> dict[str, np.ndarray]:
    """Compute block by block, so that progress is seen and each worker's share stays small."""
    values = {name: np.empty(array.shape, array.dtype) for name, array in lazy.items()}
    places = [(name, place, piece) for name, array in lazy.items() for place, piece in _parts(array)]
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress(done, len(places))

    for (name, place, _), value in zip(places, _values(cluster, places, count), strict=True):
        values[name][place] = value
    return values


def _values(cluster: Cluster, places: Sequence[tuple[str, Any, Delayed]], count: Callable[[], None]) -> list[Any]:
    return cluster.compute([piece for _, _, piece in places], count)


def _parts(array: da.Array) -> list[Part]:
    """The blocks of a dask array with their place in it."""
    places = da.core.slices_from_chunks(array.chunks)
    return list(zip(places, array.to_delayed().ravel(), strict=True))
