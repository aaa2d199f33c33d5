"""From a job and its stack to a plan: stages fused, tasks cut, costs stated."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from runner.cluster.kinds import expected_workers
from runner.errors import ConfigError, PlanError, printable
from runner.model import Stack
from runner.planning.cost import cost_of
from runner.planning.groups import group_scenes
from runner.planning.memory import raster_dtype
from runner.planning.memory_advice import refuse_too_large
from runner.planning.outside import pixels_in_area
from runner.planning.reading import make_reading
from runner.planning.records import Pass, Plan, StagePlan, Workers
from runner.planning.sizing import ArraySizing, TaskSizing
from runner.planning.weights import stage_weights
from runner.planning.whole import refuse_parted_values, takes_whole_scenes
from runner.planning.zones import refuse_unequal_weights, stage_zones
from runner.reduce.scene_times import FURTHEST, MOST_SCENES, milliseconds
from runner.reduce.statistics import needs, statistic
from runner.settings import ChunkSettings, ClusterSettings, EngineName, JobSettings, MaskSettings, Over
from runner.source.stores import Stores


def make_plan(job: JobSettings, stack: Stack, skipped: int = 0, stores: Stores | None = None, at_once: int = 1) -> Plan:
    """Resolve the stages against the stack, fuse those that can be, cut tasks and state what they cost.

    The scenes are read from `stores`, or from stores of the plan's own. `skipped` scenes cannot be read; values that
    are missing without them do not refuse the job. So many stacks of an archive compute `at_once`.

    Raises ConfigError for chunks that divide what a statistic needs whole, PlanError for a min_count, weights or groups
    that are impossible, or for a job that does not fit the workers' memory, and ClusterError if a running scheduler
    does not say what workers it has.
    """
    refuse_parted_values(job)
    refuse_unfit_masks(job, stack)
    _refuse_far_times(job, stack)
    block_engine = job.engine is EngineName.block
    groups = _fused(job) if block_engine else [[name] for name in job.stages]
    reading = make_reading(job, stack, stores)
    if block_engine:
        _refuse_lazy_statistics(job)
    stages = plan_stages(job, stack, stores)
    _refuse_high_counts(stages.values(), stack, skipped)
    every = tuple(stages.values())

    def plan_pass(names: list[str]) -> Pass:
        own = tuple(stages[name] for name in names)
        sizes = (
            TaskSizing(job, stack, reading, own, every, at_once) if block_engine else ArraySizing(job, stack, reading)
        )
        return _plan_pass(sizes, own)

    passes = [plan_pass(names) for names in groups]
    passes[0] = replace(passes[0], least_valid=job.source.min_valid_fraction)  # the others get the scenes it leaves
    return Plan(tuple(passes), reading)


def _fused(job: JobSettings) -> list[list[str]]:
    """The names of the stages of each pass: stages with equal cluster and chunks are read together."""
    if job.fuse is False:
        return [[name] for name in job.stages]

    def way(name: str) -> tuple[ClusterSettings, ChunkSettings, bool]:
        stage = job.stages[name]
        return stage.cluster, stage.chunks or job.chunks, takes_whole_scenes(stage)

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


def plan_stages(job: JobSettings, stack: Stack, stores: Stores | None = None) -> dict[str, StagePlan]:
    """Every stage of a job, by its name.

    Raises PlanError for weights or groups that are impossible, ConfigError for a file of zones that cannot be used.
    """
    zones = stage_zones(job, stack, stores)
    stages = {
        name: StagePlan(
            name,
            stage.over,
            tuple(stage.statistics),
            stage.min_count,
            stage_weights(name, stage, stack.grid),
            job.output.scale,
            zones if stage.over is Over.zones else None,
            group_scenes(f"stages.{name}.group_by", stage.grouped_by, stack.scenes) if stage.grouped_by else None,
        )
        for name, stage in job.stages.items()
    }
    refuse_unequal_weights(stages.values())
    return stages


def _refuse_high_counts(stages: Iterable[StagePlan], stack: Stack, skipped: int) -> None:
    for stage in stages:
        most, unit = len(stack.scenes) + skipped, "scenes"
        if stage.over.makes_table:
            most, unit = pixels_in_area(stack), "pixels in a scene"
        elif stage.groups:
            most, unit = max(stage.groups.sizes) + skipped, "scenes in the largest group"
        if stage.min_count > most:
            raise PlanError(
                f"stages.{stage.name}.min_count={stage.min_count}: there are {most} {unit}, so every value would be "
                f"missing; wanted at most {most}"
            )


def _refuse_far_times(job: JobSettings, stack: Stack) -> None:
    """Raise PlanError for times that do not add up exactly, where a statistic sums them."""
    stages = [name for name, stage in job.stages.items() if needs(stage.statistics).times]
    far = [scene for scene in (stack.scenes[0], stack.scenes[-1]) if abs(milliseconds(scene.time)) >= FURTHEST]
    if stages and (far or len(stack.scenes) > MOST_SCENES):
        got = f"scene {printable(far[0].name)} is of {far[0].time:%Y-%m-%d}" if far else f"{len(stack.scenes)} scenes"
        raise PlanError(
            f"stages.{stages[0]}: slopes add up the times of up to {MOST_SCENES} scenes, from 1722 to 2278, got {got}; "
            "set source.start and source.end, or leave out slopes"
        )


def _plan_pass(sizing: TaskSizing | ArraySizing, stages: tuple[StagePlan, ...]) -> Pass:
    job, stack, reading = sizing.job, sizing.stack, sizing.reading
    first = job.stages[stages[0].name]
    workers = Workers(*expected_workers(first.cluster))  # of a running scheduler, which is asked
    worker_bytes = refuse_too_large(job, stack, stages, workers, sizing.worker_bytes)
    chunks, tasks = sizing.cut(first.chunks or job.chunks, workers)
    by_dask = job.engine is EngineName.xarray  # which decides itself what it reads at once and holds
    return Pass(
        stages=stages,
        engine=job.engine,
        cluster=first.cluster,
        workers=workers,
        chunks=chunks,
        tasks=tasks,
        reading=reading,
        shape=(stack.grid.height, stack.grid.width),
        raster=raster_dtype(job.output.raster_dtype, stack.dtype),
        cost=cost_of(stack, reading, chunks, None if by_dask else tasks),
        worker_bytes=None if by_dask else worker_bytes,
        kept_scenes=job.output.kept_scenes if job.output.keep_partials and not by_dask else None,
        spool_bytes=sizing.spool_bytes(workers),
    )


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
            if not reduction.of_tasks:
                raise PlanError(f"stages.{name}: {reduction.name} is a function of DataArrays; set engine=xarray")
