"""The files of a stage, with the units and the provenance that they carry."""

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import wait
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from runner.host.threads import lasting_threads
from runner.model import Stack
from runner.output.ahead import Ahead
from runner.output.cog_file import PartlyEncoded
from runner.output.digest import FileFacts
from runner.output.names import raster_name
from runner.output.raster import raster_type, write_raster
from runner.output.table import scene_table, write_table
from runner.planning.records import StagePlan
from runner.reduce.statistics import statistic
from runner.settings import MaskSettings, OutputSettings, Over
from runner.source.mask_files import describe_test

_RASTERS_TOGETHER = 2  # what one does on one core, such as reading back, goes beside what the other does on all


@cache
def software() -> str:
    """This package and its version."""
    return f"cog-stack-runner {version('cog-stack-runner')}"


def provenance(url: str, stack: Stack, mask: MaskSettings) -> dict[str, str]:
    """The provenance of values, the same for every run that must give the same values: no times, no machine."""
    return {
        "software": software(),
        "source": url,
        "stack": stack.name,
        "scenes": str(len(stack.scenes)),
        "first_datetime": stack.scenes[0].time.isoformat(),
        "last_datetime": stack.scenes[-1].time.isoformat(),
        "inputs_sha256": inputs_sha256(file for scene in stack.scenes for file in scene.objects),
        "band": " or ".join(map(str, sorted(stack.bands))),
        "mask": f"{mask.own.value}; {describe_test(mask)} of a second file" if stack.masks else mask.own.value,
        "nodata": str(stack.nodata),
        "crs": stack.grid.crs_name,
    }


def inputs_sha256(objects: Iterable[tuple[str, str | None]]) -> str:
    """One digest for the objects of a stack, (href, ETag) in their order."""
    return hashlib.sha256("\n".join(f"{href} {etag}" for href, etag in objects).encode()).hexdigest()


class Destination(NamedTuple):
    """The folder of results, their form, the provenance that each carries, and what is encoded of them already."""

    folder: Path
    output: OutputSettings
    origin: Mapping[str, str]
    ahead: Ahead | None = None


def write_stage(
    destination: Destination, stage: StagePlan, stack: Stack, values: dict[str, np.ndarray]
) -> list[FileFacts]:
    """Write one stage's files and say what they hold: a table over space, rasters over time. Raises OutputError.

    Rasters are taken out of `values` as they are written, so that their memory is free for the next.
    """
    units = {name: unit for name in values if (unit := statistic(name).unit(stack.units))}
    folder, output, origin, ahead = destination
    origin = {**origin, "stage": stage.name, "min_count": str(stage.min_count), "weights": stage.weights.value}
    if stage.over is Over.space:
        about = {name: _metadata(stage, name, units.get(name)) for name in values}
        table = scene_table(stack, values, about, origin)
        return [write_table(folder / f"{stage.name}.parquet", table, list(values))]

    def write(name: str) -> FileFacts:
        own = values.pop(name)
        dtype = raster_type(own.dtype, output, stack.dtype)
        array = own if own.dtype.kind == "i" else own.astype(dtype, copy=False)
        raster = PartlyEncoded(array, dtype, ahead.blocks(own) if ahead else {})
        tags = {**origin, "statistic": name, "units": units.get(name, "")}
        return write_raster(folder / raster_name(stage.name, name), raster, stack.grid, output, tags)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # such as the scenes are, so are the rasters
        jobs = [lasting_threads("raster", _RASTERS_TOGETHER).submit(write, name) for name in list(values)]
        try:
            return [job.result() for job in jobs]
        finally:  # no job goes on when this ends by an error
            wait([job for job in jobs if not job.cancel()])


def _metadata(stage: StagePlan, name: str, unit: str | None) -> dict[str, str]:
    """The attributes of a column: its units, and if a pixel counts by its area."""
    return ({"units": unit} if unit else {}) | ({"weights": stage.weights.value} if name in stage.by_area else {})
