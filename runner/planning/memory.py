"""The memory that a pass takes, by a stated model."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from runner.host.cpus import cpu_count
from runner.model import Stack
from runner.planning.masking import PixelRule
from runner.planning.reading import Reading
from runner.planning.records import Chunks, StagePlan, Task, Workers, lots_of_stages
from runner.read.fetch import FetchOptions
from runner.read.gdal_reader import MAX_PIECE_BYTES
from runner.reduce.hidden_pixels import planes_for
from runner.reduce.kernels import ROWS_AT_ONCE
from runner.reduce.partial import Needs
from runner.reduce.series import pair_bytes
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import statistic
from runner.reduce.temporal import TemporalSums
from runner.reduce.zonal import MOST_KEPT, ZonalSums
from runner.reduce.zone_quantiles import ZonePixels
from runner.settings import EngineName, JobSettings, Layout, Over, RasterDtype, Weights

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
_RUN_BYTES = 28 * (3 + MOST_KEPT)  # for each run in a task's window: cut from those of the grid, and again for tiles
_SORTED_BYTES = 80  # for each pixel of a zone whose values are ordered: copies of them and of their weights, and sums
_ROW_BYTES = 400  # of a table's row, without its statistics: an href and names, written and read back
_IN_MEMORY_BYTES = 2**30  # of rasters; more of them lie on disk until they are written
_STRIP_ROWS = 256  # of rasters on disk that a thread has at hand
_STRIP_SPARE_BYTES = 2  # for each pixel of a strip, besides its value and a copy: masks, and sums for overviews
_STRIPS_BESIDE = 4  # threads that digest while others encode
AHEAD_BYTES: Final = 128 * 2**20  # of blocks that are encoded while windows of rasters on disk are still computed
_LAYERS_HELD = 2  # of a window of groups: those that a thread finishes, and those that wait to be taken
_FLOAT_BYTES = 4  # of a pixel of most rasters
_RESULT_BYTES = 3  # the rasters of a run lie in memory; encoded blocks and overviews take up to twice the largest


def bytes_per_pixel(
    stages: tuple[StagePlan, ...], stack: Stack, rule: PixelRule, most_scenes: int | None = None
) -> int:
    """Bytes of a window's pixel in a task: its accumulators, the values to be ordered, and combining.

    A task has at most `most_scenes`, if that is known. One that has all finishes its groups itself.
    """
    grouped = any(stage.groups for stage in stages)
    finishes = most_scenes is None or most_scenes >= len(stack.scenes)
    held = 0
    for stage in stages:
        if stage.over is not Over.time:
            continue
        if not grouped:
            held += TemporalSums.bytes_per_pixel(rule.pixels, _summed((stage,), Over.time)) + _COMBINING_BYTES
        held += stage.ordered * (len(stack.scenes) * rule.pixels.dtype.itemsize + 8 * len(stage.statistics))
        if grouped and finishes:
            held += _LAYERS_HELD * _layer_bytes(stage)
    if grouped:
        own = TemporalSums.bytes_per_pixel(rule.pixels, _summed(stages, Over.time))
        held += own * lots_in_task(stages, stack, most_scenes) + _COMBINING_BYTES
    return max(held, 1)


def _layer_bytes(stage: StagePlan) -> int:
    """Bytes of a pixel of a stage's finished layers; counts are of the smallest type that holds them."""
    most = max(stage.groups.sizes) if stage.groups else 0
    of_counts = np.min_scalar_type(-1 - most).itemsize if most else _FLOAT_BYTES
    counts = sum(statistic(layer.statistic).dtype.kind == "i" for layer in stage.layers)
    return counts * of_counts + (len(stage.layers) - counts) * _FLOAT_BYTES


def lots_in_task(stages: tuple[StagePlan, ...], stack: Stack, most_scenes: int | None = None) -> int:
    """The most lots of which a task holds sums."""
    lots = len(lots_of_stages(stages, len(stack.scenes)).sizes)
    return lots if most_scenes is None else min(lots, most_scenes)


