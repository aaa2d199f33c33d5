"""The memory that a pass takes, by a stated model."""

import numpy as np

from runner.model import Stack
from runner.planning.masking import PixelRule
from runner.planning.reading import Reading
from runner.planning.records import Chunks, StagePlan, Task, Workers
from runner.read.fetch import FetchOptions
from runner.read.gdal_reader import MAX_PIECE_BYTES
from runner.reduce.hidden_pixels import planes_for
from runner.reduce.partial import Needs
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import needs, statistic
from runner.reduce.temporal import TemporalSums
from runner.settings import JobSettings, Over, RasterDtype

# Python with numba, GDAL and pyarrow loaded, 260 MiB; compiling kernels takes 150 more, and lanes 105, which a process
# keeps (measured: peak of one small scene, of the same with an empty cache, and of the demo with lanes).
PROCESS_BYTES = 515 * 2**20
_LARGE_TILE_BYTES = 16 * 2**20  # a tile of 2048 x 2048 floats
_COMBINING_BYTES = 16  # for each pixel: a layer and a count, while two partials of a window become one
_MISSING_BYTES = 6  # for each pixel: a flag that it is missing, for each rule
_IN_PIECES_BYTES = 80  # for each pixel: a 64-bit integer, its three parts and their intermediate values
_OUTSIDE_BYTES = 5  # for each pixel of a window: whether it is in the area, for two tasks, and edges to its left
_SPARE_BYTES = 16  # for each pixel: what two floats do not hold, on its way to the limbs
_WEIGHTED_BYTES = 32  # for each pixel of a tile: its value and its weight as float64, picked and copied
_RESULT_BYTES = 3  # the rasters of a run lie in memory; encoded blocks and overviews take up to twice the largest


def bytes_per_pixel(stages: tuple[StagePlan, ...], stack: Stack, rule: PixelRule) -> int:
    """Bytes of a window's pixel in a task: its accumulators, the values to be ordered, and combining."""
    held = 0
    for stage in stages:
        if stage.over is not Over.time:
            continue
        held += TemporalSums.bytes_per_pixel(rule.pixels, _summed((stage,), Over.time)) + _COMBINING_BYTES
        held += stage.ordered * (len(stack.scenes) * rule.pixels.dtype.itemsize + 8 * len(stage.statistics))
    return max(held, 1)


def limb_bytes(stages: tuple[StagePlan, ...], stack: Stack, rule: PixelRule) -> int:
    """Further bytes of a window's pixel, where its sums are longer than two floats.

    Sums of float64 files may be. Sums of values that became float64 here are not: scaled integers, say, have few bits
    more than a float64. Squares of both may be, and squares of 64-bit integers.
    """
    wide, total = stack.dtype.itemsize == 8, _summed(stages, Over.time)
    sums = total.sums and wide and not rule.pixels.in_pieces
    return TemporalSums.limb_bytes_per_pixel(Needs(sums=sums, squares=total.squares and (wide or rule.scale)))


def _summed(stages: tuple[StagePlan, ...], over: Over) -> Needs:
    total = Needs()
    for stage in stages:
        if stage.over is over:
            total |= needs([name for name in stage.statistics if not statistic(name).ordered], stage.weights)
    return total


def task_bytes(stages: tuple[StagePlan, ...], stack: Stack, reading: Reading, chunks: Chunks, *, by_gdal: bool) -> int:
    """The most that a thread holds: accumulators of its window, ranges ahead of their use, a tile being decoded."""
    rule, options = reading.rule, reading.fetch
    limbs = limb_bytes(stages, stack, rule)
    window = (bytes_per_pixel(stages, stack, rule) + limbs) * chunks.y * chunks.x
    whole = sum(stage.ordered and stage.over is Over.space for stage in stages)
    if whole:  # the scene, for each stage; its valid pixels, and them partitioned
        window += (3 + whole) * stack.grid.pixels * rule.pixels.dtype.itemsize
    decoded = 2 * min(options.scenes_together, len(stack.scenes)) * max(stack.tile_bytes, stack.mask_tile_bytes)
    ahead = _fetched_bytes(stack, options)
    window += _hidden_bytes(stack, options, chunks)
    tile = _tile_pixels(stack, chunks, by_gdal=by_gdal)
    together = 1 if by_gdal else min(options.scenes_together, len(stack.scenes))
    added = tile * (_added_bytes(stack, rule) + _SPARE_BYTES * together * (limbs > 0))
    return int(window + ahead + decoded + added + _weighted_bytes(stages, rule, chunks, tile))


