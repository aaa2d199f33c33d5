"""Stacks divided into tasks: whole tiles, shared out so that all threads end together."""

from heapq import heapreplace
from typing import NamedTuple

from runner.model import Stack
from runner.planning.masking import PixelRule
from runner.planning.memory import bytes_per_pixel, limb_bytes
from runner.planning.records import Chunks, StagePlan, Task
from runner.read.header import Window
from runner.settings import ChunkSettings, Over

_XARRAY_CHUNK_BYTES = 64 * 2**20  # of decoded pixels; a few fit any worker, and one outweighs dask's 1 ms a task
STRIP_ROWS = 512  # rows that are read together where a file has strips of a few rows
_IMBALANCE = 1.03  # how much longer the busiest thread may work than the average, before scenes are shared out
_MOST_PARTS = 16
_SMALL_PIXELS = 2**20  # of a window, whose partial takes 20 to 44 bytes a pixel
_SECONDS_BYTES = 2**30  # of decoded pixels: seconds of a thread
_SCENES_OF_A_PART = 256, 2048  # at least, and at most, since each scene is a request too
_ORDERED_BYTES = 128 * 2**20  # of pixels that a task holds to order them
WINDOW_BYTES = 128 * 2**20  # of accumulators that a task holds, unless tiles are large


class Threads(NamedTuple):
    """Threads that share a stack, and the bytes of accumulators that a task of each may hold."""

    number: int
    room: int = WINDOW_BYTES


