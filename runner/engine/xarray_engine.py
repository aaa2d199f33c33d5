"""The reference engine: the founding notebook's way, rioxarray and dask arrays, done right."""

from collections.abc import Callable
from dataclasses import dataclass

import dask.array as da
import numpy as np
import rioxarray  # noqa: F401 - registers the .rio accessor, for statistics that want the CRS
import xarray as xr
from dask.base import tokenize
from dask.delayed import Delayed

from runner.cluster import Cluster
from runner.engine.pixels import PixelRule
from runner.engine.results import PassResult, Values
from runner.model import Stack, locate
from runner.plan.records import Chunks, Pass
from runner.read.gdal_array import GdalArray
from runner.read.header import Header
from runner.reduce.statistics import statistic
from runner.settings import Over
from runner.source.stores import gdal_path

Progress = Callable[[int, int], None]
Part = tuple[tuple[slice, ...], Delayed]


def run_pass(one: Pass, stack: Stack, rule: PixelRule, cluster: Cluster, progress: Progress) -> PassResult:
    """Compute the stages of a pass. Raises ReadError for a scene that cannot be read."""
    pixels = open_stack(stack, one.chunks, rule)
    valid = xr.apply_ufunc(rule.pixels.valid, pixels, dask="parallelized", output_dtypes=[np.bool_])
    results = {}
    for stage in one.stages:
        dims = ("y", "x") if stage.over is Over.space else ("time",)
        lazy = {name: statistic(name).from_xarray(pixels, valid, dims).data for name in stage.statistics}
        results[stage.name] = _compute(lazy, cluster, progress)
    return PassResult(results)


@dataclass(frozen=True, slots=True)
class SceneArray:
    """A scene's values, (y, x), read when indexed: what dask asks of an array."""

    stored: GdalArray
    header: Header
    rule: PixelRule

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self.stored.shape

    @property
    def dtype(self) -> np.dtype:
        """The type that is accumulated."""
        return self.rule.pixels.dtype

    @property
    def ndim(self) -> int:
        """Two: y and x."""
        return 2

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        """The values of a window. Raises ReadError."""
        valid = self.stored.mask(window) if self.rule.masks else None
        return self.rule.values(self.stored[window], valid, self.header)


def open_stack(stack: Stack, chunks: Chunks, rule: PixelRule) -> xr.DataArray:
    """The stack as a lazy DataArray (time, y, x) of the accumulated type, with coordinates and CRS."""
    layers = [
        da.from_array(
            SceneArray(
                GdalArray(gdal_path(locate(scene.href)), scene.href, rule.band, scene.header.shape, stack.dtype),
                scene.header,
                rule,
            ),
            chunks=(chunks.y, chunks.x),
            name=f"scene-{tokenize(scene.href, scene.etag, str(rule), chunks)}",
            lock=False,
            meta=np.empty((0, 0), rule.pixels.dtype),
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


def _compute(lazy: dict[str, da.Array], cluster: Cluster, progress: Progress) -> dict[str, Values]:
    """Compute block by block, so that progress is seen and each worker's share stays small."""
    values: dict[str, Values] = {name: np.empty(array.shape, array.dtype) for name, array in lazy.items()}
    places = [(name, place, piece) for name, array in lazy.items() for place, piece in _parts(array)]
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress(done, len(places))

    computed = cluster.compute([piece for _, _, piece in places], count)
    for (name, place, _), value in zip(places, computed, strict=True):
        values[name][place] = value
    return values


def _parts(array: da.Array) -> list[Part]:
    """The blocks of a dask array with their place in it."""
    places = da.core.slices_from_chunks(array.chunks)
    return list(zip(places, array.to_delayed().ravel(), strict=True))
