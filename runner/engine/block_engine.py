"""The block engine: tasks go out to the workers; partials come back and are combined exactly, in any order."""

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from runner.cluster.workers import Cluster, KillingTaskError
from runner.engine.area_seen import seen_inside
from runner.engine.finished_windows import ROWS, check_seen, value_type
from runner.engine.grouped import finished_layers, ordered_layers
from runner.engine.observer import Observer
from runner.engine.results import NoDecibels, PassResult, Stored, Values, overflow_noted
from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult
from runner.engine.trace import NumberedTask, Place, TaskTrace
from runner.engine.traced_tasks import run_traced
from runner.engine.zone_values import empty_sums, finished_zones, ordered_rows
from runner.errors import RunnerError
from runner.host.compile_clock import compile_seconds, compiling_told
from runner.host.heap import free_memory
from runner.host.spool import Spool, refuse_small_disk
from runner.model import Stack
from runner.planning.groups import Lots
from runner.planning.records import Layer, Pass, StagePlan, Task, lots_of_stages
from runner.read.fetch import FetchCounts
from runner.read.header import Window
from runner.read.inflation import InflateCounts
from runner.reduce.partial import Partial, combine, rectangle, rows
from runner.reduce.scene_sums import SceneSums
from runner.reduce.statistics import statistic
from runner.reduce.zone_sums import ZoneSums
from runner.settings import Over


class Restored(NamedTuple):
    """A finished task, with the windows into which its temporal sums are split.

    `trace` is of the earlier attempt that ran it; None if this attempt did.
    """

    result: TaskResult
    windows: Sequence[Window]
    trace: TaskTrace | None


class Checkpoint(Protocol):
    """Finished tasks of a pass, kept so that they need not run again."""

    def restored(self) -> Iterator[Restored]:
        """Finished tasks, which the pass does not contain, of windows of which it contains none."""

    def restored_after(self, task: Task) -> Iterator[Restored]:
        """Finished tasks of the windows of which this task of the pass was the last to come."""

    def keep(self, result: TaskResult, trace: TaskTrace) -> None:
        """Keep a task that has just finished, now or together with others."""

    def close(self) -> None:
        """Keep the tasks that still wait for others."""


def run_pass(
    pass_: Pass, stack: Stack, cluster: Cluster, observer: Observer, checkpoint: Checkpoint | None = None
) -> PassResult:
    """Compute the stages of a pass.

    Raises ReadError for a scene that cannot be read, RunnerError if the tasks do not add up to the stack.
    """
    assembly, before = _Assembly(pass_, stack, observer), compile_seconds()
    assembly.take_all(checkpoint.restored() if checkpoint else ())
    shared = Shared.of(pass_.reading, stack, pass_.stages, counts_scenes=pass_.least_valid is not None)
    here = cluster.size.address is None
    raster = None if pass_.needs_sums else pass_.raster
    if not here:
        shared = shared.elsewhere(raster)
    elif shared.is_grouped:  # one thread would be long at it
        shared = replace(shared, raster=raster)
    tasks = [NumberedTask(number, task) for number, task in enumerate(pass_.tasks)]
    waited: dict[Place | None, float] = {}  # by thread, for machine code
    with (
        compiling_told(observer.compiling),
        _killer_named(stack),
        closing(checkpoint) if checkpoint else nullcontext(),
        closing(cluster.map(run_traced, shared, tasks, shared.stop.set)) as results,
    ):
        for done, (result, trace) in enumerate(results, start=1):
            observer.done(trace)
            thread = trace.place and replace(trace.place, key=None)
            waited[thread] = waited.get(thread, 0.0) + result.compile_seconds
            assembly.take(result, [result.task.window])
            if checkpoint:
                checkpoint.keep(result, trace)
                assembly.take_all(checkpoint.restored_after(result.task))
            observer.progress(done, len(pass_.tasks))
    return replace(assembly.finish(), compile_seconds=max(compile_seconds() - before, *waited.values(), 0.0))


@contextmanager
def _killer_named(stack: Stack) -> Iterator[None]:
    """Name the window and the scenes of a task that killed its workers."""
    try:
        yield
    except KillingTaskError as error:
        if not isinstance(error.work, NumberedTask):
            raise
        number, task = error.work
        named = KillingTaskError(error.work, f"the task of {describe_task(stack, task)}")
        named.task = TaskTrace(number, task, None, None, time.time(), error=str(named))
        named.href = stack.scenes[task.start].href if task.stop - task.start == 1 else None
        raise named from error