def array_chunks(settings: ChunkSettings, stack: Stack, rule: PixelRule) -> Chunks:
    """Chunks of a dask array. Where the setting leaves the size open, it suits dask."""
    height, width = stack.grid.height, stack.grid.width
    tile_y, tile_x = stack.tile_shape
    x = resolve(settings.x, width, tile_x, width, snap=settings.snap)
    row_bytes = tile_y * x * rule.pixels.dtype.itemsize
    auto_y = tile_y * max(1, _XARRAY_CHUNK_BYTES // row_bytes)
    y = resolve(settings.y, height, tile_y, auto_y, snap=settings.snap)
    return Chunks(resolve(settings.time, len(stack.scenes), 1, 1, snap=False), y, x)


def resolve(setting: object, size: int, tile: int, auto: int, *, snap: bool) -> int:
    """One axis in numbers: `all` of it, the file's `block`, what suits (`auto`), or a number; snapped to tiles."""
    chunk = {"auto": auto, "all": size, "block": tile}.get(str(setting)) or int(str(setting))
    if snap:
        chunk = -(-chunk // tile) * tile
    return min(chunk, size)


def holds_all_scenes(stages: tuple[StagePlan, ...]) -> bool:
    """True if a task needs all scenes of its window, to order their values."""
    return any(stage.ordered and stage.over is Over.time for stage in stages)


def task_chunks(
    settings: ChunkSettings, stack: Stack, rule: PixelRule, stages: tuple[StagePlan, ...], threads: Threads
) -> Chunks:
    """Rows of tiles, as wide as accumulators allow; whole axes for ordered statistics.

    Where rows are short, windows have several, but each thread has a window.
    """
    scenes, height, width = len(stack.scenes), stack.grid.height, stack.grid.width
    if any(stage.takes_whole_scenes for stage in stages):
        return Chunks(1, height, width)
    time = scenes if holds_all_scenes(stages) else resolve(settings.time, scenes, 1, scenes, snap=False)
    auto_y, auto_x = auto_window(stack, rule, stages, threads.room, time)
    if len(stack.tile_phases) > 1:  # then a window cuts tiles, the fewer the higher it is
        pixel_bytes = bytes_per_pixel(stages, stack, rule, time) + limb_bytes(stages, stack, rule, time)
        auto_y = _higher((auto_y, auto_x), stack, pixel_bytes, threads.room)
    elif auto_y % stack.tile_shape[0] == 0 and not holds_all_scenes(stages):
        auto_y = _worth_a_task((auto_y, auto_x), stack, threads.number)
    tile_y, tile_x = stack.tile_shape
    y = resolve(settings.y, height, tile_y, auto_y, snap=settings.snap and settings.y != "auto")
    x = resolve(settings.x, width, tile_x, auto_x, snap=settings.snap and settings.x != "auto")
    return Chunks(time, y, x)


def auto_window(
    stack: Stack,
    rule: PixelRule,
    stages: tuple[StagePlan, ...],
    room: int = WINDOW_BYTES,
    most_scenes: int | None = None,
) -> tuple[int, int]:
    """Whole rows of tiles (several rows of strips); narrower, then lower, where a task would hold too much.

    A task has at most `most_scenes`, if that is known.
    """
    tile_y, tile_x = stack.tile_shape
    y = tile_y * max(1, STRIP_ROWS // tile_y)
    x = -(-stack.grid.width // tile_x) * tile_x
    pixel_bytes = bytes_per_pixel(stages, stack, rule, most_scenes)
    limbs = limb_bytes(stages, stack, rule, most_scenes)
    budget = max(_ORDERED_BYTES, room) if holds_all_scenes(stages) else room
    fitting = budget // ((pixel_bytes + limbs) * y * tile_x) * tile_x
    x = min(x, max(tile_x, fitting))
    # Limbs may never be needed, so no tile is decoded twice to make room for them.
    while y > 1 and (pixel_bytes + limbs * (y > tile_y)) * y * x > budget:
        y = -(-y // 2)
    return y, x


def _higher(window: tuple[int, int], stack: Stack, pixel_bytes: int, room: int) -> int:
    """As many rows of tiles as accumulators of `room` bytes allow."""
    (y, x), (tile_y, _) = window, stack.tile_shape
    fitting = room // (pixel_bytes * x) // tile_y * tile_y
    return max(y, min(fitting, -(-stack.grid.height // tile_y) * tile_y))


def _worth_a_task(window: tuple[int, int], stack: Stack, threads: int) -> int:
    """As many rows of tiles as make a window of a million pixels: each scene of a task takes about a millisecond."""
    (y, x), (tile_y, _) = window, stack.tile_shape
    windows_down = -(-threads // -(-stack.grid.width // x))
    most = min(_SMALL_PIXELS // x, stack.grid.height // windows_down + tile_y - 1)
    return max(y, most // tile_y * tile_y)


def starts(stack: Stack, chunks: Chunks) -> tuple[list[int], list[int]]:
    """The first rows, and the first columns, of the chunks of a grid: at the edges of most scenes' tiles."""
    (phase_y, phase_x), (tile_y, tile_x) = stack.tile_phases[0], stack.tile_shape
    rows = _starts(stack.grid.height, chunks.y, phase_y if chunks.y % tile_y == 0 else 0)
    return rows, _starts(stack.grid.width, chunks.x, phase_x if chunks.x % tile_x == 0 else 0)


def _starts(size: int, chunk: int, phase: int) -> list[int]:
    return [0, *range(chunk - phase, size, chunk)] if chunk < size else [0]


def chunk_sizes(stack: Stack, chunks: Chunks) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The rows, and the columns, of each chunk."""
    rows, columns = starts(stack, chunks)
    return _sizes(rows, stack.grid.height), _sizes(columns, stack.grid.width)


def _sizes(starts: list[int], size: int) -> tuple[int, ...]:
    return tuple(stop - start for start, stop in zip(starts, [*starts[1:], size], strict=True))


def cut(stack: Stack, chunks: Chunks) -> tuple[Task, ...]:
    """The tasks of a stack: windows row by row, and all ranges of scenes of a window before the next window."""
    scenes = len(stack.scenes)
    (rows, columns), (heights, widths) = starts(stack, chunks), chunk_sizes(stack, chunks)
    down, across = list(zip(rows, heights, strict=True)), list(zip(columns, widths, strict=True))
    return tuple(
        Task(Window(row, column, height, width), start, min(start + chunks.time, scenes))
        for row, height in down
        for column, width in across
        for start in range(0, scenes, chunks.time)
    )


def takes_seconds(stack: Stack) -> bool:
    """Whether a thread is done with the whole stack within seconds."""
    pixels = stack.grid.height * stack.grid.width * len(stack.scenes)
    return pixels * stack.dtype.itemsize <= _SECONDS_BYTES


def balanced_tasks(stack: Stack, chunks: Chunks, threads: int) -> tuple[Task, ...]:
    """Tasks of all scenes. Scenes of the last windows are shared out, so that all threads end together.

    As few windows as possible are divided, since their partials must be combined; and small ones of many scenes, so
    that an interrupt costs seconds of work, and not the whole stack.
    """
    scenes = len(stack.scenes)
    windows = [task.window for task in cut(stack, chunks._replace(time=scenes))]

    def divided(last: int, parts: int) -> tuple[Task, ...]:
        step = -(-scenes // parts)
        whole = [Task(window, 0, scenes) for window in windows[: len(windows) - last]]
        return (
            *whole,
            *(
                Task(window, start, min(start + step, scenes))
                for window in windows[len(windows) - last :]
                for start in range(0, scenes, step)
            ),
        )

    best = divided(0, 1)
    least = _imbalance(best, threads)
    most = min(_MOST_PARTS, scenes)
    ways = [(last, parts) for last in range(1, min(threads, len(windows)) + 1) for parts in range(2, most + 1)]
    for last, parts in ways:
        if least <= _IMBALANCE:
            break
        tasks = divided(last, parts)
        if _imbalance(tasks, threads) < least:
            best, least = tasks, _imbalance(tasks, threads)
    return tuple(part for task in best for part in _of_bounded_length(task, stack.dtype.itemsize))


def _of_bounded_length(task: Task, itemsize: int) -> list[Task]:
    """The parts of a task of a small window: long enough that to combine them takes a few hundredths of their time."""
    window, start, stop = task
    pixels = window.height * window.width
    if pixels > _SMALL_PIXELS:
        return [task]
    fewest, most = _SCENES_OF_A_PART
    parts = -(-(stop - start) // min(max(_SECONDS_BYTES // (pixels * itemsize), fewest), most))
    step = -(-(stop - start) // parts)
    return [Task(window, first, min(first + step, stop)) for first in range(start, stop, step)]


def of_few_scenes(tasks: tuple[Task, ...], most: int) -> tuple[Task, ...]:
    """The same tasks, those of more scenes than `most` divided."""
    return tuple(
        Task(window, first, min(first + most, stop))
        for window, start, stop in tasks
        for first in range(start, stop, most)
    )


def _imbalance(tasks: tuple[Task, ...], threads: int) -> float:
    """The work of the busiest thread as a multiple of the average, if each takes the next task when it is free."""
    free = [0] * threads
    for window, start, stop in tasks:
        heapreplace(free, free[0] + window.height * window.width * (stop - start))
    return max(free) * threads / sum(free)
