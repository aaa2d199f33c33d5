"""The accumulators of a task: sums over time, space and zones, and all values where a statistic needs them at once."""

from collections.abc import Mapping, Sequence, Set
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runner.engine.hidden import Hidden
from runner.engine.shared import Shared
from runner.engine.task_pixels import place_of
from runner.planning.groups import Groups
from runner.planning.records import StagePlan, Task
from runner.read import fast_reader
from runner.read.decode import ByteArray
from runner.read.header import ScenePixels, Window
from runner.reduce.fused import Encoded, FusedSums
from runner.reduce.hidden_pixels import NO_HIDDEN
from runner.reduce.partial import Partial
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.scene_times import milliseconds
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish_ordered
from runner.reduce.temporal import TemporalSums
from runner.reduce.time_sums import TaskTimes
from runner.reduce.zonal import ZonalPartial, ZonalSums
from runner.reduce.zone_quantiles import ZonePixels
from runner.settings import Over

Values = npt.NDArray[Any]

_NONE: Final = frozenset[Over]()


class Partials(NamedTuple):
    """What the accumulators of a task leave: see `tasks.TaskResult`."""

    over_time: Mapping[int, Partial]  # by lot
    over_space: Partial | None
    ordered: dict[str, dict[str, Values]]  # layers by stage
    over_zones: ZonalPartial | None


class TaskSums:
    """Accumulators of a task's pixels."""

    def __init__(self, shared: Shared, task: Task) -> None:
        self._rule = shared.reading.rule
        scenes = shared.scenes[task.start : task.stop]
        self._scenes = scenes
        self._scaling = self._rule.scaling(np.dtype(scenes[0].header.dtype))
        pixels = self._rule.pixels
        times = _times(shared, task)
        space_needs = shared.needs.get(Over.space)
        areas = None if shared.row_areas is None else shared.row_areas[task.window.row :]
        self.over_space = SpatialSums(task.stop - task.start, pixels, space_needs, areas) if space_needs else None
        self.over_zones = _zonal_sums(shared, task, pixels, areas)
        self.ordered = {
            stage.name: _zone_pixels(stage, task, pixels) if stage.zones else _Ordered(stage, task, pixels, times)
            for stage in shared.stages
            if stage.ordered
        }
        self._fused = shared.fused
        self._has_others = bool(self.ordered) or not self._fused.issuperset(shared.needs)
        self._lots = _lot_sums(shared, task, times, (self.over_space, self.over_zones))
        self._numbers = [shared.lots.of_scene(number) for number in range(task.start, task.stop)]
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
            if self._fused and encoded is not None:
                self._add_encoded(tiles, encoded, hidden)
            else:
                for tile in tiles:
                    self._add_pixels(tile.pixels(), hidden)

    def finish(self) -> Partials:
        """The partials, and the ordered layers."""
        for sums in self._lots.values():
            if sums.fused:
                sums.fused.finish()
        over_time = {lot: sums.over_time.partial() for lot, sums in self._lots.items() if sums.over_time}
        over_space = self.over_space.partial() if self.over_space else None
        over_zones = self.over_zones.partial() if self.over_zones else None
        ordered = {stage: values.finish() for stage, values in self.ordered.items()}
        return Partials(over_time, over_space, ordered, over_zones)

    def _skip(self, scene: int, place: Place) -> None:
        """Count the pixels of a scene at a place as seen, none of which counts."""
        if over_time := self._lots[self._numbers[scene]].over_time:
            over_time.skip(place, 1)
        if self.over_space:
            self.over_space.skip(scene, place)
        if self.over_zones:
            self.over_zones.skip(scene, place)
        for ordered in self.ordered.values():
            ordered.skip(scene, place)

    def _add_encoded(self, turn: fast_reader.Turn, encoded: ByteArray, hidden: Hidden | None) -> None:
        """Add the tiles of a turn, all at one place, lot by lot."""
        start = 0
        for lot, of_lot in groupby(turn, lambda tile: self._numbers[tile.scene]):
            tiles, fused = list(of_lot), self._lots[lot].fused
            assert fused is not None  # as for all lots
            self._add_lot(fused, tiles, encoded[start : start + len(tiles)], hidden)
            start += len(tiles)

    def _add_lot(self, fused: FusedSums, turn: fast_reader.Turn, encoded: ByteArray, hidden: Hidden | None) -> None:
        place, scenes = place_of(turn[0]), [tile.scene for tile in turn]
        pixels = hidden.pixels(scenes) if hidden else NO_HIDDEN
        unfit = fused.add(scenes, Encoded(encoded, turn[0].decoder.predictor), place, pixels)
        for index in range(len(turn)) if self._has_others else unfit:
            done = self._fused - {Over.space} if index in unfit else self._fused
            self._add_values(turn[index].pixels(), hidden, done)

    def _add_pixels(self, part: ScenePixels, hidden: Hidden | None) -> None:
        fused = self._lots[self._numbers[part.scene]].fused
        if not fused or not (self._rule.scale or (hidden and self._rule.pixels.blank is None)):
            self._add_values(part, hidden)
            return
        place = Place(0, 0, part.row, part.column, *part.pixels.shape)
        hides = hidden.pixels([part.scene]) if hidden else NO_HIDDEN
        fused.add_decoded(part.scene, part.pixels, place, hides)
        if self._has_others:
            self._add_values(part, hidden, self._fused)

    def _add_values(self, part: ScenePixels, hidden: Hidden | None, done: Set[Over] = _NONE) -> None:
        """Add pixels to all sums but those over the axes that are done."""
        scene, (values, place) = part.scene, self._values(part, hidden)
        over_time = self._lots[self._numbers[scene]].over_time
        if over_time and Over.time not in done:
            over_time.add_tile(values, place, scene)
        if self.over_space and Over.space not in done:
            self.over_space.add_tile(scene, values, place)
        if self.over_zones and Over.zones not in done:
            self.over_zones.add_tile(scene, values, place)
        for ordered in self.ordered.values():
            ordered.add_tile(scene, values, place)

    def _values(self, part: ScenePixels, hidden: Hidden | None) -> tuple[Values, Place]:
        """The accumulated values of pixels, and their place."""
        place = Place(0, 0, part.row, part.column, *part.pixels.shape)
        not_shown, scene = hidden.of(part.scene, place) if hidden else None, self._scenes[part.scene]
        if self._scaling and part.valid is None:
            return self._scaling.values(part.pixels, scene.header.scale_of(scene.band), not_shown), place
        return self._rule.values(part.pixels, part.valid, scene, not_shown), place


