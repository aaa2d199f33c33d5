"""The keys of `output` and `debug`."""

from dataclasses import dataclass, field
from typing import Annotated

from runner.settings.choices import Layout, RasterDtype, ResultScale
from runner.settings.limits import COMPRESSION, FROM_1, LEVEL
from runner.settings.source import AzureSettings, GcsSettings, S3Settings


@dataclass(slots=True)
class OutputSettings:
    """The run folder, its copy in a bucket, and the format of rasters."""

    dir: str = "???"
    """Folder of the run, `outputs/DATE/TIME_SOURCE` unless you name one."""
    compression: Annotated[str, COMPRESSION] = "deflate"
    """Compression of rasters."""
    level: Annotated[int, LEVEL] = 1
    """Level of `deflate` and `zstd`, from 1 (fast) to 9 (small)."""
    raster_dtype: RasterDtype = RasterDtype.auto
    """Pixel type of rasters that are not counts."""
    scale: ResultScale = ResultScale.linear
    """Scale of `mean`, `sum`, `min`, `max`, `median`, quantiles, `first` and `last`, in rasters and tables. Other
    statistics stay as they are."""
    layout: Layout = Layout.files
    """One raster for each statistic over time, or one for each stage."""
    keep_partials: bool = False
    """Keep the finished tasks in `partials/` when the run is complete, so that a later run can `reuse` them. A run that
    is not complete keeps them in any case."""
    kept_scenes: Annotated[int, FROM_1] = 32
    """Number of scenes whose sums `keep_partials` keeps together. With fewer, `partials/` takes more room. With more, a
    scene that changes or vanishes makes a later run read more scenes again."""
    stac: bool = True
    """Describe the results as a STAC item in `item.json`, those of an archive by a collection in `collection.json`."""
    upload: str | None = None
    """Address such as `s3://bucket/means` below which all files of a run are uploaded once it is complete. Nothing may
    lie there. `gs://` and `az://` lead to stores of Google and Azure. Null uploads nothing."""
    s3: S3Settings = field(default_factory=S3Settings)
    """Access to the bucket of `upload`, for an address that begins with `s3://`."""
    gcs: GcsSettings = field(default_factory=GcsSettings)
    """Access to the bucket of `upload`, for an address that begins with `gs://`."""
    azure: AzureSettings = field(default_factory=AzureSettings)
    """Access to the container of `upload`, for an address that begins with `az://`."""


@dataclass(slots=True)
class DebugSettings:
    """The detail of error messages."""

    traceback: bool = False
    """Print the Python traceback of an error before its message."""
