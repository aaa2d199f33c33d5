"""How a stack is cut into blocks: whole file blocks, shared out so that all threads end together."""

from heapq import heapreplace

from runner.model import Stack
from runner.plan.masking import PixelRule
from runner.plan.memory import bytes_per_pixel, limb_bytes
from runner.plan.records import Block, Chunks, StagePlan, Workers
from runner.read.header import Window
from runner.settings import ChunkSettings, Over

_XARRAY_CHUNK_BYTES = 64 * 2**20  # of decoded pixels; a few fit any worker, and one outweighs dask's 1 ms a task
STRIP_ROWS = 512  # rows that strips of a few rows are read by
_IMBALANCE = 1.03  # how much longer the busiest thread may work than the average, before scenes are shared out
_MOST_PARTS = 16
_ORDERED_BYTES = 128 * 2**20  # of pixels that a task holds to order them
WINDOW_BYTES = 128 * 2**20  # of accumulators that a task holds, unless blocks are large


def array_chunks(settings: ChunkSettings, stack: Stack, rule: PixelRule) -> Chunks:
    """Chunks of the size that suits dask, where the setting leaves it open."""
    height, width = stack.grid.height, stack.grid.width
    block_y, block_x = stack.scenes[0].header.block_shape
    x = resolve(settings.x, width, block_x, width, snap=settings.snap)
    row_bytes = block_y * x * rule.pixels.dtype.itemsize
    auto_y = block_y * max(1, _XARRAY_CHUNK_BYTES // row_bytes)
    y = resolve(settings.y, height, block_y, auto_y, snap=settings.snap)
    return Chunks(resolve(settings.time, len(stack.scenes), 1, 1, snap=False), y, x)


def resolve(setting: object, size: int, block: int, auto: int, *, snap: bool) -> int:
    """One axis in numbers: `all` of it, the file's `block`, what suits (`auto`), or a number; snapped to blocks."""
    chunk = {"auto": auto, "all": size, "block": block}.get(str(setting)) or int(str(setting))
    if snap:
        chunk = -(-chunk // block) * block
    return min(chunk, size)


def holds_all_scenes(stages: tuple[StagePlan, ...]) -> bool:
    """Whether a task must have all scenes of its window, to order their values."""
    return any(stage.ordered and stage.over is Over.time for stage in stages)


def block_chunks(
    settings: ChunkSettings, stack: Stack, rule: PixelRule, stages: tuple[StagePlan, ...], room: int = WINDOW_BYTES
) -> Chunks:
    """Rows of file blocks, as wide as accumulators of `room` bytes; what must be whole for an ordered statistic is."""
    scenes, height, width = len(stack.scenes), stack.grid.height, stack.grid.width
    if any(stage.ordered and stage.over is Over.space for stage in stages):
        return Chunks(1, height, width)
    auto_y, auto_x = auto_window(stack, rule, stages, room)
    block_y, block_x = stack.scenes[0].header.block_shape
    y = resolve(settings.y, height, block_y, auto_y, snap=settings.snap and settings.y != "auto")
    x = resolve(settings.x, width, block_x, auto_x, snap=settings.snap and settings.x != "auto")
    if holds_all_scenes(stages):
        return Chunks(scenes, y, x)
    return Chunks(resolve(settings.time, scenes, 1, scenes, snap=False), y, x)


def auto_window(
    stack: Stack, rule: PixelRule, stages: tuple[StagePlan, ...], room: int = WINDOW_BYTES
) -> tuple[int, int]:
    """Whole rows of file blocks (some rows of strips); narrower, then lower, where a task would hold too much."""
    block_y, block_x = stack.scenes[0].header.block_shape
    y = block_y * max(1, STRIP_ROWS // block_y)
    x = -(-stack.grid.width // block_x) * block_x
    pixel_bytes, limbs = bytes_per_pixel(stages, stack, rule), limb_bytes(stages, stack, rule)
    budget = max(_ORDERED_BYTES, room) if holds_all_scenes(stages) else room
    fitting = budget // ((pixel_bytes + limbs) * y * block_x) * block_x
    x = min(x, max(block_x, fitting))
    # For limbs, of which there may be none, no block is decoded twice.
    while y > 1 and (pixel_bytes + limbs * (y > block_y)) * y * x > budget:
        y = -(-y // 2)
    return y, x


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


def balanced_blocks(stack: Stack, chunks: Chunks, workers: Workers) -> tuple[Block, ...]:
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
