"""A random sample of a run's values, computed again from the source and compared with the files.

Two kinds of tasks give final values: a small window with all scenes gives every temporal statistic of
its pixels, a whole scene gives its row of every table. Sums are exact, so both must be the stored ones to the bit,
however the run had cut its own tasks. The reference engine, engine=xarray, rounds on its way: its must be close.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from runner.base.console import progress_bar
from runner.base.humanize import plural, size
from runner.cluster.open import open_cluster
from runner.compare.values import Key, Result, results_of
from runner.engine.shared import Shared
from runner.engine.task_sums import Values
from runner.engine.tasks import TaskResult, run_tasks
from runner.errors import ReadError
from runner.log.check import Check, Verdict, summed_up
from runner.log.comparison import Comparison, Outcome, check_of, tried
from runner.log.task_values import finished_values
from runner.model import Scene, Stack
from runner.planning.chunking import auto_window, cut
from runner.planning.planner import plan_stages
from runner.planning.reading import Reading, fetch_options, make_reading
from runner.planning.records import Chunks, StagePlan, Task
from runner.read.fetch import FetchCounts
from runner.record.input_rows import RecordedInput
from runner.record.recorded_outlines import refuse_other_outlines
from runner.record.run_folder import RunFolder
from runner.reduce.statistics import statistic
from runner.settings import ClusterKind, ClusterSettings, EngineName, JobSettings, Over
from runner.source.outlines import outlines_of
from runner.source.reachable import opened_source
from runner.source.reopen import Lookup, look_up, read_scenes, renew_signatures
from runner.source.stack import make_stack
from runner.source.stores import Stores


def check_sample(run: RunFolder, job: JobSettings, count: int, seed: int) -> Iterator[Check]:
    """Look all objects up, then compute `count` windows and as many scenes again; yields what was found, bit by bit.

    Raises RecordError for a folder without inputs.parquet, SourceError where the source does not answer.
    """
    rows = [row for row in run.inputs() if row.used]
    with opened_source(job) as reachable:
        stores = Stores.of_source(reachable.source, fetch_options(job.fetch))
        refuse_other_outlines(run, reachable, outlines_of(reachable, stores))
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
    _comparison: Comparison = field(init=False)

    def __post_init__(self) -> None:
        self._stack = make_stack(self.job.source, self.scenes, self.stores)
        self._reading = make_reading(replace(self.job, engine=EngineName.block), self._stack, self.stores)
        self._comparison = Comparison(self.job, self._stack)

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
        yield from self._compare(
            stages, self._some(cut(self._stack, chunks), count), "windows", self._comparison.window
        )

    def over_space(self, count: int) -> Iterator[Check]:
        """Check whole scenes."""
        stages = [stage for stage in self._stages() if stage.over.makes_table]
        if not stages:
            return
        if self._on_another_grid():
            text = "not computed again, since without the scenes that are not as recorded their grid is another"
            yield from (Check(stage.name, Verdict.unknown, text) for stage in stages)
            return
        tasks = [Task(self._stack.grid.window, number, number + 1) for number in range(len(self.scenes))]
        yield from self._compare(stages, self._some(tasks, count), "scenes", self._comparison.row)

    def _on_another_grid(self) -> bool:
        """True if the grid follows from scenes that are left out here."""
        grid, recorded = self._stack.grid, self.run.record.stack
        if len(self.scenes) == self.scenes_recorded or recorded is None:
            return False
        return (recorded.shape, recorded.transform) != ((grid.height, grid.width), grid.transform)

    def _stages(self) -> list[StagePlan]:
        return [*plan_stages(self.job, self._stack, self.stores).values()]

    def _some(self, tasks: Sequence[Task], count: int) -> tuple[list[Task], int]:
        chosen = sorted(self.random.sample(range(len(tasks)), min(count, len(tasks))))
        return [tasks[number] for number in chosen], len(tasks)

    def _compare(
        self,
        stages: list[StagePlan],
        sampled: tuple[list[Task], int],
        what: str,
        compare: Callable[[Result, Task, Values], Outcome],
    ) -> Iterator[Check]:
        tasks, total = sampled
        computed = tuple(stage for stage in map(_computable, stages) if stage.statistics)
        results, outcomes = results_of(self.run), dict[Key, list[Outcome]]()
        for result in self._computed(computed, tasks):
            for stage in computed:
                for layer, values in finished_values(result, stage, computed, self._stack).items():
                    key = Key(stage.name, layer.statistic, layer.label)
                    outcomes.setdefault(key, []).append(tried(compare, results.get(key), result.task, values))
        for stage in stages:
            for name in stage.statistics:
                keys = [Key(stage.name, name, layer.label) for layer in stage.layers if layer.statistic == name]
                checks = (
                    check_of(key, outcomes.get(key), f"{len(tasks)} of {total} {what}", self._comparison.closeness)
                    for key in keys
                )
                yield from summed_up(checks) if stage.groups else checks

    def _computed(self, stages: tuple[StagePlan, ...], tasks: list[Task]) -> Iterator[TaskResult]:
        """The tasks' results. One scene at a time where all its values are ordered at once."""
        if not stages:
            return
        at_once = any(stage.takes_whole_scenes for stage in stages)
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


def _computable(stage: StagePlan) -> StagePlan:
    """The stage with the statistics that tasks can be reduced to; a function of DataArrays is none."""
    return replace(stage, statistics=tuple(name for name in stage.statistics if statistic(name).of_tasks))