def _times(shared: Shared, task: Task) -> TaskTimes:
    """The times of a task's scenes; none if no stage needs them."""
    needs = shared.needs.get(Over.time)
    timed = bool(needs and needs.timed) or any(stage.timed for stage in shared.stages)
    scenes = shared.scenes[task.start : task.stop] if timed else ()
    return TaskTimes.of([milliseconds(scene.time) for scene in scenes], task.start)


def _zonal_sums(shared: Shared, task: Task, pixels: Pixels, areas: Values | None) -> ZonalSums | None:
    """The accumulator of the zones in a task's window."""
    needs = shared.needs.get(Over.zones)
    if needs is None:
        return None
    assert shared.zones is not None  # of the stages that have these needs
    runs = shared.zones.in_window(task.window)
    return ZonalSums(task.stop - task.start, pixels, needs, runs, areas if shared.zones_by_area else None)


def _zone_pixels(stage: StagePlan, task: Task, pixels: Pixels) -> ZonePixels:
    """The pixels of the zones in a task's window."""
    assert stage.zones is not None  # by the caller
    runs, names = stage.zones.in_window(task.window), stage.ordered_statistics
    return ZonePixels(task.stop - task.start, pixels, runs, names, by_fraction=stage.zones.fractions)


class _LotSums(NamedTuple):
    """The sums of a lot over time, and those to which its tiles are added as they are inflated."""

    over_time: TemporalSums | None
    fused: FusedSums | None


def _lot_sums(
    shared: Shared, task: Task, times: TaskTimes, of_all: tuple[SpatialSums | None, ZonalSums | None]
) -> dict[int, _LotSums]:
    """Sums for each lot of a task's scenes. Those over space and zones, `of_all` lots, are filled with them."""
    shape, needs, sums = (task.window.height, task.window.width), shared.needs.get(Over.time), dict[int, _LotSums]()
    make_fused, (over_space, over_zones) = shared.fused_sums(task), of_all
    for lot in shared.lots.of_range(task.start, task.stop):
        over_time, fused = TemporalSums(shape, shared.reading.rule.pixels, needs, times) if needs else None, None
        if make_fused:
            of_axes = {Over.time: over_time, Over.space: over_space, Over.zones: over_zones}
            taken = {over: of_axis for over, of_axis in of_axes.items() if over in shared.fused}
            fused = make_fused(taken.get(Over.time), taken.get(Over.space), over_zones=taken.get(Over.zones))
        sums[lot] = _LotSums(over_time, fused)
    return sums


def _within(whole: Window, part: Window) -> Place:
    return Place(0, 0, part.row - whole.row, part.column - whole.column, part.height, part.width)


class _Ordered:
    """All values of a task, (scenes, rows, columns), for the statistics of one stage that need them."""

    def __init__(self, stage: StagePlan, task: Task, pixels: Pixels, times: TaskTimes) -> None:
        self._stage = stage
        self._times = times
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
        names = self._stage.ordered_statistics
        if self._stage.groups:
            return self._finish_groups(self._stage.groups, names)
        if self._stage.over is Over.time:
            return finish_ordered(self._values, self._pixels, names, self._times.milliseconds)
        scenes = [finish_ordered(values.reshape(-1, 1), self._pixels, names) for values in self._values]
        return {name: np.concatenate([scene[name] for scene in scenes]) for name in names}

    def _finish_groups(self, groups: Groups, names: Sequence[str]) -> dict[str, Values]:
        """The layers of each group; the task has all scenes, by the plan."""
        times = self._times.milliseconds
        of_groups = [
            finish_ordered(self._values[members], self._pixels, names, times[members] if times.size else None)
            for members in map(groups.members, range(len(groups.labels)))
        ]
        layers = (layer for layer in self._stage.layers if layer.statistic in names)
        return {layer.name: of_groups[layer.group][layer.statistic] for layer in layers}