def describe_task(stack: Stack, task: Task) -> str:
    """The scenes of a task, by the first and the last of them, and its window."""
    first, last = stack.scenes[task.start], stack.scenes[task.stop - 1]
    count = task.stop - task.start
    scenes = f"scene {first.name}" if count == 1 else f"{count} scenes from {first.name} to {last.name}"
    row, column, height, width = task.window
    return f"{scenes}, rows {row} to {row + height}, columns {column} to {column + width}"


@dataclass(slots=True)
class _Assembly:
    """Combines the results of tasks. Over time, a window is finished as soon as its last scenes have come."""

    pass_: Pass
    stack: Stack
    observer: Observer
    values: dict[str, dict[str, Stored]] = field(init=False)
    _lots: Lots = field(init=False)
    _windows: dict[Window, dict[int, Partial]] = field(default_factory=dict)  # by lot
    _scenes: SceneSums = field(default_factory=SceneSums)
    _zones: ZoneSums | None = None
    _fetched: FetchCounts = field(default_factory=FetchCounts)
    _inflated: InflateCounts = field(default_factory=InflateCounts)
    _read_seconds: float = 0.0
    _reduce_seconds: float = 0.0
    _finished_pixels: int = 0
    _beyond: set[tuple[str, str]] = field(default_factory=set)
    _no_decibels: NoDecibels = field(default_factory=NoDecibels)

    def __post_init__(self) -> None:
        if self.pass_.spool_bytes:
            refuse_small_disk(self._folder, self.pass_.spool_bytes)
        self._lots = lots_of_stages(self.pass_.stages, len(self.stack.scenes))
        self.values = {
            stage.name: {layer.name: self._empty(stage, layer) for layer in stage.layers} for stage in self.pass_.stages
        }

    def _empty(self, stage: StagePlan, layer: Layer) -> Stored:
        dtype = statistic(layer.statistic).dtype
        if stage.over.makes_table:
            zones = len(stage.zones.names) if stage.zones else 1
            return np.full(len(self.stack.scenes) * zones, 0 if dtype.kind == "i" else np.nan, dtype)
        kind = value_type(layer, self._lots.scenes_of(stage.name, layer.group), self.pass_.raster)
        shape = self.stack.grid.height, self.stack.grid.width
        return Spool(self._folder, shape, kind) if self.pass_.spool_bytes else np.empty(shape, kind)

    @property
    def _folder(self) -> Path:
        return self.pass_.folder or Path(tempfile.gettempdir())

    def take_all(self, tasks: Iterable[Restored]) -> None:
        """Add finished tasks."""
        for result, windows, trace in tasks:
            if trace:
                self.observer.reused(trace)
            self.take(result, windows)

    def take(self, result: TaskResult, windows: Sequence[Window]) -> None:
        """Add a task's partials to the sums of its scenes and, over time, of the windows that make up its own."""
        task = result.task
        self._fetched.add(result.fetched)
        self._inflated.add(result.inflated)
        self._read_seconds += result.read_seconds
        self._reduce_seconds += result.reduce_seconds
        for stage in self.pass_.stages:
            if stage.name not in result.finished:
                self._take_ordered(stage, result)
        if result.over_space is not None:
            self._scenes.add(result.over_space, task.start)
        if result.over_zones is not None:
            self._zones = self._zones or empty_sums(self.pass_.stages, self.stack)
            self._zones.add(result.over_zones, task.start)
        if result.finished:
            self._take_finished(task.window, result.finished)
        if result.over_time:
            for window in windows:
                part = _within(task.window, window)
                self._take_window(window, {lot: rectangle(partial, part) for lot, partial in result.over_time.items()})

    def _take_ordered(self, stage: StagePlan, result: TaskResult) -> None:
        """Take the statistics of a task that need all values of a cell."""
        if stage.over is Over.time:
            ordered = result.ordered.get(stage.name, {})
            for layer, enough in ordered_layers(stage, self._lots, result.over_time, ordered):
                self._store(stage, layer, result.task.window.slices, enough)
            return
        rows_each = len(stage.zones.names) if stage.zones else 1
        place = np.s_[result.task.start * rows_each : result.task.stop * rows_each,]
        for name, enough in ordered_rows(stage, result):
            self._store(stage, Layer(name), place, enough)

    def _take_window(self, window: Window, partials: Mapping[int, Partial]) -> None:
        whole = self._windows.pop(window, {})
        for lot, partial in partials.items():
            whole[lot] = combine([whole[lot], partial]) if lot in whole else partial
        if sum(map(_scenes_seen, whole.values())) < len(self.stack.scenes):
            self._windows[window] = whole  # one partial of a lot for each window under way, however many tasks it has
            return
        for lot, partial in whole.items():
            self._check(partial.seen, self._lots.sizes[lot], f"{window}")
        for top in range(0, window.height, ROWS):
            strip = window._replace(row=window.row + top, height=min(ROWS, window.height - top))
            of_strip = {lot: rows(partial, top, top + strip.height) for lot, partial in whole.items()}
            for stage in self.pass_.stages:
                if stage.over is Over.time:
                    for layer, values in finished_layers(stage, self._lots, of_strip):
                        self._store(stage, layer, strip.slices, values)
        self._window_finished(window)

    def _take_finished(self, window: Window, finished: Mapping[str, Mapping[str, Values]]) -> None:
        """Take the statistics of a window that a worker has finished."""
        for stage in self.pass_.stages:
            for layer in stage.layers if stage.over is Over.time else ():
                self._store(stage, layer, window.slices, finished[stage.name][layer.name])
        self._window_finished(window)

    def _window_finished(self, window: Window) -> None:
        for stage in self.pass_.stages:
            if stage.over is Over.time:
                self.observer.finished(window, self.values[stage.name])
        self._finished_pixels += window.height * window.width
        free_memory().release()

    def finish(self) -> PassResult:
        """Finish the scenes, and compare the pixels seen with the stack. Raises RunnerError if some are missing."""
        valid = None
        if self._scenes:
            scenes = self._scenes.whole(len(self.stack.scenes))
            self._check(scenes.seen, self.stack.grid.pixels, "a scene")
            inside = seen_inside(scenes, self.stack)
            valid = None if self.pass_.least_valid is None else inside.counts / inside.seen
            self._finish_scenes(inside)
        if self._zones:
            self._finish_zones(self._zones)
        over_time, pixels = any(stage.over is Over.time for stage in self.pass_.stages), self.stack.grid.pixels
        if self._windows or (over_time and self._finished_pixels != pixels):
            raise RunnerError(f"{self.pass_.name}: {self._finished_pixels} of {pixels} pixels are whole; run again")
        return PassResult(
            values=self.values,
            fetched=self._fetched,
            inflated=self._inflated,
            read_seconds=self._read_seconds,
            reduce_seconds=self._reduce_seconds,
            beyond=frozenset(self._beyond),
            no_decibels=self._no_decibels.counts,
            valid=valid,
        )

    def _finish_scenes(self, partial: Partial) -> None:
        for stage in self.pass_.stages:
            if stage.over is Over.space:
                for name, values in stage.finished(partial).items():
                    self._store(stage, Layer(name), np.s_[:,], values)

    def _finish_zones(self, sums: ZoneSums) -> None:
        assert sums.whole is not None  # a partial was added
        self._check(sums.whole.seen, self.stack.grid.pixels, "a scene")
        for stage in self.pass_.stages:
            if stage.zones is not None:
                for name, values in finished_zones(sums.whole, stage, self.stack).items():
                    self._store(stage, Layer(name), np.s_[:,], values)

    def _store(self, stage: StagePlan, layer: Layer, place: tuple[slice, ...], values: np.ndarray) -> None:
        values = self._no_decibels.left_out(stage, layer.statistic, values)
        with overflow_noted(self._beyond, stage.name, layer.statistic):
            self.values[stage.name][layer.name][place] = values

    def _check(self, seen: np.ndarray, expected: int, place: str) -> None:
        check_seen(self.pass_.name, seen, expected, place)


def _scenes_seen(partial: Partial) -> int:
    return int(partial.seen.flat[0])


def _within(whole: Window, part: Window) -> tuple[slice, slice]:
    return part.shifted(-whole.row, -whole.column).slices
