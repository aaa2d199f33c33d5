"""The names of a stage's files."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Final

from runner.settings import Over

# What GDAL reads beside NAME.tif: https://gdal.org/en/stable/drivers/raster/gtiff.html and raster_data_model.html.
_AFTER: Final = (".msk", ".ovr", ".aux", ".aux.xml")
_INSTEAD: Final = (".aux", ".rrd", ".tfw", ".tifw", ".tiffw", ".wld", ".tab", ".imd", ".rpb", ".pvl",
                   "_rpc.txt", "_metadata.txt")  # fmt: skip


def output_names(stage: str, over: Over, statistics: Sequence[str]) -> list[str]:
    """One table over space; one raster for each statistic over time."""
    return [f"{stage}.parquet"] if over is Over.space else [raster_name(stage, name) for name in statistics]


def raster_name(stage: str, statistic: str) -> str:
    """temporal_mean and count make temporal_count.tif; the statistic stands in the name once."""
    return f"{stage.removesuffix('_mean')}_{statistic}.tif"


def sidecar_names(raster: str) -> Iterator[str]:
    """The files that would change how a raster of this name is read, in lower case; none beside a table."""
    path = PurePath(raster.lower())
    if path.suffix == ".tif":
        yield from (f"{path}{ending}" for ending in _AFTER)
        yield from (f"{path.stem}{ending}" for ending in _INSTEAD)
