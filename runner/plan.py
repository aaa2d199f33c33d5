"""What a run will read, in which blocks and how much memory, known before any cluster starts."""

from dataclasses import dataclass, replace
from heapq import heapreplace
from itertools import groupby
from typing import NamedTuple

import numpy as np
from dask.system import CPU_COUNT
from dask.utils import parse_bytes

from runner.cluster import worker_memory
from runner.errors import ConfigError, PlanError
from runner.model import Stack
from runner.read.cog import plan_spans
from runner.read.decode import fast_path_refusal
from runner.read.fetch import FetchOptions
from runner.read.header import Window
from runner.reduce.statistics import needs, statistic
from runner.settings import (
    ChunkSettings,
    ClusterKind,
    ClusterSettings,
    EngineName,
    FetchSettings,
    JobSettings,
    Over,
    RasterDtype,
    ReaderName,
)

_XARRAY_CHUNK_BYTES = 64 * 2**20  # of decoded pixels; a few fit any worker, and one outweighs dask's 1 ms a task
_STRIP_ROWS = 512  # rows that strips of a few rows are read by
_IMBALANCE = 1.03  # how much longer the busiest thread may work than the average, before scenes are shared out
_MOST_PARTS = 16
_ORDERED_BYTES = 128 * 2**20  # of pixels that a task holds to order them
_WINDOW_BYTES = 128 * 2**20  # of accumulators that a task holds
_PROCESS_BYTES = 330 * 2**20  # Python with numba, GDAL and pyarrow loaded (measured: action=run on one small scene)
_RESULT_BYTES = 3  # the rasters of a run lie in memory as they are, and twice more while GDAL writes the largest


class Chunks(NamedTuple):
    """The size of a task: scenes by pixels by pixels."""

    time: int
    y: int
    x: int


