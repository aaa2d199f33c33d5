"""The data that all tasks of a pass share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial as bind
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.area import Area
from runner.engine.packed_scenes import PackedScenes
from runner.model import Scene, Stack
from runner.planning.groups import Lots
from runner.planning.reading import Reading
from runner.planning.records import StagePlan, Task, lots_of_stages
from runner.planning.weights import row_areas
from runner.read.inflation import Inflation
from runner.read.stop_flag import StopFlag
from runner.reduce.fused import FusedSums
from runner.reduce.partial import Needs
from runner.reduce.pixel_types import Pixels
from runner.reduce.scaled_kernels import Scaled
from runner.reduce.scaling import MOST_ADDITIONS
from runner.reduce.zonal import ZonalSums
from runner.settings import Over, Weights
from runner.zones import Zones

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
    fused: frozenset[Over]  # to the sums over these axes tiles are added as they are inflated
    split: float | None  # see `runner.reduce.scaling.split_for`
    lots: Lots
    stop: StopFlag = field(default_factory=StopFlag)
    raster: np.dtype | None = None  # of floats over time, where windows are finished with the task
    area: Area | None = None  # outside of which pixels are hidden in all scenes
    zones: Zones | None = None  # of the stages over zones

    @classmethod
    def of(
        cls, reading: Reading, stack: Stack, stages: tuple[StagePlan, ...], *, counts_scenes: bool = False
    ) -> "Shared":
        """The data for these stages of a stack; the pixels of each scene are counted if `counts_scenes`."""
        by_area = any(stage.weights is Weights.area for stage in stages)
        by_gdal, masks = tuple(map(reading.by_gdal, stack.scenes)), tuple(map(reading.mask_by_gdal, stack.scenes))
        areas = row_areas(stack.grid) if by_area else None
        header = stack.scenes[0].header
        bands = header.bands if header.interleaved else 1  # that are inflated together
        total = len(stack.scenes) * stack.grid.pixels * bands * stack.dtype.itemsize
        needs = all_summed(stages, counts_scenes=counts_scenes)
        zones = next((stage.zones for stage in stages if stage.zones is not None), None)
        rule = reading.rule
        split = rule.split(stack)
        # Scaled integers: a run of a zone is one sum, which may have so many values (`add_scaled_strips`).
        unrounded = split is not None and (zones is None or stack.grid.width <= MOST_ADDITIONS)
        ordered = any(stage.ordered for stage in stages)
        fused = fused_axes(needs, rule.pixels, ordered=ordered) if rule.as_stored or unrounded else frozenset[Over]()
        inflation = Inflation(reading.inflate, total, _kind_of_tiles(stack))
        lots = lots_of_stages(stages, len(stack.scenes))
        return cls(
            stack.scenes,
            stages,
            reading,
            by_gdal,
            masks,
            areas,
            inflation,
            needs,
            fused,
            split,
            lots,
            area=stack.area,
            zones=zones,
        )

    def elsewhere(self, raster: np.dtype | None) -> "Shared":
        """The same, as it goes to other processes, which finish windows for rasters of this type, if there is one."""
        return replace(self, scenes=PackedScenes.of(self.scenes), raster=raster)

    @property
    def is_grouped(self) -> bool:
        """True if a stage has results for groups of scenes."""
        return any(stage.groups for stage in self.stages)

    @property
    def is_ordered(self) -> bool:
        """True if a stage needs all values at once, with one that stands for those that do not count."""
        return any(stage.ordered for stage in self.stages)

    @property
    def hides(self) -> bool:
        """True if files other than their own, or an area, hide pixels."""
        return self.reading.rule.test is not None or self.area is not None

    @property
    def zones_by_area(self) -> bool:
        """True if pixels count in zones by their areas."""
        return any(stage.zones is not None and stage.weights is Weights.area for stage in self.stages)

    @property
    def stored(self) -> Pixels:
        """The pixels in the files, if tiles are added as they are inflated."""
        rule = self.reading.rule
        return Pixels(np.dtype(self.scenes[0].header.dtype), rule.nodata) if rule.scale else rule.pixels

    @property
    def is_missing(self) -> Callable[[Values], bool] | None:
        """True for pixels none of which counts, if tiles are added as they are inflated."""
        if not self.fused or (self.is_ordered and self.reading.rule.pixels.blank is None):
            return None
        stored = self.stored
        return lambda tile: not stored.valid(stored.native(tile)).any()

    def fused_sums(self, task: Task) -> Callable[..., FusedSums] | None:
        """Makes sums of a task to which tiles are added as they are inflated, of those over time, space and zones."""
        if not self.fused:
            return None
        if self.split is None:
            return bind(FusedSums, pixels=self.stored)
        rule = self.reading.rule
        scales = np.array([scene.header.scale_of(scene.band) for scene in self.scenes[task.start : task.stop]], float)
        return bind(FusedSums, pixels=self.stored, scaled=Scaled(scales, self.split, rule.pixels.kind.limits))


def fused_axes(needs: dict[Over, Needs], pixels: Pixels, *, ordered: bool) -> frozenset[Over]:
    """The axes over which sums are made of tiles as they are inflated: all, or those that zones are better off with.

    Where other sums want decoded tiles, the predictor is undone twice. That costs more than the mean over space
    saves, and half of what zones save, which take the mean over space along.
    """
    fit = frozenset(over for over, need in needs.items() if _fits(over, need, pixels))
    if fit.issuperset(needs) and not ordered:
        return fit
    return fit - {Over.time} if Over.zones in fit else frozenset()


def _fits(over: Over, needs: Needs, pixels: Pixels) -> bool:
    if over is Over.zones:
        return ZonalSums.fits(needs) and FusedSums.fits(pixels, [Needs(sums=True)])
    return FusedSums.fits(pixels, [needs])


def _kind_of_tiles(stack: Stack) -> tuple[object, ...]:
    """What tells how tiles of different stacks are best inflated: their type, and the way in which they are packed."""
    header = stack.scenes[0].header
    return stack.dtype.name, header.compression, header.predictor, header.tile_shape


def all_summed(stages: tuple[StagePlan, ...], *, counts_scenes: bool) -> dict[Over, Needs]:
    """The sums that stages need over each axis that they have; over space too, if scenes are to be counted."""
    needs = {over: need for over in Over if (need := summed(stages, over))}
    if counts_scenes:  # as means, which are added while tiles are inflated
        needs.setdefault(Over.space, Needs(sums=True))
    return needs


def summed(stages: tuple[StagePlan, ...], over: Over) -> Needs | None:
    """The sums that stages over these axes need; None without such a stage. Every stage counts its pixels."""
    along = [stage for stage in stages if stage.over is over]
    if not along:
        return None
    total = Needs()
    for stage in along:
        total |= stage.needs
    return replace(total, weights_seen=False) if over is Over.zones else total  # the same in all scenes
