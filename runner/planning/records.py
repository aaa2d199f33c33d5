"""Records of a plan: passes, their tasks and what they cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.planning.groups import Groups, Lots, lots_of
from runner.planning.reading import Reading
from runner.read.header import Window
from runner.reduce.arrays import Floats
from runner.reduce.partial import Needs, Partial
from runner.reduce.statistics import finish, needs, statistic
from runner.settings import ClusterSettings, EngineName, Over, ResultScale, Weights
from runner.zones import Zones


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
    """Processes of a cluster, threads and bytes of each (None: unknown), as they are expected before it starts."""

    processes: int
    threads: int
    memory_bytes: int | None
    guess: str = ""  # why processes or threads are only assumed, and what would tell


class Layer(NamedTuple):
    """A statistic of a stage: of all scenes, or over time of group number `group` of them."""

    statistic: str
    group: int = 0
    label: str = ""  # of the group

    @property
    def name(self) -> str:
        """Its name among those of the stage, of which the name of a raster is made."""
        return f"{self.statistic}_{self.label}" if self.label else self.statistic


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage, resolved against the stack."""

    name: str
    over: Over
    statistics: tuple[str, ...]
    min_count: int = 1  # valid pixels; a value of fewer is missing
    weights: Weights = Weights.none  # or area; auto has been resolved
    scale: ResultScale = ResultScale.linear
    zones: Zones | None = None  # of a stage over zones
    groups: Groups | None = None  # of the scenes of a stage over time; None takes all together

    @property
    def layers(self) -> list[Layer]:
        """Its results: all groups of the first statistic, then those of the next."""
        labels = self.groups.labels if self.groups else ("",)
        return [Layer(name, number, label) for name in self.statistics for number, label in enumerate(labels)]

    @property
    def by_area(self) -> tuple[str, ...]:
        """The statistics to which a pixel counts by its area."""
        return tuple(name for name in self.statistics if statistic(name, self.weights).by_area)

    @property
    def weighing(self) -> Weights:
        """Area if statistics are made of weighted sums: by the areas of pixels, or by their fractions in a zone."""
        return Weights.area if self.zones is not None and self.zones.fractions else self.weights

    @property
    def ordered(self) -> bool:
        """True if a statistic needs all values of a cell at once."""
        return bool(self.ordered_statistics)

    @property
    def ordered_statistics(self) -> list[str]:
        """The statistics that need all values of a cell at once."""
        return [name for name in self.statistics if statistic(name).ordered]

    @property
    def needs(self) -> Needs:
        """The needs of all other statistics together."""
        return needs([name for name in self.statistics if not statistic(name).ordered], self.weighing)

    @property
    def takes_whole_scenes(self) -> bool:
        """True if a statistic of a scene needs all its pixels, or all those of its zones, at once."""
        return self.over.makes_table and self.ordered

    @property
    def timed(self) -> bool:
        """True if an ordered statistic needs the times of scenes too."""
        return any(statistic(name).of_series for name in self.statistics)

    def in_decibels(self, name: str) -> bool:
        """True if a statistic is in decibels."""
        return self.scale is ResultScale.db and statistic(name).level

    def unit(self, name: str, units: str | None) -> str | None:
        """The unit of a statistic, for pixels in `units`; None if these are unknown."""
        return statistic(name).unit(units, self.scale)

    def finished(self, partial: Partial) -> dict[str, Floats]:
        """The statistics that are made of sums, of whole cells; missing where too few pixels count.

        On the stage's scale: decibels of what has none are -infinity.
        """
        names = [name for name in self.statistics if not statistic(name).ordered]
        values = finish(partial, names, self.min_count, self.weighing)
        return {name: statistic(name).scaled(of_name, self.scale) for name, of_name in values.items()}

    def finished_ordered(self, name: str, values: Floats, counts: npt.NDArray[Any]) -> Floats:
        """An ordered statistic alike; `counts` are the pixels that count, cell by cell."""
        made = statistic(name)
        return made.scaled(made.where_enough(values, counts, self.min_count), self.scale)


def lots_of_stages(stages: Iterable[StagePlan], scenes: int) -> Lots:
    """The lots of so many scenes, for the groups of these stages."""
    return lots_of({stage.name: stage.groups for stage in stages if stage.over is Over.time}, scenes)


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests and bytes that one pass reads, without retries."""

    requests: int | None  # None where GDAL decides
    stored_bytes: int  # of the files' tiles and their masks', counted each time they are read
    decoded_bytes: int
    over_read: float  # tiles decoded, as a multiple of the tiles in the files
    mask_bytes: int = 0  # of the stored bytes, those of masks in files of their own
    mask_requests: int | None = 0  # of the requests


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
    shape: tuple[int, int]  # rows and columns of the grid, whatever tasks are left
    raster: np.dtype  # of floats over time
    cost: Cost
    worker_bytes: int | None  # the most that a worker process will hold; None where dask decides
    kept_scenes: int | None = None  # of a kept sum; None if sums are kept only until the run is complete
    spool_bytes: int = 0  # of its rasters that lie on disk until they are written; 0 if memory holds them
    folder: Path | None = None  # on whose disk; known when the pass is run
    least_valid: float | None = None  # share of pixels in a scene, if this pass counts them and decides

    @property
    def needs_sums(self) -> bool:
        """True if windows that are finished elsewhere are of no use, since their sums are kept or subtracted from."""
        return self.kept_scenes is not None or self.least_valid is not None

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
