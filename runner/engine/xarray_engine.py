"""The reference engine: rioxarray and dask arrays, as in the founding notebook."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import rioxarray  # noqa: F401 - registers the .rio accessor, for statistics that want the CRS
import xarray as xr
from dask.base import tokenize
from dask.delayed import Delayed, delayed

from runner.area import Area
from runner.cluster.workers import Cluster
from runner.engine.area_seen import share_inside
from runner.engine.observer import Observer
from runner.engine.results import NoDecibels, PassResult, Stored, Values, overflow_noted
from runner.engine.trace import NumberedTask, TaskTrace, here
from runner.host.memory import peak_bytes
from runner.model import MaskFile, Scene, Stack, locate
from runner.planning.chunking import chunk_sizes
from runner.planning.masking import PixelRule
from runner.planning.reading import Reading
from runner.planning.records import Chunks, Layer, Pass, StagePlan, Task
from runner.planning.weights import row_areas
from runner.read.fast_reader import check_deflated
from runner.read.gdal_array import GdalArray
from runner.read.header import ScenePart, Window
from runner.read.mask_test import MaskTest
from runner.read.version import Version
from runner.reduce.statistics import statistic
from runner.reduce.xarray_statistics import AREA
from runner.settings import Over, Weights
from runner.source.gdal_stores import gdal_path

Part = tuple[tuple[slice, ...], Delayed]


def run_pass(pass_: Pass, stack: Stack, cluster: Cluster, observer: Observer) -> PassResult:
    """Compute the stages of a pass. Its tasks are the pieces of its results. Raises ReadError."""
    rule = pass_.reading.rule
    pixels = open_stack(stack, pass_.chunks, rule, pass_.reading)
    if any(stage.weights is Weights.area for stage in pass_.stages):
        pixels = pixels.assign_coords({AREA: ("y", row_areas(stack.grid))})
    valid = xr.apply_ufunc(rule.pixels.valid, pixels, dask="parallelized", output_dtypes=[np.bool_])
    results: dict[str, dict[str, Stored]] = {}
    beyond: set[tuple[str, str]] = set()
    no_decibels = NoDecibels()
    for stage in pass_.stages:
        lazy = {layer: _lazy(stage, stack, layer, pixels, valid).data for layer in stage.layers}
        pieces = [_piece(stage, stack, layer, *part) for layer, array in lazy.items() for part in _parts(array)]
        narrow = pass_.raster if stage.over is Over.time else None
        results[stage.name] = {layer.name: _empty(array, narrow) for layer, array in lazy.items()}
        for piece, (value, trace) in zip(pieces, _compute(pieces, cluster, observer), strict=True):
            name = piece.layer.statistic
            shown = no_decibels.left_out(stage, name, statistic(name).scaled(value, stage.scale))
            with overflow_noted(beyond, stage.name, name):
                results[stage.name][piece.layer.name][piece.place] = shown
            observer.done(trace)
    return PassResult(results, beyond=frozenset(beyond), no_decibels=no_decibels.counts)


def _lazy(stage: StagePlan, stack: Stack, layer: Layer, pixels: xr.DataArray, valid: xr.DataArray) -> xr.DataArray:
    """A layer of a stage. A valid fraction over space is a part of the area."""
    name, dims = layer.statistic, ("y", "x") if stage.over is Over.space else ("time",)
    if stage.groups:
        members = stage.groups.members(layer.group)
        pixels, valid = pixels.isel(time=members), valid.isel(time=members)
    lazy = statistic(name, stage.weights).from_xarray(pixels, valid, dims, stage.min_count)
    if name != "valid_fraction" or stage.over is not Over.space or stack.area is None:
        return lazy
    return lazy / share_inside(stack, by_area=name in stage.by_area)


def _empty(array: da.Array, floats: np.dtype | None) -> Values:
    return np.empty(array.shape, floats if floats is not None and array.dtype.kind == "f" else array.dtype)


@dataclass(frozen=True, slots=True)
class MaskArray:
    """The mask of a scene in a file of its own, read when it is asked for."""

    stored: GdalArray
    mask: MaskFile
    test: MaskTest
    reading: Reading | None = None

    def hidden(self, window: Window) -> np.ndarray:
        """True for the pixels of a window of the scene that the mask hides. Raises ReadError."""
        mask, part = self.mask, self.mask.part(window)
        if self.reading:
            read = ScenePart(0, self.reading.file_of(mask), part, (self.test.band,))
            check_deflated([read], self.reading.fetch)
        codes, valid = self.stored.read(mask.header, part.slices), self.stored.visible(mask.header, part.slices)
        hidden = self.test.hides(codes, mask.header.nodata_of(self.test.band))
        if valid is not None:
            hidden |= ~valid
        repeated = hidden.repeat(mask.factor, axis=0).repeat(mask.factor, axis=1)
        row, column = mask.row + part.row * mask.factor, mask.column + part.column * mask.factor
        cropped: np.ndarray = repeated[window.shifted(-row, -column).slices]
        return cropped


@dataclass(frozen=True, slots=True)
class SceneArray:
    """The values of a scene on a grid of `shape` (y, x), read when indexed, as dask expects of an array.

    Pixels outside of the scene are missing.
    """

    stored: GdalArray
    scene: Scene
    rule: PixelRule
    shape: tuple[int, int]
    mask: MaskArray | None = None
    area: Area | None = None

    @property
    def dtype(self) -> np.dtype:
        """The accumulated type."""
        return self.rule.pixels.dtype

    @property
    def ndim(self) -> int:
        """Two: y and x."""
        return 2

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        """The values of a window of the grid. Raises ReadError."""
        whole = _window(*(slice(*part.indices(size)[:2]) for part, size in zip(window, self.shape, strict=True)))
        covered = whole.common(self.scene.window)
        if covered and self.area and not self.area.meets(covered):
            covered = None
        if covered == whole:
            return self._read(whole)
        values = np.full((whole.height, whole.width), self.rule.pixels.blank, self.dtype)
        if covered:
            values[covered.shifted(-whole.row, -whole.column).slices] = self._read(covered)
        return values

    def _read(self, covered: Window) -> np.ndarray:
        own, header = covered.shifted(-self.scene.row, -self.scene.column), self.scene.header
        window = own.slices
        valid = self.stored.visible(header, window) if self.rule.masks or header.layout.repaired else None
        hidden = self.mask.hidden(own) if self.mask else None
        if self.area:
            outside = ~self.area.inside(covered)
            hidden = outside if hidden is None else hidden | outside
        return self.rule.values(self.stored.read(header, window), valid, self.scene, hidden)


def open_stack(stack: Stack, chunks: Chunks, rule: PixelRule, reading: Reading | None = None) -> xr.DataArray:
    """The stack as a lazy DataArray (time, y, x) of the accumulated type, with coordinates and CRS.

    `reading` has the stores where they are not those of the environment; with it, masks are held against checksums.
    """
    sizes = chunk_sizes(stack, chunks)
    same = str(rule), sizes, stack.area and stack.area.sha256
    layers = [
        da.from_array(
            _scene_array(stack, scene, rule, reading),
            chunks=sizes,
            name=f"scene-{tokenize(scene.objects, scene.band, scene.window, *same)}",
            lock=False,
            meta=np.empty((0, 0), rule.pixels.dtype),
        )
        for scene in stack.scenes
    ]
    pixels = xr.DataArray(
        da.stack(layers).rechunk({0: chunks.time}),
        dims=("time", "y", "x"),
        coords=stack.coordinates,
        name=stack.name,
    )
    return pixels.rio.write_crs(stack.grid.crs) if stack.grid.crs else pixels


def _scene_array(stack: Stack, scene: Scene, rule: PixelRule, reading: Reading | None) -> SceneArray:
    shape, stored = (stack.grid.height, stack.grid.width), _stored(scene, scene.band, reading)
    return SceneArray(stored, scene, rule, shape, _mask(scene, rule, reading), stack.area)


def _stored(file: Scene | MaskFile, band: int, reading: Reading | None) -> GdalArray:
    where = reading.stores.locate if reading else locate
    version = str(Version(file.etag, file.size, file.modified))
    header = file.header
    return GdalArray(gdal_path(where(file.href)), file.href, version, band, header.shape, np.dtype(header.dtype))


def _mask(scene: Scene, rule: PixelRule, reading: Reading | None) -> MaskArray | None:
    if scene.mask is None or rule.test is None:
        return None
    return MaskArray(_stored(scene.mask, rule.test.band, reading), scene.mask, rule.test, reading)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of one layer, and its place in the whole."""

    layer: Layer
    place: tuple[slice, ...]
    task: Task
    lazy: Delayed


