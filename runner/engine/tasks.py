"""The work of a task on a worker: its pixels are masked and accumulated; a partial comes back."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from runner.engine.hidden import Hidden
from runner.engine.shared import Shared
from runner.engine.task_pixels import TaskPart, place_of, read_tasks
from runner.errors import RunnerError
from runner.host.compile_clock import compile_seconds, working_seconds
from runner.planning.records import StagePlan, Task
from runner.read import fast_reader
from runner.read.decode import ByteArray
from runner.read.fetch import FetchCounts
from runner.read.header import ScenePixels, Window
from runner.read.inflation import InflateCounts
from runner.reduce.fused import Encoded, FusedSums
from runner.reduce.hidden_pixels import NO_HIDDEN
from runner.reduce.partial import Partial
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish_ordered, statistic
from runner.reduce.temporal import TemporalSums
from runner.settings import Over

Result = TypeVar("Result")
Values = npt.NDArray[Any]
Partials = tuple[Partial | None, Partial | None, dict[str, dict[str, Values]]]  # over time, over space, ordered


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The partials of a task.

    `over_time` has the cells of its window, `over_space` the cells of its scenes; None if no stage asks for them.
    `ordered` has, for each stage, the statistics that need all values: (rows, columns) over time, (scenes,) over space.
    `finished` has, for each stage over time, all statistics of a window that a worker has finished; `over_time` is None
    then.
    """

    task: Task
    over_time: Partial | None
    over_space: Partial | None
    ordered: dict[str, dict[str, Values]]
    fetched: FetchCounts
    inflated: InflateCounts
    read_seconds: float  # waiting for ranges, inflating, undoing the predictor
    reduce_seconds: float
    compile_seconds: float = 0.0  # waiting for machine code, which is in neither of the others
    finished: dict[str, dict[str, Values]] = field(default_factory=dict)


def run_tasks(shared: Shared, tasks: Iterator[Task]) -> Generator[TaskResult, None, None]:
    """Read and reduce tasks one after another. The next one is taken, and fetched, while the last is under way.

    Raises ReadError, and PlanError for pixels that do not fit the rule.
    """
    return of_only_band(run_tasks_of_bands([shared], tasks))


def of_only_band(results: Generator[list[Result | RunnerError], None, None]) -> Generator[Result, None, None]:
    """The results of tasks of one band. Raises its errors."""
    with closing(results):
        for (result,) in results:
            if isinstance(result, RunnerError):
                raise result
            yield result


def run_tasks_of_bands(
    bands: Sequence[Shared], tasks: Iterator[Task]
) -> Generator[list[TaskResult | RunnerError], None, None]:
    """As `run_tasks`, for several bands in the same tiles, which are read once: the result or the error of each.

    Raises ReadError.
    """
    with closing(read_tasks(bands, tasks)) as parts:
        while (results := _reduce(bands, parts)) is not None:
            yield results


def _reduce(bands: Sequence[Shared], parts: Iterator[TaskPart]) -> list[TaskResult | RunnerError] | None:
    """Take parts up to the end of their task; None if there are no more."""
    started, compiling = working_seconds(), compile_seconds()
    part = next(parts, None)
    if part is None:
        return None
    sums = [_BandSums(shared, part.task) for shared in bands]
    while part.pixels is not None:
        sums[part.band].add(part.pixels, part.hidden)
        part = next(parts)
    reading = working_seconds() - started - sum(band.seconds for band in sums)
    finished = [band.finish() for band in sums]
    compiling = compile_seconds() - compiling
    return [
        partials
        if isinstance(partials, RunnerError)
        else TaskResult(
            part.task,
            *partials,
            fetched=part.counts.share(number, len(sums)),
            inflated=part.inflated.share(number, len(sums)),
            read_seconds=reading / len(sums),
            reduce_seconds=band.seconds,
            compile_seconds=compiling / len(sums),
        )
        for number, (band, partials) in enumerate(zip(sums, finished, strict=True))
    ]


class _BandSums:
    """Accumulators of a band's pixels in a task, with the seconds they took, and the error that ended them if any."""

    def __init__(self, shared: Shared, task: Task) -> None:
        self._collectors = _Collectors(shared, task)
        self._error: RunnerError | None = None
        self.seconds = 0.0

    def add(self, pixels: fast_reader.Turn | ScenePixels, hidden: Hidden | None) -> None:
        """Add pixels, unless earlier ones did not fit the rule."""
        if self._error is not None:
            return
        before = working_seconds()
        try:
            self._collectors.add(pixels, hidden)
        except RunnerError as error:
            self._error = error
        self.seconds += working_seconds() - before

    def finish(self) -> Partials | RunnerError:
        """The partials, or the error."""
        if self._error is not None:
            return self._error
        before = working_seconds()
        partials = self._collectors.finish()
        self.seconds += working_seconds() - before
        return partials


