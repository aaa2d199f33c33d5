"""How much memory a pass takes, by a stated model, and what to do where it is too much."""

import numpy as np

from runner.errors import PlanError
from runner.model import Stack
from runner.plan.records import Block, Chunks, StagePlan, Workers
from runner.read.fetch import FetchOptions
from runner.reduce.pixels import Pixels
from runner.reduce.statistics import needs, statistic
from runner.reduce.temporal import TemporalSums
from runner.settings import JobSettings, Over, RasterDtype

PROCESS_BYTES = 330 * 2**20  # Python with numba, GDAL and pyarrow loaded (measured: action=run on one small scene)
_COMBINING_BYTES = 16  # for each pixel: a layer and a count, while two partials of a window become one
_RESULT_BYTES = 3  # the rasters of a run lie in memory as they are, and twice more while GDAL writes the largest


def bytes_per_pixel(stages: tuple[StagePlan, ...], stack: Stack) -> int:
    """What a pixel of a window takes in a task: its accumulators, the values to be ordered, and combining."""
    held = 0
    for stage in stages:
        if stage.over is not Over.time:
            continue
        summed = needs([name for name in stage.statistics if not statistic(name).ordered])
        held += TemporalSums.bytes_per_pixel(Pixels(stack.dtype), summed) + _COMBINING_BYTES
        held += stage.ordered * (len(stack.scenes) * stack.dtype.itemsize + 8 * len(stage.statistics))
    return max(held, 1)


def task_bytes(stages: tuple[StagePlan, ...], stack: Stack, chunks: Chunks, options: FetchOptions) -> int:
    """The most that a thread holds: accumulators of its window, ranges ahead of their use, a block being decoded."""
    window = bytes_per_pixel(stages, stack) * chunks.y * chunks.x
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


def result_bytes(job: JobSettings, stack: Stack) -> int:
    """The rasters a run holds until they are written."""
    rasters = sum(len(stage.statistics) for stage in job.stages.values() if stage.over is Over.time)
    item = max(4, raster_dtype(job.output.raster_dtype, stack.dtype).itemsize)
    return stack.grid.pixels * item * (rasters + _RESULT_BYTES - 1) if rasters else 0


def raster_dtype(choice: RasterDtype, source: np.dtype) -> np.dtype:
    """The pixel type of a raster of floats: as wide as the source's pixels need."""
    if choice is not RasterDtype.auto:
        return np.dtype(str(choice.value))
    return np.dtype(np.float32 if source.itemsize <= 4 and source.name not in ("int32", "uint32") else np.float64)


def waiting_bytes(stages: tuple[StagePlan, ...], stack: Stack, blocks: tuple[Block, ...], workers: Workers) -> int:
    """Partials of windows whose other scenes have not come yet: of each window under way, one."""
    largest = max(block.window.height * block.window.width for block in blocks)
    parted = {block.window for block in blocks if block.stop - block.start < len(stack.scenes)}
    return bytes_per_pixel(stages, stack) * largest * min(workers.processes * workers.threads, len(parted))


def refuse_too_large(
    stages: tuple[StagePlan, ...], stack: Stack, workers: Workers, chunks: Chunks, needed: int
) -> None:
    """Raise PlanError, with the figures and the setting that helps, for a worker that needs more than it may have."""
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
