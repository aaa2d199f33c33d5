"""What the files of a stage are called."""

from collections.abc import Sequence

from runner.settings import Over


def output_names(stage: str, over: Over, statistics: Sequence[str]) -> list[str]:
    """One table over space; one raster for each statistic over time."""
    return [f"{stage}.parquet"] if over is Over.space else [raster_name(stage, name) for name in statistics]


def raster_name(stage: str, statistic: str) -> str:
    """temporal_mean and count make temporal_count.tif; the statistic stands in the name once."""
    return f"{stage.removesuffix('_mean')}_{statistic}.tif"
