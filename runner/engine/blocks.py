"""One block's work, wherever it runs: fetch, inflate, mask, accumulate; a partial comes back."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from runner.host.compile_clock import compile_seconds, working_seconds
from runner.model import Scene, Stack, locate
from runner.plan.masking import PixelRule
from runner.plan.planner import fetch_options
from runner.plan.readers import by_gdal
from runner.plan.records import Block, StagePlan
from runner.plan.weights import row_areas
from runner.read import fast_reader, gdal_reader
from runner.read.decode import ByteArray
from runner.read.fetch import FetchCounts, FetchOptions, StopFlag
from runner.read.header import SceneFile, ScenePixels
from runner.reduce.fused import FusedSums
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixel_types import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish_ordered, needs, statistic
from runner.reduce.temporal import TemporalSums
from runner.settings import JobSettings, Over, ReaderName, Weights
from runner.source.stores import Stores, gdal_path

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What every task of a pass shares: the scenes, how their pixels are read, and which of them count."""

    scenes: tuple[Scene, ...]
    stages: tuple[StagePlan, ...]
    rule: PixelRule
    reader: ReaderName
    fetch: FetchOptions
    stores: Stores
    row_areas: npt.NDArray[np.float64] | None = None  # of the grid's pixels, where a stage is by area
    stop: StopFlag = field(default_factory=StopFlag)


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block leaves.

    `over_time` has the cells of its window, `over_space` those of its scenes; None if no stage asks for them. `ordered`
    holds, stage by stage, the statistics that need all values: (rows, columns) over time, (scenes,) over space.
    """

    block: Block
    over_time: Partial | None
    over_space: Partial | None
    ordered: dict[str, dict[str, Values]]
    fetched: FetchCounts
    read_seconds: float  # waiting for ranges, inflating, undoing the predictor
    reduce_seconds: float
    compile_seconds: float = 0.0  # of waiting for machine code, which is in neither of the others


def make_reading(job: JobSettings, stack: Stack, rule: PixelRule, stages: tuple[StagePlan, ...]) -> Reading:
    """How the scenes of a job are read, for these stages."""
    fetch = fetch_options(job.fetch, stack)
    by_area = any(stage.weights is Weights.area for stage in stages)
    areas = row_areas(stack.grid) if by_area else None
    return Reading(stack.scenes, stages, rule, job.reader, fetch, Stores(job.source.s3, fetch), areas)


def run_blocks(reading: Reading, blocks: Iterator[Block]) -> Generator[BlockResult, None, None]:
    """Read and reduce blocks one after another; the next is taken, and fetched, while the last is still under way.

    Raises ReadError.
    """
    with closing(_read(reading, blocks)) as parts:
        while (result := _reduce(reading, parts)) is not None:
            yield result


def _reduce(reading: Reading, parts: Iterator["_Part"]) -> BlockResult | None:
    """Take parts up to the end of their block; None if there are no more."""
    started, compiling = working_seconds(), compile_seconds()
    part = next(parts, None)
    if part is None:
        return None
    collectors = _Collectors(reading, part.block)
    reducing = 0.0
    while part.pixels is not None:
        before = working_seconds()
        collectors.add(part.first, part.pixels)
        reducing += working_seconds() - before
        part = next(parts)
    before = working_seconds()
    over_time, over_space, ordered = collectors.finish()
    now = working_seconds()
    return BlockResult(
        block=part.block,
        over_time=over_time,
        over_space=over_space,
        ordered=ordered,
        fetched=part.counts,
        read_seconds=before - started - reducing,
        reduce_seconds=reducing + now - before,
        compile_seconds=compile_seconds() - compiling,
    )


# --- reading --------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """Some pixels of a block, whose scenes are counted from scene `first` of the block; None after the last of them."""

    block: Block
    counts: FetchCounts  # of the block
    first: int
    pixels: fast_reader.Turn | ScenePixels | None


def _read(reading: Reading, blocks: Iterator[Block]) -> Generator[_Part, None, None]:
    """The pixels of blocks, each scene by the reader that takes it."""
    gdal_reads = [by_gdal(reading.reader, scene.header, reading.rule.band) for scene in reading.scenes]
    if not any(gdal_reads):
        yield from _read_fast(reading, ((block, FetchCounts(), range(block.start, block.stop)) for block in blocks))
        return
    for block in blocks:
        counts = FetchCounts()
        for through_gdal, numbers in groupby(range(block.start, block.stop), gdal_reads.__getitem__):
            read = _read_through_gdal if through_gdal else _read_fast
            parts = read(reading, iter([(block, counts, list(numbers))]))
            yield from (part for part in parts if part.pixels is not None)
        yield _Part(block, counts, 0, None)


_Run: TypeAlias = tuple[Block, FetchCounts, Sequence[int]]  # of scenes in a row, by their numbers in the stack


def _read_fast(reading: Reading, runs: Iterator[_Run]) -> Iterator[_Part]:
    taken: list[_Run] = []

    def works() -> Iterator[fast_reader.Excerpt]:
        for run in runs:
            taken.append(run)
            yield fast_reader.Excerpt(_files(reading, run), run[0].window, run[1])

    with closing(fast_reader.read_turns(works(), reading.rule.band, reading.fetch, reading.stop)) as turns:
        for number, turn in turns:
            block, counts, numbers = taken[number]
            yield _Part(block, counts, numbers[0] - block.start, turn)


def _read_through_gdal(reading: Reading, runs: Iterator[_Run]) -> Iterator[_Part]:
    for run in runs:
        block, counts, numbers = run
        files, path = _files(reading, run), lambda file: gdal_path(locate(file.href))
        for part in gdal_reader.read_scenes(files, block.window, reading.rule.band, path):
            reading.stop.check()
            yield _Part(block, counts, numbers[0] - block.start, part)


def _files(reading: Reading, run: _Run) -> list[SceneFile]:
    return [_scene_file(reading.scenes[number], reading.stores) for number in run[2]]


def _scene_file(scene: Scene, stores: Stores) -> SceneFile:
    location = locate(scene.href)
    return SceneFile(
        scene.href, stores.of(location), location.key, scene.etag, scene.header, scene.size, scene.modified
    )


# --- collecting -----------------------------------------------------------------------------------------------------


class _Collectors:
    """What the pixels of a block go into."""

    def __init__(self, reading: Reading, block: Block) -> None:
        pixels, shape = reading.rule.pixels, (block.window.height, block.window.width)
        time_needs, space_needs = summed(reading.stages, Over.time), summed(reading.stages, Over.space)
        self.over_time = TemporalSums(shape, pixels, time_needs) if time_needs else None
        areas = None if reading.row_areas is None else reading.row_areas[block.window.row :]
        self.over_space = SpatialSums(block.stop - block.start, pixels, space_needs, areas) if space_needs else None
        self.ordered = [_Ordered(stage, block, pixels) for stage in reading.stages if stage.ordered]
        self._rule, self._headers = reading.rule, [scene.header for scene in reading.scenes[block.start : block.stop]]
        needs = [one for one in (time_needs, space_needs) if one]
        fused = reading.rule.as_stored and not self.ordered and FusedSums.fits(pixels, needs)
        self._fused = FusedSums(self.over_time, self.over_space, pixels) if fused else None

    def add(self, first: int, part: fast_reader.Turn | ScenePixels) -> None:
        """Add pixels whose scenes are counted from scene `first` of the block."""
        if isinstance(part, ScenePixels):
            self._add_pixels(first, part)
        elif self._fused is not None and (encoded := fast_reader.side_by_side(part)) is not None:
            self._add_encoded(self._fused, first, part, encoded)
        else:
            for block in part:
                self._add_pixels(first, block.pixels())

    def finish(self) -> tuple[Partial | None, Partial | None, dict[str, dict[str, Values]]]:
        """What was added over time and over space, and the ordered statistics by stage."""
        if self._fused:
            self._fused.finish()
        over_time = self.over_time.partial() if self.over_time else None
        over_space = self.over_space.partial() if self.over_space else None
        return over_time, over_space, {one.stage.name: one.finish() for one in self.ordered}

    def _add_encoded(self, fused: FusedSums, first: int, turn: fast_reader.Turn, encoded: ByteArray) -> None:
        one = turn[0]
        height, width = one.rows.stop - one.rows.start, one.columns.stop - one.columns.start
        place = Place(one.rows.start, one.columns.start, one.row, one.column, height, width)
        scenes = [first + block.scene for block in turn]
        for at in fused.add(scenes, encoded, one.decoder.predictor, place):
            pixels = turn[at].pixels().pixels
            assert self.over_space
            self.over_space.add_tile(scenes[at], pixels, place._replace(top=0, left=0))

    def _add_pixels(self, first: int, part: ScenePixels) -> None:
        scene = first + part.scene
        values = self._rule.values(part.pixels, part.valid, self._headers[scene])
        place = Place(0, 0, part.row, part.column, *values.shape)
        if self.over_time:
            self.over_time.add_tile(values, place)
        if self.over_space:
            self.over_space.add_tile(scene, values, place)
        for one in self.ordered:
            one.add_tile(scene, values, place)


def counts_over(result: BlockResult, over: Over) -> Values:
    """The valid pixels of each cell of a block: (rows, columns) over time, (scenes,) over space."""
    partial = result.over_time if over is Over.time else result.over_space
    assert partial is not None  # every stage counts its pixels
    return partial.counts


def summed(stages: tuple[StagePlan, ...], over: Over) -> Needs | None:
    """What is to be accumulated over these axes; every stage over them counts its pixels at least."""
    found = [stage for stage in stages if stage.over is over]
    if not found:
        return None
    total = Needs()
    for stage in found:
        total |= needs([name for name in stage.statistics if not statistic(name).ordered], stage.weights)
    return total


class _Ordered:
    """All values of a block, (scenes, rows, columns), for the statistics of one stage that need them."""

    def __init__(self, stage: StagePlan, block: Block, pixels: Pixels) -> None:
        self.stage = stage
        self._pixels = pixels
        self._values = np.empty((block.stop - block.start, block.window.height, block.window.width), pixels.dtype)

    def add_tile(self, scene: int, tile: Values, place: Place) -> None:
        """Keep the values of a scene at a place."""
        self._values[scene][place.of_window()] = tile

    def finish(self) -> dict[str, Values]:
        names = [name for name in self.stage.statistics if statistic(name).ordered]
        if self.stage.over is Over.time:
            return finish_ordered(self._values, self._pixels, names)
        scenes = [finish_ordered(values.reshape(-1, 1), self._pixels, names) for values in self._values]
        return {name: np.concatenate([one[name] for one in scenes]) for name in names}
