"""A random sample of a run's values, computed again from the source and compared with the files.

Two kinds of tasks give final values: a small window with all scenes gives every temporal statistic of
its pixels, a whole scene gives its row of every table. Sums are exact, so both must be the stored ones to the bit,
however the run had cut its own tasks. The reference engine, engine=xarray, rounds on its way: its must be close.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from runner.base.console import progress_bar
from runner.base.humanize import plural, size
from runner.cluster.open import open_cluster
from runner.compare.values import Key, Result, pixel_place, results_of
from runner.engine.area_seen import seen_inside
from runner.engine.shared import Shared
from runner.engine.tasks import TaskResult, Values, counts_over, run_tasks
from runner.errors import ReadError, RecordError
from runner.log.check import Check, Verdict
from runner.model import Scene, Stack
from runner.output.digest import unequal_bits
from runner.output.read_back import column, opened_raster, read_table, read_window
from runner.planning.chunking import auto_window, cut
from runner.planning.memory import raster_dtype
from runner.planning.planner import plan_stages
from runner.planning.reading import Reading, fetch_options, make_reading
from runner.planning.records import Chunks, StagePlan, Task
from runner.read.fetch import FetchCounts
from runner.record.run_files import RecordedInput
from runner.record.run_folder import RunFolder
from runner.reduce.statistics import finish, statistic
from runner.settings import ClusterKind, ClusterSettings, EngineName, JobSettings, Over
from runner.source.reachable import opened_source
from runner.source.reopen import Lookup, look_up, read_scenes, renew_signatures
from runner.source.stack import make_stack
from runner.source.stores import Stores

_CLOSE = 1e-6  # relative, of engine=xarray: float64 sums, float32 rasters
_TINY = 1e-12  # of the largest value; what is left where such sums cancel out


def check_sample(run: RunFolder, job: JobSettings, count: int, seed: int) -> Iterator[Check]:
    """Look all objects up, then compute `count` windows and as many scenes again; yields what was found, bit by bit.

    Raises RecordError for a folder without inputs.parquet, SourceError where the source does not answer.
    """
    rows = [row for row in run.inputs() if row.used]
    with opened_source(job) as reachable:
        stores = Stores.of_source(reachable.source, fetch_options(job.fetch))
        renew_signatures(reachable.source, [row.stored for row in rows], stores)
        lookups = look_up([row.stored for row in rows], stores)
        yield from _check_objects(lookups)
        intact = [(lookup, row.scene) for lookup, row in zip(lookups, rows, strict=True) if not lookup.problem]
        if not intact:
            return
        with progress_bar("headers") as progress:
            scenes, _ = read_scenes(reachable.source, intact, stores, progress)
        yield from _check_beside(scenes, rows)
        sampler = _Sampler(run, reachable, scenes, len(lookups), random.Random(seed), stores)  # noqa: S311
        yield from _check_values(sampler, count)


def _check_objects(lookups: Sequence[Lookup]) -> Iterator[Check]:
    problems = [lookup.problem for lookup in lookups if lookup.problem]
    yield from (Check("inputs", Verdict.failed, problem) for problem in problems)
    if not problems:
        yield Check("inputs", Verdict.ok, f"{len(lookups)} objects are there with their recorded ETags")


def _check_beside(scenes: Sequence[Scene], rows: Sequence[RecordedInput]) -> Iterator[Check]:
    recorded = {row.href: row for row in rows}
    problems = (recorded[scene.href].changed_beside(scene) for scene in scenes)
    yield from (Check("inputs", Verdict.failed, problem) for problem in problems if problem)


def _check_values(sampler: "_Sampler", count: int) -> Iterator[Check]:
    try:
        yield from sampler.over_time(count)
        yield from sampler.over_space(count)
    except ReadError as error:
        yield Check("read again", Verdict.failed, str(error))
        return
    read, stored = sampler.fetched, sum(scene.size for scene in sampler.scenes)
    amount = (
        f"{size(read.bytes)} in {plural(read.requests, 'request')}"
        if read.requests
        else "by GDAL, which does not count"
    )
    amount += f", of {size(stored)} stored; headers apart"
    yield Check("read again", Verdict.ok, amount)


@dataclass(slots=True)
class _Sampler:
    """Computes tasks of a run's stack again, as its job says, and compares."""

    run: RunFolder
    job: JobSettings
    scenes: tuple[Scene, ...]
    scenes_recorded: int
    random: random.Random
    stores: Stores
    fetched: FetchCounts = field(default_factory=FetchCounts)
    _stack: Stack = field(init=False)
    _reading: Reading = field(init=False)

    def __post_init__(self) -> None:
        self._stack = make_stack(self.job.source, self.scenes)
        self._reading = make_reading(replace(self.job, engine=EngineName.block), self._stack, self.stores)

    def over_time(self, count: int) -> Iterator[Check]:
        """Check windows with all scenes."""
        stages = [stage for stage in self._stages() if stage.over is Over.time]
        if not stages:
            return
        if len(self.scenes) < self.scenes_recorded:
            lost = self.scenes_recorded - len(self.scenes)
            text = f"not computed again, since {lost} of {self.scenes_recorded} scenes are not as recorded"
            yield from (Check(stage.name, Verdict.unknown, text) for stage in stages)
            return
        y, x = auto_window(self._stack, self._reading.rule, tuple(stages))
        chunks = Chunks(len(self.scenes), y, min(x, self._stack.tile_shape[1]))
        yield from self._compare(stages, self._some(cut(self._stack, chunks), count), "windows", self._compare_window)

    def over_space(self, count: int) -> Iterator[Check]:
        """Check whole scenes."""
        stages = [stage for stage in self._stages() if stage.over is Over.space]
        if not stages:
            return
        if self._on_another_grid():
            text = "not computed again, since without the scenes that are not as recorded their grid is another"
            yield from (Check(stage.name, Verdict.unknown, text) for stage in stages)
            return
        tasks = [Task(self._stack.grid.window, number, number + 1) for number in range(len(self.scenes))]
        yield from self._compare(stages, self._some(tasks, count), "scenes", self._compare_row)

    def _on_another_grid(self) -> bool:
        """True if the grid follows from scenes that are left out here."""
        grid, recorded = self._stack.grid, self.run.record.stack
        if len(self.scenes) == self.scenes_recorded or recorded is None:
            return False
        return (recorded.shape, recorded.transform) != ((grid.height, grid.width), grid.transform)

    def _stages(self) -> list[StagePlan]:
        return [*plan_stages(self.job, self._stack).values()]

    def _some(self, tasks: Sequence[Task], count: int) -> tuple[list[Task], int]:
        chosen = sorted(self.random.sample(range(len(tasks)), min(count, len(tasks))))
        return [tasks[number] for number in chosen], len(tasks)

    def _compare(
        self,
        stages: list[StagePlan],
        sampled: tuple[list[Task], int],
        what: str,
        compare: Callable[[Result, Task, Values], "_Outcome"],
    ) -> Iterator[Check]:
        tasks, total = sampled
        computable = [_computable(stage) for stage in stages]
        results, outcomes = results_of(self.run), dict[Key, list[_Outcome]]()
        for result in self._computed(tuple(stage for stage in computable if stage.statistics), tasks):
            for stage in computable:
                for name, values in _finished(result, stage, self._stack).items():
                    key = Key(stage.name, name)
                    outcomes.setdefault(key, []).append(_tried(compare, results[key], result.task, values))
        for stage in stages:
            for name in stage.statistics:
                key = Key(stage.name, name)
                close = "" if self.job.engine is EngineName.block else f" within {_CLOSE:g}"
                yield _summed_up(key, outcomes.get(key), f"{len(tasks)} of {total} {what}", close)

    def _computed(self, stages: tuple[StagePlan, ...], tasks: list[Task]) -> Iterator[TaskResult]:
        """The tasks' results. One scene at a time where all its values are ordered at once."""
        if not stages:
            return
        at_once = any(stage.ordered and stage.over is Over.space for stage in stages)
        settings = ClusterSettings(kind=ClusterKind.sync if at_once else ClusterKind.threads)
        shared = Shared.of(self._reading, self._stack, stages)
        with (
            open_cluster(settings, self._reading.gdal_options) as cluster,
            progress_bar(stages[0].name) as progress,
            closing(cluster.map(run_tasks, shared, tasks, shared.stop.set)) as results,
        ):
            for count, result in enumerate(results, start=1):
                self.fetched.add(result.fetched)
                progress(count, len(tasks))
                yield result

    # --- comparing ----------------------------------------------------------------------------------------------------

    def _compare_window(self, result: Result, task: Task, values: Values) -> "_Outcome":
        window, grid = task.window, self._stack.grid
        floats = raster_dtype(self.job.output.raster_dtype, self._stack.dtype)
        with np.errstate(over="ignore"):  # infinite in the file too
            computed = values.astype(np.int32 if values.dtype.kind == "i" else floats)
        with opened_raster(result.path) as raster:
            if (raster.height, raster.width) != (grid.height, grid.width) or raster.transform[:6] != grid.transform:
                raise RecordError(f"{result.path} lies on another grid than its scenes; it was altered")
            stored = read_window(raster, *window.slices)
        unequal = self._unequal(result, stored, computed)
        if not unequal.any():
            return _Outcome(stored.size)
        y, x = map(int, np.unravel_index(int(np.argmax(unequal)), unequal.shape))
        place = pixel_place(window.row + y, window.column + x, grid.transform)
        return _Outcome(stored.size, int(unequal.sum()), f"{place}: {_pair(stored[y, x], computed[y, x])}")

    def _compare_row(self, result: Result, task: Task, values: Values) -> "_Outcome":
        scene, table = self.scenes[task.start], read_table(result.path)
        rows = [row for row, href in enumerate(table["href"].to_pylist()) if href == scene.href]
        if len(rows) != 1:
            raise RecordError(f"{result.path} has {len(rows)} rows of {scene.href}, wanted one; it was altered")
        stored = column(result.path, table, result.key.statistic)[rows]
        if not self._unequal(result, stored, values).any():
            return _Outcome(1)
        return _Outcome(1, 1, f"scene {scene.name}: {_pair(stored[0], values[0])}")

    def _unequal(self, result: Result, stored: Values, computed: Values) -> Values:
        if stored.dtype != computed.dtype:
            raise RecordError(f"{result.path}: {result.key} is {stored.dtype}, wanted {computed.dtype}; it was altered")
        if self.job.engine is EngineName.block or stored.dtype.kind == "i":
            return unequal_bits(stored, computed)
        tiny = _TINY * float(np.nan_to_num(np.abs(computed)).max(initial=0))
        return ~np.isclose(stored, computed, rtol=_CLOSE, atol=tiny, equal_nan=True)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The comparison of a task's values: cells, unequal cells, and the first unequal one in words."""

    cells: int
    unequal: int = 0
    first: str = ""


