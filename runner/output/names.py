"""The names of a stage's files."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from runner.errors import PlanError
from runner.settings import Layout, Over

if TYPE_CHECKING:
    from runner.planning.records import StagePlan  # numpy, which the verbs of `log` spare

# What GDAL reads beside NAME.tif: https://gdal.org/en/stable/drivers/raster/gtiff.html and raster_data_model.html.
_AFTER: Final = (".msk", ".ovr", ".aux", ".aux.xml")
_INSTEAD: Final = (".aux", ".rrd", ".tfw", ".tifw", ".tiffw", ".wld", ".tab", ".imd", ".rpb", ".pvl",
                   "_rpc.txt", "_metadata.txt")  # fmt: skip


def output_names(stage: str, over: Over, statistics: Sequence[str], layout: Layout = Layout.files) -> list[str]:
    """One table over space or zones; the rasters over time."""
    return [f"{stage}.parquet"] if over.makes_table else [*raster_files(stage, statistics, layout)]


def raster_files(stage: str, layers: Sequence[str], layout: Layout) -> dict[str, list[str]]:
    """The files of a stage over time with the layers that are their bands: one each, or all in one."""
    if layout is Layout.bands:
        return {f"{stage.removesuffix('_mean')}.tif": list(layers)}
    return {raster_name(stage, name): [name] for name in layers}


def raster_name(stage: str, layer: str) -> str:
    """temporal_mean and count make temporal_count.tif; the statistic stands in the name once.

    The mean of a group, mean_2020-01, makes temporal_mean_2020-01.tif.
    """
    return f"{stage.removesuffix('_mean')}_{layer}.tif"


def group_pattern(stage: str, statistic: str) -> str:
    """A pattern of the rasters of all groups, whose labels follow from the scenes."""
    return raster_name(stage, f"{statistic}_*")


def refuse_equal_rasters(stages: Iterable["StagePlan"], layout: Layout) -> None:
    """Raise PlanError for two stages that would write the same file. Without groups the settings tell."""
    owners: dict[str, str] = {}
    for stage in stages:
        names = [layer.name for layer in stage.layers] if stage.over is Over.time else []
        for file in raster_files(stage.name, names, layout) if names else ():
            owner = owners.setdefault(file.casefold(), stage.name)
            if owner != stage.name:
                raise PlanError(
                    f"stages.{owner} and stages.{stage.name} would both write {file}; name one of them otherwise"
                )


def sidecar_names(raster: str) -> Iterator[str]:
    """The files that would change how a raster of this name is read, in lower case; none beside a table."""
    path = PurePath(raster.lower())
    if path.suffix == ".tif":
        yield from (f"{path}{ending}" for ending in _AFTER)
        yield from (f"{path.stem}{ending}" for ending in _INSTEAD)
