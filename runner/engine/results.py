"""The results of a pass, from either engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runner.read.fetch import FetchCounts
from runner.read.inflation import InflateCounts

Values = npt.NDArray[np.float64] | npt.NDArray[np.float32] | npt.NDArray[np.int64] | npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PassResult:
    """The statistics of each stage, of shape (scenes,) over space and (y, x) over time, and the cost of reading."""

    values: dict[str, dict[str, Values]]
    fetched: FetchCounts | None = None  # by ranges; None from the xarray engine, where GDAL does not report it
    inflated: InflateCounts | None = None  # as above
    read_seconds: float | None = None  # of all threads together; None from the xarray engine
    reduce_seconds: float | None = None
    beyond: frozenset[tuple[str, str]] = frozenset()  # stage and statistic of rasters too narrow for a value
    compile_seconds: float | None = None  # of the thread that waited longest for machine code


@dataclass(frozen=True, slots=True)
class PassUsage:
    """The time and the memory of a pass, on all of its workers."""

    compute_seconds: float
    peak_bytes: int
    cpu_seconds: float
    workers_lost: int


@contextmanager
def overflow_noted(names: set[tuple[str, str]], stage: str, statistic: str) -> Iterator[None]:
    """Add to `names` if a value stored in this context becomes infinite in a narrower type."""
    with np.errstate(over="call", call=lambda *_: names.add((stage, statistic))):
        yield
