"""The work of a task on a worker: fetch, inflate, mask, accumulate; a partial comes back."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.host.compile_clock import compile_seconds, working_seconds
from runner.model import Scene, Stack, locate
from runner.plan.reading import Reading
from runner.plan.records import StagePlan, Task
from runner.plan.weights import row_areas
from runner.read import fast_reader, gdal_reader
from runner.read.decode import ByteArray
from runner.read.fetch import FetchCounts
from runner.read.header import ScenePart, ScenePixels, Window
from runner.read.inflation import InflateCounts, Inflation
from runner.read.stop_flag import StopFlag
from runner.reduce.fused import FusedSums
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish_ordered, needs, statistic
from runner.reduce.temporal import TemporalSums
from runner.settings import Over, Weights
from runner.source.stores import gdal_path

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Shared:
    """The data that all tasks of a pass share."""

    scenes: tuple[Scene, ...]
    stages: tuple[StagePlan, ...]
    reading: Reading
    by_gdal: tuple[bool, ...]  # for each scene
    row_areas: npt.NDArray[np.float64] | None  # of the grid's pixels, where a stage is by area
    inflation: Inflation
    needs: dict[Over, Needs]  # for the stages over these axes
    fused: bool  # tiles are added as they are inflated
    stop: StopFlag = field(default_factory=StopFlag)

    @classmethod
    def of(cls, reading: Reading, stack: Stack, stages: tuple[StagePlan, ...]) -> "Shared":
        """The data for these stages of a stack."""
        by_area = any(stage.weights is Weights.area for stage in stages)
        by_gdal = tuple(map(reading.by_gdal, stack.scenes))
        areas = row_areas(stack.grid) if by_area else None
        total = len(stack.scenes) * stack.grid.pixels * stack.dtype.itemsize
        needs = {over: need for over in Over if (need := summed(stages, over))}
        ordered, rule = any(stage.ordered for stage in stages), reading.rule
        fused = rule.as_stored and not ordered and FusedSums.fits(rule.pixels, list(needs.values()))
        inflation = Inflation(reading.inflate, total, _kind_of_tiles(stack))
        return cls(stack.scenes, stages, reading, by_gdal, areas, inflation, needs, fused)


def _kind_of_tiles(stack: Stack) -> tuple[object, ...]:
    """What tells how tiles of different stacks are best inflated: their type, and the way in which they are packed."""
    header = stack.scenes[0].header
    return stack.dtype.name, header.compression, header.predictor, header.tile_shape


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The partials of a task.

    `over_time` has the cells of its window, `over_space` the cells of its scenes; None if no stage asks for them.
    `ordered` has, for each stage, the statistics that need all values: (rows, columns) over time, (scenes,) over space.
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


def run_tasks(shared: Shared, tasks: Iterator[Task]) -> Generator[TaskResult, None, None]:
    """Read and reduce tasks one after another. The next one is taken, and fetched, while the last is under way.

    Raises ReadError.
    """
    with closing(_read(shared, tasks)) as parts:
        while (result := _reduce(shared, parts)) is not None:
            yield result


def _reduce(shared: Shared, parts: Iterator["_Part"]) -> TaskResult | None:
    """Take parts up to the end of their task; None if there are no more."""
    started, compiling = working_seconds(), compile_seconds()
    part = next(parts, None)
    if part is None:
        return None
    collectors = _Collectors(shared, part.task)
    reducing = 0.0
    while part.pixels is not None:
        before = working_seconds()
        collectors.add(part.pixels)
        reducing += working_seconds() - before
        part = next(parts)
    before = working_seconds()
    over_time, over_space, ordered = collectors.finish()
    now = working_seconds()
    return TaskResult(
        task=part.task,
        over_time=over_time,
        over_space=over_space,
        ordered=ordered,
        fetched=part.counts,
        inflated=part.inflated,
        read_seconds=before - started - reducing,
        reduce_seconds=reducing + now - before,
        compile_seconds=compile_seconds() - compiling,
    )


# --- reading --------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """Some pixels of a task, whose scenes are counted among its own; None after the last of them."""

    task: Task
    counts: FetchCounts  # of the task
    inflated: InflateCounts  # of the task
    pixels: fast_reader.Turn | ScenePixels | None


def _read(shared: Shared, tasks: Iterator[Task]) -> Generator[_Part, None, None]:
    """The pixels of tasks, each scene by the reader that takes it."""
    if not any(shared.by_gdal):
        whole = (_Portion(task, FetchCounts(), InflateCounts(), range(task.start, task.stop)) for task in tasks)
        yield from _read_fast(shared, whole)
        return
    for task in tasks:
        counts, inflated = FetchCounts(), InflateCounts()
        for through_gdal, scenes in groupby(range(task.start, task.stop), shared.by_gdal.__getitem__):
            read = _read_through_gdal if through_gdal else _read_fast
            parts = read(shared, iter([_Portion(task, counts, inflated, list(scenes))]))
            yield from (part for part in parts if part.pixels is not None)
        yield _Part(task, counts, inflated, None)


class _Portion(NamedTuple):
    """Consecutive scenes of a task, by their numbers in the stack."""

    task: Task
    counts: FetchCounts
    inflated: InflateCounts
    scenes: Sequence[int]

    def part(self, pixels: fast_reader.Turn | ScenePixels | None) -> _Part:
        """Pixels of these scenes."""
        return _Part(self.task, self.counts, self.inflated, pixels)


def _read_fast(shared: Shared, portions: Iterator[_Portion]) -> Iterator[_Part]:
    taken: list[_Portion] = []

    def works() -> Iterator[fast_reader.Excerpt]:
        for portion in portions:
            taken.append(portion)
            yield fast_reader.Excerpt(_scene_parts(shared, portion), portion.counts, portion.inflated)

    reading = shared.reading
    decoding = fast_reader.Decoding(reading.rule.band, shared.inflation, _is_missing(shared))
    with closing(fast_reader.read_turns(works(), decoding, reading.fetch, shared.stop)) as turns:
        for number, turn in turns:
            yield taken[number].part(turn)


def _read_through_gdal(shared: Shared, portions: Iterator[_Portion]) -> Iterator[_Part]:
    for portion in portions:
        parts, band = _scene_parts(shared, portion), shared.reading.rule.band
        for pixels in gdal_reader.read_parts(parts, band, lambda file: gdal_path(locate(file.href))):
            shared.stop.check()
            yield portion.part(pixels)


def _scene_parts(shared: Shared, portion: _Portion) -> list[ScenePart]:
    """The pixels of the task's window that scenes cover; those of scenes at one place go together."""
    (top, left, *_), start = portion.task.window, portion.task.start
    parts = []
    for number in portion.scenes:
        scene = shared.scenes[number]
        window = scene.part(portion.task.window)
        if window is not None:
            row, column = scene.row + window.row - top, scene.column + window.column - left
            parts.append(ScenePart(number - start, shared.reading.file_of(scene), window, row, column))
    return sorted(parts, key=lambda part: part[2:])


