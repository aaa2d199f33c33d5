"""From a job and its stack to a plan: stages fused, tasks cut, costs stated."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from runner.cluster.kinds import expected_workers
from runner.errors import ConfigError, PlanError
from runner.model import Stack
from runner.planning.chunking import WINDOW_BYTES, array_chunks, balanced_tasks, cut, task_chunks
from runner.planning.cost import cost_of
from runner.planning.memory import PROCESS_BYTES, large_tiles, raster_dtype, result_bytes, task_bytes, waiting_bytes
from runner.planning.memory_advice import refuse_too_large
from runner.planning.outside import pixels_in_area
from runner.planning.reading import Reading, make_reading
from runner.planning.records import Chunks, Pass, Plan, StagePlan, Task, Workers
from runner.planning.weights import stage_weights
from runner.planning.whole import refuse_parted_values
from runner.reduce.statistics import statistic
from runner.settings import ChunkSettings, ClusterSettings, EngineName, JobSettings, MaskSettings, Over
from runner.source.stores import Stores


def make_plan(job: JobSettings, stack: Stack, skipped: int = 0, stores: Stores | None = None) -> Plan:
    """Resolve the stages against the stack, fuse those that can be, cut tasks and state what they cost.

    The scenes are read from `stores`, or from stores of the plan's own. `skipped` scenes cannot be read; values that
    are missing without them do not refuse the job. Raises ConfigError for chunks that divide what a statistic needs
    whole, and PlanError for a min_count or weights that are impossible, or for a job that does not fit the workers'
    memory.
    """
    refuse_parted_values(job)
    refuse_unfit_masks(job, stack)
    _refuse_high_counts(job, stack, skipped)
    block_engine = job.engine is EngineName.block
    groups = _fused(job) if block_engine else [[name] for name in job.stages]
    reading = make_reading(job, stack, stores)
    if block_engine:
        _refuse_lazy_statistics(job)
    stages = plan_stages(job, stack)
    plan_pass = _plan_tasks if block_engine else _plan_arrays
    passes = [plan_pass(job, stack, reading, tuple(stages[name] for name in names)) for names in groups]
    return Plan(tuple(passes), reading)


def _fused(job: JobSettings) -> list[list[str]]:
    """The names of the stages of each pass: stages with equal cluster and chunks are read together."""
    if job.fuse is False:
        return [[name] for name in job.stages]

    def way(name: str) -> tuple[ClusterSettings, ChunkSettings, bool]:
        stage = job.stages[name]
        whole_scenes = stage.over is Over.space and any(statistic(name).ordered for name in stage.statistics)
        return stage.cluster, stage.chunks or job.chunks, whole_scenes

    alike: dict[str, list[str]] = {}
    for name in job.stages:
        first = next(candidate for candidate in job.stages if way(candidate) == way(name))
        alike.setdefault(first, []).append(name)
    groups = [*alike.values()]
    if job.fuse is True and len(groups) > 1:
        raise ConfigError(
            f"fuse=true: {', '.join(groups[0])} and {', '.join(groups[1])} differ in cluster, chunks or the need of "
            "whole scenes, so they cannot be one pass; make them equal, or leave fuse=auto"
        )
    return groups


def plan_stages(job: JobSettings, stack: Stack) -> dict[str, StagePlan]:
    """Every stage of a job, by its name. Raises PlanError for weights that are impossible."""
    return {
        name: StagePlan(
            name, stage.over, tuple(stage.statistics), stage.min_count, stage_weights(name, stage, stack.grid)
        )
        for name, stage in job.stages.items()
    }


def _refuse_high_counts(job: JobSettings, stack: Stack, skipped: int) -> None:
    for name, stage in job.stages.items():
        over_time = stage.over is Over.time
        most, unit = (
            (len(stack.scenes) + skipped, "scenes") if over_time else (pixels_in_area(stack), "pixels in a scene")
        )
        if stage.min_count > most:
            raise PlanError(
                f"stages.{name}.min_count={stage.min_count}: there are {most} {unit}, so every value would be missing; "
                f"wanted at most {most}"
            )


def resolve_workers(cluster: ClusterSettings) -> Workers:
    """The workers that a cluster will have. A running scheduler is asked. Raises ClusterError."""
    return Workers(*expected_workers(cluster))


def _plan_arrays(job: JobSettings, stack: Stack, reading: Reading, stages: tuple[StagePlan, ...]) -> Pass:
    stage = job.stages[stages[0].name]
    workers, rule = resolve_workers(stage.cluster), reading.rule

    def least_bytes(settings: ChunkSettings, of: Workers) -> int:
        """One chunk for each thread; how many more a worker holds, dask decides."""
        return PROCESS_BYTES + of.threads * prod(array_chunks(settings, stack, rule)) * rule.pixels.dtype.itemsize

    refuse_too_large(job, stack, stages, workers, least_bytes)
    chunks = array_chunks(stage.chunks or job.chunks, stack, rule)
    return Pass(
        stages=stages,
        engine=job.engine,
        cluster=stage.cluster,
        workers=workers,
        chunks=chunks,
        tasks=cut(stack, chunks),
        reading=reading,
        raster=raster_dtype(job.output.raster_dtype, stack.dtype),
        cost=cost_of(stack, reading, chunks, None),
        worker_bytes=None,
    )


def _plan_tasks(job: JobSettings, stack: Stack, reading: Reading, stages: tuple[StagePlan, ...]) -> Pass:
    first = job.stages[stages[0].name]
    sizing = _Sizing(job, stack, reading, stages)
    workers = resolve_workers(first.cluster)
    worker_bytes = refuse_too_large(job, stack, stages, workers, sizing.worker_bytes)
    chunks, tasks = sizing.cut(first.chunks or job.chunks, workers)
    return Pass(
        stages=stages,
        engine=job.engine,
        cluster=first.cluster,
        workers=workers,
        chunks=chunks,
        tasks=tasks,
        reading=reading,
        raster=raster_dtype(job.output.raster_dtype, stack.dtype),
        cost=cost_of(stack, reading, chunks, tasks),
        worker_bytes=worker_bytes,
    )


@dataclass(frozen=True)
class _Sizing:
    """The tasks of a pass for given chunks and workers, and the memory they take."""

    job: JobSettings
    stack: Stack
    reading: Reading
    stages: tuple[StagePlan, ...]

    def cut(self, settings: ChunkSettings, workers: Workers) -> tuple[Chunks, tuple[Task, ...]]:
        """The size of a task, and the tasks."""
        chunks = task_chunks(settings, self.stack, self.reading.rule, self.stages, self._room(workers))
        if settings.time == "auto" and not any(stage.ordered for stage in self.stages):
            return chunks, balanced_tasks(self.stack, chunks, workers)
        return chunks, cut(self.stack, chunks)

    def worker_bytes(self, settings: ChunkSettings, workers: Workers) -> int:
        """The most that a worker process holds."""
        chunks, tasks = self.cut(settings, workers)
        held = self._process_bytes + workers.threads * self._task_bytes(chunks)
        if self._in_process:
            held += waiting_bytes(self.stages, self.stack, self.reading.rule, tasks, workers)
        return held

    def _task_bytes(self, chunks: Chunks) -> int:
        return task_bytes(self.stages, self.stack, self.reading, chunks, by_gdal=self._by_gdal)

    @cached_property
    def _by_gdal(self) -> bool:
        return any(map(self.reading.by_gdal, self.stack.scenes))

    @property
    def _in_process(self) -> bool:
        return self.job.stages[self.stages[0].name].cluster.kind.in_process

    @property
    def _process_bytes(self) -> int:
        return PROCESS_BYTES + (result_bytes(self.job, self.stack) if self._in_process else 0)

    def _room(self, workers: Workers) -> int:
        """Bytes of accumulators that a task may hold.

        All there are for tiles that are large or do not lie alike, so that few of them are decoded twice.
        """
        plain = not large_tiles(self.stack) and len(self.stack.tile_phases) == 1
        if plain or workers.memory_bytes is None:
            return WINDOW_BYTES
        one_pixel = self._task_bytes(Chunks(len(self.stack.scenes), 1, 1))
        spare = (workers.memory_bytes - self._process_bytes) // workers.threads - one_pixel
        return max(WINDOW_BYTES, spare // 2)  # the other half for partials that wait to be combined


def refuse_unfit_masks(job: JobSettings, stack: Stack) -> None:
    """Raise PlanError for masks that the settings do not fit: their band, their type, their bits and values."""
    for mask in stack.masks:
        bands, kind = mask.header.bands, np.dtype(mask.header.dtype)
        if not 1 <= job.mask.band <= bands:
            problem = f"mask.band={job.mask.band}: masks have {bands} band{'s' * (bands != 1)}"
        elif kind.kind not in "iu":
            problem = f"masks are of type {kind}, wanted integers"
        elif job.mask.bits and max(job.mask.bits) >= 8 * kind.itemsize:
            problem = f"mask.bits={job.mask.bits}: masks have {8 * kind.itemsize} bits, the lowest is 0"
        elif beyond := _values_beyond(job.mask, kind):
            problem = f"{beyond}: masks have values from {np.iinfo(kind).min} to {np.iinfo(kind).max}"
        else:
            continue
        raise PlanError(f"{problem}, such as {mask.href}")


def _values_beyond(mask: MaskSettings, kind: np.dtype[Any]) -> str | None:
    """The setting that wants values which no mask of this type has; None if there is none."""
    for name, values in (("values", mask.values), ("keep", mask.keep)):
        if values and not np.iinfo(kind).min <= min(values) <= max(values) <= np.iinfo(kind).max:
            return f"mask.{name}={values}"
    return None


def _refuse_lazy_statistics(job: JobSettings) -> None:
    for name, stage in job.stages.items():
        for reduction in map(statistic, stage.statistics):
            if reduction.finish is None and reduction.of_values is None:
                raise PlanError(f"stages.{name}: {reduction.name} is a function of DataArrays; set engine=xarray")
