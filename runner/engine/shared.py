"""The data that all tasks of a pass share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.area import Area
from runner.engine.packed_scenes import PackedScenes
from runner.model import Scene, Stack
from runner.planning.reading import Reading
from runner.planning.records import StagePlan, Task
from runner.planning.weights import row_areas
from runner.read.inflation import Inflation
from runner.read.stop_flag import StopFlag
from runner.reduce.fused import FusedSums
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels
from runner.reduce.scaled_kernels import Scaled
from runner.reduce.spatial import SpatialSums
from runner.reduce.statistics import needs, statistic
from runner.reduce.temporal import TemporalSums
from runner.settings import Over, Weights

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Shared:
    """The data that all tasks of a pass share."""

    scenes: Sequence[Scene]
    stages: tuple[StagePlan, ...]
    reading: Reading
    by_gdal: tuple[bool, ...]  # for each scene
    masks_by_gdal: tuple[bool, ...]  # for each scene
    row_areas: npt.NDArray[np.float64] | None  # of the grid's pixels, where a stage is by area
    inflation: Inflation
    needs: dict[Over, Needs]  # for the stages over these axes
    fused: bool  # tiles are added as they are inflated
    split: float | None  # see `runner.reduce.scaling.split_for`
    stop: StopFlag = field(default_factory=StopFlag)
    raster: np.dtype | None = None  # of floats over time, where windows are finished with the task
    area: Area | None = None  # outside of which pixels are hidden in all scenes

    @classmethod
    def of(cls, reading: Reading, stack: Stack, stages: tuple[StagePlan, ...]) -> "Shared":
        """The data for these stages of a stack."""
        by_area = any(stage.weights is Weights.area for stage in stages)
        by_gdal, masks = tuple(map(reading.by_gdal, stack.scenes)), tuple(map(reading.mask_by_gdal, stack.scenes))
        areas = row_areas(stack.grid) if by_area else None
        header = stack.scenes[0].header
        bands = header.bands if header.interleaved else 1  # that are inflated together
        total = len(stack.scenes) * stack.grid.pixels * bands * stack.dtype.itemsize
        needs = {over: need for over in Over if (need := summed(stages, over))}
        ordered, rule = any(stage.ordered for stage in stages), reading.rule
        split = rule.split(stack)
        fits = not ordered and FusedSums.fits(rule.pixels, list(needs.values()))
        fused = fits and (rule.as_stored or split is not None)
        inflation = Inflation(reading.inflate, total, _kind_of_tiles(stack))
        return cls(
            stack.scenes, stages, reading, by_gdal, masks, areas, inflation, needs, fused, split, area=stack.area
        )

    def elsewhere(self, raster: np.dtype) -> "Shared":
        """The same, as it goes to other processes, which finish windows for rasters of this type."""
        return replace(self, scenes=PackedScenes.of(self.scenes), raster=raster)

    @property
    def hides(self) -> bool:
        """True if files other than their own, or an area, hide pixels."""
        return self.reading.rule.test is not None or self.area is not None

    @property
    def stored(self) -> Pixels:
        """The pixels in the files, if tiles are added as they are inflated."""
        rule = self.reading.rule
        return Pixels(np.dtype(self.scenes[0].header.dtype), rule.nodata) if rule.scale else rule.pixels

    @property
    def is_missing(self) -> Callable[[Values], bool] | None:
        """True for pixels none of which counts, if tiles are added as they are inflated."""
        if not self.fused:
            return None
        stored = self.stored
        return lambda tile: not stored.valid(stored.native(tile)).any()

    def fused_sums(
        self, task: Task, over_time: TemporalSums | None, over_space: SpatialSums | None
    ) -> FusedSums | None:
        """The sums of a task to which tiles are added as they are inflated."""
        if not self.fused:
            return None
        if self.split is None:
            return FusedSums(over_time, over_space, self.stored)
        rule = self.reading.rule
        scales = np.array([scene.header.scale_of(scene.band) for scene in self.scenes[task.start : task.stop]], float)
        scaled = Scaled(scales, self.split, rule.pixels.kind.limits)
        return FusedSums(over_time, over_space, self.stored, scaled)


def _kind_of_tiles(stack: Stack) -> tuple[object, ...]:
    """What tells how tiles of different stacks are best inflated: their type, and the way in which they are packed."""
    header = stack.scenes[0].header
    return stack.dtype.name, header.compression, header.predictor, header.tile_shape


def summed(stages: tuple[StagePlan, ...], over: Over) -> Needs | None:
    """The sums that stages over these axes need; None without such a stage. Every stage counts its pixels."""
    along = [stage for stage in stages if stage.over is over]
    if not along:
        return None
    total = Needs()
    for stage in along:
        total |= needs([name for name in stage.statistics if not statistic(name).ordered], stage.weights)
    return total
