"""`runner.open_stack`: the stack of a source as a lazy DataArray, for whatever follows in xarray."""

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from runner import summary
from runner.api.driver import driven
from runner.api.words import Overrides, words_of
from runner.errors import ConfigError
from runner.model import Scene, Stack
from runner.settings import EngineName, JobSettings, SourceKind
from runner.source.reachable import opened_source

if TYPE_CHECKING:
    import xarray as xr

    from runner.api.stack_array import StackArray

_DIMENSIONS: Final = ("time", "y", "x")
_TAKEN: Final = {*_DIMENSIONS, "scene", "spatial_ref"}  # names that no group of scenes can have


def open_stack(overrides: Overrides = (), *, progress: bool = False, **settings: object) -> "xr.DataArray":
    """The scenes of a source as a lazy DataArray (time, y, x), for any expression of xarray and any scheduler of dask.

    `overrides` are those of `runner.run` that concern `source`, `mask`, `chunks`, `reader`, `fetch` and `decode`.
    Headers are read now; pixels when they are computed, each chunk by a task of its own, through the runner's reader,
    with its retries and pinned by ETag. `chunks` are in scenes and pixels, by default one scene and whole tiles.

    Values are as in a run: masked by nodata, the files' own masks, `mask` and `source.area`, scaled, NaN where missing.
    The type is that of the files; float64 if they are scaled; float32 or float64 for integers that can be missing.
    Coordinates are `time` (UTC), `y` and `x` (centres of pixels, in units of the CRS), and along time `scene` and the
    named groups that all scenes have; CRS and transform are set (`.rio`).

    Raises ConfigError for a wrong setting or a source that is parted into several stacks, SourceError for scenes that
    make no stack. Computing raises ReadError for a scene that cannot be read.
    """
    words = words_of(overrides, settings)

    def work() -> "xr.DataArray":
        from runner.config.composed import compose_job  # noqa: PLC0415 - Hydra, which is loaded when it is used
        from runner.record.events import libraries_hushed  # noqa: PLC0415 - as above

        job = replace(compose_job(words).job, engine=EngineName.block)
        if job.source.parted_by:
            parted = ", ".join(job.source.parted_by)
            raise ConfigError(
                f"{'source.bands' if job.source.bands else 'source.stack_by'}: {parted} parts this source into several "
                "stacks, wanted one; leave it out, and choose by source.where or source.band"
            )
        if job.source.min_valid_fraction is not None:
            raise ConfigError(
                f"source.min_valid_fraction={job.source.min_valid_fraction}: valid pixels are counted by a run, which "
                "reads them all; leave it out"
            )
        with libraries_hushed(), _opened(job) as reachable:
            return _found(reachable)

    return driven(work, progress=progress)


def _opened(job: JobSettings) -> AbstractContextManager[JobSettings]:
    """The source made reachable. Pixels are read later, so the demo is read from its folder, without a server."""
    if job.source.kind is not SourceKind.demo:
        return opened_source(job)
    from runner.demo.archive import default_cache_dir, ensure_archive  # noqa: PLC0415 - for the demo only

    url = job.source.shown_url.replace("s3://", f"{ensure_archive(default_cache_dir())}/")
    return opened_source(replace(job, source=replace(job.source, kind=SourceKind.glob, url=url)))


def _found(job: JobSettings) -> "xr.DataArray":
    from runner.api.stack_array import StackArray  # noqa: PLC0415 - all that reads and decodes
    from runner.planning.chunking import array_chunks, chunk_sizes  # noqa: PLC0415 - as above
    from runner.planning.planner import refuse_unfit_masks  # noqa: PLC0415 - as above
    from runner.planning.reading import make_reading  # noqa: PLC0415 - as above
    from runner.preview import announced, find_scenes, stores_of  # noqa: PLC0415 - as above

    stores = stores_of(job)
    inputs = announced(job, find_scenes(job, stores))
    for line in summary.describe_skipped(inputs):
        warnings.warn(line, stacklevel=1)
    refuse_unfit_masks(job, inputs.stack)
    reading = make_reading(job, inputs.stack, stores)
    chunks = array_chunks(job.chunks, inputs.stack, reading.rule)
    scenes = len(inputs.stack.scenes)
    times = tuple(min(chunks.time, scenes - start) for start in range(0, scenes, chunks.time))
    return _lazy(StackArray(inputs.stack, reading), inputs.stack, (times, *chunk_sizes(inputs.stack, chunks)))


def _lazy(array: "StackArray", stack: Stack, chunks: tuple[tuple[int, ...], ...]) -> "xr.DataArray":
    """The array in chunks of dask, with its coordinates."""
    import dask.array as da  # noqa: PLC0415 - a second that a run spares
    import rioxarray  # noqa: F401, PLC0415 - registers .rio
    import xarray as xr  # noqa: PLC0415 - as above
    from affine import Affine  # noqa: PLC0415 - as above
    from dask.base import tokenize  # noqa: PLC0415 - as above

    name = f"{stack.name}-{tokenize(_identity(array, stack), chunks)}"
    lazy = da.from_array(array, chunks, name=name, lock=False, fancy=False, meta=np.empty((0, 0, 0), array.dtype))
    pixels = xr.DataArray(
        lazy,
        dims=_DIMENSIONS,
        coords={
            **stack.coordinates,
            "scene": ("time", np.array([scene.name for scene in stack.scenes])),
            **{group: ("time", values) for group, values in _groups(stack.scenes).items()},
        },
        name=stack.name,
        attrs={"units": stack.units} if stack.units else {},
    )
    if array.dtype.kind == "f":
        pixels = pixels.rio.write_nodata(np.nan)
    if stack.grid.crs:
        pixels = pixels.rio.write_crs(stack.grid.crs)
    placed: xr.DataArray = pixels.rio.write_transform(Affine(*stack.grid.transform))
    return placed


def _identity(array: "StackArray", stack: Stack) -> tuple[object, ...]:
    """What values follow from: the versions of the objects, their places, and the rule."""
    objects = [(scene.objects, str(scene.modified), scene.size, scene.window) for scene in stack.scenes]
    return objects, array.description, str(stack.grid), stack.area and stack.area.sha256


def _groups(scenes: tuple[Scene, ...]) -> Mapping[str, Any]:
    """The named groups that all scenes have."""
    names = [name for name in scenes[0].groups if name not in _TAKEN and all(name in one.groups for one in scenes)]
    return {name: np.array([scene.groups[name] for scene in scenes]) for name in names}
