"""The files of a stage, with the units and the provenance that they carry."""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rasterio.errors import NotGeoreferencedWarning

from runner.engine.results import Stored
from runner.host.spool import Spool
from runner.host.threads import lasting_threads
from runner.model import Stack
from runner.output.ahead import Ahead
from runner.output.bands import band_of
from runner.output.cog_file import PartlyEncoded
from runner.output.digest import FileFacts
from runner.output.names import raster_files
from runner.output.raster import common_type, write_raster
from runner.output.table import scene_table, write_table, zone_table
from runner.output.zone_map import with_map
from runner.planning.records import StagePlan
from runner.settings import MaskSettings, OutputSettings, Over
from runner.source.mask_files import describe_test

_RASTERS_TOGETHER = 2  # what one does on one core, such as reading back, goes beside what the other does on all


@cache
def package_version() -> str:
    """The version of this package, which importlib reads from a file."""
    return version("cog-stack-runner")


def software() -> str:
    """This package and its version."""
    return f"cog-stack-runner {package_version()}"


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
    """The folder of results, their form, the provenance that each carries, and what is encoded of them already.

    `as_stored` says that pixels were not scaled: then rasters carry the scale of the files.
    """

    folder: Path
    output: OutputSettings
    origin: Mapping[str, str]
    ahead: Ahead | None = None
    as_stored: bool = False
    wrote: Callable[[], object] = int  # called for each block of a raster that is written


def write_stage(destination: Destination, stage: StagePlan, stack: Stack, values: dict[str, Any]) -> list[FileFacts]:
    """Write one stage's files and say what they hold: a table, or rasters over time. Raises OutputError.

    Rasters are taken out of `values` as they are written, so that their memory is free for the next.
    """
    more = {"stage": stage.name, "min_count": str(stage.min_count), "weights": stage.weights.value}
    zones = stage.zones
    more |= {} if zones is None else {"zones_sha256": zones.sha256}
    destination = destination._replace(origin={**destination.origin, **more})
    if stage.over is Over.time:
        return _write_rasters(destination, stage, stack, values)
    about = {name: _metadata(stage, name, stage.unit(name, stack.units)) for name in values}
    table = (
        scene_table(stack, values, about, destination.origin)
        if zones is None
        else with_map(zone_table(stack, zones.names, values, about, destination.origin), zones, stack.grid)
    )
    return [write_table(destination.folder / f"{stage.name}.parquet", table, list(values))]


def _write_rasters(
    destination: Destination, stage: StagePlan, stack: Stack, values: dict[str, Stored]
) -> list[FileFacts]:
    folder, output, origin, ahead, as_stored, wrote = destination
    layers = {layer.name: layer for layer in stage.layers}
    origin = {**origin, **({"group_by": ",".join(stage.groups.by)} if stage.groups else {})}

    def write(file: str, names: Sequence[str]) -> FileFacts:
        dtype = common_type([values[name].dtype for name in names], output, stack.dtype)
        bands = []
        for name in names:
            own = values.pop(name)
            array = own if isinstance(own, Spool) or own.dtype.kind == "i" else own.astype(dtype, copy=False)
            raster = PartlyEncoded(array, dtype, ahead.blocks(own) if ahead else {})
            bands.append(replace(band_of(raster, layers[name], stage, stack, as_stored=as_stored), wrote=wrote))
        only = {**bands[0].tags, "units": bands[0].unit} if len(names) == 1 else {}
        facts = write_raster(folder / file, bands, stack.grid, output, {**origin, **only})
        return replace(facts, overviews=()) if stage.groups else facts  # a year of days would take gigabytes of them

    files = raster_files(stage.name, [*values], output.layout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # such as the scenes are, so are the rasters
        jobs = [lasting_threads("raster", _RASTERS_TOGETHER).submit(write, *file) for file in files.items()]
        try:
            return [job.result() for job in jobs]
        finally:  # no job goes on when this ends by an error
            wait([job for job in jobs if not job.cancel()])


def _metadata(stage: StagePlan, name: str, unit: str | None) -> dict[str, str]:
    """The attributes of a column: its units, and if a pixel counts by its area."""
    return ({"units": unit} if unit else {}) | ({"weights": stage.weights.value} if name in stage.by_area else {})
