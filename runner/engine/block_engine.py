"""The block engine: blocks go out to the workers; partials come back and are combined exactly, in any order."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from runner.cluster.workers import Cluster, KillingTaskError
from runner.engine.blocks import BlockResult, Reading, counts_over
from runner.engine.results import PassResult, Values, overflow_noted
from runner.engine.tasks import run_traced
from runner.engine.trace import NOTE, OnTask, Place, Task, TaskTrace
from runner.errors import RunnerError
from runner.host.compile_clock import compile_seconds
from runner.host.heap import release_free_memory
from runner.model import Stack
from runner.plan.records import Block, Pass, StagePlan
from runner.read.fetch import FetchCounts
from runner.read.header import Window
from runner.reduce.partial import Partial, among, combine, rectangle, rows
from runner.reduce.statistics import finish, statistic
from runner.settings import Over

_ROWS_FINISHED = 64  # at a time: what numpy allocates for them stays in the cache

_SECONDS_BETWEEN_RELEASES = 1.0

Progress = Callable[[int, int], None]


class Kept(Protocol):
    """What is kept of blocks, so that they need not be read again."""

    def results(self) -> Iterator[tuple[BlockResult, Sequence[Window]]]:
        """Those that are no blocks of the pass, since they are done; with the windows to finish each over time in."""

    def keep(self, result: BlockResult, trace: TaskTrace) -> None:
        """Keep one that has just come, now or with others."""

    def close(self) -> None:
        """Keep what has come: there is no more."""


def run_pass(  # noqa: PLR0913, PLR0917 - a pass, what it is made of, and who hears of it
    one: Pass,
    stack: Stack,
    reading: Reading,
    cluster: Cluster,
    raster: np.dtype,
    progress: Progress,
    on_task: OnTask,
    kept: Kept | None = None,
) -> PassResult:
    """Compute the stages of a pass; floats over time are of the `raster` dtype. `on_task` hears of every task done.

    Raises ReadError for a scene that cannot be read, RunnerError if the blocks do not add up to the stack.
    """
    assembly, before = _Assembly(one, stack, raster), compile_seconds()
    waited: dict[Place | None, float] = {}  # by thread, for machine code
    for result, windows in kept.results() if kept else ():
        assembly.take(result, windows)
    tasks = [Task(number, block) for number, block in enumerate(one.blocks)]
    keeping = closing(kept) if kept else nullcontext()
    with _killer_named(stack), keeping, closing(cluster.map(run_traced, reading, tasks, reading.stop.set)) as results:
        for done, (result, trace) in enumerate(results, start=1):
            on_task(trace)
            thread = trace.place and replace(trace.place, key=None)
            waited[thread] = waited.get(thread, 0.0) + result.compile_seconds
            assembly.take(result, [result.block.window])
            if kept:
                kept.keep(result, trace)
            progress(done, len(one.blocks))
    return replace(assembly.finish(), compile_seconds=max(compile_seconds() - before, *waited.values(), 0.0))


@contextmanager
def _killer_named(stack: Stack) -> Iterator[None]:
    """Say of a task that killed its workers which block of which scenes it was."""
    try:
        yield
    except KillingTaskError as error:
        if error.task is None:
            raise
        number, block = error.task
        named = KillingTaskError(error.task, f"the block of {describe_block(stack, block)}")
        vars(named)[NOTE] = TaskTrace(number, block, None, None, time.time(), error=str(named))
        if block.stop - block.start == 1:
            vars(named)["href"] = stack.scenes[block.start].href
        raise named from error


def describe_block(stack: Stack, block: Block) -> str:
    """The scenes of a block, by the first and the last of them, and its window."""
    first, last = stack.scenes[block.start], stack.scenes[block.stop - 1]
    count = block.stop - block.start
    scenes = f"scene {first.name}" if count == 1 else f"{count} scenes from {first.name} to {last.name}"
    row, column, height, width = block.window
    return f"{scenes}, rows {row} to {row + height}, columns {column} to {column + width}"


@dataclass(slots=True)
class _Assembly:
    """Puts the results of blocks together. Over time a window is finished as soon as its last scenes have come."""

    one: Pass
    stack: Stack
    raster: np.dtype
    values: dict[str, dict[str, Values]] = field(init=False)
    _windows: dict[Window, Partial] = field(default_factory=dict)
    _scenes: Partial | None = None
    _fetched: FetchCounts = field(default_factory=FetchCounts)
    _read_seconds: float = 0.0
    _reduce_seconds: float = 0.0
    _finished_pixels: int = 0
    _released: float = 0.0
    _beyond: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.values = {
            stage.name: {name: self._empty(stage, name) for name in stage.statistics} for stage in self.one.stages
        }

    def _empty(self, stage: StagePlan, name: str) -> Values:
        dtype = statistic(name).dtype
        if stage.over is Over.space:
            return np.full(len(self.stack.scenes), 0 if dtype.kind == "i" else np.nan, dtype)
        kind = np.min_scalar_type(-1 - len(self.stack.scenes)) if dtype.kind == "i" else self.raster
        return np.empty((self.stack.grid.height, self.stack.grid.width), kind)

    def take(self, result: BlockResult, windows: Sequence[Window]) -> None:
        """Add a block's partials to those of its scenes and, over time, of the windows that its own is made of."""
        block = result.block
        self._fetched.add(result.fetched)
        self._read_seconds += result.read_seconds
        self._reduce_seconds += result.reduce_seconds
        for stage in self.one.stages:
            counts = counts_over(result, stage.over)
            for name, values in result.ordered.get(stage.name, {}).items():
                enough = statistic(name).where_enough(values, counts, stage.min_count)
                self._store(stage, name, _place(stage, block), enough)
        if result.over_space is not None:
            placed = among(result.over_space, block.start, len(self.stack.scenes))
            self._scenes = placed if self._scenes is None else combine([self._scenes, placed])
        if result.over_time is not None:
            for window in windows:
                self._take_window(window, rectangle(result.over_time, _within(block.window, window)))

    def _take_window(self, window: Window, partial: Partial) -> None:
        held = self._windows.pop(window, None)
        whole = partial if held is None else combine([held, partial])
        if _scenes_seen(whole) < len(self.stack.scenes):
            self._windows[window] = whole  # one for each window under way, however many parts it has
            return
        self._check(whole.seen, len(self.stack.scenes), f"{window}")
        for top in range(0, window.height, _ROWS_FINISHED):
            some = window._replace(row=window.row + top, height=min(_ROWS_FINISHED, window.height - top))
            self._finish_stages(rows(whole, top, top + some.height), Over.time, _window_slices(some))
        self._finished_pixels += window.height * window.width
        self._release_memory()

    def _release_memory(self) -> None:
        """Now and then, since it takes milliseconds and there may be thousands of windows."""
        now = time.monotonic()
        if now - self._released >= _SECONDS_BETWEEN_RELEASES:
            release_free_memory()
            self._released = now

    def finish(self) -> PassResult:
        """Finish the scenes, and hold what was seen against the stack."""
        if self._scenes is not None:
            self._check(self._scenes.seen, self.stack.grid.pixels, "a scene")
            self._finish_stages(self._scenes, Over.space, np.s_[:,])
        over_time, pixels = any(stage.over is Over.time for stage in self.one.stages), self.stack.grid.pixels
        if self._windows or (over_time and self._finished_pixels != pixels):
            raise RunnerError(f"{self.one.name}: {self._finished_pixels} of {pixels} pixels are whole; run again")
        return PassResult(self.values, self._fetched, self._read_seconds, self._reduce_seconds, frozenset(self._beyond))

    def _finish_stages(self, partial: Partial, over: Over, place: tuple[slice, ...]) -> None:
        for stage in self.one.stages:
            if stage.over is over:
                summed = [name for name in stage.statistics if not statistic(name).ordered]
                for name, values in finish(partial, summed, stage.min_count, stage.weights).items():
                    self._store(stage, name, place, values)

    def _store(self, stage: StagePlan, name: str, place: tuple[slice, ...], values: np.ndarray) -> None:
        with overflow_noted(self._beyond, stage.name, name):
            self.values[stage.name][name][place] = values

    def _check(self, seen: np.ndarray, expected: int, what: str) -> None:
        """Nothing silent: every pixel of every scene was seen once."""
        if not (seen == expected).all():
            raise RunnerError(
                f"{self.one.name}: {what} saw {seen.min()} to {seen.max()} pixels a cell, wanted {expected}; "
                "run again, and report it if it happens twice"
            )


def _scenes_seen(partial: Partial) -> int:
    return int(partial.seen.flat[0])


def _window_slices(window: Window) -> tuple[slice, slice]:
    return np.s_[window.row : window.row + window.height, window.column : window.column + window.width]


def _within(whole: Window, part: Window) -> tuple[slice, slice]:
    return _window_slices(part._replace(row=part.row - whole.row, column=part.column - whole.column))


def _place(stage: StagePlan, block: Block) -> tuple[slice, ...]:
    return (slice(block.start, block.stop),) if stage.over is Over.space else _window_slices(block.window)