def _piece(stage: StagePlan, stack: Stack, layer: Layer, place: tuple[slice, ...], lazy: Delayed) -> _Piece:
    if stage.over is Over.space:
        return _Piece(layer, place, Task(stack.grid.window, place[0].start, place[0].stop), lazy)
    return _Piece(layer, place, Task(_window(*place), 0, len(stack.scenes)), lazy)


def _window(rows: slice, columns: slice) -> Window:
    return Window(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)


def _compute(pieces: list[_Piece], cluster: Cluster, observer: Observer) -> list[tuple[Values, TaskTrace]]:
    """Compute piece by piece, so that progress shows and each worker's share stays small."""
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        observer.progress(done, len(pieces))

    tasks = [NumberedTask(number, piece.task) for number, piece in enumerate(pieces)]
    traced = [delayed(partial(_traced, task))(piece.lazy) for task, piece in zip(tasks, pieces, strict=True)]
    return cluster.compute(traced, count)


def _traced(numbered: NumberedTask, value: Any) -> tuple[Any, TaskTrace]:
    """A piece with its trace. dask does not report when its first pixel was read."""
    return value, TaskTrace(*numbered, here(), None, time.time(), peak_bytes())


def _parts(array: da.Array) -> list[Part]:
    """The chunks of a dask array with their places."""
    places = da.core.slices_from_chunks(array.chunks)
    return list(zip(places, array.to_delayed().ravel(), strict=True))
