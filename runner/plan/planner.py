"""From a job and its stack to a plan: stages fused where they can be, blocks cut, costs stated."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from dask.system import CPU_COUNT
from dask.utils import parse_bytes

from runner.cluster.workers import worker_memory
from runner.errors import ConfigError, PlanError
from runner.model import Stack
from runner.plan.chunking import WINDOW_BYTES, array_chunks, balanced_blocks, block_chunks, cut
from runner.plan.masking import PixelRule, make_rule
from runner.plan.memory import PROCESS_BYTES, block_bytes, large_blocks, result_bytes, task_bytes, waiting_bytes
from runner.plan.memory_advice import refuse_too_large
from runner.plan.readers import any_by_gdal
from runner.plan.records import Block, Chunks, Cost, Pass, Plan, StagePlan, Workers
from runner.plan.weights import stage_weights
from runner.plan.whole import refuse_parted_values
from runner.read.decode import fast_path_refusal
from runner.read.fast_reader import plan_spans
from runner.read.fetch import FetchOptions
from runner.read.header import Window
from runner.reduce.statistics import statistic
from runner.settings import (
    ChunkSettings,
    ClusterKind,
    ClusterSettings,
    EngineName,
    FetchSettings,
    JobSettings,
    Over,
    ReaderName,
)

_TOGETHER_BYTES = 128 * 2**20  # of blocks of several scenes, decoded together


def make_plan(job: JobSettings, stack: Stack, skipped: int = 0) -> Plan:
    """Resolve the stages against the stack, fuse those that can be, cut blocks and state what they cost.

    `skipped` scenes cannot be read; that values are missing without them is no reason to refuse the job. Raises
    ConfigError for chunks that part what a statistic needs whole, and PlanError for a band the scenes do not have, a
    min_count or weights that cannot be, or a job that cannot fit the workers' memory.
    """
    refuse_parted_values(job)
    bands = stack.scenes[0].header.bands
    if not 1 <= job.source.band <= bands:
        raise PlanError(
            f"source.band={job.source.band}: the scenes have {bands} band{'s' * (bands != 1)}, "
            f"such as {stack.scenes[0].href}"
        )
    _refuse_high_counts(job, stack, skipped)
    block_engine = job.engine is EngineName.block
    groups = _fused(job) if block_engine else [[name] for name in job.stages]
    plan_pass = _plan_blocks if block_engine else _plan_arrays
    rule = make_rule(job, stack)
    return Plan(tuple(plan_pass(job, stack, rule, names) for names in groups))


def _fused(job: JobSettings) -> list[list[str]]:
    """The names of the stages of each pass: those with equal cluster and chunks are read together."""
    if job.fuse is False:
        return [[name] for name in job.stages]

    def way(name: str) -> tuple[ClusterSettings, ChunkSettings, bool]:
        stage = job.stages[name]
        whole_scenes = stage.over is Over.space and any(statistic(one).ordered for one in stage.statistics)
        return stage.cluster, stage.chunks or job.chunks, whole_scenes

    alike: dict[str, list[str]] = {}
    for name in job.stages:
        first = next(other for other in job.stages if way(other) == way(name))
        alike.setdefault(first, []).append(name)
    groups = [*alike.values()]
    if job.fuse is True and len(groups) > 1:
        raise ConfigError(
            f"fuse=true: {', '.join(groups[0])} and {', '.join(groups[1])} differ in cluster, chunks or the need of "
            "whole scenes, so they cannot be one pass; make them equal, or leave fuse=auto"
        )
    return groups


def plan_stages(job: JobSettings, stack: Stack) -> dict[str, StagePlan]:
    """Every stage of a job, by its name. Raises PlanError for weights that cannot be."""
    return {
        name: StagePlan(
            name, stage.over, tuple(stage.statistics), stage.min_count, stage_weights(name, stage, stack.grid)
        )
        for name, stage in job.stages.items()
    }


def _refuse_high_counts(job: JobSettings, stack: Stack, skipped: int) -> None:
    for name, stage in job.stages.items():
        over_time = stage.over is Over.time
        most, what = (len(stack.scenes) + skipped, "scenes") if over_time else (stack.grid.pixels, "pixels in a scene")
        if stage.min_count > most:
            raise PlanError(
                f"stages.{name}.min_count={stage.min_count}: there are {most} {what}, so every value would be missing; "
                f"wanted at most {most}"
            )


def resolve_workers(cluster: ClusterSettings) -> Workers:
    """What a cluster will be. Of a running scheduler only what the settings say is known."""
    if cluster.kind is ClusterKind.sync:
        return Workers(1, 1, worker_memory(cluster, 1))
    if cluster.kind is ClusterKind.threads:
        return Workers(1, cluster.threads_per_worker or CPU_COUNT, worker_memory(cluster, 1))
    processes, threads = cluster.n_workers or CPU_COUNT, cluster.threads_per_worker or 1
    unknown = cluster.kind is ClusterKind.address and cluster.memory_limit in (None, "auto")
    return Workers(processes, threads, None if unknown else worker_memory(cluster, processes))


def _plan_arrays(job: JobSettings, stack: Stack, rule: PixelRule, names: list[str]) -> Pass:
    stage = job.stages[names[0]]
    every, workers = plan_stages(job, stack), resolve_workers(stage.cluster)
    stages = tuple(every[name] for name in names)

    def least_bytes(settings: ChunkSettings, of: Workers) -> int:
        """dask decides how many chunks a worker holds; one for each thread there must be."""
        return PROCESS_BYTES + of.threads * prod(array_chunks(settings, stack, rule)) * rule.pixels.dtype.itemsize

    refuse_too_large(job, stack, stages, workers, least_bytes)
    chunks = array_chunks(stage.chunks or job.chunks, stack, rule)
    return Pass(stages, stage.cluster, workers, chunks, cut(stack, chunks), _cost(stack, chunks, None), None)


def _plan_blocks(job: JobSettings, stack: Stack, rule: PixelRule, names: list[str]) -> Pass:
    first = job.stages[names[0]]
    _refuse_lazy_statistics(job, names)
    every = plan_stages(job, stack)
    sizing = _Sizing(job, stack, rule, tuple(every[name] for name in names), first.cluster)
    workers = resolve_workers(first.cluster)
    worker_bytes = refuse_too_large(job, stack, sizing.stages, workers, sizing.worker_bytes)
    chunks, blocks = sizing.cut(first.chunks or job.chunks, workers)
    cost = _cost(stack, chunks, _requests(job, stack, blocks, sizing.options))
    return Pass(sizing.stages, first.cluster, workers, chunks, blocks, cost, worker_bytes)


@dataclass(frozen=True)
class _Sizing:
    """How the blocks of a pass are cut, and the memory they take."""

    job: JobSettings
    stack: Stack
    rule: PixelRule
    stages: tuple[StagePlan, ...]
    cluster: ClusterSettings

    @cached_property
    def options(self) -> FetchOptions:
        """The reader's options."""
        return fetch_options(self.job.fetch, self.stack)

    def cut(self, settings: ChunkSettings, workers: Workers) -> tuple[Chunks, tuple[Block, ...]]:
        """The size of a task, and the blocks."""
        chunks = block_chunks(settings, self.stack, self.rule, self.stages, self._room(workers))
        if settings.time == "auto" and not any(stage.ordered for stage in self.stages):
            return chunks, balanced_blocks(self.stack, chunks, workers)
        return chunks, cut(self.stack, chunks)

    def worker_bytes(self, settings: ChunkSettings, workers: Workers) -> int:
        """The most that a worker process holds."""
        chunks, blocks = self.cut(settings, workers)
        waiting = waiting_bytes(self.stages, self.stack, self.rule, blocks, workers) if self._in_process else 0
        return self._process_bytes + workers.threads * self._task_bytes(chunks) + waiting

    def _task_bytes(self, chunks: Chunks) -> int:
        return task_bytes(self.stages, self.stack, self.rule, chunks, self.options, by_gdal=self._by_gdal)

    @cached_property
    def _by_gdal(self) -> bool:
        return any_by_gdal(self.job, self.stack)

    @property
    def _in_process(self) -> bool:
        return self.cluster.kind in (ClusterKind.sync, ClusterKind.threads)

    @property
    def _process_bytes(self) -> int:
        return PROCESS_BYTES + (result_bytes(self.job, self.stack) if self._in_process else 0)

    def _room(self, workers: Workers) -> int:
        """The bytes of accumulators that a task may hold; where blocks are large all there are, to decode few twice."""
        if not large_blocks(self.stack) or workers.memory_bytes is None:
            return WINDOW_BYTES
        one_pixel = self._task_bytes(Chunks(len(self.stack.scenes), 1, 1))
        spare = (workers.memory_bytes - self._process_bytes) // workers.threads - one_pixel
        return max(WINDOW_BYTES, spare // 2)  # the other half for what waits to be combined


def _refuse_lazy_statistics(job: JobSettings, names: list[str]) -> None:
    for name in names:
        for found in map(statistic, job.stages[name].statistics):
            if found.finish is None and found.of_values is None:
                raise PlanError(f"stages.{name}: {found.name} is a function of DataArrays; set engine=xarray")


def fetch_options(settings: FetchSettings, stack: Stack | None = None) -> FetchOptions:
    """The reader's options, from the settings; of large blocks fewer are decoded together."""
    options = FetchOptions()
    together = _TOGETHER_BYTES // block_bytes(stack) if stack else options.scenes_together
    return replace(
        options,
        scenes_together=max(1, min(options.scenes_together, together)),
        in_flight=settings.in_flight,
        ahead_bytes=int(parse_bytes(settings.ahead)),
        attempts=settings.attempts,
        timeout_seconds=settings.timeout,
    )


def _requests(job: JobSettings, stack: Stack, blocks: tuple[Block, ...], options: FetchOptions) -> int | None:
    """Ranges to be fetched, counted on the first scene."""
    header = stack.scenes[0].header
    if job.reader is ReaderName.gdal or fast_path_refusal(header, job.source.band):
        return None
    each: dict[Window, int] = {}
    for block in blocks:
        if block.window not in each:
            each[block.window] = len(plan_spans(header.layout, block.window, job.source.band, options))
    return sum(each[block.window] * (block.stop - block.start) for block in blocks)


def _cost(stack: Stack, chunks: Chunks, requests: int | None) -> Cost:
    block_y, block_x = stack.scenes[0].header.block_shape
    over_read = _times_read(stack.grid.height, chunks.y, block_y) * _times_read(stack.grid.width, chunks.x, block_x)
    stored = sum(int(scene.header.layout.byte_counts.sum()) for scene in stack.scenes)
    decoded = len(stack.scenes) * stack.grid.pixels * stack.dtype.itemsize
    return Cost(requests, round(stored * over_read), round(decoded * over_read), over_read)


def _times_read(size: int, chunk: int, block: int) -> float:
    """How often the blocks of an axis are decoded: 1 where chunks are whole blocks, more where they cut them."""
    touched = sum(-(-min(start + chunk, size) // block) - start // block for start in range(0, size, chunk))
    return touched / -(-size // block)