def limb_bytes(stages: tuple[StagePlan, ...], stack: Stack, rule: PixelRule, most_scenes: int | None = None) -> int:
    """Further bytes of a window's pixel, where its sums are longer than two floats.

    Sums of float64 files may be. Sums of values that became float64 here are not: scaled integers, say, have few bits
    more than a float64. Squares of both may be, and squares of 64-bit integers.
    """
    wide, total = stack.dtype.itemsize == 8, _summed(stages, Over.time)
    sums = total.sums and wide and not rule.pixels.in_pieces
    needed = Needs(
        sums=sums, squares=total.squares and (wide or rule.scale), time_sums=total.time_sums and (wide or rule.scale)
    )
    each = TemporalSums.limb_bytes_per_pixel(needed)
    return each * lots_in_task(stages, stack, most_scenes) if each else 0


def _summed(stages: tuple[StagePlan, ...], over: Over) -> Needs:
    total = Needs()
    for stage in stages:
        if stage.over is over:
            total |= stage.needs
    return total


def task_bytes(stages: tuple[StagePlan, ...], stack: Stack, reading: Reading, chunks: Chunks, *, by_gdal: bool) -> int:
    """The most that a thread holds: accumulators of its window, ranges ahead of their use, a tile being decoded."""
    rule, options = reading.rule, reading.fetch
    limbs = limb_bytes(stages, stack, rule, chunks.time)
    window = (bytes_per_pixel(stages, stack, rule, chunks.time) + limbs) * chunks.y * chunks.x
    whole = sum(stage.ordered and stage.over is Over.space for stage in stages)
    if whole:  # the scene, for each stage; its valid pixels, and them partitioned
        window += (3 + whole) * stack.grid.pixels * rule.pixels.dtype.itemsize
    if any(stage.timed for stage in stages):
        window += pair_bytes(len(stack.scenes))
    decoded = 2 * min(options.scenes_together, len(stack.scenes)) * max(stack.tile_bytes, stack.mask_tile_bytes)
    ahead = _fetched_bytes(stack, options)
    window += _hidden_bytes(stack, options, chunks)
    tile = _tile_pixels(stack, chunks, by_gdal=by_gdal)
    together = 1 if by_gdal else min(options.scenes_together, len(stack.scenes))
    added = tile * (_added_bytes(stack, rule) + _SPARE_BYTES * together * (limbs > 0))
    zones = zonal_bytes(stages, rule, chunks) + zone_lane_bytes(stages, stack, chunks, together)
    return int(window + ahead + decoded + added + _weighted_bytes(stages, rule, chunks, tile) + zones)


def zonal_bytes(stages: tuple[StagePlan, ...], rule: PixelRule, chunks: Chunks) -> int:
    """Bytes of zones in a task: sums of its scenes in those that its rows meet, their runs, and values to order."""
    zones = next((stage.zones for stage in stages if stage.zones is not None), None)
    if zones is None:
        return 0
    met, runs = zones.most_in_rows(chunks.y)
    ordered = sum(stage.ordered for stage in stages if stage.zones is not None)
    each = ZonePixels.bytes_per_pixel(rule.pixels, by_fraction=zones.fractions) * chunks.time
    values = ordered * each * zones.runs.pixels + bool(ordered) * int(zones.pixels.max()) * _SORTED_BYTES
    return met * chunks.time * _cell_bytes(stages, rule) + (1 + ordered) * runs * _RUN_BYTES + values


def zone_lane_bytes(stages: tuple[StagePlan, ...], stack: Stack, chunks: Chunks, together: int) -> int:
    """Bytes of zones while tiles that go together are added to them: sums in lanes, and flags of pixels."""
    zones, needs = next((stage.zones for stage in stages if stage.zones is not None), None), _summed(stages, Over.zones)
    if zones is None or not ZonalSums.fits(needs):
        return 0
    tile_y, tile_x = stack.tile_shape
    (met, _), (_, of_row) = zones.most_in_rows(min(tile_y, chunks.y)), zones.most_in_rows(1)
    return ZonalSums.lane_bytes(needs, met, of_row, together) + together * ROWS_AT_ONCE * tile_x


def _cell_bytes(stages: tuple[StagePlan, ...], rule: PixelRule) -> int:
    by_area = any(stage.zones is not None and stage.weights is Weights.area for stage in stages)
    return ZonalSums.bytes_per_cell(rule.pixels, _summed(stages, Over.zones), by_area=by_area)


