"""Records of a plan: passes, their tasks and what they cost."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from runner.planning.reading import Reading
from runner.read.header import Window
from runner.reduce.statistics import statistic
from runner.settings import ClusterSettings, EngineName, Over, Weights


class Chunks(NamedTuple):
    """The size of a task: scenes by pixels by pixels."""

    time: int
    y: int
    x: int


class Task(NamedTuple):
    """A window of the grid and a range of scenes, `start` to `stop`: the unit of work."""

    window: Window
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes of a cluster, threads and bytes of each (None: unknown), known before it starts."""

    processes: int
    threads: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage, resolved against the stack."""

    name: str
    over: Over
    statistics: tuple[str, ...]
    min_count: int = 1  # valid pixels; a value of fewer is missing
    weights: Weights = Weights.none  # or area; auto has been resolved

    @property
    def by_area(self) -> tuple[str, ...]:
        """The statistics to which a pixel counts by its area."""
        return tuple(name for name in self.statistics if statistic(name, self.weights).by_area)

    @property
    def ordered(self) -> bool:
        """True if a statistic needs all values of a cell at once."""
        return any(statistic(name).ordered for name in self.statistics)


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests and bytes that one pass reads, without retries."""

    requests: int | None  # None where GDAL decides
    stored_bytes: int  # of the files' tiles and their masks', counted each time they are read
    decoded_bytes: int
    over_read: float  # tiles decoded, as a multiple of the tiles in the files
    mask_bytes: int = 0  # of the stored bytes, those of masks in files of their own


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of the stack by one cluster, for one stage or for several that are fused."""

    stages: tuple[StagePlan, ...]
    engine: EngineName
    cluster: ClusterSettings
    workers: Workers
    chunks: Chunks
    tasks: tuple[Task, ...]
    reading: Reading
    raster: np.dtype  # of floats over time
    cost: Cost
    worker_bytes: int | None  # the most that a worker process will hold; None where dask decides

    @property
    def name(self) -> str:
        """The names of its stages."""
        return "+".join(stage.name for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Plan:
    """All passes of a run, in the order they run, and the reading that they share."""

    passes: tuple[Pass, ...]
    reading: Reading

    @property
    def stages(self) -> tuple[StagePlan, ...]:
        """All stages, in the order they run."""
        return tuple(stage for pass_ in self.passes for stage in pass_.stages)