def _hidden_bytes(stack: Stack, options: FetchOptions, chunks: Chunks) -> int:
    """Bytes of the hidden pixels of the scenes at hand, and of the pixels of masks that GDAL reads at once."""
    if not stack.masks and stack.area is None:
        return 0
    outside = _OUTSIDE_BYTES if stack.area else 0
    together = min(options.scenes_together, chunks.time, len(stack.scenes))
    planes = planes_for(together) if stack.masks else 0
    return (planes + outside) * chunks.y * chunks.x + (MAX_PIECE_BYTES if stack.masks else 0)


def _weighted_bytes(stages: tuple[StagePlan, ...], rule: PixelRule, chunks: Chunks, tile: int) -> int:
    """Bytes of sums by area: limbs for each scene, and the pixels of a tile with their weights."""
    total = _summed(stages, Over.space)
    if not total.weighted:
        return 0
    return chunks.time * SpatialSums.bytes_per_scene(rule.pixels, total) + tile * _WEIGHTED_BYTES


def large_tiles(stack: Stack) -> bool:
    """True if a tile is so large that decoding it again for each window costs more than holding it."""
    return stack.tile_bytes > _LARGE_TILE_BYTES


def _fetched_bytes(stack: Stack, options: FetchOptions) -> int:
    """Bytes of ranges on their way, waiting, and being decoded. One range is always fetched, even a large one."""
    some = stack.scenes[:100]
    counts = [file.header.layout.byte_counts for scene in some for file in (scene, scene.mask) if file]
    row = max(int(of_scene.sum(axis=-1).max()) for of_scene in counts)
    tile = max(int(of_scene.max()) for of_scene in counts)
    largest = max(min(options.max_range_bytes, row), tile)
    beyond = largest if largest > options.max_range_bytes else 0
    ahead = min(options.ahead_bytes + beyond, options.in_flight * largest)
    return ahead + (options.scenes_together + 1) * largest


def _tile_pixels(stack: Stack, chunks: Chunks, *, by_gdal: bool) -> int:
    """Pixels that a reader hands over together: those of a tile in the window, or what GDAL reads at once."""
    tile_y, tile_x = stack.tile_shape
    if not by_gdal:
        return min(tile_y, chunks.y) * min(tile_x, chunks.x)
    at_once = max(MAX_PIECE_BYTES // stack.dtype.itemsize, min(tile_y, chunks.y) * chunks.x)
    return min(at_once, chunks.y * chunks.x)


def _added_bytes(stack: Stack, rule: PixelRule) -> int:
    """Bytes of a pixel between being read and being added, where it is not added as stored."""
    in_pieces = _IN_PIECES_BYTES if rule.pixels.in_pieces else 0
    if rule.as_stored:
        return in_pieces
    read = stack.dtype.itemsize + rule.masks  # two pieces: one that was read, and the next
    return in_pieces + 2 * read + rule.pixels.dtype.itemsize + _MISSING_BYTES


def result_bytes(job: JobSettings, stack: Stack) -> int:
    """Bytes of the rasters that a run holds until they are written."""
    rasters = sum(len(stage.statistics) for stage in job.stages.values() if stage.over is Over.time)
    item = max(4, raster_dtype(job.output.raster_dtype, stack.dtype).itemsize)
    return stack.grid.pixels * item * (rasters + _RESULT_BYTES - 1) if rasters else 0


def raster_dtype(choice: RasterDtype, source: np.dtype) -> np.dtype:
    """The pixel type of a raster of floats: as wide as the source's pixels need."""
    if choice is not RasterDtype.auto:
        return np.dtype(str(choice.value))
    return np.dtype(np.float32 if source.itemsize <= 4 and source.name not in ("int32", "uint32") else np.float64)


def waiting_bytes(
    stages: tuple[StagePlan, ...], stack: Stack, rule: PixelRule, tasks: tuple[Task, ...], workers: Workers
) -> int:
    """Bytes of partials that wait for other scenes of their windows: one for each window under way."""
    largest = max(task.window.height * task.window.width for task in tasks)
    divided = {task.window for task in tasks if task.stop - task.start < len(stack.scenes)}
    each = bytes_per_pixel(stages, stack, rule) + limb_bytes(stages, stack, rule)
    return each * largest * min(workers.processes * workers.threads, len(divided))
