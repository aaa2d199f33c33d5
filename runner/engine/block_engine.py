"""The block engine: tasks go out to the workers; partials come back and are combined exactly, in any order."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np

from runner.cluster.workers import Cluster, KillingTaskError
from runner.engine.area_seen import seen_inside
from runner.engine.finished_windows import ROWS, check_seen, value_type
from runner.engine.observer import Observer
from runner.engine.results import PassResult, Values, overflow_noted
from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult, counts_over
from runner.engine.trace import NumberedTask, Place, TaskTrace
from runner.engine.traced_tasks import run_traced
from runner.errors import RunnerError
from runner.host.compile_clock import compile_seconds, compiling_told
from runner.host.heap import release_free_memory
from runner.model import Stack
from runner.planning.records import Pass, StagePlan, Task
from runner.read.fetch import FetchCounts
from runner.read.header import Window
from runner.read.inflation import InflateCounts
from runner.reduce.partial import Partial, combine, rectangle, rows
from runner.reduce.scene_sums import SceneSums
from runner.reduce.statistics import finish, statistic
from runner.settings import Over

_SECONDS_BETWEEN_RELEASES = 1.0


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
        """Finished tasks, which the pass does not contain."""

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
    for result, windows, trace in checkpoint.restored() if checkpoint else ():
        if trace:
            observer.reused(trace)
        assembly.take(result, windows)
    shared = Shared.of(pass_.reading, stack, pass_.stages)
    here = cluster.size.address is None
    shared = shared if here else shared.elsewhere(pass_.raster)
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
    values: dict[str, dict[str, Values]] = field(init=False)
    _windows: dict[Window, Partial] = field(default_factory=dict)
    _scenes: SceneSums = field(default_factory=SceneSums)
    _fetched: FetchCounts = field(default_factory=FetchCounts)
    _inflated: InflateCounts = field(default_factory=InflateCounts)
    _read_seconds: float = 0.0
    _reduce_seconds: float = 0.0
    _finished_pixels: int = 0
    _released: float = field(default_factory=time.monotonic)  # when memory was released last
    _beyond: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.values = {
            stage.name: {name: self._empty(stage, name) for name in stage.statistics} for stage in self.pass_.stages
        }

    def _empty(self, stage: StagePlan, name: str) -> Values:
        dtype = statistic(name).dtype
        if stage.over is Over.space:
            return np.full(len(self.stack.scenes), 0 if dtype.kind == "i" else np.nan, dtype)
        kind = value_type(name, len(self.stack.scenes), self.pass_.raster)
        return np.empty((self.stack.grid.height, self.stack.grid.width), kind)

    def take(self, result: TaskResult, windows: Sequence[Window]) -> None:
        """Add a task's partials to the sums of its scenes and, over time, of the windows that make up its own."""
        task = result.task
        self._fetched.add(result.fetched)
        self._inflated.add(result.inflated)
        self._read_seconds += result.read_seconds
        self._reduce_seconds += result.reduce_seconds
        for stage in self.pass_.stages:
            if stage.name in result.finished:
                continue
            counts = counts_over(result, stage.over)
            for name, values in result.ordered.get(stage.name, {}).items():
                enough = statistic(name).where_enough(values, counts, stage.min_count)
                self._store(stage, name, _place(stage, task), enough)
        if result.over_space is not None:
            self._scenes.add(result.over_space, task.start)
        if result.finished:
            self._take_finished(task.window, result.finished)
        if result.over_time is not None:
            for window in windows:
                self._take_window(window, rectangle(result.over_time, _within(task.window, window)))

    def _take_window(self, window: Window, partial: Partial) -> None:
        earlier = self._windows.pop(window, None)
        whole = partial if earlier is None else combine([earlier, partial])
        if _scenes_seen(whole) < len(self.stack.scenes):
            self._windows[window] = whole  # one partial for each window under way, however many tasks it has
            return
        self._check(whole.seen, len(self.stack.scenes), f"{window}")
        for top in range(0, window.height, ROWS):
            strip = window._replace(row=window.row + top, height=min(ROWS, window.height - top))
            self._finish_stages(rows(whole, top, top + strip.height), Over.time, strip.slices)
        self._window_finished(window)

    def _take_finished(self, window: Window, finished: Mapping[str, Mapping[str, Values]]) -> None:
        """Take the statistics of a window that a worker has finished."""
        for stage in self.pass_.stages:
            for name in stage.statistics if stage.over is Over.time else ():
                self._store(stage, name, window.slices, finished[stage.name][name])
        self._window_finished(window)

    def _window_finished(self, window: Window) -> None:
        for stage in self.pass_.stages:
            if stage.over is Over.time:
                self.observer.finished(window, self.values[stage.name])
        self._finished_pixels += window.height * window.width
        self._release_memory()

    def _release_memory(self) -> None:
        """Release memory once a second: it takes milliseconds, and there may be thousands of windows."""
        now = time.monotonic()
        if now - self._released >= _SECONDS_BETWEEN_RELEASES:
            release_free_memory()
            self._released = now

    def finish(self) -> PassResult:
        """Finish the scenes, and compare the pixels seen with the stack."""
        if self._scenes:
            scenes = self._scenes.whole(len(self.stack.scenes))
            self._check(scenes.seen, self.stack.grid.pixels, "a scene")
            self._finish_stages(seen_inside(scenes, self.stack), Over.space, np.s_[:,])
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
        )

    def _finish_stages(self, partial: Partial, over: Over, place: tuple[slice, ...]) -> None:
        for stage in self.pass_.stages:
            if stage.over is over:
                summed = [name for name in stage.statistics if not statistic(name).ordered]
                for name, values in finish(partial, summed, stage.min_count, stage.weights).items():
                    self._store(stage, name, place, values)

    def _store(self, stage: StagePlan, name: str, place: tuple[slice, ...], values: np.ndarray) -> None:
        with overflow_noted(self._beyond, stage.name, name):
            self.values[stage.name][name][place] = values

    def _check(self, seen: np.ndarray, expected: int, place: str) -> None:
        check_seen(self.pass_.name, seen, expected, place)


def _scenes_seen(partial: Partial) -> int:
    return int(partial.seen.flat[0])


def _within(whole: Window, part: Window) -> tuple[slice, slice]:
    return part.shifted(-whole.row, -whole.column).slices


def _place(stage: StagePlan, task: Task) -> tuple[slice, ...]:
    return (slice(task.start, task.stop),) if stage.over is Over.space else task.window.slices
