"""One block's work, wherever it runs: fetch, inflate, mask, accumulate; a partial comes back."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from runner.engine.pixels import PixelRule
from runner.model import Scene, Stack, locate
from runner.plan.make import fetch_options
from runner.plan.records import Block, StagePlan
from runner.read import cog, gdal
from runner.read.decode import fast_path_refusal
from runner.read.fetch import FetchCounts, FetchOptions, StopFlag
from runner.read.header import BlockPixels, SceneFile, Window
from runner.reduce.partial import Needs, Partial
from runner.reduce.pixels import Pixels, Place
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import finish_ordered, needs, statistic
from runner.reduce.temporal import TemporalSums
from runner.settings import JobSettings, Over, ReaderName
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


def make_reading(job: JobSettings, stack: Stack, rule: PixelRule, stages: tuple[StagePlan, ...]) -> Reading:
    """How the scenes of a job are read, for these stages."""
    stores = Stores(job.source.s3, client_retries=0)
    return Reading(stack.scenes, stages, rule, job.reader, fetch_options(job.fetch), stores)


def refused(scenes: tuple[Scene, ...], band: int) -> dict[str, list[str]]:
    """Why scenes are left to GDAL: for each reason, their hrefs."""
    reasons: dict[str, list[str]] = {}
    for scene in scenes:
        reason = fast_path_refusal(scene.header, band)
        if reason:
            reasons.setdefault(reason, []).append(scene.href)
    return reasons


def run_block(reading: Reading, block: Block) -> BlockResult:
    """Read a block and reduce it. Raises ReadError."""
    started = time.perf_counter()
    collectors = _collectors(reading, block)
    fetched = FetchCounts()
    reducing = 0.0
    with closing(_read(reading, block, fetched)) as parts:
        for turn in parts:
            before = time.perf_counter()
            values = [_values(reading, block, part) for part in turn]
            for collector in collectors:
                collector.add(turn, values)
            reducing += time.perf_counter() - before
    before = time.perf_counter()
    ordered = {one.stage.name: one.finish() for one in collectors if isinstance(one, _Ordered)}
    now = time.perf_counter()
    return BlockResult(
        block=block,
        over_time=next((one.sums.partial() for one in collectors if isinstance(one, _OverTime)), None),
        over_space=next((one.sums.partial() for one in collectors if isinstance(one, _OverSpace)), None),
        ordered=ordered,
        fetched=fetched,
        read_seconds=before - started - reducing,
        reduce_seconds=reducing + now - before,
    )


# --- reading --------------------------------------------------------------------------------------------------------


def _values(reading: Reading, block: Block, part: BlockPixels) -> Values:
    return reading.rule.values(part.pixels, part.valid, reading.scenes[block.start + part.scene].header)


def _read(reading: Reading, block: Block, counts: FetchCounts) -> Generator[list[BlockPixels], None, None]:
    """The block's pixels, each scene by the reader that takes it; scenes are numbered within the block."""
    scenes = reading.scenes[block.start : block.stop]

    def by_gdal(number: int) -> bool:
        if reading.reader is ReaderName.auto:
            return fast_path_refusal(scenes[number].header, reading.rule.band) is not None
        return reading.reader is ReaderName.gdal

    for through_gdal, numbers in groupby(range(len(scenes)), key=by_gdal):
        run = list(numbers)
        files = [_scene_file(scenes[number], reading.stores) for number in run]
        for turn in _read_files(reading, files, block.window, counts, through_gdal=through_gdal):
            yield [part._replace(scene=run[0] + part.scene) for part in turn]


def _read_files(
    reading: Reading, files: list[SceneFile], window: Window, counts: FetchCounts, *, through_gdal: bool
) -> Iterator[list[BlockPixels]]:
    if not through_gdal:
        yield from cog.read_turns(files, window, reading.rule.band, reading.fetch, counts, reading.stop)
        return
    for part in gdal.read_blocks(files, window, reading.rule.band, lambda file: gdal_path(locate(file.href))):
        reading.stop.check()
        yield [part]


def _scene_file(scene: Scene, stores: Stores) -> SceneFile:
    location = locate(scene.href)
    return SceneFile(scene.href, stores.of(location), location.key, scene.etag, scene.header)


# --- collecting -----------------------------------------------------------------------------------------------------


class _Collector(Protocol):
    """Takes the parts of a block, in whatever order."""

    def add(self, turn: list[BlockPixels], values: list[Values]) -> None:
        """Take parts at one place of several scenes, with their values, which may change afterwards."""


def _collectors(reading: Reading, block: Block) -> list[_Collector]:
    shape = (block.window.height, block.window.width)
    found: list[_Collector] = []
    over_time = _summed(reading.stages, Over.time)
    over_space = _summed(reading.stages, Over.space)
    if over_time is not None:
        found.append(_OverTime(TemporalSums(shape, reading.rule.pixels, over_time)))
    if over_space is not None:
        found.append(_OverSpace(SpatialSums(block.stop - block.start, reading.rule.pixels, over_space)))
    found += [_Ordered(stage, block, reading.rule.pixels) for stage in reading.stages if stage.ordered]
    return found


def _summed(stages: tuple[StagePlan, ...], over: Over) -> Needs | None:
    """What is to be accumulated over these axes; every stage over them counts its pixels at least."""
    found = [stage for stage in stages if stage.over is over]
    if not found:
        return None
    return needs([name for stage in found for name in stage.statistics if not statistic(name).ordered])


class _OverTime:
    def __init__(self, sums: TemporalSums) -> None:
        self.sums = sums

    def add(self, turn: list[BlockPixels], values: list[Values]) -> None:
        self.sums.add_tiles(values, Place(0, 0, turn[0].row, turn[0].column, *values[0].shape))


class _OverSpace:
    def __init__(self, sums: SpatialSums) -> None:
        self.sums = sums

    def add(self, turn: list[BlockPixels], values: list[Values]) -> None:
        for part, tile in zip(turn, values, strict=True):
            self.sums.add_tile(part.scene, tile, Place(0, 0, part.row, part.column, *tile.shape))


class _Ordered:
    """All values of a block, (scenes, rows, columns), for the statistics of one stage that need them."""

    def __init__(self, stage: StagePlan, block: Block, pixels: Pixels) -> None:
        self.stage = stage
        self._pixels = pixels
        self._values = np.empty((block.stop - block.start, block.window.height, block.window.width), pixels.dtype)

    def add(self, turn: list[BlockPixels], values: list[Values]) -> None:
        for part, tile in zip(turn, values, strict=True):
            rows, columns = (slice(at, at + size) for at, size in zip((part.row, part.column), tile.shape, strict=True))
            self._values[part.scene, rows, columns] = tile

    def finish(self) -> dict[str, Values]:
        names = [name for name in self.stage.statistics if statistic(name).ordered]
        if self.stage.over is Over.time:
            return finish_ordered(self._values, self._pixels, names)
        scenes = [finish_ordered(values.reshape(-1, 1), self._pixels, names) for values in self._values]
        return {name: np.concatenate([one[name] for one in scenes]) for name in names}
