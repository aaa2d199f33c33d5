"""The keys of `output` and `debug`."""

from dataclasses import dataclass
from typing import Annotated

from runner.settings.choices import RasterDtype
from runner.settings.limits import COMPRESSION, LEVEL


@dataclass(slots=True)
class OutputSettings:
    """The run folder and the format of rasters."""

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


@dataclass(slots=True)
class DebugSettings:
    """The detail of error messages."""

    traceback: bool = False
    """Print the Python traceback of an error before its message."""