def _tried(compare: Callable[[Result, Task, Values], _Outcome], result: Result, task: Task, values: Values) -> _Outcome:
    try:
        return compare(result, task, values)
    except RecordError as error:
        return _Outcome(values.size, values.size, str(error))


def _computable(stage: StagePlan) -> StagePlan:
    """The stage with the statistics that tasks can be reduced to; a function of DataArrays is none."""
    statistics = map(statistic, stage.statistics)
    names = tuple(entry.name for entry in statistics if entry.finish is not None or entry.of_values is not None)
    return replace(stage, statistics=names)


def _finished(result: TaskResult, stage: StagePlan, stack: Stack) -> dict[str, Values]:
    """A stage's statistics of one task. Raises RecordError if the task did not see every pixel once."""
    values = {
        name: statistic(name).where_enough(ordered, counts_over(result, stage.over), stage.min_count)
        for name, ordered in result.ordered.get(stage.name, {}).items()
    }
    over_time = stage.over is Over.time
    partial, expected = (result.over_time, len(stack.scenes)) if over_time else (result.over_space, stack.grid.pixels)
    if partial is not None:
        if not (partial.seen == expected).all():
            raise RecordError(
                f"{result.task.window} saw {partial.seen.min()} pixels a cell, wanted {expected}; verify again"
            )
        summed = [name for name in stage.statistics if not statistic(name).ordered]
        whole = partial if over_time else seen_inside(partial, stack)
        values |= finish(whole, summed, stage.min_count, stage.weights)
    return values


def _summed_up(key: Key, outcomes: "list[_Outcome] | None", amount: str, close: str) -> Check:
    if outcomes is None:
        return Check(str(key), Verdict.unknown, "a function of DataArrays, which is not computed from tasks")
    cells, unequal = sum(outcome.cells for outcome in outcomes), sum(outcome.unequal for outcome in outcomes)
    if not unequal:
        return Check(str(key), Verdict.ok, f"{amount} computed again, {cells:,} values as stored{close}")
    first = next(outcome.first for outcome in outcomes if outcome.unequal)
    return Check(
        str(key), Verdict.failed, f"{unequal:,} of {cells:,} values in {amount} are not what the source gives; {first}"
    )


def _pair(stored: object, computed: object) -> str:
    return f"stored {stored:.9g}, computed {computed:.9g}"