class Block(NamedTuple):
    """A window of the grid and a run of scenes, `start` to `stop`: the unit of work."""

    window: Window
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Workers:
    """What a cluster offers, known before it starts: processes, threads in each, bytes for each (None: unknown)."""

    processes: int
    threads: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage, resolved against the stack."""

    name: str
    over: Over
    statistics: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Whether a statistic needs all values of a cell at once."""
        return any(statistic(name).ordered for name in self.statistics)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one pass reads, retries left out."""

    requests: int | None  # None where GDAL decides
    stored_bytes: int  # of the blocks in the files, counted each time they are read
    decoded_bytes: int
    over_read: float  # blocks decoded, as a multiple of the blocks there are


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of the stack by one cluster, for one stage or for several that are fused."""

    stages: tuple[StagePlan, ...]
    cluster: ClusterSettings
    workers: Workers
    chunks: Chunks
    blocks: tuple[Block, ...]
    cost: Cost
    worker_bytes: int | None  # the most that a worker process will hold; None where dask decides

    @property
    def name(self) -> str:
        """The names of its stages."""
        return "+".join(stage.name for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Plan:
    """All passes of a run, in the order they run."""

    passes: tuple[Pass, ...]

    @property
    def stages(self) -> tuple[StagePlan, ...]:
        """All stages, in the order they run."""
        return tuple(stage for one in self.passes for stage in one.stages)


def make_plan(job: JobSettings, stack: Stack) -> Plan:
    """Resolve the stages against the stack, fuse those that can be, cut blocks and state what they cost.

    Raises PlanError for a band the scenes do not have, or a job that cannot fit the workers' memory.
    """
    bands = stack.scenes[0].header.bands
    if not 1 <= job.source.band <= bands:
        raise PlanError(
            f"source.band={job.source.band}: the scenes have {bands} band(s), such as {stack.scenes[0].href}"
        )
    block_engine = job.engine is EngineName.block
    groups = _fused(job) if block_engine else [[name] for name in job.stages]
    plan_pass = _plan_blocks if block_engine else _plan_arrays
    return Plan(tuple(plan_pass(job, stack, names) for names in groups))


def _fused(job: JobSettings) -> list[list[str]]:
    """The names of the stages of each pass: neighbours with equal cluster and chunks are read together."""
    if job.fuse is False:
        return [[name] for name in job.stages]

    def ways(name: str) -> tuple[ClusterSettings, ChunkSettings, bool]:
        stage = job.stages[name]
        whole_scenes = stage.over is Over.space and any(statistic(one).ordered for one in stage.statistics)
        return stage.cluster, stage.chunks or job.chunks, whole_scenes

    groups = [list(names) for _, names in groupby(job.stages, key=ways)]
    if job.fuse is True and len(groups) > 1:
        raise ConfigError(
            f"fuse=true: {', '.join(groups[0])} and {', '.join(groups[1])} differ in cluster, chunks or the need of "
            "whole scenes, so they cannot be one pass; make them equal, or leave fuse=auto"
        )
    return groups


def _stage_plans(job: JobSettings, names: list[str]) -> tuple[StagePlan, ...]:
    return tuple(StagePlan(name, job.stages[name].over, tuple(job.stages[name].statistics)) for name in names)


def resolve_workers(cluster: ClusterSettings) -> Workers:
    """What a cluster will be. Of a running scheduler only what the settings say is known."""
    if cluster.kind is ClusterKind.sync:
        return Workers(1, 1, worker_memory(cluster, 1))
    if cluster.kind is ClusterKind.threads:
        return Workers(1, cluster.threads_per_worker or CPU_COUNT, worker_memory(cluster, 1))
    processes, threads = cluster.n_workers or CPU_COUNT, cluster.threads_per_worker or 1
    unknown = cluster.kind is ClusterKind.address and cluster.memory_limit in (None, "auto")
    return Workers(processes, threads, None if unknown else worker_memory(cluster, processes))


# --- the xarray engine: dask cuts and schedules -------------------------------------------------------------------


def _plan_arrays(job: JobSettings, stack: Stack, names: list[str]) -> Pass:
    stage = job.stages[names[0]]
    chunks = _array_chunks(stage.chunks or job.chunks, stack)
    blocks = cut(stack, chunks)
    workers = resolve_workers(stage.cluster)
    return Pass(_stage_plans(job, names), stage.cluster, workers, chunks, blocks, _cost(stack, chunks, None), None)


def _array_chunks(settings: ChunkSettings, stack: Stack) -> Chunks:
    """Chunks of the size that suits dask, where the setting leaves it open."""
    height, width = stack.grid.height, stack.grid.width
    block_y, block_x = stack.scenes[0].header.block_shape
    x = _resolve(settings.x, width, block_x, width, snap=settings.snap)
    row_bytes = block_y * x * stack.dtype.itemsize
    auto_y = block_y * max(1, _XARRAY_CHUNK_BYTES // row_bytes)
    y = _resolve(settings.y, height, block_y, auto_y, snap=settings.snap)
    return Chunks(_resolve(settings.time, len(stack.scenes), 1, 1, snap=False), y, x)


def _resolve(setting: object, size: int, block: int, auto: int, *, snap: bool) -> int:
    """One axis in numbers: `all` of it, the file's `block`, what suits (`auto`), or a number; snapped to blocks."""
    chunk = {"auto": auto, "all": size, "block": block}.get(str(setting)) or int(str(setting))
    if snap:
        chunk = -(-chunk // block) * block
    return min(chunk, size)


# --- the block engine ---------------------------------------------------------------------------------------------


def _plan_blocks(job: JobSettings, stack: Stack, names: list[str]) -> Pass:
    first = job.stages[names[0]]
    _refuse_lazy_statistics(job, names)
    stages, workers = _stage_plans(job, names), resolve_workers(first.cluster)
    settings = first.chunks or job.chunks
    chunks = _block_chunks(settings, stack, stages)
    if settings.time == "auto" and not any(stage.ordered for stage in stages):
        blocks = _balanced_blocks(stack, chunks, workers)
    else:
        blocks = cut(stack, chunks)
    options = fetch_options(job.fetch)
    cost = _cost(stack, chunks, _requests(job, stack, blocks, options))
    worker_bytes = _PROCESS_BYTES + workers.threads * _task_bytes(stages, stack, chunks, options)
    if first.cluster.kind in (ClusterKind.sync, ClusterKind.threads):
        worker_bytes += _result_bytes(job, stack) + _waiting_bytes(stages, stack, blocks, workers)
    _refuse_too_large(stages, stack, workers, chunks, worker_bytes)
    return Pass(stages, first.cluster, workers, chunks, blocks, cost, worker_bytes)


def _refuse_lazy_statistics(job: JobSettings, names: list[str]) -> None:
    for name in names:
        for found in map(statistic, job.stages[name].statistics):
            if found.finish is None and found.of_values is None:
                raise PlanError(f"stages.{name}: {found.name} is a function of DataArrays; set engine=xarray")


def fetch_options(settings: FetchSettings) -> FetchOptions:
    """The reader's options, from the settings."""
    return replace(
        FetchOptions(),
        in_flight=settings.in_flight,
        ahead_bytes=int(parse_bytes(settings.ahead)),
        attempts=settings.attempts,
        timeout_seconds=settings.timeout,
    )


def _holds_all_scenes(stages: tuple[StagePlan, ...]) -> bool:
    return any(stage.ordered and stage.over is Over.time for stage in stages)


def _block_chunks(settings: ChunkSettings, stack: Stack, stages: tuple[StagePlan, ...]) -> Chunks:
    """Rows of file blocks, as wide as the accumulators may be; what must be whole for an ordered statistic is."""
    scenes, height, width = len(stack.scenes), stack.grid.height, stack.grid.width
    if any(stage.ordered and stage.over is Over.space for stage in stages):
        _require_whole(settings, stages, ("y", "x"), "over space")
        return Chunks(1, height, width)
    auto_y, auto_x = _auto_window(stack, stages)
    block_y, block_x = stack.scenes[0].header.block_shape
    y = _resolve(settings.y, height, block_y, auto_y, snap=settings.snap and settings.y != "auto")
    x = _resolve(settings.x, width, block_x, auto_x, snap=settings.snap and settings.x != "auto")
    if _holds_all_scenes(stages):
        _require_whole(settings, stages, ("time",), "over time")
        return Chunks(scenes, y, x)
    return Chunks(_resolve(settings.time, scenes, 1, scenes, snap=False), y, x)


def _require_whole(settings: ChunkSettings, stages: tuple[StagePlan, ...], axes: tuple[str, ...], over: str) -> None:
    for axis in axes:
        if getattr(settings, axis) not in ("auto", "all"):
            names = [name for stage in stages for name in stage.statistics if statistic(name).ordered]
            raise PlanError(
                f"chunks.{axis}={getattr(settings, axis)}: {', '.join(names)} {over} needs all values at once; "
                f"set chunks.{axis}=all or auto"
            )


def _auto_window(stack: Stack, stages: tuple[StagePlan, ...]) -> tuple[int, int]:
    """Whole rows of file blocks (some rows of strips); narrower, then lower, where a task would hold too much."""
    block_y, block_x = stack.scenes[0].header.block_shape
    y = block_y * max(1, _STRIP_ROWS // block_y)
    x = -(-stack.grid.width // block_x) * block_x
    pixel_bytes = _bytes_per_pixel(stages, stack)
    budget = _ORDERED_BYTES if _holds_all_scenes(stages) else _WINDOW_BYTES
    fitting = budget // (pixel_bytes * y * block_x) * block_x
    x = min(x, max(block_x, fitting))
    while y > 1 and pixel_bytes * y * x > budget:
        y = -(-y // 2)
    return y, x


def _bytes_per_pixel(stages: tuple[StagePlan, ...], stack: Stack) -> int:
    """What a pixel of a window takes in a task: counts, two layers a sum, extremes, and what the partial adds."""
    held = 0
    for stage in stages:
        if stage.over is not Over.time:
            continue
        summed = needs([name for name in stage.statistics if not statistic(name).ordered])
        held += 4 + 16 + 16 * (summed.sums or summed.squares) + 16 * summed.squares
        held += 2 * stack.dtype.itemsize * summed.extremes
        held += stage.ordered * (len(stack.scenes) * stack.dtype.itemsize + 8 * len(stage.statistics))
    return max(held, 1)


def _task_bytes(stages: tuple[StagePlan, ...], stack: Stack, chunks: Chunks, options: FetchOptions) -> int:
    """The most that a thread holds: accumulators of its window, ranges ahead of their use, a block being decoded."""
    window = _bytes_per_pixel(stages, stack) * chunks.y * chunks.x
    if any(stage.ordered and stage.over is Over.space for stage in stages):
        window += 4 * stack.grid.pixels * stack.dtype.itemsize  # the scene, its valid pixels, and them partitioned
    header = stack.scenes[0].header
    block_bytes = header.block_shape[0] * header.block_shape[1] * header.bands * stack.dtype.itemsize
    decoded = 2 * min(options.scenes_together, len(stack.scenes)) * block_bytes
    counts = header.layout.byte_counts
    row_bytes = int(max(scene.header.layout.byte_counts.sum(axis=-1).max() for scene in stack.scenes[:100]))
    largest = min(options.max_range_bytes, max(row_bytes, int(counts.max())))
    ahead = min(options.ahead_bytes, options.in_flight * largest) + (options.scenes_together + 1) * largest
    return int(window + ahead + decoded)


def _result_bytes(job: JobSettings, stack: Stack) -> int:
    """The rasters a run holds until they are written."""
    rasters = sum(len(stage.statistics) for stage in job.stages.values() if stage.over is Over.time)
    item = max(4, raster_dtype(job.output.raster_dtype, stack.dtype).itemsize)
    return stack.grid.pixels * item * (rasters + _RESULT_BYTES - 1) if rasters else 0


def raster_dtype(choice: RasterDtype, source: np.dtype) -> np.dtype:
    """The pixel type of a raster of floats: as wide as the source's pixels need."""
    if choice is not RasterDtype.auto:
        return np.dtype(str(choice.value))
    return np.dtype(np.float32 if source.itemsize <= 4 and source.name not in ("int32", "uint32") else np.float64)


def _waiting_bytes(stages: tuple[StagePlan, ...], stack: Stack, blocks: tuple[Block, ...], workers: Workers) -> int:
    """Partials of windows whose other scenes have not come yet: of each window under way, one."""
    largest = max(block.window.height * block.window.width for block in blocks)
    parted = {block.window for block in blocks if block.stop - block.start < len(stack.scenes)}
    return _bytes_per_pixel(stages, stack) * largest * min(workers.processes * workers.threads, len(parted))


def _refuse_too_large(
    stages: tuple[StagePlan, ...], stack: Stack, workers: Workers, chunks: Chunks, needed: int
) -> None:
    if workers.memory_bytes is None or needed <= workers.memory_bytes:
        return
    raise PlanError(
        f"{'+'.join(stage.name for stage in stages)}: a worker of {workers.threads} threads would need "
        f"{needed / 2**20:,.0f} MiB, it may have {workers.memory_bytes / 2**20:,.0f} MiB; "
        f"{_remedy(stages, stack, workers, chunks)}"
    )


def _remedy(stages: tuple[StagePlan, ...], stack: Stack, workers: Workers, chunks: Chunks) -> str:
    """The setting that saves most."""
    block_y, block_x = stack.scenes[0].header.block_shape
    whole_scenes = any(stage.ordered and stage.over is Over.space for stage in stages)
    if not whole_scenes and (chunks.x > block_x or chunks.y > block_y):
        return f"set chunks.y={min(chunks.y, block_y)} chunks.x={max(block_x, chunks.x // 4 // block_x * block_x)}"
    cluster = f"stages.{stages[0].name}.cluster"
    if workers.threads > 1:
        return f"set {cluster}.threads_per_worker=1"
    return f"raise {cluster}.memory_limit, or use fewer workers on this machine"


def _balanced_blocks(stack: Stack, chunks: Chunks, workers: Workers) -> tuple[Block, ...]:
    """Blocks of all scenes, but for the last windows, whose scenes are shared out so that all threads end together.

    As few windows are parted as will do, since their partials must be combined.
    """
    scenes, threads = len(stack.scenes), workers.processes * workers.threads
    windows = [block.window for block in cut(stack, chunks._replace(time=scenes))]

    def parted(last: int, parts: int) -> tuple[Block, ...]:
        step = -(-scenes // parts)
        whole = [Block(window, 0, scenes) for window in windows[: len(windows) - last]]
        rest = windows[len(windows) - last :]
        return (
            *whole,
            *(Block(window, at, min(at + step, scenes)) for window in rest for at in range(0, scenes, step)),
        )

    windows_whole = parted(0, 1)
    most = min(_MOST_PARTS, scenes)
    ways = [(last, parts) for last in range(1, min(threads, len(windows)) + 1) for parts in range(2, most + 1)]
    best, least = windows_whole, _imbalance(windows_whole, threads)
    for last, parts in ways:
        if least <= _IMBALANCE:
            break
        blocks = parted(last, parts)
        if _imbalance(blocks, threads) < least:
            best, least = blocks, _imbalance(blocks, threads)
    return best


def _imbalance(blocks: tuple[Block, ...], threads: int) -> float:
    """How much longer the busiest thread works than the average, if each takes the next block when it is free."""
    free = [0] * threads
    for window, start, stop in blocks:
        heapreplace(free, free[0] + window.height * window.width * (stop - start))
    return max(free) * threads / sum(free)


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


# --- both ---------------------------------------------------------------------------------------------------------


def cut(stack: Stack, chunks: Chunks) -> tuple[Block, ...]:
    """The blocks of a stack: windows in rows, and for each of them all runs of scenes before the next."""
    height, width, scenes = stack.grid.height, stack.grid.width, len(stack.scenes)
    return tuple(
        Block(
            Window(row, column, min(chunks.y, height - row), min(chunks.x, width - column)),
            start,
            min(start + chunks.time, scenes),
        )
        for row in range(0, height, chunks.y)
        for column in range(0, width, chunks.x)
        for start in range(0, scenes, chunks.time)
    )


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
