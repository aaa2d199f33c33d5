"""The keys of `output` and `debug`."""

from dataclasses import dataclass, field
from typing import Annotated

from runner.settings.choices import RasterDtype
from runner.settings.limits import COMPRESSION, LEVEL
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
    keep_partials: bool = False
    """Keep the finished tasks in `partials/` when the run is complete. A run that is not complete always keeps them."""
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