class _Collectors:
    """Accumulators of a task's pixels."""

    def __init__(self, shared: Shared, task: Task) -> None:
        self._rule = shared.reading.rule
        scenes = shared.scenes[task.start : task.stop]
        self._scenes = scenes
        self._scaling = self._rule.scaling(np.dtype(scenes[0].header.dtype))
        pixels, shape = self._rule.pixels, (task.window.height, task.window.width)
        time_needs, space_needs = shared.needs.get(Over.time), shared.needs.get(Over.space)
        self.over_time = TemporalSums(shape, pixels, time_needs) if time_needs else None
        areas = None if shared.row_areas is None else shared.row_areas[task.window.row :]
        self.over_space = SpatialSums(task.stop - task.start, pixels, space_needs, areas) if space_needs else None
        self.ordered = [_Ordered(stage, task, pixels) for stage in shared.stages if stage.ordered]
        self._fused = shared.fused_sums(task, self.over_time, self.over_space)
        for number, scene in enumerate(scenes):
            for outside in task.window.without(scene.window):
                self._skip(number, _within(task.window, outside))

    def add(self, part: fast_reader.Turn | ScenePixels, hidden: Hidden | None = None) -> None:
        """Add pixels, whose scenes are counted among those of the task, but for the hidden ones."""
        if isinstance(part, ScenePixels):
            self._add_pixels(part, hidden)
            return
        for tile in part:
            if tile.missing:
                self._skip(tile.scene, place_of(tile))
        for tiles, encoded in fast_reader.side_by_side(part):
            if self._fused is not None and encoded is not None:
                self._add_encoded(self._fused, tiles, encoded, hidden)
            else:
                for tile in tiles:
                    self._add_pixels(tile.pixels(), hidden)

    def finish(self) -> Partials:
        """The partials over time and over space, and the ordered statistics by stage."""
        if self._fused:
            self._fused.finish()
        over_time = self.over_time.partial() if self.over_time else None
        over_space = self.over_space.partial() if self.over_space else None
        return over_time, over_space, {stage.stage.name: stage.finish() for stage in self.ordered}

    def _skip(self, scene: int, place: Place) -> None:
        """Count the pixels of a scene at a place as seen, none of which counts."""
        if self.over_time:
            self.over_time.skip(place, 1)
        if self.over_space:
            self.over_space.skip(scene, place)
        for ordered in self.ordered:
            ordered.skip(scene, place)

    def _add_encoded(self, fused: FusedSums, turn: fast_reader.Turn, encoded: ByteArray, hidden: Hidden | None) -> None:
        tile, place = turn[0], place_of(turn[0])
        scenes = [same_tile.scene for same_tile in turn]
        pixels = hidden.pixels(scenes) if hidden else NO_HIDDEN
        for index in fused.add(scenes, Encoded(encoded, tile.decoder.predictor), place, pixels):
            self._add_over_space(turn[index].pixels(), hidden)

    def _add_over_space(self, part: ScenePixels, hidden: Hidden | None) -> None:
        values, place = self._values(part, hidden)
        assert self.over_space
        self.over_space.add_tile(part.scene, values, place)

    def _add_pixels(self, part: ScenePixels, hidden: Hidden | None) -> None:
        if self._fused and (self._rule.scale or (hidden and self._rule.pixels.blank is None)):
            place = Place(0, 0, part.row, part.column, *part.pixels.shape)
            hides = hidden.pixels([part.scene]) if hidden else NO_HIDDEN
            self._fused.add_decoded(part.scene, part.pixels, place, hides)
            return
        scene, (values, place) = part.scene, self._values(part, hidden)
        if self.over_time:
            self.over_time.add_tile(values, place)
        if self.over_space:
            self.over_space.add_tile(scene, values, place)
        for ordered in self.ordered:
            ordered.add_tile(scene, values, place)

    def _values(self, part: ScenePixels, hidden: Hidden | None) -> tuple[Values, Place]:
        """The accumulated values of pixels, and their place."""
        place = Place(0, 0, part.row, part.column, *part.pixels.shape)
        not_shown, scene = hidden.of(part.scene, place) if hidden else None, self._scenes[part.scene]
        if self._scaling and part.valid is None:
            return self._scaling.values(part.pixels, scene.header.scale_of(scene.band), not_shown), place
        return self._rule.values(part.pixels, part.valid, scene, not_shown), place


def _within(whole: Window, part: Window) -> Place:
    return Place(0, 0, part.row - whole.row, part.column - whole.column, part.height, part.width)


def counts_over(result: TaskResult, over: Over) -> Values:
    """The valid pixels of each cell of a task: (rows, columns) over time, (scenes,) over space."""
    partial = result.over_time if over is Over.time else result.over_space
    assert partial is not None  # every stage counts its pixels
    return partial.counts


class _Ordered:
    """All values of a task, (scenes, rows, columns), for the statistics of one stage that need them."""

    def __init__(self, stage: StagePlan, task: Task, pixels: Pixels) -> None:
        self.stage = stage
        self._pixels = pixels
        self._values = np.empty((task.stop - task.start, task.window.height, task.window.width), pixels.dtype)

    def add_tile(self, scene: int, tile: Values, place: Place) -> None:
        """Keep the values of a scene at a place."""
        self._values[scene][place.of_window()] = tile

    def skip(self, scene: int, place: Place) -> None:
        """Let the values of a scene at a place be missing."""
        assert self._pixels.blank is not None  # by `make_rule`
        self._values[scene][place.of_window()] = self._pixels.blank

    def finish(self) -> dict[str, Values]:
        names = [name for name in self.stage.statistics if statistic(name).ordered]
        if self.stage.over is Over.time:
            return finish_ordered(self._values, self._pixels, names)
        scenes = [finish_ordered(values.reshape(-1, 1), self._pixels, names) for values in self._values]
        return {name: np.concatenate([scene[name] for scene in scenes]) for name in names}
