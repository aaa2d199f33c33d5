"""Settings that make a pass fit the memory of its workers, each of them computed to fit."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from runner.base.humanize import plural
from runner.errors import PlanError
from runner.model import Stack
from runner.planning.chunking import STRIP_ROWS
from runner.planning.memory import large_tiles
from runner.planning.records import StagePlan, Workers
from runner.planning.whole import takes_whole_scenes
from runner.settings import ChunkSettings, JobSettings

REWRITE = "gdal_translate -of COG in.tif out.tif"

BytesOf = Callable[[ChunkSettings, Workers], int]  # what a worker needs with these


def refuse_too_large(
    job: JobSettings, stack: Stack, stages: tuple[StagePlan, ...], workers: Workers, bytes_of: BytesOf
) -> int:
    """The bytes that a worker needs for these stages of one pass.

    Raises PlanError, with the figures and settings that fit, if the worker may not have them.
    """
    settings = job.stages[stages[0].name].chunks or job.chunks
    needed = bytes_of(settings, workers)
    if workers.memory_bytes is None or needed <= workers.memory_bytes:
        return needed
    ways = _ways(job, stack, stages, workers)
    fitting = (overrides for overrides, chunks, of in ways if bytes_of(chunks, of) <= (of.memory_bytes or 0))
    limit = " ".join(f"{key}={_mebibytes(needed)}MiB" for key in _cluster_keys(stages, "memory_limit"))
    raise PlanError(
        f"{'+'.join(stage.name for stage in stages)}: a worker of {workers.threads} threads would need "
        f"{_mebibytes(needed):,} MiB, it may have {workers.memory_bytes // 2**20:,} MiB; "
        f"set {next(fitting, f'{limit}, if there is as much')}{_rewrite(stack)}{_fewer_groups(stages)}"
    )


def _rewrite(stack: Stack) -> str:
    if not large_tiles(stack):
        return ""
    tile_y, tile_x = stack.tile_shape
    return f", or rewrite the files, whose tiles of {tile_y} x {tile_x} are decoded whole: {REWRITE}"


def _fewer_groups(stages: tuple[StagePlan, ...]) -> str:
    """The stages whose groups take memory, each with its sums while a window is computed and its rasters at the end."""
    grouped = [
        f"stages.{stage.name}.group_by={','.join(stage.groups.by)} makes {plural(len(stage.groups.labels), 'group')}"
        for stage in stages
        if stage.groups
    ]
    return f", or group by another key, since {' and '.join(grouped)}" if grouped else ""


def _ways(
    job: JobSettings, stack: Stack, stages: tuple[StagePlan, ...], workers: Workers
) -> Iterator[tuple[str, ChunkSettings, Workers]]:
    """Overrides with the chunks and workers that they give, the cheapest first."""
    settings = job.stages[stages[0].name].chunks or job.chunks
    smaller = list(_smaller_chunks(job, stack, stages))
    for overrides, chunks in smaller:
        yield overrides, chunks, workers
    fewer = [threads for threads in (workers.threads // 2, 1) if 0 < threads < workers.threads]
    for overrides, chunks in [("", settings), *smaller[-1:]]:
        for threads in dict.fromkeys(fewer):
            set_threads = " ".join(f"{key}={threads}" for key in _cluster_keys(stages, "threads_per_worker"))
            yield f"{overrides} {set_threads}".strip(), chunks, replace(workers, threads=threads)
    if job.stages[stages[0].name].cluster.memory_limit in (None, "auto") and workers.memory_bytes:
        total = workers.memory_bytes * workers.processes
        for processes in range(workers.processes - 1, 0, -1):
            set_workers = " ".join(f"{key}={processes}" for key in _cluster_keys(stages, "n_workers"))
            yield set_workers, settings, replace(workers, processes=processes, memory_bytes=total // processes)


def _smaller_chunks(
    job: JobSettings, stack: Stack, stages: tuple[StagePlan, ...]
) -> Iterator[tuple[str, ChunkSettings]]:
    """A row of tiles, smaller and smaller, unless stages need whole scenes."""
    if any(takes_whole_scenes(job.stages[stage.name]) for stage in stages):
        return
    settings = job.stages[stages[0].name].chunks or job.chunks
    tile_y, tile_x = stack.tile_shape
    y, x = tile_y * max(1, STRIP_ROWS // tile_y), -(-stack.grid.width // tile_x) * tile_x
    while y:
        chunks = replace(settings, y=y, x=x)
        yield " ".join(_chunk_overrides(job, stages, y, x)), chunks
        y, x = (y, x // 2 // tile_x * tile_x) if x > tile_x else (y // 2 // tile_y * tile_y, x)


def _chunk_overrides(job: JobSettings, stages: tuple[StagePlan, ...], y: int, x: int) -> Iterator[str]:
    """Overrides that set the chunks of these stages: those of all stages, unless one of these needs whole scenes."""
    shared = [name for name, stage in job.stages.items() if not stage.chunks]
    own = [stage.name for stage in stages if job.stages[stage.name].chunks]
    if any(takes_whole_scenes(job.stages[name]) for name in shared):
        own = [stage.name for stage in stages]
        yield from (f"chunks@stages.{name}.chunks=auto" for name in own if name in shared)
    for key in [f"stages.{name}.chunks" for name in own] + ["chunks"] * (len(own) < len(stages)):
        yield from (f"{key}.y={y}", f"{key}.x={x}")


def _cluster_keys(stages: tuple[StagePlan, ...], key: str) -> list[str]:
    """The key of each stage, so that they stay one pass."""
    return [f"stages.{stage.name}.cluster.{key}" for stage in stages]


def _mebibytes(count: int) -> int:
    return -(-count // 2**20)