# --- collecting -----------------------------------------------------------------------------------------------------


class _Collectors:
    """Accumulators of a task's pixels."""

    def __init__(self, shared: Shared, task: Task) -> None:
        self._rule = shared.reading.rule
        scenes = shared.scenes[task.start : task.stop]
        self._headers = [scene.header for scene in scenes]
        pixels, shape = self._rule.pixels, (task.window.height, task.window.width)
        time_needs, space_needs = shared.needs.get(Over.time), shared.needs.get(Over.space)
        self.over_time = TemporalSums(shape, pixels, time_needs) if time_needs else None
        areas = None if shared.row_areas is None else shared.row_areas[task.window.row :]
        self.over_space = SpatialSums(task.stop - task.start, pixels, space_needs, areas) if space_needs else None
        self.ordered = [_Ordered(stage, task, pixels) for stage in shared.stages if stage.ordered]
        self._fused = FusedSums(self.over_time, self.over_space, pixels) if shared.fused else None
        for number, scene in enumerate(scenes):
            for outside in task.window.without(scene.window):
                self._skip(number, _within(task.window, outside))

    def add(self, part: fast_reader.Turn | ScenePixels) -> None:
        """Add pixels, whose scenes are counted among those of the task."""
        if isinstance(part, ScenePixels):
            self._add_pixels(part)
            return
        for tile in part:
            if tile.missing:
                self._skip(tile.scene, _place(tile))
        for tiles, encoded in fast_reader.side_by_side(part):
            if self._fused is not None and encoded is not None:
                self._add_encoded(self._fused, tiles, encoded)
            else:
                for tile in tiles:
                    self._add_pixels(tile.pixels())

    def finish(self) -> tuple[Partial | None, Partial | None, dict[str, dict[str, Values]]]:
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

    def _add_encoded(self, fused: FusedSums, turn: fast_reader.Turn, encoded: ByteArray) -> None:
        tile, place = turn[0], _place(turn[0])
        scenes = [same_tile.scene for same_tile in turn]
        for index in fused.add(scenes, encoded, tile.decoder.predictor, place):
            pixels = turn[index].pixels().pixels
            assert self.over_space
            self.over_space.add_tile(scenes[index], pixels, place._replace(top=0, left=0))

    def _add_pixels(self, part: ScenePixels) -> None:
        scene = part.scene
        values = self._rule.values(part.pixels, part.valid, self._headers[scene])
        place = Place(0, 0, part.row, part.column, *values.shape)
        if self.over_time:
            self.over_time.add_tile(values, place)
        if self.over_space:
            self.over_space.add_tile(scene, values, place)
        for ordered in self.ordered:
            ordered.add_tile(scene, values, place)


def _place(tile: fast_reader.InflatedTile) -> Place:
    height, width = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
    return Place(tile.rows.start, tile.columns.start, tile.row, tile.column, height, width)


def _within(whole: Window, part: Window) -> Place:
    return Place(0, 0, part.row - whole.row, part.column - whole.column, part.height, part.width)


def _is_missing(shared: Shared) -> Callable[[Values], bool] | None:
    """True for pixels none of which counts, if tiles are added as they are inflated."""
    pixels = shared.reading.rule.pixels
    return (lambda tile: not pixels.valid(pixels.native(tile)).any()) if shared.fused else None


def counts_over(result: TaskResult, over: Over) -> Values:
    """The valid pixels of each cell of a task: (rows, columns) over time, (scenes,) over space."""
    partial = result.over_time if over is Over.time else result.over_space
    assert partial is not None  # every stage counts its pixels
    return partial.counts


def summed(stages: tuple[StagePlan, ...], over: Over) -> Needs | None:
    """The sums that stages over these axes need; None without such a stage. Every stage counts its pixels."""
    along = [stage for stage in stages if stage.over is over]
    if not along:
        return None
    total = Needs()
    for stage in along:
        total |= needs([name for name in stage.statistics if not statistic(name).ordered], stage.weights)
    return total


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