def zone_result_bytes(stages: tuple[StagePlan, ...], stack: Stack, rule: PixelRule) -> int:
    """Bytes of zones in the process that combines partials: their runs, the sums of all scenes, values and a table."""
    zonal = [stage for stage in stages if stage.zones is not None]
    if not zonal:
        return 0
    assert zonal[0].zones is not None  # by the line before
    values = _ROW_BYTES + sum(2 * 8 * len(stage.statistics) for stage in zonal)
    each = 2 * _cell_bytes(stages, rule) + values
    return zonal[0].zones.nbytes + len(stack.scenes) * len(zonal[0].zones.names) * each


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


def result_bytes(job: JobSettings, stack: Stack, stages: Iterable[StagePlan], *, spooled: bool) -> int:
    """Bytes of the rasters that a run of these stages holds until they are written: all, or strips of those on disk."""
    rasters = _rasters(stages)
    if spooled:
        return strip_bytes(stack.grid.width, _raster_type(job, stack).itemsize)
    overviews = max(0, rasters - 3) if job.output.layout is Layout.bands else 0  # of all bands at once, a third of each
    return _raster_bytes(job, stack) * (3 * (rasters + _RESULT_BYTES - 1) + overviews) // 3 if rasters else 0


def strip_bytes(width: int, itemsize: int) -> int:
    """Bytes that a run holds of rasters on disk: strips of this width, and blocks that are encoded ahead."""
    strip = _STRIP_ROWS * width * (2 * itemsize + _STRIP_SPARE_BYTES)
    return AHEAD_BYTES + (cpu_count() + _STRIPS_BESIDE) * strip


def are_spooled(job: JobSettings, stack: Stack, stages: Iterable[StagePlan], memory_bytes: int | None) -> bool:
    """True if the rasters of a run of these stages lie on disk until they are written.

    Memory holds them if they take at most a gigabyte and a quarter of `memory_bytes`, or less than strips of them do.
    """
    held = _rasters(stages) * _raster_bytes(job, stack)
    quarter = _IN_MEMORY_BYTES if memory_bytes is None else memory_bytes // 4
    few = held <= min(_IN_MEMORY_BYTES, quarter)
    return not few and job.engine is EngineName.block and held > result_bytes(job, stack, stages, spooled=True)


def spool_bytes(job: JobSettings, stack: Stack, stages: Iterable[StagePlan]) -> int:
    """Bytes that the rasters of these stages take on disk; overviews add a third."""
    return -(-4 * _rasters(stages) * _raster_bytes(job, stack) // 3)


def _rasters(stages: Iterable[StagePlan]) -> int:
    return sum(len(stage.layers) for stage in stages if stage.over is Over.time)


def _raster_bytes(job: JobSettings, stack: Stack) -> int:
    return stack.grid.pixels * _raster_type(job, stack).itemsize


def _raster_type(job: JobSettings, stack: Stack) -> np.dtype:
    return raster_dtype(job.output.raster_dtype, stack.dtype)


def raster_dtype(choice: RasterDtype, source: np.dtype) -> np.dtype:
    """The pixel type of a raster of floats: as wide as the source's pixels need."""
    if choice is not RasterDtype.auto:
        return np.dtype(str(choice.value))
    return np.dtype(np.float32 if source.itemsize <= 4 and source.name not in ("int32", "uint32") else np.float64)


def waiting_bytes(
    stages: tuple[StagePlan, ...], stack: Stack, rule: PixelRule, tasks: tuple[Task, ...], workers: Workers
) -> int:
    """Bytes of partials that wait for other scenes of their windows: one for each window under way.

    Of groups only lots wait that have a scene in a task which is done; those of one scene are in one task alone.
    """
    largest = max(task.window.height * task.window.width for task in tasks)
    divided = {task.window for task in tasks if task.stop - task.start < len(stack.scenes)}
    threads = workers.processes * workers.threads
    windows = min(threads, len(divided))
    if not windows:
        return 0
    most = None
    if any(stage.groups for stage in stages):
        at_work = max(task.stop - task.start for task in tasks) * (threads // windows)
        most = min(max(len(stack.scenes) - at_work, 1), len(stack.scenes) - 1)
    each = bytes_per_pixel(stages, stack, rule, most) + limb_bytes(stages, stack, rule, most)
    return each * largest * windows
