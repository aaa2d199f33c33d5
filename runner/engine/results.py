"""The results of a pass, from either engine."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.cluster.workers import ClusterSize
from runner.host.spool import Spool
from runner.planning.records import StagePlan
from runner.read.fetch import FetchCounts
from runner.read.inflation import InflateCounts

Values = npt.NDArray[np.float64] | npt.NDArray[np.float32] | npt.NDArray[np.int64] | npt.NDArray[np.int32]
Stored = Values | Spool  # a raster may lie on disk


@dataclass(frozen=True, slots=True)
class PassResult:
    """The statistics of each stage, of shape (scenes,) over space and (y, x) over time, and the cost of reading."""

    values: dict[str, dict[str, Stored]]
    fetched: FetchCounts | None = None  # by ranges; None from the xarray engine, where GDAL does not report it
    inflated: InflateCounts | None = None  # as above
    read_seconds: float | None = None  # of all threads together; None from the xarray engine
    reduce_seconds: float | None = None
    beyond: frozenset[tuple[str, str]] = frozenset()  # stage and statistic of rasters too narrow for a value
    compile_seconds: float | None = None  # of the thread that waited longest for machine code
    no_decibels: Mapping[tuple[str, str], int] = field(default_factory=dict)  # missing values, see `NoDecibels`
    valid: npt.NDArray[np.float64] | None = None  # the share of each scene's pixels that count, if they were counted


@dataclass(frozen=True, slots=True)
class PassUsage:
    """The time and the memory of a pass, on all of its workers; `size` is the most that there were at a time."""

    size: ClusterSize
    compute_seconds: float
    peak_bytes: int
    cpu_seconds: float
    workers_lost: int


class NoDecibels:
    """Counts the results of 0 and below, by stage and statistic, which have no decibels and are missing therefore."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def left_out(self, stage: StagePlan, name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The values of a stage, missing where they are -infinity decibels."""
        if not stage.in_decibels(name):
            return values
        none = np.isneginf(values)
        self.counts[stage.name, name] += int(np.count_nonzero(none))
        return np.where(none, values.dtype.type(np.nan), values) if none.any() else values


@contextmanager
def overflow_noted(names: set[tuple[str, str]], stage: str, statistic: str) -> Iterator[None]:
    """Add to `names` if a value stored in this context becomes infinite in a narrower type."""
    with np.errstate(over="call", call=lambda *_: names.add((stage, statistic))):
        yield
